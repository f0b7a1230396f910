//! Where records of finished and failed invocations go: a queue, a topic, a bucket, or another function.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use serde_json::{Map, json};
use streamkit_wire::CallError;

use crate::Engine;

/// A destination that cannot be reached is tried so often again before the record is lost.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2)];

impl Engine {
    /// Sends a record with the rights of the function's role, and tries again for a while; `false` when the destination could
    /// not be reached. `key` is the object's name where the destination is a bucket.
    pub(crate) async fn send_record(self: &Arc<Self>, role: &str, destination: &str, key: &str, body: &str) -> bool {
        if self.check_sender(role, destination, key).is_err() {
            return false;
        }
        let mut pauses = PAUSES.iter();
        loop {
            if self.deliver_record(destination, key, body).await.is_ok() {
                return true;
            }
            let Some(pause) = pauses.next() else { return false };
            tokio::time::sleep(*pause).await;
        }
    }

    /// Whether a role may send to a destination.
    pub(crate) fn check_sender(&self, role: &str, destination: &str, key: &str) -> Result<(), CallError> {
        let check = |action: &str, resource: &str| self.ports.roles.check(role, action, resource);
        match destination.split(':').nth(2) {
            Some("sqs") => check("sqs:SendMessage", destination),
            Some("sns") => check("sns:Publish", destination),
            Some("lambda") => check("lambda:InvokeFunction", destination),
            _ => check("s3:PutObject", &format!("{destination}/{key}")),
        }
    }

    async fn deliver_record(self: &Arc<Self>, destination: &str, key: &str, body: &str) -> Result<(), CallError> {
        let resource = destination.splitn(6, ':').nth(5).unwrap_or_default();
        match destination.split(':').nth(2) {
            Some("sqs") => {
                let queue = self.ports.queues.sqs("GetQueueUrl", json!({ "QueueName": resource })).await?;
                let message = json!({ "QueueUrl": queue["QueueUrl"], "MessageBody": body });
                self.ports.queues.sqs("SendMessage", message).await.map(drop)
            }
            Some("sns") => self.ports.topics.publish(destination, body, Map::new()).await,
            Some("lambda") => self.invoke_async(destination, Bytes::from(body.to_owned())),
            // Settings with any other destination were refused.
            _ => self.ports.buckets.put_object(resource, key, body.as_bytes().to_vec()).await,
        }
    }
}
