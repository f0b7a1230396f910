//! Tumbling windows: the state that Lambda carries from one invocation of a window to the next.
//!
//! Only records that will not come again are in it: Lambda takes the state of an answer that reports failed records, and
//! delivers from the first of those again.
//!
//! See <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html>.

use serde_json::{Value, json};
use streamkit_recipes::{Recipe, Record};

use crate::batch::Outcome;
use crate::event::{Event, Incoming};

/// A window as an invocation finds it.
#[derive(Debug)]
pub struct Window {
    state: Value,
    /// Whether this is its last invocation.
    over: bool,
}

impl Window {
    /// The window of an event, if its mapping has any.
    pub fn of(event: &mut Event) -> Option<Self> {
        event.window.as_ref()?;
        let state = event.state.take().unwrap_or_else(|| json!({}));
        Some(Self { state, over: event.is_final_invoke_for_window || event.is_window_terminated_early })
    }

    /// Adds what became of a batch to its window, and both to the outcome.
    pub fn settle(mut self, recipe: &dyn Recipe, records: &[Incoming], outcome: &mut Outcome) {
        if let Some(windowed) = recipe.windowed() {
            let put_aside = |place: usize| outcome.failures.iter().any(|failure| failure.place == place);
            let settled = &records[..records.len() - outcome.retry];
            let done = settled.iter().enumerate().filter(|(place, _)| !put_aside(*place));
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
        // Lambda takes an answer without a state for a failure.
        outcome.response.state = Some(self.state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Failure, Handling};
    use crate::event::decode;

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

    fn settled(recipe: &str, mut event: Event, mut outcome: Outcome) -> Outcome {
        let recipe = streamkit_recipes::find(recipe).unwrap();
        let window = Window::of(&mut event).unwrap();
        window.settle(recipe, &decode(event, recipe).unwrap(), &mut outcome);
        outcome
    }

    const WINDOW: &str = r#","window":{"start":"2026-01-02T03:04:00Z","end":"2026-01-02T03:05:00Z"}"#;

    #[test]
    fn state_grows_by_what_is_settled() {
        let records = [1, 2, 3, 4, 5].map(record).join(",");
        let failure = |place, handling| Failure { place, code: "c".to_owned(), reason: None, handling };
        let failures = vec![failure(1, Handling::DeadLetter), failure(3, Handling::Retry)];
        let outcome = Outcome { failures, retry: 2, ..Outcome::default() };
        let more = format!(r#"{WINDOW},"state":{{"events":10}},"isFinalInvokeForWindow":false"#);
        let outcome = settled("analytics", event(&records, &more), outcome);
        assert_eq!(outcome.response.state.unwrap()["events"], 12, "two of five are settled and not put aside");
        assert_eq!(outcome.counts.iter().count(), 0);
    }

    #[test]
    fn windows_that_are_over_are_counted_and_leave_nothing() {
        for end in ["isFinalInvokeForWindow", "isWindowTerminatedEarly"] {
            let more = format!(r#"{WINDOW},"state":{{"events":10}},"{end}":true"#);
            let outcome = settled("analytics", event("", &more), Outcome::default());
            let counts: Vec<_> =
                outcome.counts.iter().map(|(series, values)| (series.metric, values.to_vec())).collect();
            assert_eq!(counts, [("WindowEvents", vec![10.0])]);
            assert_eq!(outcome.response.state, Some(json!({})));
        }
    }

    #[test]
    fn recipes_that_look_at_records_one_by_one_leave_the_state_as_it_is() {
        let outcome = settled("retail", event(&record(1), &format!(r#"{WINDOW},"state":{{}}"#)), Outcome::default());
        assert_eq!(serde_json::to_value(outcome.response).unwrap(), json!({"state": {}, "batchItemFailures": []}));
        assert!(Window::of(&mut event(&record(1), "")).is_none());
    }
}
