//! Kinesis Data Streams: `ferrokinesis`, without its delays and with room for shards.

mod service;
mod states;
mod tags;

pub(crate) use service::Kinesis;
