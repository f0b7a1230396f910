//! `DynamoDB` and `DynamoDB` Streams: `dynoxide` on an in-memory database, and the few operations that it lacks.

mod description;
mod engine;
mod expressions;
mod global;
mod rates;
mod service;
mod settings;
mod specification;
mod states;
mod streams;
mod time_to_live;

pub(crate) use global::{OtherRegions, Replication};
pub(crate) use service::DynamoDb;
