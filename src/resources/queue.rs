//! SQS queues, encrypted with SQS's own keys.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use super::context::Cx;
use super::resource::{Actions, Created, Observed, Resource, Shown};
use super::told_tags::told_or;
use crate::aws::{AwsError, Clients, Look, Tags, Times, Wait, answered, canonical, existing, known};
use crate::plan::{Change, Fields};
use crate::spec::{Seconds, duration_text};

/// How long SQS keeps the name of a deleted queue for itself.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteQueue.html>
const NAME_BLOCKED: Duration = Duration::from_secs(75);
/// SQS says that a deletion takes up to 60 seconds.
const LIMIT: Duration = Duration::from_secs(120);
/// What is commonly seen.
const TIMES: Times = &[];

/// What the caller must be allowed to do.
pub(super) const ACTIONS: Actions = Actions {
    own: &[
        "sqs:CreateQueue",
        "sqs:GetQueueAttributes",
        "sqs:SetQueueAttributes",
        "sqs:ListQueueTags",
        "sqs:TagQueue",
        "sqs:UntagQueue",
        "sqs:DeleteQueue",
    ],
    account: &["sqs:ListQueues"],
};

/// An SQS standard queue.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    pub(crate) name: String,
    pub(crate) retention: Seconds,
    pub(crate) visibility: Seconds,
    pub(crate) redrive: Option<Redrive>,
    /// ARNs of the topics that may send messages to it.
    pub(crate) fed_by: Vec<String>,
}

/// The redrive policy: which queue messages are moved to after `max_receives`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Redrive {
    /// ARN of the dead letter queue.
    pub(crate) queue: String,
    pub(crate) max_receives: i64,
}

impl Queue {
    fn attributes(&self, arn: &str) -> HashMap<QueueAttributeName, String> {
        HashMap::from([
            (QueueAttributeName::MessageRetentionPeriod, self.retention.0.to_string()),
            (QueueAttributeName::VisibilityTimeout, self.visibility.0.to_string()),
            (QueueAttributeName::SqsManagedSseEnabled, "true".to_owned()),
            // An empty text clears the attribute.
            (QueueAttributeName::RedrivePolicy, self.redrive.as_ref().map_or_else(String::new, Redrive::policy)),
            (
                QueueAttributeName::Policy,
                policy(arn, &self.fed_by).map_or_else(String::new, |policy| policy.to_string()),
            ),
        ])
    }
}

async fn attributes(
    cx: &Cx,
    name: &str,
    which: Vec<QueueAttributeName>,
) -> Result<Option<HashMap<QueueAttributeName, String>>, AwsError> {
    let call = cx.aws.sqs.get_queue_attributes().queue_url(cx.aws.queue_url(name));
    let answer = existing(answered(call.set_attribute_names(Some(which)).send().await))?;
    Ok(answer.map(|answer| answer.attributes.unwrap_or_default()))
}

async fn look(cx: &Cx, name: &str) -> anyhow::Result<Look> {
    let there = attributes(cx, name, vec![QueueAttributeName::QueueArn]).await?;
    Ok(there.map_or(Look::Gone, |_| Look::State("there".to_owned())))
}

pub(super) fn arn(aws: &Clients, name: &str) -> String {
    aws.arn("sqs", name)
}

/// The tags; `None` when there is no such queue.
pub(super) async fn tags(cx: &Cx, name: &str) -> Result<Option<Tags>, AwsError> {
    told_or(cx, &arn(&cx.aws, name), async || {
        let call = cx.aws.sqs.list_queue_tags().queue_url(cx.aws.queue_url(name));
        let answer = existing(answered(call.send().await))?;
        Ok(answer.map(|answer| answer.tags.unwrap_or_default().into_iter().collect()))
    })
    .await
}

pub(super) async fn begin_deletion(cx: &Cx, name: &str) -> anyhow::Result<()> {
    existing(answered(cx.aws.sqs.delete_queue().queue_url(cx.aws.queue_url(name)).send().await))?;
    Ok(())
}

pub(super) async fn until_gone(cx: &Cx, name: &str) -> anyhow::Result<()> {
    let what = format!("SQS queue ({name})");
    let gone = Wait { what: &what, pending: &["there"], target: &["gone"], limit: LIMIT, times: TIMES };
    cx.wait(&gone, async || look(cx, name).await).await
}

/// How many messages are in the queue.
pub(super) async fn contents(cx: &Cx, name: &str) -> Result<Option<String>, AwsError> {
    // Visible, received and not deleted yet, and delayed.
    let counts = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        QueueAttributeName::ApproximateNumberOfMessagesDelayed,
    ];
    let Some(attributes) = attributes(cx, name, counts.to_vec()).await? else { return Ok(None) };
    let messages: u64 =
        counts.iter().filter_map(|name| attributes.get(name)).filter_map(|text| text.parse::<u64>().ok()).sum();
    Ok(Some(format!("its messages (about {messages})")))
}

impl Resource for Queue {
    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, aws: &Clients) -> String {
        arn(aws, &self.name)
    }

    fn desired(&self) -> Fields {
        let fed_by: BTreeSet<_> = self.fed_by.iter().collect();
        Fields::from([
            ("retention", json!(duration_text(self.retention.0))),
            ("visibility", json!(duration_text(self.visibility.0))),
            ("encryption", json!("sqs-managed")),
            ("dead_letters", json!(self.redrive.as_ref().map(|redrive| &redrive.queue))),
            ("max_receives", json!(self.redrive.as_ref().map(|redrive| redrive.max_receives))),
            ("fed_by", json!(fed_by)),
        ])
    }

    fn defaults(&self) -> Fields {
        Fields::from([
            ("retention", json!(duration_text(4 * 24 * 3600))),
            ("visibility", json!(duration_text(30))),
            ("encryption", json!("sqs-managed")),
            ("max_receives", json!(5)),
            ("fed_by", json!([])),
        ])
    }

    async fn read(&self, cx: &Cx) -> anyhow::Result<Option<Observed>> {
        let Some(attributes) = attributes(cx, &self.name, vec![QueueAttributeName::All]).await? else {
            return Ok(None);
        };
        let tags = known(tags(cx, &self.name).await?, "the queue's tags")?;
        let seconds =
            |name: &QueueAttributeName| attributes.get(name).and_then(|text| text.parse().ok()).unwrap_or_default();
        let encryption = match (
            attributes.get(&QueueAttributeName::KmsMasterKeyId),
            attributes.get(&QueueAttributeName::SqsManagedSseEnabled),
        ) {
            (Some(key), _) if !key.is_empty() => key.as_str(),
            (_, Some(managed)) if managed == "true" => "sqs-managed",
            _ => "none",
        };
        let redrive = json_attribute(attributes.get(&QueueAttributeName::RedrivePolicy))?;
        let fed_by = fed_by(&json_attribute(attributes.get(&QueueAttributeName::Policy))?, &self.arn(&cx.aws));
        let fields = Fields::from([
            ("retention", json!(duration_text(seconds(&QueueAttributeName::MessageRetentionPeriod)))),
            ("visibility", json!(duration_text(seconds(&QueueAttributeName::VisibilityTimeout)))),
            ("encryption", json!(encryption)),
            ("dead_letters", redrive["deadLetterTargetArn"].clone()),
            ("max_receives", number(&redrive["maxReceiveCount"])),
            ("fed_by", fed_by),
        ]);
        Ok(Some(Observed { arn: self.arn(&cx.aws), fields, tags: Some(tags), parent_tags: None, settled: true }))
    }

    async fn create(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<Created> {
        let mut attributes = self.attributes(&self.arn(&cx.aws));
        attributes.retain(|_, value| !value.is_empty());
        let call = cx.aws.sqs.create_queue().queue_name(&self.name).set_attributes(Some(attributes));
        let call = call.set_tags(Some(tags.clone().into_iter().collect()));
        let started = tokio::time::Instant::now();
        loop {
            match answered(call.clone().send().await) {
                Err(error) if error.is(&["QueueDeletedRecently"]) && started.elapsed() < NAME_BLOCKED => {
                    let left = NAME_BLOCKED.saturating_sub(started.elapsed()).as_secs();
                    cx.note(&format!("SQS keeps the name of a deleted queue for 60 s; trying for {left} s more"));
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Ok(_) => return Ok(Created::Made { ready: true }),
                // The queue exists with other attributes: `change` sets them next.
                Err(error) if error.is(&["QueueNameExists", "QueueAlreadyExists"]) => return Ok(Created::Found),
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn shown(&self, cx: &Cx) -> anyhow::Result<Option<Shown>> {
        let there = attributes(cx, &self.name, vec![QueueAttributeName::QueueArn]).await?;
        Ok(there.map(|_| Shown::Wanted))
    }

    async fn change(&self, cx: &Cx, _seen: &Observed, changes: &[Change]) -> anyhow::Result<()> {
        let mut wanted = self.attributes(&self.arn(&cx.aws));
        wanted.retain(|name, _| {
            let fields: &[&str] = match name {
                QueueAttributeName::MessageRetentionPeriod => &["retention"],
                QueueAttributeName::VisibilityTimeout => &["visibility"],
                QueueAttributeName::RedrivePolicy => &["dead_letters", "max_receives"],
                QueueAttributeName::Policy => &["fed_by"],
                _ => &["encryption"],
            };
            changes.iter().any(|change| fields.contains(&change.field.as_str()))
        });
        let url = cx.aws.queue_url(&self.name);
        let call = cx.aws.sqs.set_queue_attributes().queue_url(url).set_attributes(Some(wanted));
        cx.retry_until_known(|| call.clone().send()).await?;
        Ok(())
    }

    async fn tag(&self, cx: &Cx, set: &Tags, remove: &[String]) -> anyhow::Result<()> {
        let url = cx.aws.queue_url(&self.name);
        if !set.is_empty() {
            let set = set.clone().into_iter().collect();
            let call = cx.aws.sqs.tag_queue().queue_url(&url).set_tags(Some(set));
            cx.retry_until_known(|| call.clone().send()).await?;
        }
        if !remove.is_empty() {
            let call = cx.aws.sqs.untag_queue().queue_url(&url).set_tag_keys(Some(remove.to_vec()));
            cx.retry_until_known(|| call.clone().send()).await?;
        }
        Ok(())
    }

    async fn ready(&self, _cx: &Cx) -> anyhow::Result<()> {
        Ok(())
    }

    async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        begin_deletion(cx, &self.name).await?;
        until_gone(cx, &self.name).await
    }
}

impl Redrive {
    fn policy(&self) -> String {
        json!({ "deadLetterTargetArn": self.queue, "maxReceiveCount": self.max_receives }).to_string()
    }
}

impl Queue {
    /// The queue policy; `None` for a queue that no topic feeds.
    pub(crate) fn policy(&self, aws: &Clients) -> Option<Value> {
        policy(&self.arn(aws), &self.fed_by)
    }
}

/// The queue policy, which allows these topics to send; `None` without topics.
fn policy(arn: &str, topics: &[String]) -> Option<Value> {
    (!topics.is_empty()).then(|| {
        canonical(&json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Sid": "Topics",
                "Effect": "Allow",
                "Principal": { "Service": "sns.amazonaws.com" },
                "Action": "sqs:SendMessage",
                "Resource": arn,
                "Condition": { "ArnEquals": { "aws:SourceArn": topics } },
            }],
        }))
    })
}

/// An attribute that holds JSON; null when it is not set.
fn json_attribute(text: Option<&String>) -> anyhow::Result<Value> {
    match text.filter(|text| !text.is_empty()) {
        Some(text) => serde_json::from_str(text).context("an SQS attribute that is not JSON"),
        None => Ok(Value::Null),
    }
}

/// SQS gives `maxReceiveCount` back as it was set: as a number or as text.
fn number(value: &Value) -> Value {
    value.as_str().and_then(|text| text.parse::<i64>().ok()).map_or_else(|| value.clone(), Value::from)
}

/// The topics that the policy allows to send, if it allows nothing else; otherwise the policy itself, which shows as drift.
fn fed_by(has: &Value, arn: &str) -> Value {
    if has.is_null() {
        return json!([]);
    }
    let topics = match &has["Statement"][0]["Condition"]["ArnEquals"]["aws:SourceArn"] {
        Value::String(topic) => vec![topic.clone()],
        Value::Array(topics) => topics.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => return has.clone(),
    };
    match policy(arn, &topics) {
        Some(ours) if ours == canonical(has) => json!(topics.into_iter().collect::<BTreeSet<_>>()),
        _ => has.clone(),
    }
}
