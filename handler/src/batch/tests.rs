//! Tests of the batch: what is stored, sent to the dead letter queue, counted and reported as failed.

mod changes;
mod fake_sink;
mod memory;
mod outgoing;
mod parts;
mod playing;
mod redelivery;
mod replay;
mod windows;

use std::collections::HashSet;

use serde_json::{Value, json};
use streamkit_recipes::{Attribute, Item, Object, Settings};

use self::fake_sink::FakeSink;
use super::*;
use crate::event::Event;
use crate::record::{Content, decode};

fn record(sequence: usize, data: impl Into<Vec<u8>>) -> IncomingRecord {
    incoming(sequence, Ok(data.into()))
}

fn incoming(sequence: usize, data: Result<Vec<u8>, String>) -> IncomingRecord {
    IncomingRecord {
        withheld: None,
        indexes: Vec::new(),
        event_id: format!("shardId-000000000000:{sequence}"),
        sequence_number: sequence.to_string(),
        sub_sequence_number: None,
        source_arn: "arn".to_owned(),
        content: Content::Stream {
            shard_id: "shardId-000000000000".to_owned(),
            partition_key: Some("k".to_owned()),
            own_id: None,
            copy_of: None,
            arrival_ms: 1_700_000_000_000,
            data,
        },
    }
}

/// A batch of changes as Lambda delivers it; each inserts the item of its sequence number.
fn changes(numbers: std::ops::Range<usize>) -> Vec<IncomingRecord> {
    let record = |n: usize| {
        json!({"eventID": format!("e{n}"), "eventName": "INSERT", "eventSource": "aws:dynamodb", "awsRegion": "eu-west-1",
            "eventSourceARN": "arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/x",
            "dynamodb": {"ApproximateCreationDateTime": 1_700_000_000, "Keys": {"id": {"N": n.to_string()}},
                "NewImage": {"id": {"N": n.to_string()}}, "SequenceNumber": n.to_string(), "SizeBytes": 1,
                "StreamViewType": "NEW_AND_OLD_IMAGES"}})
    };
    let event = json!({"Records": numbers.map(record).collect::<Vec<_>>()});
    let event: Event = serde_json::from_str(&event.to_string()).unwrap();
    decode(event, changes_config().recipe, "eventId").unwrap()
}

/// A change whose parts are not what they should be.
fn broken_change(n: usize) -> IncomingRecord {
    let mut broken = changes(n..n + 1).remove(0);
    if let Content::Change { change, .. } = &mut broken.content {
        *change = Err(Rejected::new("invalid_change", "dynamodb: odd"));
    }
    broken
}

fn changes_config() -> Config {
    Config { recipe: streamkit_recipes::find("changes").unwrap(), ..config() }
}

fn object_number(object: &Object) -> usize {
    let body: Value = serde_json::from_slice(&object.body).unwrap();
    body["sequenceNumber"].as_str().unwrap().parse().unwrap()
}

fn good(sequence: usize, user: &str) -> IncomingRecord {
    record(sequence, json!({"userId": user, "eventType": "view"}).to_string())
}

fn bad(sequence: usize) -> IncomingRecord {
    record(sequence, "poison")
}

fn config() -> Config {
    Config {
        recipe: streamkit_recipes::find("retail").unwrap(),
        pipeline: "p".to_owned(),
        table: "t".to_owned(),
        bucket: "b".to_owned(),
        stream_arn: "arn".to_owned(),
        topic_arn: "arn".to_owned(),
        state_table: "s".to_owned(),
        settings: Settings::default(),
        parallel: false,
        dead_letter_queue_url: Some("http://queue".to_owned()),
        identity: "eventId".to_owned(),
        encryption: None,
        fail_on: None,
    }
}

async fn run_with(config: &Config, sink: &FakeSink, records: &[IncomingRecord]) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(30);
    let job = Job { config, function: "f", sink, deadline, now_ms: 1_700_000_001_000, replay: None };
    let outcome = job.run(records).await;
    assert!(Instant::now() < deadline);
    assert_eq!(outcome.processed + outcome.failed + outcome.retry + outcome.duplicates, records.len());
    outcome
}

async fn run(sink: &FakeSink, records: &[IncomingRecord]) -> Outcome {
    run_with(&config(), sink, records).await
}

fn failures(outcome: &Outcome) -> Vec<&str> {
    outcome.response.batch_item_failures.iter().map(|failure| &*failure.item_identifier).collect()
}

fn user(item: &Item) -> String {
    format!("{:?}", item["userId"])
}

fn sink_error(permanent: bool, code: &str) -> SinkError {
    SinkError { permanent, code: code.to_owned(), message: "so it is".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn batch_stores_good_and_sends_poison_to_the_queue() {
    let sink = FakeSink::default();
    let records: Vec<_> = (0..60).map(|n| if n % 20 == 7 { bad(n) } else { good(n, "u") }).collect();
    let outcome = run(&sink, &records).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (57, 3, 0));
    assert_eq!(outcome.response, Response::default());
    assert_eq!(*sink.writes.borrow(), [25, 25, 7]);
    assert_eq!(sink.table.borrow().len(), 57);
    assert_eq!(sink.dead_letters(), ["7", "27", "47"]);
    assert_eq!(sink.queue.borrow()[0]["payload"], "poison");
    assert_eq!(sink.queue.borrow()[0]["error"]["code"], "invalid_json");
    assert!(outcome.failures.iter().all(|failure| failure.handling == Handling::DeadLetter));
}

#[tokio::test(start_paused = true)]
async fn batch_without_good_or_without_records_is_fine() {
    let sink = FakeSink::default();
    assert_eq!(run(&sink, &[bad(1)]).await.failed, 1);
    assert_eq!(run(&sink, &[]).await.response, Response::default());
    assert!(sink.writes.borrow().is_empty());
    let not_base64 = incoming(2, Err("%".to_owned()));
    assert_eq!(run(&sink, &[not_base64]).await.failures[0].code, "not_base64");
    assert_eq!(sink.queue.borrow()[1]["payload"], "%");
}

#[tokio::test(start_paused = true)]
async fn batch_delivered_twice_leaves_the_same_items() {
    let sink = FakeSink::default();
    let records: Vec<_> = (0..10).map(|n| good(n, "u")).collect();
    run(&sink, &records).await;
    let first = sink.table.borrow().clone();
    run(&sink, &records).await;
    assert_eq!(*sink.table.borrow(), first);
    assert_eq!(first.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn batch_puts_one_key_once_and_the_later_item_stands() {
    let sink = FakeSink::default();
    // The same identity, as if one record stood in the event twice with different payloads.
    let records = [good(1, "u"), record(1, r#"{"userId":"u","eventType":"purchase"}"#)];
    assert_eq!(run(&sink, &records).await.processed, 2);
    assert_eq!(*sink.writes.borrow(), [1]);
    let table = sink.table.borrow();
    assert!(format!("{table:?}").contains("purchase"), "{table:?}");
}

#[tokio::test(start_paused = true)]
async fn unprocessed_items_are_sent_again_alone() {
    let mut calls = 0;
    let sink = FakeSink::writing(move |items| {
        calls += 1;
        Ok(if calls < 4 { (1..items.len()).collect() } else { vec![] })
    });
    let outcome = run(&sink, &(0..10).map(|n| good(n, "u")).collect::<Vec<_>>()).await;
    assert_eq!(*sink.writes.borrow(), [10, 9, 8, 7]);
    assert_eq!((outcome.processed, sink.table.borrow().len()), (10, 10));
}

#[tokio::test(start_paused = true)]
async fn unprocessed_items_to_the_end_are_retried_by_lambda() {
    let sink =
        FakeSink::writing(|items| Ok((0..items.len()).filter(|&place| user(items[place]).contains("slow")).collect()));
    let outcome = run(&sink, &[good(1, "u"), bad(2), good(3, "slow"), bad(4), good(5, "u")]).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (1, 1, 3));
    assert_eq!(failures(&outcome), ["3"]);
    assert_eq!(sink.dead_letters(), ["2"]);
    assert_eq!(outcome.failures[1].code, "UnprocessedItems");
    assert!(sink.writes.borrow().len() > 5);
}

#[tokio::test(start_paused = true)]
async fn throttled_call_fails_its_records_only() {
    let sink = FakeSink::writing(|items| {
        let throttled = items.iter().any(|item| user(item).contains("slow"));
        if throttled { Err(sink_error(false, "ThrottlingException")) } else { Ok(vec![]) }
    });
    let mut records: Vec<_> = (0..50).map(|n| good(n, "u")).collect();
    records[30] = good(30, "slow");
    let outcome = run(&sink, &records).await;
    assert_eq!((outcome.processed, outcome.retry), (25, 25));
    assert_eq!(failures(&outcome)[0], "25");
    assert_eq!(failures(&outcome).len(), 25);
}

#[tokio::test(start_paused = true)]
async fn call_that_hangs_is_abandoned_before_the_deadline() {
    struct Hangs;
    impl Sink for Hangs {
        async fn write(&self, _: &[&Item]) -> Result<Vec<usize>, SinkError> {
            std::future::pending().await
        }
        async fn read(&self, _: &[Item]) -> Result<(Vec<Item>, Vec<Item>), SinkError> {
            std::future::pending().await
        }
        async fn read_states(&self, _: &[String]) -> Result<(Vec<Item>, Vec<String>), SinkError> {
            std::future::pending().await
        }
        async fn write_state(&self, _: &Item, _: Option<&str>) -> Result<bool, SinkError> {
            std::future::pending().await
        }
        async fn put(&self, _: &Object, _: bool) -> Result<bool, SinkError> {
            std::future::pending().await
        }
        async fn put_records(&self, _: &[&OutgoingRecord]) -> Result<Vec<(usize, SinkError)>, SinkError> {
            std::future::pending().await
        }
        async fn publish(&self, _: &[&Notification]) -> Result<Vec<(usize, SinkError)>, SinkError> {
            std::future::pending().await
        }
        async fn send(&self, _: &[&DeadLetter]) -> Result<Vec<(usize, SinkError)>, SinkError> {
            std::future::pending().await
        }
    }
    let deadline = Instant::now() + Duration::from_secs(3);
    let config = &config();
    let job = Job { config, function: "f", sink: &Hangs, deadline, now_ms: 0, replay: None };
    let outcome = job.run(&[bad(1), good(2, "u")]).await;
    assert_eq!(failures(&outcome), ["1", "2"]);
    assert!(outcome.failures.iter().all(|failure| failure.code == "Timeout"));
    assert!(Instant::now() < deadline);

    let config = &changes_config();
    let deadline = Instant::now() + Duration::from_secs(3);
    let outcome = Job { config, deadline, ..job }.run(&changes(1..3)).await;
    assert_eq!(failures(&outcome), ["1", "2"]);
    assert!(Instant::now() < deadline);
}

#[tokio::test(start_paused = true)]
async fn item_that_the_table_refuses_becomes_a_dead_letter() {
    let sink = FakeSink::writing(|items| {
        let refused = items.iter().any(|item| user(item).contains("huge"));
        if refused { Err(sink_error(true, "ValidationException")) } else { Ok(vec![]) }
    });
    let outcome = run(&sink, &[good(1, "u"), good(2, "huge"), good(3, "u")]).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (2, 1, 0));
    assert_eq!(*sink.writes.borrow(), [3, 1, 1, 1]);
    assert_eq!(sink.dead_letters(), ["2"]);
    let error = &sink.queue.borrow()[0]["error"];
    assert_eq!(*error, json!({"code": "refused_by_table", "message": "ValidationException: so it is"}));
}

#[tokio::test(start_paused = true)]
async fn dead_letter_that_cannot_be_sent_moves_the_checkpoint() {
    let sink = FakeSink::sending(|letters| {
        let hit = letters.iter().position(|letter| letter.event_id.ends_with(":3"));
        Ok(hit.map(|place| (place, sink_error(true, "InvalidMessageContents"))).into_iter().collect())
    });
    let outcome = run(&sink, &[bad(1), good(2, "u"), bad(3), good(4, "u"), bad(5)]).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (1, 1, 3));
    assert_eq!(failures(&outcome), ["3"]);
    assert_eq!(outcome.failures.last().map(|failure| failure.handling), Some(Handling::Retry));
}

#[tokio::test(start_paused = true)]
async fn dead_letter_queue_that_fails_for_now_gets_its_entries_again() {
    let mut calls = 0;
    let sink = FakeSink::sending(move |letters| {
        calls += 1;
        Ok(if calls < 3 { vec![(letters.len() - 1, sink_error(false, "InternalError"))] } else { vec![] })
    });
    let outcome = run(&sink, &[bad(1), bad(2), bad(3)]).await;
    assert_eq!((outcome.failed, outcome.retry), (3, 0));
    assert_eq!(*sink.sends.borrow(), [3, 1, 1]);
    assert_eq!(sink.dead_letters(), ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn dead_letter_queue_that_is_gone_loses_nothing() {
    let sink = FakeSink::sending(|_| Err(sink_error(false, "QueueDoesNotExist")));
    let outcome = run(&sink, &[good(1, "u"), bad(2), good(3, "u"), bad(4)]).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (1, 0, 3));
    assert_eq!(failures(&outcome), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_fill_calls_by_number_and_size() {
    let sink = FakeSink::default();
    let mut records: Vec<_> = (0..12).map(bad).collect();
    records.extend((12..15).map(|n| record(n, "x".repeat(400 * 1024))));
    assert_eq!(run(&sink, &records).await.failed, 15);
    assert_eq!(*sink.sends.borrow(), [10, 4, 1]);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_too_long_together_are_sent_alone() {
    let sink = FakeSink::sending(|letters| {
        let bytes: usize = letters.iter().map(|letter| letter.bytes()).sum();
        if bytes > 256 * 1024 { Err(sink_error(true, "BatchRequestTooLong")) } else { Ok(vec![]) }
    });
    let long = |n| record(n, "x".repeat(200 * 1024));
    assert_eq!(run(&sink, &[long(1), long(2), long(3)]).await.failed, 3);
    assert_eq!(*sink.sends.borrow(), [3, 1, 1, 1]);

    let outcome = run(&sink, &[long(1), record(2, "x".repeat(300 * 1024)), long(3)]).await;
    assert_eq!((outcome.failed, failures(&outcome)), (1, vec!["2"]));
}

#[tokio::test(start_paused = true)]
async fn record_too_long_for_a_dead_letter_leaves_one_that_says_where_it_lies() {
    let sink = FakeSink::default();
    let outcome = run(&sink, &[bad(1), record(2, vec![0xff; 1024 * 1024]), bad(3)]).await;
    assert_eq!((outcome.failed, failures(&outcome)), (3, vec![]));
    assert_eq!(sink.dead_letters(), ["1", "2", "3"]);
    let letter = sink.queue.borrow()[1].clone();
    assert_eq!((&letter["payloadBytes"], &letter["payloadAt"]["sequenceNumber"]), (&json!(1024 * 1024), &json!("2")));
    assert_eq!((&letter["error"]["code"], &letter["payloadBase64"]), (&json!("not_utf8"), &Value::Null));
}

/// The record of this number as its `sub`th part, when the Kinesis Producer Library has aggregated it.
fn part(sequence: usize, sub: u64, data: &Value) -> IncomingRecord {
    let mut part = record(sequence, data.to_string());
    part.sub_sequence_number = Some(sub);
    part.event_id = format!("{}:{sub}", part.event_id);
    part
}

#[tokio::test(start_paused = true)]
async fn aggregated_records_are_delivered_again_together() {
    let view = |user: &str| json!({"userId": user, "eventType": "view"});
    let parts = [part(2, 0, &view("b")), part(2, 1, &view("late")), part(2, 2, &view("late"))];
    let records: Vec<_> = [good(1, "a")].into_iter().chain(parts).chain([good(3, "c")]).collect();
    let sink = FakeSink::writing(|items| {
        let late = |item: &Item| item["userId"] == streamkit_recipes::Attribute::S("late".to_owned());
        Ok((0..items.len()).filter(|place| late(items[*place])).collect())
    });
    let outcome = run(&sink, &records).await;
    // Lambda is told of the stream's record, once, and no part of it counts yet.
    assert_eq!(failures(&outcome), ["2"]);
    assert_eq!((outcome.processed, outcome.retry), (1, 4));

    let sink = FakeSink::default();
    let outcome = run(&sink, &[part(2, 0, &view("b")), part(2, 1, &json!({})), part(2, 2, &view("b"))]).await;
    assert_eq!((outcome.processed, outcome.failed, failures(&outcome)), (2, 1, vec![]));
    let letter = sink.queue.borrow()[0].clone();
    assert_eq!((&letter["sequenceNumber"], &letter["subSequenceNumber"]), (&json!("2"), &json!(1)));
    assert_eq!(sink.table.borrow().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_in_the_stream_twice_is_one_item() {
    let event = |n: usize| {
        let data = json!({"eventId": "e-1", "userId": "u", "eventType": "view", "timestamp": 7}).to_string();
        let mut record = record(n, data);
        if let Content::Stream { own_id, .. } = &mut record.content {
            *own_id = Some("e-1".to_owned());
        }
        record.event_id = "e-1".to_owned();
        record
    };
    let sink = FakeSink::default();
    run(&sink, &[event(1), event(2)]).await;
    run(&sink, &[event(3)]).await;
    assert_eq!(sink.table.borrow().len(), 1);
    assert_eq!(run(&sink, &[good(4, "u"), good(5, "u")]).await.processed, 2);
    assert_eq!(sink.table.borrow().len(), 3, "without an id of its own each record is an event");
}

#[tokio::test(start_paused = true)]
async fn poison_without_a_queue_is_reported_as_failed() {
    let sink = FakeSink::default();
    let config = Config { dead_letter_queue_url: None, ..config() };
    let outcome = run_with(&config, &sink, &[good(1, "u"), bad(2), good(3, "u"), bad(4)]).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (1, 0, 3));
    assert_eq!(failures(&outcome), ["2", "4"]);
    assert!(sink.sends.borrow().is_empty());
}
