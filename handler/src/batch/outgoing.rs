//! Puts records into a stream: as many to a call as Kinesis takes, and each partition key's in their order.
//!
//! `PutRecords` takes some records of a call and fails others, and so does not keep the order of those that it was given. So no call
//! has two records of one key, and a key's next record is put when the one before it is in the stream. Those with an explicit hash key,
//! as aggregated records have, go together: their producers do not keep an order either. A record may be put twice, when an answer is
//! lost or the batch is delivered again; what is put says itself what it is.

use std::collections::HashSet;

use futures_util::{StreamExt as _, stream};
use streamkit_recipes::{OutgoingRecord, Rejected};
use tokio::time::Instant;

use super::{Job, State, pause, retry, within};
use crate::record::IncomingRecord;
use crate::sink::{MAX_RECORDS, MAX_RECORDS_BYTES, Sink, SinkError};

/// How many `PutRecords` calls run at once.
const CALLS_AT_ONCE: usize = 4;

/// A record to put, with the place in the batch of the one that it follows from.
type Placed = (usize, OutgoingRecord);

impl<S: Sink> Job<'_, S> {
    /// Puts records into the stream, and sets the state of those for which that failed. Records behind one that is to be delivered
    /// again are not put: they are delivered again, too. A replay, which knows no such thing, puts all but those whose key
    /// waits for one that failed.
    pub(super) async fn put_records(
        &self,
        mut open: Vec<Placed>,
        records: &[IncomingRecord],
        states: &mut [State],
        until: Instant,
    ) {
        let mut attempt = 0;
        loop {
            let checkpoint = self.checkpoint(states, records);
            open.retain(|(place, _)| *place < checkpoint);
            if open.is_empty() {
                return;
            }
            let (wave, later) = first_of_each_key(open);
            let calls = calls(&wave).into_iter().map(|call| self.put_call(call, until));
            let failed: Vec<Vec<(usize, SinkError)>> = stream::iter(calls).buffered(CALLS_AT_ONCE).collect().await;
            let failed = failed.concat();
            let is_throttled = failed.iter().any(|(_, error)| !error.permanent);
            // Where some are taken there is no need to wait for long.
            let is_stuck = is_throttled && failed.len() == wave.len();
            attempt = if is_stuck { attempt + 1 } else { u32::from(is_throttled) };
            let goes_on = !is_throttled || pause(attempt - 1, until).await;
            let mut waiting = Vec::new();
            let mut again = HashSet::new();
            for (at, error) in &failed {
                let (place, record) = &wave[*at];
                if error.permanent {
                    states[*place] = State::Rejected(Rejected::new("refused_by_stream", error.to_string()));
                } else if goes_on {
                    again.insert(*at);
                } else {
                    states[*place] = retry(error);
                    waiting.extend(lane(record).map(|key| (key.to_owned(), error.clone())));
                }
            }
            self.retry_rejected_without_queue(states);
            let again = wave.into_iter().enumerate().filter(|(at, _)| again.contains(at)).map(|(_, placed)| placed);
            open = again.chain(later).collect();
            for (key, error) in waiting {
                open.retain(|(place, record)| {
                    let waits = lane(record) == Some(&key);
                    if waits {
                        states[*place] = retry(&error);
                    }
                    !waits
                });
            }
            open.sort_by_key(|(place, _)| *place);
        }
    }

    /// Puts the records of one call; gives the places, in the wave, and errors of those that failed.
    async fn put_call(&self, call: Vec<(usize, &OutgoingRecord)>, until: Instant) -> Vec<(usize, SinkError)> {
        let records: Vec<&OutgoingRecord> = call.iter().map(|(_, record)| *record).collect();
        match within(until, self.sink.put_records(&records)).await {
            Ok(failed) => failed.into_iter().filter_map(|(at, error)| Some((call.get(at)?.0, error))).collect(),
            Err(error) if error.permanent && records.len() > 1 => {
                // One bad record fails the whole call, and the response does not say which.
                let mut all = Vec::new();
                for (at, record) in call {
                    let failed = within(until, self.sink.put_records(&[record])).await;
                    let failed = failed.map_or_else(Some, |failed| failed.into_iter().next().map(|(_, error)| error));
                    all.extend(failed.map(|error| (at, error)));
                }
                all
            }
            Err(error) => call.iter().map(|(at, _)| (*at, error.clone())).collect(),
        }
    }
}

/// What is put one after the other: the records of a partition key.
fn lane(record: &OutgoingRecord) -> Option<&str> {
    record.explicit_hash_key.is_none().then_some(&*record.partition_key)
}

/// The first record of each partition key and those that need not wait for others; and the rest.
fn first_of_each_key(open: Vec<Placed>) -> (Vec<Placed>, Vec<Placed>) {
    let mut keys = HashSet::new();
    open.into_iter().partition(|(_, record)| lane(record).is_none_or(|key| keys.insert(key.to_owned())))
}

/// Divides records into calls, each with its place.
fn calls(wave: &[Placed]) -> Vec<Vec<(usize, &OutgoingRecord)>> {
    let mut calls: Vec<Vec<_>> = Vec::new();
    let mut bytes = 0;
    for (at, (_, record)) in wave.iter().enumerate() {
        bytes += record.data.len() + record.partition_key.len();
        let last = calls.last_mut().filter(|call| call.len() < MAX_RECORDS && bytes <= MAX_RECORDS_BYTES);
        if let Some(call) = last {
            call.push((at, record));
        } else {
            bytes = record.data.len() + record.partition_key.len();
            calls.push(vec![(at, record)]);
        }
    }
    calls
}
