//! How often and how far a stream may be changed.
//!
//! See <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateShardCount.html> and
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateStreamMode.html>.

use std::collections::HashMap;

use parking_lot::Mutex;
use serde_json::Value;
use streamkit_wire::CallError;

const DAY_MS: i64 = 24 * 3_600_000;

/// When each stream was changed last, for operations that AWS allows so many times in 24 hours.
#[derive(Default)]
pub(super) struct Rates {
    /// By operation and name of the stream: times in milliseconds, the oldest first.
    changes: Mutex<HashMap<(&'static str, String), Vec<i64>>>,
}

impl Rates {
    /// Refuses what was done too often in the last 24 hours.
    pub(super) fn check(&self, operation: &str, stream: &str, now_ms: i64) -> Result<(), CallError> {
        let Some((operation, most)) = limit(operation) else { return Ok(()) };
        let mut changes = self.changes.lock();
        let Some(times) = changes.get_mut(&(operation, stream.to_owned())) else { return Ok(()) };
        times.retain(|time_ms| now_ms - time_ms < DAY_MS);
        if times.len() < most {
            return Ok(());
        }
        Err(CallError::bad(
            "LimitExceededException",
            format!(
                "{operation} was called {most} times for stream {stream} in the last 24 hours, which is the limit."
            ),
        ))
    }

    /// Notes that an operation succeeded.
    pub(super) fn note(&self, operation: &str, stream: &str, now_ms: i64) {
        let mut changes = self.changes.lock();
        if operation == "DeleteStream" {
            changes.retain(|(_, name), _| name != stream);
        }
        if let Some((operation, _)) = limit(operation) {
            changes.entry((operation, stream.to_owned())).or_default().push(now_ms);
        }
    }
}

fn limit(operation: &str) -> Option<(&'static str, usize)> {
    match operation {
        "UpdateShardCount" => Some(("UpdateShardCount", 10)),
        "UpdateStreamMode" => Some(("UpdateStreamMode", 2)),
        _ => None,
    }
}

/// Refuses steps of more than double and less than half of the open shards.
pub(super) fn check_step(open: i64, input: &Value) -> Result<(), CallError> {
    let Some(target) = input["TargetShardCount"].as_i64() else { return Ok(()) };
    let counts = format!("Current open shard count: {open} Target shard count: {target}");
    let refused = if target > open * 2 {
        format!("UpdateShardCount cannot scale up over double your current open shard count. {counts}")
    } else if target * 2 < open {
        format!("UpdateShardCount cannot scale down below half your current open shard count. {counts}")
    } else {
        return Ok(());
    };
    Err(CallError::bad("LimitExceededException", refused))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shards_are_doubled_and_halved_at_most() {
        for (open, target, allowed) in [(2, 4, true), (2, 5, false), (4, 2, true), (5, 3, true), (5, 2, false)] {
            let step = check_step(open, &json!({"TargetShardCount": target}));
            assert_eq!(step.is_ok(), allowed, "{open} → {target}: {step:?}");
        }
    }

    #[test]
    fn changes_are_counted_for_a_day_and_each_stream() {
        let rates = Rates::default();
        for now_ms in [0, 1000] {
            rates.check("UpdateStreamMode", "s", now_ms).unwrap();
            rates.note("UpdateStreamMode", "s", now_ms);
        }
        assert_eq!(rates.check("UpdateStreamMode", "s", 2000).unwrap_err().code, "LimitExceededException");
        rates.check("UpdateStreamMode", "other", 2000).unwrap();
        rates.check("UpdateShardCount", "s", 2000).unwrap();
        rates.check("UpdateStreamMode", "s", DAY_MS).unwrap();
        rates.note("DeleteStream", "s", 3000);
        rates.check("UpdateStreamMode", "s", 3000).unwrap();
    }
}
