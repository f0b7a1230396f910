//! The calls to AWS that carry out effects, as a trait, and their errors.

use std::future::Future;

use streamkit_recipes::{Attribute, Item, Notification, Object, OutgoingRecord};

use crate::dead_letter::DeadLetter;

/// The most items that one `BatchWriteItem` takes.
pub const MAX_ITEMS: usize = 25;
/// The most keys that one `BatchGetItem` takes.
pub const MAX_KEYS: usize = 100;
/// The most messages that one `SendMessageBatch` takes.
pub const MAX_DEAD_LETTERS: usize = 10;
/// The most bytes that one SQS message may have, and one `SendMessageBatch` in all.
pub const MAX_DEAD_LETTER_BYTES: usize = 1024 * 1024;

/// The most messages that one `PublishBatch` takes.
pub const MAX_NOTIFICATIONS: usize = 10;
/// The most bytes that one `PublishBatch` takes in all.
pub const MAX_NOTIFICATION_BYTES: usize = 256 * 1024;

/// The most records that one `PutRecords` takes.
pub const MAX_RECORDS: usize = 500;
/// Half of the bytes that one `PutRecords` takes in all: the limit before 2025, which emulators still have.
pub const MAX_RECORDS_BYTES: usize = 5 * 1024 * 1024;

/// The error of a call, or of one entry of a batch call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct SinkError {
    /// Whether the request's content is refused, so that the same request can never succeed.
    pub permanent: bool,
    /// AWS's error code, or `Timeout` and the like if there was no response.
    pub code: String,
    /// AWS's message.
    pub message: String,
}

/// The services that a function writes to. In the function this is [`Aws`](crate::aws::Aws).
pub trait Sink {
    /// Puts up to [`MAX_ITEMS`] items with distinct keys into the table; returns the places of the unprocessed ones.
    fn write(&self, items: &[&Item]) -> impl Future<Output = Result<Vec<usize>, SinkError>>;

    /// Reads up to [`MAX_KEYS`] items, as they are after all writes so far; returns those that there are, and the keys that
    /// were not looked for.
    fn read(&self, keys: &[Item]) -> impl Future<Output = Result<(Vec<Item>, Vec<Item>), SinkError>>;

    /// Reads up to [`MAX_KEYS`] states, as they are after all writes so far; returns the items that there are, and the keys that
    /// were not looked for.
    fn read_states(&self, keys: &[String]) -> impl Future<Output = Result<(Vec<Item>, Vec<String>), SinkError>>;

    /// Puts a state's item into the state's table, if the one there has the revision that is expected, or if there is none and
    /// none is expected; returns whether it did.
    fn write_state(&self, item: &Item, expected: Option<&str>) -> impl Future<Output = Result<bool, SinkError>>;

    /// Puts one object into the bucket, unless it is `only_new` and the bucket has one of that key; returns whether it has.
    fn put(&self, object: &Object, only_new: bool) -> impl Future<Output = Result<bool, SinkError>>;

    /// Puts up to [`MAX_RECORDS`] records into the stream; returns the places and errors of those that failed.
    fn put_records(
        &self,
        records: &[&OutgoingRecord],
    ) -> impl Future<Output = Result<Vec<(usize, SinkError)>, SinkError>>;

    /// Publishes up to [`MAX_NOTIFICATIONS`] messages to the topic; returns the places and errors of those that failed.
    fn publish(
        &self,
        notifications: &[&Notification],
    ) -> impl Future<Output = Result<Vec<(usize, SinkError)>, SinkError>>;

    /// Sends up to [`MAX_DEAD_LETTERS`] dead letters; returns the places and errors of those that failed.
    fn send(&self, dead_letters: &[&DeadLetter]) -> impl Future<Output = Result<Vec<(usize, SinkError)>, SinkError>>;
}

/// The table as a recipe needs it that stores what windows come to: see `batch/windows.rs`.
pub trait WindowTable {
    /// Reads all items of the table with this value of this partition key, as they are after all writes so far.
    fn query(&self, partition_key: &str, value: &Attribute) -> impl Future<Output = Result<Vec<Item>, SinkError>>;

    /// Puts one item into the table, unless there is one of its key with a higher number in the attribute `grows`; returns
    /// whether it did.
    fn put_grown(&self, item: &Item, grows: &str) -> impl Future<Output = Result<bool, SinkError>>;
}
