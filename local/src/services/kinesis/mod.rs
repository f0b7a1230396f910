//! Kinesis Data Streams: `ferrokinesis`, without its delays and with room for shards.

mod rates;
mod requests;
mod service;
mod states;
mod tags;

pub(crate) use service::Kinesis;
