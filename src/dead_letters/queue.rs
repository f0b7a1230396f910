//! A queue: its messages are received, held for as long as they are looked at, and given back or deleted.

use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, MessageAttributeValue,
    MessageSystemAttributeName, QueueAttributeName,
};
use futures_util::future::try_join_all;
use serde_json::Value;
use streamkit_handler::dead_letter::EVENT_ID_ATTRIBUTE;

use super::message::{Kind, Message};
use super::store::{Receipt, Usage};
use crate::aws::{Clients, answered};

/// The most messages of one call.
const MESSAGES: usize = 10;
/// How many calls run at once.
const CALLS: usize = 8;
/// For how long a message is hidden while it is looked at, and how much longer for each message that the queue has. After a
/// kill it is back when this is over.
const HELD: Duration = Duration::from_secs(30);
const HELD_FOR_EACH: Duration = Duration::from_millis(50);
/// The most that SQS hides a message for, at a time.
const HELD_MOST: Duration = Duration::from_hours(12);

/// A queue of the pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    aws: Clients,
    name: String,
    url: String,
    held: Duration,
}

impl Queue {
    pub(super) fn new(aws: &Clients, name: &str) -> Self {
        Self { aws: aws.clone(), name: name.to_owned(), url: aws.queue_url(name), held: HELD }
    }

    /// How many messages it has; `None` where there is no such queue.
    pub(super) async fn usage(&mut self) -> anyhow::Result<Option<Usage>> {
        use QueueAttributeName::{ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible, RedrivePolicy};
        let call = self.aws.sqs.get_queue_attributes().queue_url(&self.url);
        let names = [ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible, RedrivePolicy];
        let call = names.iter().fold(call, |call, name| call.attribute_names(name.clone()));
        let answer = match answered(call.send().await) {
            Ok(answer) => answer.attributes.unwrap_or_default(),
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("reading the attributes of SQS queue ({})", self.name));
            }
        };
        let number = |name: &QueueAttributeName| answer.get(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        let policy = answer.get(&names[2]).and_then(|text| serde_json::from_str::<Value>(text).ok());
        let max_receives = policy.and_then(|policy| match &policy["maxReceiveCount"] {
            Value::String(text) => text.parse().ok(),
            number => number.as_i64(),
        });
        let usage = Usage { messages: number(&names[0]), held: number(&names[1]), max_receives };
        let all = u32::try_from(usage.messages).unwrap_or(u32::MAX);
        self.held = (HELD + HELD_FOR_EACH.saturating_mul(all)).min(HELD_MOST);
        Ok(Some(usage))
    }

    /// Receives messages, many at a time. None come when the queue has none to give.
    pub(super) async fn receive(&self, most: usize) -> anyhow::Result<Vec<Message>> {
        let calls = most.div_ceil(MESSAGES).clamp(1, CALLS);
        // A short look asks a sample of SQS's servers, so only a long one tells that there is nothing.
        let looks = try_join_all((0..calls).map(|_| self.look(0, most))).await?;
        let found: Vec<Message> = looks.into_iter().flatten().collect();
        if found.is_empty() { self.look(1, most).await } else { Ok(found) }
    }

    async fn look(&self, wait_seconds: i32, most: usize) -> anyhow::Result<Vec<Message>> {
        let call = self.aws.sqs.receive_message().queue_url(&self.url).wait_time_seconds(wait_seconds);
        let call = call.max_number_of_messages(i32::try_from(most.clamp(1, MESSAGES))?);
        let call = call.visibility_timeout(i32::try_from(self.held.as_secs())?);
        let call = call.message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
        let call = call.message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount);
        let answer = answered(call.send().await);
        let answer = answer.with_context(|| format!("receiving messages of SQS queue ({})", self.name))?;
        let messages = answer.messages.unwrap_or_default().into_iter().map(|message| {
            let number = |name| {
                let value = message.attributes.as_ref().and_then(|attributes| attributes.get(&name));
                value.and_then(|text| text.parse().ok()).unwrap_or(0)
            };
            let body = message.body.unwrap_or_default();
            Message {
                kind: Kind::of(&body),
                sent_ms: number(MessageSystemAttributeName::SentTimestamp),
                receives: number(MessageSystemAttributeName::ApproximateReceiveCount),
                id: message.message_id.unwrap_or_default(),
                receipt: Receipt(message.receipt_handle.unwrap_or_default()),
                body,
            }
        });
        Ok(messages.collect())
    }

    pub(super) fn held(&self) -> Duration {
        self.held
    }

    /// Hides messages for so long from now on; those that somebody has deleted meanwhile are passed over.
    pub(super) async fn hide(&self, receipts: &[Receipt], time: Duration) -> anyhow::Result<()> {
        let seconds = i32::try_from(time.as_secs())?;
        for many in receipts.chunks(MESSAGES * CALLS) {
            try_join_all(many.chunks(MESSAGES).map(|few| self.hide_few(few, seconds))).await?;
        }
        Ok(())
    }

    async fn hide_few(&self, receipts: &[Receipt], seconds: i32) -> anyhow::Result<()> {
        let entries = receipts.iter().enumerate().map(|(place, receipt)| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(place.to_string());
            entry.receipt_handle(&receipt.0).visibility_timeout(seconds).build().expect("id and receipt are set")
        });
        let call = self.aws.sqs.change_message_visibility_batch().queue_url(&self.url);
        answered(call.set_entries(Some(entries.collect())).send().await)
            .with_context(|| format!("giving back messages of SQS queue ({})", self.name))?;
        Ok(())
    }

    pub(super) async fn delete(&self, receipts: &[Receipt]) -> anyhow::Result<()> {
        for many in receipts.chunks(MESSAGES * CALLS) {
            try_join_all(many.chunks(MESSAGES).map(|few| self.delete_few(few))).await?;
        }
        Ok(())
    }

    async fn delete_few(&self, receipts: &[Receipt]) -> anyhow::Result<()> {
        let entries = receipts.iter().enumerate().map(|(place, receipt)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(place.to_string()).receipt_handle(&receipt.0);
            entry.build().expect("id and receipt are set")
        });
        let call = self.aws.sqs.delete_message_batch().queue_url(&self.url).set_entries(Some(entries.collect()));
        let what = || format!("deleting messages of SQS queue ({})", self.name);
        let answer = answered(call.send().await).with_context(what)?;
        match answer.failed.first() {
            None => Ok(()),
            Some(failed) => anyhow::bail!("{}: {}", what(), failed.code),
        }
    }

    /// Sends a letter as the handler does: with the record's identity as an attribute.
    pub(super) async fn send(&self, body: &str, event_id: &str) -> anyhow::Result<()> {
        let id = MessageAttributeValue::builder().data_type("String").string_value(event_id).build();
        let call = self.aws.sqs.send_message().queue_url(&self.url).message_body(body);
        let call = call.message_attributes(EVENT_ID_ATTRIBUTE, id.expect("the data type is set"));
        answered(call.send().await).with_context(|| format!("sending to SQS queue ({})", self.name))?;
        Ok(())
    }
}
