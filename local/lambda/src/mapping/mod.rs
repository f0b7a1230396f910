//! Event source mappings: their settings, their states, and the pollers that carry records to functions.

mod batch;
mod checkpoints;
mod dynamodb;
mod filters;
mod kind;
mod kinesis;
mod kinesis_event;
mod on_failure;
mod partial;
mod poller;
mod reading;
pub(crate) mod settings;
mod shard_worker;
mod source;
mod sqs;
pub(crate) mod state;
mod window;

pub use filters::RecordFilters;
pub(crate) use state::Mapping;
