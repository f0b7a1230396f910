//! Amazon SQS, JSON and query. Ours, because no embeddable engine keeps all attributes, counts a message as visible again
//! after its timeout, or waits on a long poll; the dead letter queue of a pipeline needs all three.

mod attributes;
mod batch;
mod deduplication;
mod message_attributes;
mod messages;
mod move_tasks;
mod query;
mod queue;
mod ready;
mod service;

pub(crate) use deduplication::{Deduplication, deduplication_id};
pub(crate) use message_attributes::bytes;
pub(crate) use service::Sqs;
