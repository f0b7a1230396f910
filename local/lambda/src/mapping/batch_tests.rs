//! What [`super::Batch`] promises, by example and for random batches, poisons and settings.

use proptest::prelude::*;

use super::*;

fn policy(retries: Option<u32>, bisect: bool) -> Policy {
    Policy { retries, bisect, ..Policy::default() }
}

/// Plays a batch to its end against a function that fails when `poison` is among the records.
fn play(policy: Policy, poison: &[usize], records: usize, partial: bool) -> (Vec<Range<usize>>, Vec<Discard>) {
    let mut batch = Batch::new(policy, vec![0; records]);
    let (mut delivered, mut discarded) = (Vec::new(), Vec::new());
    for _ in 0..100_000 {
        match batch.step(0) {
            NextAction::Pause(_) => {}
            NextAction::Deliver(range) => {
                let first = poison.iter().copied().filter(|at| range.contains(at)).min();
                batch.tell(match first {
                    None => BatchResult::Done,
                    Some(at) if partial => BatchResult::FailedFrom(at),
                    Some(_) => BatchResult::Failed,
                });
                delivered.push(range);
            }
            NextAction::Discard(discard) => discarded.push(discard),
            NextAction::Finished => return (delivered, discarded),
        }
    }
    panic!("the batch does not come to an end");
}

#[test]
fn success_settles_the_batch() {
    let (delivered, discarded) = play(policy(None, true), &[], 3, false);
    assert_eq!((delivered.len(), &delivered[0], discarded.len()), (1, &(0..3), 0));
}

#[test]
fn failing_batch_is_tried_once_and_then_retried_as_often_as_allowed() {
    let (delivered, discarded) = play(policy(Some(2), false), &[1], 3, false);
    assert_eq!(delivered, [0..3, 0..3, 0..3]);
    let expected = Discard { records: 0..3, condition: Condition::RetryAttemptsExhausted, deliveries: 3 };
    assert_eq!(discarded, [expected]);
}

#[test]
fn bisecting_isolates_the_poison_without_using_up_attempts() {
    let (delivered, discarded) = play(policy(Some(1), true), &[2], 4, false);
    assert_eq!(delivered, [0..4, 0..2, 2..4, 2..3, 2..3, 3..4]);
    assert_eq!(discarded, [Discard { records: 2..3, condition: Condition::RetryAttemptsExhausted, deliveries: 4 }]);
}

#[test]
fn partial_failure_moves_the_checkpoint_and_uses_up_attempts() {
    let (delivered, discarded) = play(policy(Some(1), false), &[1], 3, true);
    assert_eq!(delivered, [0..3, 1..3]);
    assert_eq!(discarded, [Discard { records: 1..3, condition: Condition::RetryAttemptsExhausted, deliveries: 2 }]);
}

#[test]
fn partial_failure_with_bisecting_splits_at_the_record_that_failed() {
    let (delivered, discarded) = play(policy(Some(0), true), &[2], 5, true);
    assert_eq!(delivered, [0..5, 2..5, 2..3, 3..5]);
    assert_eq!(discarded, [Discard { records: 2..3, condition: Condition::RetryAttemptsExhausted, deliveries: 3 }]);
}

#[test]
fn throttled_delivery_uses_up_no_attempt_and_waits_longer_each_time() {
    let mut batch = Batch::new(policy(Some(0), false), vec![0]);
    let mut pauses = Vec::new();
    for _ in 0..10 {
        assert_eq!(batch.step(0), NextAction::Deliver(0..1));
        batch.tell(BatchResult::NotDelivered);
        let NextAction::Pause(pause) = batch.step(0) else { panic!("no pause") };
        pauses.push(pause);
    }
    assert_eq!((pauses[0], pauses[1], pauses[9]), (FIRST_PAUSE, FIRST_PAUSE * 2, LAST_PAUSE));
    batch.step(0);
    batch.tell(BatchResult::Failed);
    let NextAction::Discard(discard) = batch.step(0) else { panic!("not given up") };
    assert_eq!(discard.deliveries, 1);
}

#[test]
fn records_over_age_are_given_up_and_the_younger_go_on() {
    let policy = Policy { max_age_ms: Some(1000), ..Policy::default() };
    let mut batch = Batch::new(policy, vec![0, 500, 5000]);
    assert_eq!(
        batch.step(1001),
        NextAction::Discard(Discard { records: 0..1, condition: Condition::RecordAgeExceeded, deliveries: 0 })
    );
    assert_eq!(batch.settled(), 1);
    assert_eq!(batch.step(1001), NextAction::Deliver(1..3));
    batch.tell(BatchResult::Failed);
    assert_eq!(
        batch.step(1600),
        NextAction::Discard(Discard { records: 1..2, condition: Condition::RecordAgeExceeded, deliveries: 1 })
    );
    assert!(matches!(batch.step(1600), NextAction::Pause(_)));
    assert_eq!(batch.step(1600), NextAction::Deliver(2..3));
}

#[test]
fn records_that_left_the_stream_are_dropped() {
    let policy = Policy { retention_ms: Some(1000), max_age_ms: Some(1000), ..Policy::default() };
    let mut batch = Batch::new(policy, vec![0]);
    assert!(matches!(batch.step(2000), NextAction::Discard(Discard { condition: Condition::Expired, .. })));
    assert_eq!(batch.step(2000), NextAction::Finished);
}

proptest! {
    #[test]
    fn every_record_is_settled_in_order(
        records in 1..200_usize,
        poison in prop::collection::btree_set(0..200_usize, 0..20),
        retries in 0..4_u32,
        bisect: bool,
        partial: bool,
    ) {
        let poison: Vec<usize> = poison.into_iter().filter(|at| *at < records).collect();
        let (delivered, discarded) = play(policy(Some(retries), bisect), &poison, records, partial);

        // Each record reached the function.
        for record in 0..records {
            prop_assert!(delivered.iter().any(|range| range.contains(&record)), "record {record} was never delivered");
        }
        // Each poison record is given up exactly once, and nothing is given up twice or out of order.
        for record in &poison {
            prop_assert_eq!(discarded.iter().filter(|discard| discard.records.contains(record)).count(), 1);
        }
        for pair in discarded.windows(2) {
            prop_assert!(pair[0].records.end <= pair[1].records.start);
        }
        // Deliveries never go back behind a record that is settled.
        for pair in delivered.windows(2) {
            prop_assert!(pair[0].start <= pair[1].start);
        }
        for discard in &discarded {
            let deliveries = delivered.iter().filter(|range| range.contains(&discard.records.start)).count();
            prop_assert_eq!(discard.deliveries as usize, deliveries);
            if bisect {
                // Bisecting gives up the poison and nothing else, after one attempt and the retries.
                prop_assert_eq!(discard.records.len(), 1);
                prop_assert!(poison.contains(&discard.records.start));
                let alone = delivered.iter().filter(|range| **range == discard.records).count();
                prop_assert_eq!(alone, retries as usize + 1);
            } else {
                prop_assert_eq!(deliveries, retries as usize + 1);
            }
        }
    }

    #[test]
    fn nothing_is_lost_when_the_function_fails_at_random(
        records in 1..60_usize,
        verdicts in prop::collection::vec((0..4_u8, 0..60_usize), 0..200),
        retries in prop::option::of(0..3_u32),
        bisect: bool,
    ) {
        let mut batch = Batch::new(policy(retries, bisect), vec![0; records]);
        let mut verdicts = verdicts.into_iter();
        let mut settled = 0;
        loop {
            prop_assert!(batch.settled() >= settled);
            settled = batch.settled();
            match batch.step(0) {
                NextAction::Pause(pause) => prop_assert!(pause <= LAST_PAUSE),
                NextAction::Discard(discard) => prop_assert_eq!(discard.records.start, settled),
                NextAction::Deliver(range) => {
                    prop_assert_eq!(range.start, settled);
                    batch.tell(match verdicts.next() {
                        Some((0, _)) => BatchResult::Failed,
                        Some((1, at)) => BatchResult::FailedFrom(at.clamp(range.start, range.end - 1)),
                        Some((2, _)) => BatchResult::NotDelivered,
                        _ => BatchResult::Done,
                    });
                }
                NextAction::Finished => break,
            }
        }
        prop_assert_eq!(batch.settled(), records);
    }
}
