//! The document of `status --json`.

use serde::Serialize;

use super::trend::Trend;
use crate::plan::{Change, Warning};

/// All of it.
#[derive(Debug, Serialize)]
pub(in crate::commands) struct Document {
    pub(in crate::commands) pipeline: String,
    pub(in crate::commands) stage: Option<String>,
    pub(in crate::commands) resources: Vec<NodeState>,
    pub(in crate::commands) functions: Vec<FunctionState>,
    pub(in crate::commands) queues: Vec<QueueState>,
    pub(in crate::commands) alarms: Vec<AlarmState>,
    /// Such as a subscriber that is told nothing yet, or a change that has to wait.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::commands) warnings: Vec<Warning>,
    /// What to do about what is wrong.
    pub(in crate::commands) next: Vec<NextStep>,
}

#[derive(Debug, Serialize)]
pub(in crate::commands) struct NodeState {
    pub(in crate::commands) node: String,
    #[serde(rename = "type")]
    pub(in crate::commands) kind: &'static str,
    pub(in crate::commands) name: String,
    pub(in crate::commands) arn: String,
    /// `ok`, `changing`, `missing`, `different`, `foreign` or `not in the spec`.
    pub(in crate::commands) state: &'static str,
    pub(in crate::commands) changes: Vec<Change>,
}

#[derive(Debug, Serialize)]
pub(in crate::commands) struct FunctionState {
    pub(in crate::commands) function: String,
    /// `None` where there is none.
    pub(in crate::commands) mapping: Option<MappingState>,
    /// Milliseconds that the last records waited, at most, over the last minutes; null when nothing was read.
    pub(in crate::commands) iterator_age_ms: Option<f64>,
    /// Where that is going; null when there is nothing to compare.
    pub(in crate::commands) lag_trend: Option<Trend>,
    /// Invocations that failed in the last minutes, as a whole.
    pub(in crate::commands) errors: Option<u64>,
    pub(in crate::commands) throttles: Option<u64>,
    /// How many seconds back errors and throttles are counted.
    pub(in crate::commands) counted_seconds: u64,
    /// Messages in the dead letter queue; null without one.
    pub(in crate::commands) queue_depth: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(in crate::commands) struct MappingState {
    /// Such as `Enabled` or `Disabled`.
    pub(in crate::commands) state: Option<String>,
    /// Who or what brought it into that state.
    pub(in crate::commands) reason: Option<String>,
    /// How the last batch went, in Lambda's words.
    pub(in crate::commands) last_result: Option<String>,
}

impl MappingState {
    /// What the last batch failed of, if it did.
    pub(in crate::commands) fn problem(&self) -> Option<&str> {
        self.last_result.as_deref()?.strip_prefix("PROBLEM:").map(str::trim)
    }

    /// True when it has stopped, or is about to.
    pub(in crate::commands) fn is_off(&self) -> bool {
        matches!(self.state.as_deref(), Some("Disabled" | "Disabling"))
    }
}

#[derive(Debug, Serialize)]
pub(in crate::commands) struct QueueState {
    pub(in crate::commands) node: String,
    pub(in crate::commands) name: String,
    /// True where something of the pipeline sends what failed.
    pub(in crate::commands) dead_letters: bool,
    /// All of them, also those that somebody is just reading.
    pub(in crate::commands) messages: u64,
    /// Those that somebody is just reading.
    pub(in crate::commands) in_flight: u64,
    /// The oldest one's age, as CloudWatch saw it last.
    pub(in crate::commands) oldest_seconds: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(in crate::commands) struct AlarmState {
    pub(in crate::commands) name: String,
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub(in crate::commands) state: String,
    pub(in crate::commands) reason: Option<String>,
    /// When it came into that state.
    pub(in crate::commands) since: Option<String>,
}

/// Something that is wrong, and the command that shows more of it or mends it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(in crate::commands) struct NextStep {
    pub(in crate::commands) why: String,
    pub(in crate::commands) command: String,
}
