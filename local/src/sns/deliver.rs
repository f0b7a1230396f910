//! A published message: what each subscriber gets of it, and whether its filter policy wants it.

use serde_json::{Map, Value, json};

use super::new_id;
use super::topics::Subscription;
use crate::clock;
use crate::error::CallError;
use crate::input::{list, text};

const MAX_BYTES: usize = 262_144;

pub(super) struct Published {
    pub(super) id: String,
    topic: String,
    subject: Option<String>,
    message: String,
    attributes: Map<String, Value>,
    /// With `MessageStructure=json` the message is one text per protocol.
    by_protocol: Option<Value>,
}

impl Published {
    pub(super) fn read(topic: &str, input: &Value) -> Result<Self, CallError> {
        let message = text(input, "Message")
            .ok_or_else(|| CallError::bad("InvalidParameter", "Invalid parameter: Empty message"))?;
        if message.len() > MAX_BYTES {
            return Err(CallError::bad("InvalidParameter", "Invalid parameter: Message too long"));
        }
        let by_protocol = if text(input, "MessageStructure") == Some("json") {
            let tree: Value = serde_json::from_str(message).unwrap_or_default();
            if !tree["default"].is_string() {
                return Err(CallError::bad(
                    "InvalidParameter",
                    "Invalid parameter: Message Structure - No default entry in JSON message body",
                ));
            }
            Some(tree)
        } else {
            None
        };
        Ok(Self {
            id: new_id(),
            topic: topic.to_owned(),
            subject: text(input, "Subject").map(str::to_owned),
            message: message.to_owned(),
            attributes: input["MessageAttributes"].as_object().cloned().unwrap_or_default(),
            by_protocol,
        })
    }

    /// The body that a queue gets: the message itself with raw delivery, else SNS's envelope.
    pub(super) fn body_for(&self, subscription: &Subscription, region: &str) -> String {
        let message = self.by_protocol.as_ref().map_or(self.message.as_str(), |tree| {
            tree[&subscription.protocol].as_str().or(tree["default"].as_str()).unwrap_or_default()
        });
        if subscription.raw() {
            return message.to_owned();
        }
        let mut envelope = json!({
            "Type": "Notification",
            "MessageId": self.id,
            "TopicArn": self.topic,
            "Message": message,
            "Timestamp": clock::iso(clock::now_ms()),
            "SignatureVersion": "1",
            "Signature": "RU1CRURERUQ=",
            "SigningCertURL": format!("https://sns.{region}.amazonaws.com/SimpleNotificationService-embedded.pem"),
            "UnsubscribeURL":
                format!("https://sns.{region}.amazonaws.com/?Action=Unsubscribe&SubscriptionArn={}", subscription.arn),
        });
        if let Some(subject) = &self.subject {
            envelope["Subject"] = Value::String(subject.clone());
        }
        if !self.attributes.is_empty() {
            let attributes: Map<String, Value> = self
                .attributes
                .iter()
                .map(|(name, value)| {
                    let content = ["StringValue", "BinaryValue"].iter().find_map(|kind| value[*kind].as_str());
                    (name.clone(), json!({"Type": value["DataType"], "Value": content}))
                })
                .collect();
            envelope["MessageAttributes"] = Value::Object(attributes);
        }
        envelope.to_string()
    }

    /// Every key of the policy must have one condition that holds, on the attributes or on the JSON body.
    pub(super) fn passes(&self, policy: &Value, on_body: bool) -> bool {
        if on_body {
            return serde_json::from_str(&self.message).is_ok_and(|body: Value| body_passes(policy, &body));
        }
        let members = policy.as_object().into_iter().flatten();
        members.into_iter().all(|(name, conditions)| {
            let value = self.attributes.get(name).map(attribute_value);
            list(conditions).iter().any(|condition| holds(condition, value.as_ref()))
        })
    }
}

fn attribute_value(attribute: &Value) -> Value {
    let content = attribute["StringValue"].as_str().unwrap_or_default();
    match attribute["DataType"].as_str() {
        Some("Number" | "String.Array") => serde_json::from_str(content).unwrap_or_default(),
        _ => Value::String(content.to_owned()),
    }
}

fn body_passes(policy: &Value, body: &Value) -> bool {
    policy.as_object().into_iter().flatten().all(|(name, condition)| match condition {
        Value::Object(_) => body_passes(condition, &body[name]),
        _ => list(condition).iter().any(|condition| holds(condition, body.get(name))),
    })
}

fn holds(condition: &Value, value: Option<&Value>) -> bool {
    if let Value::Object(operator) = condition {
        return operator.iter().all(|(name, wanted)| operator_holds(name, wanted, value));
    }
    match value {
        Some(Value::Array(items)) => items.iter().any(|item| same(item, condition)),
        Some(value) => same(value, condition),
        None => false,
    }
}

fn same(one: &Value, other: &Value) -> bool {
    one == other || (one.is_number() && one.as_f64() == other.as_f64())
}

fn operator_holds(name: &str, wanted: &Value, value: Option<&Value>) -> bool {
    if name == "exists" {
        return wanted.as_bool() == Some(value.is_some());
    }
    let Some(value) = value else { return false };
    let text = value.as_str();
    let wanted_text = wanted.as_str();
    match name {
        "prefix" => text.zip(wanted_text).is_some_and(|(text, wanted)| text.starts_with(wanted)),
        "suffix" => text.zip(wanted_text).is_some_and(|(text, wanted)| text.ends_with(wanted)),
        "equals-ignore-case" => text.zip(wanted_text).is_some_and(|(text, wanted)| text.eq_ignore_ascii_case(wanted)),
        "anything-but" => match wanted {
            Value::Array(unwanted) => !unwanted.iter().any(|unwanted| same(value, unwanted)),
            Value::Object(_) => !holds(wanted, Some(value)),
            unwanted => !same(value, unwanted),
        },
        "numeric" => list(wanted).chunks(2).all(|pair| {
            let (Some(number), [operator, bound]) = (value.as_f64(), pair) else { return false };
            let Some(bound) = bound.as_f64() else { return false };
            match operator.as_str() {
                Some("=") => same(value, &pair[1]),
                Some(">") => number > bound,
                Some(">=") => number >= bound,
                Some("<") => number < bound,
                Some("<=") => number <= bound,
                _ => false,
            }
        }),
        _ => false,
    }
}
