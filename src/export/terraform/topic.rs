//! SNS topics and their subscriptions.

use super::super::hcl::{Body, Expression};
use super::super::live::Details;
use super::{Files, Subject, word};
use crate::resources::{Subscription, Topic};

const TOPICS: &str = "topics.tf";

impl Files<'_> {
    pub(super) fn topic(&mut self, subject: &Subject<'_>, topic: &Topic) {
        let mut body = Body::default();
        body.text("name", &topic.name);
        if !topic.key().is_empty() {
            body.set("kms_master_key_id", self.references.text(topic.key()));
        }
        body.set("tags", self.tags(subject));
        let arn = subject.live.seen.as_ref().map(|seen| seen.arn.clone());
        self.add(TOPICS, subject, "aws_sns_topic", body, arn);
        for (at, subscription) in topic.subscribers.iter().enumerate() {
            self.subscription(subject, subscription, at + 1);
        }
    }

    fn subscription(&mut self, subject: &Subject<'_>, subscription: &Subscription, number: usize) {
        let present = match &subject.live.details {
            Details::Topic(present) => present.iter().find(|(present, _)| present.is_of(subscription)),
            _ => None,
        };
        let import = match present {
            Some((_, None)) => {
                let says = format!(
                    "nobody has confirmed the subscription of {} yet, and until then AWS gives it no ARN to import. \
                     Once it is confirmed, export again",
                    subscription.address()
                );
                return self.note(subject, says);
            }
            Some((_, arn)) => arn.clone(),
            None => None,
        };
        let mut body = Body::default();
        body.raw("topic_arn", format!("aws_sns_topic.{}.arn", subject.label))
            .text("protocol", &subscription.protocol)
            .set("endpoint", self.references.text(&subscription.endpoint));
        if subscription.raw {
            body.raw("raw_message_delivery", true);
        }
        if let Some(filter) = &subscription.filter {
            let scope = if subscription.filter_on_body { "MessageBody" } else { "MessageAttributes" };
            body.text("filter_policy_scope", scope).set("filter_policy", self.references.encoded(&filter.0));
        }
        // A queue has a name to go by; an address is nothing to have in a label.
        let whom = match subscription.endpoint.rsplit_once(':') {
            Some((_, queue)) if subscription.protocol == "sqs" => {
                word(queue.strip_prefix(&format!("{}-", self.pipeline.naming.prefix())).unwrap_or(queue))
            }
            _ => format!("{}_{number}", word(&subscription.protocol)),
        };
        let label = format!("{}_{whom}", subject.label);
        body.block("lifecycle", |body| {
            let only_created_with = ["confirmation_timeout_in_minutes", "endpoint_auto_confirms"];
            let ignored = only_created_with.map(Expression::raw).to_vec();
            body.set("ignore_changes", Expression::List(ignored));
        });
        self.add_labelled(TOPICS, subject, ("aws_sns_topic_subscription", &label), body, import, &[]);
    }
}
