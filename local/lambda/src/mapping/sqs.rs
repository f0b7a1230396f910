//! SQS queues as a source: gathers messages, invokes, and deletes what was processed.
//!
//! What failed stays in the queue: it can be seen again after the queue's visibility timeout, and the queue's redrive
//! policy moves it to its dead letter queue in the end. See <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use serde_json::{Map, Value, json};
use streamkit_wire::CallError;
use streamkit_wire::arn::is_fifo;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::filters::payload;
use super::on_failure::{ENVELOPE, envelope};
use super::partial;
use super::shard_worker::{MAX_PAYLOAD, Shared};
use crate::invocation::invoke::{Event, NotInvoked};
use crate::ports::Ports;
use crate::ports::Transition;

/// Batches at a time when the mapping sets no maximum: Lambda begins with five, too.
const CONCURRENCY: u32 = 5;
/// Most messages of one call of SQS.
const MAX_MESSAGES: usize = 10;
/// Longest wait of one receive, in seconds.
const LONG_POLL: u64 = 20;
/// Pause after a receive that failed, and before a throttled batch is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// One queue.
#[derive(Clone)]
pub(crate) struct Queue {
    ports: Arc<Ports>,
    region: String,
    arn: String,
    /// Role of the function, with whose rights the queue is read.
    role: String,
}

/// A message on its way to the function.
#[derive(Debug)]
struct Message {
    id: String,
    receipt: String,
    /// The JSON object that goes into `Records`.
    json: String,
}

impl Queue {
    pub(crate) fn new(ports: Arc<Ports>, region: &str, arn: &str, role: &str) -> Self {
        Self { ports, region: region.to_owned(), arn: arn.to_owned(), role: role.to_owned() }
    }

    async fn call(&self, operation: &str, body: Value) -> Result<Value, CallError> {
        let action = format!("sqs:{}", operation.trim_end_matches("Batch"));
        // The URL follows from the ARN; Lambda does not ask for it.
        if operation != "GetQueueUrl" {
            self.ports.roles.check(&self.role, &action, &self.arn)?;
        }
        self.ports.queues.sqs(operation, body).await
    }

    async fn url(&self) -> Result<String, CallError> {
        let name = self.arn.rsplit(':').next().unwrap_or_default();
        let got = self.call("GetQueueUrl", json!({ "QueueName": name })).await?;
        let url = got["QueueUrl"].as_str().map(str::to_owned);
        url.ok_or_else(|| CallError::new(500, "InternalFailure", "SQS answered without QueueUrl"))
    }

    /// How long a received message stays hidden.
    pub(crate) async fn visibility(&self) -> Result<Duration, CallError> {
        let body = json!({ "QueueUrl": self.url().await?, "AttributeNames": ["VisibilityTimeout"] });
        let got = self.call("GetQueueAttributes", body).await?;
        let seconds = got["Attributes"]["VisibilityTimeout"].as_str().and_then(|text| text.parse().ok());
        Ok(Duration::from_secs(seconds.unwrap_or(0)))
    }

    async fn receive(&self, url: &str, most: usize) -> Result<Vec<Value>, CallError> {
        let body = json!({
            "QueueUrl": url,
            "MaxNumberOfMessages": most.clamp(1, MAX_MESSAGES),
            "WaitTimeSeconds": LONG_POLL,
            "AttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        });
        match self.call("ReceiveMessage", body).await?["Messages"].take() {
            Value::Array(messages) => Ok(messages),
            _ => Ok(Vec::new()),
        }
    }

    /// Deletes messages; what cannot be deleted is delivered again, as it may be with AWS.
    async fn delete<'a>(&self, url: &str, receipts: impl Iterator<Item = &'a str>) {
        let receipts: Vec<&str> = receipts.collect();
        for some in receipts.chunks(MAX_MESSAGES) {
            let entries: Vec<Value> = (0..)
                .zip(some)
                .map(|(at, receipt): (u32, _)| json!({ "Id": at.to_string(), "ReceiptHandle": receipt }))
                .collect();
            drop(self.call("DeleteMessageBatch", json!({ "QueueUrl": url, "Entries": entries })).await);
        }
    }

    /// A message as the function sees it.
    fn record(&self, message: &Value) -> Value {
        let attributes: Map<String, Value> = message["MessageAttributes"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, given)| {
                let mut shown =
                    json!({ "stringListValues": [], "binaryListValues": [], "dataType": given["DataType"] });
                for (member, from) in [("stringValue", "StringValue"), ("binaryValue", "BinaryValue")] {
                    if !given[from].is_null() {
                        shown[member] = given[from].clone();
                    }
                }
                (name.clone(), shown)
            })
            .collect();
        let mut record = json!({
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": attributes,
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self.arn,
            "awsRegion": self.region,
        });
        if !message["MD5OfMessageAttributes"].is_null() {
            record["md5OfMessageAttributes"] = message["MD5OfMessageAttributes"].clone();
        }
        record
    }
}

/// Runs until the mapping stops; batches under way are then brought to their end.
pub(crate) async fn run(shared: Arc<Shared>, queue: Queue, ready: oneshot::Sender<()>) {
    let unready = shared.engine.ports.transitions.time(Transition::MappingPolling, &shared.mapping.uuid);
    shared.stop.run_until_cancelled(tokio::time::sleep(unready)).await;
    let most = shared.settings.max_concurrency.unwrap_or(CONCURRENCY);
    let room = Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(1)));
    let mut batches = JoinSet::new();
    // Nobody waits when the mapping was deleted at once.
    let _ = ready.send(());
    while let Some(Ok(place)) = shared.stop.run_until_cancelled(Arc::clone(&room).acquire_owned()).await {
        match shared.stop.run_until_cancelled(gather(&shared, &queue)).await {
            Some(Ok((url, messages))) if !messages.is_empty() => {
                let (shared, queue) = (Arc::clone(&shared), queue.clone());
                batches.spawn(async move {
                    for batch in by_size(messages) {
                        let done = settle(&shared, &queue, &url, &batch).await;
                        // What comes after a failed message of a FIFO queue waits for it.
                        if !done && is_fifo(&queue.arn) {
                            break;
                        }
                    }
                    drop(place);
                });
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                shared.mapping.result(&format!("PROBLEM: {error}"));
                shared.stop.run_until_cancelled(tokio::time::sleep(RETRY_PAUSE)).await;
            }
            None => break,
        }
        while let Some(ended) = batches.try_join_next() {
            // Its messages can be seen again after the visibility timeout.
            if let Err(error) = ended {
                shared.mapping.result(&format!("PROBLEM: a batch ended before its time: {error}"));
            }
        }
    }
    while batches.join_next().await.is_some() {}
}

/// Receives one batch: what is there at once, or what comes within the batching window. The stop of a mapping may end it:
/// what was received by then can be seen again after the visibility timeout.
async fn gather(shared: &Shared, queue: &Queue) -> Result<(String, Vec<Message>), CallError> {
    let settings = &shared.settings;
    let url = queue.url().await?;
    let (mut messages, mut bytes) = (Vec::new(), ENVELOPE);
    let mut closes = None;
    while messages.len() < settings.batch_size && bytes < MAX_PAYLOAD {
        let receive = queue.receive(&url, settings.batch_size - messages.len());
        let received = match closes {
            None => receive.await?,
            Some(closes) => match timeout_at(closes, receive).await {
                Ok(received) => received?,
                Err(_) => break,
            },
        };
        if received.is_empty() {
            break;
        }
        for given in &received {
            if let Some(message) = admit(shared, queue, &url, given).await {
                bytes += message.json.len() + 1;
                messages.push(message);
            }
        }
        // The window opens with the first message; without one, a batch is what a single receive gives.
        if settings.window.is_zero() {
            break;
        }
        closes.get_or_insert_with(|| Instant::now() + settings.window);
    }
    Ok((url, messages))
}

/// Parts that an invocation can take. A single message that is too big is one of its own, which the function then refuses.
fn by_size(messages: Vec<Message>) -> Vec<Vec<Message>> {
    let (mut parts, mut bytes) = (vec![Vec::new()], ENVELOPE);
    for message in messages {
        let size = message.json.len() + 1;
        if bytes + size > MAX_PAYLOAD && bytes > ENVELOPE {
            parts.push(Vec::new());
            bytes = ENVELOPE;
        }
        bytes += size;
        if let Some(part) = parts.last_mut() {
            part.push(message);
        }
    }
    parts
}

/// The message, unless the mapping's filters keep it from the function: then it is deleted.
async fn admit(shared: &Shared, queue: &Queue, url: &str, given: &Value) -> Option<Message> {
    shared.mapping_count("PolledEventCount", 1);
    let (id, receipt) = (given["MessageId"].as_str()?.to_owned(), given["ReceiptHandle"].as_str()?.to_owned());
    let record = queue.record(given);
    let passes = shared.settings.filters.pass(|| {
        let mut record = record.clone();
        record["body"] = payload(given["Body"].as_str().unwrap_or_default().as_bytes());
        record
    });
    if !passes {
        shared.mapping_count("FilteredOutEventCount", 1);
        queue.delete(url, std::iter::once(receipt.as_str())).await;
        return None;
    }
    Some(Message { id, receipt, json: record.to_string() })
}

/// Invokes the function with a batch, and deletes what it processed; `false` when something stays.
async fn settle(shared: &Shared, queue: &Queue, url: &str, messages: &[Message]) -> bool {
    let Shared { engine, mapping, settings, stop, .. } = shared;
    let hidden = queue.visibility().await.unwrap_or_default();
    let until = Instant::now() + hidden;
    let outcome = loop {
        let result = match engine.invoked(&settings.function_arn) {
            Ok(target) => {
                let event = Event::new(Bytes::from(envelope(messages.iter().map(|message| message.json.as_str()))));
                engine.run(&target, event).await
            }
            Err(_) => Err(NotInvoked::Gone),
        };
        match result {
            Ok(outcome) => break Some(outcome),
            Err(NotInvoked::TooLarge) => break None,
            // A batch that never reached the function is tried again for as long as nobody else sees its messages.
            Err(NotInvoked::Throttled | NotInvoked::Pending | NotInvoked::Gone) => {
                mapping.result("PROBLEM: Function call was throttled or the function is missing");
                if Instant::now() + RETRY_PAUSE > until
                    || stop.run_until_cancelled(tokio::time::sleep(RETRY_PAUSE)).await.is_none()
                {
                    return false;
                }
            }
        }
    };
    shared.mapping_count("InvokedEventCount", messages.len());
    let all = || (0..messages.len()).collect();
    let failed: Vec<usize> = match outcome {
        Some(outcome) if !outcome.failed && settings.report_item_failures => {
            let identifiers = messages.iter().map(|message| message.id.as_str());
            partial::failed(&outcome.payload, identifiers).unwrap_or_else(all)
        }
        Some(outcome) if !outcome.failed => Vec::new(),
        _ => all(),
    };
    mapping.result(if failed.is_empty() { "OK" } else { "PROBLEM: Function call failed" });
    shared.mapping_count("FailedInvokeEventCount", failed.len());
    shared.mapping_count("DeletedEventCount", messages.len() - failed.len());
    let done = messages.iter().enumerate().filter(|(at, _)| !failed.contains(at));
    queue.delete(url, done.map(|(_, message)| message.receipt.as_str())).await;
    failed.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stay_below_six_megabytes_and_in_order() {
        let message = |(id, bytes): (usize, usize)| Message {
            id: id.to_string(),
            receipt: String::new(),
            json: "x".repeat(bytes),
        };
        let sizes = [MAX_PAYLOAD / 2, MAX_PAYLOAD / 3, MAX_PAYLOAD / 3, 10, MAX_PAYLOAD * 2, 10];
        let parts = by_size(sizes.into_iter().enumerate().map(message).collect());
        let ids: Vec<String> =
            parts.iter().map(|part| part.iter().map(|message| message.id.as_str()).collect()).collect();
        assert_eq!(ids, ["01", "23", "4", "5"]);
    }
}
