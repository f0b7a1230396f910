//! Everything that can go wrong, at random: services that fail before and after they have done what they were asked, invocations
//! that end between any two calls, two at once, responses that are lost, readers that begin again, reshards, batches that are given
//! up, letters, and replays.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join;
use streamkit_recipes::Attribute;

use super::super::*;
use super::ledger::{entry, ledger_config, state_of};
use crate::dead_letter::REFUSED_BY;

/// How a call ends.
enum Fate {
    Works,
    Fails,
    /// It does what it was asked, and nobody learns of it.
    LosesItsAnswer,
}

/// The services as one invocation sees them.
struct Unreliable<'a> {
    sink: &'a FakeSink,
    rng: RefCell<fastrand::Rng>,
    fails: bool,
    /// After so many calls the process ends.
    lives: Cell<Option<usize>>,
}

impl Unreliable<'_> {
    async fn fate(&self) -> Fate {
        // Other invocations come in between.
        let pause = self.rng.borrow_mut().u64(..20);
        sleep(Duration::from_millis(pause)).await;
        match self.lives.get() {
            Some(0) => std::future::pending().await,
            Some(left) => self.lives.set(Some(left - 1)),
            None => {}
        }
        match self.rng.borrow_mut().u8(..12) {
            0 if self.fails => Fate::Fails,
            1 if self.fails => Fate::LosesItsAnswer,
            _ => Fate::Works,
        }
    }

    async fn call<T>(&self, call: impl Future<Output = Result<T, SinkError>>) -> Result<T, SinkError> {
        match self.fate().await {
            Fate::Works => call.await,
            Fate::Fails => Err(sink_error(false, "InternalServerError")),
            Fate::LosesItsAnswer => call.await.and(Err(sink_error(false, "Timeout"))),
        }
    }

    /// Some of the places, at random.
    fn some(&self, count: usize) -> Vec<usize> {
        let mut rng = self.rng.borrow_mut();
        if !self.fails || rng.u8(..6) > 0 {
            return Vec::new();
        }
        (0..count).filter(|_| rng.bool()).collect()
    }
}

impl Sink for Unreliable<'_> {
    async fn write(&self, items: &[&Item]) -> Result<Vec<usize>, SinkError> {
        let left = self.some(items.len());
        let now: Vec<&Item> = (0..items.len()).filter(|at| !left.contains(at)).map(|at| items[at]).collect();
        self.call(self.sink.write(&now)).await.map(|_| left)
    }

    async fn read(&self, keys: &[Item]) -> Result<(Vec<Item>, Vec<Item>), SinkError> {
        self.call(self.sink.read(keys)).await
    }

    async fn read_states(&self, keys: &[String]) -> Result<(Vec<Item>, Vec<String>), SinkError> {
        let left = self.some(keys.len());
        let (left, now): (Vec<_>, Vec<_>) = keys.iter().cloned().enumerate().partition(|(at, _)| left.contains(at));
        let keys = |some: Vec<(usize, String)>| some.into_iter().map(|(_, key)| key).collect::<Vec<_>>();
        let (found, _) = self.call(self.sink.read_states(&keys(now))).await?;
        Ok((found, keys(left)))
    }

    async fn write_state(&self, item: &Item, expected: Option<&str>) -> Result<bool, SinkError> {
        self.call(self.sink.write_state(item, expected)).await
    }

    async fn put(&self, object: &Object, only_new: bool) -> Result<bool, SinkError> {
        self.call(self.sink.put(object, only_new)).await
    }

    async fn put_records(&self, records: &[&OutgoingRecord]) -> Result<Vec<(usize, SinkError)>, SinkError> {
        self.call(self.sink.put_records(records)).await
    }

    async fn publish(&self, messages: &[&Notification]) -> Result<Vec<(usize, SinkError)>, SinkError> {
        self.call(self.sink.publish(messages)).await
    }

    async fn send(&self, letters: &[&DeadLetter]) -> Result<Vec<(usize, SinkError)>, SinkError> {
        self.call(self.sink.send(letters)).await
    }
}

#[derive(Clone, Debug)]
struct Entry {
    shard: usize,
    partition_key: String,
    account: String,
    amount: i64,
    /// The recipe rejects it until somebody mends it.
    is_poison: bool,
}

/// Records that come in order, one batch at a time.
#[derive(Clone, Debug, Default)]
struct Lane {
    /// Places among all entries.
    entries: Vec<usize>,
    next: usize,
    attempts: usize,
    /// The lanes that have to be drained before.
    after: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Message {
    entries: Vec<usize>,
    is_letter: bool,
    /// The letter says that the recipe has not taken the record.
    was_rejected: bool,
    failed_ms: i64,
}

/// What else may happen than that services fail.
#[derive(Clone, Copy, Debug)]
struct Hazards {
    /// Several invocations read a shard, and accounts have several partition keys.
    parallel: bool,
    /// Processes end, responses are lost, and readers begin again.
    again: bool,
    /// Batches are given up, played again, and so is all that a shard has.
    replays: bool,
}

struct World {
    seed: u64,
    rng: fastrand::Rng,
    config: Config,
    hazards: Hazards,
    sink: FakeSink,
    fails: bool,
    all: Vec<Entry>,
    lanes: Vec<Lane>,
    queue: Vec<Message>,
    now_ms: i64,
    processed: usize,
}

const ACCOUNTS: [&str; 3] = ["a", "b", "c"];

impl World {
    fn new(seed: u64, hazards: Hazards) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut world = Self {
            seed,
            config: Config { parallel: hazards.parallel, ..ledger_config() },
            hazards,
            sink: FakeSink::default(),
            fails: true,
            all: Vec::new(),
            lanes: Vec::new(),
            queue: Vec::new(),
            now_ms: 1_700_000_100_000,
            processed: 0,
            rng: rng.fork(),
        };
        // Two shards, which are split or merged once or twice.
        let mut parents: Vec<usize> = Vec::new();
        let mut shard = 0;
        for _ in 0..rng.usize(1..4) {
            let mut generation = Vec::new();
            for _ in 0..rng.usize(1..3) {
                let entries: Vec<usize> = (0..rng.usize(1..16))
                    .map(|_| {
                        let account = ACCOUNTS[rng.usize(..3)].to_owned();
                        let partition_key = if rng.bool() { account.clone() } else { format!("p{}", rng.u8(..4)) };
                        let (amount, is_poison) = (rng.i64(1..100), rng.u8(..8) == 0);
                        world.all.push(Entry { shard, partition_key, account, amount, is_poison });
                        world.all.len() - 1
                    })
                    .collect();
                let of = |at: &usize| if hazards.parallel { world.all[*at].partition_key.len() % 2 } else { 0 };
                for half in 0..=usize::from(hazards.parallel) {
                    let entries = entries.iter().copied().filter(|at| of(at) == half).collect();
                    generation.push(world.lanes.len());
                    world.lanes.push(Lane { entries, after: parents.clone(), ..Lane::default() });
                }
                shard += 1;
            }
            parents = generation;
        }
        world
    }

    fn record(&self, place: usize, mended: bool) -> IncomingRecord {
        let Entry { shard, partition_key, account, amount, is_poison } = &self.all[place];
        let payload = if *is_poison && !mended {
            json!({"account": account})
        } else {
            json!({"account": account, "amount": amount})
        };
        entry(&format!("{shard:012}"), place + 1_000, partition_key, &payload)
    }

    /// One invocation; `None` if its process ended, or its response was lost.
    async fn invoke(
        &self,
        mut rng: fastrand::Rng,
        records: &[IncomingRecord],
        replay: Option<Replay>,
    ) -> Option<Outcome> {
        let dies = self.fails && self.hazards.again && rng.u8(..5) == 0;
        let lost = self.fails && self.hazards.again && rng.u8(..8) == 0;
        let lives = Cell::new(dies.then(|| rng.usize(..12)));
        let sink = Unreliable { sink: &self.sink, rng: RefCell::new(rng), fails: self.fails, lives };
        let deadline = Instant::now() + Duration::from_secs(6);
        let job = Job { config: &self.config, function: "f", sink: &sink, deadline, now_ms: self.now_ms, replay };
        let outcome = job.run(records).await;
        (sink.lives.get() != Some(0) && !lost).then_some(outcome)
    }

    /// A batch of a lane: so much of what comes next.
    fn batch(&mut self, lane: usize) -> Vec<usize> {
        let most = self.rng.usize(1..12);
        let Lane { entries, next, .. } = &self.lanes[lane];
        entries[*next..].iter().copied().take(most).collect()
    }

    fn ready(&self) -> Vec<usize> {
        let is_drained = |lane: &usize| self.lanes[*lane].next == self.lanes[*lane].entries.len();
        (0..self.lanes.len())
            .filter(|lane| !is_drained(lane) && self.lanes[*lane].after.iter().all(is_drained))
            .collect()
    }

    /// Delivers a batch of one lane, or of two at once.
    async fn deliver(&mut self) -> bool {
        let mut ready = self.ready();
        self.rng.shuffle(&mut ready);
        let Some(&one) = ready.first() else { return false };
        self.now_ms += 1_000;
        let first = self.batch(one);
        let records: Vec<_> = first.iter().map(|&at| self.record(at, false)).collect();
        let rng = [self.rng.fork(), self.rng.fork()];
        let [rng_one, rng_two] = rng;
        if let Some(&two) = ready.get(1) {
            let second = self.batch(two);
            let others: Vec<_> = second.iter().map(|&at| self.record(at, false)).collect();
            let outcomes = join(self.invoke(rng_one, &records, None), self.invoke(rng_two, &others, None)).await;
            self.settle(one, &first, outcomes.0);
            self.settle(two, &second, outcomes.1);
        } else {
            let outcome = self.invoke(rng_one, &records, None).await;
            self.settle(one, &first, outcome);
        }
        self.letters();
        true
    }

    /// Goes on behind what is done, as Lambda does.
    fn settle(&mut self, lane: usize, batch: &[usize], outcome: Option<Outcome>) {
        let gives_up = self.hazards.replays && self.rng.u8(..4) == 0;
        let begins_again = self.fails && self.hazards.again && self.rng.u8(..10) == 0;
        let lane = &mut self.lanes[lane];
        let done = outcome.map_or(0, |outcome| {
            self.processed += outcome.processed;
            let failures = &outcome.response.batch_item_failures;
            let lowest = failures.first().map(|failure| failure.item_identifier.parse::<usize>().unwrap() - 1_000);
            lowest.map_or(batch.len(), |lowest| batch.iter().position(|at| *at == lowest).unwrap())
        });
        lane.next += done;
        lane.attempts = if done > 0 { 0 } else { lane.attempts + 1 };
        assert!(lane.attempts < 500, "seed {} does not settle", self.seed);
        if gives_up && lane.attempts > 1 && done < batch.len() {
            let entries = batch[done..].to_vec();
            lane.next += entries.len();
            let failed_ms = self.now_ms;
            self.queue.push(Message { entries, is_letter: false, was_rejected: false, failed_ms });
        }
        if begins_again {
            lane.next = self.rng.usize(..=lane.next);
        }
    }

    /// Takes what has come into the dead letter queue.
    fn letters(&mut self) {
        self.now_ms += 1_000;
        for letter in std::mem::take(&mut *self.sink.queue.borrow_mut()) {
            let code = letter["error"]["code"].as_str().unwrap();
            // One that was mended, and comes again as it was.
            assert!(["missing_field", "refused_by_recipe"].contains(&code), "seed {}: {code}", self.seed);
            let was_rejected = !code.starts_with(REFUSED_BY);
            let place = letter["sequenceNumber"].as_str().unwrap().parse::<usize>().unwrap() - 1_000;
            let (entries, failed_ms) = (vec![place], self.now_ms);
            self.queue.push(Message { entries, is_letter: true, was_rejected, failed_ms });
        }
    }

    /// Plays a message as `dlq redrive` does; letters are mended.
    async fn redrive(&mut self, message: Message) {
        self.now_ms += 1_000;
        let Message { entries, is_letter, was_rejected, failed_ms } = &message;
        let records: Vec<_> = entries.iter().map(|&at| self.record(at, *is_letter)).collect();
        let numbers = || records.iter().map(|record| record.sequence_number.clone());
        let replay = Replay {
            history: false,
            dead_letters: !is_letter,
            failed_at: numbers().map(|number| (number, *failed_ms)).collect(),
            rejected: if *was_rejected { numbers().collect() } else { HashSet::new() },
        };
        let rng = self.rng.fork();
        let outcome = self.invoke(rng, &records, Some(replay)).await;
        self.letters();
        let stays = outcome.is_none_or(|outcome| outcome.retry > 0);
        // SQS delivers at least once.
        if stays || (self.fails && self.rng.u8(..4) == 0) {
            self.queue.push(message);
        }
    }

    async fn redrive_all(&mut self) {
        let mut queue = std::mem::take(&mut self.queue);
        self.rng.shuffle(&mut queue);
        for message in queue {
            self.redrive(message).await;
        }
    }

    /// Plays all that a lane has had so far, as `replay` does.
    async fn replay(&mut self) {
        self.now_ms += 1_000;
        let lane = self.rng.usize(..self.lanes.len());
        let Lane { entries, next, .. } = &self.lanes[lane];
        let records: Vec<_> = entries[..*next].iter().map(|&at| self.record(at, false)).collect();
        let rng = self.rng.fork();
        self.invoke(rng, &records, Some(Replay { history: true, ..Replay::default() })).await;
        self.letters();
    }

    async fn run(&mut self) {
        while self.deliver().await {
            if !self.hazards.replays {
                continue;
            }
            match self.rng.u8(..8) {
                0 => self.replay().await,
                1 if !self.queue.is_empty() => {
                    let message = self.queue.swap_remove(self.rng.usize(..self.queue.len()));
                    self.redrive(message).await;
                }
                _ => {}
            }
        }
        self.fails = false;
        for _ in 0..3 {
            self.redrive_all().await;
        }
        assert!(self.queue.is_empty(), "seed {}: {:?}", self.seed, self.queue);
    }

    /// Each record has changed its state once.
    fn check_states(&self) {
        for account in ACCOUNTS {
            let of: Vec<&Entry> = self.all.iter().filter(|entry| entry.account == account).collect();
            let (sum, count) = (of.iter().map(|entry| entry.amount).sum::<i64>(), of.len());
            let state = state_of(&self.sink, account);
            let found = (state["sum"].as_i64().unwrap_or_default(), state["count"].as_i64().unwrap_or_default());
            assert_eq!(found, (sum, i64::try_from(count).unwrap()), "seed {} account {account}", self.seed);
        }
    }

    /// Each record has left the item, and the messages, that it had when it changed the state: the sums go on from one to the next.
    fn check_effects(&self, messages: &[Value]) {
        let number = |item: &Item, name: &str| match &item[name] {
            Attribute::N(number) => number.parse::<i64>().unwrap(),
            other => panic!("{other:?}"),
        };
        let table = self.sink.table.borrow();
        assert_eq!(table.len(), self.all.len(), "seed {}", self.seed);
        for account in ACCOUNTS {
            let mut items: Vec<&Item> =
                table.values().filter(|item| item["userId"] == Attribute::S(account.to_owned())).collect();
            items.sort_by_key(|item| number(item, "count"));
            let mut sum = 0;
            for (item, count) in items.iter().zip(1..) {
                let found = (number(item, "count"), number(item, "before"));
                assert_eq!(found, (count, sum), "seed {} account {account}", self.seed);
                sum += number(item, "amount");
            }
            let told: BTreeMap<i64, i64> = messages
                .iter()
                .filter(|message| message["account"] == account)
                .map(|message| (message["count"].as_i64().unwrap(), message["before"].as_i64().unwrap()))
                .collect();
            let stored: BTreeMap<i64, i64> =
                items.iter().map(|item| (number(item, "count"), number(item, "before"))).collect();
            assert_eq!(told, stored, "seed {} account {account}", self.seed);
        }
    }
}

/// A world whose messages are kept.
fn listening(seed: u64, hazards: Hazards) -> (World, std::rc::Rc<RefCell<Vec<Value>>>) {
    let mut world = World::new(seed, hazards);
    let messages = std::rc::Rc::new(RefCell::new(Vec::new()));
    let heard = std::rc::Rc::clone(&messages);
    world.sink.publish = RefCell::new(Box::new(move |batch| {
        heard.borrow_mut().extend(batch.iter().map(|sent| serde_json::from_str::<Value>(&sent.message).unwrap()));
        Ok(vec![])
    }));
    (world, messages)
}

#[tokio::test(start_paused = true)]
async fn services_that_fail_leave_each_record_once_with_exact_counts() {
    for seed in 0..300 {
        let hazards = Hazards { parallel: seed % 2 == 1, again: false, replays: false };
        let (mut world, messages) = listening(seed, hazards);
        world.run().await;
        world.check_states();
        world.check_effects(&messages.borrow());
        let good = world.all.iter().filter(|entry| !entry.is_poison).count();
        assert_eq!(world.processed, good, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn kills_lost_responses_and_readers_that_begin_again_leave_each_record_once() {
    for seed in 0..400 {
        let hazards = Hazards { parallel: seed % 2 == 1, again: true, replays: false };
        let (mut world, messages) = listening(seed, hazards);
        world.run().await;
        world.check_states();
        world.check_effects(&messages.borrow());
    }
}

#[tokio::test(start_paused = true)]
async fn batches_that_are_given_up_letters_and_replays_leave_each_record_once() {
    for seed in 0..500 {
        let hazards = Hazards { parallel: seed % 2 == 1, again: seed % 4 > 1, replays: true };
        let mut world = World::new(seed, hazards);
        world.run().await;
        world.check_states();
        let table = world.sink.table.borrow();
        assert_eq!(table.len(), world.all.len(), "seed {seed}");
        let announced: BTreeSet<String> = world.sink.topic().into_iter().collect();
        assert_eq!(announced.len(), world.all.len(), "seed {seed}");
    }
}
