//! How far a mapping has come in each shard, and which shards may be read.

use std::collections::{HashMap, HashSet};

use super::source::{Position, Shard};
use super::window::Window;

/// One shard, or one of its parallel parts.
pub(crate) type WorkerId = (String, u32);

/// The progress of one mapping; it outlives pollers, which come and go with updates.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    /// Where the shards begin that were there when the mapping was made; `None` before the first look. Shards that appear
    /// later begin with their first record.
    initial: Option<HashMap<String, Position>>,
    /// Parallel parts of a shard that the positions are for.
    workers: u32,
    positions: HashMap<WorkerId, Position>,
    drained_workers: HashSet<WorkerId>,
    drained: HashSet<String>,
    windows: HashMap<WorkerId, Window>,
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

    /// Where a worker goes on.
    pub(crate) fn position(&self, worker: &WorkerId) -> Position {
        let initial = self.initial.as_ref().and_then(|initial| initial.get(&worker.0));
        self.positions.get(worker).or(initial).cloned().unwrap_or(Position::TrimHorizon)
    }

    /// Everything in this worker up to this record is settled.
    pub(crate) fn advance(&mut self, worker: &WorkerId, sequence: &str) {
        self.positions.insert(worker.clone(), Position::After(sequence.to_owned()));
    }

    /// The tumbling window that a worker is in.
    pub(crate) fn window(&self, worker: &WorkerId) -> Option<Window> {
        self.windows.get(worker).cloned()
    }

    /// Sets the tumbling window that a worker is in.
    pub(crate) fn set_window(&mut self, worker: &WorkerId, window: Option<Window>) {
        match window {
            Some(window) => self.windows.insert(worker.clone(), window),
            None => self.windows.remove(worker),
        };
    }

    /// This worker's shard is closed, and the worker has come to its end.
    pub(crate) fn finish(&mut self, worker: WorkerId) {
        let shard = worker.0.clone();
        self.drained_workers.insert(worker);
        if (0..self.workers).all(|worker| self.drained_workers.contains(&(shard.clone(), worker))) {
            self.drained.insert(shard);
        }
    }

    /// The workers that may be read now: a shard's turn comes when its parents are drained.
    pub(crate) fn readable(&mut self, shards: &[Shard]) -> Vec<WorkerId> {
        let listed: HashSet<&str> = shards.iter().map(|shard| shard.id.as_str()).collect();
        // Sequence numbers of shards that have left the stream are of no use any more.
        self.drained.retain(|shard| listed.contains(shard.as_str()));
        self.positions.retain(|(shard, _), _| listed.contains(shard.as_str()));
        self.drained_workers.retain(|(shard, _)| listed.contains(shard.as_str()));
        shards
            .iter()
            .filter(|shard| !self.drained.contains(&shard.id))
            .filter(|shard| {
                shard.parents.iter().all(|parent| self.drained.contains(parent) || !listed.contains(parent.as_str()))
            })
            .flat_map(|shard| (0..self.workers).map(|worker| (shard.id.clone(), worker)))
            .filter(|worker| !self.drained_workers.contains(worker))
            .collect()
    }

    /// Splits shards into so many workers. When that changes, all workers of a shard go on where the slowest was: some records
    /// come twice, none is left out.
    pub(crate) fn split(&mut self, workers: u32) {
        if workers == self.workers {
            return;
        }
        let shards: HashSet<String> = self.positions.keys().map(|(shard, _)| shard.clone()).collect();
        let mut positions = HashMap::new();
        for shard in shards {
            let slowest = (0..self.workers)
                .map(|worker| (shard.clone(), worker))
                .filter(|worker| !self.drained_workers.contains(worker))
                .map(|worker| self.positions.get(&worker))
                .min_by(|a, b| rank(*a).cmp(&rank(*b)))
                .flatten()
                .cloned();
            if let Some(slowest) = slowest {
                positions.extend((0..workers).map(|worker| ((shard.clone(), worker), slowest.clone())));
            }
        }
        self.positions = positions;
        self.drained_workers.clear();
        self.workers = workers;
    }
}

/// Order of positions: a worker that has not settled anything comes before all; numbers compare by length, then digits.
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

    fn worker(shard: &str, worker: u32) -> WorkerId {
        (shard.into(), worker)
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
        assert_eq!(checkpoints.readable(&shards), [worker("a", 0), worker("b", 0), worker("d", 0)]);
        checkpoints.finish(worker("a", 0));
        assert_eq!(checkpoints.readable(&shards), [worker("b", 0), worker("d", 0)]);
        checkpoints.finish(worker("b", 0));
        assert_eq!(checkpoints.readable(&shards), [worker("c", 0), worker("d", 0)]);
    }

    #[test]
    fn shards_that_appear_later_begin_with_their_first_record() {
        let mut checkpoints = Checkpoints::default();
        checkpoints.split(1);
        let first = [shard("old", &[], true), shard("a", &[], false)];
        let end = Position::End { iterator: "token".into(), made_ms: 1 };
        checkpoints.begin(&first, HashMap::from([("a".into(), end.clone())]));
        assert_eq!(checkpoints.readable(&first), [worker("a", 0)]);
        assert_eq!(checkpoints.position(&worker("a", 0)), end);
        assert_eq!(checkpoints.position(&worker("later", 0)), Position::TrimHorizon);
    }

    #[test]
    fn changed_parallelism_goes_on_with_the_slowest_worker() {
        let mut checkpoints = Checkpoints::default();
        checkpoints.begin(&[], HashMap::new());
        checkpoints.split(2);
        checkpoints.advance(&worker("a", 0), "1000");
        checkpoints.advance(&worker("a", 1), "999");
        checkpoints.advance(&worker("b", 0), "5");
        checkpoints.split(3);
        for index in 0..3 {
            assert_eq!(checkpoints.position(&worker("a", index)), Position::After("999".into()));
            assert_eq!(checkpoints.position(&worker("b", index)), Position::TrimHorizon);
        }
    }
}
