//! Kinesis Data Streams: `ferrokinesis` has the streams, their shards and consumers, and numbers the records; the records, what a
//! shard takes in a second, subscriptions and the two protocols are ours.

mod layout;
mod lineage;
mod rates;
mod records;
mod requests;
mod service;
mod states;
mod subscription;
mod tags;
mod validation;

pub(crate) use service::Kinesis;
