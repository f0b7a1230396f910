//! Where effects go: the calls that a batch makes, and how they can fail.

use std::future::Future;

use streamkit_recipes::{Item, Notification, Object};

use crate::dead_letter::Letter;

/// The most items that one `BatchWriteItem` takes.
pub const MAX_ITEMS: usize = 25;
/// The most messages that one `SendMessageBatch` takes.
pub const MAX_LETTERS: usize = 10;
/// The most bytes that one SQS message may have, and one `SendMessageBatch` in all.
pub const MAX_LETTER_BYTES: usize = 1024 * 1024;

/// The most messages that one `PublishBatch` takes.
pub const MAX_NOTIFICATIONS: usize = 10;
/// The most bytes that one `PublishBatch` takes in all.
pub const MAX_NOTIFICATION_BYTES: usize = 256 * 1024;

/// A call, or a part of one, that did not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Fault {
    /// Whether the request itself is to blame, so that it can never work as it is.
    pub permanent: bool,
    /// AWS's error code, or `Timeout` and the like if there was no answer.
    pub code: String,
    /// AWS's message.
    pub message: String,
}

/// The services behind a function. The real one is [`Aws`](crate::aws::Aws).
pub trait Sink {
    /// Puts up to [`MAX_ITEMS`] items with distinct keys into the table; returns the places of those that the table
    /// did not get to.
    fn write(&self, items: &[&Item]) -> impl Future<Output = Result<Vec<usize>, Fault>>;

    /// Puts one object into the bucket.
    fn put(&self, object: &Object) -> impl Future<Output = Result<(), Fault>>;

    /// Publishes up to [`MAX_NOTIFICATIONS`] messages to the topic; returns the places of those that were not taken, with
    /// the reasons.
    fn publish(&self, notifications: &[&Notification]) -> impl Future<Output = Result<Vec<(usize, Fault)>, Fault>>;

    /// Sends up to [`MAX_LETTERS`] dead letters; returns the places of those that were not taken, with the reasons.
    fn send(&self, letters: &[&Letter]) -> impl Future<Output = Result<Vec<(usize, Fault)>, Fault>>;
}
