//! What `validate` found, as data for the files that tell of it.

use std::borrow::Cow;

use serde::Serialize;
use tokio::time::Instant;

use super::header::RunHeader;

/// One check of a function.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    /// The function in the spec.
    pub(crate) function: String,
    pub(crate) name: Cow<'static, str>,
    pub(crate) ok: bool,
    pub(crate) expected: String,
    pub(crate) observed: String,
    pub(crate) seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

/// An event of a run on its way through a function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passage {
    /// When the stream or table had answered that it has it.
    pub(crate) sent: Instant,
    /// When its effect was seen.
    pub(crate) seen: Instant,
}

impl Passage {
    /// From the answer to the effect, in seconds.
    pub(crate) fn seconds(self) -> f64 {
        self.seen.saturating_duration_since(self.sent).as_secs_f64()
    }
}

/// The events of one function.
#[derive(Debug, Default)]
pub(crate) struct FunctionPassages {
    /// The function in the spec; with its region, where that is not the pipeline's own.
    pub(crate) function: String,
    pub(crate) passages: Vec<Passage>,
}

/// How far a function was behind its source, by the minute.
#[derive(Debug)]
pub(crate) struct FunctionLag {
    /// The function in the spec.
    pub(crate) function: String,
    pub(crate) minutes: Vec<LagMinute>,
}

/// The lag of one of CloudWatch's minutes, all in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LagMinute {
    /// When it began and ended, since the run began: not before that, and maybe after the run.
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// The most of the minute.
    pub(crate) lag: f64,
}

/// Everything that a run of `validate` found.
#[derive(Debug)]
pub(crate) struct ValidationReport<'a> {
    pub(crate) header: &'a RunHeader,
    pub(crate) checks: &'a [Check],
    pub(crate) passages: &'a [FunctionPassages],
    pub(crate) lag: &'a [FunctionLag],
    /// Why not everything was tried.
    pub(crate) stopped: Option<&'a str>,
}

impl ValidationReport<'_> {
    pub(super) fn failed(&self) -> usize {
        self.checks.iter().filter(|check| !check.ok).count()
    }

    /// The functions in the order in which they were looked at, each with its checks.
    pub(super) fn functions(&self) -> Vec<(&str, Vec<&Check>)> {
        let mut functions: Vec<(&str, Vec<&Check>)> = Vec::new();
        for check in self.checks {
            match functions.iter_mut().find(|(function, _)| *function == check.function) {
                Some((_, checks)) => checks.push(check),
                None => functions.push((&check.function, vec![check])),
            }
        }
        functions
    }
}
