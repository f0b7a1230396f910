//! Registered consumers of Kinesis streams, for enhanced fan-out: 2 MB/s per shard for each of them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_kinesis::types::ConsumerDescription;
use serde_json::json;

use super::context::Cx;
use super::function;
use super::resource::{Actions, Created, Observed, Resource};
use crate::aws::{AwsError, Clients, Look, Stay, Tags, Times, Wait, answered, existing, known};
use crate::plan::{Change, Fields};

const LIMIT: Duration = Duration::from_secs(5 * 60);
/// What is commonly seen.
const TIMES: Times = &[Stay::new("CREATING", 2.0, 0.08), Stay::new("DELETING", 2.0, 0.08)];

/// What the caller must be allowed to do.
pub(super) const ACTIONS: Actions = Actions {
    own: &[
        "kinesis:RegisterStreamConsumer",
        "kinesis:DescribeStreamConsumer",
        "kinesis:ListStreamConsumers",
        "kinesis:DeregisterStreamConsumer",
        "kinesis:ListTagsForResource",
        "kinesis:TagResource",
        "kinesis:UntagResource",
    ],
    account: &[],
};

/// A registered consumer of a Kinesis stream.
#[derive(Debug, Clone)]
pub(crate) struct Consumer {
    /// The name of the function that it reads for.
    pub(crate) name: String,
    /// ARN of the stream.
    pub(crate) stream: String,
}

/// The consumer as it was described last.
async fn described(cx: &Cx, stream: &str, name: &str) -> Result<Arc<Option<ConsumerDescription>>, AwsError> {
    let ask = async || description(cx, stream, name).await;
    cx.answers.consumers.of(&format!("{stream}/{name}")).since(cx.since, ask).await
}

async fn description(cx: &Cx, stream: &str, name: &str) -> Result<Option<ConsumerDescription>, AwsError> {
    let call = cx.aws.kinesis.describe_stream_consumer().stream_arn(stream).consumer_name(name);
    Ok(existing(answered(call.send().await))?.and_then(|answer| answer.consumer_description))
}

/// The ARN, which ends with the time when the consumer was registered; `None` when there is none.
pub(super) async fn arn(cx: &Cx, stream: &str, name: &str) -> Result<Option<String>, AwsError> {
    Ok(described(cx, stream, name).await?.as_ref().as_ref().map(|consumer| consumer.consumer_arn.clone()))
}

/// The tags of the consumer with this ARN; `None` when there is none.
pub(super) async fn tags(cx: &Cx, arn: &str) -> Result<Option<Tags>, AwsError> {
    let answer = existing(answered(cx.aws.kinesis.list_tags_for_resource().resource_arn(arn).send().await))?;
    let tags = answer.map(|answer| answer.tags.unwrap_or_default());
    Ok(tags.map(|tags| tags.into_iter().map(|tag| (tag.key, tag.value.unwrap_or_default())).collect()))
}

/// The ARN of the stream that the ARN of a consumer begins with.
pub(super) fn stream_of(consumer: &str) -> Option<&str> {
    consumer.split_once("/consumer/").map(|(stream, _)| stream)
}

/// Deregisters a consumer of the stream, which is named by its ARN.
pub(super) async fn begin_deletion(cx: &Cx, stream: &str, name: &str) -> anyhow::Result<()> {
    let call = cx.aws.kinesis.deregister_stream_consumer().stream_arn(stream).consumer_name(name);
    existing(cx.retry_while_busy(|| call.clone().send()).await)?;
    Ok(())
}

async fn look(cx: &Cx, stream: &str, name: &str) -> anyhow::Result<Look> {
    let state = description(cx, stream, name).await?.map(|consumer| consumer.consumer_status.as_str().to_owned());
    Ok(state.map_or(Look::Gone, Look::State))
}

pub(super) async fn until_gone(cx: &Cx, stream: &str, name: &str) -> anyhow::Result<()> {
    let what = format!("stream consumer ({name})");
    let gone = Wait {
        what: &what,
        pending: &["DELETING", "CREATING", "ACTIVE"],
        target: &["gone"],
        limit: LIMIT,
        times: TIMES,
    };
    cx.wait(&gone, async || look(cx, stream, name).await).await
}

impl Resource for Consumer {
    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, _aws: &Clients) -> String {
        String::new()
    }

    fn desired(&self) -> Fields {
        Fields::from([("stream", json!(self.stream))])
    }

    async fn read(&self, cx: &Cx) -> anyhow::Result<Option<Observed>> {
        let Some(consumer) = described(cx, &self.stream, &self.name).await?.as_ref().clone() else { return Ok(None) };
        let status = consumer.consumer_status.as_str();
        if status == "DELETING" {
            cx.note("waiting for an earlier deletion");
            until_gone(cx, &self.stream, &self.name).await?;
            return Ok(None);
        }
        let settled = status == "ACTIVE";
        let tags = known(tags(cx, &consumer.consumer_arn).await?, "the consumer's tags")?;
        // Earlier versions registered consumers without tags: such a one has the owner of its function.
        let parent_tags = if tags.is_empty() { function::tags(cx, &self.name).await? } else { None };
        let fields = Fields::from([("stream", json!(consumer.stream_arn))]);
        Ok(Some(Observed { arn: consumer.consumer_arn, fields, tags: Some(tags), parent_tags, settled }))
    }

    async fn create(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<Created> {
        let call = cx.aws.kinesis.register_stream_consumer().stream_arn(&self.stream).consumer_name(&self.name);
        let call = call.set_tags(Some(tags.clone().into_iter().collect()));
        match cx.retry_while_busy(|| call.clone().send()).await {
            // Registered already, perhaps by a call whose answer was lost.
            Err(error) if error.is(&["ResourceInUseException"]) => Ok(Created::Found),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(Created::Made { ready: false }),
        }
    }

    fn is_seen_when_ready(&self, changed: bool) -> bool {
        !changed
    }

    async fn change(&self, _cx: &Cx, _seen: &Observed, _changes: &[Change]) -> anyhow::Result<()> {
        Ok(())
    }

    async fn tag(&self, cx: &Cx, set: &Tags, remove: &[String]) -> anyhow::Result<()> {
        let arn = arn(cx, &self.stream, &self.name).await?.context("the stream consumer is gone")?;
        if !set.is_empty() {
            let set = set.clone().into_iter().collect();
            let call = cx.aws.kinesis.tag_resource().resource_arn(&arn).set_tags(Some(set));
            cx.retry_until_known(|| call.clone().send()).await?;
        }
        if !remove.is_empty() {
            let call = cx.aws.kinesis.untag_resource().resource_arn(&arn).set_tag_keys(Some(remove.to_vec()));
            cx.retry_until_known(|| call.clone().send()).await?;
        }
        Ok(())
    }

    async fn ready(&self, cx: &Cx) -> anyhow::Result<()> {
        let what = format!("stream consumer ({})", self.name);
        let active = Wait { what: &what, pending: &["CREATING"], target: &["ACTIVE"], limit: LIMIT, times: TIMES };
        cx.wait(&active, async || look(cx, &self.stream, &self.name).await).await
    }

    async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        begin_deletion(cx, &self.stream, &self.name).await?;
        until_gone(cx, &self.stream, &self.name).await
    }
}
