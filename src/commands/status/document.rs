//! The document of `status --json`.

use serde::Serialize;

use super::trend::Trend;
use crate::plan::{Change, Warning};

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    pub(super) pipeline: String,
    pub(super) stage: Option<String>,
    pub(super) resources: Vec<NodeState>,
    pub(super) functions: Vec<FunctionState>,
    pub(super) queues: Vec<QueueState>,
    pub(super) alarms: Vec<AlarmState>,
    /// Such as a subscriber that is told nothing yet, or a change that has to wait.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) warnings: Vec<Warning>,
    /// What to do about what is wrong.
    pub(super) next: Vec<NextStep>,
}

#[derive(Debug, Serialize)]
pub(super) struct NodeState {
    pub(super) node: String,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) arn: String,
    /// `ok`, `changing`, `missing`, `different`, `foreign` or `not in the spec`.
    pub(super) state: &'static str,
    pub(super) changes: Vec<Change>,
}

#[derive(Debug, Serialize)]
pub(super) struct FunctionState {
    pub(super) function: String,
    /// `None` where there is none.
    pub(super) mapping: Option<MappingState>,
    /// Milliseconds that the last records waited, at most, over the last minutes; null when nothing was read.
    pub(super) iterator_age_ms: Option<f64>,
    /// Where that is going; null when there is nothing to compare.
    pub(super) lag_trend: Option<Trend>,
    /// Invocations that failed in the last minutes, as a whole.
    pub(super) errors: Option<u64>,
    pub(super) throttles: Option<u64>,
    /// How many seconds back errors and throttles are counted.
    pub(super) counted_seconds: u64,
    /// Messages in the dead letter queue; null without one.
    pub(super) queue_depth: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct MappingState {
    /// Such as `Enabled` or `Disabled`.
    pub(super) state: Option<String>,
    /// Who or what brought it into that state.
    pub(super) reason: Option<String>,
    /// How the last batch went, in Lambda's words.
    pub(super) last_result: Option<String>,
}

impl MappingState {
    /// What the last batch failed of, if it did.
    pub(super) fn problem(&self) -> Option<&str> {
        self.last_result.as_deref()?.strip_prefix("PROBLEM:").map(str::trim)
    }

    /// True when it has stopped, or is about to.
    pub(super) fn is_off(&self) -> bool {
        matches!(self.state.as_deref(), Some("Disabled" | "Disabling"))
    }
}

#[derive(Debug, Serialize)]
pub(super) struct QueueState {
    pub(super) node: String,
    pub(super) name: String,
    /// True where something of the pipeline sends what failed.
    pub(super) dead_letters: bool,
    /// All of them, also those that somebody is just reading.
    pub(super) messages: u64,
    /// Those that somebody is just reading.
    pub(super) in_flight: u64,
    /// The oldest one's age, as CloudWatch saw it last.
    pub(super) oldest_seconds: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct AlarmState {
    pub(super) name: String,
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub(super) state: String,
    pub(super) reason: Option<String>,
    /// When it came into that state.
    pub(super) since: Option<String>,
}

/// Something that is wrong, and the command that shows more of it or mends it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct NextStep {
    pub(super) why: String,
    pub(super) command: String,
}
