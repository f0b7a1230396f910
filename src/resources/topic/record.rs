//! Which of a topic's subscriptions are streamkit's own: those that a tag of the topic records, since a subscription has no tags.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::super::context::Cx;
use super::super::queue;
use super::subscription::Subscription;
use crate::aws::{Arn, AwsError, Parent, SUBSCRIBERS_TAG, TAG_VALUE, Tags, VALIDATE_TAG};

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

/// Whether it is that of a queue which a run of `validate` has made. A subscription has no tags: its queue's tell, and its name
/// where there is no such queue any more, to which nobody could be subscribed.
pub(super) async fn is_of_validate(cx: &Cx, subscription: &Subscription) -> Result<bool, AwsError> {
    let Some(queue) = queue_of_validate(cx, subscription) else { return Ok(false) };
    match queue::tags(cx, &queue).await {
        Ok(None) => Ok(true),
        Ok(Some(tags)) => Ok(tags.contains_key(VALIDATE_TAG) && cx.owner.owns(Some(&tags), Parent::None)),
        // What may not be looked at is left alone.
        Err(error) if error.is_denied() => Ok(false),
        Err(error) => Err(error),
    }
}

/// The queue that it goes to, if that has a name as `validate` gives them.
fn queue_of_validate(cx: &Cx, subscription: &Subscription) -> Option<String> {
    let queue = Arn::parse(&subscription.endpoint).filter(|_| subscription.protocol == "sqs")?;
    let run = queue.resource.strip_prefix(&cx.owner.prefix())?.strip_prefix(OF_VALIDATE)?;
    let is_run = run.len() == 12 && run.chars().all(|c| c.is_ascii_hexdigit());
    let is_here = queue.account == cx.aws.account && queue.region == cx.aws.region;
    (is_run && is_here).then(|| queue.resource.clone())
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
