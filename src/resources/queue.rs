//! SQS queues, encrypted with SQS's own keys.
//!
//! IAM: sqs:CreateQueue, GetQueueUrl, GetQueueAttributes, SetQueueAttributes, ListQueueTags, TagQueue, UntagQueue, DeleteQueue,
//! ListQueues.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use serde_json::json;

use super::resource::{Cx, Fields, Observed, Resource};
use crate::aws::{Aws, Look, Tags, Wait, aws, wait};
use crate::plan::Change;
use crate::spec::{Seconds, duration_text};

/// How long SQS keeps the name of a deleted queue for itself.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteQueue.html>
const NAME_BLOCKED: Duration = Duration::from_secs(75);
/// SQS says that a deletion takes up to 60 seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// An SQS standard queue.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    pub(crate) name: String,
    pub(crate) retention: Seconds,
    pub(crate) visibility: Seconds,
}

impl Queue {
    fn attributes(&self) -> HashMap<Attribute, String> {
        HashMap::from([
            (Attribute::MessageRetentionPeriod, self.retention.0.to_string()),
            (Attribute::VisibilityTimeout, self.visibility.0.to_string()),
            (Attribute::SqsManagedSseEnabled, "true".to_owned()),
        ])
    }

    async fn url(&self, cx: &Cx) -> anyhow::Result<Option<String>> {
        match aws(cx.aws.sqs.get_queue_url().queue_name(&self.name).send().await) {
            Ok(answer) => Ok(answer.queue_url),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn look(&self, cx: &Cx) -> anyhow::Result<Look> {
        Ok(self.url(cx).await?.map_or(Look::Gone, |_| Look::State("there".to_owned())))
    }
}

impl Resource for Queue {
    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, aws: &Aws) -> String {
        aws.arn("sqs", &self.name)
    }

    fn desired(&self) -> Fields {
        Fields::from([
            ("retention", json!(duration_text(self.retention.0))),
            ("visibility", json!(duration_text(self.visibility.0))),
            ("encryption", json!("sqs-managed")),
        ])
    }

    async fn read(&self, cx: &Cx) -> anyhow::Result<Option<Observed>> {
        let Some(url) = self.url(cx).await? else { return Ok(None) };
        let (attributes, tags) = tokio::join!(
            async {
                aws(cx.aws.sqs.get_queue_attributes().queue_url(&url).attribute_names(Attribute::All).send().await)
            },
            async { aws(cx.aws.sqs.list_queue_tags().queue_url(&url).send().await) },
        );
        // GetQueueUrl may still answer for a queue that is being deleted.
        let (attributes, tags) = match (attributes, tags) {
            (Err(error), _) | (_, Err(error)) if error.is_missing() => return Ok(None),
            (attributes, tags) => (attributes?.attributes.unwrap_or_default(), tags?.tags.unwrap_or_default()),
        };
        let seconds = |name: &Attribute| attributes.get(name).and_then(|text| text.parse().ok()).unwrap_or_default();
        let encryption =
            match (attributes.get(&Attribute::KmsMasterKeyId), attributes.get(&Attribute::SqsManagedSseEnabled)) {
                (Some(key), _) if !key.is_empty() => key.as_str(),
                (_, Some(managed)) if managed == "true" => "sqs-managed",
                _ => "none",
            };
        let fields = Fields::from([
            ("retention", json!(duration_text(seconds(&Attribute::MessageRetentionPeriod)))),
            ("visibility", json!(duration_text(seconds(&Attribute::VisibilityTimeout)))),
            ("encryption", json!(encryption)),
        ]);
        Ok(Some(Observed { arn: self.arn(&cx.aws), fields, tags: Some(tags.into_iter().collect()), settled: true }))
    }

    async fn create(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<()> {
        let call = cx.aws.sqs.create_queue().queue_name(&self.name).set_attributes(Some(self.attributes()));
        let call = call.set_tags(Some(tags.clone().into_iter().collect()));
        let started = tokio::time::Instant::now();
        loop {
            match aws(call.clone().send().await) {
                Err(error) if error.is(&["QueueDeletedRecently"]) && started.elapsed() < NAME_BLOCKED => {
                    let left = NAME_BLOCKED.saturating_sub(started.elapsed()).as_secs();
                    cx.note(&format!("SQS keeps the name of a deleted queue for 60 s; trying for {left} s more"));
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                // There already, with other settings: these are changed next.
                Err(error) if !error.is(&["QueueNameExists", "QueueAlreadyExists"]) => Err(error)?,
                _ => break,
            }
        }
        let what = format!("SQS queue ({})", self.name);
        let there = Wait { what: &what, pending: &["gone"], target: &["there"], limit: LIMIT };
        wait(&there, async || self.look(cx).await, cx.noting()).await
    }

    async fn change(&self, cx: &Cx, _seen: &Observed, changes: &[Change]) -> anyhow::Result<()> {
        let mut wanted = self.attributes();
        wanted.retain(|name, _| {
            let field = match name {
                Attribute::MessageRetentionPeriod => "retention",
                Attribute::VisibilityTimeout => "visibility",
                _ => "encryption",
            };
            changes.iter().any(|change| change.field == field)
        });
        let url = cx.aws.queue_url(&self.name);
        aws(cx.aws.sqs.set_queue_attributes().queue_url(url).set_attributes(Some(wanted)).send().await)?;
        Ok(())
    }

    async fn tag(&self, cx: &Cx, set: &Tags, remove: &[String]) -> anyhow::Result<()> {
        let url = cx.aws.queue_url(&self.name);
        if !set.is_empty() {
            let set = set.clone().into_iter().collect();
            aws(cx.aws.sqs.tag_queue().queue_url(&url).set_tags(Some(set)).send().await)?;
        }
        if !remove.is_empty() {
            aws(cx.aws.sqs.untag_queue().queue_url(&url).set_tag_keys(Some(remove.to_vec())).send().await)?;
        }
        Ok(())
    }

    async fn ready(&self, _cx: &Cx) -> anyhow::Result<()> {
        Ok(())
    }

    async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        match aws(cx.aws.sqs.delete_queue().queue_url(cx.aws.queue_url(&self.name)).send().await) {
            Err(error) if !error.is_missing() => Err(error)?,
            _ => {}
        }
        let what = format!("SQS queue ({})", self.name);
        let gone = Wait { what: &what, pending: &["there"], target: &["gone"], limit: LIMIT };
        wait(&gone, async || self.look(cx).await, cx.noting()).await
    }
}
