//! Where failed records are kept: a queue, or a bucket.

use std::time::Duration;

use super::bucket::Bucket;
use super::message::Message;
use super::queue::Queue;
use crate::aws::Clients;

/// What a message is deleted and given back by: SQS's receipt handle, or the object's key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Receipt(pub(super) String);

/// How full a store is, as far as AWS tells without reading it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) messages: u64,
    /// Messages that somebody has received and not given back.
    pub(crate) held: u64,
    /// After how many receives a message goes to the queue's own dead letter queue.
    pub(crate) max_receives: Option<i64>,
}

/// A queue or a bucket.
#[derive(Debug, Clone)]
pub(crate) enum Store {
    Queue(Queue),
    Bucket(Bucket),
}

impl Store {
    /// The queue of this name in AWS.
    pub(crate) fn queue(aws: &Clients, name: &str) -> Self {
        Self::Queue(Queue::new(aws, name))
    }

    /// The bucket of this name in AWS.
    pub(crate) fn bucket(aws: &Clients, name: &str) -> Self {
        Self::Bucket(Bucket::new(aws, name))
    }

    /// `None` where it does not exist.
    pub(crate) async fn usage(&mut self) -> anyhow::Result<Option<Usage>> {
        match self {
            Self::Queue(queue) => queue.usage().await,
            Self::Bucket(bucket) => bucket.usage().await,
        }
    }

    /// Reads some messages, about as many as `most`. They stay hidden from others for [`Store::held`]; nothing comes when
    /// all have been read.
    pub(crate) async fn receive(&mut self, most: usize) -> anyhow::Result<Vec<Message>> {
        match self {
            Self::Queue(queue) => queue.receive(most).await,
            Self::Bucket(bucket) => bucket.receive(most).await,
        }
    }

    /// For how long messages stay hidden that are not given back.
    pub(crate) fn held(&self) -> Duration {
        match self {
            Self::Queue(queue) => queue.held(),
            Self::Bucket(_) => Duration::MAX,
        }
    }

    /// Keeps messages hidden for as long again.
    pub(crate) async fn hold(&self, receipts: &[Receipt]) -> anyhow::Result<()> {
        match self {
            Self::Queue(queue) => queue.hide(receipts, queue.held()).await,
            Self::Bucket(_) => Ok(()),
        }
    }

    /// Gives messages back.
    pub(crate) async fn give_back(&self, receipts: &[Receipt]) -> anyhow::Result<()> {
        match self {
            Self::Queue(queue) => queue.hide(receipts, Duration::ZERO).await,
            Self::Bucket(_) => Ok(()),
        }
    }

    pub(crate) async fn delete(&self, receipts: &[Receipt]) -> anyhow::Result<()> {
        match self {
            Self::Queue(queue) => queue.delete(receipts).await,
            Self::Bucket(bucket) => bucket.delete(receipts).await,
        }
    }

    /// Puts a letter in place of another, in a queue; an object stays as it is.
    pub(crate) async fn replace(&self, receipt: &Receipt, body: &str, event_id: &str) -> anyhow::Result<()> {
        match self {
            Self::Queue(queue) => {
                queue.send(body, event_id).await?;
                queue.delete(std::slice::from_ref(receipt)).await
            }
            Self::Bucket(_) => Ok(()),
        }
    }
}

#[cfg(test)]
impl Store {
    /// A receipt that no queue gave.
    pub(crate) fn receipt_of_test(text: &str) -> Receipt {
        Receipt(text.to_owned())
    }
}
