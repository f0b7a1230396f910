//! Registered consumers of Kinesis streams, for enhanced fan-out: 2 MB/s per shard for each of them.

use std::time::Duration;

use aws_sdk_kinesis::types::ConsumerDescription;
use serde_json::json;

use super::context::Cx;
use super::resource::{Actions, Observed, Resource};
use crate::aws::{AwsError, Clients, Look, Tags, Wait, answered, existing, wait};
use crate::plan::{Change, Fields};

const LIMIT: Duration = Duration::from_secs(5 * 60);

/// What the caller must be allowed to do.
pub(super) const ACTIONS: Actions = Actions {
    own: &[
        "kinesis:RegisterStreamConsumer",
        "kinesis:DescribeStreamConsumer",
        "kinesis:ListStreamConsumers",
        "kinesis:DeregisterStreamConsumer",
    ],
    account: &[],
};

/// A registered consumer of a Kinesis stream. It has the owner of its stream.
#[derive(Debug, Clone)]
pub(crate) struct Consumer {
    /// The name of the function that it reads for.
    pub(crate) name: String,
    /// ARN of the stream.
    pub(crate) stream: String,
}

async fn description(cx: &Cx, stream: &str, name: &str) -> Result<Option<ConsumerDescription>, AwsError> {
    let call = cx.aws.kinesis.describe_stream_consumer().stream_arn(stream).consumer_name(name);
    Ok(existing(answered(call.send().await))?.and_then(|answer| answer.consumer_description))
}

/// The ARN, which ends with the time when the consumer was registered; `None` when there is none.
pub(super) async fn arn(cx: &Cx, stream: &str, name: &str) -> Result<Option<String>, AwsError> {
    Ok(description(cx, stream, name).await?.map(|consumer| consumer.consumer_arn))
}

/// The ARN of the stream that the ARN of a consumer begins with.
pub(super) fn stream_of(consumer: &str) -> Option<&str> {
    consumer.split_once("/consumer/").map(|(stream, _)| stream)
}

/// Deregisters a consumer of the stream, which is named by its ARN.
pub(super) async fn delete(cx: &Cx, stream: &str, name: &str) -> anyhow::Result<()> {
    let call = cx.aws.kinesis.deregister_stream_consumer().stream_arn(stream).consumer_name(name);
    existing(cx.retry_while_busy(|| call.clone().send()).await)?;
    until_gone(cx, stream, name).await
}

async fn look(cx: &Cx, stream: &str, name: &str) -> anyhow::Result<Look> {
    let state = description(cx, stream, name).await?.map(|consumer| consumer.consumer_status.as_str().to_owned());
    Ok(state.map_or(Look::Gone, Look::State))
}

async fn until_gone(cx: &Cx, stream: &str, name: &str) -> anyhow::Result<()> {
    let what = format!("stream consumer ({name})");
    let gone = Wait { what: &what, pending: &["DELETING", "ACTIVE"], target: &["gone"], limit: LIMIT };
    wait(&gone, async || look(cx, stream, name).await, cx.noting()).await
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
        let Some(consumer) = description(cx, &self.stream, &self.name).await? else { return Ok(None) };
        let status = consumer.consumer_status.as_str();
        if status == "DELETING" {
            cx.note("waiting for an earlier deletion");
            until_gone(cx, &self.stream, &self.name).await?;
            return Ok(None);
        }
        let settled = status == "ACTIVE";
        Ok(Some(Observed {
            arn: consumer.consumer_arn,
            fields: Fields::from([("stream", json!(consumer.stream_arn))]),
            tags: None,
            parent_tags: None,
            settled,
        }))
    }

    async fn create(&self, cx: &Cx, _tags: &Tags) -> anyhow::Result<()> {
        let call = cx.aws.kinesis.register_stream_consumer().stream_arn(&self.stream).consumer_name(&self.name);
        match cx.retry_while_busy(|| call.clone().send()).await {
            // Registered already, perhaps by a call whose answer was lost.
            Err(error) if !error.is(&["ResourceInUseException"]) => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn change(&self, _cx: &Cx, _seen: &Observed, _changes: &[Change]) -> anyhow::Result<()> {
        Ok(())
    }

    async fn tag(&self, _cx: &Cx, _set: &Tags, _remove: &[String]) -> anyhow::Result<()> {
        Ok(())
    }

    async fn ready(&self, cx: &Cx) -> anyhow::Result<()> {
        let what = format!("stream consumer ({})", self.name);
        let active = Wait { what: &what, pending: &["CREATING"], target: &["ACTIVE"], limit: LIMIT };
        wait(&active, async || look(cx, &self.stream, &self.name).await, cx.noting()).await
    }

    async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        delete(cx, &self.stream, &self.name).await
    }
}
