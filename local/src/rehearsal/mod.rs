//! Rehearsal: an embedded AWS that takes its time and fails now and then, as AWS does, repeatable from a seed.

mod fault_rates;
mod file;
mod latency;
mod operations;
mod options;
mod outcomes;
mod random;
mod transitions;

pub use fault_rates::Faults;
pub use latency::Latency;
pub use options::{Rehearsal, Shown};

pub(crate) use fault_rates::{Fault, failed, throttled};
pub(crate) use outcomes::Fates;
pub(crate) use random::Draw;
pub(crate) use transitions::{SeededTimes, StateChange};
