//! Messages that are hidden from others while they are looked at: kept hidden for as long as that takes, and given back.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use tokio::task::JoinHandle;

use crate::dead_letters::{Message, Receipt, Store};
use crate::lock::locked;

/// The most messages that are hidden at a time. SQS hides 120,000 of a queue, for all who receive.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
pub(super) const MOST: usize = 100_000;

/// The messages of one store that a run holds.
pub(super) struct Held {
    store: Store,
    receipts: Arc<Mutex<HashSet<Receipt>>>,
    renewing: JoinHandle<()>,
}

impl Held {
    pub(super) fn new(store: &Store) -> Self {
        let receipts = Arc::<Mutex<HashSet<Receipt>>>::default();
        let (of_task, all) = (store.clone(), Arc::clone(&receipts));
        let renewing = tokio::spawn(async move {
            loop {
                tokio::time::sleep(of_task.held() / 3).await;
                let due: Vec<_> = locked(&all).iter().cloned().collect();
                // What can't be kept hidden shows again, which does no harm: it is then played twice.
                drop(of_task.hold(&due).await);
            }
        });
        Self { store: store.clone(), receipts, renewing }
    }

    /// Receives some messages, and keeps them hidden.
    pub(super) async fn receive(&mut self, most: usize) -> anyhow::Result<Vec<Message>> {
        let messages = self.store.receive(most).await?;
        locked(&self.receipts).extend(messages.iter().map(|message| message.receipt.clone()));
        Ok(messages)
    }

    pub(super) fn len(&self) -> usize {
        locked(&self.receipts).len()
    }

    fn release(&self, receipts: &[Receipt]) {
        let mut all = locked(&self.receipts);
        for receipt in receipts {
            all.remove(receipt);
        }
    }

    /// Deletes messages.
    pub(super) async fn delete(&self, receipts: &[Receipt]) -> anyhow::Result<()> {
        self.store.delete(receipts).await?;
        self.release(receipts);
        Ok(())
    }

    /// Puts a letter in place of another.
    pub(super) async fn replace(&self, receipt: &Receipt, body: &str, event_id: &str) -> anyhow::Result<()> {
        self.store.replace(receipt, body, event_id).await?;
        self.release(std::slice::from_ref(receipt));
        Ok(())
    }

    /// Gives all back that are left.
    pub(super) async fn give_back(self) -> anyhow::Result<()> {
        self.renewing.abort();
        let left: Vec<_> = locked(&self.receipts).drain().collect();
        self.store.give_back(&left).await
    }
}

/// Gives all back, whatever a run has come to; what it has come to counts more than what can't be given back, which shows again
/// by itself.
pub(super) async fn give_all_back<T>(all: Vec<Held>, ended: anyhow::Result<T>) -> anyhow::Result<T> {
    let mut failed = None;
    for held in all {
        if let Err(error) = held.give_back().await {
            failed.get_or_insert(error);
        }
    }
    let ended = ended?;
    failed.map_or(Ok(ended), Err)
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}
