//! A replay: records that were delivered before, or should have been, and that `streamkit dlq redrive` or `streamkit replay`
//! plays to the function again. What settled before is neither counted nor announced a second time.
//!
//! Whether a record has settled is told by what it left: its items, read back with their processing time, and its objects,
//! which are then put only if they are not there. So a replay stores the items of a record when all else is done.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use serde_json::Value;
use streamkit_recipes::{Attribute, Item, Notification, TableKey};
use tokio::time::Instant;

use super::memory::stored_now;
use super::store::Puts;
use super::{Handling, Job, Outcome, State, pause, transient, within};
use crate::encryption::masked;
use crate::event::{EventRecord, Replayed, ReplayedFailure};
use crate::record::IncomingRecord;
use crate::sink::{MAX_KEYS, Sink, SinkError};

/// The key in the custom part of Lambda's client context whose value says that an invocation is a replay, and how: JSON, such
/// as `{"history":true}`.
pub const CONTEXT: &str = "streamkit-replay";

/// How records are played again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Replay {
    /// They are all that a source had for a time, most of which have settled. Otherwise they have failed, so what they left
    /// before they failed does not say that they settled.
    pub history: bool,
    /// Records that are rejected become dead letters. Otherwise they are only reported: whoever plays them still has them.
    pub dead_letters: bool,
    /// When each record had failed, by its sequence number, in milliseconds since the epoch.
    #[serde(skip)]
    pub failed_at: HashMap<String, i64>,
    /// The sequence numbers of records that the recipe had rejected.
    #[serde(skip)]
    pub rejected: HashSet<String>,
}

impl Replay {
    /// What the client context's value says, with the times that the records bring along.
    ///
    /// # Errors
    /// The value is of another version of streamkit.
    pub fn of(context: &str, records: &[EventRecord]) -> serde_json::Result<Self> {
        let mut replay: Self = serde_json::from_str(context)?;
        let times = records.iter().filter_map(|record| Some((record.sequence_number()?, record.streamkit?.failed_at)));
        replay.failed_at = times.collect();
        let rejected = records.iter().filter(|record| record.streamkit.is_some_and(|again| again.rejected));
        replay.rejected = rejected.filter_map(EventRecord::sequence_number).collect();
        Ok(replay)
    }

    /// What is known of a record with this sequence number whose items, or objects, are there as they should be.
    fn settled(&self, sequence_number: &str, stored_at: Option<i64>) -> Settled {
        if self.history {
            return Settled::Yes;
        }
        match (stored_at, self.failed_at.get(sequence_number)) {
            (Some(stored), Some(&failed)) if stored > failed => Settled::Yes,
            // It was stored by the delivery that then failed.
            (Some(_), Some(_)) => Settled::No,
            _ => Settled::Unknown,
        }
    }
}

/// Whether a record was processed to its end before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Settled {
    #[default]
    No,
    /// It was, and has other effects now: the recipe has changed since.
    Otherwise,
    Unknown,
    Yes,
}

impl Settled {
    /// Whether it has been counted and announced, as far as is known.
    pub(super) fn is_announced(self) -> bool {
        matches!(self, Self::Yes | Self::Otherwise)
    }

    /// What is known of a record with both: new effects make it new, and what is not known of one is not known of both.
    fn and(self, other: Option<Self>) -> Self {
        let rank = |settled| match settled {
            Self::No => 0,
            Self::Otherwise => 1,
            Self::Unknown => 2,
            Self::Yes => 3,
        };
        other.map_or(self, |other| if rank(other) < rank(self) { other } else { self })
    }
}

/// What is known of each record of a replay.
pub(super) struct Known<'a> {
    replay: Option<&'a Replay>,
    records: &'a [IncomingRecord],
    /// By the record's place; `None` for one that left nothing by which it could be told.
    told: Vec<Option<Settled>>,
    /// The places of records that have changed a state before, and whose effects are made up now, each with whether Lambda has
    /// gone on behind it since; none without a memory.
    recalled: BTreeMap<usize, bool>,
}

impl<'a> Known<'a> {
    pub(super) fn new(replay: Option<&'a Replay>, records: &'a [IncomingRecord]) -> Self {
        let told = vec![None; if replay.is_some() { records.len() } else { 0 }];
        Self { replay, records, told, recalled: BTreeMap::new() }
    }

    /// Notes the records whose effects are made up now. Those that Lambda has gone on behind have settled, unless they lack an item.
    pub(super) fn recalled(&mut self, places: BTreeMap<usize, bool>) {
        if !places.is_empty() {
            self.told.resize(self.records.len(), None);
        }
        for (&place, _) in places.iter().filter(|(_, is_past)| **is_past) {
            self.tell(place, Settled::Yes);
        }
        self.recalled = places;
    }

    fn is_recalled(&self, place: usize) -> bool {
        self.recalled.contains_key(&place)
    }

    /// What is known of the record: nothing is, of one that is delivered as usual.
    pub(super) fn of(&self, place: usize) -> Settled {
        let default = if self.replay.is_some() { Settled::Unknown } else { Settled::No };
        self.told.get(place).map_or(default, |told| told.unwrap_or(default))
    }

    /// 1 for a record that left nothing new.
    pub(super) fn duplicate(&self, place: usize) -> usize {
        usize::from(self.of(place) == Settled::Yes)
    }

    pub(super) fn is_replay(&self) -> bool {
        self.replay.is_some()
    }

    fn tell(&mut self, place: usize, settled: Settled) {
        self.told[place] = Some(settled.and(self.told[place]));
    }

    /// Notes for the record of an object whether it was there.
    pub(super) fn object(&mut self, place: usize, was_there: bool) {
        let Some(replay) = self.replay else { return };
        let settled = if was_there { replay.settled(&self.records[place].sequence_number, None) } else { Settled::No };
        self.tell(place, settled);
    }

    /// The notification as it goes out: one of which nobody knows whether it went out before says that it is a replay.
    pub(super) fn announced(&self, place: usize, mut notification: Notification) -> Notification {
        if self.of(place) != Settled::Unknown {
            return notification;
        }
        if let Ok(Value::Object(mut message)) = serde_json::from_str(&notification.message) {
            message.insert("replay".to_owned(), Value::Bool(true));
            notification.message = Value::Object(message).to_string();
        }
        notification.attributes.insert("replay", "true".to_owned());
        notification
    }
}

impl<S: Sink> Job<'_, S> {
    /// Takes those items out whose records are not done: a later play would take them for settled. Of records that have an item
    /// in common, all are to be played again, or none.
    pub(super) fn hold_items(items: &mut Puts<Item>, states: &mut [State]) {
        let is_retry = |state: &State| matches!(state, State::Retry { .. });
        let mut held = Vec::new();
        let seen = &*states;
        items.retain_by(
            |records, _| {
                let of = || records.iter().map(|&record| &seen[record]);
                of().any(|state| matches!(state, State::Done(_))) && !of().any(is_retry)
            },
            |record| held.push(record),
        );
        for record in held {
            if matches!(states[record], State::Done(_)) {
                let reason = Some("another record of the batch with the same item failed".to_owned());
                states[record] = State::Retry { code: "SameItem".to_owned(), reason };
            }
        }
    }

    /// Reads back the items of a replay, and those whose effects are made up, notes what they tell of their records, and takes
    /// those out that need not be stored again. Records whose items could not be read are to be delivered again.
    pub(super) async fn look_at_items(
        &self,
        items: &mut Puts<Item>,
        known: &mut Known<'_>,
        states: &mut [State],
        until: Instant,
    ) {
        let (replay, Some(key)) = (known.replay, self.config.recipe.needs().table) else { return };
        if replay.is_none() && known.recalled.is_empty() {
            return;
        }
        let mut made_up = vec![true; items.values.len()];
        for &(record, value) in &items.origins {
            made_up[value] &= known.is_recalled(record);
        }
        let keys: Vec<Item> = items.values.iter().map(|item| key_of(&key, item)).collect();
        let is_looked_at = |value: usize| replay.is_some() || made_up[value];
        let sought: Vec<Item> =
            keys.iter().enumerate().filter(|(value, _)| is_looked_at(*value)).map(|(_, key)| key.clone()).collect();
        let mut found: HashMap<Item, Item> = HashMap::with_capacity(sought.len());
        let mut unread = None;
        for chunk in sought.chunks(MAX_KEYS) {
            match self.read_chunk(chunk, until).await {
                Ok(read) => found.extend(read.into_iter().map(|item| (key_of(&key, &item), item))),
                Err(error) => unread = Some(error),
            }
        }
        if let Some(error) = unread {
            let known = &*known;
            let is_kept = |records: &[usize]| replay.is_none() && !records.iter().all(|&at| known.is_recalled(at));
            items.retain_by(|records, _| is_kept(records), |record| states[record] = super::retry(&error));
            return;
        }
        let volatile = self.config.recipe.volatile();
        let told: Vec<(bool, Option<i64>)> = keys
            .iter()
            .zip(&items.values)
            .zip(&made_up)
            .map(|((key, item), made_up)| match found.get(key) {
                None => (false, None),
                // What was made up says nothing of what it should be.
                Some(there) => {
                    let is_same = *made_up || self.alike(there, item);
                    (is_same, time_of(there, volatile))
                }
            })
            .collect();
        for &(record, value) in &items.origins {
            if !is_looked_at(value) {
                continue;
            }
            let there = found.contains_key(&keys[value]);
            let settled = match (told[value], replay) {
                ((true, stored_at), Some(replay)) => replay.settled(&known.records[record].sequence_number, stored_at),
                ((true, _), None) if known.recalled.get(&record) == Some(&true) => Settled::Yes,
                // Only of what had settled it is known that it was counted.
                ((false, _), Some(replay)) if there && replay.history => Settled::Otherwise,
                _ => Settled::No,
            };
            known.tell(record, settled);
        }
        let mut left = HashSet::new();
        for (value, item) in items.values.iter_mut().enumerate().filter(|(value, _)| made_up[*value]) {
            if let Some(there) = found.remove(&keys[value]) {
                *item = there;
                stored_now(item, volatile, self.now_ms);
                left.insert(keys[value].clone());
            }
        }
        let known = &*known;
        // What is there of a record that is delivered as usual is what followed from it, whether or not the rest was done.
        let stays = |item: &Item| replay.is_none() && left.contains(&key_of(&key, item));
        items.retain_by(
            |records, item| records.iter().any(|&record| known.of(record) != Settled::Yes) && !stays(item),
            |_| {},
        );
    }

    /// Whether an item that is there is the one that would be stored: but for processing times, and for values that encryption has made
    /// anew. What those are is the record's, which is the same.
    fn alike(&self, there: &Item, item: &Item) -> bool {
        let volatile = self.config.recipe.volatile();
        let (there, item) = (without(there, volatile), without(item, volatile));
        there == item || (self.config.encryption.is_some() && masked(&there) == masked(&item))
    }

    /// Reads the items of one call, and again those keys that come back unprocessed.
    async fn read_chunk(&self, keys: &[Item], until: Instant) -> Result<Vec<Item>, SinkError> {
        let (mut open, mut found) = (keys.to_vec(), Vec::new());
        for attempt in 0.. {
            let (read, left) = within(until, self.sink.read(&open)).await?;
            found.extend(read);
            open = left;
            if open.is_empty() {
                break;
            }
            if !pause(attempt, until).await {
                return Err(transient("UnprocessedKeys", "the table did not get to the key in time"));
            }
        }
        Ok(found)
    }
}

fn key_of(key: &TableKey, item: &Item) -> Item {
    let mut all = Item::with_capacity(2);
    for name in key.names() {
        if let Some(value) = item.get(name) {
            all.insert(name.to_owned(), value.clone());
        }
    }
    all
}

fn without(item: &Item, volatile: &[&str]) -> Item {
    let mut item = item.clone();
    item.retain(|name, _| !volatile.contains(&name));
    item
}

/// When an item was stored: the processing time in its volatile attributes, in milliseconds since the epoch.
fn time_of(item: &Item, volatile: &[&str]) -> Option<i64> {
    volatile.iter().find_map(|name| match item.get(name)? {
        Attribute::N(number) | Attribute::S(number) => number.parse().ok(),
        _ => None,
    })
}

/// What the response says of a replay, besides what it says to Lambda.
pub(super) fn report(outcome: &Outcome, records: &[IncomingRecord]) -> Replayed {
    let failures = outcome.failures.iter().map(|failure| {
        let record = &records[failure.place];
        ReplayedFailure {
            sequence_number: record.sequence_number.clone(),
            sub_sequence_number: record.sub_sequence_number,
            event_id: record.event_id.clone(),
            code: failure.code.clone(),
            message: failure.reason.clone(),
            rejected: failure.handling != Handling::Retry,
        }
    });
    Replayed { records: records.len(), duplicates: outcome.duplicates, failed: failures.collect() }
}
