//! Tests of batches that Lambda delivers again and again, with services that fail at random.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::*;

fn is_poison(record: &IncomingRecord) -> bool {
    matches!(&record.content, Content::Stream { data, .. } if *data == Ok(b"poison".to_vec()))
}

/// Each change ends as one object, one count and at least one notification, however bucket and topic fail.
#[tokio::test(start_paused = true)]
async fn redelivery_of_changes_settles_with_exact_counts() {
    for seed in 0..100 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let records = changes(100..100 + rng.usize(1..60));
        let (mut puts, mut publishes) = (rng.fork(), rng.fork());
        let sink = FakeSink {
            put: RefCell::new(Box::new(move |_| {
                if puts.u8(..20) == 0 { Err(sink_error(false, "InternalError")) } else { Ok(()) }
            })),
            publish: RefCell::new(Box::new(move |messages| match publishes.u8(..10) {
                0 => Err(sink_error(false, "InternalFailure")),
                1..4 => {
                    let hit = (0..messages.len()).filter(|_| publishes.u8(..4) == 0).collect::<Vec<_>>();
                    Ok(hit.into_iter().map(|place| (place, sink_error(false, "Odd"))).collect())
                }
                _ => Ok(vec![]),
            })),
            ..FakeSink::default()
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
/// record ends as one item and one count, and each poison record as one count and at least one dead letter.
#[tokio::test(start_paused = true)]
async fn redelivery_settles_with_exact_counts() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let records: Vec<_> =
            (0..rng.usize(1..80)).map(|n| if rng.u8(..) < 40 { bad(n) } else { good(n, "u") }).collect();
        let (mut writes, mut sends) = (rng.fork(), rng.fork());
        let sink = FakeSink {
            write: RefCell::new(Box::new(move |items| match writes.u8(..10) {
                0 => Err(sink_error(false, "InternalServerError")),
                1 => Err(sink_error(items.len() > 1, "ValidationException")),
                2..5 => Ok((0..items.len()).filter(|_| writes.bool()).collect()),
                _ => Ok(vec![]),
            })),
            send: RefCell::new(Box::new(move |letters| match sends.u8(..10) {
                0 => Err(sink_error(false, "InternalError")),
                1..4 => {
                    let hit = (0..letters.len()).filter(|_| sends.u8(..4) == 0).collect::<Vec<_>>();
                    Ok(hit.into_iter().map(|place| (place, sink_error(sends.bool(), "Odd"))).collect())
                }
                _ => Ok(vec![]),
            })),
            ..FakeSink::default()
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
        assert_eq!(sink.dead_letters().into_iter().collect::<BTreeSet<_>>(), poison, "seed {seed}");
    }
}
