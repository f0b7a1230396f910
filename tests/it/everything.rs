//! All that is in an account, as its services describe it, to compare; and somebody else's resources of every kind.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use aws_sdk_kinesis::types::ConsumerStatus;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{EventSourcePosition, FunctionCode, Runtime};
use aws_sdk_sqs::types::QueueAttributeName;

use crate::harness::{runtime, until};

const ACCOUNT: &str = "000000000000";
const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

/// Everything in these regions: what each describing call says, by region, kind and name.
pub(crate) async fn everything(configs: &[SdkConfig]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for config in configs {
        let region = config.region().unwrap().as_ref();
        let mut put = |kind: &str, name: &str, text: String| {
            all.insert(format!("{region} {kind} {name}"), text);
        };
        streams(config, &mut put).await;
        tables(config, &mut put).await;
        queues(config, &mut put).await;
        topics(config, &mut put).await;
        functions(config, &mut put).await;
        watching(config, &mut put).await;
    }
    let mut put = |kind: &str, name: &str, text: String| {
        all.insert(format!("global {kind} {name}"), text);
    };
    roles(&configs[0], &mut put).await;
    buckets(&configs[0], &mut put).await;
    all
}

type Put<'a> = dyn FnMut(&str, &str, String) + 'a;

async fn streams(config: &SdkConfig, put: &mut Put<'_>) {
    let kinesis = aws_sdk_kinesis::Client::new(config);
    let mut pages = kinesis.list_streams().into_paginator().send();
    while let Some(page) = pages.next().await {
        for name in page.unwrap().stream_names {
            let stream = kinesis.describe_stream_summary().stream_name(&name).send().await.unwrap();
            let stream = stream.stream_description_summary.unwrap();
            let tags = kinesis.list_tags_for_stream().stream_name(&name).send().await.unwrap().tags;
            let shards = kinesis.list_shards().stream_name(&name).send().await.unwrap().shards;
            let consumers = kinesis.list_stream_consumers().stream_arn(&stream.stream_arn).send().await.unwrap();
            for consumer in consumers.consumers.unwrap_or_default() {
                let tags = kinesis.list_tags_for_resource().resource_arn(&consumer.consumer_arn).send().await.unwrap();
                put("consumer", &format!("{name}/{}", consumer.consumer_name), format!("{consumer:?} {:?}", tags.tags));
            }
            put("stream", &name, format!("{stream:?} {tags:?} {shards:?}"));
        }
    }
}

async fn tables(config: &SdkConfig, put: &mut Put<'_>) {
    let dynamodb = aws_sdk_dynamodb::Client::new(config);
    for name in dynamodb.list_tables().send().await.unwrap().table_names.unwrap_or_default() {
        let table = dynamodb.describe_table().table_name(&name).send().await.unwrap().table.unwrap();
        let ttl = dynamodb.describe_time_to_live().table_name(&name).send().await.unwrap().time_to_live_description;
        let arn = table.table_arn.clone().unwrap();
        let tags = dynamodb.list_tags_of_resource().resource_arn(arn).send().await.unwrap().tags;
        put("table", &name, format!("{table:?} {ttl:?} {tags:?}"));
    }
}

async fn queues(config: &SdkConfig, put: &mut Put<'_>) {
    let sqs = aws_sdk_sqs::Client::new(config);
    for url in sqs.list_queues().send().await.unwrap().queue_urls.unwrap_or_default() {
        let attributes = sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::All);
        let attributes = attributes.send().await.unwrap().attributes.unwrap_or_default();
        let attributes: BTreeMap<_, _> = attributes.iter().map(|(name, value)| (name.as_str(), value)).collect();
        let tags = sqs.list_queue_tags().queue_url(&url).send().await.unwrap().tags.unwrap_or_default();
        let tags: BTreeMap<_, _> = tags.into_iter().collect();
        put("queue", url.rsplit('/').next().unwrap(), format!("{attributes:?} {tags:?}"));
    }
}

async fn topics(config: &SdkConfig, put: &mut Put<'_>) {
    let sns = aws_sdk_sns::Client::new(config);
    for topic in sns.list_topics().send().await.unwrap().topics.unwrap_or_default() {
        let arn = topic.topic_arn.unwrap();
        let attributes = sns.get_topic_attributes().topic_arn(&arn).send().await.unwrap().attributes;
        let attributes: BTreeMap<_, _> = attributes.unwrap_or_default().into_iter().collect();
        let tags = sns.list_tags_for_resource().resource_arn(&arn).send().await.unwrap().tags;
        put("topic", &arn, format!("{attributes:?} {tags:?}"));
    }
    for subscription in sns.list_subscriptions().send().await.unwrap().subscriptions.unwrap_or_default() {
        let arn = subscription.subscription_arn.unwrap();
        let attributes = sns.get_subscription_attributes().subscription_arn(&arn).send().await.unwrap().attributes;
        let attributes: BTreeMap<_, _> = attributes.unwrap_or_default().into_iter().collect();
        put("subscription", &arn, format!("{attributes:?}"));
    }
}

async fn functions(config: &SdkConfig, put: &mut Put<'_>) {
    let lambda = aws_sdk_lambda::Client::new(config);
    for function in lambda.list_functions().send().await.unwrap().functions.unwrap_or_default() {
        let name = function.function_name.unwrap();
        let function = lambda.get_function().function_name(&name).send().await.unwrap();
        let tags: BTreeMap<_, _> = function.tags.unwrap_or_default().into_iter().collect();
        let policy = lambda.get_policy().function_name(&name).send().await.ok().map(|policy| policy.policy);
        put("function", &name, format!("{:?} {:?} {tags:?} {policy:?}", function.configuration, function.concurrency));
    }
    for mapping in lambda.list_event_source_mappings().send().await.unwrap().event_source_mappings.unwrap_or_default() {
        let name = format!("{} {}", mapping.function_arn.as_deref().unwrap(), mapping.uuid.as_deref().unwrap());
        put("mapping", &name, format!("{mapping:?}"));
    }
    let logs = aws_sdk_cloudwatchlogs::Client::new(config);
    for group in logs.describe_log_groups().send().await.unwrap().log_groups.unwrap_or_default() {
        let name = group.log_group_name.clone().unwrap();
        put("log group", &name, format!("{group:?}"));
    }
}

/// Alarms without their states, which follow from metrics, and dashboards.
async fn watching(config: &SdkConfig, put: &mut Put<'_>) {
    let cloudwatch = aws_sdk_cloudwatch::Client::new(config);
    for mut alarm in cloudwatch.describe_alarms().send().await.unwrap().metric_alarms.unwrap_or_default() {
        (alarm.state_value, alarm.state_reason, alarm.state_reason_data) = (None, None, None);
        (alarm.state_updated_timestamp, alarm.state_transitioned_timestamp) = (None, None);
        let arn = alarm.alarm_arn.clone().unwrap();
        let tags = cloudwatch.list_tags_for_resource().resource_arn(arn).send().await.unwrap().tags;
        put("alarm", &alarm.alarm_name.clone().unwrap(), format!("{alarm:?} {tags:?}"));
    }
    for entry in cloudwatch.list_dashboards().send().await.unwrap().dashboard_entries.unwrap_or_default() {
        let name = entry.dashboard_name.clone().unwrap();
        let body = cloudwatch.get_dashboard().dashboard_name(&name).send().await.unwrap().dashboard_body;
        put("dashboard", &name, format!("{entry:?} {body:?}"));
    }
}

async fn roles(config: &SdkConfig, put: &mut Put<'_>) {
    let iam = aws_sdk_iam::Client::new(config);
    for role in iam.list_roles().send().await.unwrap().roles {
        let name = role.role_name;
        let mut role = iam.get_role().role_name(&name).send().await.unwrap().role.unwrap();
        // When Lambda last took its rights.
        role.role_last_used = None;
        let mut text = format!("{role:?}");
        for policy in iam.list_role_policies().role_name(&name).send().await.unwrap().policy_names {
            let policy = iam.get_role_policy().role_name(&name).policy_name(policy).send().await.unwrap();
            let _ = write!(text, " {} {}", policy.policy_name, policy.policy_document);
        }
        let attached = iam.list_attached_role_policies().role_name(&name).send().await.unwrap().attached_policies;
        put("role", &name, format!("{text} {attached:?}"));
    }
}

async fn buckets(config: &SdkConfig, put: &mut Put<'_>) {
    let config = aws_sdk_s3::config::Builder::from(config).force_path_style(true).build();
    let s3 = aws_sdk_s3::Client::from_conf(config);
    for bucket in s3.list_buckets().send().await.unwrap().buckets.unwrap_or_default() {
        let name = bucket.name.clone().unwrap();
        let tags = s3.get_bucket_tagging().bucket(&name).send().await.ok().map(|answer| answer.tag_set);
        let policy = s3.get_bucket_policy().bucket(&name).send().await.ok().map(|answer| answer.policy);
        let rules = s3.get_bucket_lifecycle_configuration().bucket(&name).send().await.ok().map(|answer| answer.rules);
        let objects = s3.list_objects_v2().bucket(&name).send().await.unwrap().contents;
        put("bucket", &name, format!("{bucket:?} {tags:?} {policy:?} {rules:?} {objects:?}"));
    }
}

/// A consumer that is ready: what is compared later must not change by itself.
pub(crate) fn register_consumer(config: &SdkConfig, stream_arn: &str, name: &str) {
    let kinesis = aws_sdk_kinesis::Client::new(config);
    let register = kinesis.register_stream_consumer().stream_arn(stream_arn).consumer_name(name);
    runtime().block_on(register.send()).unwrap();
    let describe = kinesis.describe_stream_consumer().stream_arn(stream_arn).consumer_name(name);
    until("the consumer", Duration::from_secs(60), || {
        let described = runtime().block_on(describe.clone().send()).unwrap().consumer_description;
        described.filter(|consumer| consumer.consumer_status == ConsumerStatus::Active)
    });
}

/// One of everything that a pipeline of this name has in this region, made by somebody else: without tags, with other settings.
pub(crate) fn make_strangers(config: &SdkConfig, pipeline: &str, region: &str) {
    let (function, stream) = (format!("{pipeline}-processor"), format!("{pipeline}-events"));
    let stream_arn = format!("arn:aws:kinesis:{region}:{ACCOUNT}:stream/{stream}");
    let create = aws_sdk_kinesis::Client::new(config).create_stream().stream_name(&stream).shard_count(3);
    runtime().block_on(create.send()).unwrap();
    register_consumer(config, &stream_arn, &function);
    runtime().block_on(Box::pin(make_others(config, pipeline, region, &function, stream_arn)));
}

/// All of them but the stream and its consumer.
async fn make_others(config: &SdkConfig, pipeline: &str, region: &str, function: &str, stream_arn: String) {
    let id = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S).build();
    let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build().unwrap();
    let tables = aws_sdk_dynamodb::Client::new(config).create_table().table_name(format!("{pipeline}-results"));
    let table = tables.billing_mode(BillingMode::PayPerRequest).key_schema(key).attribute_definitions(id.unwrap());
    table.send().await.unwrap();
    let sqs = aws_sdk_sqs::Client::new(config);
    for queue in ["dlq", "hears"] {
        sqs.create_queue().queue_name(format!("{pipeline}-{queue}")).send().await.unwrap();
    }
    let sns = aws_sdk_sns::Client::new(config);
    let topic = sns.create_topic().name(format!("{pipeline}-alerts")).send().await.unwrap().topic_arn.unwrap();
    let heard = format!("arn:aws:sqs:{region}:{ACCOUNT}:{pipeline}-hears");
    sns.subscribe().topic_arn(&topic).protocol("sqs").endpoint(heard).send().await.unwrap();
    let bucket = format!("{pipeline}-kept-{ACCOUNT}-{region}");
    let s3 = aws_sdk_s3::config::Builder::from(config).force_path_style(true).build();
    let place = aws_sdk_s3::types::BucketLocationConstraint::from(region);
    let place = aws_sdk_s3::types::CreateBucketConfiguration::builder().location_constraint(place).build();
    let call = aws_sdk_s3::Client::from_conf(s3).create_bucket().bucket(bucket);
    let call = if region == "us-east-1" { call } else { call.create_bucket_configuration(place) };
    call.send().await.unwrap();

    let iam = aws_sdk_iam::Client::new(config);
    let role_name = format!("{function}-{region}");
    let role = iam.create_role().role_name(&role_name).assume_role_policy_document(TRUST).send().await.unwrap();
    let reads = "arn:aws:iam::aws:policy/service-role/AWSLambdaKinesisExecutionRole";
    iam.attach_role_policy().role_name(&role_name).policy_arn(reads).send().await.unwrap();
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("bootstrap", zip::write::SimpleFileOptions::default().unix_permissions(0o755)).unwrap();
    zip.write_all(b"#!/bin/sh\nexec sleep 600\n").unwrap();
    let code = FunctionCode::builder().zip_file(Blob::new(zip.finish().unwrap().into_inner())).build();
    let lambda = aws_sdk_lambda::Client::new(config);
    let made = lambda.create_function().function_name(function).role(role.role.unwrap().arn).code(code);
    made.runtime(Runtime::Providedal2023).handler("bootstrap").send().await.unwrap();
    let mapping = lambda.create_event_source_mapping().function_name(function).event_source_arn(stream_arn);
    mapping.starting_position(EventSourcePosition::TrimHorizon).enabled(false).send().await.unwrap();
    let logs = aws_sdk_cloudwatchlogs::Client::new(config);
    logs.create_log_group().log_group_name(format!("/aws/lambda/{function}")).send().await.unwrap();
    let cloudwatch = aws_sdk_cloudwatch::Client::new(config);
    let alarm = cloudwatch.put_metric_alarm().alarm_name(format!("{pipeline}-lag")).namespace("AWS/SQS");
    let alarm = alarm.metric_name("NumberOfMessagesSent").statistic(aws_sdk_cloudwatch::types::Statistic::Sum);
    let alarm = alarm.period(60).evaluation_periods(1).threshold(1.0);
    let greater = aws_sdk_cloudwatch::types::ComparisonOperator::GreaterThanThreshold;
    alarm.comparison_operator(greater).actions_enabled(false).send().await.unwrap();
    let dashboard = cloudwatch.put_dashboard().dashboard_name(pipeline).dashboard_body("{\"widgets\":[]}");
    dashboard.send().await.unwrap();
}
