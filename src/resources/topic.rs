//! SNS topics and their subscribers.
//!
//! IAM: sns:CreateTopic, GetTopicAttributes, SetTopicAttributes, ListTagsForResource, TagResource, UntagResource,
//! ListSubscriptionsByTopic, Subscribe, Unsubscribe, DeleteTopic, ListTopics.

use std::collections::BTreeSet;

use aws_sdk_sns::types::{Subscription, Tag};
use serde_json::json;

use super::resource::{Cx, Fields, Observed, Resource};
use crate::aws::{Aws, AwsError, Tags, aws};
use crate::plan::Change;
use crate::spec::{Encryption, Subscriber};

/// The alias of the key that AWS keeps for SNS.
const AWS_MANAGED_KEY: &str = "alias/aws/sns";

/// An SNS topic.
#[derive(Debug, Clone)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) subscribers: Vec<Subscriber>,
    pub(crate) encryption: Encryption,
}

impl Topic {
    async fn subscriptions(&self, cx: &Cx, arn: &str) -> Result<Vec<Subscription>, AwsError> {
        let mut pages = cx.aws.sns.list_subscriptions_by_topic().topic_arn(arn).into_paginator().items().send();
        let mut all = Vec::new();
        while let Some(subscription) = pages.next().await {
            all.push(aws(subscription)?);
        }
        Ok(all)
    }

    fn key(&self) -> &str {
        match &self.encryption {
            Encryption::None => "",
            Encryption::AwsManaged => AWS_MANAGED_KEY,
            Encryption::Key(key) => key,
        }
    }

    async fn set_subscribers(&self, cx: &Cx, arn: &str) -> anyhow::Result<()> {
        let has = self.subscriptions(cx, arn).await?;
        let wanted: BTreeSet<String> = self.subscribers.iter().map(subscriber_text).collect();
        let present: BTreeSet<String> = has.iter().map(subscription_text).collect();
        for subscriber in self.subscribers.iter().filter(|subscriber| !present.contains(&subscriber_text(subscriber))) {
            let call =
                cx.aws.sns.subscribe().topic_arn(arn).protocol(subscriber.protocol).endpoint(&subscriber.endpoint);
            aws(call.send().await)?;
        }
        for subscription in has.iter().filter(|subscription| !wanted.contains(&subscription_text(subscription))) {
            unsubscribe(cx, subscription).await?;
        }
        Ok(())
    }
}

/// Only a confirmed subscription has an ARN; the others say `PendingConfirmation`.
fn is_confirmed(subscription: &Subscription) -> bool {
    subscription.subscription_arn.as_deref().is_some_and(|arn| arn.starts_with("arn:"))
}

/// Removes a subscription; AWS can't remove one that was never confirmed, which expires by itself.
async fn unsubscribe(cx: &Cx, subscription: &Subscription) -> anyhow::Result<()> {
    match subscription.subscription_arn.as_deref().filter(|_| is_confirmed(subscription)) {
        Some(arn) => {
            aws(cx.aws.sns.unsubscribe().subscription_arn(arn).send().await)?;
        }
        None => cx.note(&format!("{} is unconfirmed and expires in about 3 days", subscription_text(subscription))),
    }
    Ok(())
}

fn subscriber_text(subscriber: &Subscriber) -> String {
    text(subscriber.protocol, &subscriber.endpoint)
}

fn subscription_text(subscription: &Subscription) -> String {
    text(subscription.protocol.as_deref().unwrap_or_default(), subscription.endpoint.as_deref().unwrap_or_default())
}

/// The form that the spec uses.
fn text(protocol: &str, endpoint: &str) -> String {
    if protocol == "https" { endpoint.to_owned() } else { format!("{protocol}:{endpoint}") }
}

impl Resource for Topic {
    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, aws: &Aws) -> String {
        aws.arn("sns", &self.name)
    }

    fn desired(&self) -> Fields {
        let subscribers: BTreeSet<_> = self.subscribers.iter().map(subscriber_text).collect();
        Fields::from([("subscribers", json!(subscribers)), ("encryption", json!(self.encryption.to_string()))])
    }

    async fn read(&self, cx: &Cx) -> anyhow::Result<Option<Observed>> {
        let arn = self.arn(&cx.aws);
        let (attributes, tags, subscriptions) = tokio::join!(
            async { aws(cx.aws.sns.get_topic_attributes().topic_arn(&arn).send().await) },
            async { aws(cx.aws.sns.list_tags_for_resource().resource_arn(&arn).send().await) },
            self.subscriptions(cx, &arn),
        );
        let attributes = match attributes {
            Ok(answer) => answer.attributes.unwrap_or_default(),
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let encryption = match attributes.get("KmsMasterKeyId").map(String::as_str) {
            None | Some("") => "none",
            Some(AWS_MANAGED_KEY) => "aws-managed",
            Some(key) => key,
        };
        let wanted: BTreeSet<_> = self.subscribers.iter().map(subscriber_text).collect();
        let subscribers: BTreeSet<_> = subscriptions?
            .iter()
            // One that is being deleted stays listed for a while; an unwanted one that was never confirmed can't be removed.
            .filter(|subscription| is_confirmed(subscription) || wanted.contains(&subscription_text(subscription)))
            .filter(|subscription| subscription.subscription_arn.as_deref() != Some("Deleted"))
            .map(subscription_text)
            .collect();
        let fields = Fields::from([("subscribers", json!(subscribers)), ("encryption", json!(encryption))]);
        let tags = tags?.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect();
        Ok(Some(Observed { arn, fields, tags: Some(tags), settled: true }))
    }

    async fn create(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<()> {
        let mut call = cx.aws.sns.create_topic().name(&self.name);
        if !self.key().is_empty() {
            call = call.attributes("KmsMasterKeyId", self.key());
        }
        for (key, value) in tags {
            call = call.tags(Tag::builder().key(key).value(value).build()?);
        }
        match aws(call.send().await) {
            // There already, with other attributes or tags: these are changed next.
            Err(error) if !(error.is(&["InvalidParameter"]) && error.message.contains("already exists")) => Err(error)?,
            _ => Ok(()),
        }
    }

    async fn change(&self, cx: &Cx, seen: &Observed, changes: &[Change]) -> anyhow::Result<()> {
        for change in changes {
            if change.field.as_str() == "subscribers" {
                self.set_subscribers(cx, &seen.arn).await?;
            } else {
                let call = cx.aws.sns.set_topic_attributes().topic_arn(&seen.arn);
                aws(call.attribute_name("KmsMasterKeyId").attribute_value(self.key()).send().await)?;
            }
        }
        Ok(())
    }

    async fn tag(&self, cx: &Cx, set: &Tags, remove: &[String]) -> anyhow::Result<()> {
        let arn = self.arn(&cx.aws);
        if !set.is_empty() {
            let mut call = cx.aws.sns.tag_resource().resource_arn(&arn);
            for (key, value) in set {
                call = call.tags(Tag::builder().key(key).value(value).build()?);
            }
            aws(call.send().await)?;
        }
        if !remove.is_empty() {
            aws(cx.aws.sns.untag_resource().resource_arn(&arn).set_tag_keys(Some(remove.to_vec())).send().await)?;
        }
        Ok(())
    }

    async fn ready(&self, _cx: &Cx) -> anyhow::Result<()> {
        Ok(())
    }

    async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        let arn = self.arn(&cx.aws);
        let has = match self.subscriptions(cx, &arn).await {
            Ok(has) => has,
            Err(error) if error.is_missing() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for subscription in has {
            unsubscribe(cx, &subscription).await?;
        }
        match aws(cx.aws.sns.delete_topic().topic_arn(&arn).send().await) {
            Err(error) if !error.is_missing() => Err(error)?,
            _ => Ok(()),
        }
    }
}
