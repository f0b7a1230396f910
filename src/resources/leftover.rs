//! Finds what carries this pipeline's tags, by asking each service for names with the pipeline's prefix.
//!
//! The Resource Groups Tagging API would be one call, but it does not know roles, lags behind by minutes, and no emulator
//! has all of it. Names are deterministic, so looking for them is exact.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::future::try_join_all;

use super::mapping::mappings_of;
use super::resource::{Any, Cx, Resource as _, Type};
use super::role::PATH;
use super::{
    Alarm, AlarmMetric, Bucket, Function, LogGroup, Mapping, MappingSource, Queue, Role, Stream, Table, Topic,
};
use crate::aws::{NODE_TAG, PIPELINE_TAG, PROTECT_TAG, Policy, aws};
use crate::code::Code;
use crate::package::{Architecture, Target};
use crate::spec::{AttributeType, Billing, Comparison, Encryption, Key, MissingData, Seconds, Statistic, StreamMode};

/// A resource that is this pipeline's.
#[derive(Debug)]
pub(crate) struct Leftover {
    /// The node that it is or was.
    pub(crate) node: String,
    pub(crate) arn: String,
    pub(crate) resource: Any,
    /// `protect = true` in the spec that made it.
    pub(crate) protected: bool,
    /// What goes with it.
    pub(crate) holds: Option<String>,
}

/// Finds all that the owner has in the account and region, in the order in which it is taken down, but for what is `known`.
///
/// `functions` are names of functions that are known to be the owner's: their mappings and the log groups that Lambda may
/// have made for them carry no tags.
pub(crate) async fn leftovers(
    cx: &Cx,
    prefix: &str,
    functions: &BTreeSet<String>,
    known: &BTreeSet<(Type, &str)>,
) -> anyhow::Result<Vec<Leftover>> {
    let start = format!("{prefix}-");
    let (streams, tables, buckets, queues, roles, groups, lambdas, topics, alarms) = tokio::try_join!(
        streams(cx, &start),
        tables(cx, &start),
        buckets(cx, &start),
        queues(cx, &start),
        roles(cx, &start),
        log_groups(cx, &start),
        lambdas(cx, &start),
        topics(cx, &start),
        alarms(cx, &start),
    )?;
    let of =
        |kind: Type, names: Vec<String>| names.into_iter().map(move |name| stub(cx, kind, &name)).collect::<Vec<_>>();
    let mut candidates = of(Type::Alarm, alarms);
    candidates.extend(of(Type::Function, lambdas));
    candidates.extend(of(Type::LogGroup, groups));
    candidates.extend(of(Type::Role, roles));
    candidates.extend(of(Type::Topic, topics));
    candidates.extend(of(Type::Queue, queues));
    candidates.extend(of(Type::Bucket, buckets));
    candidates.extend(of(Type::Table, tables));
    candidates.extend(of(Type::Stream, streams));
    candidates.retain(|resource| !known.contains(&(resource.kind(), resource.name())));
    let looked = try_join_all(candidates.into_iter().map(async |resource| {
        let seen = resource.read(cx).await?;
        anyhow::Ok((resource, seen))
    }))
    .await?;
    let mut found = Vec::new();
    let mut untagged_groups = Vec::new();
    let mut readers = functions.clone();
    for (resource, seen) in looked {
        let Some(seen) = seen else { continue };
        let tags = seen.tags.unwrap_or_default();
        if cx.owner.owns(&tags) {
            // A role has the name of its function, and may outlive it.
            if matches!(resource.kind(), Type::Function | Type::Role) {
                readers.insert(resource.name().to_owned());
            }
            let node = tags.get(NODE_TAG).cloned().unwrap_or_else(|| resource.name().to_owned());
            let protected = tags.get(PROTECT_TAG).is_some_and(|value| value == "true");
            found.push(Leftover { node, arn: seen.arn, resource, protected, holds: None });
        } else if resource.kind() == Type::LogGroup && !tags.contains_key(PIPELINE_TAG) {
            untagged_groups.push((resource, seen.arn));
        }
    }
    for (resource, arn) in untagged_groups {
        if resource.name().strip_prefix("/aws/lambda/").is_some_and(|function| readers.contains(function)) {
            let node = resource.name().to_owned();
            found.push(Leftover { node, arn, resource, protected: false, holds: None });
        }
    }
    readers.retain(|function| !known.contains(&(Type::Mapping, function)));
    let mappings = try_join_all(readers.iter().map(async |function| {
        let all = mappings_of(cx, function).await.with_context(|| format!("listing the mappings of {function}"))?;
        anyhow::Ok(all.into_iter().next().map(|mapping| (function, mapping.event_source_mapping_arn)))
    }))
    .await?;
    for (function, arn) in mappings.into_iter().flatten() {
        let key = function.strip_prefix(&start).unwrap_or(function);
        let resource = stub(cx, Type::Mapping, function);
        found.push(Leftover {
            node: format!("function.{key}.source"),
            arn: arn.unwrap_or_default(),
            resource,
            protected: false,
            holds: None,
        });
    }
    found.sort_by(|a, b| (a.resource.kind(), &a.node).cmp(&(b.resource.kind(), &b.node)));
    try_join_all(found.iter_mut().map(async |leftover| {
        leftover.holds = leftover.resource.holds(cx).await?;
        anyhow::Ok(())
    }))
    .await?;
    Ok(found)
}

/// A resource of which only the name is known: enough to look at it and to delete it.
fn stub(cx: &Cx, kind: Type, name: &str) -> Any {
    let name = name.to_owned();
    let none = Seconds(0);
    match kind {
        Type::Stream => Any::Stream(Stream {
            name,
            mode: StreamMode::Provisioned,
            shards: 1,
            retention: none,
            encryption: Encryption::None,
        }),
        Type::Table => Any::Table(Table {
            name,
            partition_key: Key { name: String::new(), kind: AttributeType::S },
            sort_key: None,
            billing: Billing::OnDemand,
            ttl: None,
            stream: None,
            point_in_time_recovery: false,
            protect: false,
        }),
        Type::Queue => Any::Queue(Queue { name, retention: none, visibility: none }),
        Type::Bucket => Any::Bucket(Bucket {
            arn: Bucket::arn_of(&cx.aws, &name),
            name,
            encryption: None,
            versioning: false,
            expire: None,
            transition: None,
        }),
        Type::Role => Any::Role(Role { name, policy: Policy::default() }),
        Type::LogGroup => Any::LogGroup(LogGroup { name, retention: none }),
        Type::Function => Any::Function(Function {
            name,
            role: String::new(),
            memory: 0,
            timeout: none,
            tracing: false,
            architecture: Architecture::X86_64,
            environment: BTreeMap::new(),
            code: Arc::new(Code::new(std::path::PathBuf::new(), Target::Host)),
        }),
        Type::Mapping => Any::Mapping(Mapping {
            function: name,
            source: MappingSource::Stream(String::new()),
            source_arn: Arc::default(),
            batch_size: 1,
            batch_window: none,
            starting_position: None,
            parallelization_factor: 1,
            bisect_on_error: false,
            max_retries: -1,
            max_record_age: None,
            on_failure: None,
            enabled: true,
            source_is_new: Arc::default(),
        }),
        Type::Topic => Any::Topic(Topic { name, subscribers: Vec::new(), encryption: Encryption::None }),
        Type::Alarm => Any::Alarm(Alarm {
            name,
            description: None,
            metric: AlarmMetric { namespace: String::new(), name: String::new(), dimensions: BTreeMap::new() },
            statistic: Statistic::Sum,
            period: none,
            threshold: 0.0,
            comparison: Comparison::Greater,
            evaluation_periods: 1,
            datapoints: 1,
            missing_data: MissingData::NotBreaching,
            notify: Vec::new(),
        }),
    }
}

async fn streams(cx: &Cx, start: &str) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut token = None;
    loop {
        // A next token stands for the whole earlier request, so nothing else goes with it.
        let page =
            aws(cx.aws.kinesis.list_streams().set_next_token(token).send().await).context("listing Kinesis streams")?;
        let more = page.has_more_streams;
        token = page.next_token;
        names.extend(page.stream_names.into_iter().filter(|name| name.starts_with(start)));
        if !more || token.is_none() {
            return Ok(names);
        }
    }
}

async fn tables(cx: &Cx, start: &str) -> anyhow::Result<Vec<String>> {
    let mut pages = cx.aws.dynamodb.list_tables().into_paginator().items().send();
    let mut names = Vec::new();
    while let Some(name) = pages.next().await {
        names.push(aws(name).context("listing DynamoDB tables")?);
    }
    names.retain(|name| name.starts_with(start));
    Ok(names)
}

async fn buckets(cx: &Cx, start: &str) -> anyhow::Result<Vec<String>> {
    // The last of a bucket's name is its region: those of other regions are other pipelines'.
    let end = format!("-{}-{}", cx.aws.account, cx.aws.region);
    let mut pages = cx.aws.s3.list_buckets().prefix(start).into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let page = aws(page).context("listing S3 buckets")?;
        names.extend(page.buckets.unwrap_or_default().into_iter().filter_map(|bucket| bucket.name));
    }
    names.retain(|name| name.starts_with(start) && name.ends_with(&end));
    Ok(names)
}

async fn queues(cx: &Cx, start: &str) -> anyhow::Result<Vec<String>> {
    let mut pages = cx.aws.sqs.list_queues().queue_name_prefix(start).max_results(1000).into_paginator().items().send();
    let mut names = Vec::new();
    while let Some(url) = pages.next().await {
        let url = aws(url).context("listing SQS queues")?;
        names.extend(url.rsplit('/').next().map(str::to_owned));
    }
    Ok(names)
}

async fn roles(cx: &Cx, start: &str) -> anyhow::Result<Vec<String>> {
    let mut pages = cx.aws.iam.list_roles().path_prefix(PATH).into_paginator().items().send();
    let mut names = Vec::new();
    while let Some(role) = pages.next().await {
        names.push(aws(role).context("listing IAM roles")?.role_name);
    }
    names.retain(|name| name.starts_with(start));
    Ok(names)
}

async fn log_groups(cx: &Cx, start: &str) -> anyhow::Result<Vec<String>> {
    let prefix = format!("/aws/lambda/{start}");
    let mut pages = cx.aws.logs.describe_log_groups().log_group_name_prefix(prefix).into_paginator().items().send();
    let mut names = Vec::new();
    while let Some(group) = pages.next().await {
        names.extend(aws(group).context("listing log groups")?.log_group_name);
    }
    Ok(names)
}

async fn lambdas(cx: &Cx, start: &str) -> anyhow::Result<Vec<String>> {
    let mut pages = cx.aws.lambda.list_functions().into_paginator().items().send();
    let mut names = Vec::new();
    while let Some(function) = pages.next().await {
        names.extend(aws(function).context("listing Lambda functions")?.function_name);
    }
    names.retain(|name| name.starts_with(start));
    Ok(names)
}

async fn topics(cx: &Cx, start: &str) -> anyhow::Result<Vec<String>> {
    let mut pages = cx.aws.sns.list_topics().into_paginator().items().send();
    let mut names = Vec::new();
    while let Some(topic) = pages.next().await {
        let arn = aws(topic).context("listing SNS topics")?.topic_arn.unwrap_or_default();
        names.extend(arn.rsplit(':').next().map(str::to_owned));
    }
    names.retain(|name| name.starts_with(start));
    Ok(names)
}

async fn alarms(cx: &Cx, start: &str) -> anyhow::Result<Vec<String>> {
    let mut pages = cx.aws.cloudwatch.describe_alarms().alarm_name_prefix(start).into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let page = match aws(page) {
            Ok(page) => page,
            // An emulator that does not speak CloudWatch's protocol can hold no alarm that was made through it.
            Err(error) if error.is_unreadable() && cx.aws.endpoint.is_some() => return Ok(Vec::new()),
            Err(error) => return Err(error).context("listing CloudWatch alarms"),
        };
        names.extend(page.metric_alarms.unwrap_or_default().into_iter().filter_map(|alarm| alarm.alarm_name));
    }
    Ok(names)
}
