//! Records that are put into a stream: each partition key's in order, whatever the stream fails; and copies, by what they are of.

use std::cell::RefCell;
use std::collections::BTreeMap;

use streamkit_recipes::{CopyOf, OutgoingRecord};

use super::*;
use crate::aggregated::{aggregate, hash_key};

fn mirror_config() -> Config {
    Config { recipe: streamkit_recipes::find("mirror").unwrap(), ..config() }
}

/// A record of a stream, with this partition key.
fn of_key(sequence: usize, key: &str) -> IncomingRecord {
    let mut record = record(sequence, json!({"userId": key, "n": sequence}).to_string());
    if let Content::Stream { partition_key, .. } = &mut record.content {
        *partition_key = Some(key.to_owned());
    }
    record
}

/// The places of the records that the stream holds copies of, by partition key, in order.
fn copies(sink: &FakeSink) -> BTreeMap<String, Vec<usize>> {
    let mut all: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for record in sink.stream.borrow().iter() {
        let (of, _) = CopyOf::read(&record.data).unwrap();
        all.entry(record.partition_key.clone()).or_default().push(of.sequence_number.parse().unwrap());
    }
    all
}

fn putting(put: impl FnMut(&[&OutgoingRecord]) -> Result<Vec<(usize, SinkError)>, SinkError> + 'static) -> FakeSink {
    FakeSink { put_records: RefCell::new(Box::new(put)), ..FakeSink::default() }
}

fn throttled(places: impl IntoIterator<Item = usize>) -> Vec<(usize, SinkError)> {
    places.into_iter().map(|place| (place, sink_error(false, "ProvisionedThroughputExceededException"))).collect()
}

fn number(record: &OutgoingRecord) -> usize {
    CopyOf::read(&record.data).unwrap().0.sequence_number.parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn many_keys_go_together_and_those_of_one_key_one_after_the_other() {
    let sink = FakeSink::default();
    let records: Vec<_> = (0..1203).map(|n| of_key(n, &if n < 3 { "hot".to_owned() } else { n.to_string() })).collect();
    let outcome = run_with(&mirror_config(), &sink, &records).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (1203, 0, 0));
    assert_eq!(*sink.record_calls.borrow(), [500, 500, 201, 1, 1]);
    assert_eq!(copies(&sink)["hot"], [0, 1, 2]);
    assert_eq!(sink.stream.borrow().len(), 1203);
}

#[tokio::test(start_paused = true)]
async fn a_call_has_no_more_bytes_than_the_stream_takes() {
    let sink = FakeSink::default();
    let large = |n: usize| {
        let mut record = of_key(n, &n.to_string());
        if let Content::Stream { data, .. } = &mut record.content {
            *data = Ok(vec![b'x'; 900_000]);
        }
        record
    };
    let records: Vec<_> = (0..9).map(large).collect();
    // In base64 each has 1.2 MB, so four are below five mebibytes.
    run_with(&mirror_config(), &sink, &records).await;
    assert_eq!(*sink.record_calls.borrow(), [4, 4, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_the_stream_fails_is_put_again_before_anything_of_its_key() {
    // Half of what comes is failed, again and again.
    let mut calls = 0;
    let sink = putting(move |records| {
        calls += 1;
        Ok(throttled((0..records.len()).filter(|place| (place + calls) % 2 == 0)))
    });
    let records: Vec<_> = (0..60).map(|n| of_key(n, ["a", "b", "c", "d"][n % 4])).collect();
    let outcome = run_with(&mirror_config(), &sink, &records).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (60, 0, 0));
    for (place, key) in ["a", "b", "c", "d"].into_iter().enumerate() {
        assert_eq!(copies(&sink)[key], (0..15).map(|n| 4 * n + place).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_the_stream_never_takes_is_delivered_again_and_nothing_of_its_key_overtakes_it() {
    let sink = putting(|records| Ok(throttled((0..records.len()).filter(|place| number(records[*place]) == 5))));
    let records: Vec<_> = (0..12).map(|n| of_key(n, if n % 2 == 1 { "odd" } else { "even" })).collect();
    let outcome = run_with(&mirror_config(), &sink, &records).await;
    assert_eq!(failures(&outcome)[0], "5");
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (5, 0, 7));
    assert_eq!(copies(&sink)["odd"], [1, 3]);
    // What is before it is there; what is behind it may be, in order, and comes again.
    let even = &copies(&sink)["even"];
    assert!(even.starts_with(&[0, 2, 4]) && even.is_sorted(), "{even:?}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_delivered_again_leaves_the_same_copies_twice() {
    let records: Vec<_> = (0..3).map(|n| of_key(n, "k")).collect();
    let sink = FakeSink::default();
    run_with(&mirror_config(), &sink, &records).await;
    run_with(&mirror_config(), &sink, &records).await;
    let stream = sink.stream.borrow();
    assert_eq!(stream[..3], stream[3..]);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_the_stream_refuses_becomes_a_dead_letter_and_the_others_are_copied() {
    let sink = putting(|records| {
        if records.iter().any(|record| number(record) == 1) {
            return Err(sink_error(true, "InvalidArgumentException"));
        }
        Ok(Vec::new())
    });
    let records: Vec<_> = (0..4).map(|n| of_key(n, if n < 2 { "k" } else { "l" })).collect();
    let outcome = run_with(&mirror_config(), &sink, &records).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (3, 1, 0));
    assert_eq!(sink.dead_letters(), ["1"]);
    assert_eq!(sink.queue.borrow()[0]["error"]["code"], "refused_by_stream");
    assert_eq!(copies(&sink), BTreeMap::from([("k".to_owned(), vec![0]), ("l".to_owned(), vec![2, 3])]));
    // Without a queue Lambda keeps it, and all behind it.
    let without = Config { dead_letter_queue_url: None, ..mirror_config() };
    let outcome = run_with(&without, &sink, &records).await;
    assert_eq!((outcome.processed, outcome.retry, failures(&outcome)), (1, 3, vec!["1"]));
}

#[tokio::test(start_paused = true)]
async fn when_the_stream_does_not_answer_all_is_delivered_again() {
    let sink = putting(|_| Err(sink_error(false, "Timeout")));
    let records: Vec<_> = (0..3).map(|n| of_key(n, &n.to_string())).collect();
    let outcome = run_with(&mirror_config(), &sink, &records).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (0, 0, 3));
    assert!(sink.stream.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_replay_copies_again_and_says_that_nobody_knows_whether_it_was_copied() {
    let (config, sink) = (mirror_config(), FakeSink::default());
    let records: Vec<_> = (0..3).map(|n| of_key(n, "k")).collect();
    let deadline = Instant::now() + Duration::from_secs(30);
    let job = Job {
        config: &config,
        function: "f",
        sink: &sink,
        deadline,
        now_ms: 1_700_000_001_000,
        replay: Some(Replay { history: true, ..Replay::default() }),
    };
    let outcome = job.run(&records).await;
    assert_eq!((outcome.processed, outcome.duplicates), (3, 0));
    assert_eq!(copies(&sink)["k"], [0, 1, 2]);
}

/// The copies that a mirror makes of these records, as Lambda delivers them from the other stream, in other places.
async fn delivered(records: &[IncomingRecord], recipe: &str) -> Vec<IncomingRecord> {
    let sink = FakeSink::default();
    run_with(&mirror_config(), &sink, records).await;
    let stream = sink.stream.take();
    let event = stream.iter().zip(7_000..).map(|(copy, n)| {
        use base64::Engine as _;
        let data = base64::engine::general_purpose::STANDARD.encode(&copy.data);
        json!({"eventSource": "aws:kinesis", "eventID": format!("shardId-000000000009:{n}"), "awsRegion": "eu-west-1",
            "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/copy",
            "kinesis": {"sequenceNumber": n.to_string(), "partitionKey": copy.partition_key, "data": data,
                "approximateArrivalTimestamp": 1_800_000_000}})
    });
    let event = json!({"Records": event.collect::<Vec<_>>()});
    let event: Event = serde_json::from_str(&event.to_string()).unwrap();
    decode(event, streamkit_recipes::find(recipe).unwrap(), "eventId").unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_same_items_follow_from_copies_as_from_their_records() {
    let mut originals: Vec<_> = (0..20).map(|n| good(n, "u")).collect();
    let mut named = record(20, json!({"userId": "u", "eventType": "view", "eventId": "own-1"}).to_string());
    if let Content::Stream { own_id, .. } = &mut named.content {
        *own_id = Some("own-1".to_owned());
    }
    originals.push(named);
    let (here, there) = (FakeSink::default(), FakeSink::default());
    run(&here, &originals).await;
    let copies = delivered(&originals, "retail").await;
    assert_eq!(copies[0].event_id, "shardId-000000000000:0");
    assert_eq!(copies[20].event_id, "own-1");
    for _ in 0..2 {
        let outcome = run(&there, &copies).await;
        assert_eq!(outcome.processed, 21);
    }
    assert_eq!(here.table.borrow().len(), 21);
    assert_eq!(*here.table.borrow(), *there.table.borrow());
}

#[tokio::test(start_paused = true)]
async fn aggregated_records_are_copied_whole_to_the_shard_of_their_keys_and_taken_apart_there() {
    let payload = aggregate(&[("a", br#"{"userId":"a","eventType":"view"}"#), ("b", b"poison")]);
    let originals = [record(3, payload.clone()), record(4, payload.clone())];
    let sink = FakeSink::default();
    run_with(&mirror_config(), &sink, &originals).await;
    // They need not wait for each other: the library does not keep their order either.
    assert_eq!(*sink.record_calls.borrow(), [2]);
    assert_eq!(sink.stream.borrow()[0].explicit_hash_key, hash_key(&payload));
    let copies = delivered(&originals[..1], "retail").await;
    let ids: Vec<_> = copies.iter().map(|copy| copy.event_id.as_str()).collect();
    assert_eq!(ids, ["shardId-000000000000:3:0", "shardId-000000000000:3:1"]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_of_a_copy_has_its_place_and_is_a_copy_when_it_is_played() {
    let sink = FakeSink::default();
    let originals = [bad(5), record(6, aggregate(&[("a", b"poison")]))];
    run(&sink, &delivered(&originals, "retail").await).await;
    let queue = sink.queue.borrow();
    for (letter, (place, id)) in
        queue.iter().zip([("7000", "shardId-000000000000:5"), ("7001", "shardId-000000000000:6:0")])
    {
        assert_eq!((&letter["sequenceNumber"], &letter["eventId"]), (&json!(place), &json!(id)));
        let (of, payload) = CopyOf::read(letter["payload"].as_str().unwrap().as_bytes()).unwrap();
        assert!(id.starts_with(&of.place()) && payload == b"poison");
    }
}
