//! What was sent: the document of `send --json`, and its text.

use std::time::Duration;

use serde::Serialize;

use super::timeline::Timeline;
use crate::cost::grouped;
use crate::report::{byte_rate_text, rate_of};

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
            ("sent", grouped(sent)),
            ("failed", grouped(failed)),
            ("sent again", grouped(retried)),
            ("rate", rate_of(*records_per_second, self.what())),
            ("bytes", byte_rate_text(bytes_per_second)),
        ];
        match &self.changes {
            Some(ChangeCounts { puts, updates, deletes }) => {
                facts.extend([("put", grouped(puts)), ("changed", grouped(updates)), ("deleted", grouped(deletes))]);
            }
            None => facts.extend(poison.map(|poison| ("poison", grouped(&poison)))),
        }
        facts.extend(self.not_json.map(|lines| ("lines that are not JSON", grouped(&lines))));
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
            let [puts, updates, deletes] = [puts, updates, deletes].map(grouped);
            parts.push(format!("{puts} items put, {updates} changed, {deletes} deleted"));
            "change"
        } else {
            parts.extend(poison.map(|poison| format!("{} of them poison", grouped(&poison))));
            "event"
        };
        if *retried > 0 {
            parts.push(format!("{} sent again", grouped(retried)));
        }
        if *failed > 0 {
            parts.push(format!("{} failed", grouped(failed)));
        }
        if let Some(not_json) = self.not_json.filter(|lines| *lines > 0) {
            let s = if not_json == 1 { "" } else { "s" };
            parts.push(format!("not JSON and sent as they are: {} line{s}", grouped(&not_json)));
        }
        if let Some(seed) = self.seed {
            parts.push(format!("seed {seed}"));
        }
        let s = if *sent == 1 { "" } else { "s" };
        let sent = grouped(sent);
        format!("sent {sent} {what}{s} to {name} in {seconds:.1} s: {}\n", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_as_rates_are() {
        let mut summary = Summary { sent: 20_000, poison: Some(1_000), seed: Some(12_345), ..Summary::default() };
        summary.conclude(Duration::from_millis(500));
        assert_eq!(
            summary.text("p-events"),
            "sent 20,000 events to p-events in 0.5 s: 40,000 records/s, 0 B/s, 1,000 of them poison, seed 12345\n"
        );
        let one = Summary { sent: 1, seconds: 1.0, ..Summary::default() };
        assert_eq!(one.text("p-events"), "sent 1 event to p-events in 1.0 s: 0.0 records/s, 0 B/s\n");
        assert!(summary.facts().contains(&("sent", "20,000".to_owned())), "{:?}", summary.facts());
    }
}
