//! How long changes take: no time at all, or as the rehearsal says.

use std::time::Duration;

use streamkit_lambda::ports::Transition;

use crate::Strictness;
use crate::rehearsal::{Rehearsal, SeededRandom};

/// Until a role is known to the other services, where the rehearsal does not say how long it takes but AWS's consistency is asked for.
const STRICT_PROPAGATION: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2));

/// A change of state that takes AWS a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StateChange {
    /// A stream from CREATING to ACTIVE.
    StreamCreate,
    /// A stream from UPDATING to ACTIVE.
    StreamUpdate,
    /// A stream until it is gone.
    StreamDelete,
    /// A table from CREATING to ACTIVE.
    TableCreate,
    /// A table from UPDATING to ACTIVE.
    TableUpdate,
    /// A table until it is gone.
    TableDelete,
    /// A new replica of a table from CREATING to ACTIVE.
    ReplicaCreate,
    /// A replica until it is gone.
    ReplicaDelete,
    /// Until a write is in another region's replica.
    Replication,
    /// Until a new role, or a changed policy, is known to the other services.
    RolePropagation,
    /// One of a function or a mapping.
    Lambda(Transition),
    /// Until the name of a deleted queue can be used again.
    QueueName,
}

impl StateChange {
    pub(crate) const ALL: [Self; 17] = [
        Self::StreamCreate,
        Self::StreamUpdate,
        Self::StreamDelete,
        Self::TableCreate,
        Self::TableUpdate,
        Self::TableDelete,
        Self::ReplicaCreate,
        Self::ReplicaDelete,
        Self::Replication,
        Self::RolePropagation,
        Self::Lambda(Transition::FunctionCreate),
        Self::Lambda(Transition::FunctionUpdate),
        Self::Lambda(Transition::MappingCreate),
        Self::Lambda(Transition::MappingUpdate),
        Self::Lambda(Transition::MappingDelete),
        Self::Lambda(Transition::MappingPolling),
        Self::QueueName,
    ];

    /// As files name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::StreamCreate => "stream-create",
            Self::StreamUpdate => "stream-update",
            Self::StreamDelete => "stream-delete",
            Self::TableCreate => "table-create",
            Self::TableUpdate => "table-update",
            Self::TableDelete => "table-delete",
            Self::ReplicaCreate => "replica-create",
            Self::ReplicaDelete => "replica-delete",
            Self::Replication => "replication",
            Self::RolePropagation => "role-propagation",
            Self::Lambda(Transition::FunctionCreate) => "function-create",
            Self::Lambda(Transition::FunctionUpdate) => "function-update",
            Self::Lambda(Transition::MappingCreate) => "mapping-create",
            Self::Lambda(Transition::MappingUpdate) => "mapping-update",
            Self::Lambda(Transition::MappingDelete) => "mapping-delete",
            Self::Lambda(Transition::MappingPolling) => "mapping-polling",
            Self::QueueName => "queue-name",
        }
    }
}

/// The times of all changes. The same seed gives the same times, in whatever order they are asked for.
#[derive(Debug, Clone)]
pub(crate) struct SeededTimes {
    seed: u64,
    /// Shortest and longest time of each step; none when everything happens at once.
    ranges: Vec<(StateChange, Duration, Duration)>,
    /// Whether the rehearsal makes nothing take time.
    none: bool,
}

impl SeededTimes {
    pub(crate) fn new(rehearsal: &Rehearsal, strict: Strictness) -> Self {
        let ranges = StateChange::ALL.into_iter().map(|step| {
            let (least, most) = rehearsal.latency.change(step);
            (step, least, most)
        });
        let mut ranges: Vec<_> = ranges.filter(|(_, _, most)| !most.is_zero()).collect();
        let none = ranges.is_empty();
        if strict.consistency && !ranges.iter().any(|(step, ..)| *step == StateChange::RolePropagation) {
            let (least, most) = STRICT_PROPAGATION;
            ranges.push((StateChange::RolePropagation, least, most));
        }
        Self { seed: rehearsal.seed, ranges, none }
    }

    /// Whether all states pass at once.
    pub(crate) fn is_none(&self) -> bool {
        self.none
    }

    /// How long this step takes for the thing of this name.
    pub(crate) fn time(&self, step: StateChange, name: &str) -> Duration {
        let Some((_, least, most)) = self.ranges.iter().find(|range| range.0 == step) else { return Duration::ZERO };
        *least + most.saturating_sub(*least).mul_f64(SeededRandom::new(self.seed, &[step.name(), name], 0).0[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::Latency;

    #[test]
    fn times_lie_in_their_range_and_follow_from_the_seed() {
        let seeded = |seed| {
            SeededTimes::new(
                &Rehearsal { latency: Latency::aws(), seed, ..Rehearsal::default() },
                Strictness::default(),
            )
        };
        let (one, other) = (seeded(1), seeded(2));
        let range = Duration::from_secs(10)..=Duration::from_secs(30);
        let times = |seeded: &SeededTimes| -> Vec<Duration> {
            (0..20).map(|name| seeded.time(StateChange::StreamCreate, &name.to_string())).collect()
        };
        assert!(times(&one).iter().all(|time| range.contains(time)));
        assert_eq!(times(&one), times(&seeded(1)));
        assert_ne!(times(&one), times(&other));
        let none = SeededTimes::new(&Rehearsal::default(), Strictness::default());
        assert!(none.is_none() && none.time(StateChange::StreamCreate, "a").is_zero());
        assert!(none.time(StateChange::RolePropagation, "a").is_zero());
    }

    #[test]
    fn consistency_alone_delays_nothing_but_roles() {
        let strict = SeededTimes::new(&Rehearsal::default(), Strictness::ALL);
        assert!(strict.is_none() && strict.time(StateChange::StreamCreate, "a").is_zero());
        assert!(strict.time(StateChange::RolePropagation, "a") >= STRICT_PROPAGATION.0);
    }
}
