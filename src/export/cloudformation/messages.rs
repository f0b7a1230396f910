//! Queues and topics.

use serde_json::json;

use super::{Subject, Template, word};
use crate::export::live::Details;
use crate::resources::{Queue, Topic};

impl Template<'_> {
    pub(super) fn queue(&mut self, subject: &Subject<'_>, queue: &Queue) {
        let mut properties = json!({
            "QueueName": queue.name,
            "MessageRetentionPeriod": queue.retention.0,
            "VisibilityTimeout": queue.visibility.0,
            "SqsManagedSseEnabled": true,
            "Tags": subject.tag_list(),
        });
        if let Some(redrive) = &queue.redrive {
            properties["RedrivePolicy"] = json!({
                "deadLetterTargetArn": self.references.string(&redrive.queue), "maxReceiveCount": redrive.max_receives,
            });
        }
        let kind = "AWS::SQS::Queue";
        self.put(&subject.id, kind, properties, &[]);
        self.import(subject, &subject.id, kind, json!({ "QueueUrl": subject.aws.queue_url(&queue.name) }));
        if let Some(policy) = queue.policy(&subject.aws) {
            let document = self.references.document(&policy);
            let properties = json!({ "Queues": [{ "Ref": subject.id }], "PolicyDocument": document });
            // It has no identity of its own in AWS: the stack that makes it puts the same policy again.
            self.put(&format!("{}Policy", subject.id), "AWS::SQS::QueuePolicy", properties, &[]);
            if subject.is_there() {
                self.note(
                    subject,
                    "the import of its policy, which CloudFormation can't import: add it by an update after the import",
                );
            }
        }
    }

    pub(super) fn topic(&mut self, subject: &Subject<'_>, topic: &Topic) {
        let mut properties = json!({ "TopicName": topic.name, "Tags": subject.tag_list() });
        if !topic.key().is_empty() {
            properties["KmsMasterKeyId"] = self.references.string(topic.key());
        }
        let kind = "AWS::SNS::Topic";
        self.put(&subject.id, kind, properties, &[]);
        if let Some(seen) = subject.live.and_then(|live| live.seen.as_ref()) {
            self.import(subject, &subject.id, kind, json!({ "TopicArn": seen.arn }));
        }
        for (at, subscription) in topic.subscribers.iter().enumerate() {
            let id = format!("{}{}{}", subject.id, word(&subscription.protocol), at + 1);
            let mut properties = json!({
                "TopicArn": { "Ref": subject.id },
                "Protocol": subscription.protocol,
                "Endpoint": self.references.string(&subscription.endpoint),
            });
            if subscription.raw {
                properties["RawMessageDelivery"] = json!(true);
            }
            if let Some(filter) = &subscription.filter {
                properties["FilterPolicy"] = self.references.document(&filter.0);
                let scope = if subscription.filter_on_body { "MessageBody" } else { "MessageAttributes" };
                properties["FilterPolicyScope"] = json!(scope);
            }
            let present = match subject.live.map(|live| &live.details) {
                Some(Details::Topic(present)) => present.iter().find(|(present, _)| present.is_of(subscription)),
                _ => None,
            };
            let kind = "AWS::SNS::Subscription";
            if let Some((_, None)) = present {
                let says = format!("the subscription of {}, which nobody has confirmed yet", subscription.address());
                self.note(subject, says);
                continue;
            }
            self.put(&id, kind, properties, &[]);
            if let Some((_, Some(arn))) = present {
                self.import(subject, &id, kind, json!({ "Arn": arn }));
            }
        }
    }
}
