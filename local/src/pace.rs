//! How long changes take: no time at all, or about as long as in AWS.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

/// A change of state that takes AWS a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(dead_code, reason = "the engines that take their time follow")]
pub(crate) enum Step {
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
    /// Until a new role, or a changed policy, is known to the other services.
    RolePropagation,
    /// A function from Pending to Active.
    FunctionCreate,
    /// A function's last update from InProgress to Successful.
    FunctionUpdate,
    /// A mapping from Creating to Enabled or Disabled.
    MappingCreate,
    /// A mapping from Updating, Enabling or Disabling to Enabled or Disabled.
    MappingUpdate,
    /// A mapping until it is gone.
    MappingDelete,
}

/// The times of all changes. The same seed gives the same times, in whatever order they are asked for.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    seed: u64,
    /// Shortest and longest time of each step, in milliseconds.
    ranges: Vec<(Step, u64, u64)>,
}

impl Pace {
    /// Everything happens at once.
    pub(crate) fn none() -> Self {
        Self { seed: 0, ranges: Vec::new() }
    }

    /// How long this step takes for the thing of this name.
    pub(crate) fn time(&self, step: Step, name: &str) -> Duration {
        let Some((_, least, most)) = self.ranges.iter().find(|range| range.0 == step) else { return Duration::ZERO };
        let mut hasher = DefaultHasher::new();
        (self.seed, step, name).hash(&mut hasher);
        Duration::from_millis(least + hasher.finish() % (most - least + 1))
    }
}
