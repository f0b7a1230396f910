//! What one look at a pipeline sees.

use serde::Serialize;

/// A look; counts are of what happened since the last one.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Sample {
    /// Since the last look.
    pub(crate) seconds: f64,
    pub(crate) sources: Vec<SourceSample>,
    pub(crate) functions: Vec<FunctionSample>,
    pub(crate) queues: Vec<QueueSample>,
    pub(crate) alarms: Vec<AlarmSample>,
    /// New lines of the functions' logs, oldest first.
    #[serde(skip)]
    pub(crate) log: Vec<LogSample>,
    /// The newest of what failed, newest first; `None` where nobody has looked again.
    #[serde(skip)]
    pub(crate) failed: Option<Vec<FailedSample>>,
}

/// A stream or table that functions read, or that events are sent to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SourceSample {
    /// Such as `stream.events`.
    pub(crate) node: String,
    /// Records or changes a second that go into it; null where nobody says.
    pub(crate) per_second: Option<f64>,
}

/// A function.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct FunctionSample {
    /// Its name in the spec.
    pub(crate) function: String,
    /// Invocations that ended.
    pub(crate) invocations: u64,
    /// Records that it was given, and what became of them; nothing where its log does not say so.
    pub(crate) records: u64,
    pub(crate) processed: u64,
    /// Rejected: they became dead letters, or were reported as failed.
    pub(crate) rejected: u64,
    /// Will be delivered again.
    pub(crate) retried: u64,
    /// The mean of the batches; null without any.
    pub(crate) batch: Option<f64>,
    /// The mean of the invocations, in milliseconds; null without any.
    pub(crate) duration_ms: Option<f64>,
    /// How long the last records waited, at most, in milliseconds; null when nothing was read lately.
    pub(crate) lag_ms: Option<f64>,
    /// Invocations that failed as a whole.
    pub(crate) errors: u64,
    /// Of the mapping, such as `Enabled`; null where there is none.
    pub(crate) mapping: Option<String>,
    /// What its last batch failed of.
    pub(crate) problem: Option<String>,
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct QueueSample {
    /// Such as `queue.dlq`.
    pub(crate) node: String,
    pub(crate) messages: u64,
    /// True where something of the pipeline sends what failed.
    pub(crate) dead_letters: bool,
}

/// An alarm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct AlarmSample {
    pub(crate) name: String,
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub(crate) state: String,
}

/// How grave something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    Info,
    Warning,
    Error,
}

/// A line of the log pane.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LogSample {
    /// Milliseconds since 1970.
    pub(crate) time_ms: i64,
    /// The function; empty for what streamkit itself says.
    pub(crate) function: String,
    pub(crate) severity: Severity,
    pub(crate) text: String,
}

/// A failed record or batch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FailedSample {
    pub(crate) time_ms: i64,
    pub(crate) function: String,
    pub(crate) code: String,
    pub(crate) payload: String,
}

/// What has come to pass since the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Totals {
    pub(crate) invocations: u64,
    pub(crate) records: u64,
    pub(crate) processed: u64,
    pub(crate) rejected: u64,
    pub(crate) retried: u64,
    pub(crate) errors: u64,
}

impl Totals {
    /// Adds what a look saw of these functions.
    pub(crate) fn add<'a>(&mut self, functions: impl IntoIterator<Item = &'a FunctionSample>) {
        for function in functions {
            self.invocations += function.invocations;
            self.records += function.records;
            self.processed += function.processed;
            self.rejected += function.rejected;
            self.retried += function.retried;
            self.errors += function.errors;
        }
    }
}
