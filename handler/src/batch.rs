//! One invocation's batch, from its records to the partial batch response: processes the records, stores items and objects,
//! publishes notifications, sends dead letters, and finds the checkpoint.
//!
//! Lambda delivers all records again from the lowest one that is reported as failed, including those that succeeded. That
//! lowest record is the *checkpoint*. Only the records before it are final: only they are counted, have their notifications
//! published, and become dead letters if the recipe rejects them. The items and objects of records behind the checkpoint
//! may be stored already, which does no harm: storing them again gives the same items and objects.
//!
//! A replay has no checkpoint: whoever plays records again is told what became of each, and plays only those again that
//! failed. Its items are stored last, since an item that is there says of its record that all else has been done.

mod entries;
mod memory;
mod metrics;
mod outgoing;
mod parts;
mod replay;
mod store;
mod windows;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use streamkit_recipes::{Attribute, Count, Effects, Notification, OutgoingRecord, Rejected};
use tokio::time::{Instant, sleep, timeout_at};

use self::entries::Until;
pub use self::memory::{STATE_EXPIRY, STATE_KEY, STATE_REVISION};
use self::memory::{Verdict, stored_now};
pub use self::metrics::{MetricValues, Series};
use self::replay::Known;
pub use self::replay::{CONTEXT as REPLAY_CONTEXT, Replay};
use self::store::Stores;
pub use self::windows::WindowError;
use crate::aggregated;
use crate::config::Config;
use crate::dead_letter::DeadLetter;
use crate::event::{BatchItemFailure, Response};
use crate::record::{Content, IncomingRecord};
use crate::sink::{MAX_DEAD_LETTER_BYTES, Sink, SinkError};

/// The inputs of one invocation, besides its records.
#[derive(Debug)]
pub struct Job<'a, S> {
    /// The function's settings.
    pub config: &'a Config,
    /// The function's name, for dead letters.
    pub function: &'a str,
    /// Where effects go.
    pub sink: &'a S,
    /// When Lambda ends the invocation.
    pub deadline: Instant,
    /// The processing time to note in items, in milliseconds since the epoch.
    pub now_ms: i64,
    /// How the records are played again, if they are.
    pub replay: Option<Replay>,
}

/// The result of processing a batch.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The partial batch response for Lambda.
    pub response: Response,
    /// The number of records in the batch.
    pub records: usize,
    /// The number of records whose effects were carried out and that will not be delivered again.
    pub processed: usize,
    /// The number of records that became dead letters and will not be delivered again.
    pub failed: usize,
    /// The number of records that Lambda will deliver again.
    pub retry: usize,
    /// The number of records of a replay that were processed before, and are neither counted nor announced again.
    pub duplicates: usize,
    /// The recipe's own metrics, over the records that will not be delivered again.
    pub counts: MetricValues,
    /// One entry for each record that became a dead letter or is reported as failed, in order.
    pub failures: Vec<Failure>,
}

/// A record that was not processed.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its place in the batch.
    pub place: usize,
    /// The recipe's code, or AWS's.
    pub code: String,
    /// AWS's error message, if a call to AWS failed; never any part of the payload.
    pub reason: Option<String>,
    /// What was done about it.
    pub handling: Handling,
}

/// What is done about a record that was not processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// It was sent to the dead letter queue.
    DeadLetter,
    /// It is only reported, to whoever plays it again.
    Reported,
    /// It is reported to Lambda as failed.
    Retry,
}

/// The state of one record.
enum State {
    Done(Vec<Count>),
    Rejected(Rejected),
    Retry { code: String, reason: Option<String> },
}

/// The effects of a batch. Places are positions of records in the batch.
struct BatchEffects {
    stores: Stores,
    records: Vec<(usize, OutgoingRecord)>,
    notifications: Vec<(usize, Notification)>,
}

impl BatchEffects {
    /// None yet.
    fn new(stores: Stores) -> Self {
        Self { stores, records: Vec::new(), notifications: Vec::new() }
    }

    /// Adds the effects of the record at this place, and returns its counts.
    fn add(&mut self, place: usize, record: &IncomingRecord, effects: Effects) -> Vec<Count> {
        for mut item in effects.items {
            for (name, hash) in &record.indexes {
                item.insert(name.clone(), Attribute::S(hash.clone()));
            }
            self.stores.add_item(place, item);
        }
        for object in effects.objects {
            self.stores.add_object(place, object);
        }
        for mut outgoing in effects.records {
            if let Content::Stream { data: Ok(data), .. } = &record.content {
                // Its own partition key says nothing of the keys in it.
                outgoing.explicit_hash_key = outgoing.explicit_hash_key.or_else(|| aggregated::hash_key(data));
            }
            self.records.push((place, outgoing));
        }
        self.notifications.extend(effects.notifications.into_iter().map(|message| (place, message)));
        effects.counts
    }
}

impl<S: Sink> Job<'_, S> {
    /// Processes a batch. `records` are in the shard's order, each once.
    pub async fn run(&self, records: &[IncomingRecord]) -> Outcome {
        let margin = self.margin();
        let mut known = Known::new(self.replay.as_ref(), records);
        let (mut states, mut effects) = if let Some(stateful) = self.config.recipe.stateful() {
            let verdicts = self.remember(stateful, records, self.deadline - 5 * margin).await;
            self.gather(verdicts, records, &mut known)
        } else {
            self.process(records)
        };
        let stored_by = self.deadline - 3 * margin;
        self.look_at_items(effects.stores.items(), &mut known, &mut states, self.deadline - 4 * margin).await;
        self.store_objects(effects.stores.objects(), &mut known, &mut states, stored_by).await;
        self.put_records(effects.records, records, &mut states, stored_by).await;
        if self.replay.is_none() {
            self.store_items(effects.stores.items(), &mut states, stored_by).await;
        }
        self.retry_rejected_without_queue(&mut states);
        self.publish(effects.notifications, &known, records, &mut states, self.deadline - 2 * margin).await;
        if self.replay.is_some() {
            Self::hold_items(effects.stores.items(), &mut states);
            self.store_items(effects.stores.items(), &mut states, self.deadline - 2 * margin).await;
            self.retry_rejected_without_queue(&mut states);
        }
        let checkpoint = if self.reports_rejected() {
            self.checkpoint(&states, records)
        } else {
            self.send_dead_letters(records, &mut states, self.deadline - margin).await
        };
        let mut outcome = outcome(records, states, checkpoint, &known);
        if self.replay.is_some() {
            if self.reports_rejected() {
                outcome.report_rejected();
            }
            outcome.response.replay = Some(replay::report(&outcome, records));
        }
        outcome
    }

    /// The outcome for records of which nothing could be done, for this error: all of them are delivered again.
    pub fn postponed(&self, records: &[IncomingRecord], error: &SinkError) -> Outcome {
        let states = records.iter().map(|_| retry(error)).collect::<Vec<_>>();
        let checkpoint = self.checkpoint(&states, records);
        let mut outcome = outcome(records, states, checkpoint, &Known::new(self.replay.as_ref(), records));
        if self.replay.is_some() {
            outcome.response.replay = Some(replay::report(&outcome, records));
        }
        outcome
    }

    /// Each step gets its share of the remaining time, so that the response is sent in time even when a service hangs.
    fn margin(&self) -> Duration {
        (self.deadline - Instant::now()).div_f64(10.0).min(Duration::from_secs(1))
    }

    /// Lets the recipe process every record.
    fn process(&self, records: &[IncomingRecord]) -> (Vec<State>, BatchEffects) {
        let stores = Stores::new(self.config.recipe.needs().table, records.len());
        let mut batch = BatchEffects::new(stores);
        let mut states = Vec::with_capacity(records.len());
        for (place, record) in records.iter().enumerate() {
            let decoded = record.record();
            let result = decoded.and_then(|record| self.config.recipe.process(&record, self.now_ms));
            states.push(match result {
                Ok(effects) => State::Done(batch.add(place, record, effects)),
                Err(rejected) => State::Rejected(rejected),
            });
        }
        (states, batch)
    }

    /// Gathers what a recipe with a memory made of the records, and notes those whose effects are made up.
    fn gather(
        &self,
        verdicts: Vec<Verdict>,
        records: &[IncomingRecord],
        known: &mut Known<'_>,
    ) -> (Vec<State>, BatchEffects) {
        let stores = Stores::new(self.config.recipe.needs().table, verdicts.len());
        let mut batch = BatchEffects::new(stores);
        let mut states = Vec::with_capacity(verdicts.len());
        let mut recalled = BTreeMap::new();
        for (place, verdict) in verdicts.into_iter().enumerate() {
            if let Verdict::Recalled { is_past, .. } = &verdict {
                recalled.insert(place, *is_past);
            }
            states.push(match verdict {
                Verdict::Effects(mut effects) | Verdict::Recalled { mut effects, .. } => {
                    if self.replay.is_some() {
                        let volatile = self.config.recipe.volatile();
                        effects.items.iter_mut().for_each(|item| stored_now(item, volatile, self.now_ms));
                    }
                    State::Done(batch.add(place, &records[place], effects))
                }
                Verdict::Rejected(rejected) => State::Rejected(rejected),
                Verdict::Retry { code, reason } => State::Retry { code, reason: Some(reason) },
            });
        }
        known.recalled(recalled);
        (states, batch)
    }

    /// Whether rejected records are only reported: whoever plays them again still has them.
    fn reports_rejected(&self) -> bool {
        self.replay.as_ref().is_some_and(|replay| !replay.dead_letters)
    }

    /// Reports rejected records as failed if there is no dead letter queue: Lambda then sends them to the mapping's on-failure
    /// destination once its retries are used up.
    fn retry_rejected_without_queue(&self, states: &mut [State]) {
        if self.config.dead_letter_queue_url.is_none() && !self.reports_rejected() {
            for state in states.iter_mut() {
                if let State::Rejected(rejected) = state {
                    *state = State::Retry { code: rejected.code.to_owned(), reason: None };
                }
            }
        }
    }

    /// Publishes the notifications of the records before the checkpoint. A message cannot be taken back, so records that
    /// will be delivered again have to wait.
    async fn publish(
        &self,
        notifications: Vec<(usize, Notification)>,
        known: &Known<'_>,
        records: &[IncomingRecord],
        states: &mut [State],
        until: Instant,
    ) {
        let checkpoint = self.checkpoint(states, records);
        let due = notifications.into_iter().filter(|(place, _)| {
            *place < checkpoint && matches!(states[*place], State::Done(_)) && !known.of(*place).is_announced()
        });
        let due: Vec<_> = due.map(|(place, message)| (place, known.announced(place, message))).collect();
        let due: Vec<(usize, &Notification)> = due.iter().map(|(place, message)| (*place, message)).collect();
        for (place, error) in
            entries::send_all(&due, self.end(), until, async |chunk: &[&Notification]| self.sink.publish(chunk).await)
                .await
        {
            states[place] = if error.permanent {
                State::Rejected(Rejected::new("refused_by_topic", error.to_string()))
            } else {
                retry(&error)
            };
        }
        self.retry_rejected_without_queue(states);
    }

    /// Sends a dead letter for each rejected record before the checkpoint, and returns the checkpoint as it is then.
    async fn send_dead_letters(&self, records: &[IncomingRecord], states: &mut [State], until: Instant) -> usize {
        let mut dead_letters = Vec::new();
        for (place, state) in states.iter().enumerate().take(self.checkpoint(states, records)) {
            let State::Rejected(rejected) = state else { continue };
            let (pipeline, record) = (&self.config.pipeline, &records[place]);
            let mut dead_letter = DeadLetter::new(pipeline, self.function, record, rejected);
            // Tried again it would not become smaller, and hold up its shard until it expires.
            if dead_letter.bytes() > MAX_DEAD_LETTER_BYTES {
                dead_letter = DeadLetter::without_payload(pipeline, self.function, record, rejected);
            }
            dead_letters.push((place, dead_letter));
        }
        let dead_letters: Vec<(usize, &DeadLetter)> =
            dead_letters.iter().map(|(place, dead_letter)| (*place, dead_letter)).collect();
        for (place, error) in entries::send_all(&dead_letters, self.end(), until, async |chunk: &[&DeadLetter]| {
            self.sink.send(chunk).await
        })
        .await
        {
            states[place] = retry(&error);
        }
        self.checkpoint(states, records)
    }

    /// The place of the first record that is delivered again with all that come behind it; a replay knows none.
    fn checkpoint(&self, states: &[State], records: &[IncomingRecord]) -> usize {
        if self.replay.is_some() { states.len() } else { checkpoint(states, records) }
    }

    fn end(&self) -> Until {
        if self.replay.is_some() { Until::End } else { Until::FirstRetry }
    }
}

/// Returns the place of the first record that Lambda will deliver again. It knows aggregated records only together.
fn checkpoint(states: &[State], records: &[IncomingRecord]) -> usize {
    let Some(failed) = states.iter().position(|state| matches!(state, State::Retry { .. })) else {
        return states.len();
    };
    let number = &records[failed].sequence_number;
    records[..failed].iter().rposition(|record| record.sequence_number != *number).map_or(0, |before| before + 1)
}

fn retry(error: &SinkError) -> State {
    State::Retry { code: error.code.clone(), reason: Some(error.message.clone()) }
}

fn transient(code: &str, message: &str) -> SinkError {
    SinkError { permanent: false, code: code.to_owned(), message: message.to_owned() }
}

async fn within<T>(until: Instant, call: impl Future<Output = Result<T, SinkError>>) -> Result<T, SinkError> {
    let late = |_| Err(transient("Timeout", "the function's time is running out"));
    timeout_at(until, call).await.unwrap_or_else(late)
}

/// Waits before attempt `attempt + 2`. Returns false, without waiting, if there is no time for that.
async fn pause(attempt: u32, until: Instant) -> bool {
    let longest = (50_u64 << attempt.min(6)).min(2_000);
    let delay = Duration::from_millis(fastrand::u64(longest / 2..=longest));
    if Instant::now() + delay >= until {
        return false;
    }
    sleep(delay).await;
    true
}

impl Outcome {
    /// Rejected records went to no queue.
    fn report_rejected(&mut self) {
        self.failed = 0;
        for failure in &mut self.failures {
            if failure.handling == Handling::DeadLetter {
                failure.handling = Handling::Reported;
            }
        }
    }
}

fn outcome(records: &[IncomingRecord], states: Vec<State>, checkpoint: usize, known: &Known<'_>) -> Outcome {
    let mut outcome = Outcome { records: records.len(), retry: records.len() - checkpoint, ..Outcome::default() };
    for (place, state) in states.into_iter().enumerate() {
        match state {
            State::Retry { code, reason } => {
                outcome.retry += usize::from(place < checkpoint);
                let failure = BatchItemFailure { item_identifier: records[place].sequence_number.clone() };
                if outcome.response.batch_item_failures.last() != Some(&failure) {
                    outcome.response.batch_item_failures.push(failure);
                }
                outcome.failures.push(Failure { place, code, reason, handling: Handling::Retry });
            }
            // Records behind the checkpoint are decided when they are delivered again.
            _ if place >= checkpoint => {}
            State::Rejected(rejected) => {
                outcome.failed += 1;
                let code = rejected.code.to_owned();
                let reason = known.is_replay().then_some(rejected.message);
                outcome.failures.push(Failure { place, code, reason, handling: Handling::DeadLetter });
            }
            State::Done(_) if known.of(place).is_announced() => outcome.duplicates += known.duplicate(place),
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
