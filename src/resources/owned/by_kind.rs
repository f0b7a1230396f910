//! What each noun does by kind and name alone: its ARN, its tags, what it holds, and its deletion.

use anyhow::Context as _;

use super::super::context::Cx;
use super::super::{
    alarm, bucket, consumer, dashboard, function, key, log_group, mapping, queue, role, stream, table, topic,
};
use super::OwnedResource;
use crate::aws::{AwsError, Clients, Tags};
use crate::plan::ResourceKind;

/// The ARN; empty for what AWS gives an ARN of its own.
pub(super) fn arn(aws: &Clients, kind: ResourceKind, name: &str) -> String {
    match kind {
        ResourceKind::Dashboard => dashboard::arn(aws, name),
        ResourceKind::Alarm => alarm::arn(aws, name),
        ResourceKind::Mapping | ResourceKind::Consumer => String::new(),
        ResourceKind::Function => function::arn(aws, name),
        ResourceKind::LogGroup => log_group::arn(aws, name),
        ResourceKind::Role => role::arn(aws, name),
        ResourceKind::Topic => topic::arn(aws, name),
        ResourceKind::Queue => queue::arn(aws, name),
        ResourceKind::Bucket => aws.bucket_arn(name),
        ResourceKind::Table => table::arn(aws, name),
        ResourceKind::Stream => stream::arn(aws, name),
        ResourceKind::Key => key::arn(aws, name),
    }
}

/// The tags; `None` when there is no such resource, for a mapping, and for a consumer, whose tags need its ARN.
pub(super) async fn tags(cx: &Cx, kind: ResourceKind, name: &str) -> Result<Option<Tags>, AwsError> {
    match kind {
        ResourceKind::Dashboard => dashboard::tags(cx, name).await,
        ResourceKind::Alarm => alarm::tags(cx, name).await,
        ResourceKind::Mapping | ResourceKind::Consumer => Ok(None),
        ResourceKind::Function => function::tags(cx, name).await,
        ResourceKind::LogGroup => log_group::tags(cx, name).await,
        ResourceKind::Role => role::tags(cx, name).await,
        ResourceKind::Topic => topic::tags(cx, name).await,
        ResourceKind::Queue => queue::tags(cx, name).await,
        ResourceKind::Bucket => bucket::tags(cx, name).await,
        ResourceKind::Table => table::tags(cx, name).await,
        ResourceKind::Stream => stream::tags(cx, name).await,
        ResourceKind::Key => key::tags(cx, name).await,
    }
}

/// Whether resources of this kind are what the spec says of them and no more, so that `up` makes the same one again. Not those of
/// functions: what has no tags of its own, a mapping and a log group that Lambda made, has the owner of its function.
pub(super) fn holds_nothing(kind: ResourceKind) -> bool {
    matches!(kind, ResourceKind::Dashboard | ResourceKind::Alarm | ResourceKind::Topic)
}

/// What is deleted with the resource, and how much, as one cheap call tells; `None` when it holds nothing.
pub(super) async fn contents(cx: &Cx, kind: ResourceKind, name: &str) -> anyhow::Result<Option<String>> {
    Ok(match kind {
        ResourceKind::LogGroup => log_group::contents(cx, name).await?,
        ResourceKind::Queue => queue::contents(cx, name).await?,
        ResourceKind::Bucket => bucket::contents(cx, name).await?,
        ResourceKind::Table => table::contents(cx, name).await?,
        ResourceKind::Stream => stream::contents(cx, name).await?,
        ResourceKind::Key => key::contents(cx, name).await?,
        ResourceKind::Dashboard
        | ResourceKind::Alarm
        | ResourceKind::Mapping
        | ResourceKind::Consumer
        | ResourceKind::Function
        | ResourceKind::Role
        | ResourceKind::Topic => None,
    })
}

/// Asks AWS to delete the resource; gone already is fine.
pub(super) async fn delete(cx: &Cx, OwnedResource { kind, name, arn, .. }: &OwnedResource) -> anyhow::Result<()> {
    match kind {
        ResourceKind::Dashboard => dashboard::delete(cx, name).await,
        ResourceKind::Alarm => alarm::delete(cx, name).await,
        ResourceKind::Mapping => mapping::begin_deletion(cx, name).await,
        ResourceKind::Consumer => consumer::begin_deletion(cx, stream_of(arn)?, name).await,
        ResourceKind::Function => function::begin_deletion(cx, name).await,
        ResourceKind::LogGroup => log_group::delete(cx, name).await,
        ResourceKind::Role => role::delete(cx, name).await,
        ResourceKind::Topic => topic::delete(cx, name).await,
        ResourceKind::Queue => queue::begin_deletion(cx, name).await,
        ResourceKind::Bucket => bucket::delete(cx, name).await,
        ResourceKind::Table => table::begin_deletion(cx, name).await,
        ResourceKind::Stream => stream::begin_deletion(cx, name).await,
        ResourceKind::Key => key::delete(cx, name).await,
    }
}

/// Waits until a resource is gone whose deletion takes AWS a while.
pub(super) async fn until_gone(cx: &Cx, OwnedResource { kind, name, arn, .. }: &OwnedResource) -> anyhow::Result<()> {
    match kind {
        ResourceKind::Mapping => mapping::until_gone(cx, name).await,
        ResourceKind::Consumer => consumer::until_gone(cx, stream_of(arn)?, name).await,
        ResourceKind::Function => function::until_gone(cx, name).await,
        ResourceKind::Queue => queue::until_gone(cx, name).await,
        ResourceKind::Table => table::until_gone(cx, name).await,
        ResourceKind::Stream => stream::until_gone(cx, name).await,
        ResourceKind::Dashboard
        | ResourceKind::Alarm
        | ResourceKind::LogGroup
        | ResourceKind::Role
        | ResourceKind::Topic
        | ResourceKind::Bucket
        | ResourceKind::Key => Ok(()),
    }
}

fn stream_of(consumer: &str) -> anyhow::Result<&str> {
    consumer::stream_of(consumer).context("a consumer's ARN that names no stream")
}
