//! What is to be played, in the order of the stream: one lane for each shard, which waits for the shards that came before it.

use std::collections::{BTreeMap, HashSet};

use super::spool;
use crate::dead_letters::{Kind, Message, Receipt};
use crate::records::{Content, Source, order};

/// A message that is to be played.
#[derive(Debug)]
pub(super) struct Unit {
    /// The place of its queue or bucket.
    pub(super) place: usize,
    pub(super) receipt: Receipt,
    pub(super) body: spool::Place,
    /// A batch that a mapping gave up, not a letter.
    pub(super) is_batch: bool,
    /// A letter of one of several records that the Kinesis Producer Library put into one of the stream's.
    is_part: bool,
    first: String,
    last: String,
    pub(super) failed_ms: i64,
}

/// Whose lane it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaneKey {
    /// The place of the function among the flows.
    pub(super) flow: usize,
    pub(super) source_arn: String,
    /// Empty for a table's stream: its letters do not name their shard.
    shard: String,
}

impl LaneKey {
    /// `None` for what can't be played.
    pub(super) fn of(message: &Message, flow: usize) -> Option<Self> {
        let (source_arn, shard) = match &message.kind {
            Kind::Letter(letter) => (&letter.record.source_arn, &letter.record.shard_id),
            Kind::OnFailure(batch) => (&batch.source_arn, &batch.shard_id),
            Kind::Other => return None,
        };
        let shard = if Source::new(source_arn).is_table() { String::new() } else { shard.clone() };
        Some(Self { flow, source_arn: source_arn.clone(), shard })
    }
}

/// The messages of one shard, in its order.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) key: LaneKey,
    pub(super) units: Vec<Unit>,
    /// The places of the lanes that must be through before.
    pub(super) after: Vec<usize>,
}

impl Lane {
    /// The sequence numbers of records that have letters of their own.
    pub(super) fn lettered(&self) -> HashSet<&str> {
        let letters = self.units.iter().filter(|unit| !unit.is_batch && !unit.is_part);
        letters.map(|unit| unit.first.as_str()).collect()
    }
}

impl Unit {
    /// `None` for what can't be played.
    pub(super) fn of(message: &Message, place: usize, body: spool::Place, failed_ms: i64) -> Option<Self> {
        let (first, last, is_batch, is_part) = match &message.kind {
            Kind::Letter(letter) => {
                let number = &letter.record.sequence_number;
                let sub = matches!(letter.record.content, Content::Stream { sub_sequence_number: Some(_), .. });
                (number.clone(), number.clone(), false, sub)
            }
            Kind::OnFailure(batch) => (batch.first.clone(), batch.last.clone(), true, false),
            Kind::Other => return None,
        };
        Some(Self { place, receipt: message.receipt.clone(), body, is_batch, is_part, first, last, failed_ms })
    }

    /// Whether both have the same record, or batch.
    pub(super) fn is_same_place(&self, other: &Self) -> bool {
        (&self.first, &self.last) == (&other.first, &other.last)
    }
}

/// Sorts messages into lanes. Sequence numbers grow with time across the shards of a stream: a shard whose last number is
/// below another's first may be its parent, and goes before it.
pub(super) fn lanes(units: Vec<(LaneKey, Unit)>) -> Vec<Lane> {
    let mut by_key: BTreeMap<LaneKey, Vec<Unit>> = BTreeMap::new();
    for (key, unit) in units {
        by_key.entry(key).or_default().push(unit);
    }
    let mut lanes: Vec<Lane> = Vec::new();
    for (key, mut units) in by_key {
        units.sort_by(|a, b| (order(&a.first), a.is_batch).cmp(&(order(&b.first), b.is_batch)));
        lanes.push(Lane { key, units, after: Vec::new() });
    }
    let ends = |lane: &Lane| {
        let last = lane.units.iter().map(|unit| unit.last.as_str()).max_by_key(|number| order(number));
        (lane.units.first().map_or(String::new(), |unit| unit.first.clone()), last.unwrap_or_default().to_owned())
    };
    let ends: Vec<(String, String)> = lanes.iter().map(ends).collect();
    let keys: Vec<LaneKey> = lanes.iter().map(|lane| lane.key.clone()).collect();
    for (at, lane) in lanes.iter_mut().enumerate() {
        let is_before = |other: &usize| {
            *other != at
                && (keys[*other].flow, &keys[*other].source_arn) == (lane.key.flow, &lane.key.source_arn)
                && order(&ends[*other].1) < order(&ends[at].0)
        };
        lane.after = (0..keys.len()).filter(is_before).collect();
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letters::{Kind, Message, Store};

    fn message(shard: &str, number: &str) -> Message {
        let body = serde_json::json!({"pipeline": "p", "function": "p-f", "eventId": "e", "sequenceNumber": number, "shardId": shard,
            "streamArn": "arn:aws:kinesis:r:1:stream/s", "error": {"code": "c", "message": "m"}, "payload": "{}"});
        let body = body.to_string();
        Message {
            id: number.to_owned(),
            receipt: Store::receipt_of_test(number),
            kind: Kind::of(&body),
            body,
            sent_ms: 0,
            receives: 1,
        }
    }

    #[test]
    fn children_wait_for_their_parents_and_strangers_do_not() {
        let mut spool = spool::Spool::new().unwrap();
        let mut units = Vec::new();
        for (shard, number) in [("c", "300"), ("a", "20"), ("b", "100"), ("a", "9"), ("b", "40")] {
            let message = message(shard, number);
            let body = spool.put(&message.body).unwrap();
            units.push((LaneKey::of(&message, 0).unwrap(), Unit::of(&message, 0, body, 0).unwrap()));
        }
        let lanes = lanes(units);
        let shown: Vec<_> = lanes
            .iter()
            .map(|lane| {
                let numbers: Vec<_> = lane.units.iter().map(|unit| unit.first.as_str()).collect();
                (lane.key.shard.as_str(), numbers, lane.after.clone())
            })
            .collect();
        let expected =
            [("a", vec!["9", "20"], vec![]), ("b", vec!["40", "100"], vec![0]), ("c", vec!["300"], vec![0, 1])];
        assert_eq!(shown, expected);
    }
}
