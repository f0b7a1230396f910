//! Tumbling windows: records of one span of time share a state that goes from invocation to invocation.
//!
//! See <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html>.

use serde_json::{Value, json};
use streamkit_wire::clock;

use super::source::Record;

/// Lambda's limit for the state, in bytes.
const MAX_STATE: usize = 1024 * 1024;

/// A window that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    /// Milliseconds since 1970; a multiple of the length.
    pub(crate) start_ms: i64,
    pub(crate) length_ms: i64,
    /// JSON that the function gave back last.
    state: String,
}

/// Which invocation of a window this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowInvocation {
    /// With records.
    Records,
    /// The last one, without records.
    Final,
    /// Without records: the state grew too large, and the window goes on with an empty one.
    TooLarge,
}

/// What a function gave back in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReturnedState {
    State,
    /// A state that is too large to be kept.
    TooLarge,
    /// No state, which AWS counts as a failed invocation.
    Nothing,
}

impl Window {
    /// The window into which something falls that arrived at this time; its state is empty.
    pub(crate) fn around(arrival_ms: i64, length_ms: i64) -> Self {
        Self { start_ms: arrival_ms.div_euclid(length_ms) * length_ms, length_ms, state: "{}".to_owned() }
    }

    pub(crate) fn holds(&self, arrival_ms: i64) -> bool {
        (self.start_ms..self.end_ms()).contains(&arrival_ms)
    }

    pub(crate) fn end_ms(&self) -> i64 {
        self.start_ms + self.length_ms
    }

    /// Takes the state out of a function's answer. One that is too large is left, and ends the window.
    pub(crate) fn take_state(&mut self, answer: &[u8]) -> ReturnedState {
        let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
        let state = match answer.get("state") {
            None => return ReturnedState::Nothing,
            Some(Value::Null) => "{}".to_owned(),
            Some(state) => state.to_string(),
        };
        if state.len() > MAX_STATE {
            return ReturnedState::TooLarge;
        }
        self.state = state;
        ReturnedState::State
    }

    /// The members that an event has besides its records, with a comma before the first.
    pub(crate) fn members(&self, turn: WindowInvocation, shard: &str, source_arn: &str) -> String {
        format!(
            r#","window":{},"state":{},"shardId":{},"eventSourceARN":{},"isFinalInvokeForWindow":{},"isWindowTerminatedEarly":{}"#,
            json!({ "start": clock::iso_seconds(self.start_ms), "end": clock::iso_seconds(self.end_ms()) }),
            self.state,
            json!(shard),
            json!(source_arn),
            turn == WindowInvocation::Final,
            turn == WindowInvocation::TooLarge,
        )
    }
}

/// How many of the first records fall into the window of the very first.
pub(crate) fn in_same_window<'a>(records: impl Iterator<Item = &'a Record>, length_ms: i64) -> usize {
    let mut window = None;
    records
        .take_while(|record| {
            window.get_or_insert_with(|| Window::around(record.arrival_ms, length_ms)).holds(record.arrival_ms)
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_aligned_to_the_epoch() {
        let window = Window::around(1_700_000_012_345, 30_000);
        assert_eq!((window.start_ms, window.end_ms()), (1_700_000_010_000, 1_700_000_040_000));
        assert!(window.holds(1_700_000_010_000) && window.holds(1_700_000_039_999));
        assert!(!window.holds(1_700_000_040_000) && !window.holds(1_700_000_009_999));
    }

    #[test]
    fn state_goes_on_until_it_is_too_large() {
        let mut window = Window::around(0, 1000);
        assert_eq!(window.take_state(br#"{"state":{"sum":3},"batchItemFailures":[]}"#), ReturnedState::State);
        let members: Value =
            serde_json::from_str(&format!("{{\"Records\":[]{}}}", window.members(WindowInvocation::Final, "s", "arn")))
                .unwrap();
        assert_eq!(members["state"], json!({ "sum": 3 }));
        assert_eq!(members["window"], json!({ "start": "1970-01-01T00:00:00Z", "end": "1970-01-01T00:00:01Z" }));
        assert_eq!(
            (&members["isFinalInvokeForWindow"], &members["isWindowTerminatedEarly"], &members["shardId"]),
            (&json!(true), &json!(false), &json!("s"))
        );
        let large = json!({ "state": "x".repeat(MAX_STATE) }).to_string();
        assert_eq!(window.take_state(large.as_bytes()), ReturnedState::TooLarge);
        for answer in ["null", "{}", "[]", "not JSON", ""] {
            assert_eq!(window.take_state(answer.as_bytes()), ReturnedState::Nothing, "{answer}");
        }
        assert!(window.members(WindowInvocation::Records, "s", "arn").contains(r#""state":{"sum":3}"#));
        assert_eq!(window.take_state(br#"{"state":null}"#), ReturnedState::State);
        assert!(window.members(WindowInvocation::Records, "s", "arn").contains(r#""state":{}"#));
    }

    #[test]
    fn batches_end_where_their_window_ends() {
        let record = |arrival_ms| Record { sequence: String::new(), arrival_ms, json: String::new(), filtered: false };
        let records = [9_000, 9_999, 10_000, 10_001].map(record);
        assert_eq!(in_same_window(records.iter(), 10_000), 2);
        assert_eq!(in_same_window(records[2..].iter(), 10_000), 2);
        assert_eq!(in_same_window([].iter(), 10_000), 0);
    }
}
