//! The tags of all that is the owner's, as the Resource Groups Tagging API tells them in one call.
//!
//! It may be minutes behind what was done, it does not know every kind, and some endpoints do not have it. So what it tells is good
//! for seeing that nothing has to be done, and with `down` for what `up` makes again as it was. Whatever is to be changed, whatever
//! holds data and is to be deleted, and what it does not tell of is asked for its tags itself.

use std::collections::BTreeMap;

use aws_sdk_resourcegroupstagging::types::TagFilter;

use super::context::Cx;
use crate::aws::{AwsError, PIPELINE_TAG, Tags, all};
use crate::plan::ResourceKind;

/// The most resources that a page of GetResources has.
const PAGE: i32 = 100;

/// The kinds whose tags are read by [`told_or`]. A bucket's tags say whether it is there at all, a stream's where to look for more,
/// and those of functions and roles come with everything else.
pub(crate) fn may_be_told(kind: ResourceKind) -> bool {
    matches!(
        kind,
        ResourceKind::Dashboard
            | ResourceKind::Alarm
            | ResourceKind::LogGroup
            | ResourceKind::Topic
            | ResourceKind::Queue
            | ResourceKind::Table
    )
}

/// The tags of the resource with this ARN: as they were told, where the context goes by that, else as `ask` answers.
///
/// # Errors
/// Those of `ask`.
pub(super) async fn told_or(
    cx: &Cx,
    arn: &str,
    ask: impl AsyncFnOnce() -> Result<Option<Tags>, AwsError>,
) -> Result<Option<Tags>, AwsError> {
    if cx.goes_by_told_tags
        && let Ok(told) = cx.answers.told_tags.since(cx.since, async || Ok(tell(cx).await.unwrap_or_default())).await
        && let Some(tags) = told.get(arn)
    {
        return Ok(Some(tags.clone()));
    }
    ask().await
}

/// All resources of the region with the pipeline's tag, by their ARNs.
async fn tell(cx: &Cx) -> Result<BTreeMap<String, Tags>, AwsError> {
    let of_pipeline = TagFilter::builder().key(PIPELINE_TAG).values(&cx.owner.pipeline).build();
    let call = cx.aws.tagging.get_resources().tag_filters(of_pipeline).resources_per_page(PAGE);
    let found = all(call.into_paginator().items().send()).await?;
    let told = found.into_iter().filter_map(|resource| {
        let tags = resource.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect();
        Some((resource.resource_arn?, tags))
    });
    Ok(told.collect())
}
