//! Events on their way into a stream: full batches, and again what the stream did not take.

use std::time::Duration;

use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use streamkit_recipes::Event;
use tokio::time::Instant;

use crate::aws::{Aws, AwsError, aws};

/// The most records that a `PutRecords` call takes.
const BATCH_RECORDS: usize = 500;
/// Half of what a `PutRecords` call takes today: the limit before 2025, which emulators still have.
const BATCH_BYTES: usize = 5 << 20;
/// The largest record, payload and partition key together, that a stream takes unless it is set to more.
pub(crate) const RECORD_BYTES: usize = 1 << 20;
/// The longest partition key, in characters.
pub(crate) const KEY_CHARS: usize = 256;

/// How long a stream may take nothing of a batch. A shard takes 1,000 records a second, so even several batches that
/// wait for the same shard get on much faster.
const PATIENCE: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What an event counts towards the limits.
pub(crate) fn size(event: &Event) -> usize {
    event.data.len() + event.partition_key.len()
}

/// The events of one `PutRecords` call.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    events: Vec<Event>,
    bytes: usize,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.events.len() >= BATCH_RECORDS
    }

    /// Takes the event, or gives it back when the batch has no room for it. An empty batch has room for any.
    pub(crate) fn push(&mut self, event: Event) -> Result<(), Event> {
        let bytes = size(&event);
        if self.is_full() || !self.is_empty() && self.bytes + bytes > BATCH_BYTES {
            return Err(event);
        }
        self.bytes += bytes;
        self.events.push(event);
        Ok(())
    }

    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }
}

/// Splits events into batches, in order.
pub(crate) fn batches(events: Vec<Event>) -> Vec<Batch> {
    let mut all = vec![Batch::default()];
    for event in events {
        let last = all.last_mut().expect("there is always a last batch");
        if let Err(event) = last.push(event) {
            let mut next = Batch::default();
            next.push(event).expect("an empty batch takes any event");
            all.push(next);
        }
    }
    all.retain(|batch| !batch.is_empty());
    all
}

/// Where a record lies in its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) shard_id: String,
    pub(crate) sequence_number: String,
    /// When the stream said so.
    pub(crate) at: Instant,
}

/// What became of a batch.
#[derive(Debug)]
pub(crate) struct Put {
    /// For each event, in order, where it lies; `None` when the stream did not take it.
    pub(crate) places: Vec<Option<Placed>>,
    /// How often an event was sent again.
    pub(crate) retried: u64,
    /// An answer was lost, so some events may be in the stream twice.
    pub(crate) uncertain: bool,
    /// Why the stream did not take everything.
    pub(crate) error: Option<AwsError>,
}

/// Puts batches into one stream.
#[derive(Debug, Clone)]
pub(crate) struct Producer {
    kinesis: aws_sdk_kinesis::Client,
    stream: String,
}

impl Producer {
    pub(crate) fn new(aws: &Aws, stream: &str) -> Self {
        // The SDK would send whole batches again and not say so.
        let config = aws.kinesis.config().to_builder().retry_config(RetryConfig::disabled()).build();
        Self { kinesis: aws_sdk_kinesis::Client::from_conf(config), stream: stream.to_owned() }
    }

    /// Calls `PutRecords`, then again with the records that were not taken, until all are in or the stream has taken
    /// nothing for half a minute. Records that are sent again come after those that went through.
    pub(crate) async fn put(&self, batch: &Batch) -> Put {
        let events = batch.events();
        let mut put = Put { places: vec![None; events.len()], retried: 0, uncertain: false, error: None };
        let mut open: Vec<usize> = (0..events.len()).collect();
        let mut deadline = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        while !open.is_empty() {
            let error = match self.call(open.iter().map(|&place| &events[place])).await {
                Ok(results) if results.len() == open.len() => {
                    let at = Instant::now();
                    let mut refused = None;
                    let before = open.len();
                    let mut results = results.into_iter();
                    open.retain(|&place| match results.next() {
                        Some(Ok((shard_id, sequence_number))) => {
                            put.places[place] = Some(Placed { shard_id, sequence_number, at });
                            false
                        }
                        Some(Err(error)) => {
                            refused = Some(error);
                            true
                        }
                        None => true,
                    });
                    if open.len() < before {
                        deadline = at + PATIENCE;
                        pause = FIRST_PAUSE;
                    }
                    refused
                }
                Ok(results) => {
                    put.error = Some(answer_error(format!(
                        "PutRecords answered for {} of {} records",
                        results.len(),
                        open.len()
                    )));
                    break;
                }
                Err(error) => {
                    put.uncertain |= is_lost(&error);
                    Some(error)
                }
            };
            let Some(error) = error else { break };
            let pausing = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
            if !passes(&error) || Instant::now() + pausing > deadline {
                put.error = Some(error);
                break;
            }
            tokio::time::sleep(pausing).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            put.retried += u64::try_from(open.len()).unwrap_or(u64::MAX);
        }
        put
    }

    async fn call(
        &self,
        events: impl Iterator<Item = &Event>,
    ) -> Result<Vec<Result<(String, String), AwsError>>, AwsError> {
        let records = events.map(|event| {
            let entry = PutRecordsRequestEntry::builder()
                .partition_key(&event.partition_key)
                .data(Blob::new(event.data.as_slice()));
            entry.build().expect("key and data are set")
        });
        let call = self.kinesis.put_records().stream_name(&self.stream).set_records(Some(records.collect()));
        let results = aws(call.send().await)?.records;
        Ok(results
            .into_iter()
            .map(|result| match (result.shard_id, result.sequence_number) {
                (Some(shard), Some(sequence_number)) => Ok((shard, sequence_number)),
                _ => Err(AwsError {
                    code: result.error_code.unwrap_or_else(|| "InternalFailure".to_owned()),
                    message: result.error_message.unwrap_or_default(),
                    request_id: None,
                }),
            })
            .collect())
    }
}

fn answer_error(message: String) -> AwsError {
    AwsError { code: "UnreadableAnswer".to_owned(), message, request_id: None }
}

/// The call may have taken effect although there is no answer.
fn is_lost(error: &AwsError) -> bool {
    error.is(&[
        "Timeout",
        "Unreachable",
        "UnreadableAnswer",
        "InternalFailure",
        "InternalServerError",
        "ServiceUnavailable",
        "UnknownError",
    ])
}

/// The same call may be taken later.
fn passes(error: &AwsError) -> bool {
    is_lost(error)
        || error.is(&[
            "ProvisionedThroughputExceededException",
            "KMSThrottlingException",
            "LimitExceededException",
            "RequestLimitExceeded",
            "SlowDown",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
        ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(bytes: usize) -> Event {
        Event { partition_key: "key".to_owned(), data: vec![b'x'; bytes] }
    }

    #[test]
    fn batches_hold_as_many_records_as_a_call_takes() {
        let sizes = |events| batches(events).iter().map(|batch| batch.events().len()).collect::<Vec<_>>();
        assert_eq!(sizes(vec![event(1); 1_001]), [500, 500, 1]);
        assert_eq!(sizes(Vec::new()), [0_usize; 0]);
    }

    #[test]
    fn batches_count_keys_and_payloads_towards_their_bytes() {
        let quarter = BATCH_BYTES / 4 - "key".len();
        let lengths = |events| batches(events).iter().map(|batch| batch.events().len()).collect::<Vec<_>>();
        assert_eq!(lengths(vec![event(quarter); 5]), [4, 1]);
        assert_eq!(lengths(vec![event(quarter + 1); 5]), [3, 2]);
    }

    #[test]
    fn errors_that_pass_are_told_from_those_that_stay() {
        let error = |code: &str| AwsError { code: code.to_owned(), message: String::new(), request_id: None };
        assert!(
            passes(&error("ProvisionedThroughputExceededException"))
                && !is_lost(&error("ProvisionedThroughputExceededException"))
        );
        assert!(passes(&error("InternalFailure")) && is_lost(&error("Timeout")));
        assert!(!passes(&error("ResourceNotFoundException")) && !passes(&error("AccessDeniedException")));
    }
}
