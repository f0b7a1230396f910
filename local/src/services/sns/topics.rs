//! A topic: its subscriptions, and its attributes as AWS gives them back.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use streamkit_wire::CallError;
use streamkit_wire::arn::is_fifo;

use super::message::{Published, invalid};
use super::service::texts;
use super::subscription::Subscription;
use crate::services::sqs::Deduplication;

/// 256 KiB, unless the topic takes more or less.
const DEFAULT_MAX_BYTES: usize = 262_144;
const MAX_SIZE: &str = "MaximumMessageSize";
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
pub(super) struct Topic {
    pub(super) arn: String,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) subscriptions: Vec<Subscription>,
    owner: String,
    settings: BTreeMap<String, String>,
    sequence: u64,
    /// Message id and sequence number of what was published in the last minutes.
    recent: Deduplication<(String, String)>,
}

pub(super) fn check_name(name: &str) -> Result<(), CallError> {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.len() <= 256 && !stem.is_empty() && stem.bytes().all(legal) {
        return Ok(());
    }
    Err(invalid("Topic Name"))
}

impl Topic {
    pub(super) fn new(arn: String, owner: &str) -> Self {
        Self {
            arn,
            tags: BTreeMap::new(),
            subscriptions: Vec::new(),
            owner: owner.to_owned(),
            settings: BTreeMap::new(),
            sequence: 0,
            recent: Deduplication::default(),
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
            ("EffectiveDeliveryPolicy", self.effective_delivery().to_string()),
        ]);
        if self.fifo() {
            all.extend(texts([
                ("FifoTopic", "true".to_owned()),
                ("ContentBasedDeduplication", "false".to_owned()),
                ("FifoThroughputScope", "Topic".to_owned()),
            ]));
        }
        all.extend(self.settings.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))));
        all
    }

    /// Who may use it: what it was given, or the account's own.
    pub(super) fn policy(&self) -> Option<Value> {
        serde_json::from_str(self.attributes().get("Policy")?.as_str()?).ok()
    }

    pub(super) fn fifo(&self) -> bool {
        is_fifo(&self.arn)
    }

    /// The most bytes that a message may have.
    pub(super) fn max_bytes(&self) -> usize {
        self.settings.get(MAX_SIZE).and_then(|size| size.parse().ok()).unwrap_or(DEFAULT_MAX_BYTES)
    }

    /// Takes a message in: gives it the number that it has in a FIFO topic. If it was published before, the id and number
    /// that it had then come back, and nobody gets it again.
    pub(super) fn accept(&mut self, message: &mut Published, now: i64) -> Result<Option<(String, String)>, CallError> {
        self.complete(message)?;
        let (Some(group), Some(deduplication)) = (&message.group, &message.deduplication) else { return Ok(None) };
        if !self.fifo() {
            return Ok(None);
        }
        let by_group = self.settings.get("FifoThroughputScope").is_some_and(|scope| scope == "MessageGroup");
        let key = if by_group { format!("{group} {deduplication}") } else { deduplication.clone() };
        if let Some(earlier) = self.recent.earlier(&key, now) {
            return Ok(Some(earlier));
        }
        self.sequence += 1;
        let sequence = format!("1{:019}", self.sequence);
        self.recent.remember(key, (message.id.clone(), sequence.clone()), now);
        message.sequence = Some(sequence);
        Ok(None)
    }

    /// Gives a message of a FIFO topic what it needs, or says what is missing.
    fn complete(&self, message: &mut Published) -> Result<(), CallError> {
        if message.bytes() > self.max_bytes() {
            return Err(invalid("Message too long"));
        }
        if !self.fifo() {
            return Ok(());
        }
        if message.group.is_none() {
            return Err(invalid("The MessageGroupId parameter is required for FIFO topics"));
        }
        if message.deduplication.is_none() {
            if self.settings.get("ContentBasedDeduplication").is_none_or(|on| on != "true") {
                return Err(invalid(
                    "The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
                ));
            }
            message.deduplication = Some(message.digest());
        }
        Ok(())
    }

    fn effective_delivery(&self) -> Value {
        let mut effective = default_delivery();
        if let Some(given) = self.settings.get("DeliveryPolicy").and_then(|text| serde_json::from_str(text).ok()) {
            overlay(&mut effective, given);
        }
        effective
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

fn set(settings: &mut BTreeMap<String, String>, known: bool, name: &str, value: &str) -> Result<(), CallError> {
    if !known {
        return Err(invalid("AttributeName"));
    }
    if name.ends_with("Policy") && !value.is_empty() && serde_json::from_str::<Value>(value).is_err() {
        return Err(invalid(name));
    }
    let sizes = 1024..=1_048_576;
    if name == MAX_SIZE && !value.is_empty() && !value.parse().is_ok_and(|size: usize| sizes.contains(&size)) {
        return Err(invalid(name));
    }
    if value.is_empty() {
        settings.remove(name);
    } else {
        settings.insert(name.to_owned(), value.to_owned());
    }
    Ok(())
}

fn default_delivery() -> Value {
    json!({"http": {
        "defaultHealthyRetryPolicy": {
            "minDelayTarget": 20, "maxDelayTarget": 20, "numRetries": 3, "numMaxDelayRetries": 0,
            "numNoDelayRetries": 0, "numMinDelayRetries": 0, "backoffFunction": "linear",
        },
        "disableSubscriptionOverrides": false,
        "defaultRequestPolicy": {"headerContentType": "text/plain; charset=UTF-8"},
    }})
}

/// Puts the members of one document over those of another.
fn overlay(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (name, value) in over {
                overlay(under.entry(name).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over,
    }
}
