//! Amazon SNS. Ours, because no embeddable engine delivers to SQS, leaves e-mail subscriptions pending, or keeps
//! attributes as they were given.

mod deliver;
mod topics;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::CallError;
use crate::input::{list, required, tag_pairs, text};
use crate::sqs::Sqs;
use topics::{Subscription, Topic};

/// All topics and subscriptions of the account.
pub(crate) struct Sns {
    region: String,
    account: String,
    sqs: Arc<Sqs>,
    topics: Mutex<BTreeMap<String, Topic>>,
}

/// What a subscriber who has not answered its confirmation mail is listed as.
const PENDING: &str = "PendingConfirmation";
const PAGE: usize = 100;

type Answer = Result<Value, CallError>;

impl Sns {
    pub(crate) fn new(region: &str, account: &str, sqs: Arc<Sqs>) -> Self {
        Self { region: region.to_owned(), account: account.to_owned(), sqs, topics: Mutex::default() }
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
            "ListTopics" => Ok(self.list_topics(input)),
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
                Ok(page(
                    topics.values().flat_map(|topic| &topic.subscriptions).map(shown).collect(),
                    "Subscriptions",
                    input,
                ))
            }
            "ListSubscriptionsByTopic" => self.with(input, "TopicArn", |topic| {
                Ok(page(topic.subscriptions.iter().map(shown).collect(), "Subscriptions", input))
            }),
            "GetSubscriptionAttributes" => {
                self.with_subscription(input, |subscription| Ok(json!({"Attributes": subscription.attributes()})))
            }
            "SetSubscriptionAttributes" => {
                let name = required(input, "AttributeName")?;
                let value = input["AttributeValue"].as_str().unwrap_or_default();
                self.with_subscription(input, |subscription| subscription.set(name, value).map(|()| json!({})))
            }
            "Publish" => self.publish(input),
            "PublishBatch" => self.publish_batch(input),
            _ => Err(CallError::unknown_operation("sns", operation)),
        }
    }

    fn topics(&self) -> MutexGuard<'_, BTreeMap<String, Topic>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with(&self, input: &Value, member: &str, act: impl FnOnce(&mut Topic) -> Answer) -> Answer {
        let arn = required(input, member)?;
        if arn.split(':').count() != 6 {
            return Err(CallError::bad(
                "InvalidParameter",
                format!("Invalid parameter: {member} Reason: not an ARN: {arn}"),
            ));
        }
        let code = if member == "ResourceArn" { "ResourceNotFound" } else { "NotFound" };
        let message = if member == "ResourceArn" { "Resource does not exist" } else { "Topic does not exist" };
        act(self.topics().get_mut(arn).ok_or_else(|| CallError::new(404, code, message))?)
    }

    fn with_subscription(&self, input: &Value, act: impl FnOnce(&mut Subscription) -> Answer) -> Answer {
        let arn = required(input, "SubscriptionArn")?;
        let mut topics = self.topics();
        let found = topics.values_mut().flat_map(|topic| &mut topic.subscriptions).find(|it| it.arn == arn);
        act(found.ok_or_else(|| CallError::new(404, "NotFound", "Subscription does not exist"))?)
    }

    fn create(&self, input: &Value) -> Answer {
        let name = required(input, "Name")?;
        topics::check_name(name)?;
        let arn = format!("arn:aws:sns:{}:{}:{name}", self.region, self.account);
        let mut topics = self.topics();
        if topics.contains_key(&arn) {
            // AWS takes a second CreateTopic as a read, unless it would change something.
            let topic = &topics[&arn];
            if tag_pairs(&input["Tags"]).any(|(key, value)| topic.tags.get(&key) != Some(&value)) {
                return Err(CallError::bad(
                    "InvalidParameter",
                    "Invalid parameter: Tags Reason: Topic already exists with different tags",
                ));
            }
        } else {
            let mut topic = Topic::new(arn.clone(), &self.account);
            for (name, value) in crate::input::map_pairs(&input["Attributes"]) {
                topic.set(&name, &value)?;
            }
            topic.tags.extend(tag_pairs(&input["Tags"]));
            topics.insert(arn.clone(), topic);
        }
        Ok(json!({"TopicArn": arn}))
    }

    fn list_topics(&self, input: &Value) -> Value {
        let arns = self.topics().keys().map(|arn| json!({"TopicArn": arn})).collect();
        page(arns, "Topics", input)
    }

    fn subscribe(&self, input: &Value) -> Answer {
        let protocol = required(input, "Protocol")?;
        let endpoint = required(input, "Endpoint")?;
        let wants_arn = crate::input::flag(&input["ReturnSubscriptionArn"]).unwrap_or_default();
        self.with(input, "TopicArn", |topic| {
            let known = topic.subscriptions.iter().find(|it| it.protocol == protocol && it.endpoint == endpoint);
            let (arn, pending) = if let Some(known) = known {
                (known.arn.clone(), known.pending)
            } else {
                let mut new = Subscription::new(&topic.arn, protocol, endpoint, &self.account)?;
                for (name, value) in crate::input::map_pairs(&input["Attributes"]) {
                    new.set(&name, &value)?;
                }
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
        if arn.split(':').count() < 7 {
            return Err(CallError::bad("InvalidParameter", "Invalid parameter: SubscriptionArn Reason: not an ARN"));
        }
        let mut topics = self.topics();
        for topic in topics.values_mut() {
            if topic.subscriptions.iter().any(|it| it.arn == arn && it.pending) {
                return Err(CallError::bad(
                    "InvalidParameter",
                    "Invalid parameter: SubscriptionArn Reason: This subscription is pending confirmation",
                ));
            }
            topic.subscriptions.retain(|it| it.arn != arn);
        }
        Ok(json!({}))
    }

    fn publish(&self, input: &Value) -> Answer {
        let target = text(input, "TopicArn").or_else(|| text(input, "TargetArn"));
        let target = target.ok_or_else(|| {
            CallError::bad(
                "InvalidParameter",
                "Invalid parameter: TopicArn or TargetArn Reason: no value for required parameter",
            )
        })?;
        let message = deliver::Published::read(target, input)?;
        self.send(target, &message)?;
        Ok(json!({"MessageId": message.id}))
    }

    fn publish_batch(&self, input: &Value) -> Answer {
        let arn = required(input, "TopicArn")?;
        let entries = list(&input["PublishBatchRequestEntries"]);
        if !self.topics().contains_key(arn) {
            return Err(CallError::new(404, "NotFound", "Topic does not exist"));
        }
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for entry in entries {
            match deliver::Published::read(arn, entry).and_then(|it| self.send(arn, &it).map(|()| it.id)) {
                Ok(id) => successful.push(json!({"Id": entry["Id"], "MessageId": id})),
                Err(error) => failed.push(json!({
                    "Id": entry["Id"], "Code": error.code, "Message": error.message, "SenderFault": true,
                })),
            }
        }
        Ok(json!({"Successful": successful, "Failed": failed}))
    }

    /// Publishes from inside, e.g. for an alarm; a topic that is gone is no concern of the publisher.
    pub(crate) fn notify(&self, topic: &str, subject: &str, message: &str) {
        let input = json!({"Subject": subject, "Message": message});
        if let Ok(message) = deliver::Published::read(topic, &input) {
            let _ = self.send(topic, &message);
        }
    }

    fn send(&self, topic: &str, message: &deliver::Published) -> Result<(), CallError> {
        // Copied out, so that queues are not locked under topics.
        let subscriptions = {
            let topics = self.topics();
            let topic = topics.get(topic).ok_or_else(|| CallError::new(404, "NotFound", "Topic does not exist"))?;
            topic.subscriptions.clone()
        };
        for subscription in subscriptions.iter().filter(|it| it.protocol == "sqs" && it.wants(message)) {
            self.sqs.deliver(&subscription.endpoint, &message.body_for(subscription, &self.region));
        }
        Ok(())
    }
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
fn page(items: Vec<Value>, name: &str, input: &Value) -> Value {
    let start: usize = text(input, "NextToken").and_then(|token| token.parse().ok()).unwrap_or_default();
    let more = items.len() > start + PAGE;
    let items: Vec<Value> = items.into_iter().skip(start).take(PAGE).collect();
    let mut answer = json!({name: items});
    if more {
        answer["NextToken"] = Value::String((start + PAGE).to_string());
    }
    answer
}

/// A fresh id in AWS's form.
fn new_id() -> String {
    Uuid::new_v4().to_string()
}
