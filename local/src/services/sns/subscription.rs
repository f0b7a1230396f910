//! A subscription: its attributes as AWS gives them back, and what it wants of a topic.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use streamkit_wire::CallError;
use streamkit_wire::arn::is_fifo;

use super::filter_error;
use super::filter_policy::{FilterPolicy, Scope};
use super::message::{Published, invalid};
use super::service::{new_id, texts};

/// Attributes that are kept as they are given.
const PLAIN: [&str; 5] =
    ["RawMessageDelivery", "RedrivePolicy", "DeliveryPolicy", "SubscriptionRoleArn", "ReplayPolicy"];
/// Protocols whose subscribers can take a message without its envelope.
const RAW: [&str; 4] = ["sqs", "http", "https", "firehose"];

#[derive(Clone)]
pub(super) struct Subscription {
    pub(super) arn: String,
    pub(super) topic: String,
    pub(super) protocol: String,
    pub(super) endpoint: String,
    pub(super) owner: String,
    pub(super) pending: bool,
    settings: BTreeMap<String, String>,
    filter: Option<FilterPolicy>,
    /// What a filter is for; it stays when the filter goes.
    scope: Scope,
}

impl Subscription {
    pub(super) fn new(topic: &str, protocol: &str, endpoint: &str, owner: &str) -> Result<Self, CallError> {
        let service = endpoint.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(1));
        let pending = match protocol {
            "email" | "email-json" if endpoint.contains('@') => true,
            "http" | "https" if endpoint.starts_with(&format!("{protocol}://")) => true,
            "sqs" | "lambda" | "firehose" if service == Some(protocol) => false,
            "sms" | "application" => false,
            "email" | "email-json" => return Err(invalid("Email address")),
            "http" | "https" => return Err(invalid("Endpoint must match the specified protocol")),
            "sqs" => return Err(invalid("SQS endpoint ARN")),
            "lambda" => return Err(invalid("Lambda endpoint ARN")),
            "firehose" => return Err(invalid("Firehose endpoint ARN")),
            _ => return Err(invalid(&format!("Amazon SNS does not support this protocol string: {protocol}"))),
        };
        if protocol == "sqs" && is_fifo(endpoint) && !is_fifo(topic) {
            return Err(invalid(
                "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics",
            ));
        }
        Ok(Self {
            arn: format!("{topic}:{}", new_id()),
            topic: topic.to_owned(),
            protocol: protocol.to_owned(),
            endpoint: endpoint.to_owned(),
            owner: owner.to_owned(),
            pending,
            settings: BTreeMap::new(),
            filter: None,
            scope: Scope::default(),
        })
    }

    /// Sets attributes; the error is in SNS's words, without its "Invalid parameter".
    pub(super) fn set(&mut self, given: &[(String, String)]) -> Result<(), String> {
        let value_of = |wanted: &str| given.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        for (name, value) in given {
            if PLAIN.contains(&name.as_str()) {
                self.check(name, value).map_err(|why| format!("{name}: {why}"))?;
            } else if name != "FilterPolicy" && name != "FilterPolicyScope" {
                return Err("AttributeName".into());
            }
        }
        let scope = value_of("FilterPolicyScope").map_or(Ok(self.scope), Scope::parse);
        let scope = scope.map_err(|why| format!("FilterPolicyScope: {why}"))?;
        // An empty policy takes the filter away.
        self.filter = match value_of("FilterPolicy").or(self.filter.as_ref().map(FilterPolicy::text)) {
            None | Some("" | "{}") => None,
            Some(policy) => Some(FilterPolicy::read(policy, scope)?),
        };
        self.scope = scope;
        for (name, value) in given.iter().filter(|(name, _)| PLAIN.contains(&name.as_str())) {
            if value.is_empty() {
                self.settings.remove(name);
            } else {
                self.settings.insert(name.clone(), value.clone());
            }
        }
        Ok(())
    }

    fn check(&self, name: &str, value: &str) -> Result<(), String> {
        if value.is_empty() {
            return Ok(());
        }
        match (name, value) {
            ("RawMessageDelivery", "true") if !RAW.contains(&self.protocol.as_str()) => {
                Err(format!("Delivery protocol [{}] does not support raw message delivery.", self.protocol))
            }
            ("RawMessageDelivery", "true" | "false") | ("SubscriptionRoleArn", _) => Ok(()),
            ("RawMessageDelivery", _) => Err(format!("Invalid value [{value}]. Must be true or false.")),
            ("RedrivePolicy" | "DeliveryPolicy" | "ReplayPolicy", _)
                if serde_json::from_str::<Value>(value).is_err() =>
            {
                Err(filter_error::find(value).unwrap_or_else(|| "failed to parse JSON.".into()))
            }
            ("RedrivePolicy", _) => match dead_letters(value) {
                Some(arn) if arn.split(':').nth(2) == Some("sqs") && arn.split(':').count() == 6 => Ok(()),
                _ => Err("deadLetterTargetArn is an invalid arn".into()),
            },
            _ => Ok(()),
        }
    }

    pub(super) fn raw(&self) -> bool {
        self.settings.get("RawMessageDelivery").is_some_and(|raw| raw == "true")
    }

    /// ARN of the queue for messages that cannot be delivered.
    pub(super) fn dead_letters(&self) -> Option<String> {
        self.settings.get("RedrivePolicy").and_then(|policy| dead_letters(policy))
    }

    /// Whether the subscription's filter policy lets the message through.
    pub(super) fn wants(&self, message: &Published) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.passes(message, &self.protocol))
    }

    /// Whether these attributes are those that it has.
    pub(super) fn has(&self, given: &[(String, String)]) -> bool {
        let attributes = self.attributes();
        given.iter().all(|(name, value)| attributes.get(name).is_some_and(|known| known == value))
    }

    pub(super) fn attributes(&self) -> Map<String, Value> {
        let mut all = texts([
            ("SubscriptionArn", self.arn.clone()),
            ("TopicArn", self.topic.clone()),
            ("Protocol", self.protocol.clone()),
            ("Endpoint", self.endpoint.clone()),
            ("Owner", self.owner.clone()),
            ("PendingConfirmation", self.pending.to_string()),
            ("ConfirmationWasAuthenticated", (!self.pending).to_string()),
            ("RawMessageDelivery", "false".to_owned()),
            ("SubscriptionPrincipal", format!("arn:aws:iam::{}:root", self.owner)),
        ]);
        all.extend(self.settings.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))));
        if let Some(filter) = &self.filter {
            all.extend(texts([
                ("FilterPolicy", filter.text().to_owned()),
                ("FilterPolicyScope", filter.scope().name().to_owned()),
            ]));
        }
        all
    }
}

fn dead_letters(policy: &str) -> Option<String> {
    let policy: Value = serde_json::from_str(policy).ok()?;
    policy["deadLetterTargetArn"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
        given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn attributes_are_checked_together_and_read_back() {
        let mut it = Subscription::new("arn:aws:sns:r:1:t", "sqs", "arn:aws:sqs:r:1:q", "1").unwrap();
        let nested = r#"{"a":{"b":["c"]}}"#;
        assert!(it.set(&pairs(&[("FilterPolicy", nested)])).is_err());
        it.set(&pairs(&[("FilterPolicy", nested), ("FilterPolicyScope", "MessageBody")])).unwrap();
        assert!(it.set(&pairs(&[("FilterPolicyScope", "MessageAttributes")])).is_err());
        let seen = it.attributes();
        assert_eq!((&seen["FilterPolicy"], &seen["FilterPolicyScope"]), (&nested.into(), &"MessageBody".into()));
        it.set(&pairs(&[("FilterPolicy", "{}")])).unwrap();
        assert!(!it.attributes().contains_key("FilterPolicy"));
        // The scope stays without a filter, and may be set before one.
        it.set(&pairs(&[("FilterPolicy", nested)])).unwrap();
        it.set(&pairs(&[("FilterPolicy", "{}")])).unwrap();
        for (name, value) in [
            ("FilterPolicy", "no json"),
            ("FilterPolicyScope", "Both"),
            ("RawMessageDelivery", "yes"),
            ("RedrivePolicy", r#"{"deadLetterTargetArn":"q"}"#),
            ("DeliveryPolicy", "{"),
            ("Endpoint", "x"),
        ] {
            assert!(it.set(&pairs(&[(name, value)])).is_err(), "{name}");
        }
    }

    #[test]
    fn endpoints_must_fit_their_protocol() {
        for (protocol, endpoint, pending) in [
            ("sqs", "arn:aws:sqs:r:1:q", Some(false)),
            ("lambda", "arn:aws:lambda:r:1:function:f", Some(false)),
            ("email", "a@b.c", Some(true)),
            ("https", "https://a.b", Some(true)),
            ("https", "http://a.b", None),
            ("sqs", "arn:aws:lambda:r:1:function:f", None),
            ("sqs", "arn:aws:sqs:r:1:q.fifo", None),
            ("pigeon", "roof", None),
        ] {
            let made = Subscription::new("arn:aws:sns:r:1:t", protocol, endpoint, "1");
            assert_eq!(made.ok().map(|it| it.pending), pending, "{protocol} {endpoint}");
        }
    }
}
