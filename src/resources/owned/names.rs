//! The names that start like a pipeline's, as each service lists them.

use std::collections::BTreeSet;

use anyhow::Context as _;

use super::super::context::Cx;
use super::super::log_group::OF_FUNCTIONS;
use super::super::role::PATH;
use super::super::{alarm, key, log_group, stream};
use crate::aws::{Arn, AwsError, all, all_pages, answered};
use crate::plan::ResourceKind;

/// The names of all resources whose kind has tags and whose names begin like this (those of log groups after `/aws/lambda/`).
///
/// Keys that a killed run has left without an alias are found with `nameless` only: that asks for the tags of each such key of the account.
pub(super) async fn starting_with(
    cx: &Cx,
    start: &str,
    nameless: bool,
) -> anyhow::Result<BTreeSet<(ResourceKind, String)>> {
    let (streams, tables, buckets, queues, roles, log_groups, functions, topics, alarms, dashboards, keys) = tokio::try_join!(
        streams(cx),
        tables(cx),
        buckets(cx, start),
        queues(cx, start),
        roles(cx),
        log_groups(cx),
        functions(cx),
        topics(cx),
        alarms(cx),
        dashboards(cx, start),
        keys(cx, start, nameless),
    )?;
    let mut names = BTreeSet::new();
    for (kind, listed) in [
        (ResourceKind::Stream, streams),
        (ResourceKind::Table, tables),
        (ResourceKind::Bucket, buckets),
        (ResourceKind::Queue, queues),
        (ResourceKind::Role, roles),
        (ResourceKind::Function, functions),
        (ResourceKind::Topic, topics),
        (ResourceKind::Alarm, alarms),
        (ResourceKind::Dashboard, dashboards),
        (ResourceKind::Key, keys),
    ] {
        names.extend(listed.into_iter().filter(|name| name.starts_with(start)).map(|name| (kind, name)));
    }
    names.extend(log_groups.into_iter().map(|name| (ResourceKind::LogGroup, name)));
    // Roles that were adopted may have any path.
    let roles: Vec<_> =
        names.iter().filter_map(|(kind, name)| Some((ResourceKind::Role, role_of(cx, *kind, name)?))).collect();
    names.extend(roles);
    Ok(names)
}

/// The name that the role of this function, or of the function of this log group, has if there is one.
fn role_of(cx: &Cx, kind: ResourceKind, name: &str) -> Option<String> {
    let function = match kind {
        ResourceKind::Function => name,
        ResourceKind::LogGroup => name.strip_prefix(OF_FUNCTIONS)?,
        _ => return None,
    };
    Some(format!("{function}-{}", cx.aws.region))
}

/// Where a page of streams starts: some endpoints give no token, as Kinesis itself did before there were any.
enum Start {
    Token(String),
    After(String),
}

async fn streams(cx: &Cx) -> anyhow::Result<Vec<String>> {
    let names = all_pages(async |start| {
        // A token stands for the whole earlier request, so nothing else goes with it.
        let call = match start {
            None => cx.aws.kinesis.list_streams(),
            Some(Start::Token(token)) => cx.aws.kinesis.list_streams().next_token(token),
            Some(Start::After(name)) => cx.aws.kinesis.list_streams().exclusive_start_stream_name(name),
        };
        let page = answered(call.send().await)?;
        let after = || page.stream_names.last().cloned().map(Start::After);
        let next = if page.has_more_streams { page.next_token.map(Start::Token).or_else(after) } else { None };
        Ok((page.stream_names, next))
    });
    names.await.context("listing Kinesis streams")
}

/// Names and ARNs of a stream's consumers; none when there is no such stream.
pub(in super::super) async fn consumers(cx: &Cx, stream: &str, start: &str) -> anyhow::Result<Vec<(String, String)>> {
    // Most streams have none, as is said of the stream itself.
    let described = stream::described(cx, Arn::parse(stream).context("an ARN of a stream")?.name()).await;
    match described.as_deref() {
        Ok(None) => return Ok(Vec::new()),
        Ok(Some(summary)) if summary.consumer_count == Some(0) => return Ok(Vec::new()),
        _ => {}
    }
    let call = cx.aws.kinesis.list_stream_consumers().stream_arn(stream);
    let pages = match all(call.into_paginator().send()).await {
        Err(error) if error.is_missing() => return Ok(Vec::new()),
        // An emulator that fails on a missing stream: what is not there has no consumers.
        Err(error) if error.is_unreadable() && cx.aws.endpoint.is_some() => return Ok(Vec::new()),
        pages => pages.context("listing stream consumers")?,
    };
    let consumers = pages.into_iter().flat_map(|page| page.consumers.unwrap_or_default());
    let consumers = consumers.map(|consumer| (consumer.consumer_name, consumer.consumer_arn));
    Ok(consumers.filter(|(name, _)| name.starts_with(start)).collect())
}

async fn tables(cx: &Cx) -> anyhow::Result<Vec<String>> {
    all(cx.aws.dynamodb.list_tables().into_paginator().items().send()).await.context("listing DynamoDB tables")
}

async fn buckets(cx: &Cx, start: &str) -> anyhow::Result<Vec<String>> {
    // The last part of a bucket's name is its region, and maybe its namespace: those of other regions are other pipelines'.
    let end = format!("-{}-{}", cx.aws.account, cx.aws.region);
    let is_here = |name: &String| name.strip_suffix("-an").unwrap_or(name).ends_with(&end);
    let pages = all(cx.aws.s3.list_buckets().prefix(start).into_paginator().send()).await;
    let buckets = pages.context("listing S3 buckets")?.into_iter().flat_map(|page| page.buckets.unwrap_or_default());
    Ok(buckets.filter_map(|bucket| bucket.name).filter(is_here).collect())
}

async fn queues(cx: &Cx, start: &str) -> anyhow::Result<Vec<String>> {
    // Without MaxResults SQS gives the first 1,000 and no token.
    let call = cx.aws.sqs.list_queues().queue_name_prefix(start).max_results(1000);
    let urls = all(call.into_paginator().items().send()).await.context("listing SQS queues")?;
    Ok(urls.iter().filter_map(|url| url.rsplit('/').next()).map(str::to_owned).collect())
}

async fn roles(cx: &Cx) -> anyhow::Result<Vec<String>> {
    let roles = all(cx.aws.iam.list_roles().path_prefix(PATH).into_paginator().items().send()).await;
    Ok(roles.context("listing IAM roles")?.into_iter().map(|role| role.role_name).collect())
}

async fn log_groups(cx: &Cx) -> anyhow::Result<Vec<String>> {
    let groups = log_group::all_of_pipeline(cx).await.context("listing log groups")?;
    Ok(groups.iter().filter_map(|group| group.log_group_name.clone()).collect())
}

async fn functions(cx: &Cx) -> anyhow::Result<Vec<String>> {
    let functions = all(cx.aws.lambda.list_functions().into_paginator().items().send()).await;
    let functions = functions.context("listing Lambda functions")?;
    Ok(functions.into_iter().filter_map(|function| function.function_name).collect())
}

async fn topics(cx: &Cx) -> anyhow::Result<Vec<String>> {
    let topics = all(cx.aws.sns.list_topics().into_paginator().items().send()).await.context("listing SNS topics")?;
    let arns = topics.into_iter().filter_map(|topic| Arn::parse(&topic.topic_arn?));
    Ok(arns.map(|arn| arn.name().to_owned()).collect())
}

async fn alarms(cx: &Cx) -> anyhow::Result<Vec<String>> {
    let alarms = unless_unreadable(cx, alarm::all_of_pipeline(cx).await).context("listing CloudWatch alarms")?;
    Ok(alarms.iter().filter_map(|alarm| alarm.alarm_name.clone()).collect())
}

async fn dashboards(cx: &Cx, start: &str) -> anyhow::Result<Vec<String>> {
    let pages = all(cx.aws.cloudwatch.list_dashboards().dashboard_name_prefix(start).into_paginator().send()).await;
    let pages = unless_unreadable(cx, pages).context("listing CloudWatch dashboards")?;
    let dashboards = pages.into_iter().flat_map(|page| page.dashboard_entries.unwrap_or_default());
    // Those of other regions are other pipelines'.
    let names = dashboards.filter_map(|dashboard| dashboard.dashboard_name);
    Ok(names.filter(|name| name.ends_with(&cx.aws.region)).collect())
}

async fn keys(cx: &Cx, start: &str, nameless: bool) -> anyhow::Result<Vec<String>> {
    unless_unreadable(cx, key::names(cx, start, nameless).await).context("listing KMS keys and their aliases")
}

/// An emulator that does not speak CloudWatch's protocol can hold nothing that was made through it.
fn unless_unreadable<T: Default>(cx: &Cx, listed: Result<T, AwsError>) -> Result<T, AwsError> {
    match listed {
        Err(error) if error.is_unreadable() && cx.aws.endpoint.is_some() => Ok(T::default()),
        listed => listed,
    }
}
