//! Which records have changed a state: for each shard a place up to which all count as seen, and the records seen behind it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::record::{Content, IncomingRecord};

/// The most lanes that a state remembers; beyond, the one that has been silent for longest is forgotten.
const MAX_LANES: usize = 200;
/// How many records of a lane are remembered one by one, at least; at most twice as many. In order, they are needed only for what
/// is played again.
const RECORDS_IN_ORDER: usize = 64;
/// The same for a lane out of order: so many records of a key may overtake one that is delivered again.
const RECORDS_OUT_OF_ORDER: usize = 512;
/// How many records are remembered that were rejected first, and played later.
const MAX_REJECTED: usize = 256;
/// Characters of a record's mark, the space behind it included.
const MARK: usize = 12;

/// Where a record stands, as a state remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Records of one lane have places that compare.
    pub(super) lane: String,
    /// Its place in the lane: digits, and behind a colon its place in an aggregated record.
    number: String,
    /// 64 bits that tell the event from others.
    mark: String,
    /// When the stream took it, in milliseconds since the epoch.
    at_ms: i64,
    /// Whether the lane's records are delivered in order.
    in_order: bool,
}

impl Place {
    /// The place of a record whose state has this key. `parallel`: Lambda reads a shard with several invocations at once.
    pub(super) fn of(record: &IncomingRecord, key: &str, parallel: bool) -> Self {
        let stream = record.source_arn.rsplit_once(":stream/").or_else(|| record.source_arn.rsplit_once(":table/"));
        let stream = stream.map_or("", |(_, name)| name.split('/').next().unwrap_or_default());
        match &record.content {
            Content::Stream { shard_id, partition_key, arrival_ms, .. } => {
                let shard = shard_id.strip_prefix("shardId-").unwrap_or(shard_id);
                // Records with one partition key are in order, however many invocations read the shard.
                let own = partition_key.as_deref() == Some(key);
                let lane = if own { format!("{stream}/{shard}") } else { format!("{stream}/{shard}/others") };
                let sub = record.sub_sequence_number;
                let number = sub
                    .map_or_else(|| record.sequence_number.clone(), |sub| format!("{}:{sub}", record.sequence_number));
                Self { lane, mark: mark(&record.event_id), number, at_ms: *arrival_ms, in_order: own || !parallel }
            }
            // The event does not say the shard, and sequence numbers of different shards do not compare.
            Content::Change { change, .. } => {
                let at_ms = change.as_ref().map_or(0, |change| change.created_ms());
                let (lane, number) = (stream.to_owned(), at_ms.max(0).to_string());
                Self { lane, mark: mark(&record.event_id), number, at_ms, in_order: false }
            }
        }
    }

    /// The record's name in the journal.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.lane, self.mark)
    }
}

/// 64 bits of a hash: two of a few thousand records of one key are the same once in 10^12 states.
fn mark(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(text)[..8])
}

/// Whether a record has changed the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It has not.
    New,
    /// It has.
    Seen,
    /// It comes before all that is remembered one by one, in a lane that has gone on.
    Before,
    /// Nobody can tell: its lane is forgotten, or was.
    Forgotten,
}

/// What a state remembers of the records that have changed it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Seen {
    lanes: BTreeMap<String, Lane>,
    /// The latest arrival of any record of a lane that is forgotten.
    #[serde(default, skip_serializing_if = "is_zero")]
    forgotten_ms: i64,
    /// The marks of records that were rejected first, and played later.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    rejected: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lane {
    /// The highest place, and the latest arrival.
    last: String,
    last_ms: i64,
    /// No record up to here is remembered by itself any more; empty if all are.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    before: String,
    /// The lane was perhaps forgotten: what arrived up to here, in milliseconds since the epoch, is not remembered either.
    #[serde(default, skip_serializing_if = "is_zero")]
    before_ms: i64,
    /// Effects of records were forgotten that Lambda had perhaps not gone on behind.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unsure: bool,
    #[serde(default, skip_serializing_if = "Marks::is_empty")]
    earlier: Marks,
    latest: Marks,
}

/// Records, each by its mark and a space.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Marks {
    /// The highest place among them.
    to: String,
    marks: String,
}

impl Marks {
    fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn contains(marks: &str, mark: &str) -> bool {
    marks.split(' ').any(|other| other == mark)
}

/// What places compare by. Numbers are decimal: of two, the longer is the greater.
fn rank(number: &str) -> (usize, &str, u64) {
    let (number, sub) = number.split_once(':').unwrap_or((number, ""));
    (number.len(), number, sub.parse().map_or(0, |sub: u64| sub.saturating_add(1)))
}

fn raise(highest: &mut String, number: &str) {
    if rank(number) > rank(highest) {
        number.clone_into(highest);
    }
}

impl Seen {
    /// Whether the record has changed the state.
    pub(super) fn look(&self, place: &Place) -> Look {
        let Some(lane) = self.lanes.get(&place.lane) else {
            return if place.at_ms <= self.forgotten_ms { Look::Forgotten } else { Look::New };
        };
        if contains(&lane.latest.marks, &place.mark) || contains(&lane.earlier.marks, &place.mark) {
            Look::Seen
        } else if rank(&place.number) <= rank(&lane.before) {
            Look::Before
        } else if place.at_ms <= lane.before_ms {
            Look::Forgotten
        } else {
            Look::New
        }
    }

    /// Whether effects of the lane's records were forgotten that may still be asked for.
    pub(super) fn is_unsure(&self, lane: &str) -> bool {
        self.lanes.get(lane).is_some_and(|lane| lane.unsure)
    }

    /// Notes whether they were.
    pub(super) fn set_unsure(&mut self, lane: &str, unsure: bool) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.unsure = unsure;
        }
    }

    /// Whether a record has been played that the recipe had rejected before.
    pub(super) fn has_rejected(&self, place: &Place) -> bool {
        contains(&self.rejected, &place.mark)
    }

    /// Notes such a record.
    pub(super) fn note_rejected(&mut self, place: &Place) {
        self.rejected.push_str(&place.mark);
        self.rejected.push(' ');
        let over = (self.rejected.len() / MARK).saturating_sub(MAX_REJECTED);
        self.rejected.drain(..over * MARK);
    }

    /// Notes a record that changes the state.
    pub(super) fn note(&mut self, place: &Place) {
        let forgotten_ms = self.forgotten_ms;
        let new = || Lane { before_ms: forgotten_ms, ..Lane::default() };
        let lane = self.lanes.entry(place.lane.clone()).or_insert_with(new);
        raise(&mut lane.last, &place.number);
        lane.last_ms = lane.last_ms.max(place.at_ms);
        raise(&mut lane.latest.to, &place.number);
        lane.latest.marks.push_str(&place.mark);
        lane.latest.marks.push(' ');
        let most = if place.in_order { RECORDS_IN_ORDER } else { RECORDS_OUT_OF_ORDER };
        if lane.latest.marks.len() >= most * MARK {
            raise(&mut lane.before, &lane.earlier.to);
            lane.earlier = std::mem::take(&mut lane.latest);
        }
        while self.lanes.len() > MAX_LANES {
            let others = self.lanes.iter().filter(|(name, _)| **name != place.lane);
            let Some(oldest) = others.min_by_key(|(_, lane)| lane.last_ms).map(|(name, _)| name.clone()) else {
                return;
            };
            if let Some(lane) = self.lanes.remove(&oldest) {
                self.forgotten_ms = self.forgotten_ms.max(lane.last_ms);
            }
        }
    }
}

impl Place {
    /// Whether records of its lane are delivered in order, so that one that comes before all that is remembered has been seen.
    pub(super) fn is_in_order(&self) -> bool {
        self.in_order
    }
}
