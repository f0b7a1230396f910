//! Invocations: synchronous and asynchronous ones, their retries, their reports and the destinations of their records.

pub(crate) mod admission;
pub(crate) mod asynchronous;
pub(crate) mod destination;
pub(crate) mod event_queue;
pub(crate) mod invoke;
pub(crate) mod report;
