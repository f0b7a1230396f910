//! A batch from records to answer: process, store, put poison aside, and find the place to go on from.
//!
//! Lambda delivers everything again from the lowest record that is reported as failed, successes too. That record is
//! the *checkpoint*: only what lies before it is settled, so only that is counted and only its poison becomes dead
//! letters. What lies behind it may have been stored, which does no harm, because storing it again gives the same items.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use streamkit_recipes::{Count, Effects, Item, Rejected, TableKey, Unit};
use tokio::time::{Instant, sleep, timeout_at};

use crate::config::Config;
use crate::dead_letter::Letter;
use crate::event::{BatchItemFailure, Incoming, Response};
use crate::sink::{Fault, MAX_ITEMS, MAX_LETTER_BYTES, MAX_LETTERS, Sink};

/// How many `BatchWriteItem` calls run at once.
const WRITES_AT_ONCE: usize = 4;

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
    pub counts: BTreeMap<&'static str, (f64, Unit)>,
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

/// An item to put, with the places of the records that it comes from.
struct Put {
    item: Item,
    places: Vec<usize>,
}

impl<S: Sink> Job<'_, S> {
    /// Carries a batch through. `records` are in the shard's order, each once.
    pub async fn run(&self, records: &[Incoming]) -> Outcome {
        let (mut states, puts) = self.process(records);
        // What is left is shared out so that the answer goes out in time even when a service hangs.
        let margin = (self.deadline - Instant::now()).div_f64(10.0).min(Duration::from_secs(1));
        self.store(puts, &mut states, self.deadline - 2 * margin).await;
        let checkpoint = self.bury(records, &mut states, self.deadline - margin).await;
        outcome(records, states, checkpoint)
    }

    /// Asks the recipe about every record.
    fn process(&self, records: &[Incoming]) -> (Vec<State>, Vec<Put>) {
        let key = self.config.recipe.needs().table;
        // One call must not put the same key twice; of two items with the same key the later one stands.
        let mut puts: Vec<Put> = Vec::new();
        let mut by_key = BTreeMap::new();
        let mut states = Vec::with_capacity(records.len());
        for (place, record) in records.iter().enumerate() {
            let result = match &record.data {
                Ok(_) => self.config.recipe.process(&record.record(), self.now_ms),
                Err(_) => Err(Rejected { code: "not_base64", message: "data: not base64".to_owned() }),
            };
            states.push(match result {
                Ok(Effects { items, counts, .. }) => {
                    for item in items {
                        let key: Vec<_> =
                            key.iter().flat_map(TableKey::names).map(|name| item.get(name).cloned()).collect();
                        let index = *by_key.entry(key).or_insert(puts.len());
                        if index == puts.len() {
                            puts.push(Put { item: Item::new(), places: Vec::new() });
                        }
                        let put = &mut puts[index];
                        put.item = item;
                        put.places.push(place);
                    }
                    State::Done(counts)
                }
                Err(rejected) => State::Rejected(rejected),
            });
        }
        (states, puts)
    }

    /// Puts all items into the table and notes which records that failed for.
    async fn store(&self, puts: Vec<Put>, states: &mut [State], until: Instant) {
        let chunks = puts.chunks(MAX_ITEMS).map(|chunk| self.store_chunk(chunk, until));
        let faults: Vec<Vec<Option<Fault>>> = stream::iter(chunks).buffered(WRITES_AT_ONCE).collect().await;
        for (put, fault) in puts.iter().zip(faults.into_iter().flatten()) {
            let Some(fault) = fault else { continue };
            for &place in &put.places {
                if fault.permanent && matches!(states[place], State::Done(_)) {
                    states[place] = State::Rejected(Rejected { code: "refused_by_table", message: fault.to_string() });
                } else if !fault.permanent {
                    states[place] = retry(&fault);
                }
            }
        }
    }

    /// Returns for each item what went wrong with it, if anything did.
    async fn store_chunk(&self, puts: &[Put], until: Instant) -> Vec<Option<Fault>> {
        let items: Vec<&Item> = puts.iter().map(|put| &put.item).collect();
        match self.store_together(&items, until).await {
            Ok(faults) => faults,
            Err(fault) if items.len() == 1 => vec![Some(fault)],
            // One bad item fails the whole call, and the answer does not say which.
            Err(_) => {
                let mut faults = Vec::with_capacity(items.len());
                for item in items {
                    let fault =
                        self.store_together(&[item], until).await.map_or_else(Some, |mut faults| faults.remove(0));
                    faults.push(fault);
                }
                faults
            }
        }
    }

    /// Puts items in one call, and again those that the table did not get to. An error is one that the call is to
    /// blame for.
    async fn store_together(&self, items: &[&Item], until: Instant) -> Result<Vec<Option<Fault>>, Fault> {
        let mut faults = vec![None; items.len()];
        let mut open: Vec<usize> = (0..items.len()).collect();
        for attempt in 0.. {
            let sent: Vec<&Item> = open.iter().map(|&place| items[place]).collect();
            let fault = match within(until, self.sink.write(&sent)).await {
                Ok(left) => {
                    open = left.into_iter().filter_map(|place| open.get(place).copied()).collect();
                    if open.is_empty() || pause(attempt, until).await {
                        None
                    } else {
                        Some(transient("UnprocessedItems", "the table did not get to the item in time"))
                    }
                }
                Err(fault) if fault.permanent => return Err(fault),
                Err(fault) => Some(fault),
            };
            if let Some(fault) = fault {
                for place in open.drain(..) {
                    faults[place] = Some(fault.clone());
                }
            }
            if open.is_empty() {
                break;
            }
        }
        Ok(faults)
    }

    /// Puts the poison before the first failed record aside, and returns the checkpoint.
    async fn bury(&self, records: &[Incoming], states: &mut [State], until: Instant) -> usize {
        if self.config.dead_letter_queue_url.is_none() {
            // The mapping's own on-failure destination is all that is left for it.
            for state in states.iter_mut() {
                if let State::Rejected(rejected) = state {
                    *state = State::Retry { code: rejected.code.to_owned(), reason: None };
                }
            }
        }
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
        let mut rest = letters.as_slice();
        while !rest.is_empty() {
            let (chunk, later) = rest.split_at(fitting(rest));
            let together: Vec<&Letter> = chunk.iter().map(|(_, letter)| letter).collect();
            let refused = self.send_chunk(&together, until).await;
            if let Some((place, fault)) = refused.first() {
                // Letters behind this one may have been sent, and are when they come again: they carry their event id.
                states[chunk[*place].0] = retry(fault);
                break;
            }
            rest = later;
        }
        checkpoint(states)
    }

    /// Returns the letters that could not be sent, lowest first.
    async fn send_chunk(&self, letters: &[&Letter], until: Instant) -> Vec<(usize, Fault)> {
        match self.send_together(letters, until).await {
            Ok(refused) => refused,
            Err(fault) if letters.len() == 1 => vec![(0, fault)],
            // Together they may be too long for a queue with lower limits.
            Err(fault) if fault.permanent => {
                for (place, &letter) in letters.iter().enumerate() {
                    match self.send_together(&[letter], until).await {
                        Ok(refused) if refused.is_empty() => {}
                        Ok(refused) => return refused.into_iter().map(|(_, fault)| (place, fault)).collect(),
                        Err(fault) => return vec![(place, fault)],
                    }
                }
                Vec::new()
            }
            Err(fault) => vec![(0, fault)],
        }
    }

    /// Sends letters in one call, and again those that SQS did not take for its own reasons.
    async fn send_together(&self, letters: &[&Letter], until: Instant) -> Result<Vec<(usize, Fault)>, Fault> {
        let mut refused = Vec::new();
        let mut open: Vec<usize> = (0..letters.len()).collect();
        for attempt in 0.. {
            let sent: Vec<&Letter> = open.iter().map(|&place| letters[place]).collect();
            let failed = within(until, self.sink.send(&sent)).await?;
            let failed = failed.into_iter().filter_map(|(place, fault)| Some((*open.get(place)?, fault)));
            let (permanent, again): (Vec<_>, Vec<_>) = failed.partition(|(_, fault)| fault.permanent);
            refused.extend(permanent);
            if again.is_empty() {
                break;
            }
            if !pause(attempt, until).await {
                refused.extend(again);
                break;
            }
            open = again.into_iter().map(|(place, _)| place).collect();
        }
        refused.sort_by_key(|(place, _)| *place);
        Ok(refused)
    }
}

/// Returns how many letters, at least one, go into one call.
fn fitting(letters: &[(usize, Letter)]) -> usize {
    let mut bytes = 0;
    let fit = letters.iter().take(MAX_LETTERS).take_while(|(_, letter)| {
        bytes += letter.bytes();
        bytes <= MAX_LETTER_BYTES
    });
    fit.count().max(1)
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
                    outcome.counts.entry(count.metric).or_insert((0.0, count.unit)).0 += count.value;
                }
            }
        }
    }
    outcome
}

#[cfg(test)]
mod tests;
