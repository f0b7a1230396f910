//! The objects of a bucket: how many there are, and deleting them with the bucket.

use std::time::Duration;

use anyhow::{Context as _, bail};
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use tokio::time::Instant;

use super::super::context::Cx;
use crate::aws::{answered, existing};

/// What ListObjectVersions and DeleteObjects take at a time.
const PAGE: usize = 1000;
/// How often a bucket is emptied: the pipeline's writers are deleted before it, so after that somebody else writes to it.
const ROUNDS: usize = 5;
/// Enough for some ten million versions; a lifecycle rule can empty a larger bucket.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// How much is in the bucket, from one call; `None` when there is no such bucket.
pub(in crate::resources) async fn contents(cx: &Cx, bucket: &str) -> anyhow::Result<Option<String>> {
    let call = cx.aws.s3.list_object_versions().bucket(bucket).expected_bucket_owner(&cx.aws.account);
    let page = existing(answered(call.send().await));
    let Some(page) = page.context("listing the bucket's objects")? else { return Ok(None) };
    let count = page.versions().len() + page.delete_markers().len();
    Ok(Some(match count {
        _ if page.is_truncated == Some(true) => format!("its objects (more than {PAGE})"),
        0 => "its objects (none)".to_owned(),
        _ => format!("its objects ({count})"),
    }))
}

/// Deletes every version and delete marker, then the bucket.
pub(in crate::resources) async fn delete(cx: &Cx, bucket: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + LIMIT;
    for _ in 0..ROUNDS {
        if !empty(cx, bucket, deadline).await? {
            return Ok(());
        }
        let call = cx.aws.s3.delete_bucket().bucket(bucket).expected_bucket_owner(&cx.aws.account);
        match cx.retry_while_busy(|| call.clone().send()).await {
            // An object was written in between, or the deletions are not visible everywhere yet.
            Err(error) if error.is(&["BucketNotEmpty"]) => {}
            Err(error) if !error.is_missing() => return Err(error.into()),
            _ => return Ok(()),
        }
    }
    bail!("the bucket is not empty after its objects were deleted {ROUNDS} times: something still writes to it")
}

/// Deletes all that is listed, page by page; false when there is no such bucket.
async fn empty(cx: &Cx, bucket: &str, deadline: Instant) -> anyhow::Result<bool> {
    let mut deleted = 0;
    loop {
        // Always the first page: what was listed is gone the next time.
        let page = existing(answered(
            cx.aws.s3.list_object_versions().bucket(bucket).expected_bucket_owner(&cx.aws.account).send().await,
        ));
        let Some(page) = page.context("listing the bucket's objects")? else { return Ok(false) };
        let versions = page.versions().iter().map(|version| (version.key.clone(), version.version_id.clone()));
        let markers = page.delete_markers().iter().map(|marker| (marker.key.clone(), marker.version_id.clone()));
        let mut objects = Vec::new();
        for (key, version) in versions.chain(markers) {
            let key = key.context("a listed object without a key")?;
            objects.push(ObjectIdentifier::builder().key(key).set_version_id(version).build()?);
        }
        if objects.is_empty() {
            return Ok(true);
        }
        if Instant::now() > deadline {
            bail!("after {} s the bucket is not empty; deleted {deleted} objects", LIMIT.as_secs());
        }
        let count = objects.len();
        let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build()?;
        let answer = answered(
            cx.aws
                .s3
                .delete_objects()
                .bucket(bucket)
                .expected_bucket_owner(&cx.aws.account)
                .delete(delete)
                .send()
                .await,
        )
        .context("deleting the bucket's objects")?;
        if let Some(error) = answer.errors().first() {
            bail!(
                "deleting the object {}: {}: {}",
                error.key().unwrap_or("?"),
                error.code().unwrap_or("?"),
                error.message().unwrap_or_default()
            );
        }
        deleted += count;
        cx.note(&format!("emptying the bucket: {deleted} objects deleted"));
    }
}
