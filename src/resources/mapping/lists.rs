//! Lists of event source mappings: of a function, or from a source.

use std::sync::Arc;

use aws_sdk_lambda::types::EventSourceMappingConfiguration;

use super::super::context::Cx;
use crate::aws::{AwsError, all, answered, existing};

/// All mappings of a function; none when there is no such function.
pub(in super::super) async fn mappings_of(
    cx: &Cx,
    function: &str,
) -> Result<Vec<EventSourceMappingConfiguration>, AwsError> {
    let known = all_of_region(cx).await?;
    let Some(known) = known.as_ref() else { return list(cx, function).await };
    Ok(known.iter().filter(|mapping| function_of(mapping) == Some(function)).cloned().collect())
}

/// All mappings of the region, which answer for all functions and sources in one call; `None` where they are more than a page:
/// most of those would be somebody else's.
async fn all_of_region(cx: &Cx) -> Result<Arc<Option<Vec<EventSourceMappingConfiguration>>>, AwsError> {
    let ask = async || {
        let page = answered(cx.aws.lambda.list_event_source_mappings().send().await)?;
        let is_all = page.next_marker.is_none_or(|marker| marker.is_empty());
        Ok(is_all.then(|| page.event_source_mappings.unwrap_or_default()))
    };
    cx.answers.mappings.since(cx.since, ask).await
}

/// All mappings that read from this source.
pub(in super::super) async fn mappings_from(
    cx: &Cx,
    source: &str,
) -> Result<Vec<EventSourceMappingConfiguration>, AwsError> {
    if let Some(known) = all_of_region(cx).await?.as_ref() {
        return Ok(known
            .iter()
            .filter(|mapping| mapping.event_source_arn.as_deref() == Some(source))
            .cloned()
            .collect());
    }
    all(cx.aws.lambda.list_event_source_mappings().event_source_arn(source).into_paginator().items().send()).await
}

/// The mappings of a function as they are now.
pub(super) async fn list(cx: &Cx, function: &str) -> Result<Vec<EventSourceMappingConfiguration>, AwsError> {
    let call = cx.aws.lambda.list_event_source_mappings().function_name(function);
    Ok(existing(all(call.into_paginator().items().send()).await)?.unwrap_or_default())
}

/// The name of the function that the mapping calls.
pub(in super::super) fn function_of(mapping: &EventSourceMappingConfiguration) -> Option<&str> {
    mapping.function_arn.as_deref()?.split(":function:").nth(1)?.split(':').next()
}
