//! A state with what is kept beside it, as an item of the state's table.

use std::collections::HashSet;

use serde_json::Value;
use streamkit_recipes::{Attribute, Effects, Item};

use super::exact_json;
use super::journal::Entry;
use super::seen::{Place, Seen};

/// The table's key.
pub const STATE_KEY: &str = "key";
/// The attribute by which the table expires a state: seconds since the epoch.
pub const STATE_EXPIRY: &str = "expiresAt";
const STATE: &str = "state";
const SEEN: &str = "seen";
const EFFECTS: &str = "effects";
/// The attribute that is another text after each write.
pub const STATE_REVISION: &str = "revision";

/// DynamoDB takes 400 KB; some is for the attributes' names and what nobody counts.
const MAX_ITEM_BYTES: usize = 390 * 1024;
/// What is seen has so many bytes at most, but for keys that hundreds of shards have records of.
const SEEN_BYTES: usize = 32 * 1024;
/// The effects of other batches' records that are kept with a state.
const MAX_OTHER_EFFECTS: usize = 32 * 1024;

/// A state, and what has to be known beside it.
#[derive(Clone, Debug, Default)]
pub(super) struct Remembered {
    /// What the write has to find in the table; `None` where nothing is.
    pub(super) revision: Option<String>,
    pub(super) state: Value,
    pub(super) seen: Seen,
    effects: Vec<Entry>,
    /// Bytes of the state, and of the effects that were added since it was read.
    state_bytes: usize,
    added: usize,
    pub(super) is_changed: bool,
}

impl Remembered {
    /// Reads an item; `None` stands for a key of which nothing is known.
    ///
    /// # Errors
    /// The item is none that this version can read. The message never repeats its content.
    pub(super) fn read(item: Option<&Item>) -> Result<Self, String> {
        let Some(item) = item else { return Ok(Self::default()) };
        let text = |name: &'static str| match item.get(name) {
            Some(Attribute::S(text)) => Ok(text.as_str()),
            _ => Err(format!("its attribute {name} is no text")),
        };
        let odd =
            |name: &'static str| move |_: serde_json::Error| format!("its attribute {name} is not as it was written");
        Ok(Self {
            revision: Some(text(STATE_REVISION)?.to_owned()),
            state: exact_json::read(text(STATE)?).map_err(odd(STATE))?,
            seen: serde_json::from_str(text(SEEN)?).map_err(odd(SEEN))?,
            effects: serde_json::from_str(text(EFFECTS)?).map_err(odd(EFFECTS))?,
            ..Self::default()
        })
    }

    /// The effects that are kept of a record.
    pub(super) fn effects_of(&self, place: &Place) -> Option<Effects> {
        let name = place.name();
        self.effects.iter().rev().find(|entry| entry.record == name)?.effects()
    }

    /// Whether the effects of another record of the batch can be kept. Those of the first one always can, or are left out.
    pub(super) fn has_room(&self) -> bool {
        self.added == 0 || self.state_bytes + self.added + SEEN_BYTES < MAX_ITEM_BYTES
    }

    /// Notes a record that changed the state, which has so many bytes now.
    pub(super) fn note(&mut self, place: &Place, state: Value, state_bytes: usize, effects: &Effects) {
        (self.state, self.state_bytes) = (state, state_bytes);
        self.seen.note(place);
        let entry = Entry::new(place.name(), effects);
        self.added += bytes(&entry);
        self.effects.push(entry);
        self.is_changed = true;
    }

    /// Forgets effects that nobody will ask for: those of earlier batches of the lanes that this batch is of, if a lane's records
    /// come in order, and the oldest of the others.
    pub(super) fn forget(&mut self, batch: &[Place], is_replay: bool) {
        let current: HashSet<String> = batch.iter().map(Place::name).collect();
        let over: HashSet<&str> =
            batch.iter().filter(|place| place.is_in_order() && !is_replay).map(|place| &*place.lane).collect();
        let mut others = 0;
        let mut kept: Vec<Entry> = Vec::with_capacity(self.effects.len());
        for entry in std::mem::take(&mut self.effects).into_iter().rev() {
            let lane = entry.record.rsplit_once(' ').map_or("", |(lane, _)| lane);
            if !current.contains(&entry.record) {
                others += bytes(&entry);
                if over.contains(lane) || others > MAX_OTHER_EFFECTS {
                    continue;
                }
            }
            kept.push(entry);
        }
        kept.reverse();
        self.effects = kept;
    }

    /// The item to write. Effects for which it has no room are left out: those of records that wait for nothing first.
    pub(super) fn item(&mut self, key: &str, revision: &str, expires_at: i64) -> Item {
        let (state, seen) = (self.state.to_string(), json(&self.seen));
        let room = MAX_ITEM_BYTES.saturating_sub(state.len() + seen.len() + key.len());
        let mut total: usize = self.effects.iter().map(bytes).sum();
        while total > room && !self.effects.is_empty() {
            total -= bytes(&self.effects.remove(0));
        }
        Item::from([
            (STATE_KEY, Attribute::S(key.to_owned())),
            (STATE, Attribute::S(state)),
            (SEEN, Attribute::S(seen)),
            (EFFECTS, Attribute::S(json(&self.effects))),
            (STATE_REVISION, Attribute::S(revision.to_owned())),
            (STATE_EXPIRY, Attribute::N(expires_at.to_string())),
        ])
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("texts, numbers and lists of them always serialize")
}

fn bytes(entry: &Entry) -> usize {
    json(entry).len() + 1
}
