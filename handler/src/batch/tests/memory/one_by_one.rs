//! What becomes of one record or another.

use std::cell::RefCell;

use streamkit_recipes::Attribute;

use super::super::*;
use super::ledger::{entry, ledger_config, state_of};

const SHARD: &str = "000000000001";

fn paid(number: usize, amount: i64) -> IncomingRecord {
    entry(SHARD, number, "a", &json!({"account": "a", "amount": amount}))
}

async fn deliver(sink: &FakeSink, records: &[IncomingRecord]) -> Outcome {
    run_with(&ledger_config(), sink, records).await
}

async fn play(sink: &FakeSink, records: &[IncomingRecord], replay: Replay) -> Outcome {
    let config = ledger_config();
    let deadline = Instant::now() + Duration::from_secs(30);
    Job { config: &config, function: "f", sink, deadline, now_ms: 1_700_000_900_000, replay: Some(replay) }
        .run(records)
        .await
}

fn letter(records: &[IncomingRecord]) -> Replay {
    let numbers = || records.iter().map(|record| record.sequence_number.clone());
    let failed_at = numbers().map(|number| (number, 1_700_000_500_000)).collect();
    Replay { failed_at, rejected: numbers().collect(), ..Replay::default() }
}

fn text(sink: &FakeSink, name: &str) -> String {
    match &sink.states.borrow()["a"][name] {
        Attribute::S(text) | Attribute::N(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn state_is_an_item_that_people_can_read() {
    let sink = FakeSink::default();
    deliver(&sink, &[paid(5, 10), paid(6, 20)]).await;
    assert_eq!(state_of(&sink, "a"), json!({"count": 2, "sum": 30, "padding": null}));
    // A week after it was processed.
    assert_eq!(text(&sink, "expiresAt"), (1_700_000_001 + 7 * 86_400).to_string());
    let seen: Value = serde_json::from_str(&text(&sink, "seen")).unwrap();
    assert_eq!(seen["lanes"]["entries/000000000001"]["last"], "6");
    let effects: Value = serde_json::from_str(&text(&sink, "effects")).unwrap();
    assert_eq!(effects.as_array().unwrap().len(), 2);
    // Lambda has gone on: nobody asks for their effects any more.
    deliver(&sink, &[paid(7, 1)]).await;
    let effects: Value = serde_json::from_str(&text(&sink, "effects")).unwrap();
    assert_eq!((effects.as_array().unwrap().len(), &effects[0]["items"][0]["count"]["N"]), (1, &json!("3")));
}

#[tokio::test(start_paused = true)]
async fn rejected_records_change_nothing() {
    let sink = FakeSink::default();
    let poison = entry(SHARD, 2, "a", &json!({"account": "a"}));
    let outcome = deliver(&sink, &[paid(1, 10), poison, paid(3, 5)]).await;
    assert_eq!((outcome.processed, outcome.failed), (2, 1));
    assert_eq!(state_of(&sink, "a"), json!({"count": 2, "sum": 15, "padding": null}));
    let only = FakeSink::default();
    deliver(&only, &[entry(SHARD, 2, "a", &json!({"account": "a"}))]).await;
    assert!(only.states.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn keys_that_no_table_takes_are_rejected() {
    let sink = FakeSink::default();
    let of = |account: String| entry(SHARD, 1, "p", &json!({"account": account, "amount": 1}));
    let long = deliver(&sink, &[of("x".repeat(2_049))]).await;
    let empty = deliver(&sink, &[of(String::new())]).await;
    assert_eq!((&*long.failures[0].code, &*empty.failures[0].code), ("too_long", "empty_field"));
}

#[tokio::test(start_paused = true)]
async fn a_state_that_grows_too_large_is_refused_with_the_name_of_its_table() {
    let sink = FakeSink::default();
    let large = json!({"account": "a", "amount": 7, "padding": "x".repeat(300_000)});
    let outcome = deliver(&sink, &[paid(1, 10), entry(SHARD, 2, "a", &large), paid(3, 5)]).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (2, 1, 0));
    assert_eq!(state_of(&sink, "a")["sum"], 15);
    let error = sink.queue.borrow()[0]["error"].clone();
    assert_eq!(error["code"], "state_too_large");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("in the table s: it would have 300"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn more_effects_than_a_state_has_room_for_come_with_the_next_deliveries() {
    let sink = FakeSink::default();
    let records: Vec<_> = (1..1_500).map(|number| paid(number, 1)).collect();
    let (mut rest, mut deliveries, mut processed) = (&records[..], 0, 0);
    while !rest.is_empty() {
        let outcome = deliver(&sink, rest).await;
        (deliveries, processed) = (deliveries + 1, processed + outcome.processed);
        rest = &rest[outcome.processed..];
        assert!(outcome.processed > 0);
    }
    assert_eq!((processed, state_of(&sink, "a")["sum"].clone()), (records.len(), json!(1_499)));
    assert!(deliveries > 1);
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_is_mended_counts_once_however_late_and_often_it_is_played() {
    let sink = FakeSink::default();
    deliver(&sink, &[entry(SHARD, 1, "a", &json!({"account": "a"}))]).await;
    // Far more than are remembered one by one.
    let later: Vec<_> = (2..1_000).map(|number| paid(number, 1)).collect();
    for batch in later.chunks(50) {
        deliver(&sink, batch).await;
    }
    let mended = [paid(1, 5_000)];
    for _ in 0..3 {
        play(&sink, &mended, letter(&mended)).await;
    }
    assert_eq!(state_of(&sink, "a"), json!({"count": 999, "sum": 5_998, "padding": null}));
    // What the table refused had changed the state before it was refused.
    let refused = [paid(2, 1)];
    let replay = Replay { rejected: HashSet::new(), ..letter(&refused) };
    play(&sink, &refused, replay).await;
    assert_eq!(state_of(&sink, "a")["count"], 999);
}

#[tokio::test(start_paused = true)]
async fn history_changes_what_it_has_not_changed_before() {
    let sink = FakeSink::default();
    let records: Vec<_> = (1..200).map(|number| paid(number, 1)).collect();
    for batch in records[..150].chunks(40) {
        deliver(&sink, batch).await;
    }
    let table = sink.table.borrow().clone();
    let history = Replay { history: true, ..Replay::default() };
    let outcome = play(&sink, &records, history.clone()).await;
    assert_eq!((outcome.processed, outcome.duplicates), (49, 150));
    assert_eq!(state_of(&sink, "a")["sum"], 199);
    // Items that say what was so then are left as they are.
    assert!(table.iter().all(|(key, item)| sink.table.borrow()[key] == *item));
    let outcome = play(&sink, &records, history).await;
    assert_eq!((outcome.processed, outcome.duplicates), (0, 199));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_was_given_up_is_played_once() {
    let sink = FakeSink::default();
    deliver(&sink, &[paid(1, 1)]).await;
    // 2 to 4 never reached the function; 5 did, and its item was not stored.
    let given_up = [paid(2, 1), paid(3, 1), paid(4, 1), paid(5, 1)];
    *sink.write.borrow_mut() = Box::new(|_| Err(sink_error(false, "InternalServerError")));
    assert_eq!(deliver(&sink, &given_up[3..]).await.retry, 1);
    *sink.write.borrow_mut() = Box::new(|_| Ok(vec![]));
    let later: Vec<_> = (6..40).map(|number| paid(number, 1)).collect();
    deliver(&sink, &later).await;
    for _ in 0..2 {
        let failed_at = given_up.iter().map(|record| (record.sequence_number.clone(), 1_700_000_500_000)).collect();
        let replay = Replay { dead_letters: true, failed_at, ..Replay::default() };
        let outcome = play(&sink, &given_up, replay).await;
        assert_eq!(outcome.retry, 0);
    }
    assert_eq!(state_of(&sink, "a"), json!({"count": 39, "sum": 39, "padding": null}));
    assert_eq!(sink.table.borrow().len(), 39);
}

#[tokio::test(start_paused = true)]
async fn out_of_order_what_nobody_can_tell_becomes_a_letter() {
    let config = Config { parallel: true, ..ledger_config() };
    let sink = FakeSink::default();
    let from =
        |partition_key: &str, number: usize| entry(SHARD, number, partition_key, &json!({"account": "a", "amount": 1}));
    // Those with one partition key overtake those with another.
    let ahead: Vec<_> = (100..2_000).map(|number| from("p", number)).collect();
    for batch in ahead.chunks(100) {
        assert_eq!(run_with(&config, &sink, batch).await.processed, batch.len());
    }
    let behind = [from("q", 1), from("q", 1_990), from("q", 2_001)];
    let outcome = run_with(&config, &sink, &behind).await;
    assert_eq!((outcome.processed, outcome.failed), (2, 1));
    assert_eq!(outcome.failures[0].code, "state_forgotten");
    assert_eq!(state_of(&sink, "a")["count"], 1_900 + 1, "1990 has been seen");
    let size = text(&sink, "seen").len();
    assert!(size < 16_000, "{size}");
    // Whoever plays the letter says that it is to count.
    play(&sink, &behind[..1], letter(&behind[..1])).await;
    assert_eq!(state_of(&sink, "a")["count"], 1_900 + 2);
    // Those whose partition key is the state's key come in order all the same.
    let own: Vec<_> = (1..400).map(|number| from("a", number)).collect();
    for batch in own.chunks(100) {
        run_with(&config, &sink, batch).await;
    }
    assert_eq!(run_with(&config, &sink, &own[..1]).await.failed, 0);
    assert_eq!(state_of(&sink, "a")["count"], 1_900 + 2 + 399);
}

#[tokio::test(start_paused = true)]
async fn many_reshards_leave_a_state_that_is_bounded_and_exact() {
    let sink = FakeSink::default();
    for shard in 0..500 {
        let records = [entry(&format!("{shard:012}"), shard + 1, "a", &json!({"account": "a", "amount": 1}))];
        deliver(&sink, &records).await;
        deliver(&sink, &records).await;
    }
    assert_eq!(state_of(&sink, "a")["count"], 500);
    let size = text(&sink, "seen").len();
    assert!(size < 40_000, "{size}");
    // A shard that is forgotten, and comes again.
    let forgotten = [entry("000000000000", 1, "a", &json!({"account": "a", "amount": 1}))];
    assert_eq!(deliver(&sink, &forgotten).await.failures[0].code, "state_forgotten");
    assert_eq!(state_of(&sink, "a")["count"], 500);
}

#[tokio::test(start_paused = true)]
async fn a_state_that_others_write_all_the_time_leaves_its_records_to_be_delivered_again() {
    struct Contended(FakeSink, RefCell<usize>);
    impl Sink for Contended {
        async fn write(&self, items: &[&Item]) -> Result<Vec<usize>, SinkError> {
            self.0.write(items).await
        }
        async fn read(&self, keys: &[Item]) -> Result<(Vec<Item>, Vec<Item>), SinkError> {
            self.0.read(keys).await
        }
        async fn read_states(&self, keys: &[String]) -> Result<(Vec<Item>, Vec<String>), SinkError> {
            self.0.read_states(keys).await
        }
        async fn write_state(&self, _: &Item, _: Option<&str>) -> Result<bool, SinkError> {
            *self.1.borrow_mut() += 1;
            Ok(false)
        }
        async fn put(&self, object: &Object, only_new: bool) -> Result<bool, SinkError> {
            self.0.put(object, only_new).await
        }
        async fn put_records(&self, records: &[&OutgoingRecord]) -> Result<Vec<(usize, SinkError)>, SinkError> {
            self.0.put_records(records).await
        }
        async fn publish(&self, messages: &[&Notification]) -> Result<Vec<(usize, SinkError)>, SinkError> {
            self.0.publish(messages).await
        }
        async fn send(&self, letters: &[&DeadLetter]) -> Result<Vec<(usize, SinkError)>, SinkError> {
            self.0.send(letters).await
        }
    }
    let (config, sink) = (ledger_config(), Contended(FakeSink::default(), RefCell::default()));
    let deadline = Instant::now() + Duration::from_secs(10);
    let job = Job { config: &config, function: "f", sink: &sink, deadline, now_ms: 0, replay: None };
    let outcome = job.run(&[paid(1, 1), paid(2, 1)]).await;
    assert_eq!((failures(&outcome), outcome.failures[0].code.as_str()), (vec!["1", "2"], "StateConflict"));
    assert!(*sink.1.borrow() > 3 && Instant::now() < deadline);
    assert!(sink.0.table.borrow().is_empty() && sink.0.topic().is_empty());
}

#[tokio::test(start_paused = true)]
async fn effects_that_had_to_be_forgotten_are_announced_all_the_same() {
    let sink = FakeSink::publishing(|_| Err(sink_error(false, "InternalFailure")));
    let waiting: Vec<_> = (1..60).map(|number| paid(number, 1)).collect();
    assert_eq!(deliver(&sink, &waiting).await.retry, 59);
    let table = sink.table.borrow().clone();
    *sink.publish.borrow_mut() = Box::new(|_| Ok(vec![]));
    // Meanwhile another shard has many records of the same key.
    let others: Vec<_> =
        (100..300).map(|number| entry("000000000002", number, "a", &json!({"account": "a", "amount": 1}))).collect();
    for batch in others.chunks(50) {
        deliver(&sink, batch).await;
    }
    let outcome = deliver(&sink, &waiting).await;
    assert_eq!((outcome.processed, outcome.duplicates), (59, 0));
    let announced: HashSet<String> = sink.topic().into_iter().collect();
    assert!((1..60).all(|number| announced.contains(&number.to_string())));
    assert_eq!(state_of(&sink, "a")["count"], 259);
    assert!(table.iter().all(|(key, item)| sink.table.borrow()[key] == *item), "what was stored stays");
    // Lambda has gone on, and begins again before it.
    deliver(&sink, &[paid(60, 1)]).await;
    let outcome = deliver(&sink, &waiting[..10]).await;
    assert_eq!((outcome.processed, outcome.duplicates), (0, 10));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_its_producer_sent_twice_changes_the_state_once() {
    let twice = |number: usize| {
        let mut record = paid(number, 10);
        record.event_id = "e-1".to_owned();
        record
    };
    let sink = FakeSink::default();
    deliver(&sink, &[twice(1), paid(2, 1)]).await;
    deliver(&sink, &[twice(3)]).await;
    assert_eq!(state_of(&sink, "a"), json!({"count": 2, "sum": 11, "padding": null}));
}

#[tokio::test(start_paused = true)]
async fn an_item_that_is_no_state_is_left_alone() {
    let sink = FakeSink::default();
    let odd = Item::from([("key", Attribute::S("a".to_owned())), ("state", Attribute::S("{".to_owned()))]);
    sink.states.borrow_mut().insert("a".to_owned(), odd.clone());
    let outcome = deliver(&sink, &[paid(1, 1)]).await;
    assert_eq!((outcome.retry, outcome.failures[0].code.as_str()), (1, "StateUnreadable"));
    assert_eq!(sink.states.borrow()["a"], odd);
}
