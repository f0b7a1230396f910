//! Tumbling windows: the state that Lambda carries from one invocation of a window to the next.
//!
//! See <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html>.

use serde_json::{Value, json};
use streamkit_recipes::{Settings, TumblingWindow, epoch_millis};

use crate::event::{Event, EventError};

/// The window at the start of an invocation.
#[derive(Debug)]
pub struct Window {
    pub(crate) state: Value,
    /// Whether this is its last invocation.
    pub(crate) over: bool,
    start_ms: i64,
    end_ms: i64,
    shard_id: String,
}

impl Window {
    /// Takes the window out of an event; `None` if the mapping has no tumbling window.
    ///
    /// # Errors
    /// The event does not say which window it is of.
    pub fn of<R>(event: &mut Event<R>) -> Result<Option<Self>, EventError> {
        let Some(times) = &event.window else { return Ok(None) };
        let times = (epoch_millis(&times.start), epoch_millis(&times.end));
        let ((Some(start_ms), Some(end_ms)), Some(shard_id)) = (times, event.shard_id.take()) else {
            return Err(EventError::Window);
        };
        let state = event.state.take().unwrap_or_else(|| json!({}));
        let over = event.is_final_invoke_for_window || event.is_window_terminated_early;
        Ok(Some(Self { state, over, start_ms, end_ms, shard_id }))
    }

    /// As recipes know it.
    pub(crate) fn tumbling<'a>(&'a self, settings: &'a Settings) -> TumblingWindow<'a> {
        TumblingWindow { start_ms: self.start_ms, end_ms: self.end_ms, shard_id: &self.shard_id, settings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_a_window_says_of_which() {
        let of = |more: &str| {
            let mut event: Event = serde_json::from_str(&format!(r#"{{"Records":[]{more}}}"#)).unwrap();
            Window::of(&mut event)
        };
        let times = r#","window":{"start":"2026-01-02T03:04:00Z","end":"2026-01-02T03:05:00Z"}"#;
        let window = of(&format!(r#"{times},"shardId":"s","state":{{"n":1}}"#)).unwrap().unwrap();
        assert_eq!((window.start_ms, window.end_ms - window.start_ms), (1_767_323_040_000, 60_000));
        assert_eq!((&*window.shard_id, window.state, window.over), ("s", json!({"n": 1}), false));
        for end in ["isFinalInvokeForWindow", "isWindowTerminatedEarly"] {
            let window = of(&format!(r#"{times},"shardId":"s","{end}":true"#)).unwrap().unwrap();
            assert_eq!((window.state, window.over), (json!({}), true));
        }
        assert!(of("").unwrap().is_none());
        assert_eq!(of(times).unwrap_err(), EventError::Window);
        let wrong = r#","window":{"start":"now","end":"2026-01-02T03:05:00Z"},"shardId":"s""#;
        assert_eq!(of(wrong).unwrap_err(), EventError::Window);
    }
}
