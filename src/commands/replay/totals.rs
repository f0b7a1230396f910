//! What a replay has come to, for people and for scripts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::report::escaped;

/// The document of `replay --json`. Counts are of records, those of earlier parts of an interrupted run included.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    pub(super) read: u64,
    /// Came through, and were not there.
    pub(super) delivered: u64,
    pub(super) failed: u64,
    /// The source has forgotten them: always 0 where it does not say how many those are.
    pub(super) expired: u64,
    /// Had come through before.
    pub(super) duplicates: u64,
    /// Were read, and not played.
    pub(super) left: u64,
    /// ISO 8601.
    pub(super) from: String,
    pub(super) until: String,
    /// Why records failed.
    pub(super) errors: BTreeMap<String, u64>,
}

impl Totals {
    pub(super) fn text(&self, function: &str) -> String {
        let records = if self.read == 1 { "record" } else { "records" };
        let mut text = format!(
            "{} {records} from {} to {} played to {function}: {} delivered, {} there already, {} failed\n",
            self.read, self.from, self.until, self.delivered, self.duplicates, self.failed
        );
        for (code, count) in &self.errors {
            let _ = writeln!(text, "  {count:>6}  {}", escaped(code));
        }
        if self.left > 0 {
            let _ = writeln!(text, "{} left: run the same command again to go on", self.left);
        }
        text
    }
}
