//! Events on their way into a stream: full batches, and again what the stream did not take.

use std::time::Duration;

use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use streamkit_recipes::Event;
use tokio::time::Instant;

use crate::aws::{AwsError, Backoff, Clients, answered};

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
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), 2.0, Duration::from_secs(2));

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
    pub(crate) fn new(aws: &Clients, stream: &str) -> Self {
        Self::over(&aws.kinesis, stream)
    }

    fn over(kinesis: &aws_sdk_kinesis::Client, stream: &str) -> Self {
        // The SDK would send whole batches again and not say so.
        let config = kinesis.config().to_builder().retry_config(RetryConfig::disabled()).build();
        Self { kinesis: aws_sdk_kinesis::Client::from_conf(config), stream: stream.to_owned() }
    }

    /// Calls `PutRecords`, then again with the records that were not taken, until all are in or the stream has taken
    /// nothing for half a minute. Records that are sent again come after those that went through.
    pub(crate) async fn put(&self, batch: &Batch) -> Put {
        let events = batch.events();
        let mut put = Put { places: vec![None; events.len()], retried: 0, uncertain: false, error: None };
        let mut open: Vec<usize> = (0..events.len()).collect();
        let mut deadline = Instant::now() + PATIENCE;
        let mut backoff = BACKOFF;
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
                        backoff = BACKOFF;
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
            let pause = backoff.pause();
            if !passes(&error) || Instant::now() + pause > deadline {
                put.error = Some(error);
                break;
            }
            tokio::time::sleep(pause).await;
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
        let results = answered(call.send().await)?.records;
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
pub(crate) fn passes(error: &AwsError) -> bool {
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
    use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
    use serde_json::{Value, json};
    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::*;

    /// A Kinesis that gives these answers, one after the other, and then returns the requests.
    async fn kinesis(answers: Vec<(u16, Value)>) -> (Producer, JoinHandle<Vec<Value>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("a", "b", None, None, "test"))
            .endpoint_url(endpoint)
            .build();
        let requests = tokio::spawn(async move {
            let mut requests = Vec::new();
            for (status, answer) in answers {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream = BufReader::new(stream);
                let (mut line, mut length) = (String::new(), 0);
                while stream.read_line(&mut line).await.unwrap() > 2 {
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).await.unwrap();
                requests.push(serde_json::from_slice(&body).unwrap());
                let answer = answer.to_string();
                let head = "Content-Type: application/x-amz-json-1.1\r\nConnection: close";
                let answer =
                    format!("HTTP/1.1 {status} X\r\n{head}\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
            requests
        });
        (Producer::over(&aws_sdk_kinesis::Client::from_conf(config), "stream"), requests)
    }

    fn batch(keys: &[&str]) -> Batch {
        let mut batch = Batch::default();
        for key in keys {
            batch.push(Event { partition_key: (*key).to_owned(), data: b"x".to_vec() }).unwrap();
        }
        batch
    }

    fn taken(number: &str) -> Value {
        json!({ "ShardId": "shardId-0", "SequenceNumber": number })
    }

    fn keys(request: &Value) -> Vec<&str> {
        request["Records"].as_array().unwrap().iter().map(|record| record["PartitionKey"].as_str().unwrap()).collect()
    }

    fn numbers(put: &Put) -> Vec<Option<&str>> {
        put.places.iter().map(|place| place.as_ref().map(|place| place.sequence_number.as_str())).collect()
    }

    #[tokio::test]
    async fn only_records_that_were_not_taken_are_sent_again() {
        let throttled = json!({ "ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down" });
        let first = json!({ "FailedRecordCount": 2, "Records": [taken("1"), throttled, taken("2"), throttled] });
        let second = json!({ "FailedRecordCount": 1, "Records": [throttled, taken("3")] });
        let third = json!({ "FailedRecordCount": 0, "Records": [taken("4")] });
        let (producer, requests) = kinesis(vec![(200, first), (200, second), (200, third)]).await;
        let put = producer.put(&batch(&["a", "b", "c", "d"])).await;
        assert_eq!(numbers(&put), [Some("1"), Some("4"), Some("2"), Some("3")]);
        assert_eq!((put.retried, put.uncertain, put.error.is_none()), (3, false, true));
        let requests = requests.await.unwrap();
        let keys: Vec<_> = requests.iter().map(keys).collect();
        assert_eq!(keys, [vec!["a", "b", "c", "d"], vec!["b", "d"], vec!["b"]]);
    }

    #[tokio::test]
    async fn a_call_whose_outcome_is_unknown_is_made_again_and_said() {
        let lost = json!({ "__type": "InternalFailure", "message": "oops" });
        let fine = json!({ "FailedRecordCount": 0, "Records": [taken("1"), taken("2")] });
        let (producer, _requests) = kinesis(vec![(500, lost), (200, fine)]).await;
        let put = producer.put(&batch(&["a", "b"])).await;
        assert_eq!(numbers(&put), [Some("1"), Some("2")]);
        assert_eq!((put.retried, put.uncertain, put.error.is_none()), (2, true, true));
    }

    #[tokio::test]
    async fn an_error_that_stays_ends_the_batch_at_once() {
        let missing = json!({ "__type": "ResourceNotFoundException", "message": "Stream not found" });
        let (producer, requests) = kinesis(vec![(400, missing)]).await;
        let put = producer.put(&batch(&["a"])).await;
        assert_eq!((numbers(&put), put.retried), (vec![None], 0));
        assert!(put.error.unwrap().is_missing());
        assert_eq!(requests.await.unwrap().len(), 1);
    }

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
