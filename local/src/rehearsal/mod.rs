//! Rehearsal: an embedded AWS that takes its time and fails now and then, as AWS does, repeatable from a seed.

mod consistency;
mod disturbances;
mod failed_entries;
mod fault_rates;
mod file;
mod latency;
mod operations;
mod options;
mod random;
mod transitions;

pub use fault_rates::FaultRates;
pub use latency::Latency;
pub use options::{Rehearsal, Shown};

pub(crate) use consistency::{Consistency, Event, Kind, Known, Mutated, Part, Thing};
pub(crate) use disturbances::Disturbances;
pub(crate) use failed_entries::FailedEntries;
pub(crate) use fault_rates::{Fault, failed, throttled};
pub(crate) use random::SeededRandom;
pub(crate) use transitions::{SeededTimes, StateChange};
