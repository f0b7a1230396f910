//! Reads all shards of a stream at once: children after their parents, and new ones as they come.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep, sleep_until};

use crate::aws::{AwsError, Clients};
use crate::records::{Shard, ShardReader, Source, SourceRecord, Start};

/// How often an open shard is looked at: it takes five reads a second, from all of its readers together.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often to look for new shards, and how often while there must be some: a shard has ended.
const LIST_EVERY: Duration = Duration::from_secs(60);
const LIST_SOON: Duration = Duration::from_secs(1);
/// How long to wait when a shard goes on refusing reads.
const THROTTLED: Duration = Duration::from_secs(5);

/// Where to begin, and in which shards.
#[derive(Debug, Clone, Default)]
pub(super) struct Choice {
    /// Records that arrived from then on, in milliseconds since 1970; without it, those that are still to come.
    pub(super) since_ms: Option<i64>,
    /// By their ids or numbers; all, if there are none.
    pub(super) shards: Vec<String>,
}

impl Choice {
    fn has(&self, shard: &str) -> bool {
        let number = |text: &str| text.rsplit('-').next().and_then(|number| number.parse::<u64>().ok());
        self.shards.is_empty()
            || self.shards.iter().any(|wanted| {
                wanted == shard || wanted.parse::<u64>().is_ok_and(|wanted| number(shard) == Some(wanted))
            })
    }
}

/// Reads until the receiver of the pages is dropped.
pub(super) async fn follow(
    aws: &Clients,
    source: &Source,
    choice: &Choice,
    pages: Sender<Vec<SourceRecord>>,
) -> anyhow::Result<()> {
    let list = async || {
        let shards = source.shards(aws).await;
        shards.with_context(|| format!("listing the shards of {}", source.name()))
    };
    let mut progress = Progress::default();
    let mut readers = FuturesUnordered::new();
    let mut shards = list().await?;
    if !shards.iter().any(|shard| choice.has(&shard.id)) {
        let ids: Vec<_> = shards.iter().map(|shard| shard.id.as_str()).collect();
        anyhow::bail!("{} has no such shard; it has {}", source.name(), ids.join(", "));
    }
    let mut first = true;
    let mut list_at = Instant::now() + LIST_EVERY;
    loop {
        for (shard, start) in progress.startable(&shards, choice.since_ms, first) {
            if choice.has(&shard) {
                let reader = ShardReader::new(aws, source, &shard, start);
                readers.push(read(reader, shard, pages.clone()));
            } else {
                // As if it had been read: its children wait for nothing.
                progress.ended(shard);
            }
        }
        first = false;
        tokio::select! {
            Some(ended) = readers.next() => {
                progress.read_to_end(ended?);
                list_at = list_at.min(Instant::now() + LIST_SOON);
            }
            () = sleep_until(list_at) => {
                shards = list().await?;
                list_at = Instant::now() + if progress.lacks_children(&shards) { LIST_SOON } else { LIST_EVERY };
            }
            () = pages.closed() => return Ok(()),
        }
    }
}

/// Which shards are read, and which have been.
#[derive(Debug, Default)]
struct Progress {
    begun: BTreeSet<String>,
    ended: BTreeSet<String>,
    /// Those that ended while they were read, and whose children have not been seen yet.
    childless: BTreeSet<String>,
}

impl Progress {
    fn ended(&mut self, shard: String) {
        self.ended.insert(shard);
    }

    fn read_to_end(&mut self, shard: String) {
        self.childless.insert(shard.clone());
        self.ended(shard);
    }

    /// The shards to begin with now, and where. Those that are there at first are read from the chosen moment on; what comes
    /// later, and what follows a shard, from its beginning.
    fn startable(&mut self, shards: &[Shard], since_ms: Option<i64>, first: bool) -> Vec<(String, Start)> {
        let known: BTreeMap<&str, &Shard> = shards.iter().map(|shard| (shard.id.as_str(), shard)).collect();
        let mut found = Vec::new();
        for shard in shards.iter().filter(|shard| !self.begun.contains(&shard.id)) {
            // Live, a shard that was closed before has nothing to come.
            let is_past = |shard: &Shard| since_ms.is_none() && first && shard.last.is_some();
            if is_past(shard) {
                continue;
            }
            let waits = |parent: &String| {
                known.get(parent.as_str()).is_some_and(|parent| !is_past(parent)) && !self.ended.contains(parent)
            };
            if shard.parents.iter().any(waits) {
                continue;
            }
            let follows = shard.parents.iter().any(|parent| self.ended.contains(parent));
            let start = match since_ms {
                Some(ms) => Start::AtTimestamp(ms),
                None if first && !follows => Start::Latest,
                None => Start::TrimHorizon,
            };
            found.push((shard.id.clone(), start));
        }
        if first && since_ms.is_none() {
            // They are behind whatever comes.
            let past = shards.iter().filter(|shard| shard.last.is_some()).map(|shard| shard.id.clone());
            let past: Vec<_> = past.collect();
            self.begun.extend(past.iter().cloned());
            self.ended.extend(past);
        }
        self.begun.extend(found.iter().map(|(shard, _)| shard.clone()));
        found
    }

    /// True when a shard has ended whose children are not known yet.
    fn lacks_children(&mut self, shards: &[Shard]) -> bool {
        for parent in shards.iter().flat_map(|shard| &shard.parents) {
            self.childless.remove(parent);
        }
        !self.childless.is_empty()
    }
}

/// Reads one shard to its end, and gives its id.
async fn read(mut reader: ShardReader, shard: String, pages: Sender<Vec<SourceRecord>>) -> anyhow::Result<String> {
    loop {
        let page = match reader.next().await {
            Ok(page) => page,
            Err(error) if is_throttle(&error) => {
                sleep(THROTTLED).await;
                continue;
            }
            // Its last records have expired, and it with them.
            Err(error) if error.is_missing() || error.is(&["TrimmedDataAccessException"]) => return Ok(shard),
            Err(error) => return Err(error).with_context(|| format!("reading the shard {shard}")),
        };
        if !page.records.is_empty() && pages.send(page.records).await.is_err() {
            // Nobody wants more.
            return Ok(shard);
        }
        if page.finished {
            return Ok(shard);
        }
        if page.caught_up {
            sleep(LOOK_EVERY).await;
        }
    }
}

fn is_throttle(error: &AwsError) -> bool {
    error.is(&["ProvisionedThroughputExceededException", "LimitExceededException", "ThrottlingException"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, parents: &[&str], closed: bool) -> Shard {
        let parents = parents.iter().map(|parent| (*parent).to_owned()).collect();
        Shard { id: id.to_owned(), parents, first: None, last: closed.then(|| "9".to_owned()) }
    }

    fn begun(found: &[(String, Start)]) -> Vec<&str> {
        found.iter().map(|(shard, _)| shard.as_str()).collect()
    }

    #[test]
    fn from_a_moment_on_children_wait_for_their_parents() {
        let shards = [shard("a", &[], true), shard("b", &[], true), shard("c", &["a", "b"], false)];
        let mut progress = Progress::default();
        let first = progress.startable(&shards, Some(7), true);
        assert_eq!(begun(&first), ["a", "b"]);
        assert!(first.iter().all(|(_, start)| *start == Start::AtTimestamp(7)));
        progress.ended("a".to_owned());
        assert_eq!(begun(&progress.startable(&shards, Some(7), false)), Vec::<&str>::new());
        progress.ended("b".to_owned());
        assert_eq!(begun(&progress.startable(&shards, Some(7), false)), ["c"]);
        assert_eq!(begun(&progress.startable(&shards, Some(7), false)), Vec::<&str>::new());
    }

    #[test]
    fn live_only_open_shards_are_read_and_their_children_from_the_beginning() {
        let mut shards = vec![shard("a", &[], true), shard("b", &["a"], false), shard("z", &[], false)];
        let mut progress = Progress::default();
        let latest = |id: &str| (id.to_owned(), Start::Latest);
        assert_eq!(progress.startable(&shards, None, true), [latest("b"), latest("z")]);
        shards[1].last = Some("9".to_owned());
        shards.push(shard("c", &["b"], false));
        assert_eq!(progress.startable(&shards, None, false), []);
        progress.read_to_end("b".to_owned());
        assert!(!progress.lacks_children(&shards));
        assert_eq!(progress.startable(&shards, None, false), [("c".to_owned(), Start::TrimHorizon)]);
        progress.read_to_end("z".to_owned());
        assert!(progress.lacks_children(&shards));
    }

    #[test]
    fn shards_are_chosen_by_id_or_number() {
        let choice = |shards: &[&str]| Choice {
            since_ms: None,
            shards: shards.iter().map(|shard| (*shard).to_owned()).collect(),
        };
        assert!(choice(&[]).has("shardId-000000000003"));
        assert!(choice(&["1", "3"]).has("shardId-000000000003"));
        assert!(choice(&["shardId-000000000003"]).has("shardId-000000000003"));
        assert!(!choice(&["30"]).has("shardId-000000000003"));
    }
}
