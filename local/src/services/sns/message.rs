//! A published message, in the form in which each kind of subscriber gets it.

use serde_json::{Map, Value, json};
use streamkit_wire::arn::is_fifo;
use streamkit_wire::input::text;
use streamkit_wire::{CallError, clock};

use super::service::new_id;
use super::subscription::Subscription;
use crate::services::sqs::{self, deduplication_id};

const MAX_SUBJECT: usize = 100;
/// An SQS message has no more attributes than that, so raw delivery of more is impossible.
const MAX_RAW_ATTRIBUTES: usize = 10;

pub(super) struct Published {
    pub(super) id: String,
    topic: String,
    subject: Option<String>,
    message: String,
    attributes: Map<String, Value>,
    /// With `MessageStructure=json` the message is one text per protocol.
    by_protocol: Option<Value>,
    pub(super) group: Option<String>,
    pub(super) deduplication: Option<String>,
    /// Its number in a FIFO topic.
    pub(super) sequence: Option<String>,
    time: String,
}

impl Published {
    pub(super) fn read(topic: &str, input: &Value) -> Result<Self, CallError> {
        let message = text(input, "Message").ok_or_else(|| invalid("Empty message"))?;
        let attributes = input["MessageAttributes"].as_object().cloned().unwrap_or_default();
        let subject = text(input, "Subject");
        if subject.is_some_and(|it| it.chars().count() > MAX_SUBJECT || it.contains(char::is_control)) {
            return Err(invalid("Subject"));
        }
        check_attributes(&attributes)?;
        let by_protocol = if text(input, "MessageStructure") == Some("json") {
            let tree: Value = serde_json::from_str(message)
                .map_err(|_| invalid("Message Structure - JSON message body failed to parse"))?;
            if !tree["default"].is_string() {
                return Err(invalid("Message Structure - No default entry in JSON message body"));
            }
            Some(tree)
        } else {
            None
        };
        Ok(Self {
            id: new_id(),
            topic: topic.to_owned(),
            subject: subject.map(str::to_owned),
            message: message.to_owned(),
            attributes,
            by_protocol,
            group: text(input, "MessageGroupId").map(str::to_owned),
            deduplication: text(input, "MessageDeduplicationId").map(str::to_owned),
            sequence: None,
            time: clock::iso(clock::now_ms()),
        })
    }

    /// What counts towards the size of the message.
    pub(super) fn bytes(&self) -> usize {
        self.message.len() + sqs::bytes(&self.attributes)
    }

    /// The text that subscribers of this protocol get.
    pub(super) fn text_for(&self, protocol: &str) -> &str {
        self.by_protocol.as_ref().map_or(self.message.as_str(), |tree| {
            tree[protocol].as_str().or(tree["default"].as_str()).unwrap_or_default()
        })
    }

    /// The deduplication id of a message that has none of its own.
    pub(super) fn digest(&self) -> String {
        deduplication_id(&self.message)
    }

    /// The attributes as a filter policy sees them. Binary ones cannot be filtered by.
    pub(super) fn filterable(&self) -> Value {
        let attributes = self.attributes.iter().filter_map(|(name, attribute)| {
            let content = attribute["StringValue"].as_str()?;
            let value = match attribute["DataType"].as_str()? {
                "Number" | "String.Array" => serde_json::from_str(content).ok()?,
                _ => Value::String(content.to_owned()),
            };
            Some((name.clone(), value))
        });
        Value::Object(attributes.collect())
    }

    /// The `SendMessage` request to a queue: the message itself with raw delivery, else SNS's envelope. `None` when a queue
    /// cannot take it.
    pub(super) fn for_queue(&self, subscription: &Subscription, region: &str, queue: &str) -> Option<Value> {
        let mut request = json!({});
        if subscription.raw() {
            if self.attributes.len() > MAX_RAW_ATTRIBUTES {
                return None;
            }
            request["MessageBody"] = json!(self.text_for(&subscription.protocol));
            request["MessageAttributes"] = Value::Object(self.attributes.clone());
        } else {
            request["MessageBody"] = Value::String(self.envelope(subscription, region).to_string());
        }
        if let Some(group) = &self.group {
            request["MessageGroupId"] = json!(group);
        }
        // A standard queue would refuse it.
        if let Some(deduplication) = self.deduplication.as_ref().filter(|_| is_fifo(queue)) {
            request["MessageDeduplicationId"] = json!(deduplication);
        }
        Some(request)
    }

    /// The event that a function gets. Its members are not quite named like those of the envelope.
    pub(super) fn for_function(&self, subscription: &Subscription, region: &str) -> Value {
        let mut message = self.envelope(subscription, region);
        message["Subject"] = json!(self.subject);
        message["MessageAttributes"] = self.shown_attributes();
        if let Some(members) = message.as_object_mut() {
            for (name, here) in [("SigningCertURL", "SigningCertUrl"), ("UnsubscribeURL", "UnsubscribeUrl")] {
                let value = members.remove(name).unwrap_or_default();
                members.insert(here.to_owned(), value);
            }
        }
        json!({ "Records": [{
            "EventSource": "aws:sns",
            "EventVersion": "1.0",
            "EventSubscriptionArn": subscription.arn,
            "Sns": message,
        }] })
    }

    fn envelope(&self, subscription: &Subscription, region: &str) -> Value {
        let mut envelope = json!({
            "Type": "Notification",
            "MessageId": self.id,
            "TopicArn": self.topic,
            "Message": self.text_for(&subscription.protocol),
            "Timestamp": self.time,
            "SignatureVersion": "1",
            "Signature": "RU1CRURERUQ=",
            "SigningCertURL": format!("https://sns.{region}.amazonaws.com/SimpleNotificationService-embedded.pem"),
            "UnsubscribeURL":
                format!("https://sns.{region}.amazonaws.com/?Action=Unsubscribe&SubscriptionArn={}", subscription.arn),
        });
        if let Some(sequence) = &self.sequence {
            envelope["SequenceNumber"] = json!(sequence);
        }
        if let Some(subject) = &self.subject {
            envelope["Subject"] = json!(subject);
        }
        if !self.attributes.is_empty() {
            envelope["MessageAttributes"] = self.shown_attributes();
        }
        envelope
    }

    fn shown_attributes(&self) -> Value {
        let attributes = self.attributes.iter().map(|(name, value)| {
            let content = ["StringValue", "BinaryValue"].iter().find_map(|kind| value[*kind].as_str());
            (name.clone(), json!({ "Type": value["DataType"], "Value": content }))
        });
        Value::Object(attributes.collect())
    }
}

fn check_attributes(attributes: &Map<String, Value>) -> Result<(), CallError> {
    let refuse = |why: String| CallError::bad("ParameterValueInvalid", why);
    for (name, attribute) in attributes {
        let kind = attribute["DataType"].as_str().unwrap_or_default();
        let known = ["String", "Number", "Binary"].contains(&kind.split('.').next().unwrap_or_default());
        if !known {
            return Err(refuse(format!(
                "The message attribute '{name}' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String."
            )));
        }
        let content = attribute[if kind.starts_with("Binary") { "BinaryValue" } else { "StringValue" }].as_str();
        let Some(content) = content.filter(|content| !content.is_empty()) else {
            return Err(refuse(format!(
                "The message attribute '{name}' must contain non-empty message attribute value for message attribute type '{kind}'."
            )));
        };
        if kind == "Number" && content.parse::<f64>().is_err() {
            return Err(refuse(format!("Could not cast message attribute '{name}' value to number.")));
        }
    }
    Ok(())
}

pub(super) fn invalid(what: &str) -> CallError {
    CallError::bad("InvalidParameter", format!("Invalid parameter: {what}"))
}
