//! What a poller needs from a stream: its shards, and the records of a shard from a position on.

use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher as _};

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

/// A parallel part of a shard: records with the same key are in the same one, and stay in order among each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) index: u32,
    pub(crate) of: u32,
}

impl Part {
    /// Whether a record with this key is of this part.
    pub(crate) fn has(self, key: impl Hash) -> bool {
        if self.of == 1 {
            return true;
        }
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        hasher.finish() % u64::from(self.of) == u64::from(self.index)
    }
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

    /// Begins to read a shard, or one parallel part of it.
    fn reader(&self, shard: &str, part: Part, from: Position) -> Self::Reader;
}

/// Reads one shard, or one parallel part of it.
pub(crate) trait Reader: Send + 'static {
    /// Those of the next records, at most so many, that are of its part; none when there are none yet.
    fn read(&mut self, limit: usize) -> impl Future<Output = Result<Page, CallError>> + Send;
}

/// The error for an answer of the stream that lacks a member.
pub(super) fn missing(member: &str) -> CallError {
    CallError::new(500, "InternalFailure", format!("the stream answered without {member}"))
}
