//! Stream consumers: a reader with a throughput of its own (enhanced fan-out).

use std::time::Duration;

use aws_sdk_kinesis::types::ConsumerDescription;
use serde_json::json;

use super::context::Cx;
use super::resource::{Actions, Observed, Resource};
use crate::aws::{AwsError, Clients, Look, Tags, Wait, answered, in_use, wait};
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

/// A registered consumer of a Kinesis stream. It belongs to whom its stream belongs.
#[derive(Debug, Clone)]
pub(crate) struct Consumer {
    /// The name of the function that it reads for.
    pub(crate) name: String,
    /// ARN of the stream.
    pub(crate) stream: String,
}

impl Consumer {
    async fn description(&self, cx: &Cx) -> Result<Option<ConsumerDescription>, AwsError> {
        let call = cx.aws.kinesis.describe_stream_consumer().stream_arn(&self.stream).consumer_name(&self.name);
        match answered(call.send().await) {
            Ok(answer) => Ok(answer.consumer_description),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The ARN, which ends with the time when the consumer was made; `None` when there is none.
    pub(super) async fn arn_now(cx: &Cx, stream: &str, name: &str) -> Result<Option<String>, AwsError> {
        let consumer = Self { name: name.to_owned(), stream: stream.to_owned() };
        Ok(consumer.description(cx).await?.map(|consumer| consumer.consumer_arn))
    }

    async fn look(&self, cx: &Cx) -> anyhow::Result<Look> {
        let state = self.description(cx).await?.map(|consumer| consumer.consumer_status.as_str().to_owned());
        Ok(state.map_or(Look::Gone, Look::State))
    }

    async fn until_gone(&self, cx: &Cx) -> anyhow::Result<()> {
        let what = format!("stream consumer ({})", self.name);
        let gone = Wait { what: &what, pending: &["DELETING", "ACTIVE"], target: &["gone"], limit: LIMIT };
        wait(&gone, async || self.look(cx).await, cx.noting()).await
    }
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
        let Some(consumer) = self.description(cx).await? else { return Ok(None) };
        let status = consumer.consumer_status.as_str();
        if status == "DELETING" {
            cx.note("waiting for an earlier deletion");
            self.until_gone(cx).await?;
            return Ok(None);
        }
        let settled = status == "ACTIVE";
        Ok(Some(Observed {
            arn: consumer.consumer_arn,
            fields: Fields::from([("stream", json!(consumer.stream_arn))]),
            tags: None,
            settled,
        }))
    }

    async fn create(&self, cx: &Cx, _tags: &Tags) -> anyhow::Result<()> {
        let call = cx.aws.kinesis.register_stream_consumer().stream_arn(&self.stream).consumer_name(&self.name);
        match in_use(async || answered(call.clone().send().await), cx.noting()).await {
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
        wait(&active, async || self.look(cx).await, cx.noting()).await
    }

    async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        let call = cx.aws.kinesis.deregister_stream_consumer().stream_arn(&self.stream).consumer_name(&self.name);
        match in_use(async || answered(call.clone().send().await), cx.noting()).await {
            Err(error) if !error.is_missing() => Err(error.into()),
            _ => self.until_gone(cx).await,
        }
    }
}
