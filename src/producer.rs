//! The Kinesis producer: sends events in full `PutRecords` batches, and again the records that were rejected.

use std::time::Duration;

use aws_sdk_kinesis::config::retry::RetryConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::body::Bytes;
use streamkit_recipes::{Event, push_text};
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

/// How long a batch is tried again while no record of it is accepted. A shard accepts 1,000 records a second, so even
/// several batches that wait for the same shard need much less.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), 2.0, Duration::from_secs(2));

/// The bytes of an event that count towards the limits: payload and partition key.
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

    /// Adds the event, or returns it if the batch is full. An empty batch takes any event.
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

/// The position of a record in its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) shard_id: String,
    pub(crate) sequence_number: String,
    /// When the response of `PutRecords` arrived.
    pub(crate) at: Instant,
}

impl Position {
    /// Shard and sequence number, by which records are told apart.
    pub(crate) fn place(&self) -> (String, String) {
        (self.shard_id.clone(), self.sequence_number.clone())
    }
}

/// The result of putting a batch.
#[derive(Debug)]
pub(crate) struct PutResult {
    /// For each event, in order, its position; `None` if the stream did not accept it.
    pub(crate) positions: Vec<Option<Position>>,
    /// How often an event was sent again.
    pub(crate) retried: u64,
    /// A response was lost, so some events may be in the stream twice.
    pub(crate) uncertain: bool,
    /// Why the stream did not accept every event.
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
        // The SDK's own retries would send whole batches again, and would not be counted.
        let config = kinesis.config().to_builder().retry_config(RetryConfig::disabled()).build();
        Self { kinesis: aws_sdk_kinesis::Client::from_conf(config), stream: stream.to_owned() }
    }

    /// Calls `PutRecords`, then again with the records that were not accepted, until all are in the stream or none was
    /// accepted for half a minute. Records that are sent again come after those that were accepted before.
    pub(crate) async fn put(&self, batch: &Batch) -> PutResult {
        let events = batch.events();
        let mut put = PutResult { positions: vec![None; events.len()], retried: 0, uncertain: false, error: None };
        let mut open: Vec<usize> = (0..events.len()).collect();
        let mut deadline = Instant::now() + RETRY_TIMEOUT;
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
                            put.positions[place] = Some(Position { shard_id, sequence_number, at });
                            false
                        }
                        Some(Err(error)) => {
                            refused = Some(error);
                            true
                        }
                        None => true,
                    });
                    if open.len() < before {
                        deadline = at + RETRY_TIMEOUT;
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
                    put.uncertain |= is_response_lost(&error);
                    Some(error)
                }
            };
            let Some(error) = error else { break };
            let pause = backoff.pause();
            if !is_transient(&error) || Instant::now() + pause > deadline {
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
        events: impl Iterator<Item = &Event> + Clone,
    ) -> Result<Vec<Result<(String, String), AwsError>>, AwsError> {
        let body = body(&self.stream, events);
        // The SDK's own types would copy each event twice before it is written.
        let call = self.kinesis.put_records().stream_name(&self.stream).set_records(Some(Vec::new())).customize();
        let call = call.mutate_request(move |request| {
            request.headers_mut().insert("content-length", body.len().to_string());
            *request.body_mut() = body.clone().into();
        });
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

/// The body of a `PutRecords`.
fn body<'a>(stream: &str, events: impl Iterator<Item = &'a Event> + Clone) -> Bytes {
    /// What an entry has besides key and payload.
    const ENTRY: usize = r#"{"Data":"","PartitionKey":""},"#.len();
    let size = |event: &Event| event.data.len().div_ceil(3) * 4 + event.partition_key.len() + ENTRY;
    let mut body = String::with_capacity(events.clone().map(size).sum::<usize>() + stream.len() + 64);
    body.push_str(r#"{"StreamName":"#);
    push_text(&mut body, stream);
    body.push_str(r#","Records":["#);
    for (at, event) in events.enumerate() {
        body.push_str(if at > 0 { r#",{"Data":""# } else { r#"{"Data":""# });
        BASE64.encode_string(&event.data, &mut body);
        body.push_str(r#"","PartitionKey":"#);
        push_text(&mut body, &event.partition_key);
        body.push('}');
    }
    body.push_str("]}");
    body.into()
}

fn answer_error(message: String) -> AwsError {
    AwsError { code: "UnreadableAnswer".to_owned(), message, request_id: None }
}

/// True if the call may have taken effect although there is no usable response.
fn is_response_lost(error: &AwsError) -> bool {
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

/// True if the same call may succeed later.
pub(crate) fn is_transient(error: &AwsError) -> bool {
    is_response_lost(error)
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

    /// A fake Kinesis that sends these responses in turn, and then returns the requests.
    async fn kinesis(answers: Vec<(u16, Value)>) -> (Producer, JoinHandle<Vec<Value>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let config = aws_sdk_kinesis::Config::builder()
            .http_client(aws_smithy_http_client::Builder::new().build_http())
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

    fn accepted(number: &str) -> Value {
        json!({ "ShardId": "shardId-0", "SequenceNumber": number })
    }

    fn keys(request: &Value) -> Vec<&str> {
        request["Records"].as_array().unwrap().iter().map(|record| record["PartitionKey"].as_str().unwrap()).collect()
    }

    fn numbers(put: &PutResult) -> Vec<Option<&str>> {
        put.positions.iter().map(|place| place.as_ref().map(|place| place.sequence_number.as_str())).collect()
    }

    #[tokio::test]
    async fn only_records_that_were_not_accepted_are_sent_again() {
        let throttled = json!({ "ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down" });
        let first = json!({ "FailedRecordCount": 2, "Records": [accepted("1"), throttled, accepted("2"), throttled] });
        let second = json!({ "FailedRecordCount": 1, "Records": [throttled, accepted("3")] });
        let third = json!({ "FailedRecordCount": 0, "Records": [accepted("4")] });
        let (producer, requests) = kinesis(vec![(200, first), (200, second), (200, third)]).await;
        let put = producer.put(&batch(&["a", "b", "c", "d"])).await;
        assert_eq!(numbers(&put), [Some("1"), Some("4"), Some("2"), Some("3")]);
        assert_eq!((put.retried, put.uncertain, put.error.is_none()), (3, false, true));
        let requests = requests.await.unwrap();
        let keys: Vec<_> = requests.iter().map(keys).collect();
        assert_eq!(keys, [vec!["a", "b", "c", "d"], vec!["b", "d"], vec!["b"]]);
    }

    #[tokio::test]
    async fn a_call_whose_outcome_is_unknown_is_made_again_and_reported() {
        let lost = json!({ "__type": "InternalFailure", "message": "oops" });
        let fine = json!({ "FailedRecordCount": 0, "Records": [accepted("1"), accepted("2")] });
        let (producer, _requests) = kinesis(vec![(500, lost), (200, fine)]).await;
        let put = producer.put(&batch(&["a", "b"])).await;
        assert_eq!(numbers(&put), [Some("1"), Some("2")]);
        assert_eq!((put.retried, put.uncertain, put.error.is_none()), (2, true, true));
    }

    #[tokio::test]
    async fn a_permanent_error_ends_the_batch_at_once() {
        let missing = json!({ "__type": "ResourceNotFoundException", "message": "Stream not found" });
        let (producer, requests) = kinesis(vec![(400, missing)]).await;
        let put = producer.put(&batch(&["a"])).await;
        assert_eq!((numbers(&put), put.retried), (vec![None], 0));
        assert!(put.error.unwrap().is_missing());
        assert_eq!(requests.await.unwrap().len(), 1);
    }

    #[test]
    fn body_is_what_put_records_takes() {
        let events = [("key", &b"\x00\xff"[..]), ("\"\u{1}\\é", b"x"), ("k", b"")]
            .map(|(key, data)| Event { partition_key: key.to_owned(), data: data.to_vec() });
        let sent: Value = serde_json::from_slice(&body("a-stream", events.iter())).unwrap();
        let records = [("key", "AP8="), ("\"\u{1}\\é", "eA=="), ("k", "")]
            .map(|(key, data)| json!({ "Data": data, "PartitionKey": key }));
        assert_eq!(sent, json!({ "StreamName": "a-stream", "Records": records }));
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
    fn transient_errors_are_distinguished_from_permanent_ones() {
        let error = |code: &str| AwsError { code: code.to_owned(), message: String::new(), request_id: None };
        assert!(
            is_transient(&error("ProvisionedThroughputExceededException"))
                && !is_response_lost(&error("ProvisionedThroughputExceededException"))
        );
        assert!(is_transient(&error("InternalFailure")) && is_response_lost(&error("Timeout")));
        assert!(!is_transient(&error("ResourceNotFoundException")) && !is_transient(&error("AccessDeniedException")));
    }
}
