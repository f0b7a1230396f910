//! DynamoDB Streams: what changed in tables, kept beside their engine.
//!
//! The engine's own streams look through every change ever made at each write and each read, and keep them for ever.

mod change;
mod change_streams;
mod iterator;
mod log;
mod shards;
mod size;

pub(super) use change::Change;
pub(super) use change_streams::ChangeStreams;
pub(super) use shards::RollOver;
