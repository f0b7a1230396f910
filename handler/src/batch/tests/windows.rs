//! Tumbling windows: what their state covers, and what is stored and counted when they are over.

use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::window::Window;

fn config_of(recipe: &str) -> Config {
    let recipe = streamkit_recipes::find(recipe).unwrap();
    Config { recipe, settings: Settings::defaults(recipe.settings()), ..config() }
}

/// The window of an event: of this shard, with this state, and over or not.
fn window(shard: usize, state: &Value, over: bool) -> Window {
    let event = json!({"Records": [], "shardId": format!("shardId-{shard:012}"), "state": state,
        "window": {"start": "2026-01-02T03:04:00Z", "end": "2026-01-02T03:05:00Z"}, "isFinalInvokeForWindow": over});
    let mut event: Event = serde_json::from_str(&event.to_string()).unwrap();
    Window::of(&mut event).unwrap().unwrap()
}

/// The state of a window of shard 0 with these products' views.
async fn state_of(products: &[&str]) -> Value {
    let records: Vec<_> = products.iter().zip(1..).map(|(product, n)| view(n, product)).collect();
    let sink = FakeSink::default();
    let outcome = keep("trends", &sink, window(0, &json!({}), false), &records, Outcome::default()).await.unwrap();
    outcome.response.state.unwrap()
}

async fn keep(
    recipe: &str,
    sink: &FakeSink,
    window: Window,
    records: &[IncomingRecord],
    mut outcome: Outcome,
) -> Result<Outcome, WindowError> {
    let config = config_of(recipe);
    let deadline = Instant::now() + Duration::from_secs(30);
    let job = Job { config: &config, function: "f", sink, deadline, now_ms: 1_767_323_100_000, replay: None };
    job.keep(window, records, &mut outcome).await.map(|()| outcome)
}

fn click(sequence: usize) -> IncomingRecord {
    record(sequence, r#"{"eventType":"click"}"#)
}

fn view(sequence: usize, product: &str) -> IncomingRecord {
    record(sequence, json!({"userId": "u", "eventType": "view", "productId": product}).to_string())
}

fn counted(outcome: &Outcome) -> Vec<(&'static str, Vec<f64>)> {
    outcome.counts.iter().map(|(series, values)| (series.metric, values.to_vec())).collect()
}

#[tokio::test(start_paused = true)]
async fn state_covers_processed_records_that_will_not_come_again() {
    let failure = |place, handling| Failure { place, code: "c".to_owned(), reason: None, handling };
    let failures = vec![failure(1, Handling::DeadLetter), failure(3, Handling::Retry)];
    let outcome = Outcome { failures, retry: 2, ..Outcome::default() };
    let records: Vec<_> = (1..=5).map(click).collect();
    let window = window(0, &json!({"events": 10}), false);
    let outcome = keep("analytics", &FakeSink::default(), window, &records, outcome).await.unwrap();
    assert_eq!(
        outcome.response.state.as_ref().unwrap()["events"],
        12,
        "two of five are processed and will not be delivered again"
    );
    assert!(counted(&outcome).is_empty());
}

#[tokio::test(start_paused = true)]
async fn windows_that_are_over_are_counted_and_leave_nothing() {
    let window = window(0, &json!({"events": 10}), true);
    let outcome = keep("analytics", &FakeSink::default(), window, &[], Outcome::default()).await.unwrap();
    assert_eq!(counted(&outcome), [("WindowEvents", vec![10.0])]);
    assert_eq!(outcome.response.state, Some(json!({})));
}

#[tokio::test(start_paused = true)]
async fn recipes_that_look_at_records_one_by_one_leave_the_state_as_it_is() {
    let window = window(0, &json!({}), true);
    let outcome = keep("retail", &FakeSink::default(), window, &[good(1, "u")], Outcome::default()).await.unwrap();
    assert_eq!(serde_json::to_value(outcome.response).unwrap(), json!({"state": {}, "batchItemFailures": []}));
}

/// The number of events in the merge of all shards.
fn merged(sink: &FakeSink) -> Option<String> {
    let table = sink.table.borrow();
    let merge = table.values().find(|item| item["part"] == Attribute::S("all".to_owned()))?;
    if let Attribute::N(events) = &merge["events"] { Some(events.clone()) } else { None }
}

#[tokio::test(start_paused = true)]
async fn a_window_of_several_shards_is_stored_for_each_and_merged() {
    let sink = FakeSink::default();
    let mut states = Vec::new();
    for shard in 0..3 {
        let records: Vec<_> = (1..=3 + shard).map(|n| view(n, &format!("P{n}"))).collect();
        let outcome =
            keep("trends", &sink, window(shard, &json!({}), false), &records, Outcome::default()).await.unwrap();
        assert!(sink.table.borrow().is_empty() && counted(&outcome).is_empty());
        states.push(outcome.response.state.unwrap());
    }
    // Each may be told twice, the first one when all others are done, too.
    for (shard, total) in [(0, "3"), (1, "7"), (1, "7"), (2, "12"), (0, "12")] {
        let outcome =
            keep("trends", &sink, window(shard, &states[shard], true), &[], Outcome::default()).await.unwrap();
        assert_eq!(merged(&sink).as_deref(), Some(total));
        assert!(counted(&outcome).iter().any(|(metric, _)| *metric == "TopProductEvents"));
        assert_eq!(outcome.response.state, Some(json!({})));
    }
    assert_eq!(sink.table.borrow().len(), 4);
    // A shard to which nothing came.
    keep("trends", &sink, window(3, &json!({}), true), &[], Outcome::default()).await.unwrap();
    assert_eq!(sink.table.borrow().len(), 4);
}

/// Whichever call fails, the invocation fails with it; told again with the same state, it stores what it should have.
#[tokio::test(start_paused = true)]
async fn a_window_that_can_not_be_stored_is_told_again() {
    let state = state_of(&["P"]).await;
    for call in ["write", "query", "put_grown"] {
        let sink = FakeSink::default();
        let fails = Rc::new(Cell::new(true));
        let failing = |fails: &Rc<Cell<bool>>| {
            let fails = Rc::clone(fails);
            move || if fails.get() { Err(sink_error(false, "Throttled")) } else { Ok(()) }
        };
        match call {
            "write" => {
                let failing = failing(&fails);
                *sink.write.borrow_mut() = Box::new(move |_| failing().map(|()| Vec::new()));
            }
            "query" => *sink.query.borrow_mut() = Box::new(failing(&fails)),
            _ => *sink.put_grown.borrow_mut() = Box::new(failing(&fails)),
        }
        let error = keep("trends", &sink, window(0, &state, true), &[], Outcome::default()).await.unwrap_err();
        assert!(error.to_string().ends_with("Throttled: so it is"), "{error}");
        assert_eq!(merged(&sink), None);
        fails.set(false);
        keep("trends", &sink, window(0, &state, true), &[], Outcome::default()).await.unwrap();
        assert_eq!((merged(&sink).as_deref(), sink.table.borrow().len()), (Some("1"), 2), "{call}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_read_less_neither_overwrites_nor_counts() {
    let sink = Rc::new(FakeSink::default());
    let (one, two) = (state_of(&["P"]).await, state_of(&["P", "P"]).await);
    keep("trends", &sink, window(1, &two, true), &[], Outcome::default()).await.unwrap();
    // While this one merges what it has read, another shard closes.
    let other = Rc::new(FakeSink::default());
    keep("trends", &other, window(1, &two, true), &[], Outcome::default()).await.unwrap();
    keep("trends", &other, window(2, &two, true), &[], Outcome::default()).await.unwrap();
    let merge_of_two = other.table.borrow().values().find(|item| item.contains_key("parts")).unwrap().clone();
    let mut of_three = merge_of_two.clone();
    of_three.insert("parts", Attribute::N("3".to_owned()));
    *sink.put_grown.borrow_mut() = {
        let (sink, of_three) = (Rc::downgrade(&sink), of_three.clone());
        Box::new(move || {
            let sink = sink.upgrade().unwrap();
            let key = sink.table.borrow().iter().find(|(_, item)| item.contains_key("parts")).unwrap().0.clone();
            sink.table.borrow_mut().insert(key, of_three.clone());
            Ok(())
        })
    };
    let outcome = keep("trends", &sink, window(0, &one, true), &[], Outcome::default()).await.unwrap();
    assert!(sink.table.borrow().values().any(|item| *item == of_three));
    assert!(counted(&outcome).iter().all(|(metric, _)| *metric != "TopProductEvents"), "{:?}", counted(&outcome));
    assert!(counted(&outcome).iter().any(|(metric, _)| *metric == "WindowEvents"));
}
