//! Which of a topic's subscriptions are streamkit's own: those that a tag of the topic records, since a subscription has no tags.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::super::context::Cx;
use super::subscription::Subscription;
use crate::aws::{Arn, SUBSCRIBERS_TAG, TAG_VALUE, Tags};

/// Hexadecimal digits of a mark: enough that no stranger's subscription looks like ours by chance.
const DIGITS: usize = 8;

/// What the names of `validate`'s own queues say between the pipeline and the run.
const OF_VALIDATE: &str = "-validate-";

/// The marks of subscriptions that streamkit has made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record(BTreeSet<String>);

impl Record {
    pub(super) fn of<'s>(subscriptions: impl IntoIterator<Item = &'s Subscription>) -> Self {
        Self(subscriptions.into_iter().map(mark).collect())
    }

    pub(super) fn read(tags: &Tags) -> Self {
        let values = tags.iter().filter(|(key, _)| key.starts_with(SUBSCRIBERS_TAG)).map(|(_, value)| value);
        Self(values.flat_map(|value| value.split(' ')).filter(|mark| !mark.is_empty()).map(str::to_owned).collect())
    }

    pub(super) fn has(&self, subscription: &Subscription) -> bool {
        self.0.contains(&mark(subscription))
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    /// The tags that hold it; none when there is nothing to record.
    pub(super) fn tags(&self) -> Tags {
        let marks: Vec<&str> = self.0.iter().map(String::as_str).collect();
        let values = marks.chunks((TAG_VALUE + 1) / (DIGITS + 1)).map(|marks| marks.join(" "));
        let key = |index: usize| {
            if index == 0 { SUBSCRIBERS_TAG.to_owned() } else { format!("{SUBSCRIBERS_TAG}-{}", index + 1) }
        };
        values.enumerate().map(|(index, value)| (key(index), value)).collect()
    }
}

/// Follows from the address alone: settings of the subscription may change.
fn mark(subscription: &Subscription) -> String {
    let mut mark = hex::encode(Sha256::digest(format!("{}:{}", subscription.protocol, subscription.endpoint)));
    mark.truncate(DIGITS);
    mark
}

/// Whether it is that of a queue of `validate`'s, which a killed run leaves behind: nothing records those.
pub(super) fn is_of_validate(cx: &Cx, subscription: &Subscription) -> bool {
    let Some(queue) = Arn::parse(&subscription.endpoint).filter(|_| subscription.protocol == "sqs") else {
        return false;
    };
    let prefix = match &cx.owner.stage {
        Some(stage) => format!("{}-{stage}", cx.owner.pipeline),
        None => cx.owner.pipeline.clone(),
    };
    let run = queue.resource.strip_prefix(&prefix).and_then(|rest| rest.strip_prefix(OF_VALIDATE));
    let is_run = run.is_some_and(|run| run.len() == 12 && run.chars().all(|c| c.is_ascii_hexdigit()));
    is_run && queue.account == cx.aws.account && queue.region == cx.aws.region
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(endpoint: &str) -> Subscription {
        Subscription {
            protocol: "email".to_owned(),
            endpoint: endpoint.to_owned(),
            raw: false,
            filter: None,
            filter_on_body: false,
        }
    }

    #[test]
    fn a_record_of_any_length_is_read_back_from_tags_that_aws_takes() {
        assert_eq!(Record::default().tags(), Tags::new());
        for count in [1, 28, 29, 100] {
            let all: Vec<_> = (0..count).map(|number| subscription(&format!("{number}@example.com"))).collect();
            let record = Record::of(&all);
            let tags = record.tags();
            assert!(tags.values().all(|value| value.len() <= TAG_VALUE), "{tags:?}");
            assert_eq!(tags.len(), usize::div_ceil(count, 28));
            assert_eq!(Record::read(&tags), record);
            assert!(all.iter().all(|one| record.has(one)) && !record.has(&subscription("other@example.com")));
        }
    }
}
