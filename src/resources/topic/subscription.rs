//! A topic's subscriptions: reading them, and bringing them in line with the spec.

use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::super::context::Cx;
pub(super) use super::super::topic_description::Present;
pub(crate) use super::super::topic_description::Subscription;
use super::record::{Record, is_of_validate};
use crate::aws::{Arn, AwsError, all, answered, existing};
use crate::spec::Pattern;

impl Subscription {
    /// Whether both are for the same address.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        self.protocol == other.protocol && self.endpoint == other.endpoint
    }

    /// SNS asks whoever has this address before it sends anything else.
    pub(super) fn has_to_confirm(&self) -> bool {
        ["email", "http", "https"].contains(&self.protocol.as_str())
    }

    pub(crate) fn address(&self) -> String {
        if self.protocol == "https" { self.endpoint.clone() } else { format!("{}:{}", self.protocol, self.endpoint) }
    }

    /// The form that the spec uses: an address alone where nothing else is said.
    pub(super) fn shown(&self) -> Value {
        let mut shown = json!({ "to": self.address() });
        if self.raw {
            shown["raw"] = json!(true);
        }
        if let Some(filter) = &self.filter {
            shown["filter"] = filter.0.clone();
            shown["filter_on"] = json!(if self.filter_on_body { "body" } else { "attributes" });
        }
        if shown.as_object().is_some_and(|object| object.len() == 1) { shown["to"].take() } else { shown }
    }

    /// The attributes that SNS has for these settings, in the order in which to set them.
    fn attributes(&self) -> [(&'static str, String); 3] {
        let scope = match (&self.filter, self.filter_on_body) {
            (Some(_), true) => "MessageBody",
            _ => "MessageAttributes",
        };
        let raw = ("RawMessageDelivery", self.raw.to_string());
        let scope = ("FilterPolicyScope", scope.to_owned());
        let filter = ("FilterPolicy", self.filter.as_ref().map_or_else(|| "{}".to_owned(), ToString::to_string));
        // SNS checks filter and scope together at each call, and some filters are allowed for bodies only: so for bodies the
        // scope is set first, and otherwise the filter.
        if self.filter.is_some() && self.filter_on_body { [raw, scope, filter] } else { [raw, filter, scope] }
    }
}

/// All subscriptions of a topic.
pub(super) async fn read(cx: &Cx, topic: &str) -> Result<Vec<Present>, AwsError> {
    let mut listed =
        all(cx.aws.sns.list_subscriptions_by_topic().topic_arn(topic).into_paginator().items().send()).await?;
    // One that is being deleted stays listed for a while.
    listed.retain(|subscription| subscription.subscription_arn.as_deref() != Some("Deleted"));
    let present = try_join_all(listed.into_iter().map(async |listed| {
        let arn = listed.subscription_arn.filter(|arn| Arn::parse(arn).is_some());
        let mut settings = Subscription {
            protocol: listed.protocol.unwrap_or_default(),
            endpoint: listed.endpoint.unwrap_or_default(),
            raw: false,
            filter: None,
            filter_on_body: false,
        };
        if let Some(arn) = &arn {
            let call = cx.aws.sns.get_subscription_attributes().subscription_arn(arn);
            let Some(answer) = existing(answered(call.send().await))? else { return Ok(None) };
            let attributes = answer.attributes.unwrap_or_default();
            settings.raw = attributes.get("RawMessageDelivery").is_some_and(|raw| raw == "true");
            settings.filter = attributes.get("FilterPolicy").and_then(|text| filter(text));
            settings.filter_on_body = attributes.get("FilterPolicyScope").is_some_and(|scope| scope == "MessageBody");
        }
        let is_of_validate = is_of_validate(cx, &settings).await?;
        Ok(Some(Present { arn, settings, is_of_validate }))
    }))
    .await?;
    Ok(present.into_iter().flatten().collect())
}

fn filter(text: &str) -> Option<Pattern> {
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) if fields.is_empty() => None,
        Ok(value) => Some(Pattern(value)),
        Err(_) if text.is_empty() => None,
        Err(_) => Some(Pattern(json!(text))),
    }
}

/// The subscriptions that a plan compares with the spec's: not those that others have made.
///
/// Of those that were never confirmed nothing can be read or changed: one of the spec's counts as it was created, and the
/// others, which nobody can remove, are left out.
pub(super) fn shown(present: &[Present], wanted: &[Subscription], record: &Record) -> Vec<Value> {
    let of = |present: &Present| wanted.iter().find(|wanted| wanted.is_of(&present.settings));
    present
        .iter()
        .filter_map(|present| match (&present.arn, of(present)) {
            (Some(_), None) if !is_ours(present, record) => None,
            (Some(_), _) => Some(present.settings.shown()),
            (None, Some(wanted)) => Some(wanted.shown()),
            (None, None) => None,
        })
        .collect()
}

/// Whether streamkit has made a subscription that is not in the spec.
fn is_ours(present: &Present, record: &Record) -> bool {
    record.has(&present.settings) || present.is_of_validate
}

/// Those that others have made, with their ARNs.
pub(super) fn of_others(present: &[Present], wanted: &[Subscription], record: &Record) -> Vec<(String, String)> {
    let is_other =
        |present: &Present| !wanted.iter().any(|wanted| wanted.is_of(&present.settings)) && !is_ours(present, record);
    let others = present.iter().filter(|present| is_other(present));
    others.filter_map(|present| Some((present.settings.address(), present.arn.clone()?))).collect()
}

/// Whether the record has those of the spec that are there.
pub(super) fn are_recorded(present: &[Present], wanted: &[Subscription], record: &Record) -> bool {
    let is_there = |wanted: &&Subscription| present.iter().any(|present| present.settings.is_of(wanted));
    wanted.iter().filter(is_there).all(|wanted| record.has(wanted))
}

/// What is to be recorded once the topic is as the spec wants it: its subscriptions, and those that can't be removed yet.
pub(super) fn record(present: &[Present], wanted: &[Subscription], record: &Record) -> Record {
    let pending = present.iter().filter(|present| present.arn.is_none()).map(|present| &present.settings);
    Record::of(wanted.iter().chain(pending.filter(|pending| record.has(pending))))
}

/// The addresses of the spec's subscribers that have not confirmed yet.
pub(super) fn unconfirmed(present: &[Present], wanted: &[Subscription]) -> Vec<String> {
    let pending = present.iter().filter(|present| present.arn.is_none());
    let pending = pending.filter(|present| wanted.iter().any(|wanted| wanted.is_of(&present.settings)));
    pending.map(|present| present.settings.address()).collect()
}

/// Adds the subscriptions that are missing, changes those that differ, and removes those of ours that are not in the spec.
pub(super) async fn set(
    cx: &Cx,
    topic: &str,
    present: &[Present],
    wanted: &[Subscription],
    record: &Record,
) -> anyhow::Result<()> {
    for wanted in wanted {
        match present.iter().find(|present| present.settings.is_of(wanted)) {
            None => {
                let mut call =
                    cx.aws.sns.subscribe().topic_arn(topic).protocol(&wanted.protocol).endpoint(&wanted.endpoint);
                let unset = ["false", "MessageAttributes", "{}"];
                for (name, value) in
                    wanted.attributes().into_iter().filter(|(_, value)| !unset.contains(&value.as_str()))
                {
                    call = call.attributes(name, value);
                }
                cx.retry_until_known(|| call.clone().send()).await?;
            }
            Some(Present { arn: Some(arn), settings, .. }) => {
                let has = settings.attributes();
                for (name, value) in wanted.attributes().into_iter().filter(|attribute| !has.contains(attribute)) {
                    let call = cx.aws.sns.set_subscription_attributes().subscription_arn(arn).attribute_name(name);
                    let call = call.attribute_value(value);
                    cx.retry_until_known(|| call.clone().send()).await?;
                }
            }
            Some(_) => {}
        }
    }
    let unwanted = present.iter().filter(|present| !wanted.iter().any(|wanted| wanted.is_of(&present.settings)));
    for present in unwanted.filter(|present| is_ours(present, record)) {
        remove(cx, present).await?;
    }
    Ok(())
}

/// Removes a subscription. One that was never confirmed can't be removed and expires by itself.
async fn remove(cx: &Cx, present: &Present) -> anyhow::Result<()> {
    let Some(arn) = &present.arn else {
        cx.note(&format!("{} is unconfirmed and expires in about 3 days", present.settings.address()));
        return Ok(());
    };
    existing(answered(cx.aws.sns.unsubscribe().subscription_arn(arn).send().await))?;
    Ok(())
}
