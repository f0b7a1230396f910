//! One global table: its replicas, the writes on their way between them, and which of two writes of an item wins.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

/// A replica is no longer a source of new replicas after this time.
const SOURCE_MS: i64 = 24 * 3_600_000;

/// When and where an item was written. The later one wins, and of two at the same time that of the region whose name is greater.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::services::dynamodb) struct Version {
    /// Epoch milliseconds.
    pub(super) time_ms: i64,
    pub(super) region: Arc<str>,
}

/// A write of an item as it goes to other regions: all of the item, or that it is gone.
#[derive(Debug)]
pub(in crate::services::dynamodb) struct Write {
    pub(in crate::services::dynamodb) table: String,
    pub(in crate::services::dynamodb) keys: Value,
    /// `None` for a deletion.
    pub(in crate::services::dynamodb) item: Option<Value>,
    pub(super) version: Version,
}

/// A write on its way to one region.
#[derive(Debug, Clone)]
struct Underway {
    due: Instant,
    write: Arc<Write>,
}

/// One replica.
#[derive(Debug, Default)]
struct Replica {
    /// Whether it has the items that the table had before it, so that later writes may come.
    filled: bool,
    /// When it last was the source of a new replica, epoch milliseconds.
    source_ms: Option<i64>,
    /// The last write of each item, while any write is on its way.
    versions: HashMap<String, Version>,
    conflicts: u64,
}

/// One global table.
#[derive(Debug, Default)]
pub(super) struct Group {
    replicas: BTreeMap<String, Replica>,
    /// By the regions that they come from and go to, in the order in which they were made.
    underway: BTreeMap<(String, String), VecDeque<Underway>>,
    /// How many were taken and are being written.
    delivering: usize,
}

/// A replica as the outside is shown it.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct ReplicaShown {
    pub(crate) table: String,
    pub(crate) region: String,
    /// Writes that are on their way to it.
    pub(crate) pending: usize,
    /// How long ago the oldest of them was made, milliseconds.
    pub(crate) behind_ms: i64,
    /// Writes of another region that arrived here and lost against one that was made here without knowing of them.
    pub(crate) conflicts: u64,
}

impl Group {
    pub(super) fn with(region: &str) -> Self {
        let mut group = Self::default();
        group.replicas.insert(region.to_owned(), Replica { filled: true, ..Replica::default() });
        group
    }

    pub(super) fn has(&self, region: &str) -> bool {
        self.replicas.contains_key(region)
    }

    /// The other regions that have a replica.
    pub(super) fn others(&self, region: &str) -> Vec<String> {
        self.replicas.keys().filter(|other| *other != region).cloned().collect()
    }

    pub(super) fn regions(&self) -> impl Iterator<Item = &str> {
        self.replicas.keys().map(String::as_str)
    }

    pub(super) fn is_single(&self) -> bool {
        self.replicas.len() < 2
    }

    /// Adds a replica, which gets its items from that of another region. What is on its way there goes to the new one, too.
    pub(super) fn join(&mut self, source: &str, region: &str, now_ms: i64) {
        let to_source = self.underway.iter().filter(|((_, to), _)| to == source);
        let also: Vec<_> = to_source.map(|((from, _), writes)| (from.clone(), writes.clone())).collect();
        for (from, writes) in also {
            self.underway.insert((from, region.to_owned()), writes);
        }
        if let Some(source) = self.replicas.get_mut(source) {
            source.source_ms = Some(now_ms);
        }
        self.replicas.insert(region.to_owned(), Replica::default());
    }

    pub(super) fn filled(&mut self, region: &str) {
        if let Some(replica) = self.replicas.get_mut(region) {
            replica.filled = true;
        }
    }

    pub(super) fn leave(&mut self, region: &str) {
        self.replicas.remove(region);
        self.underway.retain(|(from, to), _| from != region && to != region);
    }

    /// Whether others were made from this replica within a day, so that it can't be deleted before them.
    pub(super) fn is_source(&self, region: &str, now_ms: i64) -> bool {
        let source_ms = self.replicas.get(region).and_then(|replica| replica.source_ms);
        source_ms.is_some_and(|source_ms| now_ms - source_ms < SOURCE_MS)
    }

    /// Sends a write of this region to all others.
    pub(super) fn send(&mut self, write: Write, lag: Duration, now: Instant) {
        let from = write.version.region.to_string();
        let key = write.keys.to_string();
        let write = Arc::new(write);
        for to in self.others(&from) {
            let way = self.underway.entry((from.clone(), to)).or_default();
            // One never overtakes another of the same region.
            let due = way.back().map_or(now + lag, |last| last.due.max(now + lag));
            way.push_back(Underway { due, write: Arc::clone(&write) });
        }
        if let Some(replica) = self.replicas.get_mut(&from) {
            replica.versions.insert(key, write.version.clone());
        }
    }

    /// Whether an arriving write is newer than what a region has, which it is from now on.
    pub(super) fn admit(&mut self, region: &str, write: &Write) -> bool {
        let Some(replica) = self.replicas.get_mut(region) else { return false };
        let key = write.keys.to_string();
        match replica.versions.get(&key) {
            Some(has) if *has > write.version => {
                // One that was made here did not know of this one; one from a third region may have.
                replica.conflicts += u64::from(&*has.region == region);
                false
            }
            _ => {
                replica.versions.insert(key, write.version.clone());
                true
            }
        }
    }

    /// When the next write arrives, of those between regions that are up.
    pub(super) fn next_due(&self, is_up: impl Fn(&str) -> bool) -> Option<Instant> {
        let ways = self.underway.iter().filter(|(way, _)| self.is_open(way, &is_up));
        ways.filter_map(|(_, writes)| writes.front()).map(|first| first.due).min()
    }

    /// Takes the writes that have arrived, with the region that each is for.
    pub(super) fn take(&mut self, now: Instant, is_up: impl Fn(&str) -> bool) -> Vec<(String, Arc<Write>)> {
        let open: Vec<_> = self.underway.keys().filter(|way| self.is_open(way, &is_up)).cloned().collect();
        let mut arrived = Vec::new();
        for way in open {
            let Some(writes) = self.underway.get_mut(&way) else { continue };
            let count = writes.partition_point(|write| write.due <= now);
            arrived.extend(writes.drain(..count).map(|arrived| (way.1.clone(), arrived.write)));
        }
        self.delivering += arrived.len();
        arrived
    }

    fn is_open(&self, (from, to): &(String, String), is_up: impl Fn(&str) -> bool) -> bool {
        is_up(from) && is_up(to) && self.replicas.get(to).is_some_and(|replica| replica.filled)
    }

    /// Notes that so many writes have been delivered. When none is on its way, all replicas are the same, and the next write of
    /// an item is later than all before.
    pub(super) fn delivered(&mut self, count: usize) {
        self.delivering = self.delivering.saturating_sub(count);
        if self.delivering == 0 && self.underway.values().all(VecDeque::is_empty) {
            for replica in self.replicas.values_mut() {
                replica.versions.clear();
            }
        }
    }

    pub(super) fn shown<'a>(&'a self, table: &'a str, now_ms: i64) -> impl Iterator<Item = ReplicaShown> + 'a {
        self.replicas.iter().map(move |(region, replica)| {
            let ways = self.underway.iter().filter(|((_, to), _)| to == region);
            let writes: Vec<_> = ways.flat_map(|(_, writes)| writes).collect();
            let oldest = writes.iter().map(|underway| underway.write.version.time_ms).min();
            ReplicaShown {
                table: table.to_owned(),
                region: region.clone(),
                pending: writes.len(),
                behind_ms: oldest.map_or(0, |oldest_ms| now_ms - oldest_ms),
                conflicts: replica.conflicts,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn write(region: &str, time_ms: i64) -> Write {
        let keys = json!({"id": {"S": "a"}});
        let version = Version { time_ms, region: region.into() };
        Write { table: "t".to_owned(), item: Some(keys.clone()), keys, version }
    }

    fn pair() -> Group {
        let mut group = Group::with("eu-west-1");
        group.join("eu-west-1", "us-east-1", 0);
        group.filled("us-east-1");
        group
    }

    fn arrive(group: &mut Group, now: Instant) -> Vec<(String, bool)> {
        let arrived = group.take(now, |_| true);
        let count = arrived.len();
        let admitted = arrived.into_iter().map(|(to, write)| {
            let admitted = group.admit(&to, &write);
            (to, admitted)
        });
        let admitted = admitted.collect();
        group.delivered(count);
        admitted
    }

    #[test]
    fn the_later_of_two_writes_wins_everywhere_and_is_one_conflict() {
        let (mut group, now, lag) = (pair(), Instant::now(), Duration::from_secs(1));
        group.send(write("eu-west-1", 5), lag, now);
        group.send(write("us-east-1", 7), lag, now);
        assert!(group.take(now, |_| true).is_empty());
        let admitted = arrive(&mut group, now + lag);
        assert_eq!(admitted, [("us-east-1".to_owned(), false), ("eu-west-1".to_owned(), true)]);
        let conflicts: Vec<_> = group.shown("t", 9).map(|replica| replica.conflicts).collect();
        assert_eq!(conflicts, [0, 1]);
    }

    #[test]
    fn of_two_writes_at_the_same_time_that_of_the_greater_region_wins() {
        let (mut group, now) = (pair(), Instant::now());
        group.send(write("eu-west-1", 5), Duration::ZERO, now);
        group.send(write("us-east-1", 5), Duration::ZERO, now);
        let admitted = arrive(&mut group, now);
        assert_eq!(admitted, [("us-east-1".to_owned(), false), ("eu-west-1".to_owned(), true)]);
    }

    #[test]
    fn nothing_goes_to_or_from_a_region_that_is_down_and_all_of_it_later() {
        let (mut group, now) = (pair(), Instant::now());
        group.send(write("eu-west-1", 5), Duration::ZERO, now);
        assert!(group.take(now, |region| region != "us-east-1").is_empty());
        assert_eq!(group.next_due(|region| region != "us-east-1"), None);
        let behind: Vec<_> = group.shown("t", 105).map(|replica| (replica.pending, replica.behind_ms)).collect();
        assert_eq!(behind, [(0, 0), (1, 100)]);
        assert_eq!(arrive(&mut group, now), [("us-east-1".to_owned(), true)]);
    }

    #[test]
    fn a_new_replica_waits_for_its_items_and_gets_what_was_on_its_way_to_its_source() {
        let (mut group, now) = (pair(), Instant::now());
        group.send(write("us-east-1", 5), Duration::ZERO, now);
        group.join("eu-west-1", "ap-south-1", 6);
        assert_eq!(arrive(&mut group, now), [("eu-west-1".to_owned(), true)]);
        group.filled("ap-south-1");
        assert_eq!(arrive(&mut group, now), [("ap-south-1".to_owned(), true)]);
        assert!(group.is_source("eu-west-1", 7) && !group.is_source("ap-south-1", 7));
        assert!(!group.is_source("eu-west-1", 6 + SOURCE_MS));
    }
}
