//! What was sent: the document of `send --json`, and its text.

use std::time::Duration;

use serde::Serialize;

use super::timeline::Timeline;
use crate::report::{byte_rate_text, counted, rate_of};

/// The document of `send --json`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    pub(super) sent: u64,
    pub(super) failed: u64,
    pub(super) retried: u64,
    /// Sent events that the recipe rejects; absent where only the function's own code knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) poison: Option<u64>,
    /// Payload that was sent.
    pub(super) bytes: u64,
    pub(super) seconds: f64,
    pub(super) records_per_second: f64,
    /// Generates the same events again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seed: Option<u64>,
    /// Lines that are not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) not_json: Option<u64>,
    /// What was done to a table's items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) changes: Option<ChangeCounts>,
    /// What a page tells of the run, if one is wanted.
    #[serde(skip)]
    pub(super) timeline: Option<Timeline>,
}

/// How many changes of each kind were made.
#[derive(Debug, Default, Serialize)]
pub(super) struct ChangeCounts {
    pub(super) puts: u64,
    pub(super) updates: u64,
    pub(super) deletes: u64,
}

impl Summary {
    /// Sets the duration and the rate.
    pub(super) fn conclude(&mut self, took: Duration) {
        let milliseconds = u32::try_from(took.as_millis().max(1)).unwrap_or(u32::MAX);
        self.seconds = f64::from(milliseconds) / 1_000.0;
        let sent = f64::from(u32::try_from(self.sent).unwrap_or(u32::MAX));
        self.records_per_second = (sent / self.seconds * 10.0).round() / 10.0;
    }

    /// The numbers for a page, each with its name.
    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        let Self { sent, failed, retried, poison, bytes, records_per_second, .. } = self;
        #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
        let bytes_per_second = *bytes as f64 / self.seconds.max(0.001);
        let mut facts = vec![
            ("sent", sent.to_string()),
            ("failed", failed.to_string()),
            ("sent again", retried.to_string()),
            ("rate", rate_of(*records_per_second, self.what())),
            ("bytes", byte_rate_text(bytes_per_second)),
        ];
        match &self.changes {
            Some(ChangeCounts { puts, updates, deletes }) => facts.extend([
                ("put", puts.to_string()),
                ("changed", updates.to_string()),
                ("deleted", deletes.to_string()),
            ]),
            None => facts.extend(poison.map(|poison| ("poison", poison.to_string()))),
        }
        facts.extend(self.not_json.map(|lines| ("lines that are not JSON", lines.to_string())));
        facts.extend(self.seed.map(|seed| ("seed", seed.to_string())));
        facts
    }

    /// What is counted.
    pub(super) fn what(&self) -> &'static str {
        if self.changes.is_some() { "changes" } else { "records" }
    }

    /// The line for people; `name` is the stream's or the table's.
    pub(super) fn text(&self, name: &str) -> String {
        let Self { sent, failed, retried, poison, bytes, seconds, records_per_second, .. } = self;
        #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
        let bytes_per_second = *bytes as f64 / seconds.max(0.001);
        let mut parts = vec![rate_of(*records_per_second, self.what()), byte_rate_text(bytes_per_second)];
        let what = if let Some(ChangeCounts { puts, updates, deletes }) = &self.changes {
            parts.push(format!("{puts} items put, {updates} changed, {deletes} deleted"));
            "change"
        } else {
            parts.extend(poison.map(|poison| format!("{poison} of them poison")));
            "event"
        };
        if *retried > 0 {
            parts.push(format!("{retried} sent again"));
        }
        if *failed > 0 {
            parts.push(format!("{failed} failed"));
        }
        if let Some(not_json) = self.not_json.filter(|lines| *lines > 0) {
            parts.push(format!("not JSON and sent as they are: {}", counted(not_json, "line")));
        }
        if let Some(seed) = self.seed {
            parts.push(format!("seed {seed}"));
        }
        let what = counted(*sent, what);
        format!("sent {what} to {name} in {seconds:.1} s: {}\n", parts.join(", "))
    }
}
