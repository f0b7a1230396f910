//! A bucket's lifecycle configuration: one rule, named `streamkit`, for the spec's `expire` and `transition`.

use std::collections::BTreeSet;

use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
    NoncurrentVersionExpiration, TransitionStorageClass,
};
use serde_json::json;

use super::super::context::Cx;
use super::{Bucket, unset};
use crate::aws::{AwsError, answered};
use crate::plan::Fields;
use crate::spec::{StorageClass, Transition, duration_text};

/// The id of the rule that streamkit writes.
pub(crate) const RULE: &str = "streamkit";
const DAY: u64 = 86_400;

/// True for the fields that the lifecycle configuration sets.
pub(super) fn is_of(field: &str) -> bool {
    matches!(field, "expire" | "expire_versions" | "transition" | "other_rules")
}

pub(super) fn desired(bucket: &Bucket) -> Fields {
    let expire = bucket.expire.map(|age| duration_text(age.0));
    Fields::from([
        ("expire", json!(expire)),
        // Without it, noncurrent versions would never expire.
        ("expire_versions", json!(expire.filter(|_| bucket.versioning))),
        ("transition", json!(bucket.transition.map(|move_| transition_text(days(move_), class(move_.to).as_str())))),
        ("other_rules", json!([])),
    ])
}

pub(super) async fn read(cx: &Cx, bucket: &str) -> Result<Fields, AwsError> {
    let call = cx.aws.s3.get_bucket_lifecycle_configuration().bucket(bucket).expected_bucket_owner(&cx.aws.account);
    let rules = unset(answered(call.send().await), &["NoSuchLifecycleConfiguration"])?
        .and_then(|answer| answer.rules)
        .unwrap_or_default();
    let text = |days: Option<i32>| days.and_then(|days| u64::try_from(days).ok()).map(|days| duration_text(days * DAY));
    let is_ours = |rule: &&LifecycleRule| rule.id() == Some(RULE) && rule.status == ExpirationStatus::Enabled;
    let ours = rules.iter().find(is_ours);
    let expire = ours.and_then(|rule| rule.expiration()).and_then(LifecycleExpiration::days);
    let versions = ours
        .and_then(|rule| rule.noncurrent_version_expiration())
        .and_then(NoncurrentVersionExpiration::noncurrent_days);
    let transition = ours.and_then(|rule| rule.transitions().first()).map(|rule| {
        let class = rule.storage_class().map_or("?", TransitionStorageClass::as_str);
        transition_text(rule.days().unwrap_or_default(), class)
    });
    let others: BTreeSet<_> =
        rules.iter().filter(|rule| !is_ours(rule)).map(|rule| rule.id().unwrap_or("without a name")).collect();
    Ok(Fields::from([
        ("expire", json!(text(expire))),
        ("expire_versions", json!(text(versions))),
        ("transition", json!(transition)),
        ("other_rules", json!(others)),
    ]))
}

/// Replaces all rules with streamkit's.
pub(super) async fn put(cx: &Cx, bucket: &Bucket) -> anyhow::Result<()> {
    if bucket.expire.is_none() && bucket.transition.is_none() {
        let call = cx.aws.s3.delete_bucket_lifecycle().bucket(&bucket.name).expected_bucket_owner(&cx.aws.account);
        cx.retry_until_known(|| call.clone().send()).await?;
        return Ok(());
    }
    let mut rule = LifecycleRule::builder()
        .id(RULE)
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("").build());
    if let Some(age) = bucket.expire {
        let days = i32::try_from(age.0 / DAY)?;
        rule = rule.expiration(LifecycleExpiration::builder().days(days).build());
        if bucket.versioning {
            rule = rule
                .noncurrent_version_expiration(NoncurrentVersionExpiration::builder().noncurrent_days(days).build());
        }
    }
    if let Some(move_) = bucket.transition {
        rule = rule.transitions(
            aws_sdk_s3::types::Transition::builder().days(days(move_)).storage_class(class(move_.to)).build(),
        );
    }
    let configuration = BucketLifecycleConfiguration::builder().rules(rule.build()?).build()?;
    let call =
        cx.aws.s3.put_bucket_lifecycle_configuration().bucket(&bucket.name).expected_bucket_owner(&cx.aws.account);
    let call = call.lifecycle_configuration(configuration);
    cx.retry_until_known(|| call.clone().send()).await?;
    Ok(())
}

fn days(transition: Transition) -> i32 {
    i32::try_from(transition.after.0 / DAY).unwrap_or(i32::MAX)
}

fn transition_text(days: i32, class: &str) -> String {
    format!("to {class} after {days}d")
}

pub(crate) fn class(class: StorageClass) -> TransitionStorageClass {
    match class {
        StorageClass::StandardIa => TransitionStorageClass::StandardIa,
        StorageClass::OnezoneIa => TransitionStorageClass::OnezoneIa,
        StorageClass::IntelligentTiering => TransitionStorageClass::IntelligentTiering,
        StorageClass::GlacierIr => TransitionStorageClass::GlacierIr,
        StorageClass::Glacier => TransitionStorageClass::Glacier,
        StorageClass::DeepArchive => TransitionStorageClass::DeepArchive,
    }
}
