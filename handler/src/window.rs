//! Tumbling windows: the state that Lambda carries from one invocation of a window to the next.
//!
//! The state covers only records that will not be delivered again: Lambda keeps the state of a response that reports failed
//! records, and delivers from the first of those again.
//!
//! See <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html>.

use serde_json::{Value, json};
use streamkit_recipes::{Recipe, Record};

use crate::batch::Outcome;
use crate::event::Event;
use crate::record::IncomingRecord;

/// The window at the start of an invocation.
#[derive(Debug)]
pub struct Window {
    state: Value,
    /// Whether this is its last invocation.
    over: bool,
}

impl Window {
    /// Takes the window out of an event; `None` if the mapping has no tumbling window.
    pub fn of<R>(event: &mut Event<R>) -> Option<Self> {
        event.window.as_ref()?;
        let state = event.state.take().unwrap_or_else(|| json!({}));
        Some(Self { state, over: event.is_final_invoke_for_window || event.is_window_terminated_early })
    }

    /// Adds the processed records of a batch to the window, and the window's state and metrics to the outcome.
    pub fn update(mut self, recipe: &dyn Recipe, records: &[IncomingRecord], outcome: &mut Outcome) {
        if let Some(windowed) = recipe.windowed() {
            let failed = |place: usize| outcome.failures.iter().any(|failure| failure.place == place);
            let done = &records[..records.len() - outcome.retry];
            let done = done.iter().enumerate().filter(|(place, _)| !failed(*place));
            let done: Vec<Record<'_>> = done.filter_map(|(_, record)| record.record().ok()).collect();
            let mut counts = windowed.add(&mut self.state, &done);
            if self.over {
                counts.extend(windowed.close(&self.state));
                self.state = json!({});
            }
            for count in counts {
                outcome.counts.add(count);
            }
        }
        // Lambda treats a response without a state as a failed one.
        outcome.response.state = Some(self.state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Failure, Handling};
    use crate::record::decode;

    fn event(records: &str, more: &str) -> Event {
        serde_json::from_str(&format!(r#"{{"Records":[{records}]{more}}}"#)).unwrap()
    }

    fn record(n: usize) -> String {
        // {"eventType":"click"}
        let data = "eyJldmVudFR5cGUiOiJjbGljayJ9";
        format!(
            r#"{{"eventSource":"aws:kinesis","eventID":"s:{n}","kinesis":{{"sequenceNumber":"{n}","data":"{data}"}}}}"#
        )
    }

    fn updated(recipe: &str, mut event: Event, mut outcome: Outcome) -> Outcome {
        let recipe = streamkit_recipes::find(recipe).unwrap();
        let window = Window::of(&mut event).unwrap();
        window.update(recipe, &decode(event, recipe, "eventId").unwrap(), &mut outcome);
        outcome
    }

    const WINDOW: &str = r#","window":{"start":"2026-01-02T03:04:00Z","end":"2026-01-02T03:05:00Z"}"#;

    #[test]
    fn state_covers_processed_records_that_will_not_come_again() {
        let records = [1, 2, 3, 4, 5].map(record).join(",");
        let failure = |place, handling| Failure { place, code: "c".to_owned(), reason: None, handling };
        let failures = vec![failure(1, Handling::DeadLetter), failure(3, Handling::Retry)];
        let outcome = Outcome { failures, retry: 2, ..Outcome::default() };
        let more = format!(r#"{WINDOW},"state":{{"events":10}},"isFinalInvokeForWindow":false"#);
        let outcome = updated("analytics", event(&records, &more), outcome);
        assert_eq!(
            outcome.response.state.unwrap()["events"],
            12,
            "two of five are processed and will not be delivered again"
        );
        assert_eq!(outcome.counts.iter().count(), 0);
    }

    #[test]
    fn windows_that_are_over_are_counted_and_leave_nothing() {
        for end in ["isFinalInvokeForWindow", "isWindowTerminatedEarly"] {
            let more = format!(r#"{WINDOW},"state":{{"events":10}},"{end}":true"#);
            let outcome = updated("analytics", event("", &more), Outcome::default());
            let counts: Vec<_> =
                outcome.counts.iter().map(|(series, values)| (series.metric, values.to_vec())).collect();
            assert_eq!(counts, [("WindowEvents", vec![10.0])]);
            assert_eq!(outcome.response.state, Some(json!({})));
        }
    }

    #[test]
    fn recipes_that_look_at_records_one_by_one_leave_the_state_as_it_is() {
        let outcome = updated("retail", event(&record(1), &format!(r#"{WINDOW},"state":{{}}"#)), Outcome::default());
        assert_eq!(serde_json::to_value(outcome.response).unwrap(), json!({"state": {}, "batchItemFailures": []}));
        assert!(Window::of(&mut event(&record(1), "")).is_none());
    }
}
