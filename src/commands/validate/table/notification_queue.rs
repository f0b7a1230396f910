//! A queue of the run's own that is subscribed to the topic, and deleted at the end of the run.

use anyhow::Context as _;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::json;

use crate::aws::{AwsError, NOT_KNOWN, Tags, VALIDATE_TAG, all, answered, retry};
use crate::commands::validate::validation::Validation;

/// The node that the queue's tag names. No spec can have it, so a queue that is left behind by a killed run is one that
/// `up` and `down` delete.
const NODE: &str = "validate.mailbox";
/// A message is read once: it stays hidden for as long as SQS allows.
const HIDDEN_SECONDS: u32 = 12 * 60 * 60;
const MESSAGES: i32 = 10;

/// A queue that is subscribed to a topic.
pub(in crate::commands::validate) struct NotificationQueue {
    sqs: aws_sdk_sqs::Client,
    sns: aws_sdk_sns::Client,
    topic_arn: String,
    name: String,
    queue_arn: String,
    tags: Tags,
    url: Option<String>,
    subscription: Option<String>,
}

impl NotificationQueue {
    /// Describes the queue; [`open`](Self::open) creates it.
    pub(super) fn new(validation: &Validation<'_>, topic: &str) -> Self {
        let aws = &validation.session.aws;
        let name = format!("{}-validate-{}", validation.pipeline(), validation.run_id);
        Self {
            sqs: aws.sqs.clone(),
            sns: aws.sns.clone(),
            topic_arn: aws.arn("sns", topic),
            queue_arn: aws.arn("sqs", &name),
            tags: tags(validation),
            name,
            url: None,
            subscription: None,
        }
    }

    /// Everybody else who is told of what is published to the topic.
    pub(super) async fn other_subscribers(&self) -> anyhow::Result<Vec<String>> {
        let call = self.sns.list_subscriptions_by_topic().topic_arn(&self.topic_arn);
        let all = match all(call.into_paginator().items().send()).await {
            // Its own check says that it is missing.
            Err(error) if error.is_missing() => Vec::new(),
            answer => answer.context("listing the topic's subscribers")?,
        };
        // One that has not confirmed is told nothing.
        let confirmed = |arn: &str| arn.starts_with("arn:");
        let others = all.into_iter().filter(|at| at.subscription_arn().is_some_and(confirmed));
        let name = |protocol: &str, endpoint: &str| match protocol {
            "sqs" | "lambda" => endpoint.rsplit(':').next().unwrap_or(endpoint).to_owned(),
            _ => format!("{protocol}:{endpoint}"),
        };
        Ok(others.map(|at| name(at.protocol().unwrap_or_default(), at.endpoint().unwrap_or_default())).collect())
    }

    /// Creates the queue and subscribes it, unless that is done.
    pub(in crate::commands::validate) async fn open(&mut self) -> anyhow::Result<()> {
        if self.subscription.is_some() {
            return Ok(());
        }
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": { "Service": "sns.amazonaws.com" },
                "Action": "sqs:SendMessage",
                "Resource": self.queue_arn,
                "Condition": { "ArnEquals": { "aws:SourceArn": self.topic_arn } },
            }],
        });
        let call = self
            .sqs
            .create_queue()
            .queue_name(&self.name)
            .attributes(QueueAttributeName::Policy, policy.to_string())
            .attributes(QueueAttributeName::VisibilityTimeout, HIDDEN_SECONDS.to_string())
            .set_tags(Some(self.tags.clone().into_iter().collect()));
        let what = || format!("creating the queue {} that subscribes to the topic", self.name);
        self.url = answered(call.send().await).with_context(what)?.queue_url;
        let call = self
            .sns
            .subscribe()
            .topic_arn(&self.topic_arn)
            .protocol("sqs")
            .endpoint(&self.queue_arn)
            .attributes("RawMessageDelivery", "true")
            .return_subscription_arn(true);
        let what = || format!("subscribing the queue {} to the topic", self.name);
        let answer = retry(&[NOT_KNOWN], || call.clone().send(), |_| {}).await;
        self.subscription = answer.with_context(what)?.subscription_arn;
        Ok(())
    }

    /// Some messages, each once; waits a second for the first one.
    pub(super) async fn receive(&self) -> anyhow::Result<Vec<String>> {
        let Some(url) = &self.url else { return Ok(Vec::new()) };
        let call = self.sqs.receive_message().queue_url(url).max_number_of_messages(MESSAGES).wait_time_seconds(1);
        // SQS wants a second between the creation of a queue and its use.
        let answer = retry(&[NOT_KNOWN], || call.clone().send(), |_| {}).await;
        let answer = answer.with_context(|| format!("receiving messages of the queue {}", self.name))?;
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(|message| message.body).collect())
    }

    /// Deletes subscription and queue. It is no error if they do not exist.
    pub(super) async fn close(&mut self) -> anyhow::Result<()> {
        if let Some(subscription) = self.subscription.take() {
            let call = self.sns.unsubscribe().subscription_arn(&subscription);
            ignore_missing(answered(call.send().await)).context("deleting the run's subscription to the topic")?;
        }
        if let Some(url) = self.url.take() {
            let call = self.sqs.delete_queue().queue_url(&url);
            ignore_missing(answered(call.send().await)).with_context(|| format!("deleting the queue {}", self.name))?;
        }
        Ok(())
    }
}

/// The pipeline's, and the run's.
fn tags(validation: &Validation<'_>) -> Tags {
    let mut tags = validation.session.cx.owner.tags(NODE, &Tags::new());
    tags.insert(VALIDATE_TAG.to_owned(), validation.run_id.clone());
    tags
}

fn ignore_missing<T>(result: Result<T, AwsError>) -> Result<(), AwsError> {
    match result {
        Err(error) if !error.is_missing() => Err(error),
        _ => Ok(()),
    }
}
