//! What a poller needs from a stream: its shards, and the records of a shard from a position on.

use std::future::Future;

use streamkit_wire::CallError;

/// One shard of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shard {
    pub(crate) id: String,
    /// The shards that it was split or merged from.
    pub(crate) parents: Vec<String>,
    /// Whether nothing can be written to it any more.
    pub(crate) closed: bool,
}

/// Where reading a shard begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Position {
    /// With the oldest record.
    TrimHorizon,
    /// With the first record after this one.
    After(String),
    /// With the first record that arrived at this time or later, in milliseconds.
    AtTimestamp(i64),
    /// Where the stream ended when this iterator was made, at this time in milliseconds.
    End { iterator: String, made_ms: i64 },
}

/// One record, already in the form in which the function gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) sequence: String,
    pub(crate) arrival_ms: i64,
    /// Records with the same key hash stay in order among each other.
    pub(crate) key_hash: u64,
    /// The JSON object that goes into `Records`; empty if the record is filtered out.
    pub(crate) json: String,
    /// Whether the mapping's filters keep it from the function.
    pub(crate) filtered: bool,
}

/// What one read gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) records: Vec<Record>,
    /// How many were taken out of `records` since filters keep them from the function.
    pub(crate) filtered_out: usize,
    /// The last record that was read, whether or not it is among `records`.
    pub(crate) through: Option<String>,
    /// Whether the shard is closed and all of it has been read.
    pub(crate) finished: bool,
}

/// A stream.
pub(crate) trait Source: Send + Sync + 'static {
    /// A reader of one shard.
    type Reader: Reader;

    /// All shards that still have records, closed ones included.
    fn shards(&self) -> impl Future<Output = Result<Vec<Shard>, CallError>> + Send;

    /// The present end of a shard.
    fn end(&self, shard: &str) -> impl Future<Output = Result<Position, CallError>> + Send;

    /// How long the stream keeps its records, in milliseconds.
    fn retention_ms(&self) -> impl Future<Output = Result<i64, CallError>> + Send;

    /// Begins to read a shard.
    fn reader(&self, shard: &str, from: Position) -> Self::Reader;
}

/// Reads one shard.
pub(crate) trait Reader: Send + 'static {
    /// The next records, at most so many; none when there are none yet.
    fn read(&mut self, limit: usize) -> impl Future<Output = Result<Page, CallError>> + Send;
}

/// The error for an answer of the stream that lacks a member.
pub(super) fn missing(member: &str) -> CallError {
    CallError::new(500, "InternalFailure", format!("the stream answered without {member}"))
}
