//! The log lines that Lambda writes around an invocation, and the answer that its caller gets.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use streamkit_wire::clock;

use crate::function::version::Version;
use crate::invocation::invoke::{Event, Outcome};
use crate::runtime::process::RuntimeFailure;
use crate::runtime::runtime_api::Answer;

/// One invocation that has ended.
pub(crate) struct Run<'a> {
    pub(crate) event: &'a Event,
    pub(crate) version: &'a Arc<Version>,
    pub(crate) result: Result<Answer, RuntimeFailure>,
    pub(crate) duration: Duration,
    /// How long the process took to start, if it was started for this invocation.
    pub(crate) init: Option<Duration>,
}

impl Run<'_> {
    fn timeout(&self) -> Duration {
        Duration::from_secs(self.version.settings.timeout_seconds.into())
    }

    /// The lines that Lambda writes after an invocation.
    pub(crate) fn report(&self, peak_memory_mb: Option<u64>) -> Vec<String> {
        let id = &self.event.request_id;
        let mut lines = Vec::new();
        let mut status = String::new();
        match &self.result {
            Ok(_) => {}
            Err(RuntimeFailure::Timeout) => {
                let text = RuntimeFailure::Timeout.text(self.timeout());
                lines.push(format!("{} {id} {text}", clock::iso(clock::now_ms())));
                status.push_str("Status: timeout");
            }
            Err(failure) => {
                lines.push(format!("RequestId: {id} Error: {}\n{}", failure.text(self.timeout()), failure.kind()));
                status = format!("Status: error\tError Type: {}", failure.kind());
            }
        }
        lines.push(format!("END RequestId: {id}"));
        let duration = milliseconds(self.duration);
        let billed = milliseconds(self.duration + self.init.unwrap_or_default()).ceil();
        let mut report = format!(
            "REPORT RequestId: {id}\tDuration: {duration:.2} ms\tBilled Duration: {billed:.0} ms\tMemory Size: {} MB\t",
            self.version.settings.memory_mb
        );
        // Writing to a String cannot fail.
        if let Some(peak) = peak_memory_mb {
            let _ = write!(report, "Max Memory Used: {peak} MB\t");
        }
        if let Some(init) = self.init {
            let _ = write!(report, "Init Duration: {:.2} ms\t", milliseconds(init));
        }
        report.push_str(&status);
        lines.push(report);
        lines
    }

    pub(crate) fn outcome(&self, tail: Vec<u8>) -> Outcome {
        let (payload, failed) = match &self.result {
            Ok(Answer::Response(payload)) => (payload.clone(), false),
            Ok(Answer::Error(payload)) => (payload.clone(), true),
            Ok(Answer::TooLarge) => (RuntimeFailure::TooLarge.payload(&self.event.request_id, self.timeout()), true),
            Err(failure) => (failure.payload(&self.event.request_id, self.timeout()), true),
        };
        Outcome { payload, failed, tail, version: self.version.name() }
    }
}

/// The line before an invocation's own.
pub(crate) fn start_line(event: &Event, version: &Version) -> String {
    format!("START RequestId: {} Version: {}", event.request_id, version.name())
}

/// The line of a start that failed. Lambda starts a function before it is invoked, in the phase `init`, and again with the first
/// invocation, in the phase `invoke`.
pub(crate) fn init_line(duration: Duration, phase: &str, failure: &RuntimeFailure) -> String {
    let status = match failure {
        RuntimeFailure::Timeout => "Status: timeout".to_owned(),
        failure => format!("Status: error\tError Type: {}", failure.kind()),
    };
    format!("INIT_REPORT Init Duration: {:.2} ms\tPhase: {phase}\t{status}", milliseconds(duration))
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
