//! `DynamoDB` and `DynamoDB` Streams: `dynoxide` on an in-memory database, and the few operations that it lacks.

mod service;
mod settings;
mod states;

pub(crate) use service::DynamoDb;
