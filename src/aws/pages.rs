//! Lists that come in pages, followed to their end.

use std::error::Error;

use aws_smithy_async::future::pagination_stream::PaginationStream;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::error::{AwsError, answered};

/// All items of one of the SDK's paginators.
pub(crate) async fn all<T, E>(
    mut items: PaginationStream<Result<T, SdkError<E, HttpResponse>>>,
) -> Result<Vec<T>, AwsError>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let mut found = Vec::new();
    while let Some(item) = items.next().await {
        found.push(answered(item)?);
    }
    Ok(found)
}

/// All items of a list for which the SDK has no paginator, or one that does not follow it to its end.
///
/// `page` is given where to start (`None`: at the beginning), and answers with items and where the next page starts.
pub(crate) async fn all_pages<T, Start>(
    mut page: impl AsyncFnMut(Option<Start>) -> Result<(Vec<T>, Option<Start>), AwsError>,
) -> Result<Vec<T>, AwsError> {
    let mut found = Vec::new();
    let mut start = None;
    loop {
        let (items, next) = page(start).await?;
        found.extend(items);
        if next.is_none() {
            return Ok(found);
        }
        start = next;
    }
}
