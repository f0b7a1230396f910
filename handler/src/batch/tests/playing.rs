//! Tests of failures that are played again: whatever fails, and is played how often and in whatever order, what is left is that of
//! one clean run.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use streamkit_recipes::{Effects, Needs, Recipe, Record, SourceKind};

use super::*;

/// The recipe `retail`, which announces its events too.
struct Announced;

fn retail() -> &'static dyn Recipe {
    streamkit_recipes::find("retail").unwrap()
}

impl Recipe for Announced {
    fn name(&self) -> &'static str {
        "announced"
    }

    fn about(&self) -> &'static str {
        "a test's"
    }

    fn source(&self) -> SourceKind {
        retail().source()
    }

    fn needs(&self) -> Needs {
        retail().needs()
    }

    fn namespace(&self) -> &'static str {
        retail().namespace()
    }

    fn volatile(&self) -> &'static [&'static str] {
        retail().volatile()
    }

    fn process(&self, record: &Record<'_>, now_ms: i64) -> Result<Effects, Rejected> {
        let mut effects = retail().process(record, now_ms)?;
        let Record::Stream(stream) = record else { return Ok(effects) };
        let attributes = BTreeMap::from([("sequenceNumber", stream.sequence_number.to_owned())]);
        effects.notifications.push(Notification { subject: "s".to_owned(), message: "{}".to_owned(), attributes });
        Ok(effects)
    }
}

/// A message of the dead letter queue.
#[derive(Clone, Debug)]
struct Message {
    /// Their places among all.
    records: Range<usize>,
    is_letter: bool,
    failed_ms: i64,
}

/// Everything that a pipeline has.
struct World {
    rng: fastrand::Rng,
    config: Config,
    sink: FakeSink,
    /// Whether services fail at random.
    fails: Rc<Cell<bool>>,
    records: Rc<[IncomingRecord]>,
    queue: Vec<Message>,
    now_ms: i64,
    processed: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let records = (0..rng.usize(1..60)).map(|n| if rng.u8(..) < 30 { bad(n) } else { good(n, "u") }).collect();
        let fails = Rc::new(Cell::new(true));
        let (mut writes, mut sends, mut publishes) = (rng.fork(), rng.fork(), rng.fork());
        let [on_write, on_send, on_publish] = [(); 3].map(|()| Rc::clone(&fails));
        let some = |rng: &mut fastrand::Rng, count: usize| {
            let hit: Vec<_> = (0..count).filter(|_| rng.u8(..4) == 0).collect();
            hit.into_iter().map(|place| (place, sink_error(false, "Odd"))).collect::<Vec<_>>()
        };
        let sink = FakeSink {
            write: RefCell::new(Box::new(move |items| match writes.u8(..10) {
                _ if !on_write.get() => Ok(vec![]),
                0..3 => Err(sink_error(false, "InternalServerError")),
                3..6 => Ok((0..items.len()).filter(|_| writes.bool()).collect()),
                _ => Ok(vec![]),
            })),
            send: RefCell::new(Box::new(move |letters| match sends.u8(..10) {
                _ if !on_send.get() => Ok(vec![]),
                0..3 => Err(sink_error(false, "InternalError")),
                3..5 => Ok(some(&mut sends, letters.len())),
                _ => Ok(vec![]),
            })),
            publish: RefCell::new(Box::new(move |messages| match publishes.u8(..10) {
                _ if !on_publish.get() => Ok(vec![]),
                0..3 => Err(sink_error(false, "InternalFailure")),
                3..5 => Ok(some(&mut publishes, messages.len())),
                _ => Ok(vec![]),
            })),
            ..FakeSink::default()
        };
        let config = Config { recipe: if rng.bool() { &Announced } else { retail() }, ..config() };
        let queue = Vec::new();
        Self { rng, config, sink, fails, records, queue, now_ms: 1_700_000_001_000, processed: 0 }
    }

    async fn invoke(&mut self, records: &[IncomingRecord], replay: Option<Replay>) -> Outcome {
        self.now_ms += 1_000;
        let deadline = Instant::now() + Duration::from_secs(2);
        let (config, sink, now_ms) = (&self.config, &self.sink, self.now_ms);
        let outcome = Job { config, function: "f", sink, deadline, now_ms, replay }.run(records).await;
        assert_eq!(outcome.processed + outcome.failed + outcome.retry + outcome.duplicates, {
            let reported = outcome.failures.iter().filter(|failure| failure.handling == Handling::Reported);
            records.len() - reported.count()
        });
        self.processed += outcome.processed;
        self.now_ms += 1_000;
        // Letters are messages of the queue from now on.
        for letter in std::mem::take(&mut *self.sink.queue.borrow_mut()) {
            let place: usize = letter["sequenceNumber"].as_str().unwrap().parse().unwrap();
            self.queue.push(Message { records: place..place + 1, is_letter: true, failed_ms: self.now_ms });
        }
        outcome
    }

    /// Delivers as Lambda does, with few retries: what is left is an on-failure record.
    async fn deliver(&mut self) {
        let all = Rc::clone(&self.records);
        for batch in parts(0..all.len(), self.rng.usize(1..40)) {
            let mut rest = batch;
            for _ in 0..self.rng.usize(0..3) {
                let outcome = self.invoke(&all[rest.clone()], None).await;
                rest.start = failures(&outcome).first().map_or(rest.end, |lowest| lowest.parse().unwrap());
            }
            self.now_ms += 1_000;
            if !rest.is_empty() {
                self.queue.push(Message { records: rest, is_letter: false, failed_ms: self.now_ms });
            }
        }
    }

    /// Plays a message as `dlq redrive` does; it may be killed before it deletes the message, or puts another in its place.
    async fn redrive(&mut self, message: Message) {
        let Message { records, is_letter, failed_ms } = &message;
        let mut stays = false;
        let mut seen = None;
        let all = Rc::clone(&self.records);
        for part in parts(records.clone(), self.rng.usize(1..20)) {
            let part = &all[part];
            let failed_at = part.iter().map(|record| (record.sequence_number.clone(), *failed_ms)).collect();
            let replay = Replay { history: false, dead_letters: !is_letter, failed_at, ..Replay::default() };
            let outcome = self.invoke(part, Some(replay)).await;
            let failed = outcome.response.replay.unwrap().failed;
            stays |= failed.iter().any(|failed| *is_letter || !failed.rejected);
            seen = failed.into_iter().next().or(seen);
        }
        let killed = self.fails.get() && self.rng.u8(..4) == 0;
        if stays || killed {
            let replaced = *is_letter && seen.is_some() && self.rng.bool();
            let failed_ms = if replaced { self.now_ms } else { *failed_ms };
            if replaced && killed {
                self.queue.push(message.clone());
            }
            self.queue.push(Message { failed_ms, ..message });
        }
    }

    /// Plays everything as `replay` does.
    async fn replay(&mut self) {
        let all = Rc::clone(&self.records);
        for part in parts(0..all.len(), self.rng.usize(1..40)) {
            self.invoke(&all[part], Some(Replay { history: true, ..Replay::default() })).await;
        }
    }

    async fn redrive_all(&mut self) {
        let mut queue = std::mem::take(&mut self.queue);
        self.rng.shuffle(&mut queue);
        for message in queue {
            self.redrive(message).await;
        }
    }

    /// The table, without the times of processing.
    fn table(&self) -> BTreeMap<String, Item> {
        let mut table = self.sink.table.borrow().clone();
        for item in table.values_mut() {
            item.retain(|name, _| !self.config.recipe.volatile().contains(&name));
        }
        table
    }
}

fn parts(all: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    all.clone().step_by(most).map(move |from| from..all.end.min(from + most))
}

#[tokio::test(start_paused = true)]
async fn what_is_left_is_that_of_one_clean_run() {
    for seed in 0..300 {
        let mut world = World::new(seed);
        let clean = FakeSink::default();
        let once = run(&clean, &world.records).await;

        world.deliver().await;
        for _ in 0..world.rng.usize(0..12) {
            match world.rng.u8(..8) {
                0 => world.replay().await,
                1 => world.redrive_all().await,
                2 if !world.queue.is_empty() => {
                    // SQS delivers at least once.
                    let twice = world.queue[world.rng.usize(..world.queue.len())].clone();
                    world.queue.push(twice);
                }
                _ if !world.queue.is_empty() => {
                    let message = world.queue.swap_remove(world.rng.usize(..world.queue.len()));
                    world.redrive(message).await;
                }
                _ => {}
            }
        }
        world.fails.set(false);
        world.redrive_all().await;
        world.redrive_all().await;

        world.sink.table.swap(&RefCell::new(world.table()));
        clean.table.borrow_mut().values_mut().for_each(|item| {
            item.retain(|name, _| !world.config.recipe.volatile().contains(&name));
        });
        assert_eq!(*world.sink.table.borrow(), *clean.table.borrow(), "seed {seed}");
        assert_eq!(world.processed, once.processed, "seed {seed}");
        assert!(world.queue.iter().all(|message| message.is_letter), "seed {seed}");
        let left: BTreeSet<usize> = world.queue.iter().flat_map(|message| message.records.clone()).collect();
        let poison = clean.dead_letters().iter().map(|number| number.parse().unwrap()).collect();
        assert_eq!(left, poison, "seed {seed}");
        if world.config.recipe.name() == "announced" {
            let announced: BTreeSet<String> = world.sink.topic().into_iter().collect();
            assert_eq!(announced.len(), once.processed, "seed {seed}");
        }
    }
}
