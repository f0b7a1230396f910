//! Topics and subscriptions, the operations on them, and delivery.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Bytes;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Map, Value, json};
use streamkit_wire::arn::is_fifo;
use streamkit_wire::input::{list, map_pairs, required, tag_pairs, text};
use streamkit_wire::{Call, CallError, clock};
use uuid::Uuid;

use super::message::{Published, invalid};
use super::subscription::Subscription;
use super::topics;
use super::topics::Topic;
use crate::services::iam::Deliverer;
use crate::services::service::{AwsService, BoxFuture};
use crate::services::sqs;

/// The queues and functions of all regions, which services deliver to.
pub(crate) trait Receivers: Send + Sync {
    /// Invokes a function, named by its ARN, asynchronously; `false` when there is none of that name, or its policy does not
    /// let the service.
    fn invoke(&self, arn: &str, event: Bytes, from: &Deliverer<'_>) -> bool;

    /// Sends a message to the queue of this ARN; `false` when there is none, or its policy does not let the service.
    fn send(&self, arn: &str, request: Value, from: &Deliverer<'_>) -> bool;
}

/// All topics and subscriptions of the account.
pub(crate) struct Sns {
    pub(super) region: String,
    account: String,
    receivers: Arc<dyn Receivers>,
    pub(super) topics: Mutex<BTreeMap<String, Topic>>,
    /// What is to be published as metrics: topic, and the metric that counts it.
    outcomes: Mutex<Vec<(String, &'static str)>>,
}

/// What a subscriber who has not answered its confirmation mail is listed as.
const PENDING: &str = "PendingConfirmation";
const PAGE: usize = 100;
/// Whom policies name to let SNS deliver.
const SERVICE: &str = "sns.amazonaws.com";

type Answer = Result<Value, CallError>;

impl AwsService for Sns {
    fn run<'a>(&'a self, call: &'a Call, input: Value) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(async move { self.call(&call.operation, &input) })
    }
}

impl Sns {
    pub(crate) fn new(region: &str, account: &str, receivers: Arc<dyn Receivers>) -> Self {
        Self {
            region: region.to_owned(),
            account: account.to_owned(),
            receivers,
            topics: Mutex::default(),
            outcomes: Mutex::default(),
        }
    }

    /// Runs one operation; members are named as in SNS's API.
    pub(crate) fn call(&self, operation: &str, input: &Value) -> Answer {
        match operation {
            "CreateTopic" => self.create(input),
            "DeleteTopic" => {
                // Deleting what is not there is no error.
                self.topics().remove(required(input, "TopicArn")?);
                Ok(json!({}))
            }
            "ListTopics" => self.list_topics(input),
            "GetTopicAttributes" => self.with(input, "TopicArn", |topic| Ok(json!({"Attributes": topic.attributes()}))),
            "SetTopicAttributes" => {
                let name = required(input, "AttributeName")?;
                let value = input["AttributeValue"].as_str().unwrap_or_default();
                self.with(input, "TopicArn", |topic| topic.set(name, value).map(|()| json!({})))
            }
            "ListTagsForResource" => self.with(input, "ResourceArn", |topic| {
                let tags: Vec<Value> =
                    topic.tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
                Ok(json!({"Tags": tags}))
            }),
            "TagResource" => self.with(input, "ResourceArn", |topic| {
                distinct_tags(input)?;
                topic.tags.extend(tag_pairs(&input["Tags"]));
                Ok(json!({}))
            }),
            "UntagResource" => self.with(input, "ResourceArn", |topic| {
                list(&input["TagKeys"]).iter().filter_map(Value::as_str).for_each(|key| {
                    topic.tags.remove(key);
                });
                Ok(json!({}))
            }),
            "Subscribe" => self.subscribe(input),
            "Unsubscribe" => self.unsubscribe(input),
            "ListSubscriptions" => {
                let topics = self.topics();
                page(topics.values().flat_map(|topic| &topic.subscriptions).map(shown), "Subscriptions", input)
            }
            "ListSubscriptionsByTopic" => self
                .with(input, "TopicArn", |topic| page(topic.subscriptions.iter().map(shown), "Subscriptions", input)),
            "GetSubscriptionAttributes" => {
                self.with_subscription(input, |subscription| Ok(json!({"Attributes": subscription.attributes()})))
            }
            "SetSubscriptionAttributes" => {
                let name = required(input, "AttributeName")?;
                let value = input["AttributeValue"].as_str().unwrap_or_default();
                let change = [(name.to_owned(), value.to_owned())];
                self.with_subscription(input, |subscription| match subscription.set(&change) {
                    Ok(()) => Ok(json!({})),
                    Err(why) => Err(invalid(&why)),
                })
            }
            "Publish" => self.publish(input),
            "PublishBatch" => self.publish_batch(input),
            _ => Err(CallError::unknown_operation("sns", operation)),
        }
    }

    pub(super) fn topics(&self) -> MutexGuard<'_, BTreeMap<String, Topic>> {
        self.topics.lock()
    }

    pub(super) fn with(&self, input: &Value, member: &str, act: impl FnOnce(&mut Topic) -> Answer) -> Answer {
        let arn = required(input, member)?;
        elements(member, arn)?;
        let code = if member == "ResourceArn" { "ResourceNotFound" } else { "NotFound" };
        let message = if member == "ResourceArn" { "Resource does not exist" } else { "Topic does not exist" };
        act(self.topics().get_mut(arn).ok_or_else(|| CallError::new(404, code, message))?)
    }

    fn with_subscription(&self, input: &Value, act: impl FnOnce(&mut Subscription) -> Answer) -> Answer {
        let arn = required(input, "SubscriptionArn")?;
        if elements("SubscriptionArn", arn)? < 7 {
            return Err(invalid("SubscriptionId"));
        }
        let mut topics = self.topics();
        let found = topics.values_mut().flat_map(|topic| &mut topic.subscriptions).find(|it| it.arn == arn);
        act(found.ok_or_else(|| CallError::new(404, "NotFound", "Subscription does not exist"))?)
    }

    fn create(&self, input: &Value) -> Answer {
        let name = required(input, "Name")?;
        topics::check_name(name)?;
        distinct_tags(input)?;
        let fifo = map_pairs(&input["Attributes"]).any(|(name, value)| name == "FifoTopic" && value == "true");
        if fifo != is_fifo(name) {
            return Err(invalid(
                "Topic Name Reason: Fifo Topic names must end with .fifo and must be made up of only uppercase and lowercase ASCII letters, numbers, underscores, and hyphens, and must be between 1 and 256 characters long.",
            ));
        }
        let arn = format!("arn:aws:sns:{}:{}:{name}", self.region, self.account);
        let mut topics = self.topics();
        if topics.contains_key(&arn) {
            // AWS takes a second CreateTopic as a read, unless it would change something.
            let topic = &topics[&arn];
            let known = topic.attributes();
            if map_pairs(&input["Attributes"]).any(|(name, value)| known.get(&name).is_none_or(|it| *it != value)) {
                return Err(invalid("Attributes Reason: Topic already exists with different attributes"));
            }
            if tag_pairs(&input["Tags"]).any(|(key, value)| topic.tags.get(&key) != Some(&value)) {
                return Err(invalid("Tags Reason: Topic already exists with different tags"));
            }
        } else {
            let mut topic = Topic::new(arn.clone(), &self.account);
            for (name, value) in map_pairs(&input["Attributes"]) {
                topic.set(&name, &value)?;
            }
            topic.tags.extend(tag_pairs(&input["Tags"]));
            topics.insert(arn.clone(), topic);
        }
        Ok(json!({"TopicArn": arn}))
    }

    fn list_topics(&self, input: &Value) -> Answer {
        page(self.topics().keys().map(|arn| json!({"TopicArn": arn})), "Topics", input)
    }

    fn subscribe(&self, input: &Value) -> Answer {
        let protocol = required(input, "Protocol")?;
        let endpoint = required(input, "Endpoint")?;
        let wants_arn = streamkit_wire::input::flag(&input["ReturnSubscriptionArn"]).unwrap_or_default();
        let attributes: Vec<_> = map_pairs(&input["Attributes"]).collect();
        self.with(input, "TopicArn", |topic| {
            let known = topic.subscriptions.iter().find(|it| it.protocol == protocol && it.endpoint == endpoint);
            let (arn, pending) = if let Some(known) = known {
                if !known.has(&attributes) {
                    return Err(invalid("Attributes Reason: Subscription already exists with different attributes"));
                }
                (known.arn.clone(), known.pending)
            } else {
                let mut new = Subscription::new(&topic.arn, protocol, endpoint, &self.account)?;
                new.set(&attributes).map_err(|why| invalid(&format!("Attributes Reason: {why}")))?;
                let answer = (new.arn.clone(), new.pending);
                topic.subscriptions.push(new);
                answer
            };
            let shown = if pending && !wants_arn { "pending confirmation".to_owned() } else { arn };
            Ok(json!({"SubscriptionArn": shown}))
        })
    }

    fn unsubscribe(&self, input: &Value) -> Answer {
        let arn = required(input, "SubscriptionArn")?;
        if elements("SubscriptionArn", arn)? < 7 {
            return Err(invalid("SubscriptionId"));
        }
        let mut topics = self.topics();
        for topic in topics.values_mut() {
            if topic.subscriptions.iter().any(|it| it.arn == arn && it.pending) {
                return Err(invalid(
                    "SubscriptionArn Reason: Cannot unsubscribe a subscription that is pending confirmation",
                ));
            }
            topic.subscriptions.retain(|it| it.arn != arn);
        }
        Ok(json!({}))
    }

    fn publish(&self, input: &Value) -> Answer {
        let target = text(input, "TopicArn").or_else(|| text(input, "TargetArn"));
        let target = target.ok_or_else(|| invalid("TopicArn or TargetArn Reason: no value for required parameter"))?;
        elements("TopicArn", target)?;
        let message = Published::read(target, input)?;
        let (id, sequence) = self.send(target, message)?;
        Ok(json!({ "MessageId": id, "SequenceNumber": sequence }))
    }

    fn publish_batch(&self, input: &Value) -> Answer {
        const MAX_ENTRIES: usize = 10;
        const MAX_ID: usize = 80;
        let arn = required(input, "TopicArn")?;
        elements("TopicArn", arn)?;
        let entries = list(&input["PublishBatchRequestEntries"]);
        if !self.topics().contains_key(arn) {
            return Err(missing_topic());
        }
        if entries.is_empty() {
            return Err(CallError::bad("EmptyBatchRequest", "The batch request doesn't contain any entries."));
        }
        if entries.len() > MAX_ENTRIES {
            return Err(CallError::bad(
                "TooManyEntriesInBatchRequest",
                "The batch request contains more entries than permissible.",
            ));
        }
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let bad = |id: &str| id.is_empty() || id.len() > MAX_ID || !id.bytes().all(legal);
        if entries.iter().any(|entry| bad(entry["Id"].as_str().unwrap_or_default())) {
            return Err(CallError::bad(
                "InvalidBatchEntryId",
                "The Id of a batch entry in a batch request doesn't abide by the specification.",
            ));
        }
        let ids: BTreeSet<_> = entries.iter().filter_map(|entry| entry["Id"].as_str()).collect();
        if ids.len() < entries.len() {
            return Err(CallError::bad(
                "BatchEntryIdsNotDistinct",
                "Two or more batch entries in the request have the same Id.",
            ));
        }
        let most = self.topics().get(arn).ok_or_else(missing_topic)?.max_bytes();
        if entries.iter().map(bytes_of).sum::<usize>() > most {
            return Err(CallError::bad(
                "BatchRequestTooLong",
                "The length of all the batch messages put together is more than the limit.",
            ));
        }
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for entry in entries {
            let sent = Published::read(arn, entry).and_then(|message| self.send(arn, message));
            match sent {
                Ok((id, sequence)) => {
                    successful.push(json!({ "Id": entry["Id"], "MessageId": id, "SequenceNumber": sequence }));
                }
                Err(error) => failed.push(json!({
                    "Id": entry["Id"], "Code": error.code, "Message": error.message, "SenderFault": true,
                })),
            }
        }
        Ok(json!({"Successful": successful, "Failed": failed}))
    }

    /// What became of messages since the last time: topic, and the metric that counts it.
    pub(crate) fn take_outcomes(&self) -> Vec<(String, &'static str)> {
        std::mem::take(&mut *self.outcomes.lock())
    }

    /// Publishes for an alarm, if the topic's policy lets CloudWatch; a topic that is gone is no concern of the publisher.
    pub(crate) fn notify(&self, alarm: &str, topic: &str, subject: &str, message: &str) {
        let from = Deliverer { service: "cloudwatch.amazonaws.com", source: alarm, account: &self.account };
        let policy = self.topics().get(topic).and_then(Topic::policy);
        if !from.may("sns:Publish", topic, policy.as_ref()) {
            return;
        }
        let input = json!({"Subject": subject, "Message": message});
        if let Ok(message) = Published::read(topic, &input) {
            let _ = self.send(topic, message);
        }
    }

    /// Delivers to all who want it; gives back the message's id, and the sequence number that it has in a FIFO topic.
    fn send(&self, topic: &str, mut message: Published) -> Result<(String, Option<String>), CallError> {
        // Copied out, so that nothing else is locked under topics.
        let subscriptions = {
            let mut topics = self.topics();
            let topic = topics.get_mut(topic).ok_or_else(missing_topic)?;
            if let Some((id, sequence)) = topic.accept(&mut message, clock::now_ms())? {
                return Ok((id, Some(sequence)));
            }
            topic.subscriptions.clone()
        };
        self.outcomes.lock().push((topic.to_owned(), "NumberOfMessagesPublished"));
        for subscription in subscriptions.iter().filter(|it| it.wants(&message)) {
            self.deliver(subscription, &message);
        }
        Ok((message.id, message.sequence))
    }

    /// Hands a message to a queue or function; if that is gone or its policy does not let SNS, to the subscription's dead
    /// letter queue.
    fn deliver(&self, subscription: &Subscription, message: &Published) {
        let from = Deliverer { service: SERVICE, source: &subscription.topic, account: &self.account };
        let delivered = match subscription.protocol.as_str() {
            "sqs" => message
                .for_queue(subscription, &self.region, &subscription.endpoint)
                .is_some_and(|request| self.receivers.send(&subscription.endpoint, request, &from)),
            "lambda" => {
                let event = Bytes::from(message.for_function(subscription, &self.region).to_string());
                self.receivers.invoke(&subscription.endpoint, event, &from)
            }
            // Nobody is there to answer a confirmation, call a phone, or read mail.
            _ => true,
        };
        let metric = if delivered { "NumberOfNotificationsDelivered" } else { "NumberOfNotificationsFailed" };
        self.outcomes.lock().push((subscription.topic.clone(), metric));
        if !delivered
            && let Some(queue) = subscription.dead_letters()
            && let Some(request) = message.for_queue(subscription, &self.region, &queue)
        {
            // Without its dead letter queue the message is lost, as it is in AWS.
            self.receivers.send(&queue, request, &from);
        }
    }
}

/// How many elements an ARN has; six are the least.
fn elements(member: &str, arn: &str) -> Result<usize, CallError> {
    match arn.split(':').count() {
        count @ 6.. => Ok(count),
        count => Err(invalid(&format!("{member} Reason: An ARN must have at least 6 elements, not {count}"))),
    }
}

/// A request may name each tag once.
fn distinct_tags(input: &Value) -> Result<(), CallError> {
    let mut seen = BTreeSet::new();
    if tag_pairs(&input["Tags"]).all(|(key, _)| seen.insert(key)) {
        return Ok(());
    }
    Err(invalid("Duplicated keys are not allowed."))
}

fn bytes_of(entry: &Value) -> usize {
    let message = entry["Message"].as_str().unwrap_or_default().len();
    message + entry["MessageAttributes"].as_object().map_or(0, sqs::bytes)
}

fn missing_topic() -> CallError {
    CallError::new(404, "NotFound", "Topic does not exist")
}

pub(super) fn texts<const N: usize>(pairs: [(&str, String); N]) -> Map<String, Value> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect()
}

fn shown(subscription: &Subscription) -> Value {
    json!({
        "SubscriptionArn": if subscription.pending { PENDING } else { &subscription.arn },
        "Owner": subscription.owner,
        "Protocol": subscription.protocol,
        "Endpoint": subscription.endpoint,
        "TopicArn": subscription.topic,
    })
}

/// One page of a list; the token is the index that the next page starts at.
fn page(items: impl Iterator<Item = Value>, name: &str, input: &Value) -> Answer {
    let start = match text(input, "NextToken") {
        Some(token) => token.parse().map_err(|_| invalid("NextToken"))?,
        None => 0,
    };
    let mut items = items.skip(start);
    let shown: Vec<Value> = items.by_ref().take(PAGE).collect();
    let mut answer = json!({name: shown});
    if items.next().is_some() {
        answer["NextToken"] = Value::String((start + PAGE).to_string());
    }
    Ok(answer)
}

/// A fresh id in AWS's form.
pub(super) fn new_id() -> String {
    Uuid::new_v4().to_string()
}
