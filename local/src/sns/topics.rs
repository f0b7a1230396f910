//! A topic and its subscriptions: attributes as AWS gives them back.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{deliver::Published, new_id};
use crate::error::CallError;

const TOPIC_SETTINGS: [&str; 12] = [
    "DisplayName",
    "Policy",
    "DeliveryPolicy",
    "KmsMasterKeyId",
    "TracingConfig",
    "SignatureVersion",
    "FifoTopic",
    "ContentBasedDeduplication",
    "ArchivePolicy",
    "FifoThroughputScope",
    "DataProtectionPolicy",
    "MaximumMessageSize",
];
const SUBSCRIPTION_SETTINGS: [&str; 7] = [
    "RawMessageDelivery",
    "FilterPolicy",
    "FilterPolicyScope",
    "RedrivePolicy",
    "DeliveryPolicy",
    "SubscriptionRoleArn",
    "ReplayPolicy",
];

pub(super) struct Topic {
    pub(super) arn: String,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) subscriptions: Vec<Subscription>,
    owner: String,
    settings: BTreeMap<String, String>,
}

#[derive(Clone)]
pub(super) struct Subscription {
    pub(super) arn: String,
    pub(super) topic: String,
    pub(super) protocol: String,
    pub(super) endpoint: String,
    pub(super) owner: String,
    pub(super) pending: bool,
    settings: BTreeMap<String, String>,
}

pub(super) fn check_name(name: &str) -> Result<(), CallError> {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.len() <= 256 && !stem.is_empty() && stem.bytes().all(legal) {
        return Ok(());
    }
    Err(CallError::bad("InvalidParameter", "Invalid parameter: Topic Name"))
}

impl Topic {
    pub(super) fn new(arn: String, owner: &str) -> Self {
        Self {
            arn,
            tags: BTreeMap::new(),
            subscriptions: Vec::new(),
            owner: owner.to_owned(),
            settings: BTreeMap::new(),
        }
    }

    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), CallError> {
        // `SQSFailureFeedbackRoleArn` and its many siblings: stored, nothing is logged.
        let feedback = ["SuccessFeedbackRoleArn", "SuccessFeedbackSampleRate", "FailureFeedbackRoleArn"];
        let known = TOPIC_SETTINGS.contains(&name) || feedback.iter().any(|suffix| name.ends_with(suffix));
        set(&mut self.settings, known, name, value)
    }

    pub(super) fn attributes(&self) -> Map<String, Value> {
        let confirmed = self.subscriptions.iter().filter(|it| !it.pending).count();
        let mut all = texts([
            ("TopicArn", self.arn.clone()),
            ("Owner", self.owner.clone()),
            ("DisplayName", String::new()),
            ("SubscriptionsConfirmed", confirmed.to_string()),
            ("SubscriptionsPending", (self.subscriptions.len() - confirmed).to_string()),
            ("SubscriptionsDeleted", "0".to_owned()),
            ("Policy", self.default_policy()),
            ("EffectiveDeliveryPolicy", default_delivery().to_string()),
        ]);
        all.extend(self.settings.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))));
        all
    }

    fn default_policy(&self) -> String {
        json!({
            "Version": "2008-10-17",
            "Id": "__default_policy_ID",
            "Statement": [{
                "Sid": "__default_statement_ID",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": [
                    "SNS:GetTopicAttributes", "SNS:SetTopicAttributes", "SNS:AddPermission", "SNS:RemovePermission",
                    "SNS:DeleteTopic", "SNS:Subscribe", "SNS:ListSubscriptionsByTopic", "SNS:Publish",
                ],
                "Resource": self.arn,
                "Condition": {"StringEquals": {"AWS:SourceOwner": self.owner}},
            }],
        })
        .to_string()
    }
}

impl Subscription {
    pub(super) fn new(topic: &str, protocol: &str, endpoint: &str, owner: &str) -> Result<Self, CallError> {
        let invalid = |what: &str| CallError::bad("InvalidParameter", format!("Invalid parameter: {what}"));
        let pending = match protocol {
            "email" | "email-json" if endpoint.contains('@') => true,
            "http" | "https" if endpoint.starts_with(&format!("{protocol}://")) => true,
            "sqs" | "lambda" | "firehose" if endpoint.starts_with("arn:") => false,
            "sms" | "application" => false,
            "email" | "email-json" => return Err(invalid("Email address")),
            "http" | "https" => return Err(invalid("Endpoint must match the specified protocol")),
            "sqs" => return Err(invalid("SQS endpoint ARN")),
            "lambda" => return Err(invalid("Lambda endpoint ARN")),
            _ => return Err(invalid(&format!("Amazon SNS does not support this protocol string: {protocol}"))),
        };
        Ok(Self {
            arn: format!("{topic}:{}", new_id()),
            topic: topic.to_owned(),
            protocol: protocol.to_owned(),
            endpoint: endpoint.to_owned(),
            owner: owner.to_owned(),
            pending,
            settings: BTreeMap::new(),
        })
    }

    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), CallError> {
        set(&mut self.settings, SUBSCRIPTION_SETTINGS.contains(&name), name, value)
    }

    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    pub(super) fn raw(&self) -> bool {
        self.setting("RawMessageDelivery") == Some("true")
    }

    /// Whether the subscription's filter policy lets the message through.
    pub(super) fn wants(&self, message: &Published) -> bool {
        let policy = self.setting("FilterPolicy").and_then(|policy| serde_json::from_str(policy).ok());
        policy.is_none_or(|policy| message.passes(&policy, self.setting("FilterPolicyScope") == Some("MessageBody")))
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
        all
    }
}

fn set(settings: &mut BTreeMap<String, String>, known: bool, name: &str, value: &str) -> Result<(), CallError> {
    let invalid = || CallError::bad("InvalidParameter", format!("Invalid parameter: {name}"));
    if !known {
        return Err(CallError::bad("InvalidParameter", "Invalid parameter: AttributeName"));
    }
    if name.ends_with("Policy") && !value.is_empty() && serde_json::from_str::<Value>(value).is_err() {
        return Err(invalid());
    }
    if value.is_empty() {
        settings.remove(name);
    } else {
        settings.insert(name.to_owned(), value.to_owned());
    }
    Ok(())
}

fn texts<const N: usize>(pairs: [(&str, String); N]) -> Map<String, Value> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect()
}

fn default_delivery() -> Value {
    json!({"http": {
        "defaultHealthyRetryPolicy": {
            "minDelayTarget": 20, "maxDelayTarget": 20, "numRetries": 3, "numMaxDelayRetries": 0,
            "numNoDelayRetries": 0, "numMinDelayRetries": 0, "backoffFunction": "linear",
        },
        "disableSubscriptionOverrides": false,
    }})
}
