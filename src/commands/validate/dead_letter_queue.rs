//! Reads the dead letter queue without consuming messages of others.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName,
    QueueAttributeName,
};
use serde_json::Value;

use crate::aws::{Clients, NOT_KNOWN, answered, retry};

/// The most messages of one call.
const MESSAGES: usize = 10;
/// The most seconds for which SQS hides a message.
const HIDDEN_MOST: i32 = 12 * 60 * 60;
/// How much longer than a check a message is hidden, if it is not put back before.
const LONGER: Duration = Duration::from_mins(1);

/// A dead letter queue.
pub(super) struct DeadLetterQueue {
    sqs: aws_sdk_sqs::Client,
    url: String,
    /// How long a message is hidden while the queue is searched: as long as a check, so that it is received once in it.
    hidden_for: Duration,
    /// Receipts of messages that are not the run's and that are hidden until they are put back.
    hidden: Vec<String>,
    /// After how many receives a message goes to the queue's own dead letter queue; `None` where there is none.
    max_receives: Option<i64>,
    /// A message of somebody else's has been received so often that the next time would move it: the search is over.
    stopped: bool,
}

impl DeadLetterQueue {
    pub(super) fn new(aws: &Clients, queue: &str, limit: Duration) -> Self {
        Self {
            sqs: aws.sqs.clone(),
            url: aws.queue_url(queue),
            hidden_for: limit + LONGER,
            hidden: Vec::new(),
            max_receives: None,
            stopped: false,
        }
    }

    /// What searching the queue does to messages of others, if there are any.
    pub(super) async fn others(&mut self) -> anyhow::Result<Option<String>> {
        let (count, redrive) = (QueueAttributeName::ApproximateNumberOfMessages, QueueAttributeName::RedrivePolicy);
        let call = self.sqs.get_queue_attributes().queue_url(&self.url);
        let call = call.attribute_names(count.clone()).attribute_names(redrive.clone());
        let answer = answered(call.send().await).context("reading the attributes of the dead letter queue")?;
        let attributes = answer.attributes.unwrap_or_default();
        let policy = attributes.get(&redrive).and_then(|text| serde_json::from_str::<Value>(text).ok());
        self.max_receives = policy.and_then(|policy| match &policy["maxReceiveCount"] {
            Value::String(text) => text.parse().ok(),
            number => number.as_i64(),
        });
        let count: u64 = attributes.get(&count).and_then(|text| text.parse().ok()).unwrap_or(0);
        if count == 0 {
            return Ok(None);
        }
        self.stopped = self.max_receives.is_some_and(|limit| limit < 2);
        let name = self.url.rsplit('/').next().unwrap_or(&self.url);
        let limited = match self.max_receives {
            Some(most) => {
                format!("; it moves messages on after {most} receives, and the search stops before it causes that")
            }
            None => String::new(),
        };
        Ok(Some(format!(
            "{name} holds about {count} messages of others: to find its own, validate receives them too, which their receive \
             counts show, and puts them back{limited}"
        )))
    }

    /// Receives some messages, waiting a second for the first one: body and receipt of each. All stay hidden until
    /// [`put_back`](Self::put_back), but for those that are given to [`delete`](Self::delete).
    pub(super) async fn receive(&mut self) -> anyhow::Result<Vec<(String, String)>> {
        let messages = self.messages().await?.into_iter();
        Ok(messages
            .map(|message| (message.body.unwrap_or_default(), message.receipt_handle.unwrap_or_default()))
            .collect())
    }

    async fn messages(&mut self) -> anyhow::Result<Vec<Message>> {
        if self.stopped {
            return Ok(Vec::new());
        }
        let call = self
            .sqs
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(MESSAGES)?)
            .visibility_timeout(i32::try_from(self.hidden_for.as_secs())?.min(HIDDEN_MOST))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .wait_time_seconds(1);
        let answer = retry(&[NOT_KNOWN], || call.clone().send(), |_| {}).await;
        let messages = answer.context("receiving messages of the dead letter queue")?.messages.unwrap_or_default();
        self.hidden.extend(messages.iter().filter_map(|message| message.receipt_handle.clone()));
        Ok(messages)
    }

    /// Receives some messages. Those that are the run's `own`, by their bodies, are deleted and returned, the others stay hidden until
    /// [`put_back`](Self::put_back), so that the next call gets different ones. `None` when there was no message at all.
    pub(super) async fn take(&mut self, own: impl Fn(&str) -> bool) -> anyhow::Result<Option<Vec<Value>>> {
        let messages = self.messages().await?;
        if messages.is_empty() {
            return Ok(None);
        }
        let (own, others): (Vec<_>, Vec<_>) =
            messages.into_iter().partition(|message| message.body().is_some_and(&own));
        let most = others.iter().filter_map(receives).max();
        // One receive more is for whoever the message is meant for.
        self.stopped = self.max_receives.zip(most).is_some_and(|(limit, most)| most + 1 >= limit);
        let text = |text: Option<String>| text.unwrap_or_default();
        let (bodies, receipts): (Vec<_>, Vec<_>) =
            own.into_iter().map(|message| (text(message.body), text(message.receipt_handle))).unzip();
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

/// Whether a message is the letter of a record with one of these sequence numbers.
pub(super) fn is_of(body: &str, places: &BTreeSet<String>) -> bool {
    serde_json::from_str::<Value>(body).is_ok_and(|body| {
        body.get("sequenceNumber").and_then(Value::as_str).is_some_and(|number| places.contains(number))
    })
}

/// How often the message was received, this time included.
fn receives(message: &Message) -> Option<i64> {
    message.attributes.as_ref()?.get(&MessageSystemAttributeName::ApproximateReceiveCount)?.parse().ok()
}
