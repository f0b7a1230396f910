//! Tags of anything in CloudWatch: alarms and dashboards take the same calls.

use aws_sdk_cloudwatch::types::Tag;

use super::context::Cx;
use super::told_tags::told_or;
use crate::aws::{AwsError, Tags, answered, existing};

/// The tags of anything in CloudWatch; `None` when there is no such thing.
pub(super) async fn read(cx: &Cx, arn: &str) -> Result<Option<Tags>, AwsError> {
    told_or(cx, arn, async || {
        let answer = existing(answered(cx.aws.cloudwatch.list_tags_for_resource().resource_arn(arn).send().await))?;
        let tags = answer.map(|answer| answer.tags.unwrap_or_default());
        Ok(tags.map(|tags| tags.into_iter().filter_map(|tag| Some((tag.key?, tag.value?))).collect()))
    })
    .await
}

/// Sets and removes tags of anything in CloudWatch.
pub(super) async fn tag(cx: &Cx, arn: &str, set: &Tags, remove: &[String]) -> anyhow::Result<()> {
    let cloudwatch = &cx.aws.cloudwatch;
    if !set.is_empty() {
        let tags = set.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
        let call = cloudwatch.tag_resource().resource_arn(arn).set_tags(Some(tags));
        cx.retry_until_known(|| call.clone().send()).await?;
    }
    if !remove.is_empty() {
        let call = cloudwatch.untag_resource().resource_arn(arn).set_tag_keys(Some(remove.to_vec()));
        cx.retry_until_known(|| call.clone().send()).await?;
    }
    Ok(())
}
