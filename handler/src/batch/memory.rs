//! Recipes with a memory: reads the states that a batch's records belong to, lets the recipe change them, and writes them back.
//!
//! # What is promised
//!
//! Each record changes the state of its key once, however often and wherever it is delivered.
//!
//! # How
//!
//! A state is one item of the state's table: the state itself, what has been *seen*, the *effects* of the records seen last, and a
//! *revision*, which is another one with each write. For each key of a batch:
//!
//! 1. The item is read, consistently.
//! 2. The key's records are taken in the order of the shard. One that has been seen changes nothing; its effects are those that
//!    are kept. Any other changes the state, and its effects are kept.
//! 3. The item is written, on the condition that it still has the revision that was read, or still is not there. State, what was seen
//!    and effects are one write, so there is no moment between them. If another invocation was faster, all begins again from
//!    what is there now. A write whose answer was lost is found to have been made in the same way.
//! 4. Only then are effects carried out, as those of any recipe are. Whatever fails there, or if the process ends, Lambda delivers
//!    the records again, and they have the same effects: same items, same notifications, same counts.
//!
//! A state that cannot be written, because of other writers or since the table does not answer, leaves its records to be delivered
//! again. Rejected records change nothing, and nothing is kept of them.
//!
//! # What is seen
//!
//! Kinesis delivers the records of a shard in order (with a parallelization factor: those of a partition key), so for each shard
//! it is enough to know how far a key's records have changed its state: parents and children of a reshard are shards of their own. But
//! a record may be left behind for good and played later (a dead letter, a batch that used up its retries), while those behind it
//! were seen. So the last records of each shard are remembered one by one, as 64 bits of a hash ([`seen`]), and one that is
//! not among them is new. Before those, all records have been seen, unless they are played as dead letters that the recipe had
//! rejected: such a one has never changed the state, and once it has, is remembered by itself.
//!
//! Where records of one shard are not delivered in order, which are those of several partition keys with a parallelization factor,
//! and a table's changes (whose event does not say the shard), many more are remembered. Whether one that comes later still has been
//! seen, nobody can tell. It becomes a dead letter, `state_forgotten`, so that it is neither lost nor counted twice.
//!
//! # What is kept of effects
//!
//! The effects of a shard's records are kept until a batch of that shard comes without them: Lambda has gone on then. A record
//! that comes even later, as from a batch that used up its retries, has changed the state, and its effects are made up from the
//! state as it is now, without changing it. If it has left an item, that one stays, and no more is done.

mod exact_json;
mod journal;
mod remembered;
mod seen;

use std::collections::{BTreeMap, HashMap};

use futures_util::{StreamExt as _, stream};
use streamkit_recipes::{Attribute, Effects, Item, Record, Rejected, Stateful};
use tokio::time::Instant;

use self::remembered::Remembered;
pub use self::remembered::{STATE_EXPIRY, STATE_KEY, STATE_REVISION};
use self::seen::{Look, Place};
use super::replay::Replay;
use super::{Job, pause, transient, within};
use crate::record::IncomingRecord;
use crate::sink::{MAX_KEYS, Sink, SinkError};

/// How many states are written at once: each holds one connection.
const WRITES_AT_ONCE: usize = 8;
/// The longest state, in bytes of JSON: beside it an item has room for what is seen, and for effects.
const MAX_STATE_BYTES: usize = 300_000;
/// A state and what is seen is kept for so long at least, in seconds: for as long as a table's stream may deliver a record again.
const KEPT_AT_LEAST: i64 = 24 * 60 * 60;

/// What became of one record.
pub(super) enum Verdict {
    /// It has changed the state, now or before, and these are its effects.
    Effects(Effects),
    /// It has changed the state before, and its effects are no longer known: these are made up from the state as it is.
    Recalled(Effects),
    /// It can never be processed.
    Rejected(Rejected),
    /// It is to be delivered again.
    Retry { code: String, reason: String },
}

impl<S: Sink> Job<'_, S> {
    /// Lets the recipe change the states that the records belong to, and returns what became of each record, in order.
    pub(super) async fn remember(
        &self,
        stateful: &dyn Stateful,
        records: &[IncomingRecord],
        until: Instant,
    ) -> Vec<Verdict> {
        let mut verdicts: Vec<Option<Verdict>> = records.iter().map(|_| None).collect();
        let mut keys: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, record) in records.iter().enumerate() {
            match record.record().and_then(|record| key_of(stateful, &record)) {
                Ok(key) => keys.entry(key).or_default().push(place),
                Err(rejected) => verdicts[place] = Some(Verdict::Rejected(rejected)),
            }
        }
        let all: Vec<&str> = keys.keys().map(String::as_str).collect();
        let found = self.read_states(&all, until).await;
        let changes = keys.iter().map(|(key, places)| {
            let found = found.get(key.as_str()).cloned().unwrap_or(Ok(None));
            self.change_state(stateful, Keyed { key, places, records }, found, until)
        });
        let mut done = stream::iter(changes).buffer_unordered(WRITES_AT_ONCE);
        while let Some(of_key) = done.next().await {
            for (place, verdict) in of_key {
                verdicts[place] = Some(verdict);
            }
        }
        let missing = || Verdict::Retry { code: "StateMissing".to_owned(), reason: String::new() };
        verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(missing)).collect()
    }

    /// Reads the states of these keys: for each its item, if there is one.
    async fn read_states<'k>(
        &self,
        keys: &[&'k str],
        until: Instant,
    ) -> HashMap<&'k str, Result<Option<Item>, SinkError>> {
        let chunks =
            keys.chunks(MAX_KEYS).map(|chunk| async move { (chunk, self.read_some_states(chunk, until).await) });
        let read: Vec<_> = stream::iter(chunks).buffered(WRITES_AT_ONCE).collect().await;
        let mut all = HashMap::with_capacity(keys.len());
        for (chunk, found) in read {
            match found {
                Ok(items) => {
                    let mut items: HashMap<String, Item> = items.into_iter().filter_map(with_key).collect();
                    all.extend(chunk.iter().map(|&key| (key, Ok(items.remove(key)))));
                }
                Err(error) => all.extend(chunk.iter().map(|&key| (key, Err(error.clone())))),
            }
        }
        all
    }

    /// Reads the states of one call, and again those that come back unprocessed.
    async fn read_some_states(&self, keys: &[&str], until: Instant) -> Result<Vec<Item>, SinkError> {
        let mut open: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
        let mut found = Vec::new();
        for attempt in 0.. {
            let (read, left) = within(until, self.sink.read_states(&open)).await?;
            // The table has answered something: patience is for when it does not.
            found.extend(read);
            open = left;
            if open.is_empty() {
                break;
            }
            if !pause(attempt, until).await {
                return Err(transient("UnprocessedKeys", "the state's table did not get to the key in time"));
            }
        }
        Ok(found)
    }

    /// Takes the records of one key, and writes its state, until nobody else was faster.
    async fn change_state(
        &self,
        stateful: &dyn Stateful,
        of: Keyed<'_>,
        mut found: Result<Option<Item>, SinkError>,
        until: Instant,
    ) -> Vec<(usize, Verdict)> {
        for attempt in 0.. {
            let item = match found {
                Ok(item) => item,
                Err(error) => return of.retry(&error),
            };
            let mut remembered = match Remembered::read(item.as_ref()) {
                Ok(remembered) => remembered,
                Err(what) => return of.retry(&transient("StateUnreadable", &self.about_table(&what))),
            };
            let taken = self.take(stateful, &of, &mut remembered);
            if !remembered.is_changed {
                return taken.into_iter().map(|taken| (taken.place, taken.verdict)).collect();
            }
            let places: Vec<Place> = of.places.iter().map(|&place| self.place(&of, place)).collect();
            remembered.forget(&places, self.replay.is_some());
            let expected = remembered.revision.clone();
            let item = remembered.item(of.key, &revision(), self.expires_at(stateful));
            let error = match within(until, self.sink.write_state(&item, expected.as_deref())).await {
                Ok(true) => return taken.into_iter().map(|taken| (taken.place, taken.verdict)).collect(),
                Ok(false) if pause(attempt, until).await => None,
                Ok(false) => Some(transient("StateConflict", "others wrote the record's state again and again")),
                Err(error) => Some(error),
            };
            if let Some(error) = error {
                return taken.into_iter().map(|taken| taken.not_written(&error)).collect();
            }
            found = self.read_some_states(&[of.key], until).await.map(|items| items.into_iter().next());
        }
        Vec::new()
    }

    /// Lets the recipe change the state by those of the records that have not been seen.
    fn take(&self, stateful: &dyn Stateful, of: &Keyed<'_>, remembered: &mut Remembered) -> Vec<Taken> {
        let mut all = Vec::with_capacity(of.places.len());
        for &place in of.places {
            let (verdict, is_new) = match of.records[place].record() {
                Ok(record) => self.take_one(stateful, &record, &self.place(of, place), of, remembered, place),
                Err(rejected) => (Verdict::Rejected(rejected), false),
            };
            all.push(Taken { place, verdict, is_new });
        }
        all
    }

    fn take_one(
        &self,
        stateful: &dyn Stateful,
        record: &Record<'_>,
        at: &Place,
        of: &Keyed<'_>,
        remembered: &mut Remembered,
        place: usize,
    ) -> (Verdict, bool) {
        let was_rejected = self.replay.as_ref().is_some_and(|replay| was_rejected(replay, &of.records[place]));
        let is_new = match remembered.seen.look(at) {
            Look::New => true,
            Look::Seen => false,
            Look::Before | Look::Forgotten if was_rejected => !remembered.seen.has_rejected(at),
            Look::Before | Look::Forgotten if self.replay.is_some() => false,
            Look::Before if at.is_in_order() => false,
            Look::Before | Look::Forgotten => {
                let message = "state: too many later records have changed it to tell whether this one has";
                return (Verdict::Rejected(Rejected::new("state_forgotten", message)), false);
            }
        };
        if !is_new {
            if let Some(effects) = remembered.effects_of(at) {
                return (Verdict::Effects(effects), false);
            }
            let mut copy = remembered.state.clone();
            let made_up = stateful.process(&self.config.settings, &mut copy, record, self.now_ms);
            // Its letter must not say that the recipe never took it.
            let refused = |Rejected { code, message }| Rejected::new("refused_by_recipe", format!("{code}: {message}"));
            return (made_up.map_or_else(|rejected| Verdict::Rejected(refused(rejected)), Verdict::Recalled), false);
        }
        if !remembered.has_room() {
            let reason = "the batch has more records of one key than a state is changed by at once".to_owned();
            return (Verdict::Retry { code: "StateBusy".to_owned(), reason }, false);
        }
        let mut state = remembered.state.clone();
        let effects = match stateful.process(&self.config.settings, &mut state, record, self.now_ms) {
            Ok(effects) => effects,
            Err(rejected) => return (Verdict::Rejected(rejected), false),
        };
        let bytes = state.to_string().len();
        if bytes > MAX_STATE_BYTES {
            let message =
                self.about_table(&format!("it would have {bytes} bytes of JSON, and may have {MAX_STATE_BYTES}"));
            return (Verdict::Rejected(Rejected::new("state_too_large", message)), false);
        }
        remembered.note(at, state, bytes, &effects);
        if was_rejected {
            remembered.seen.note_rejected(at);
        }
        (Verdict::Effects(effects), true)
    }

    fn place(&self, of: &Keyed<'_>, place: usize) -> Place {
        Place::of(&of.records[place], of.key, self.config.parallel)
    }

    fn about_table(&self, what: &str) -> String {
        format!("state of the record's key in the table {}: {what}", self.config.state_table)
    }

    fn expires_at(&self, stateful: &dyn Stateful) -> i64 {
        let keeps = stateful.keeps_seconds(&self.config.settings).max(KEPT_AT_LEAST);
        (self.now_ms / 1_000).saturating_add(keeps)
    }
}

/// The records of one key.
#[derive(Clone, Copy)]
struct Keyed<'a> {
    key: &'a str,
    places: &'a [usize],
    records: &'a [IncomingRecord],
}

impl Keyed<'_> {
    fn retry(&self, error: &SinkError) -> Vec<(usize, Verdict)> {
        self.places.iter().map(|&place| (place, retry(error))).collect()
    }
}

/// What becomes of a record once the state is written.
struct Taken {
    place: usize,
    verdict: Verdict,
    /// Whether it changes the state by this write.
    is_new: bool,
}

impl Taken {
    /// What becomes of it when the state is not written: what had changed the state before is not concerned.
    fn not_written(self, error: &SinkError) -> (usize, Verdict) {
        let verdict = match self.verdict {
            _ if self.is_new && error.permanent => Verdict::Rejected(Rejected::new("state_refused", error.to_string())),
            // Made of a state that others have changed since, or that was not written.
            Verdict::Recalled(_) => retry(error),
            _ if self.is_new => retry(error),
            verdict => verdict,
        };
        (self.place, verdict)
    }
}

fn retry(error: &SinkError) -> Verdict {
    Verdict::Retry { code: error.code.clone(), reason: error.message.clone() }
}

/// The key of a record's state, of which DynamoDB takes 1 to 2,048 bytes.
fn key_of(stateful: &dyn Stateful, record: &Record<'_>) -> Result<String, Rejected> {
    let key = stateful.key(record)?;
    if (1..=2_048).contains(&key.len()) {
        return Ok(key);
    }
    let message = format!("the key of its state has {} bytes, and may have 1 to 2048", key.len());
    Err(Rejected::new(if key.is_empty() { "empty_field" } else { "too_long" }, message))
}

fn with_key(item: Item) -> Option<(String, Item)> {
    match item.get(STATE_KEY) {
        Some(Attribute::S(key)) => Some((key.clone(), item)),
        _ => None,
    }
}

/// Whether the recipe rejected the record before, so that it had not changed the state.
fn was_rejected(replay: &Replay, record: &IncomingRecord) -> bool {
    replay.rejected.contains(&record.sequence_number)
}

/// Another text each time: that an item was deleted and made again in between must not go unnoticed.
fn revision() -> String {
    format!("{:016x}", fastrand::u64(..))
}

/// Sets the first attribute of an item that holds the processing time in milliseconds: what is stored by a replay is later than
/// the failure that it mends.
pub(super) fn stored_now(item: &mut Item, volatile: &[&'static str], now_ms: i64) {
    for &name in volatile {
        let number = match item.get(name) {
            Some(Attribute::N(number)) if number.parse::<i64>().is_ok() => Attribute::N(now_ms.to_string()),
            Some(Attribute::S(number)) if number.parse::<i64>().is_ok() => Attribute::S(now_ms.to_string()),
            _ => continue,
        };
        item.insert(name, number);
        return;
    }
}
