//! SQS queues and their policies.

use serde_json::json;

use super::super::hcl::{Body, Expression};
use super::{Files, Subject};
use crate::resources::Queue;

const QUEUES: &str = "queues.tf";

impl Files<'_> {
    pub(super) fn queue(&mut self, subject: &Subject<'_>, queue: &Queue) {
        let url = subject.aws.queue_url(&queue.name);
        let mut body = Body::default();
        body.text("name", &queue.name)
            .raw("message_retention_seconds", queue.retention.0)
            .raw("visibility_timeout_seconds", queue.visibility.0)
            .raw("sqs_managed_sse_enabled", true);
        if let Some(redrive) = &queue.redrive {
            let policy = json!({ "deadLetterTargetArn": redrive.queue, "maxReceiveCount": redrive.max_receives });
            body.set("redrive_policy", self.references.encoded(&policy));
        }
        body.set("tags", self.tags(subject));
        body.block("lifecycle", |body| {
            body.comment("AWS's own limit is 1 MiB by now, and version 5 of the provider knows 256 KiB.");
            body.set("ignore_changes", Expression::List(vec![Expression::raw("max_message_size")]));
        });
        self.add(QUEUES, subject, "aws_sqs_queue", body, subject.import(&url));
        if let Some(policy) = queue.policy(&subject.aws) {
            let mut body = Body::default();
            body.set("queue_url", Expression::raw(format!("aws_sqs_queue.{}.url", subject.label)));
            body.set("policy", self.references.encoded(&policy));
            self.add(QUEUES, subject, "aws_sqs_queue_policy", body, subject.import(&url));
        }
    }
}
