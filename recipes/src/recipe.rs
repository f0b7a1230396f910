//! The trait that a recipe implements, its event generator, and its verdict on records that can never succeed.

use crate::{Effects, Event, Record};

/// A record that can never be processed, however often it is delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejected {
    /// A stable name for the kind of fault: `not_utf8`, `invalid_json`, `missing_field`, `wrong_type`, `empty_field`,
    /// `too_long` or `out_of_range`.
    pub code: &'static str,
    /// What is wrong, for people; it names the field but never repeats the payload.
    pub message: String,
}

impl Rejected {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// An endless source of events, the same for the same seed and times.
pub trait Generator {
    /// Returns a realistic event that happens at `now_ms` (milliseconds since the epoch).
    fn next(&mut self, now_ms: i64) -> Event;

    /// Returns an event that the recipe rejects; successive calls vary what is wrong with it.
    fn poison(&mut self) -> Event;
}

/// One recipe: its events and what becomes of them.
pub trait Recipe: Sync {
    /// The name that specs use.
    fn name(&self) -> &'static str;

    /// One line for lists and help.
    fn about(&self) -> &'static str;

    /// The CloudWatch namespace of the recipe's metrics.
    fn namespace(&self) -> &'static str;

    /// The metric that counts records whose effects were carried out.
    fn processed_metric(&self) -> &'static str;

    /// The metric that counts records that were rejected.
    fn failed_metric(&self) -> &'static str;

    /// The table's key: the partition key's attribute and the sort key's.
    fn key(&self) -> (&'static str, Option<&'static str>);

    /// The attributes that hold processing time and so differ between two deliveries of one record.
    fn volatile(&self) -> &'static [&'static str];

    /// Says what follows from a record. `now_ms` is the processing time in milliseconds since the epoch and shows only
    /// in [`volatile`](Self::volatile) attributes; everything else depends on the record alone.
    fn process(&self, record: &Record<'_>, now_ms: i64) -> Result<Effects, Rejected>;

    /// Returns a generator of realistic events.
    fn generator(&self, seed: u64) -> Box<dyn Generator + Send>;

    /// Returns good events of every kind and edge for `validate`. Each carries the run's name in its partition key and
    /// payload, and its own time, so that its item follows from shard and sequence number alone.
    fn marked(&self, run: &str, now_ms: i64) -> Vec<Event>;

    /// Returns one event of every kind that is rejected, with the run's name in the partition key and the payload.
    fn marked_poison(&self, run: &str) -> Vec<Event>;

    /// Returns the `n`th event to try whether the pipeline flows at all.
    fn canary(&self, run: &str, n: usize, now_ms: i64) -> Event;
}
