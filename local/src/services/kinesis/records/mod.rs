//! The records of all streams: kept here and not by the engine, which knows neither the sizes nor the pages of AWS, and no time
//! finer than a second.

mod get;
mod log;
mod number;
mod put;
mod throughput;

pub(crate) use get::Read;
pub(super) use get::{MAX_PAGE_BYTES, after, kept_since};
pub(super) use log::{PageLimit, Record, Records};
pub(super) use number::Number;
pub(super) use throughput::{ConsumerThroughput, Throughput};
