//! A table's tags.

use aws_sdk_dynamodb::types::Tag;

use super::arn;
use crate::aws::{AwsError, Tags, all_pages, answered, existing};
use crate::resources::context::Cx;
use crate::resources::told_tags::told_or;

/// The tags; `None` when there is no such table.
pub(in crate::resources) async fn tags(cx: &Cx, name: &str) -> Result<Option<Tags>, AwsError> {
    let arn = arn(&cx.aws, name);
    told_or(cx, &arn, async || {
        let tags = all_pages(async |token| {
            let call = cx.aws.dynamodb.list_tags_of_resource().resource_arn(&arn).set_next_token(token);
            let page = answered(call.send().await)?;
            Ok((page.tags.unwrap_or_default(), page.next_token))
        });
        let tags = existing(tags.await)?;
        Ok(tags.map(|tags| tags.into_iter().map(|tag| (tag.key, tag.value)).collect()))
    })
    .await
}

/// Sets and removes tags.
pub(in crate::resources) async fn tag(cx: &Cx, name: &str, set: &Tags, remove: &[String]) -> anyhow::Result<()> {
    let arn = arn(&cx.aws, name);
    if !set.is_empty() {
        let mut call = cx.aws.dynamodb.tag_resource().resource_arn(&arn);
        for (key, value) in set {
            call = call.tags(Tag::builder().key(key).value(value).build()?);
        }
        cx.retry_until_known(|| call.clone().send()).await?;
    }
    if !remove.is_empty() {
        let call = cx.aws.dynamodb.untag_resource().resource_arn(&arn).set_tag_keys(Some(remove.to_vec()));
        cx.retry_until_known(|| call.clone().send()).await?;
    }
    Ok(())
}
