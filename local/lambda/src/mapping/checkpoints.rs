//! How far a mapping has come in each shard, and which shards may be read.

use std::collections::{HashMap, HashSet};

use super::source::{Position, Shard};
use super::window::Window;

/// One shard, or one of its parallel parts.
pub(crate) type LaneId = (String, u32);

/// The progress of one mapping; it outlives pollers, which come and go with updates.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    /// Where the shards begin that were there when the mapping was made; `None` before the first look. Shards that appear
    /// later begin with their first record.
    initial: Option<HashMap<String, Position>>,
    /// Parallel parts of a shard that the positions are for.
    lanes: u32,
    positions: HashMap<LaneId, Position>,
    drained_lanes: HashSet<LaneId>,
    drained: HashSet<String>,
    windows: HashMap<LaneId, Window>,
}

impl Checkpoints {
    /// Whether the first look has been taken.
    pub(crate) fn began(&self) -> bool {
        self.initial.is_some()
    }

    /// Sets where the shards of the first look begin; those that have no place are over already.
    pub(crate) fn begin(&mut self, shards: &[Shard], initial: HashMap<String, Position>) {
        self.drained
            .extend(shards.iter().filter(|shard| !initial.contains_key(&shard.id)).map(|shard| shard.id.clone()));
        self.initial = Some(initial);
    }

    /// Where a lane goes on.
    pub(crate) fn position(&self, lane: &LaneId) -> Position {
        let initial = self.initial.as_ref().and_then(|initial| initial.get(&lane.0));
        self.positions.get(lane).or(initial).cloned().unwrap_or(Position::TrimHorizon)
    }

    /// Everything in this lane up to this record is settled.
    pub(crate) fn advance(&mut self, lane: &LaneId, sequence: &str) {
        self.positions.insert(lane.clone(), Position::After(sequence.to_owned()));
    }

    /// The tumbling window that a lane is in.
    pub(crate) fn window(&self, lane: &LaneId) -> Option<Window> {
        self.windows.get(lane).cloned()
    }

    /// Sets the tumbling window that a lane is in.
    pub(crate) fn set_window(&mut self, lane: &LaneId, window: Option<Window>) {
        match window {
            Some(window) => self.windows.insert(lane.clone(), window),
            None => self.windows.remove(lane),
        };
    }

    /// This lane's shard is closed, and the lane has come to its end.
    pub(crate) fn finish(&mut self, lane: LaneId) {
        let shard = lane.0.clone();
        self.drained_lanes.insert(lane);
        if (0..self.lanes).all(|lane| self.drained_lanes.contains(&(shard.clone(), lane))) {
            self.drained.insert(shard);
        }
    }

    /// The lanes that may be read now: a shard's turn comes when its parents are drained.
    pub(crate) fn readable(&mut self, shards: &[Shard]) -> Vec<LaneId> {
        let listed: HashSet<&str> = shards.iter().map(|shard| shard.id.as_str()).collect();
        // Sequence numbers of shards that have left the stream are of no use any more.
        self.drained.retain(|shard| listed.contains(shard.as_str()));
        self.positions.retain(|(shard, _), _| listed.contains(shard.as_str()));
        self.drained_lanes.retain(|(shard, _)| listed.contains(shard.as_str()));
        shards
            .iter()
            .filter(|shard| !self.drained.contains(&shard.id))
            .filter(|shard| {
                shard.parents.iter().all(|parent| self.drained.contains(parent) || !listed.contains(parent.as_str()))
            })
            .flat_map(|shard| (0..self.lanes).map(|lane| (shard.id.clone(), lane)))
            .filter(|lane| !self.drained_lanes.contains(lane))
            .collect()
    }

    /// Splits shards into so many lanes. When that changes, all lanes of a shard go on where the slowest was: some records
    /// come twice, none is left out.
    pub(crate) fn split(&mut self, lanes: u32) {
        if lanes == self.lanes {
            return;
        }
        let shards: HashSet<String> = self.positions.keys().map(|(shard, _)| shard.clone()).collect();
        let mut positions = HashMap::new();
        for shard in shards {
            let slowest = (0..self.lanes)
                .map(|lane| (shard.clone(), lane))
                .filter(|lane| !self.drained_lanes.contains(lane))
                .map(|lane| self.positions.get(&lane))
                .min_by(|a, b| rank(*a).cmp(&rank(*b)))
                .flatten()
                .cloned();
            if let Some(slowest) = slowest {
                positions.extend((0..lanes).map(|lane| ((shard.clone(), lane), slowest.clone())));
            }
        }
        self.positions = positions;
        self.drained_lanes.clear();
        self.lanes = lanes;
    }
}

/// Order of positions: a lane that has not settled anything comes before all; numbers compare by length, then digits.
fn rank(position: Option<&Position>) -> (usize, &str) {
    match position {
        Some(Position::After(sequence)) => (sequence.len(), sequence),
        _ => (0, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, parents: &[&str], closed: bool) -> Shard {
        Shard { id: id.into(), parents: parents.iter().map(|&parent| parent.into()).collect(), closed }
    }

    fn lane(shard: &str, lane: u32) -> LaneId {
        (shard.into(), lane)
    }

    #[test]
    fn children_wait_for_their_parents() {
        let shards = [
            shard("a", &[], true),
            shard("b", &[], true),
            shard("c", &["a", "b"], false),
            shard("d", &["gone"], false),
        ];
        let mut checkpoints = Checkpoints::default();
        checkpoints.split(1);
        let start = shards.iter().map(|shard| (shard.id.clone(), Position::TrimHorizon)).collect();
        checkpoints.begin(&shards, start);
        assert_eq!(checkpoints.readable(&shards), [lane("a", 0), lane("b", 0), lane("d", 0)]);
        checkpoints.finish(lane("a", 0));
        assert_eq!(checkpoints.readable(&shards), [lane("b", 0), lane("d", 0)]);
        checkpoints.finish(lane("b", 0));
        assert_eq!(checkpoints.readable(&shards), [lane("c", 0), lane("d", 0)]);
    }

    #[test]
    fn shards_that_appear_later_begin_with_their_first_record() {
        let mut checkpoints = Checkpoints::default();
        checkpoints.split(1);
        let first = [shard("old", &[], true), shard("a", &[], false)];
        let end = Position::End { iterator: "token".into(), made_ms: 1 };
        checkpoints.begin(&first, HashMap::from([("a".into(), end.clone())]));
        assert_eq!(checkpoints.readable(&first), [lane("a", 0)]);
        assert_eq!(checkpoints.position(&lane("a", 0)), end);
        assert_eq!(checkpoints.position(&lane("later", 0)), Position::TrimHorizon);
    }

    #[test]
    fn changed_parallelism_goes_on_with_the_slowest_lane() {
        let mut checkpoints = Checkpoints::default();
        checkpoints.begin(&[], HashMap::new());
        checkpoints.split(2);
        checkpoints.advance(&lane("a", 0), "1000");
        checkpoints.advance(&lane("a", 1), "999");
        checkpoints.advance(&lane("b", 0), "5");
        checkpoints.split(3);
        for index in 0..3 {
            assert_eq!(checkpoints.position(&lane("a", index)), Position::After("999".into()));
            assert_eq!(checkpoints.position(&lane("b", index)), Position::TrimHorizon);
        }
    }
}
