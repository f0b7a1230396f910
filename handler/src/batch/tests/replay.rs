//! Tests of replays: what settled before is neither counted nor announced again, and what did not is.

use super::*;

/// Later than all that tests store.
const LATER: i64 = 1_700_000_009_000;

async fn play(config: &Config, sink: &FakeSink, records: &[IncomingRecord], replay: Replay, now_ms: i64) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(30);
    Job { config, function: "f", sink, deadline, now_ms, replay: Some(replay) }.run(records).await
}

fn failed_at(records: &[IncomingRecord], at: i64) -> Replay {
    let failed_at = records.iter().map(|record| (record.sequence_number.clone(), at)).collect();
    Replay { failed_at, ..Replay::default() }
}

fn replayed(outcome: &Outcome) -> (usize, usize, usize) {
    let replay = outcome.response.replay.as_ref().unwrap();
    (replay.records, replay.duplicates, replay.failed.len())
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_counted_when_it_succeeds_and_only_then() {
    let sink = FakeSink::default();
    let records = [good(1, "u"), good(2, "u"), bad(3)];
    // Stored by the delivery that failed, at 1 s; the failure was noted at 2 s.
    run(&sink, &records[..1]).await;
    let replay = failed_at(&records, 1_700_000_002_000);
    let first = play(&config(), &sink, &records, replay.clone(), LATER).await;
    assert_eq!((first.processed, first.duplicates, first.failed, first.retry), (2, 0, 0, 0));
    assert_eq!(replayed(&first), (3, 0, 1));
    let failure = &first.response.replay.as_ref().unwrap().failed[0];
    assert_eq!((&*failure.code, failure.rejected, &*failure.sequence_number), ("invalid_json", true, "3"));
    assert!(sink.dead_letters().is_empty(), "whoever plays it has the letter still");

    let writes = sink.writes.borrow().len();
    let again = play(&config(), &sink, &records, replay, LATER + 1).await;
    assert_eq!((again.processed, again.duplicates), (0, 2));
    assert_eq!(sink.writes.borrow().len(), writes, "what is there is not stored again");
    assert_eq!(sink.table.borrow().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn rejected_records_of_a_batch_become_letters_when_asked() {
    let sink = FakeSink::default();
    let replay = Replay { dead_letters: true, ..Replay::default() };
    let outcome = play(&config(), &sink, &[good(1, "u"), bad(2)], replay, LATER).await;
    assert_eq!((outcome.processed, outcome.failed), (1, 1));
    assert_eq!((sink.dead_letters(), replayed(&outcome)), (vec!["2".to_owned()], (2, 0, 1)));
}

#[tokio::test(start_paused = true)]
async fn history_leaves_alone_what_is_there_and_mends_what_is_not() {
    let sink = FakeSink::default();
    let records: Vec<_> = (0..60).map(|n| good(n, "u")).collect();
    run(&sink, &records[..40]).await;
    // One was stored by a recipe that has changed since.
    for item in sink.table.borrow_mut().values_mut().take(1) {
        item.insert("insight", streamkit_recipes::Attribute::S("as it was".to_owned()));
    }
    let history = Replay { history: true, ..Replay::default() };
    let outcome = play(&config(), &sink, &records, history.clone(), LATER).await;
    assert_eq!((outcome.processed, replayed(&outcome)), (20, (60, 39, 0)));
    assert_eq!(sink.table.borrow().len(), 60);
    let again = play(&config(), &sink, &records, history, LATER).await;
    assert_eq!((again.processed, replayed(&again)), (0, (60, 60, 0)));
}

#[tokio::test(start_paused = true)]
async fn objects_are_never_put_twice_and_what_is_not_known_is_announced_as_a_replay() {
    let config = changes_config();
    let sink = FakeSink::default();
    let records = changes(1..4);
    play(&config, &sink, &records[..1], Replay::default(), LATER).await;
    assert_eq!(sink.topic().len(), 1);
    let seen = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let notes = std::rc::Rc::clone(&seen);
    let sink = FakeSink {
        publish: std::cell::RefCell::new(Box::new(move |messages| {
            notes.borrow_mut().extend(messages.iter().map(|message| {
                let body: Value = serde_json::from_str(&message.message).unwrap();
                (body["replay"].clone(), message.attributes.get("replay").cloned())
            }));
            Ok(vec![])
        })),
        ..sink
    };
    play(&config, &sink, &records, Replay::default(), LATER).await;
    let (known, unknown) = ((Value::Null, None), (json!(true), Some("true".to_owned())));
    assert_eq!(*seen.borrow(), [unknown, known.clone(), known]);
    let history = Replay { history: true, ..Replay::default() };
    let outcome = play(&config, &sink, &records, history, LATER).await;
    assert_eq!((replayed(&outcome), seen.borrow().len()), ((3, 3, 0), 3));
}

#[tokio::test(start_paused = true)]
async fn a_table_that_cannot_be_read_is_tried_again_later() {
    struct Unreadable(FakeSink);
    impl Sink for Unreadable {
        async fn write(&self, items: &[&Item]) -> Result<Vec<usize>, SinkError> {
            self.0.write(items).await
        }
        async fn read(&self, _: &[Item]) -> Result<(Vec<Item>, Vec<Item>), SinkError> {
            Err(sink_error(false, "ProvisionedThroughputExceededException"))
        }
        async fn read_states(&self, keys: &[String]) -> Result<(Vec<Item>, Vec<String>), SinkError> {
            self.0.read_states(keys).await
        }
        async fn write_state(&self, item: &Item, expected: Option<&str>) -> Result<bool, SinkError> {
            self.0.write_state(item, expected).await
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
    let (config, sink) = (config(), Unreadable(FakeSink::default()));
    let deadline = Instant::now() + Duration::from_secs(30);
    let replay = Some(Replay::default());
    let job = Job { config: &config, function: "f", sink: &sink, deadline, now_ms: LATER, replay };
    let outcome = job.run(&[good(1, "u"), bad(2)]).await;
    assert_eq!((failures(&outcome), outcome.processed), (vec!["1"], 0));
    assert!(sink.0.table.borrow().is_empty());
    let replay = outcome.response.replay.unwrap();
    assert!(!replay.failed[0].rejected && replay.failed[0].code.starts_with("Provisioned"), "{replay:?}");
}
