//! Queues, and the operations on them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::body::Bytes;
use axum::response::Response;
use http::{Request, header};
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use streamkit_wire::arn::is_fifo;
use streamkit_wire::input::{integer, list, map_pairs, required, text, texts};
use streamkit_wire::{Call, CallError, Protocol, clock, protocol};

use super::move_tasks::MoveTask;
use super::queue::Queue;
use super::{attributes, query};
use crate::rehearsal::{SeededTimes, StateChange};
use crate::services::iam::Deliverer;
use crate::services::passing_states::PassingStates;
use crate::services::service::{AwsService, BoxFuture};

/// Queues by name.
pub(super) type Queues = BTreeMap<String, Queue>;

/// All queues of the account.
pub(crate) struct Sqs {
    region: String,
    account: String,
    address: SocketAddr,
    times: SeededTimes,
    /// Names that cannot be used again yet.
    deleted: PassingStates,
    pub(super) queues: Mutex<Queues>,
    pub(super) move_tasks: Mutex<Vec<MoveTask>>,
    /// Wakes long polls when a message arrives or a visibility changes.
    pub(super) arrived: tokio::sync::Notify,
}

/// Metric, value and unit.
type Gauge = (&'static str, f64, &'static str);

impl AwsService for Sqs {
    fn run<'a>(&'a self, call: &'a Call, input: Value) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(self.call(&call.operation, call.protocol, input))
    }

    /// Queue URLs are as the caller reaches us: some SDKs send requests there and not to the endpoint.
    fn answer<'a>(&'a self, call: &'a Call, request: Request<Bytes>) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
            let outcome = match protocol::decode(call, &protocol::query_bytes(&request)) {
                Ok(input) => AwsService::run(self, call, input).await,
                Err(error) => Err(error),
            };
            protocol::encode(call, outcome.map(|answer| self.addressed(answer, host.as_deref())))
        })
    }

    fn housekeeping(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.expire_messages();
        })
    }
}

impl Sqs {
    pub(crate) fn new(region: &str, account: &str, address: SocketAddr, times: SeededTimes) -> Self {
        Self {
            region: region.to_owned(),
            account: account.to_owned(),
            address,
            times,
            deleted: PassingStates::default(),
            queues: Mutex::default(),
            move_tasks: Mutex::default(),
            arrived: tokio::sync::Notify::new(),
        }
    }

    /// Runs one operation; input and answer are as in SQS's JSON protocol, whatever the wire protocol is.
    pub(crate) async fn call(&self, operation: &str, protocol: Protocol, input: Value) -> Result<Value, CallError> {
        if protocol == Protocol::Query {
            let input = query::to_json(operation, input);
            return self.run(operation, &input).await.map(|answer| query::to_form(operation, answer));
        }
        self.run(operation, &input).await
    }

    async fn run(&self, operation: &str, input: &Value) -> Result<Value, CallError> {
        self.advance_move_tasks();
        match operation {
            "CreateQueue" => self.create(input),
            "GetQueueUrl" => {
                let name = required(input, "QueueName")?;
                self.queues().get(name).map(|_| json!({"QueueUrl": self.url(name)})).ok_or_else(missing)
            }
            "ListQueues" => {
                let prefix = text(input, "QueueNamePrefix").unwrap_or_default();
                self.page(input, "QueueUrls", |name, _| name.starts_with(prefix))
            }
            "DeleteQueue" => {
                let name = queue_name(input)?;
                self.queues().remove(&name).ok_or_else(missing)?;
                self.deleted.begin(&name, "deleted", self.times.time(StateChange::QueueName, &name));
                Ok(json!({}))
            }
            "GetQueueAttributes" => {
                let wanted = texts(&input["AttributeNames"]);
                self.with(input, |queue| Ok(json!({"Attributes": queue.attributes(&wanted, clock::now_ms())})))
            }
            "SetQueueAttributes" => {
                let name = queue_name(input)?;
                let mut queues = self.queues();
                queues.get(&name).ok_or_else(missing)?;
                check_dead_letters(&queues, &name, &input["Attributes"])?;
                let queue = queues.get_mut(&name).ok_or_else(missing)?;
                attributes::check_kind_stays(queue.fifo, map_pairs(&input["Attributes"]))?;
                queue.set_attributes(map_pairs(&input["Attributes"]))?;
                Ok(json!({}))
            }
            "ListQueueTags" => self
                .with(input, |queue| Ok(if queue.tags.is_empty() { json!({}) } else { json!({"Tags": queue.tags}) })),
            "TagQueue" => self.with(input, |queue| {
                queue.tags.extend(map_pairs(&input["Tags"]));
                Ok(json!({}))
            }),
            "UntagQueue" => self.with(input, |queue| {
                list(&input["TagKeys"]).iter().filter_map(Value::as_str).for_each(|key| {
                    queue.tags.remove(key);
                });
                Ok(json!({}))
            }),
            "PurgeQueue" => {
                let name = queue_name(input)?;
                self.with(input, |queue| queue.purge(&name, clock::now_ms()))
            }
            "ListDeadLetterSourceQueues" => self.dead_letter_sources(input),
            "StartMessageMoveTask" => self.start_move_task(input),
            "ListMessageMoveTasks" => self.list_move_tasks(input),
            "CancelMessageMoveTask" => self.cancel_move_task(input),
            "SendMessage" => self.send(input),
            "SendMessageBatch" => self.batch(input, Sqs::send),
            "ReceiveMessage" => self.receive(input).await,
            "DeleteMessage" => self.delete(input),
            "DeleteMessageBatch" => self.batch(input, Sqs::delete),
            "ChangeMessageVisibility" => self.change_visibility(input),
            "ChangeMessageVisibilityBatch" => self.batch(input, Sqs::change_visibility),
            _ => Err(CallError::unknown_operation("sqs", operation)),
        }
    }

    /// `SendMessage` to the queue of this ARN, if its policy lets the service.
    pub(crate) fn deliver(&self, arn: &str, mut request: Value, from: &Deliverer<'_>) -> Result<(), CallError> {
        let name = arn.rsplit(':').next().unwrap_or(arn);
        let policy = queue_of(&self.queues(), arn).ok_or_else(missing)?.policy();
        if !from.may("sqs:SendMessage", arn, policy.as_ref()) {
            return Err(CallError::new(403, "AccessDenied", format!("Access to the resource {arn} is denied.")));
        }
        request["QueueUrl"] = Value::String(self.url(name));
        self.send(&request).map(drop)
    }

    /// What AWS observes of each queue every minute: metric, value and unit.
    pub(crate) fn gauges(&self) -> Vec<(String, [Gauge; 4])> {
        self.advance_move_tasks();
        let now = clock::now_ms();
        #[expect(clippy::cast_precision_loss, reason = "a queue in memory is far below 2^52 messages")]
        let gauges = |queue: &mut Queue| {
            let counts = queue.counts(now);
            let oldest = queue.oldest_ms().map_or(0, |sent| (now - sent).max(0) / 1000);
            [
                ("ApproximateNumberOfMessagesVisible", counts.visible as f64, "Count"),
                ("ApproximateNumberOfMessagesNotVisible", counts.in_flight as f64, "Count"),
                ("ApproximateNumberOfMessagesDelayed", counts.delayed as f64, "Count"),
                ("ApproximateAgeOfOldestMessage", oldest as f64, "Seconds"),
            ]
        };
        self.queues().iter_mut().map(|(name, queue)| (name.clone(), gauges(queue))).collect()
    }

    /// Drops messages that are past their queue's retention.
    pub(crate) fn expire_messages(&self) {
        /// What all queues may take of the memory.
        const KEPT_BYTES: usize = 1024 * 1024 * 1024;
        let now = clock::now_ms();
        let mut queues = self.queues();
        queues.values_mut().for_each(|queue| queue.expire(now));
        let mut all: usize = queues.values().map(Queue::bytes).sum();
        while all > KEPT_BYTES
            && let Some(largest) = queues.values_mut().max_by_key(|queue| queue.bytes())
        {
            let before = largest.bytes();
            largest.drop_oldest(before / 2);
            all -= before - largest.bytes();
        }
    }

    pub(super) fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock()
    }

    pub(super) fn with(
        &self,
        input: &Value,
        act: impl FnOnce(&mut Queue) -> Result<Value, CallError>,
    ) -> Result<Value, CallError> {
        let name = queue_name(input)?;
        act(self.queues().get_mut(&name).ok_or_else(missing)?)
    }

    fn url(&self, name: &str) -> String {
        format!("http://{}/{}/{name}", self.address, self.account)
    }

    /// With the caller's name of this host in queue URLs.
    fn addressed(&self, mut answer: Value, host: Option<&str>) -> Value {
        let own = self.url("");
        let (Some(host), Some(members)) = (host, answer.as_object_mut()) else { return answer };
        for (_, value) in members.iter_mut().filter(|(name, _)| name.to_ascii_lowercase().starts_with("queueurl")) {
            let urls = match value {
                Value::Array(urls) => urls.as_mut_slice(),
                url => std::slice::from_mut(url),
            };
            for url in urls {
                if let Some(name) = url.as_str().and_then(|url| url.strip_prefix(&own)) {
                    *url = Value::String(format!("http://{host}/{}/{name}", self.account));
                }
            }
        }
        answer
    }

    fn create(&self, input: &Value) -> Result<Value, CallError> {
        let name = required(input, "QueueName")?;
        let fifo = map_pairs(&input["Attributes"]).find(|(name, _)| name == "FifoQueue").map(|(_, value)| value);
        attributes::check_new(name, fifo.as_deref())?;
        if self.deleted.state(name).is_some() {
            return Err(CallError::bad(
                "QueueDeletedRecently",
                "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
            ));
        }
        let mut queues = self.queues();
        if let Some(queue) = queues.get(name) {
            if let Some(differs) = queue.differing(map_pairs(&input["Attributes"])) {
                return Err(CallError::bad(
                    "QueueAlreadyExists",
                    format!("A queue already exists with the same name and a different value for attribute {differs}"),
                ));
            }
        } else {
            check_dead_letters(&queues, name, &input["Attributes"])?;
            let arn = format!("arn:aws:sqs:{}:{}:{name}", self.region, self.account);
            let mut queue = Queue::new(arn, is_fifo(name));
            queue.set_attributes(map_pairs(&input["Attributes"]))?;
            // botocore sends "tags"; the documentation also shows "Tags".
            queue.tags.extend(map_pairs(&input["tags"]).chain(map_pairs(&input["Tags"])));
            queues.insert(name.to_owned(), queue);
        }
        Ok(json!({"QueueUrl": self.url(name)}))
    }

    fn dead_letter_sources(&self, input: &Value) -> Result<Value, CallError> {
        let name = queue_name(input)?;
        let arn = self.queues().get(&name).ok_or_else(missing)?.arn.clone();
        let answer = self.page(input, "queueUrls", |_, queue| queue.redrive().is_some_and(|(target, _)| target == arn));
        // Unlike ListQueues, this one always has its list.
        answer.map(|mut answer| {
            if answer["queueUrls"].is_null() {
                answer["queueUrls"] = json!([]);
            }
            answer
        })
    }

    /// One page of the URLs of the queues that are wanted; its token is the first name of the next page.
    fn page(&self, input: &Value, list: &str, wanted: impl Fn(&str, &Queue) -> bool) -> Result<Value, CallError> {
        const MAX_RESULTS: i64 = 1000;
        let most = match integer(&input["MaxResults"]) {
            Some(most) if !(1..=MAX_RESULTS).contains(&most) => {
                return Err(CallError::bad(
                    "InvalidParameterValue",
                    format!(
                        "Value {most} for parameter MaxResults is invalid. Reason: Must be between 1 and 1000, if provided."
                    ),
                ));
            }
            most => most.unwrap_or(MAX_RESULTS),
        };
        let start = text(input, "NextToken").unwrap_or_default();
        let queues = self.queues();
        let mut names =
            queues.iter().filter(|(name, queue)| name.as_str() >= start && wanted(name, queue)).map(|(name, _)| name);
        let urls: Vec<String> =
            names.by_ref().take(usize::try_from(most).unwrap_or(1)).map(|name| self.url(name)).collect();
        let mut answer = json!({});
        if !urls.is_empty() {
            answer[list] = json!(urls);
        }
        // Without MaxResults a list ends after a thousand.
        if let Some(next) = names.next().filter(|_| !input["MaxResults"].is_null()) {
            answer["NextToken"] = json!(next);
        }
        Ok(answer)
    }
}

/// A queue URL is known by its last part: any host is accepted.
pub(super) fn queue_name(input: &Value) -> Result<String, CallError> {
    let url = required(input, "QueueUrl")?;
    Ok(url.trim_end_matches('/').rsplit('/').next().unwrap_or(url).to_owned())
}

/// A dead letter queue must be there, and be FIFO if and only if the queue is.
fn check_dead_letters(queues: &Queues, name: &str, given: &Value) -> Result<(), CallError> {
    let Some(policy) = text(given, "RedrivePolicy") else { return Ok(()) };
    let (target, _) = attributes::redrive(policy)?;
    let target = queue_of(queues, &target)
        .ok_or_else(|| attributes::refused_redrive(policy, "Dead letter target does not exist."))?;
    if target.fifo != is_fifo(name) {
        return Err(attributes::refused_redrive(policy, "Dead-letter queue must be same type of queue as the source."));
    }
    Ok(())
}

/// The queue of this ARN, if it is there.
pub(super) fn queue_of<'a>(queues: &'a Queues, arn: &str) -> Option<&'a Queue> {
    queues.get(arn.rsplit(':').next()?).filter(|queue| queue.arn == arn)
}

pub(super) fn missing() -> CallError {
    CallError::bad("QueueDoesNotExist", "The specified queue does not exist.")
}

/// Shared by the operations on messages.
pub(super) type Answer = Result<Value, CallError>;
