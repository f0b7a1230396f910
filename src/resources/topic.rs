//! SNS topics and their subscribers.

mod record;
mod subscription;

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_sns::types::Tag;
use serde_json::{Value, json};

use self::record::Record;
pub(crate) use self::subscription::Subscription;

use super::context::Cx;
use super::resource::{Actions, Created, Observed, Resource, Shown};
use super::told_tags::told_or;
use super::topic_description::TopicDescription;
use crate::aws::{AwsError, Clients, Tags, answered, existing, known};
use crate::plan::{Change, Fields};
use crate::spec::Encryption;

/// The field with what is observed and not the spec's business.
const UNCONFIRMED: &str = "unconfirmed";

/// The field that says whether the topic's tag has the spec's subscriptions: it has not where an earlier version made them.
const RECORD: &str = "subscriber_record";
const COMPLETE: &str = "complete";

/// The alias of the key that AWS keeps for SNS.
const AWS_MANAGED_KEY: &str = "alias/aws/sns";

/// What the caller must be allowed to do.
pub(super) const ACTIONS: Actions = Actions {
    own: &[
        "sns:CreateTopic",
        "sns:GetTopicAttributes",
        "sns:SetTopicAttributes",
        "sns:ListTagsForResource",
        "sns:TagResource",
        "sns:UntagResource",
        "sns:ListSubscriptionsByTopic",
        "sns:Subscribe",
        "sns:DeleteTopic",
    ],
    account: &["sns:ListTopics", "sns:GetSubscriptionAttributes", "sns:SetSubscriptionAttributes", "sns:Unsubscribe"],
};

/// An SNS topic.
#[derive(Debug, Clone)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) subscribers: Vec<Subscription>,
    pub(crate) encryption: Encryption,
}

impl Topic {
    async fn attributes(&self, cx: &Cx) -> Result<Option<HashMap<String, String>>, AwsError> {
        let call = cx.aws.sns.get_topic_attributes().topic_arn(self.arn(&cx.aws));
        Ok(existing(answered(call.send().await))?.map(|answer| answer.attributes.unwrap_or_default()))
    }

    /// The key that encrypts its messages; empty where none does.
    pub(crate) fn key(&self) -> &str {
        match &self.encryption {
            Encryption::None => "",
            Encryption::AwsManaged => AWS_MANAGED_KEY,
            Encryption::Key(key) => key,
        }
    }
}

impl Topic {
    /// The addresses that hear nothing until their owners follow the link that AWS sends them: those that have not done so yet,
    /// and those that are new to the topic.
    pub(crate) fn unconfirmed(&self, seen: Option<&Observed>) -> Vec<String> {
        let list = |field: &str| seen.and_then(|seen| seen.fields.get(field)).and_then(Value::as_array);
        let pending = list(UNCONFIRMED).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        let mut all: Vec<String> = pending.collect();
        let is_there = |subscriber: &Subscription| {
            let address = subscriber.address();
            let is_it = |shown: &Value| shown == address.as_str() || shown["to"] == address.as_str();
            list("subscribers").is_some_and(|there| there.iter().any(is_it))
        };
        let new = self.subscribers.iter().filter(|subscriber| subscriber.has_to_confirm() && !is_there(subscriber));
        all.extend(new.map(Subscription::address));
        all
    }

    /// The subscriptions that others have made, by address and ARN.
    pub(crate) async fn subscriptions_of_others(&self, cx: &Cx) -> anyhow::Result<Vec<(String, String)>> {
        let described = self.described(cx).await?;
        let Some(topic) = &*described else { return Ok(Vec::new()) };
        let record = Record::read(topic.tags.as_ref().unwrap_or(&Tags::new()));
        Ok(subscription::of_others(&topic.subscriptions, &self.subscribers, &record))
    }

    /// All of its subscriptions, each with its ARN once it is confirmed.
    pub(crate) async fn present(&self, cx: &Cx) -> Result<Vec<(Subscription, Option<String>)>, AwsError> {
        let present = subscription::read(cx, &self.arn(&cx.aws)).await?;
        Ok(present.into_iter().map(|present| (present.settings, present.arn)).collect())
    }

    /// The topic as it was described last.
    async fn described(&self, cx: &Cx) -> Result<Arc<Option<TopicDescription>>, AwsError> {
        cx.answers.topics.of(&self.name).since(cx.since, async || self.describe(cx).await).await
    }

    async fn describe(&self, cx: &Cx) -> Result<Option<TopicDescription>, AwsError> {
        let Some(attributes) = self.attributes(cx).await? else { return Ok(None) };
        let counts =
            ["SubscriptionsConfirmed", "SubscriptionsPending"].map(|name| attributes.get(name).map(String::as_str));
        let has_none = self.subscribers.is_empty() && counts == [Some("0"); 2];
        let arn = self.arn(&cx.aws);
        let (tags, subscriptions) = tokio::try_join!(tags(cx, &self.name), async {
            if has_none { Ok(Vec::new()) } else { subscription::read(cx, &arn).await }
        })?;
        Ok(Some(TopicDescription { attributes, tags, subscriptions }))
    }

    /// Brings the subscriptions in line with the spec. The record has a new one before it is made, and an old one until it is gone,
    /// so that a run may end anywhere.
    async fn subscribe(&self, cx: &Cx, seen: &Observed, has_some: bool) -> anyhow::Result<()> {
        let before = Record::read(&seen.tags.clone().unwrap_or_default());
        let meanwhile = before.and(&Record::of(&self.subscribers));
        self.write_record(cx, &before, &meanwhile).await?;
        let present = if has_some { subscription::read(cx, &seen.arn).await? } else { Vec::new() };
        subscription::set(cx, &seen.arn, &present, &self.subscribers, &before).await?;
        let after = subscription::record(&present, &self.subscribers, &before);
        self.write_record(cx, &meanwhile, &after).await
    }

    async fn write_record(&self, cx: &Cx, has: &Record, wants: &Record) -> anyhow::Result<()> {
        let (has, mut wants) = (has.tags(), wants.tags());
        let gone: Vec<String> = has.keys().filter(|key| !wants.contains_key(*key)).cloned().collect();
        wants.retain(|key, value| has.get(key) != Some(value));
        self.tag(cx, &wants, &gone).await
    }
}

impl Resource for Topic {
    fn name(&self) -> &str {
        &self.name
    }

    fn arn(&self, aws: &Clients) -> String {
        arn(aws, &self.name)
    }

    fn desired(&self) -> Fields {
        Fields::from([
            ("subscribers", sorted(self.subscribers.iter().map(Subscription::shown).collect())),
            ("encryption", json!(self.encryption.to_string())),
            (RECORD, json!(COMPLETE)),
        ])
    }

    fn defaults(&self) -> Fields {
        let encryption = json!(Encryption::AwsManaged.to_string());
        Fields::from([("subscribers", json!([])), ("encryption", encryption), (RECORD, json!(COMPLETE))])
    }

    async fn read(&self, cx: &Cx) -> anyhow::Result<Option<Observed>> {
        let arn = self.arn(&cx.aws);
        let described = self.described(cx).await?;
        let Some(TopicDescription { attributes, tags, subscriptions }) = &*described else { return Ok(None) };
        let tags = known(tags.clone(), "the topic's tags")?;
        let encryption = match attributes.get("KmsMasterKeyId").map(String::as_str) {
            None | Some("") => "none",
            Some(AWS_MANAGED_KEY) => "aws-managed",
            Some(key) => key,
        };
        let record = Record::read(&tags);
        let shown = subscription::shown(subscriptions, &self.subscribers, &record);
        let recorded = subscription::are_recorded(subscriptions, &self.subscribers, &record);
        let unconfirmed = subscription::unconfirmed(subscriptions, &self.subscribers);
        let fields = Fields::from([
            ("subscribers", sorted(shown)),
            ("encryption", json!(encryption)),
            (UNCONFIRMED, json!(unconfirmed)),
            (RECORD, json!(if recorded { COMPLETE } else { "incomplete" })),
        ]);
        Ok(Some(Observed { arn, fields, tags: Some(tags), parent_tags: None, settled: true }))
    }

    async fn create(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<Created> {
        let mut call = cx.aws.sns.create_topic().name(&self.name);
        if !self.key().is_empty() {
            call = call.attributes("KmsMasterKeyId", self.key());
        }
        for (key, value) in tags.iter().chain(&Record::of(&self.subscribers).tags()) {
            call = call.tags(Tag::builder().key(key).value(value).build()?);
        }
        match answered(call.send().await) {
            // There already, with other attributes or tags: these are changed next.
            Err(error) if error.is(&["InvalidParameter"]) && error.message.contains("already exists") => {
                Ok(Created::Found)
            }
            Err(error) => Err(error.into()),
            Ok(_) => Ok(Created::Made { ready: true }),
        }
    }

    async fn shown(&self, cx: &Cx) -> anyhow::Result<Option<Shown>> {
        if self.attributes(cx).await?.is_none() {
            return Ok(None);
        }
        let subscribed =
            if self.subscribers.is_empty() { Vec::new() } else { subscription::read(cx, &self.arn(&cx.aws)).await? };
        let record = Record::of(&self.subscribers);
        let shown = sorted(subscription::shown(&subscribed, &self.subscribers, &record));
        Ok(Some(Shown::from(self.desired().get("subscribers") == Some(&shown))))
    }

    fn as_made(&self, aws: &Clients, tags: &Tags) -> Observed {
        let mut fields = self.desired();
        fields.insert("subscribers", json!([]));
        let mut tags = tags.clone();
        tags.extend(Record::of(&self.subscribers).tags());
        Observed { arn: self.arn(aws), fields, tags: Some(tags), parent_tags: None, settled: true }
    }

    async fn change(&self, cx: &Cx, seen: &Observed, changes: &[Change]) -> anyhow::Result<()> {
        if changes.iter().any(|change| ["subscribers", RECORD].contains(&change.field.as_str())) {
            // A topic that has just been made has none, and is not in every list yet.
            let has_some = !changes.iter().any(|change| change.field == "subscribers" && change.from == json!([]));
            self.subscribe(cx, seen, has_some).await?;
        }
        for change in changes {
            if change.field == "encryption" {
                let call = cx.aws.sns.set_topic_attributes().topic_arn(&seen.arn);
                let call = call.attribute_name("KmsMasterKeyId").attribute_value(self.key());
                cx.retry_until_known(|| call.clone().send()).await?;
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
            cx.retry_until_known(|| call.clone().send()).await?;
        }
        if !remove.is_empty() {
            let call = cx.aws.sns.untag_resource().resource_arn(&arn).set_tag_keys(Some(remove.to_vec()));
            cx.retry_until_known(|| call.clone().send()).await?;
        }
        Ok(())
    }

    async fn ready(&self, _cx: &Cx) -> anyhow::Result<()> {
        Ok(())
    }

    async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        delete(cx, &self.name).await
    }
}

pub(super) fn arn(aws: &Clients, name: &str) -> String {
    aws.arn("sns", name)
}

/// The tags; `None` when there is no such topic.
pub(super) async fn tags(cx: &Cx, name: &str) -> Result<Option<Tags>, AwsError> {
    let arn = arn(&cx.aws, name);
    told_or(cx, &arn, async || {
        let call = cx.aws.sns.list_tags_for_resource().resource_arn(&arn);
        let tags = existing(answered(call.send().await))?.map(|answer| answer.tags.unwrap_or_default());
        Ok(tags.map(|tags| tags.into_iter().map(|tag| (tag.key, tag.value)).collect()))
    })
    .await
}

/// Deletes the topic, and AWS its subscriptions with it.
pub(super) async fn delete(cx: &Cx, name: &str) -> anyhow::Result<()> {
    existing(answered(cx.aws.sns.delete_topic().topic_arn(arn(&cx.aws, name)).send().await))?;
    Ok(())
}

/// Subscribers have no order of their own.
fn sorted(mut subscribers: Vec<Value>) -> Value {
    subscribers.sort_by_key(Value::to_string);
    json!(subscribers)
}
