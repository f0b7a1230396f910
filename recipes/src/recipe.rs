//! The trait that a recipe implements, and how it rejects records that can never be processed.

use crate::{Batched, Effects, Needs, Record, Setting, SourceKind, Stateful, Windowed};

/// A record that can never be processed, however often it is delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejected {
    /// A stable code for the kind of error: `not_utf8`, `invalid_json`, `missing_field`, `wrong_type`, `empty_field`,
    /// `too_long`, `out_of_range` or `wrong_source`.
    pub code: &'static str,
    /// What is wrong, for people; it names the field but never repeats the payload.
    pub message: String,
}

impl Rejected {
    /// Creates a rejection.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// One recipe: what its records mean.
pub trait Recipe: Sync {
    /// The name that specs use.
    fn name(&self) -> &'static str;

    /// One line for lists and help.
    fn about(&self) -> &'static str;

    /// What its records come from.
    fn source(&self) -> SourceKind;

    /// What it needs around it.
    fn needs(&self) -> Needs;

    /// The CloudWatch namespace of the recipe's metrics.
    fn namespace(&self) -> &'static str;

    /// The metric that counts records whose effects were carried out.
    fn processed_metric(&self) -> &'static str {
        "ProcessedEvents"
    }

    /// The metric that counts records that were rejected.
    fn failed_metric(&self) -> &'static str {
        "FailedEvents"
    }

    /// The metric that counts records that will be delivered again, since they could not be stored or announced.
    fn retried_metric(&self) -> &'static str {
        "RetriedEvents"
    }

    /// The metrics that it counts besides these three, each with the names of its dimensions.
    fn metrics(&self) -> &'static [(&'static str, &'static [&'static str])] {
        &[]
    }

    /// The attributes of items that hold processing time and so differ between two deliveries of one record.
    fn volatile(&self) -> &'static [&'static str] {
        &[]
    }

    /// How it aggregates the records of a tumbling window; `None` if it does not.
    fn windowed(&self) -> Option<&dyn Windowed> {
        None
    }

    /// What it makes of the records of a batch together; `None` if its effects are those of single records. There is no other
    /// effect then, and [`process`](Self::process) is never asked for a verdict: no record is rejected.
    fn batched(&self) -> Option<&dyn Batched> {
        None
    }

    /// Whether it takes the records of a stream as they lie there: aggregated where the Kinesis Producer Library has done that, and
    /// copies with what they say of themselves. Others get the producer's own records, and in place of a copy what it is a copy of.
    fn takes_records_as_they_lie(&self) -> bool {
        false
    }

    /// Whether it looks at what a record says, and may reject it. Others keep or copy each as it came, beside functions that do.
    fn judges(&self) -> bool {
        self.batched().is_none() && !self.takes_records_as_they_lie()
    }

    /// The settings that it takes in `settings = { … }` of its function.
    fn settings(&self) -> &'static [Setting] {
        &[]
    }

    /// What it remembers of the records of a key; `None` if its effects are those of a record alone. Its effects are those of
    /// [`Stateful::process`] then, and [`process`](Self::process) is asked only for the verdict on a record, and for what would
    /// follow from it if nothing were known yet.
    fn stateful(&self) -> Option<&dyn Stateful> {
        None
    }

    /// Says what follows from a record. `now_ms` is the processing time in milliseconds since the epoch and shows only
    /// in [`volatile`](Self::volatile) attributes; everything else depends on the record alone.
    fn process(&self, record: &Record<'_>, now_ms: i64) -> Result<Effects, Rejected>;
}
