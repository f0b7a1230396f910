//! Tests of batches that a recipe looks at as a whole: one object for each hour, done or delivered again as a whole.

use serde_json::value::RawValue;

use super::*;
use crate::received::ReceivedBatch;

/// 2023-11-14T22:13:20Z
const SECONDS: usize = 1_700_000_000;

fn archive_config() -> Config {
    Config { recipe: streamkit_recipes::find("archive").unwrap(), ..config() }
}

/// A batch as Lambda delivers it, in which each record arrived an hour after the one before it.
fn event(numbers: std::ops::Range<usize>) -> String {
    let record = |n: usize| {
        json!({"eventSource": "aws:kinesis", "eventID": format!("shardId-000000000000:{n}"),
            "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/s",
            "kinesis": {"sequenceNumber": n.to_string(), "partitionKey": "k", "data": "not base64!",
                "approximateArrivalTimestamp": SECONDS + 3600 * n}})
    };
    json!({"Records": numbers.map(record).collect::<Vec<_>>()}).to_string()
}

async fn run_parts(config: &Config, sink: &FakeSink, event: &str) -> (Vec<IncomingRecord>, Outcome) {
    let event: Event<&RawValue> = serde_json::from_str(event).unwrap();
    let batch = ReceivedBatch::of(&event, config.recipe).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let job = Job { config, function: "f", sink, deadline, now_ms: 0, replay: None };
    let (firsts, outcome) = job.run_batched(config.recipe.batched().unwrap(), &batch).await.unwrap();
    assert_eq!(outcome.processed + outcome.retry, event.records.len());
    assert!(sink.queue.borrow().is_empty(), "no record is rejected");
    (firsts, outcome)
}

fn first_of(object: &Object) -> usize {
    let name = object.key.rsplit('/').next().unwrap();
    name.split('-').next().unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_part_is_an_object_and_a_notification() {
    let sink = FakeSink::default();
    let (_, outcome) = run_parts(&archive_config(), &sink, &event(7..10)).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (3, 0, 0));
    assert_eq!(sink.topic(), ["7", "8", "9"]);
    assert_eq!(sink.bucket.borrow().len(), 3);
    let objects = outcome.counts.iter().find(|(series, _)| series.metric == "ArchivedObjects");
    assert_eq!(objects.map(|(_, values)| values.to_vec()), Some(vec![3.0]));
    // Again, and with nobody to tell.
    let config = Config { topic_arn: String::new(), dead_letter_queue_url: None, ..archive_config() };
    let (_, outcome) = run_parts(&config, &sink, &event(7..10)).await;
    assert_eq!((outcome.processed, sink.bucket.borrow().len(), sink.topic().len()), (3, 3, 3));
    assert_eq!(run_parts(&config, &sink, &event(7..7)).await.1.response, Response::default());
}

#[tokio::test(start_paused = true)]
async fn from_a_part_that_is_not_stored_on_all_are_delivered_again() {
    for permanent in [false, true] {
        let error = sink_error(permanent, "SlowDown");
        let sink = FakeSink::putting(move |object| if first_of(object) == 8 { Err(error.clone()) } else { Ok(()) });
        let (firsts, outcome) = run_parts(&archive_config(), &sink, &event(5..10)).await;
        assert_eq!((outcome.processed, outcome.failed, outcome.retry), (3, 0, 2));
        assert_eq!(failures(&outcome), ["8"]);
        assert_eq!(firsts[outcome.failures[0].place].sequence_number, "8");
        assert_eq!(sink.topic(), ["5", "6", "7"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_notification_that_is_refused_is_published_again() {
    let sink = FakeSink::publishing(|messages| {
        let hit = messages.iter().position(|message| message.attributes["sequenceNumber"] == "6");
        Ok(hit.map(|place| (place, sink_error(true, "InvalidParameter"))).into_iter().collect())
    });
    let (_, outcome) = run_parts(&archive_config(), &sink, &event(5..8)).await;
    assert_eq!((outcome.processed, outcome.retry, failures(&outcome)), (1, 2, vec!["6"]));
}
