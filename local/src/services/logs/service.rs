//! Log groups, and the operations on them and their streams.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use streamkit_wire::input::{integer, list, map_pairs, text};
use streamkit_wire::{Call, CallError, Protocol, Service, clock};
use uuid::Uuid;

use super::events;
use super::events::Stream;
use super::filters::{self, Delivery, Filters};
use super::validation::{check_length, limit, unsatisfied};
use crate::services::cloudwatch::CloudWatch;
use crate::services::iam::Deliverer;
use crate::services::service::{AwsService, BoxFuture};
use crate::services::sns::Receivers;

pub(super) const PAGE: usize = 50;
/// The retention periods that AWS accepts, in days.
const RETENTIONS: [i64; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// All log groups of the account.
pub(crate) struct Logs {
    pub(super) scope: String,
    account: String,
    groups: Mutex<BTreeMap<String, Group>>,
    cloudwatch: Arc<CloudWatch>,
    kinesis: Arc<dyn AwsService>,
    receivers: Arc<dyn Receivers>,
    /// Of subscription filters, for the end of the present call.
    deliveries: Mutex<Vec<Delivery>>,
}

#[derive(Default)]
struct Group {
    created_ms: i64,
    retention_days: Option<i64>,
    kms_key: Option<String>,
    class: String,
    tags: BTreeMap<String, String>,
    pub(super) streams: BTreeMap<String, Stream>,
    filters: Filters,
}

pub(super) type Answer = Result<Value, CallError>;

impl AwsService for Logs {
    fn run<'a>(&'a self, call: &'a Call, input: Value) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(async move {
            if call.operation == "PutSubscriptionFilter" {
                self.check_destination(&input).await?;
            }
            let answer = self.call(&call.operation, &input)?;
            let deliveries = std::mem::take(&mut *self.deliveries.lock());
            for delivery in deliveries {
                // What cannot be delivered is lost, as in AWS after a day of retries.
                drop(self.deliver(&delivery).await);
            }
            Ok(answer)
        })
    }

    fn housekeeping(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.expire_events();
        })
    }
}

impl Logs {
    pub(crate) fn new(
        region: &str,
        account: &str,
        cloudwatch: Arc<CloudWatch>,
        kinesis: Arc<dyn AwsService>,
        receivers: Arc<dyn Receivers>,
    ) -> Self {
        Self {
            scope: format!("arn:aws:logs:{region}:{account}:log-group:"),
            account: account.to_owned(),
            groups: Mutex::default(),
            cloudwatch,
            kinesis,
            receivers,
            deliveries: Mutex::default(),
        }
    }

    /// Runs one operation; members are named as in the API (camel case).
    pub(crate) fn call(&self, operation: &str, input: &Value) -> Answer {
        match operation {
            "CreateLogGroup" => self.create(input),
            "DeleteLogGroup" => {
                let name = self.group_name(input)?;
                self.groups().remove(&name).map(|_| json!({})).ok_or_else(no_group)
            }
            "DescribeLogGroups" => self.describe(input),
            "PutRetentionPolicy" => {
                let days = integer(&input["retentionInDays"]).unwrap_or_default();
                if !RETENTIONS.contains(&days) {
                    return Err(invalid("retentionInDays is not one of the periods that CloudWatch Logs has"));
                }
                self.with(input, |group| {
                    group.retention_days = Some(days);
                    Ok(json!({}))
                })
            }
            "DeleteRetentionPolicy" => self.with(input, |group| {
                group.retention_days = None;
                Ok(json!({}))
            }),
            "AssociateKmsKey" => self.with(input, |group| {
                group.kms_key = text(input, "kmsKeyId").map(str::to_owned);
                Ok(json!({}))
            }),
            "DisassociateKmsKey" => self.with(input, |group| {
                group.kms_key = None;
                Ok(json!({}))
            }),
            "ListTagsForResource" | "ListTagsLogGroup" => self.with(input, |group| Ok(json!({"tags": group.tags}))),
            "TagResource" | "TagLogGroup" => self.with(input, |group| {
                group.tags.extend(map_pairs(&input["tags"]));
                Ok(json!({}))
            }),
            "UntagResource" | "UntagLogGroup" => self.with(input, |group| {
                // The classic call says "tags" where the newer one says "tagKeys".
                let keys = list(&input["tagKeys"]).iter().chain(list(&input["tags"]));
                keys.filter_map(Value::as_str).for_each(|key| {
                    group.tags.remove(key);
                });
                Ok(json!({}))
            }),
            "CreateLogStream" => {
                let stream = required(input, "logStreamName")?.to_owned();
                check_length(&stream)?;
                if stream.contains([':', '*']) {
                    return Err(unsatisfied("logStreamName", &stream, "satisfy regular expression pattern: [^:*]*"));
                }
                self.with(input, |group| {
                    if group.streams.contains_key(&stream) {
                        return Err(exists("The specified log stream already exists"));
                    }
                    group.streams.insert(stream, Stream::new());
                    Ok(json!({}))
                })
            }
            "DeleteLogStream" => {
                let stream = required(input, "logStreamName")?;
                self.with(input, |group| group.streams.remove(stream).map(|_| json!({})).ok_or_else(no_stream))
            }
            "DescribeLogStreams" => {
                let scope = format!("{}{}", self.scope, self.group_name(input)?);
                self.with(input, |group| events::describe_streams(&group.streams, &scope, input))
            }
            "PutLogEvents" => {
                let stream = required(input, "logStreamName")?;
                let name = self.group_name(input)?;
                self.with(input, |group| {
                    let days = group.retention_days;
                    let (answer, taken) = group.streams.get_mut(stream).ok_or_else(no_stream)?.put(input, days)?;
                    let made = group.filters.make(&self.account, &name, stream, &taken);
                    for metrics in &made.metrics {
                        // A metric that CloudWatch refuses, such as one of an unknown unit, is lost.
                        drop(self.cloudwatch.call("PutMetricData", metrics));
                    }
                    self.deliveries.lock().extend(made.deliveries);
                    Ok(answer)
                })
            }
            "GetLogEvents" => {
                let stream = required(input, "logStreamName")?;
                self.with(input, |group| group.streams.get(stream).ok_or_else(no_stream)?.get(input))
            }
            "FilterLogEvents" => self.with(input, |group| events::filter(&group.streams, input)),
            _ => self.filter_call(operation, input),
        }
    }

    /// Operations on filters.
    fn filter_call(&self, operation: &str, input: &Value) -> Answer {
        match operation {
            "PutMetricFilter" => {
                let name = self.group_name(input)?;
                self.with(input, |group| group.filters.put_metric(&name, input))
            }
            "PutSubscriptionFilter" => {
                let name = self.group_name(input)?;
                self.with(input, |group| group.filters.put_subscription(&name, input))
            }
            "DeleteMetricFilter" => self.with(input, |group| group.filters.delete_metric(input)),
            "DeleteSubscriptionFilter" => self.with(input, |group| group.filters.delete_subscription(input)),
            "DescribeMetricFilters" if text(input, "logGroupName").is_some() => self.with(input, |group| {
                filters::page(group.filters.metric_filters().cloned().collect(), "metricFilters", input)
            }),
            "DescribeMetricFilters" => self.all_metric_filters(input),
            "DescribeSubscriptionFilters" => self.with(input, |group| {
                filters::page(group.filters.subscription_filters().cloned().collect(), "subscriptionFilters", input)
            }),
            "TestMetricFilter" => filters::test(input),
            _ => Err(CallError::unknown_operation("logs", operation)),
        }
    }

    /// Drops events that are past their group's retention.
    pub(crate) fn expire_events(&self) {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        let now = clock::now_ms();
        for group in self.groups().values_mut() {
            if let Some(days) = group.retention_days {
                group.streams.values_mut().for_each(|stream| stream.expire(now - days * DAY_MS));
            }
        }
        self.bound();
    }

    /// Lets the largest streams drop their oldest events until all together fit the memory that is meant for them.
    fn bound(&self) {
        const KEPT_BYTES: usize = 256 * 1024 * 1024;
        let mut groups = self.groups();
        let mut all: usize = groups.values().flat_map(|group| group.streams.values()).map(Stream::bytes).sum();
        while all > KEPT_BYTES {
            let streams = groups.values_mut().flat_map(|group| group.streams.values_mut());
            let Some(largest) = streams.max_by_key(|stream| stream.bytes()) else { return };
            let before = largest.bytes();
            largest.drop_half();
            if largest.bytes() >= before {
                return;
            }
            all -= before - largest.bytes();
        }
    }

    /// Of all groups, where the request names the metric at most.
    fn all_metric_filters(&self, input: &Value) -> Answer {
        let wanted = |filter: &Value, member: &str| {
            text(input, member).is_none_or(|wanted| filter["metricTransformations"][0][member] == wanted)
        };
        let groups = self.groups();
        let found = groups
            .values()
            .flat_map(|group| group.filters.metric_filters())
            .filter(|filter| wanted(filter, "metricName") && wanted(filter, "metricNamespace"));
        filters::page(found.cloned().collect(), "metricFilters", input)
    }

    /// AWS sends a message to a stream before it takes the filter.
    async fn check_destination(&self, input: &Value) -> Result<(), CallError> {
        let destination = required(input, "destinationArn")?;
        if !destination.starts_with("arn:aws:kinesis:") {
            return Ok(());
        }
        let Some(test) = filters::test_delivery(&self.account, destination) else { return Ok(()) };
        self.deliver(&test).await.map_err(|_| {
            invalid(
                "Could not deliver test message to specified Kinesis stream. Check if the given kinesis stream is in ACTIVE state.",
            )
        })
    }

    async fn deliver(&self, delivery: &Delivery) -> Result<(), CallError> {
        if !delivery.destination.starts_with("arn:aws:kinesis:") {
            let event = json!({"awslogs": {"data": delivery.data}});
            let source = format!("{}{}:*", self.scope, delivery.group);
            let from = Deliverer { service: "logs.amazonaws.com", source: &source, account: &self.account };
            // A function that is gone, or whose policy does not let CloudWatch Logs, gets nothing.
            self.receivers.invoke(&delivery.destination, event.to_string().into(), &from);
            return Ok(());
        }
        let call = Call { service: Service::Kinesis, operation: "PutRecord".to_owned(), protocol: Protocol::Json };
        let stream = delivery.destination.rsplit('/').next().unwrap_or_default();
        let key = Uuid::new_v4().to_string();
        let record = json!({"StreamName": stream, "PartitionKey": key, "Data": delivery.data});
        self.kinesis.run(&call, record).await.map(drop)
    }

    fn groups(&self) -> MutexGuard<'_, BTreeMap<String, Group>> {
        self.groups.lock()
    }

    /// A group is named by name, or by ARN with or without the trailing `:*`.
    fn group_name(&self, input: &Value) -> Result<String, CallError> {
        let given = ["logGroupName", "logGroupIdentifier", "resourceArn"].iter().find_map(|name| text(input, name));
        let given = given.ok_or_else(|| invalid("logGroupName is required"))?;
        Ok(given.strip_prefix(&self.scope).unwrap_or(given).trim_end_matches(":*").to_owned())
    }

    fn with(&self, input: &Value, act: impl FnOnce(&mut Group) -> Answer) -> Answer {
        let name = self.group_name(input)?;
        act(self.groups().get_mut(&name).ok_or_else(no_group)?)
    }

    fn create(&self, input: &Value) -> Answer {
        let name = required(input, "logGroupName")?;
        check_length(name)?;
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-/.#".contains(&byte);
        if !name.bytes().all(legal) {
            return Err(unsatisfied("logGroupName", name, "satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+"));
        }
        let mut groups = self.groups();
        if groups.contains_key(name) {
            return Err(exists("The specified log group already exists"));
        }
        let group = Group {
            created_ms: clock::now_ms(),
            kms_key: text(input, "kmsKeyId").map(str::to_owned),
            class: text(input, "logGroupClass").unwrap_or("STANDARD").to_owned(),
            tags: map_pairs(&input["tags"]).collect(),
            ..Group::default()
        };
        groups.insert(name.to_owned(), group);
        Ok(json!({}))
    }

    fn describe(&self, input: &Value) -> Answer {
        let prefix = text(input, "logGroupNamePrefix").unwrap_or_default();
        let part = text(input, "logGroupNamePattern").unwrap_or_default();
        let after = text(input, "nextToken").unwrap_or_default();
        if !prefix.is_empty() && !part.is_empty() {
            return Err(invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."));
        }
        let limit = limit(input, "limit", PAGE)?.unwrap_or(PAGE);
        let groups = self.groups();
        let mut found = groups
            .iter()
            .filter(|(name, _)| name.starts_with(prefix) && name.contains(part) && name.as_str() > after)
            .peekable();
        let mut shown = Vec::new();
        let mut last = "";
        while shown.len() < limit
            && let Some((name, group)) = found.next()
        {
            last = name;
            let mut description = json!({
                "logGroupName": name,
                "arn": format!("{}{name}:*", self.scope),
                "logGroupArn": format!("{}{name}", self.scope),
                "creationTime": group.created_ms,
                "metricFilterCount": group.filters.count(),
                "storedBytes": group.streams.values().map(Stream::bytes).sum::<usize>(),
                "logGroupClass": group.class,
            });
            if let Some(days) = group.retention_days {
                description["retentionInDays"] = days.into();
            }
            if let Some(key) = &group.kms_key {
                description["kmsKeyId"] = Value::String(key.clone());
            }
            shown.push(description);
        }
        let mut answer = json!({"logGroups": shown});
        if found.peek().is_some() {
            answer["nextToken"] = Value::String(last.to_owned());
        }
        Ok(answer)
    }
}

pub(super) fn required<'a>(input: &'a Value, name: &str) -> Result<&'a str, CallError> {
    text(input, name).ok_or_else(|| invalid(&format!("{name} is required")))
}

pub(super) fn invalid(message: &str) -> CallError {
    CallError::bad("InvalidParameterException", message)
}

fn exists(message: &str) -> CallError {
    CallError::bad("ResourceAlreadyExistsException", message)
}

fn no_group() -> CallError {
    CallError::bad("ResourceNotFoundException", "The specified log group does not exist.")
}

fn no_stream() -> CallError {
    CallError::bad("ResourceNotFoundException", "The specified log stream does not exist.")
}
