//! Tests of the batch: what is stored, put aside, counted and asked for again, against a sink that fails as told.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use streamkit_recipes::{Item, Object};

use super::*;
use crate::event::{Content, Event, decode};

type Write = dyn FnMut(&[&Item]) -> Result<Vec<usize>, Fault>;
type Put = dyn FnMut(&Object) -> Result<(), Fault>;
type Publish = dyn FnMut(&[&Notification]) -> Result<Vec<(usize, Fault)>, Fault>;
type Send = dyn FnMut(&[&Letter]) -> Result<Vec<(usize, Fault)>, Fault>;

/// A table, a bucket, a topic and a queue in memory; `write`, `put`, `publish` and `send` say how a call fails.
struct Fake {
    write: RefCell<Box<Write>>,
    put: RefCell<Box<Put>>,
    publish: RefCell<Box<Publish>>,
    send: RefCell<Box<Send>>,
    bucket: RefCell<BTreeMap<String, Value>>,
    /// The sequence numbers of all that was published.
    topic: RefCell<Vec<String>>,
    publishes: RefCell<Vec<usize>>,
    table: RefCell<BTreeMap<String, Item>>,
    queue: RefCell<Vec<Value>>,
    writes: RefCell<Vec<usize>>,
    sends: RefCell<Vec<usize>>,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            write: RefCell::new(Box::new(|_| Ok(vec![]))),
            put: RefCell::new(Box::new(|_| Ok(()))),
            publish: RefCell::new(Box::new(|_| Ok(vec![]))),
            bucket: RefCell::default(),
            topic: RefCell::default(),
            publishes: RefCell::default(),
            send: RefCell::new(Box::new(|_| Ok(vec![]))),
            table: RefCell::default(),
            queue: RefCell::default(),
            writes: RefCell::default(),
            sends: RefCell::default(),
        }
    }
}

impl Fake {
    fn writing(write: impl FnMut(&[&Item]) -> Result<Vec<usize>, Fault> + 'static) -> Self {
        Self { write: RefCell::new(Box::new(write)), ..Self::default() }
    }

    fn sending(send: impl FnMut(&[&Letter]) -> Result<Vec<(usize, Fault)>, Fault> + 'static) -> Self {
        Self { send: RefCell::new(Box::new(send)), ..Self::default() }
    }

    fn putting(put: impl FnMut(&Object) -> Result<(), Fault> + 'static) -> Self {
        Self { put: RefCell::new(Box::new(put)), ..Self::default() }
    }

    fn publishing(publish: impl FnMut(&[&Notification]) -> Result<Vec<(usize, Fault)>, Fault> + 'static) -> Self {
        Self { publish: RefCell::new(Box::new(publish)), ..Self::default() }
    }

    fn topic(&self) -> Vec<String> {
        self.topic.borrow().clone()
    }

    fn letters(&self) -> Vec<String> {
        self.queue.borrow().iter().map(|body| body["sequenceNumber"].as_str().unwrap().to_owned()).collect()
    }
}

impl Sink for Fake {
    async fn write(&self, items: &[&Item]) -> Result<Vec<usize>, Fault> {
        self.writes.borrow_mut().push(items.len());
        let left = self.write.borrow_mut()(items)?;
        for (place, item) in items.iter().enumerate() {
            if !left.contains(&place) {
                let key = format!("{:?} {:?}", item["userId"], item["eventTimestamp"]);
                self.table.borrow_mut().insert(key, (*item).clone());
            }
        }
        Ok(left)
    }

    async fn put(&self, object: &Object) -> Result<(), Fault> {
        self.put.borrow_mut()(object)?;
        self.bucket.borrow_mut().insert(object.key.clone(), serde_json::from_str(&object.body).unwrap());
        Ok(())
    }

    async fn publish(&self, notifications: &[&Notification]) -> Result<Vec<(usize, Fault)>, Fault> {
        self.publishes.borrow_mut().push(notifications.len());
        let refused = self.publish.borrow_mut()(notifications)?;
        for (place, notification) in notifications.iter().enumerate() {
            if !refused.iter().any(|(refused, _)| *refused == place) {
                self.topic.borrow_mut().push(notification.attributes["sequenceNumber"].clone());
            }
        }
        Ok(refused)
    }

    async fn send(&self, letters: &[&Letter]) -> Result<Vec<(usize, Fault)>, Fault> {
        self.sends.borrow_mut().push(letters.len());
        let refused = self.send.borrow_mut()(letters)?;
        for (place, letter) in letters.iter().enumerate() {
            if !refused.iter().any(|(refused, _)| *refused == place) {
                self.queue.borrow_mut().push(serde_json::from_str(&letter.body).unwrap());
            }
        }
        Ok(refused)
    }
}

fn record(sequence: usize, data: impl Into<Vec<u8>>) -> Incoming {
    incoming(sequence, Ok(data.into()))
}

fn incoming(sequence: usize, data: Result<Vec<u8>, String>) -> Incoming {
    Incoming {
        event_id: format!("shardId-000000000000:{sequence}"),
        sequence_number: sequence.to_string(),
        source_arn: "arn".to_owned(),
        content: Content::Stream {
            shard_id: "shardId-000000000000".to_owned(),
            partition_key: "k".to_owned(),
            arrival_ms: 1_700_000_000_000,
            data,
        },
    }
}

/// A batch of changes as Lambda delivers it; each inserts the item of its sequence number.
fn changes(numbers: std::ops::Range<usize>) -> Vec<Incoming> {
    let record = |n: usize| {
        json!({"eventID": format!("e{n}"), "eventName": "INSERT", "eventSource": "aws:dynamodb", "awsRegion": "eu-west-1",
            "eventSourceARN": "arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/x",
            "dynamodb": {"ApproximateCreationDateTime": 1_700_000_000, "Keys": {"id": {"N": n.to_string()}},
                "NewImage": {"id": {"N": n.to_string()}}, "SequenceNumber": n.to_string(), "SizeBytes": 1,
                "StreamViewType": "NEW_AND_OLD_IMAGES"}})
    };
    let event = json!({"Records": numbers.map(record).collect::<Vec<_>>()});
    let event: Event = serde_json::from_str(&event.to_string()).unwrap();
    decode(event, changes_config().recipe).unwrap()
}

/// A change whose parts are not what they should be.
fn broken_change(n: usize) -> Incoming {
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
    let body: Value = serde_json::from_str(&object.body).unwrap();
    body["sequenceNumber"].as_str().unwrap().parse().unwrap()
}

fn good(sequence: usize, user: &str) -> Incoming {
    record(sequence, json!({"userId": user, "eventType": "view"}).to_string())
}

fn bad(sequence: usize) -> Incoming {
    record(sequence, "poison")
}

fn config() -> Config {
    Config {
        recipe: streamkit_recipes::find("retail").unwrap(),
        pipeline: "p".to_owned(),
        table: "t".to_owned(),
        bucket: "b".to_owned(),
        topic_arn: "arn".to_owned(),
        dead_letter_queue_url: Some("http://queue".to_owned()),
        fail_on: None,
    }
}

async fn run_with(config: &Config, sink: &Fake, records: &[Incoming]) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(30);
    let job = Job { config, function: "f", sink, deadline, now_ms: 1_700_000_001_000 };
    let outcome = job.run(records).await;
    assert!(Instant::now() < deadline);
    assert_eq!(outcome.processed + outcome.failed + outcome.retry, records.len());
    outcome
}

async fn run(sink: &Fake, records: &[Incoming]) -> Outcome {
    run_with(&config(), sink, records).await
}

fn failures(outcome: &Outcome) -> Vec<&str> {
    outcome.response.batch_item_failures.iter().map(|failure| &*failure.item_identifier).collect()
}

fn user(item: &Item) -> String {
    format!("{:?}", item["userId"])
}

fn fault(permanent: bool, code: &str) -> Fault {
    Fault { permanent, code: code.to_owned(), message: "so it is".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn batch_stores_good_and_puts_poison_aside() {
    let sink = Fake::default();
    let records: Vec<_> = (0..60).map(|n| if n % 20 == 7 { bad(n) } else { good(n, "u") }).collect();
    let outcome = run(&sink, &records).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (57, 3, 0));
    assert_eq!(outcome.response, Response::default());
    assert_eq!(*sink.writes.borrow(), [25, 25, 7]);
    assert_eq!(sink.table.borrow().len(), 57);
    assert_eq!(sink.letters(), ["7", "27", "47"]);
    assert_eq!(sink.queue.borrow()[0]["payload"], "poison");
    assert_eq!(sink.queue.borrow()[0]["error"]["code"], "invalid_json");
    assert!(outcome.failures.iter().all(|failure| failure.handling == Handling::DeadLetter));
}

#[tokio::test(start_paused = true)]
async fn batch_without_good_or_without_records_is_fine() {
    let sink = Fake::default();
    assert_eq!(run(&sink, &[bad(1)]).await.failed, 1);
    assert_eq!(run(&sink, &[]).await.response, Response::default());
    assert!(sink.writes.borrow().is_empty());
    let not_base64 = incoming(2, Err("%".to_owned()));
    assert_eq!(run(&sink, &[not_base64]).await.failures[0].code, "not_base64");
    assert_eq!(sink.queue.borrow()[1]["payload"], "%");
}

#[tokio::test(start_paused = true)]
async fn batch_delivered_twice_leaves_the_same_items() {
    let sink = Fake::default();
    let records: Vec<_> = (0..10).map(|n| good(n, "u")).collect();
    run(&sink, &records).await;
    let first = sink.table.borrow().clone();
    run(&sink, &records).await;
    assert_eq!(*sink.table.borrow(), first);
    assert_eq!(first.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn batch_puts_one_key_once_and_the_later_item_stands() {
    let sink = Fake::default();
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
    let sink = Fake::writing(move |items| {
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
        Fake::writing(|items| Ok((0..items.len()).filter(|&place| user(items[place]).contains("slow")).collect()));
    let outcome = run(&sink, &[good(1, "u"), bad(2), good(3, "slow"), bad(4), good(5, "u")]).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (1, 1, 3));
    assert_eq!(failures(&outcome), ["3"]);
    assert_eq!(sink.letters(), ["2"]);
    assert_eq!(outcome.failures[1].code, "UnprocessedItems");
    assert!(sink.writes.borrow().len() > 5);
}

#[tokio::test(start_paused = true)]
async fn throttled_call_fails_its_records_only() {
    let sink = Fake::writing(|items| {
        let throttled = items.iter().any(|item| user(item).contains("slow"));
        if throttled { Err(fault(false, "ThrottlingException")) } else { Ok(vec![]) }
    });
    let mut records: Vec<_> = (0..50).map(|n| good(n, "u")).collect();
    records[30] = good(30, "slow");
    let outcome = run(&sink, &records).await;
    assert_eq!((outcome.processed, outcome.retry), (25, 25));
    assert_eq!(failures(&outcome)[0], "25");
    assert_eq!(failures(&outcome).len(), 25);
}

#[tokio::test(start_paused = true)]
async fn call_that_hangs_is_given_up_before_the_deadline() {
    struct Hangs;
    impl Sink for Hangs {
        async fn write(&self, _: &[&Item]) -> Result<Vec<usize>, Fault> {
            std::future::pending().await
        }
        async fn put(&self, _: &Object) -> Result<(), Fault> {
            std::future::pending().await
        }
        async fn publish(&self, _: &[&Notification]) -> Result<Vec<(usize, Fault)>, Fault> {
            std::future::pending().await
        }
        async fn send(&self, _: &[&Letter]) -> Result<Vec<(usize, Fault)>, Fault> {
            std::future::pending().await
        }
    }
    let deadline = Instant::now() + Duration::from_secs(3);
    let config = &config();
    let job = Job { config, function: "f", sink: &Hangs, deadline, now_ms: 0 };
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
async fn item_that_the_table_refuses_is_found_and_put_aside() {
    let sink = Fake::writing(|items| {
        let refused = items.iter().any(|item| user(item).contains("huge"));
        if refused { Err(fault(true, "ValidationException")) } else { Ok(vec![]) }
    });
    let outcome = run(&sink, &[good(1, "u"), good(2, "huge"), good(3, "u")]).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (2, 1, 0));
    assert_eq!(*sink.writes.borrow(), [3, 1, 1, 1]);
    assert_eq!(sink.letters(), ["2"]);
    let error = &sink.queue.borrow()[0]["error"];
    assert_eq!(*error, json!({"code": "refused_by_table", "message": "ValidationException: so it is"}));
}

#[tokio::test(start_paused = true)]
async fn dead_letter_that_cannot_be_sent_moves_the_checkpoint() {
    let sink = Fake::sending(|letters| {
        let hit = letters.iter().position(|letter| letter.event_id.ends_with(":3"));
        Ok(hit.map(|place| (place, fault(true, "InvalidMessageContents"))).into_iter().collect())
    });
    let outcome = run(&sink, &[bad(1), good(2, "u"), bad(3), good(4, "u"), bad(5)]).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (1, 1, 3));
    assert_eq!(failures(&outcome), ["3"]);
    assert_eq!(outcome.failures.last().map(|failure| failure.handling), Some(Handling::Retry));
}

#[tokio::test(start_paused = true)]
async fn dead_letter_queue_that_stumbles_gets_its_letters_again() {
    let mut calls = 0;
    let sink = Fake::sending(move |letters| {
        calls += 1;
        Ok(if calls < 3 { vec![(letters.len() - 1, fault(false, "InternalError"))] } else { vec![] })
    });
    let outcome = run(&sink, &[bad(1), bad(2), bad(3)]).await;
    assert_eq!((outcome.failed, outcome.retry), (3, 0));
    assert_eq!(*sink.sends.borrow(), [3, 1, 1]);
    assert_eq!(sink.letters(), ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn dead_letter_queue_that_is_gone_loses_nothing() {
    let sink = Fake::sending(|_| Err(fault(false, "QueueDoesNotExist")));
    let outcome = run(&sink, &[good(1, "u"), bad(2), good(3, "u"), bad(4)]).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (1, 0, 3));
    assert_eq!(failures(&outcome), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_fill_calls_by_number_and_size() {
    let sink = Fake::default();
    let mut records: Vec<_> = (0..12).map(bad).collect();
    records.extend((12..15).map(|n| record(n, "x".repeat(400 * 1024))));
    assert_eq!(run(&sink, &records).await.failed, 15);
    assert_eq!(*sink.sends.borrow(), [10, 4, 1]);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_too_long_together_are_sent_alone() {
    let sink = Fake::sending(|letters| {
        let bytes: usize = letters.iter().map(|letter| letter.bytes()).sum();
        if bytes > 256 * 1024 { Err(fault(true, "BatchRequestTooLong")) } else { Ok(vec![]) }
    });
    let long = |n| record(n, "x".repeat(200 * 1024));
    assert_eq!(run(&sink, &[long(1), long(2), long(3)]).await.failed, 3);
    assert_eq!(*sink.sends.borrow(), [3, 1, 1, 1]);

    let outcome = run(&sink, &[long(1), record(2, "x".repeat(300 * 1024)), long(3)]).await;
    assert_eq!((outcome.failed, failures(&outcome)), (1, vec!["2"]));
}

#[tokio::test(start_paused = true)]
async fn record_too_long_for_a_letter_is_left_to_lambda() {
    let sink = Fake::default();
    let outcome = run(&sink, &[bad(1), record(2, vec![0xff; 1024 * 1024]), bad(3)]).await;
    assert_eq!((outcome.failed, failures(&outcome)), (1, vec!["2"]));
    assert_eq!(outcome.failures[1].code, "DeadLetterTooLong");
    assert_eq!(sink.letters(), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn poison_without_a_queue_is_left_to_lambda() {
    let sink = Fake::default();
    let config = Config { dead_letter_queue_url: None, ..config() };
    let outcome = run_with(&config, &sink, &[good(1, "u"), bad(2), good(3, "u"), bad(4)]).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (1, 0, 3));
    assert_eq!(failures(&outcome), ["2", "4"]);
    assert!(sink.sends.borrow().is_empty());
}

fn is_poison(record: &Incoming) -> bool {
    matches!(&record.content, Content::Stream { data, .. } if *data == Ok(b"poison".to_vec()))
}

#[tokio::test(start_paused = true)]
async fn changes_become_objects_and_notifications() {
    let sink = Fake::default();
    let outcome = run_with(&changes_config(), &sink, &changes(100..125)).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (25, 0, 0));
    assert_eq!(sink.bucket.borrow().len(), 25);
    assert_eq!(*sink.publishes.borrow(), [10, 10, 5]);
    assert_eq!(sink.topic().len(), 25);
    let counts: Vec<_> = outcome.counts.iter().map(|(series, values)| (series.metric, values.to_vec())).collect();
    assert_eq!(counts, [("Changes", vec![25.0])]);
}

#[tokio::test(start_paused = true)]
async fn changes_delivered_twice_leave_one_object_each_and_the_same_identities() {
    let sink = Fake::default();
    run_with(&changes_config(), &sink, &changes(100..110)).await;
    let (objects, topic) = (sink.bucket.borrow().clone(), sink.topic());
    run_with(&changes_config(), &sink, &changes(100..110)).await;
    assert_eq!(*sink.bucket.borrow(), objects);
    assert_eq!(sink.topic(), [topic.clone(), topic].concat(), "a subscriber can tell them by their identity");
}

#[tokio::test(start_paused = true)]
async fn only_what_is_settled_is_announced() {
    let sink =
        Fake::putting(|object| if object_number(object) == 105 { Err(fault(false, "SlowDown")) } else { Ok(()) });
    let outcome = run_with(&changes_config(), &sink, &changes(100..110)).await;
    assert_eq!((outcome.processed, outcome.retry), (5, 5));
    assert_eq!(failures(&outcome), ["105"]);
    assert_eq!(sink.topic(), ["100", "101", "102", "103", "104"]);
    assert_eq!(sink.bucket.borrow().len(), 9, "what lies behind is stored, which does no harm");
}

#[tokio::test(start_paused = true)]
async fn objects_and_notifications_that_are_refused_for_good_are_put_aside() {
    let sink =
        Fake::putting(|object| if object_number(object) == 101 { Err(fault(true, "KeyTooLongError")) } else { Ok(()) });
    let outcome = run_with(&changes_config(), &sink, &changes(100..104)).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (3, 1, 0));
    assert_eq!((outcome.failures[0].code.as_str(), sink.letters()), ("refused_by_bucket", vec!["101".to_owned()]));
    assert_eq!(sink.topic(), ["100", "102", "103"], "what was not kept is not announced");

    let sink = Fake::publishing(|messages| {
        let hit = messages.iter().position(|message| message.attributes["sequenceNumber"] == "102");
        Ok(hit.map(|place| (place, fault(true, "InvalidParameter"))).into_iter().collect())
    });
    let outcome = run_with(&changes_config(), &sink, &changes(100..104)).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (3, 1, 0));
    assert_eq!((outcome.failures[0].code.as_str(), sink.letters()), ("refused_by_topic", vec!["102".to_owned()]));
    let letter = &sink.queue.borrow()[0];
    assert_eq!((&letter["table"], &letter["eventName"]), (&json!("t"), &json!("INSERT")));
    assert!(letter["payload"].as_str().unwrap().contains("NewImage"), "the whole change is in the letter");
}

#[tokio::test(start_paused = true)]
async fn topic_that_is_gone_loses_nothing() {
    let sink = Fake::publishing(|_| Err(fault(false, "NotFound")));
    let outcome = run_with(&changes_config(), &sink, &changes(100..103)).await;
    assert_eq!((outcome.processed, outcome.retry, failures(&outcome)), (0, 3, vec!["100"]));
    assert_eq!(sink.bucket.borrow().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn change_that_can_not_be_read_is_put_aside() {
    let sink = Fake::default();
    let records: Vec<_> = changes(100..101).into_iter().chain([broken_change(101)]).collect();
    let outcome = run_with(&changes_config(), &sink, &records).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.failures[0].code.as_str()), (1, 1, "invalid_change"));
    assert_eq!(sink.letters(), ["101"]);
}

#[tokio::test(start_paused = true)]
async fn change_without_a_queue_is_left_to_lambda_when_its_notification_is_refused() {
    let sink = Fake::publishing(|messages| Ok((0..messages.len()).map(|place| (place, fault(true, "Odd"))).collect()));
    let config = Config { dead_letter_queue_url: None, ..changes_config() };
    let outcome = run_with(&config, &sink, &changes(100..102)).await;
    assert_eq!((outcome.failed, failures(&outcome)), (0, vec!["100", "101"]));
}

/// Each change ends as one object, one count and at least one notification, however bucket and topic fail.
#[tokio::test(start_paused = true)]
async fn redelivery_of_changes_settles_with_exact_counts() {
    for seed in 0..100 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let records = changes(100..100 + rng.usize(1..60));
        let (mut puts, mut publishes) = (rng.fork(), rng.fork());
        let sink =
            Fake {
                put: RefCell::new(Box::new(move |_| {
                    if puts.u8(..20) == 0 { Err(fault(false, "InternalError")) } else { Ok(()) }
                })),
                publish: RefCell::new(Box::new(move |messages| match publishes.u8(..10) {
                    0 => Err(fault(false, "InternalFailure")),
                    1..4 => {
                        let hit = (0..messages.len()).filter(|_| publishes.u8(..4) == 0).collect::<Vec<_>>();
                        Ok(hit.into_iter().map(|place| (place, fault(false, "Odd"))).collect())
                    }
                    _ => Ok(vec![]),
                })),
                ..Fake::default()
            };
        let (mut processed, mut rest) = (0, records.as_slice());
        let mut counted = 0.0;
        for delivery in 0.. {
            assert!(delivery < 1_000, "seed {seed} does not settle");
            let outcome = run_with(&changes_config(), &sink, rest).await;
            processed += outcome.processed;
            counted += outcome.counts.iter().map(|(_, values)| values.iter().sum::<f64>()).sum::<f64>();
            let Some(&lowest) = failures(&outcome).first() else { break };
            rest = &rest[rest.iter().position(|record| record.sequence_number == lowest).unwrap()..];
        }
        assert_eq!((processed, sink.bucket.borrow().len()), (records.len(), records.len()), "seed {seed}");
        assert!((counted - f64::from(u32::try_from(processed).unwrap())).abs() < f64::EPSILON, "seed {seed}");
        let announced: BTreeSet<String> = sink.topic().into_iter().collect();
        assert_eq!(announced.len(), records.len(), "seed {seed}");
    }
}

/// Delivers like Lambda, again from the lowest failure, with services that fail at random: whatever happens, each good
/// record ends as one item and one count, and each poison record as one count and at least one letter.
#[tokio::test(start_paused = true)]
async fn redelivery_settles_with_exact_counts() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let records: Vec<_> =
            (0..rng.usize(1..80)).map(|n| if rng.u8(..) < 40 { bad(n) } else { good(n, "u") }).collect();
        let (mut writes, mut sends) = (rng.fork(), rng.fork());
        let sink = Fake {
            write: RefCell::new(Box::new(move |items| match writes.u8(..10) {
                0 => Err(fault(false, "InternalServerError")),
                1 => Err(fault(items.len() > 1, "ValidationException")),
                2..5 => Ok((0..items.len()).filter(|_| writes.bool()).collect()),
                _ => Ok(vec![]),
            })),
            send: RefCell::new(Box::new(move |letters| match sends.u8(..10) {
                0 => Err(fault(false, "InternalError")),
                1..4 => {
                    let hit = (0..letters.len()).filter(|_| sends.u8(..4) == 0).collect::<Vec<_>>();
                    Ok(hit.into_iter().map(|place| (place, fault(sends.bool(), "Odd"))).collect())
                }
                _ => Ok(vec![]),
            })),
            ..Fake::default()
        };
        let (mut processed, mut failed, mut rest) = (0, 0, records.as_slice());
        for delivery in 0.. {
            assert!(delivery < 1_000, "seed {seed} does not settle");
            let outcome = run(&sink, rest).await;
            processed += outcome.processed;
            failed += outcome.failed;
            let Some(&lowest) = failures(&outcome).first() else { break };
            rest = &rest[rest.iter().position(|record| record.sequence_number == lowest).unwrap()..];
        }
        let poison: BTreeSet<String> =
            records.iter().filter(|r| is_poison(r)).map(|r| r.sequence_number.clone()).collect();
        assert_eq!((processed, failed), (records.len() - poison.len(), poison.len()), "seed {seed}");
        assert_eq!(sink.table.borrow().len(), processed, "seed {seed}");
        assert_eq!(sink.letters().into_iter().collect::<BTreeSet<_>>(), poison, "seed {seed}");
    }
}
