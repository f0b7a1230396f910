//! Follows a function to what hangs on it: what it reads and writes, what that leads to, and the alarms on any of it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use aws_sdk_cloudwatch::types::{AlarmType, MetricAlarm};
use serde_json::Value;

use super::found::{Found, FoundFunction, FoundThing, Thing};
use crate::aws::{Arn, all, answered, existing};
use crate::failure::Hint;
use crate::resources::{
    Any, Bucket, Cx, Key, KeyPurpose, OF_FUNCTIONS, Queue, Resource as _, Stream, Table, Topic, role_policy,
};
use crate::spec::{AttributeType, Billing, BucketNamespace, Encryption, MebiBytes, Seconds, SectionKind, StreamMode};

/// Which dimension names what.
pub(super) const DIMENSIONS: [(&str, SectionKind); 6] = [
    ("FunctionName", SectionKind::Function),
    ("StreamName", SectionKind::Stream),
    ("TableName", SectionKind::Table),
    ("QueueName", SectionKind::Queue),
    ("TopicName", SectionKind::Topic),
    ("BucketName", SectionKind::Bucket),
];

/// What these functions are part of.
///
/// # Errors
/// There is no function of one of the names.
pub(crate) async fn discover(cx: &Cx, functions: &[String]) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let mut names: Vec<&String> = functions.iter().collect();
    names.dedup();
    for name in names {
        let function = function(cx, name).await?;
        found.functions.push(function);
    }
    let alarms = all_alarms(cx).await?;
    let mut to_visit: Vec<Thing> = Vec::new();
    let mut gaps = BTreeSet::new();
    for function in &found.functions {
        let mut see = |text: &str| match thing(cx, text) {
            Ok(thing) => to_visit.extend(thing),
            Err(why) => drop(gaps.insert((text.to_owned(), why))),
        };
        for mapping in &function.mappings {
            mapping.event_source_arn.iter().for_each(|arn| see(arn));
            let target = mapping.destination_config.as_ref().and_then(|config| config.on_failure.as_ref());
            target.and_then(|target| target.destination.as_ref()).into_iter().for_each(|arn| see(arn));
        }
        for arn in named_by_environment(cx, function) {
            see(&arn);
        }
        if function.told("RECIPE").is_none() {
            for arn in super::rights::resources(&function.statements) {
                see(&arn);
            }
        }
    }
    for (what, why) in gaps {
        found.gap(what, why);
    }
    loop {
        while let Some(thing) = to_visit.pop() {
            if !found.things.contains_key(&thing) {
                to_visit.extend(visit(cx, &mut found, thing).await?);
            }
        }
        let watching: Vec<&MetricAlarm> = alarms.iter().filter(|alarm| is_watching(alarm, &found)).collect();
        let actions = watching.iter().flat_map(|alarm| alarm.alarm_actions());
        to_visit.extend(actions.filter_map(|arn| thing(cx, arn).ok().flatten()));
        to_visit.retain(|thing| !found.things.contains_key(thing));
        if to_visit.is_empty() {
            found.alarms = watching.into_iter().cloned().collect();
            break;
        }
    }
    let dashboards = all(cx.aws.cloudwatch.list_dashboards().into_paginator().items().send()).await?;
    found.dashboards = dashboards.into_iter().filter_map(|dashboard| dashboard.dashboard_name).collect();
    regions(cx, &mut found).await?;
    Ok(found)
}

/// The kind and name of what the ARN is of; `None` for what a file has no section for.
///
/// # Errors
/// It is in another account or region.
pub(super) fn thing(cx: &Cx, arn: &str) -> Result<Option<Thing>, String> {
    let Some(arn) = Arn::parse(arn) else { return Ok(None) };
    let part = |start: &str| {
        let rest = arn.resource.strip_prefix(start)?;
        Some(rest.split('/').next().unwrap_or(rest).to_owned())
    };
    let (kind, name) = match arn.service.as_str() {
        "kinesis" => (SectionKind::Stream, part("stream/")),
        "dynamodb" => (SectionKind::Table, part("table/")),
        "sqs" => (SectionKind::Queue, part("")),
        "sns" => (SectionKind::Topic, Some(arn.resource.split(':').next().unwrap_or_default().to_owned())),
        "s3" => (SectionKind::Bucket, part("")),
        "kms" => (SectionKind::Key, part("alias/").filter(|name| !name.starts_with("aws"))),
        _ => return Ok(None),
    };
    let Some(name) = name.filter(|name| !name.is_empty() && !name.contains(['*', '?'])) else { return Ok(None) };
    let elsewhere =
        |what: &str| Err(format!("it is in another {what}: a pipeline file is about one account and region"));
    if !arn.account.is_empty() && arn.account != cx.aws.account {
        return elsewhere("account");
    }
    if !arn.region.is_empty() && arn.region != cx.aws.region {
        return elsewhere("region");
    }
    Ok(Some((kind, name)))
}

/// The ARNs that the variables of streamkit's own handler stand for.
fn named_by_environment(cx: &Cx, function: &FoundFunction) -> Vec<String> {
    let table = |name: &str| cx.aws.arn("dynamodb", &format!("table/{name}"));
    let tables = ["TABLE", "STATE_TABLE"].iter().filter_map(|name| function.told(name));
    let mut arns: Vec<String> = tables.map(table).collect();
    arns.extend(function.told("BUCKET").map(|name| cx.aws.bucket_arn(name)));
    arns.extend(function.told("TOPIC_ARN").map(str::to_owned));
    let queue = function.told("DEAD_LETTER_QUEUE_URL").and_then(|url| url.rsplit('/').next());
    arns.extend(queue.map(|name| cx.aws.arn("sqs", name)));
    let encryption = function.told("ENCRYPT").and_then(|text| serde_json::from_str::<Value>(text).ok());
    arns.extend(encryption.and_then(|settings| settings["key"].as_str().map(str::to_owned)));
    arns
}

async fn function(cx: &Cx, name: &str) -> anyhow::Result<FoundFunction> {
    let lambda = &cx.aws.lambda;
    let answer = existing(answered(lambda.get_function().function_name(name).send().await))?;
    let answer = answer.ok_or_else(|| {
        Hint::error(
            format!("there is no Lambda function {name} in {}", cx.aws.region),
            "name a function of this account and region; `aws lambda list-functions` shows them",
        )
    })?;
    let configuration = answer.configuration.context("GetFunction answered without a Configuration")?;
    // The name alone, whatever it was asked by.
    let name = configuration.function_name.clone().context("a function without a name")?;
    let mappings = lambda.list_event_source_mappings().function_name(&name).into_paginator().items().send();
    let mappings = all(mappings).await.context("listing its event source mappings")?;
    let group = format!("{OF_FUNCTIONS}{name}");
    let groups = all(cx.aws.logs.describe_log_groups().log_group_name_prefix(&group).into_paginator().items().send());
    let groups = groups.await.context("looking for its log group")?;
    let group = groups.into_iter().find(|found| found.log_group_name.as_deref() == Some(&group));
    let role = configuration.role.as_deref().and_then(Arn::parse).map(|arn| arn.name().to_owned());
    let statements = match role {
        Some(role) => {
            statements(cx, &role).await.with_context(|| format!("reading the policies of the role {role}"))?
        }
        None => Vec::new(),
    };
    let environment = configuration.environment.as_ref().and_then(|environment| environment.variables.clone());
    Ok(FoundFunction {
        name,
        reserved_concurrency: answer.concurrency.and_then(|concurrency| concurrency.reserved_concurrent_executions),
        environment: environment.unwrap_or_default().into_iter().collect(),
        tags: answer.tags.unwrap_or_default().into_iter().collect(),
        configuration,
        mappings,
        log_retention: group.and_then(|group| group.retention_in_days),
        statements,
        regions: BTreeSet::new(),
    })
}

/// The statements of the role's policies, inline and attached.
async fn statements(cx: &Cx, role: &str) -> anyhow::Result<Vec<Value>> {
    let iam = &cx.aws.iam;
    let mut documents = Vec::new();
    for policy in all(iam.list_role_policies().role_name(role).into_paginator().items().send()).await? {
        documents
            .push(answered(iam.get_role_policy().role_name(role).policy_name(policy).send().await)?.policy_document);
    }
    let attached = all(iam.list_attached_role_policies().role_name(role).into_paginator().items().send()).await?;
    for arn in attached.into_iter().filter_map(|policy| policy.policy_arn) {
        let policy =
            existing(answered(iam.get_policy().policy_arn(&arn).send().await))?.and_then(|answer| answer.policy);
        let Some(version) = policy.and_then(|policy| policy.default_version_id) else { continue };
        let call = iam.get_policy_version().policy_arn(&arn).version_id(version);
        let answer = existing(answered(call.send().await))?;
        documents.extend(answer.and_then(|answer| answer.policy_version?.document));
    }
    let mut all = Vec::new();
    for document in documents {
        match &role_policy(&document)?["Statement"] {
            Value::Array(list) => all.extend(list.iter().cloned()),
            one => all.push(one.clone()),
        }
    }
    all.retain(|statement| statement["Effect"] == "Allow");
    Ok(all)
}

async fn all_alarms(cx: &Cx) -> anyhow::Result<Vec<MetricAlarm>> {
    let call = cx.aws.cloudwatch.describe_alarms().alarm_types(AlarmType::MetricAlarm);
    let pages = all(call.into_paginator().send()).await.context("looking for alarms")?;
    Ok(pages.into_iter().flat_map(|page| page.metric_alarms.unwrap_or_default()).collect())
}

/// Whether the alarm is on something that was found, or on what a recipe counts in its pipeline.
fn is_watching(alarm: &MetricAlarm, found: &Found) -> bool {
    let counts = |function: &FoundFunction| function.counts_in(alarm.namespace().unwrap_or_default());
    // What a recipe counts in all pipelines.
    if alarm.dimensions().is_empty() && alarm.metrics().is_empty() {
        let name = alarm.alarm_name().unwrap_or_default();
        let is_named = |pipeline: &str| name.strip_prefix(pipeline).is_some_and(|rest| rest.starts_with('-'));
        let is_of = |function: &FoundFunction| counts(function) && function.told("PIPELINE").is_some_and(is_named);
        return found.functions.iter().any(is_of);
    }
    let metrics = alarm.metrics().iter().filter_map(|metric| metric.metric_stat.as_ref()?.metric.as_ref());
    let dimensions = alarm.dimensions().iter().chain(metrics.flat_map(aws_sdk_cloudwatch::types::Metric::dimensions));
    dimensions.into_iter().any(|dimension| {
        let (Some(name), Some(value)) = (dimension.name.as_deref(), dimension.value.as_deref()) else { return false };
        if name == "Pipeline" {
            return found.functions.iter().any(|function| function.told("PIPELINE") == Some(value) && counts(function));
        }
        let kind = DIMENSIONS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        match kind {
            Some(SectionKind::Function) => found.functions.iter().any(|function| function.name == value),
            Some(kind) => found.things.contains_key(&(kind, value.to_owned())),
            None => false,
        }
    })
}

/// Reads a thing, and tells what it leads to.
async fn visit(cx: &Cx, found: &mut Found, thing: Thing) -> anyhow::Result<Vec<Thing>> {
    let (kind, name) = &thing;
    let resource = of_name(cx, *kind, name);
    let Some(seen) = resource.read(cx).await? else {
        found.gap(format!("{} {name}", kind.word()), "something names it, and there is none");
        return Ok(Vec::new());
    };
    let mut next = Vec::new();
    let mut here = FoundThing {
        fields: seen.fields,
        tags: seen.tags.unwrap_or_default(),
        subscriptions: Vec::new(),
        replicas: Vec::new(),
    };
    match &resource {
        Any::Queue(_) => {
            let arn = here.fields.get("dead_letters").and_then(Value::as_str);
            next.extend(arn.and_then(|arn| self::thing(cx, arn).ok().flatten()));
        }
        Any::Topic(topic) => {
            for (subscription, _) in topic.present(cx).await? {
                if subscription.protocol == "sqs" {
                    next.extend(self::thing(cx, &subscription.endpoint).ok().flatten());
                }
                here.subscriptions.push(subscription);
            }
        }
        Any::Table(_) => {
            let table = answered(cx.aws.dynamodb.describe_table().table_name(name).send().await)?.table;
            let table = table.context("DescribeTable answered without a table")?;
            let indexes = [table.global_secondary_indexes().len(), table.local_secondary_indexes().len()];
            if indexes != [0, 0] {
                found.gap(
                    format!("table {name}"),
                    "it has secondary indexes, which a file can't name: they stay as they are",
                );
            }
            let regions = table.replicas.unwrap_or_default().into_iter().filter_map(|replica| replica.region_name);
            here.replicas = regions.filter(|region| *region != cx.aws.region).collect();
        }
        _ => {}
    }
    found.things.insert(thing, here);
    Ok(next)
}

/// A resource of this name, only to be read.
fn of_name(cx: &Cx, kind: SectionKind, name: &str) -> Any {
    let name = name.to_owned();
    match kind {
        SectionKind::Stream => Any::Stream(Stream {
            name,
            mode: StreamMode::Provisioned,
            shards: 1,
            retention: Seconds(0),
            encryption: Encryption::None,
            max_record_size: MebiBytes(1),
        }),
        SectionKind::Table => Any::Table(Table {
            name,
            partition_key: crate::spec::Key { name: String::new(), kind: AttributeType::S },
            sort_key: None,
            billing: Billing::OnDemand,
            ttl: None,
            stream: None,
            point_in_time_recovery: false,
            protect: false,
        }),
        SectionKind::Bucket => Any::Bucket(Bucket {
            arn: cx.aws.bucket_arn(&name),
            name,
            namespace: BucketNamespace::Global,
            encryption: None,
            versioning: false,
            expire: None,
            transition: None,
        }),
        SectionKind::Topic => Any::Topic(Topic { name, subscribers: Vec::new(), encryption: Encryption::None }),
        SectionKind::Key => Any::Key(Key {
            name,
            purpose: KeyPurpose::Encryption,
            rotation: true,
            functions: BTreeSet::new(),
            readers: BTreeSet::new(),
        }),
        // Nothing else is visited.
        SectionKind::Queue | SectionKind::Function | SectionKind::Alarm => {
            Any::Queue(Queue { name, retention: Seconds(0), visibility: Seconds(0), redrive: None, fed_by: Vec::new() })
        }
    }
}

/// Where a table has replicas, a function of the same name may read them.
async fn regions(cx: &Cx, found: &mut Found) -> anyhow::Result<()> {
    let replicas: BTreeMap<String, Vec<String>> = found
        .things
        .iter()
        .filter(|((kind, _), thing)| *kind == SectionKind::Table && !thing.replicas.is_empty())
        .map(|((_, name), thing)| (name.clone(), thing.replicas.clone()))
        .collect();
    for function in &mut found.functions {
        let table = function.mappings.iter().find_map(|mapping| {
            let arn = Arn::parse(mapping.event_source_arn.as_deref()?)?;
            arn.resource.strip_prefix("table/")?.split('/').next().map(str::to_owned)
        });
        let Some(regions) = table.and_then(|table| replicas.get(&table)) else { continue };
        for region in regions {
            let there = cx.in_region(region);
            let call = there.aws.lambda.get_function_configuration().function_name(&function.name);
            if existing(answered(call.send().await))?.is_some() {
                function.regions.insert(region.clone());
            }
        }
    }
    Ok(())
}
