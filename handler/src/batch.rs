//! A batch from records to answer: process, store, publish, put poison aside, and find the place to go on from.
//!
//! Lambda delivers everything again from the lowest record that is reported as failed, successes too. That record is
//! the *checkpoint*: only what lies before it is settled, so only that is counted, announced, and its poison becomes dead
//! letters. What lies behind it may have been stored, which does no harm, because storing it again gives the same items
//! and objects.

mod parcels;
mod store;
mod tally;

use std::future::Future;
use std::time::Duration;

use streamkit_recipes::{Count, Notification, Rejected};
use tokio::time::{Instant, sleep, timeout_at};

use self::store::Stores;
pub use self::tally::{Series, Tallies};
use crate::config::Config;
use crate::dead_letter::Letter;
use crate::event::{BatchItemFailure, Incoming, Response};
use crate::sink::{Fault, MAX_LETTER_BYTES, Sink};

/// What an invocation works with.
#[derive(Debug)]
pub struct Job<'a, S> {
    /// The function's settings.
    pub config: &'a Config,
    /// The function's name, for dead letters.
    pub function: &'a str,
    /// Where effects go.
    pub sink: &'a S,
    /// When Lambda kills the function.
    pub deadline: Instant,
    /// The processing time to note in items, in milliseconds since the epoch.
    pub now_ms: i64,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The answer to Lambda.
    pub response: Response,
    /// Records whose effects were carried out and that will not come again.
    pub processed: usize,
    /// Records that were put aside and will not come again.
    pub failed: usize,
    /// Records that Lambda will deliver again.
    pub retry: usize,
    /// The recipe's own metrics, over the records that will not come again.
    pub counts: Tallies,
    /// One entry for each record that was put aside or is reported as failed, in order.
    pub failures: Vec<Failure>,
}

/// A record that did not go through.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its place in the batch.
    pub place: usize,
    /// The recipe's code, or AWS's.
    pub code: String,
    /// What AWS said, if it is to blame; never anything of the payload.
    pub reason: Option<String>,
    /// What was done.
    pub handling: Handling,
}

/// What is done about a record that did not go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// It lies in the dead letter queue.
    DeadLetter,
    /// It is reported to Lambda as failed.
    Retry,
}

/// How far a record has come.
enum State {
    Done(Vec<Count>),
    Rejected(Rejected),
    Retry { code: String, reason: Option<String> },
}

/// What the recipe wants done for a batch. Places are those of the records in it.
#[derive(Default)]
struct Work {
    stores: Stores,
    notifications: Vec<(usize, Notification)>,
}

impl<S: Sink> Job<'_, S> {
    /// Carries a batch through. `records` are in the shard's order, each once.
    pub async fn run(&self, records: &[Incoming]) -> Outcome {
        let (mut states, work) = self.process(records);
        // What is left is shared out so that the answer goes out in time even when a service hangs.
        let margin = (self.deadline - Instant::now()).div_f64(10.0).min(Duration::from_secs(1));
        self.store(work.stores, &mut states, self.deadline - 3 * margin).await;
        self.leave_poison(&mut states);
        self.announce(&work.notifications, &mut states, self.deadline - 2 * margin).await;
        let checkpoint = self.bury(records, &mut states, self.deadline - margin).await;
        outcome(records, states, checkpoint)
    }

    /// Asks the recipe about every record.
    fn process(&self, records: &[Incoming]) -> (Vec<State>, Work) {
        let mut work = Work { stores: Stores::new(self.config.recipe.needs().table), ..Work::default() };
        let mut states = Vec::with_capacity(records.len());
        for (place, record) in records.iter().enumerate() {
            let result = record.record().and_then(|record| self.config.recipe.process(&record, self.now_ms));
            states.push(match result {
                Ok(effects) => {
                    for item in effects.items {
                        work.stores.add_item(place, item);
                    }
                    for object in effects.objects {
                        work.stores.add_object(place, object);
                    }
                    work.notifications.extend(effects.notifications.into_iter().map(|message| (place, message)));
                    State::Done(effects.counts)
                }
                Err(rejected) => State::Rejected(rejected),
            });
        }
        (states, work)
    }

    /// Without a dead letter queue, the mapping's own on-failure destination is all that is left for poison.
    fn leave_poison(&self, states: &mut [State]) {
        if self.config.dead_letter_queue_url.is_none() {
            for state in states.iter_mut() {
                if let State::Rejected(rejected) = state {
                    *state = State::Retry { code: rejected.code.to_owned(), reason: None };
                }
            }
        }
    }

    /// Publishes what the records before the first failed one have to announce. A message cannot be taken back, so what
    /// will come again is not announced yet.
    async fn announce(&self, notifications: &[(usize, Notification)], states: &mut [State], until: Instant) {
        let settled = checkpoint(states);
        let due =
            notifications.iter().filter(|(place, _)| *place < settled && matches!(states[*place], State::Done(_)));
        let due: Vec<(usize, &Notification)> = due.map(|(place, message)| (*place, message)).collect();
        for (place, fault) in
            parcels::send_all(&due, until, async |chunk: &[&Notification]| self.sink.publish(chunk).await).await
        {
            states[place] = if fault.permanent {
                State::Rejected(Rejected::new("refused_by_topic", fault.to_string()))
            } else {
                retry(&fault)
            };
        }
        self.leave_poison(states);
    }

    /// Puts the poison before the first failed record aside, and returns the checkpoint.
    async fn bury(&self, records: &[Incoming], states: &mut [State], until: Instant) -> usize {
        let mut letters = Vec::new();
        for place in 0..checkpoint(states) {
            let State::Rejected(rejected) = &states[place] else { continue };
            let letter = Letter::new(&self.config.pipeline, self.function, &records[place], rejected);
            if letter.bytes() > MAX_LETTER_BYTES {
                states[place] = retry(&transient("DeadLetterTooLong", "the record does not fit into an SQS message"));
                break;
            }
            letters.push((place, letter));
        }
        let letters: Vec<(usize, &Letter)> = letters.iter().map(|(place, letter)| (*place, letter)).collect();
        for (place, fault) in
            parcels::send_all(&letters, until, async |chunk: &[&Letter]| self.sink.send(chunk).await).await
        {
            states[place] = retry(&fault);
        }
        checkpoint(states)
    }
}

/// Returns the place of the first record that Lambda is to deliver again.
fn checkpoint(states: &[State]) -> usize {
    states.iter().position(|state| matches!(state, State::Retry { .. })).unwrap_or(states.len())
}

fn retry(fault: &Fault) -> State {
    State::Retry { code: fault.code.clone(), reason: Some(fault.message.clone()) }
}

fn transient(code: &str, message: &str) -> Fault {
    Fault { permanent: false, code: code.to_owned(), message: message.to_owned() }
}

async fn within<T>(until: Instant, call: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let late = |_| Err(transient("Timeout", "the function's time is running out"));
    timeout_at(until, call).await.unwrap_or_else(late)
}

/// Waits before attempt `attempt + 2`, and says no if there is no time for it.
async fn pause(attempt: u32, until: Instant) -> bool {
    let longest = (50_u64 << attempt.min(6)).min(2_000);
    let delay = Duration::from_millis(fastrand::u64(longest / 2..=longest));
    if Instant::now() + delay >= until {
        return false;
    }
    sleep(delay).await;
    true
}

fn outcome(records: &[Incoming], states: Vec<State>, checkpoint: usize) -> Outcome {
    let mut outcome = Outcome { retry: records.len() - checkpoint, ..Outcome::default() };
    for (place, state) in states.into_iter().enumerate() {
        match state {
            State::Retry { code, reason } => {
                let item_identifier = records[place].sequence_number.clone();
                outcome.response.batch_item_failures.push(BatchItemFailure { item_identifier });
                outcome.failures.push(Failure { place, code, reason, handling: Handling::Retry });
            }
            // What lies behind the checkpoint is decided when it comes again.
            _ if place > checkpoint => {}
            State::Rejected(rejected) => {
                outcome.failed += 1;
                let code = rejected.code.to_owned();
                outcome.failures.push(Failure { place, code, reason: None, handling: Handling::DeadLetter });
            }
            State::Done(counts) => {
                outcome.processed += 1;
                for count in counts {
                    outcome.counts.add(count);
                }
            }
        }
    }
    outcome
}

#[cfg(test)]
mod tests;
