//! The names that start like a pipeline's, as each service lists them.

use anyhow::Context as _;

use super::super::context::Cx;
use super::super::role::PATH;
use crate::aws::answered;

pub(super) async fn streams(cx: &Cx, start: &str) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut token = None;
    loop {
        // A next token stands for the whole earlier request, so nothing else goes with it.
        let page = answered(cx.aws.kinesis.list_streams().set_next_token(token).send().await)
            .context("listing Kinesis streams")?;
        let more = page.has_more_streams;
        token = page.next_token;
        names.extend(page.stream_names.into_iter().filter(|name| name.starts_with(start)));
        if !more || token.is_none() {
            return Ok(names);
        }
    }
}

/// Names and ARNs of a stream's consumers; none when there is no such stream.
pub(super) async fn consumers(cx: &Cx, stream: &str, start: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut pages = cx.aws.kinesis.list_stream_consumers().stream_arn(stream).into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        match answered(page) {
            Ok(page) => {
                let consumers = page.consumers.unwrap_or_default().into_iter();
                found.extend(consumers.map(|consumer| (consumer.consumer_name, consumer.consumer_arn)));
            }
            Err(error) if error.is_missing() => return Ok(Vec::new()),
            // An emulator that fails on a missing stream: what is not there has no consumers.
            Err(error) if error.is_unreadable() && cx.aws.endpoint.is_some() => return Ok(Vec::new()),
            Err(error) => return Err(error).context("listing stream consumers"),
        }
    }
    found.retain(|(name, _)| name.starts_with(start));
    Ok(found)
}

pub(super) async fn tables(cx: &Cx, start: &str) -> anyhow::Result<Vec<String>> {
    let mut pages = cx.aws.dynamodb.list_tables().into_paginator().items().send();
    let mut names = Vec::new();
    while let Some(name) = pages.next().await {
        names.push(answered(name).context("listing DynamoDB tables")?);
    }
    names.retain(|name| name.starts_with(start));
    Ok(names)
}

pub(super) async fn buckets(cx: &Cx, start: &str) -> anyhow::Result<Vec<String>> {
    // The last of a bucket's name is its region: those of other regions are other pipelines'.
    let end = format!("-{}-{}", cx.aws.account, cx.aws.region);
    let mut pages = cx.aws.s3.list_buckets().prefix(start).into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let page = answered(page).context("listing S3 buckets")?;
        names.extend(page.buckets.unwrap_or_default().into_iter().filter_map(|bucket| bucket.name));
    }
    names.retain(|name| name.starts_with(start) && name.ends_with(&end));
    Ok(names)
}

pub(super) async fn queues(cx: &Cx, start: &str) -> anyhow::Result<Vec<String>> {
    let mut pages = cx.aws.sqs.list_queues().queue_name_prefix(start).max_results(1000).into_paginator().items().send();
    let mut names = Vec::new();
    while let Some(url) = pages.next().await {
        let url = answered(url).context("listing SQS queues")?;
        names.extend(url.rsplit('/').next().map(str::to_owned));
    }
    Ok(names)
}

pub(super) async fn roles(cx: &Cx, start: &str) -> anyhow::Result<Vec<String>> {
    let mut pages = cx.aws.iam.list_roles().path_prefix(PATH).into_paginator().items().send();
    let mut names = Vec::new();
    while let Some(role) = pages.next().await {
        names.push(answered(role).context("listing IAM roles")?.role_name);
    }
    names.retain(|name| name.starts_with(start));
    Ok(names)
}

pub(super) async fn log_groups(cx: &Cx, start: &str) -> anyhow::Result<Vec<String>> {
    let prefix = format!("/aws/lambda/{start}");
    let mut pages = cx.aws.logs.describe_log_groups().log_group_name_prefix(prefix).into_paginator().items().send();
    let mut names = Vec::new();
    while let Some(group) = pages.next().await {
        names.extend(answered(group).context("listing log groups")?.log_group_name);
    }
    Ok(names)
}

pub(super) async fn lambdas(cx: &Cx, start: &str) -> anyhow::Result<Vec<String>> {
    let mut pages = cx.aws.lambda.list_functions().into_paginator().items().send();
    let mut names = Vec::new();
    while let Some(function) = pages.next().await {
        names.extend(answered(function).context("listing Lambda functions")?.function_name);
    }
    names.retain(|name| name.starts_with(start));
    Ok(names)
}

pub(super) async fn topics(cx: &Cx, start: &str) -> anyhow::Result<Vec<String>> {
    let mut pages = cx.aws.sns.list_topics().into_paginator().items().send();
    let mut names = Vec::new();
    while let Some(topic) = pages.next().await {
        let arn = answered(topic).context("listing SNS topics")?.topic_arn.unwrap_or_default();
        names.extend(arn.rsplit(':').next().map(str::to_owned));
    }
    names.retain(|name| name.starts_with(start));
    Ok(names)
}

pub(super) async fn alarms(cx: &Cx, start: &str) -> anyhow::Result<Vec<String>> {
    let mut pages = cx.aws.cloudwatch.describe_alarms().alarm_name_prefix(start).into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let page = match answered(page) {
            Ok(page) => page,
            // An emulator that does not speak CloudWatch's protocol can hold no alarm that was made through it.
            Err(error) if error.is_unreadable() && cx.aws.endpoint.is_some() => return Ok(Vec::new()),
            Err(error) => return Err(error).context("listing CloudWatch alarms"),
        };
        names.extend(page.metric_alarms.unwrap_or_default().into_iter().filter_map(|alarm| alarm.alarm_name));
    }
    Ok(names)
}

pub(super) async fn dashboards(cx: &Cx, start: &str) -> anyhow::Result<Vec<String>> {
    let mut pages = cx.aws.cloudwatch.list_dashboards().dashboard_name_prefix(start).into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let page = match answered(page) {
            Ok(page) => page,
            // As with alarms: what could not be made is not there.
            Err(error) if error.is_unreadable() && cx.aws.endpoint.is_some() => return Ok(Vec::new()),
            Err(error) => return Err(error).context("listing CloudWatch dashboards"),
        };
        names.extend(page.dashboard_entries.unwrap_or_default().into_iter().filter_map(|entry| entry.dashboard_name));
    }
    // Those of other regions are other pipelines'.
    names.retain(|name| name.starts_with(start) && name.ends_with(&cx.aws.region));
    Ok(names)
}
