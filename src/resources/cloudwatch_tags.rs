//! Tags of anything in CloudWatch: alarms and dashboards take the same calls.

use aws_sdk_cloudwatch::types::Tag;

use super::context::Cx;
use crate::aws::{Tags, aws};

/// Sets and removes tags of anything in CloudWatch.
pub(super) async fn tag(cx: &Cx, arn: &str, set: &Tags, remove: &[String]) -> anyhow::Result<()> {
    let cloudwatch = &cx.aws.cloudwatch;
    if !set.is_empty() {
        let tags = set.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
        aws(cloudwatch.tag_resource().resource_arn(arn).set_tags(Some(tags)).send().await)?;
    }
    if !remove.is_empty() {
        aws(cloudwatch.untag_resource().resource_arn(arn).set_tag_keys(Some(remove.to_vec())).send().await)?;
    }
    Ok(())
}
