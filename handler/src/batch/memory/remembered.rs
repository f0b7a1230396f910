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
const MAX_OTHER_EFFECTS: usize = 16 * 1024;

/// Whether a record's effects can be kept.
pub(super) enum Room {
    Enough,
    /// Once those before it in the batch are no longer needed.
    Later,
    /// They alone are too many.
    Never {
        bytes: usize,
        room: usize,
    },
}

/// A state, and what has to be known beside it.
#[derive(Clone, Debug, Default)]
pub(super) struct Remembered {
    /// What the write has to find in the table; `None` where nothing is.
    pub(super) revision: Option<String>,
    pub(super) state: Value,
    pub(super) seen: Seen,
    effects: Vec<Entry>,
    /// Bytes of the effects of the batch's own records.
    own_bytes: usize,
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

    /// Says which records the batch has: what is kept of their effects stays.
    pub(super) fn begin(&mut self, batch: &[Place]) {
        let current: HashSet<String> = batch.iter().map(Place::name).collect();
        let own = self.effects.iter().filter(|entry| current.contains(&entry.record));
        self.own_bytes = own.map(bytes).sum();
    }

    /// Whether effects can be kept beside a state of so many bytes.
    pub(super) fn room_for(&self, entry: &Entry, state_bytes: usize) -> Room {
        let room = MAX_ITEM_BYTES.saturating_sub(state_bytes + SEEN_BYTES + MAX_OTHER_EFFECTS);
        if self.own_bytes + bytes(entry) <= room {
            Room::Enough
        } else if self.own_bytes > 0 {
            Room::Later
        } else {
            Room::Never { bytes: bytes(entry), room }
        }
    }

    /// Notes a record that changed the state, with what followed from it.
    pub(super) fn note(&mut self, place: &Place, state: Value, entry: Entry) {
        self.state = state;
        self.seen.note(place);
        self.own_bytes += bytes(&entry);
        self.effects.push(entry);
        self.is_changed = true;
    }

    /// Forgets effects that nobody will ask for: those of earlier batches of the lanes that this batch is of, if a lane's records
    /// come in order, and of the others the oldest, for which there is no room.
    pub(super) fn forget(&mut self, batch: &[Place], is_replay: bool) {
        let current: HashSet<String> = batch.iter().map(Place::name).collect();
        let over: HashSet<&str> =
            batch.iter().filter(|place| place.is_in_order() && !is_replay).map(|place| &*place.lane).collect();
        for lane in &over {
            let known = |place: &Place| self.effects.iter().any(|entry| entry.record == place.name());
            if batch.iter().filter(|place| place.lane == **lane).all(known) {
                self.seen.set_unsure(lane, false);
            }
        }
        let mut others = 0;
        let mut kept: Vec<Entry> = Vec::with_capacity(self.effects.len());
        for entry in std::mem::take(&mut self.effects).into_iter().rev() {
            let lane = entry.record.rsplit_once(' ').map_or("", |(lane, _)| lane);
            if !current.contains(&entry.record) {
                if over.contains(lane) {
                    continue;
                }
                others += bytes(&entry);
                if others > MAX_OTHER_EFFECTS {
                    self.seen.set_unsure(lane, true);
                    continue;
                }
            }
            kept.push(entry);
        }
        kept.reverse();
        self.effects = kept;
    }

    /// The item to write.
    pub(super) fn item(&self, key: &str, revision: &str, expires_at: i64) -> Item {
        Item::from([
            (STATE_KEY, Attribute::S(key.to_owned())),
            (STATE, Attribute::S(self.state.to_string())),
            (SEEN, Attribute::S(json(&self.seen))),
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
