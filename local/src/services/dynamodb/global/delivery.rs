//! The task that writes to replicas what was written elsewhere.

use std::sync::Arc;

use super::replication::Replication;

impl Replication {
    /// Delivers writes when they are due, until it is aborted.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            for (region, writes) in self.take() {
                match self.others.dynamodb(&region) {
                    Ok(tables) => tables.receive(writes.clone()).await,
                    Err(error) => tracing::error!(region, "could not deliver replicated writes: {error}"),
                }
                self.delivered(&writes);
            }
            match self.next_due() {
                Some(due) => tokio::select! {
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep_until(due.into()) => {}
                },
                None => self.wake.notified().await,
            }
        }
    }
}
