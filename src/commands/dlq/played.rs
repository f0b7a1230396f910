//! What a redrive has come to, for people and for scripts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::report::{counted, escaped};

/// The document of `dlq redrive --json`. Counts are of records, but for `left`, `messages` and `deleted`.
#[derive(Debug, Default, Clone, Serialize)]
pub(super) struct Totals {
    pub(super) read: u64,
    /// Came through.
    pub(super) delivered: u64,
    /// Failed again.
    pub(super) failed: u64,
    /// The stream has forgotten them.
    pub(super) expired: u64,
    /// Had come through before.
    pub(super) duplicates: u64,
    /// Messages that were to be played and are still where they were, whatever the reason.
    pub(super) left: u64,
    pub(super) messages: u64,
    pub(super) deleted: u64,
    /// Why records failed again.
    pub(super) errors: BTreeMap<String, u64>,
}

impl Totals {
    pub(super) fn failed_with(&mut self, code: &str) {
        self.failed += 1;
        *self.errors.entry(code.to_owned()).or_default() += 1;
    }

    pub(super) fn text(&self, verb: &str) -> String {
        let mut text = format!(
            "{} in {} {verb}: {} delivered, {} there already, {} failed again, {} expired\n",
            counted(self.read, "record"),
            counted(self.messages, "message"),
            self.delivered,
            self.duplicates,
            self.failed,
            self.expired
        );
        for (code, count) in &self.errors {
            let _ = writeln!(text, "  {count:>6}  {}", escaped(code));
        }
        if self.left > 0 {
            let _ = writeln!(text, "{} left in place", counted(self.left, "message"));
        }
        text
    }
}
