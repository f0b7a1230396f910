//! What makes a queue, a topic or its subscribers wrong.

use std::collections::BTreeSet;

use super::{Checker, DAY, HOUR, MINUTE};
use crate::spec::reference::{Reference, SectionKind};
use crate::spec::spanned::Spanned;
use crate::spec::subscriber::Recipient;
use crate::spec::types::{Topic, named};
use crate::spec::values::Encryption;

impl Checker<'_> {
    pub(super) fn queues(&mut self) {
        for (name, queue) in &self.spec.queue {
            self.duration(&queue.retention, MINUTE..=14 * DAY, "a queue keeps messages");
            self.duration(&queue.visibility, 0..=12 * HOUR, "a message's visibility timeout is");
            if let Some(receives) = &queue.max_receives {
                self.number(receives, 1..=1000, "a message's receives");
                if queue.dead_letters.is_none() {
                    self.say(
                        receives.span(),
                        "messages that were received too often have nowhere to go",
                        "add `dead_letters = \"queue.NAME\"`, or remove `max_receives`",
                    );
                }
            }
            let Some(target) = &queue.dead_letters else { continue };
            self.refers(target, &[SectionKind::Queue], "dead letters of a queue go to another queue");
            if self.leads_back(name.get_ref(), target.get_ref()) {
                self.say(
                    target.span(),
                    format!("dead letters of `queue.{}` would come back to it", name.get_ref()),
                    "let them end in a queue without `dead_letters`",
                );
            }
        }
    }

    fn leads_back(&self, name: &str, target: &Reference) -> bool {
        let mut seen = BTreeSet::new();
        let mut next = Some(target);
        while let Some(queue) = next.filter(|queue| seen.insert(&queue.name)) {
            if queue.name == name {
                return true;
            }
            next = named(&self.spec.queue, &queue.name)
                .and_then(|queue| queue.dead_letters.as_ref())
                .map(Spanned::get_ref);
        }
        false
    }

    pub(super) fn topic(&mut self, name: &str, topic: &Topic) {
        let notified = self.spec.has_alarm_that_notifies(name);
        if let Some(encryption) = &topic.encryption
            && *encryption.get_ref() == Encryption::AwsManaged
            && notified
        {
            self.say(
                encryption.span(),
                "CloudWatch alarms can't publish to a topic with the AWS-managed key, so this topic would stay silent",
                "remove `encryption`, write \"none\", or name your own KMS key whose policy lets CloudWatch use it",
            );
        }
        let mut seen = BTreeSet::new();
        for subscriber in &topic.subscribers {
            let span = subscriber.span();
            let subscriber = subscriber.get_ref();
            if !seen.insert(&subscriber.to) {
                self.say(span.clone(), "this subscriber is listed twice", "remove one of them");
            }
            match &subscriber.to {
                Recipient::Queue(queue) => self.exists(queue, span),
                Recipient::Address("email" | "sms", _) if subscriber.raw => {
                    self.say(span, "only queues and https addresses take raw messages", "remove `raw`");
                }
                Recipient::Address(..) => {}
            }
        }
    }
}
