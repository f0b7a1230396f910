//! Reads the dead letter queue without consuming messages of others.

use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry};
use serde_json::Value;

use crate::aws::{Clients, NOT_KNOWN, answered, retry};

/// The most messages of one call.
const MESSAGES: usize = 10;
/// How long a message is hidden while the queue is searched, if it is not put back before.
const HIDDEN: Duration = Duration::from_mins(2);

/// A dead letter queue.
pub(super) struct DeadLetterQueue {
    sqs: aws_sdk_sqs::Client,
    url: String,
    /// Receipts of messages that are not the run's and that are hidden until they are put back.
    hidden: Vec<String>,
}

impl DeadLetterQueue {
    pub(super) fn new(aws: &Clients, queue: &str) -> Self {
        Self { sqs: aws.sqs.clone(), url: aws.queue_url(queue), hidden: Vec::new() }
    }

    /// Receives some messages, waiting a second for the first one: body and receipt of each. All stay hidden until
    /// [`put_back`](Self::put_back), but for those that are given to [`delete`](Self::delete).
    pub(super) async fn receive(&mut self) -> anyhow::Result<Vec<(String, String)>> {
        let call = self
            .sqs
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(MESSAGES)?)
            .visibility_timeout(i32::try_from(HIDDEN.as_secs())?)
            .wait_time_seconds(1);
        let answer = retry(&[NOT_KNOWN], || call.clone().send(), |_| {}).await;
        let messages = answer.context("receiving messages of the dead letter queue")?.messages.unwrap_or_default();
        let messages = messages.into_iter();
        let messages: Vec<_> = messages
            .map(|message| (message.body.unwrap_or_default(), message.receipt_handle.unwrap_or_default()))
            .collect();
        self.hidden.extend(messages.iter().map(|(_, receipt)| receipt.clone()));
        Ok(messages)
    }

    /// Receives some messages. Those of the run are deleted and returned, the others stay hidden until
    /// [`put_back`](Self::put_back), so that the next call gets different ones. `None` when there was no message at all.
    pub(super) async fn take(&mut self, run: &str) -> anyhow::Result<Option<Vec<Value>>> {
        let messages = self.receive().await?;
        if messages.is_empty() {
            return Ok(None);
        }
        // Every event of the run has the run's id in its key, and a dead letter has the key.
        let (bodies, receipts): (Vec<_>, Vec<_>) = messages.into_iter().filter(|(body, _)| body.contains(run)).unzip();
        self.delete(&receipts).await?;
        let value = |body: String| serde_json::from_str(&body).unwrap_or(Value::String(body));
        Ok(Some(bodies.into_iter().map(value).collect()))
    }

    pub(super) async fn delete(&mut self, receipts: &[String]) -> anyhow::Result<()> {
        if receipts.is_empty() {
            return Ok(());
        }
        self.hidden.retain(|receipt| !receipts.contains(receipt));
        let entries = receipts.iter().enumerate().map(|(place, receipt)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(place.to_string()).receipt_handle(receipt);
            entry.build().expect("id and receipt are set")
        });
        let call = self.sqs.delete_message_batch().queue_url(&self.url).set_entries(Some(entries.collect()));
        let answer = answered(call.send().await).context("deleting the run's messages from the dead letter queue")?;
        match answer.failed.first() {
            None => Ok(()),
            Some(failed) => anyhow::bail!("deleting a message from the dead letter queue: {}", failed.code),
        }
    }

    /// Lets everybody see the messages again that are not the run's.
    pub(super) async fn put_back(&mut self) -> anyhow::Result<()> {
        while !self.hidden.is_empty() {
            let from = self.hidden.len().saturating_sub(MESSAGES);
            let entries = self.hidden[from..].iter().enumerate().map(|(place, receipt)| {
                let entry =
                    ChangeMessageVisibilityBatchRequestEntry::builder().id(place.to_string()).receipt_handle(receipt);
                entry.visibility_timeout(0).build().expect("id and receipt are set")
            });
            let call =
                self.sqs.change_message_visibility_batch().queue_url(&self.url).set_entries(Some(entries.collect()));
            // One that fails is visible already, or will be when its time is up.
            answered(call.send().await).context("putting messages back into the dead letter queue")?;
            self.hidden.truncate(from);
        }
        Ok(())
    }
}
