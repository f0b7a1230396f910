//! All global tables of the account: who has replicas of what, and the task that brings writes to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use streamkit_wire::{CallError, clock};
use tokio::sync::Notify;

use super::group::{Group, ReplicaShown, Version, Write};
use crate::rehearsal::{SeededTimes, StateChange};
use crate::services::dynamodb::DynamoDb;
use crate::services::dynamodb::streams::Change;

/// How long a write takes to another region where no rehearsal says.
const LAG: Duration = Duration::from_millis(50);

/// The way to the tables of other regions.
pub(crate) trait OtherRegions: Send + Sync {
    /// The tables of a region, which is made if nobody has asked for it yet.
    fn dynamodb(&self, region: &str) -> Result<Arc<DynamoDb>, CallError>;
}

/// The replication of all global tables.
pub(crate) struct Replication {
    state: Mutex<State>,
    pub(super) others: Arc<dyn OtherRegions>,
    times: SeededTimes,
    pub(super) wake: Notify,
    /// Held while replicas are added or removed.
    pub(in crate::services::dynamodb) changing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// By the table's name.
    groups: BTreeMap<String, Group>,
    /// Regions that nothing goes to or comes from.
    down: BTreeSet<String>,
    /// The latest time that a write was given.
    last_ms: i64,
}

impl Replication {
    pub(crate) fn new(others: Arc<dyn OtherRegions>, times: SeededTimes) -> Self {
        Self { state: Mutex::default(), others, times, wake: Notify::new(), changing: tokio::sync::Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The other regions with a replica of a table.
    pub(in crate::services::dynamodb) fn others_of(&self, table: &str, region: &str) -> Vec<String> {
        let state = self.state();
        state.groups.get(table).filter(|group| group.has(region)).map(|group| group.others(region)).unwrap_or_default()
    }

    /// Whether replicas of other regions were made from this one within a day.
    pub(in crate::services::dynamodb) fn is_source(&self, table: &str, region: &str) -> bool {
        self.state().groups.get(table).is_some_and(|group| group.is_source(region, clock::now_ms()))
    }

    /// Whether it is this region that deletes the expired items of a table: for a global table, one of them does.
    pub(in crate::services::dynamodb) fn expires_in(&self, table: &str, region: &str) -> bool {
        let state = self.state();
        let Some(group) = state.groups.get(table).filter(|group| group.has(region)) else { return true };
        group.regions().find(|other| !state.down.contains(*other)).is_none_or(|first| first == region)
    }

    /// Begins to keep writes for a new replica. Nothing is written to the table of the source region meanwhile.
    pub(in crate::services::dynamodb) fn join(&self, table: &str, source: &str, region: &str) {
        let mut state = self.state();
        let group = state.groups.entry(table.to_owned()).or_insert_with(|| Group::with(source));
        group.join(source, region, clock::now_ms());
    }

    /// Lets the kept writes go to a replica, which has all earlier ones by now.
    pub(in crate::services::dynamodb) fn filled(&self, table: &str, region: &str) {
        if let Some(group) = self.state().groups.get_mut(table) {
            group.filled(region);
        }
        self.wake.notify_one();
    }

    /// Takes a replica out of its global table. The last one that is left is a table like others.
    pub(in crate::services::dynamodb) fn leave(&self, table: &str, region: &str) {
        let mut state = self.state();
        let Some(group) = state.groups.get_mut(table).filter(|group| group.has(region)) else { return };
        group.leave(region);
        if group.is_single() {
            state.groups.remove(table);
        }
    }

    /// Sends changes that were made in a region to the other replicas. The caller holds the lock of that region's tables.
    pub(in crate::services::dynamodb) fn send(&self, region: &str, changes: &[Change]) {
        let mut state = self.state();
        let State { groups, last_ms, .. } = &mut *state;
        let mut sent = false;
        for change in changes {
            let Some(group) = groups.get_mut(&change.table).filter(|group| group.has(region)) else { continue };
            // Time does not go back, whatever the machine's clock does.
            *last_ms = clock::now_ms().max(*last_ms);
            let version = Version { time_ms: *last_ms, region: region.into() };
            let (keys, item) = (change.keys.clone(), change.new_image.clone());
            let write = Write { table: change.table.clone(), keys, item, version };
            group.send(write, self.lag(&change.event_id), Instant::now());
            sent = true;
        }
        if sent {
            self.wake.notify_one();
        }
    }

    fn lag(&self, event: &str) -> Duration {
        let lag = self.times.time(StateChange::Replication, event);
        if lag.is_zero() { LAG } else { lag }
    }

    /// Whether an arriving write wins over what a region has. The caller holds the lock of that region's tables.
    pub(in crate::services::dynamodb) fn admit(&self, region: &str, write: &Write) -> bool {
        self.state().groups.get_mut(&write.table).is_some_and(|group| group.admit(region, write))
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        let state = self.state();
        state.groups.values().filter_map(|group| group.next_due(|region| !state.down.contains(region))).min()
    }

    /// Takes the writes that have arrived, by the regions that they are for.
    pub(super) fn take(&self) -> BTreeMap<String, Vec<Arc<Write>>> {
        let mut arrived: BTreeMap<String, Vec<Arc<Write>>> = BTreeMap::new();
        let State { groups, down, .. } = &mut *self.state();
        for group in groups.values_mut() {
            for (region, write) in group.take(Instant::now(), |region| !down.contains(region)) {
                arrived.entry(region).or_default().push(write);
            }
        }
        arrived
    }

    pub(super) fn delivered(&self, writes: &[Arc<Write>]) {
        let mut state = self.state();
        for write in writes {
            if let Some(group) = state.groups.get_mut(&write.table) {
                group.delivered(1);
            }
        }
    }

    /// Cuts a region off, or heals it: what was written meanwhile goes its way then.
    pub(crate) fn set_down(&self, region: &str, down: bool) {
        let mut state = self.state();
        if down {
            state.down.insert(region.to_owned());
        } else {
            state.down.remove(region);
        }
        self.wake.notify_one();
    }

    /// Every replica of every global table.
    pub(crate) fn shown(&self) -> Vec<ReplicaShown> {
        let (state, now_ms) = (self.state(), clock::now_ms());
        state.groups.iter().flat_map(|(table, group)| group.shown(table, now_ms)).collect()
    }
}
