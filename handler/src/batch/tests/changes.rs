//! Tests of batches of a table's changes: objects and notifications.

use super::*;

#[tokio::test(start_paused = true)]
async fn changes_become_objects_and_notifications() {
    let sink = FakeSink::default();
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
    let sink = FakeSink::default();
    run_with(&changes_config(), &sink, &changes(100..110)).await;
    let (objects, topic) = (sink.bucket.borrow().clone(), sink.topic());
    run_with(&changes_config(), &sink, &changes(100..110)).await;
    assert_eq!(*sink.bucket.borrow(), objects);
    assert_eq!(sink.topic(), [topic.clone(), topic].concat(), "a subscriber can tell them by their identity");
}

#[tokio::test(start_paused = true)]
async fn only_records_before_the_checkpoint_are_published() {
    let sink =
        FakeSink::putting(
            |object| if object_number(object) == 105 { Err(sink_error(false, "SlowDown")) } else { Ok(()) },
        );
    let outcome = run_with(&changes_config(), &sink, &changes(100..110)).await;
    assert_eq!((outcome.processed, outcome.retry), (5, 5));
    assert_eq!(failures(&outcome), ["105"]);
    assert_eq!(sink.topic(), ["100", "101", "102", "103", "104"]);
    assert_eq!(sink.bucket.borrow().len(), 9, "records behind the checkpoint are stored, which does no harm");
}

#[tokio::test(start_paused = true)]
async fn objects_and_notifications_that_are_refused_for_good_become_dead_letters() {
    let sink =
        FakeSink::putting(
            |object| if object_number(object) == 101 { Err(sink_error(true, "KeyTooLongError")) } else { Ok(()) },
        );
    let outcome = run_with(&changes_config(), &sink, &changes(100..104)).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (3, 1, 0));
    assert_eq!((outcome.failures[0].code.as_str(), sink.dead_letters()), ("refused_by_bucket", vec!["101".to_owned()]));
    assert_eq!(sink.topic(), ["100", "102", "103"], "what was not stored is not published");

    let sink = FakeSink::publishing(|messages| {
        let hit = messages.iter().position(|message| message.attributes["sequenceNumber"] == "102");
        Ok(hit.map(|place| (place, sink_error(true, "InvalidParameter"))).into_iter().collect())
    });
    let outcome = run_with(&changes_config(), &sink, &changes(100..104)).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.retry), (3, 1, 0));
    assert_eq!((outcome.failures[0].code.as_str(), sink.dead_letters()), ("refused_by_topic", vec!["102".to_owned()]));
    let letter = &sink.queue.borrow()[0];
    assert_eq!((&letter["table"], &letter["eventName"]), (&json!("t"), &json!("INSERT")));
    assert!(letter["payload"].as_str().unwrap().contains("NewImage"), "the whole change is in the dead letter");
}

#[tokio::test(start_paused = true)]
async fn topic_that_is_gone_loses_nothing() {
    let sink = FakeSink::publishing(|_| Err(sink_error(false, "NotFound")));
    let outcome = run_with(&changes_config(), &sink, &changes(100..103)).await;
    assert_eq!((outcome.processed, outcome.retry, failures(&outcome)), (0, 3, vec!["100"]));
    assert_eq!(sink.bucket.borrow().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn change_that_can_not_be_read_becomes_a_dead_letter() {
    let sink = FakeSink::default();
    let records: Vec<_> = changes(100..101).into_iter().chain([broken_change(101)]).collect();
    let outcome = run_with(&changes_config(), &sink, &records).await;
    assert_eq!((outcome.processed, outcome.failed, outcome.failures[0].code.as_str()), (1, 1, "invalid_change"));
    assert_eq!(sink.dead_letters(), ["101"]);
}

#[tokio::test(start_paused = true)]
async fn change_without_a_queue_is_reported_as_failed_when_its_notification_is_refused() {
    let sink = FakeSink::publishing(|messages| {
        Ok((0..messages.len()).map(|place| (place, sink_error(true, "Odd"))).collect())
    });
    let config = Config { dead_letter_queue_url: None, ..changes_config() };
    let outcome = run_with(&config, &sink, &changes(100..102)).await;
    assert_eq!((outcome.failed, failures(&outcome)), (0, vec!["100", "101"]));
}
