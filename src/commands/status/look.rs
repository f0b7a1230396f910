//! Asks AWS how a pipeline's functions, queues and alarms are.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use aws_sdk_sqs::types::QueueAttributeName;
use futures_util::future::try_join_all;
use jiff::Timestamp;

use super::document::{AlarmState, FunctionState, MappingState, QueueState};
use super::trend::trend;
use crate::aws::{AwsError, Metric, MinuteStatistic, answered};
use crate::pipeline::{Flow, Pipeline};
use crate::resources::{Any, Cx, Mapping, Queue, Resource as _, pipeline_alarms};

/// How far back the lag and failures are looked for: metrics arrive by the minute.
const LOOK_BACK: Duration = Duration::from_secs(5 * 60);
/// How far back the lag is looked for to see where it is going.
const TREND: Duration = Duration::from_secs(15 * 60);
const MINUTE: Duration = Duration::from_secs(60);
/// How far back a queue's age may have been seen: CloudWatch hears of queues late.
const AGE: Duration = Duration::from_secs(15 * 60);

/// How the functions are; the depths of their queues are not known here.
pub(in crate::commands) async fn functions(cx: &Cx, pipeline: &Pipeline) -> anyhow::Result<Vec<FunctionState>> {
    let mappings = pipeline.nodes.iter().filter_map(|node| match &node.resource {
        Any::Mapping(mapping) => Some(mapping),
        _ => None,
    });
    let mappings: Vec<_> = mappings.collect();
    try_join_all(pipeline.flows.iter().map(async |flow| {
        let mapping = mappings.iter().find(|mapping| mapping.function == flow.function);
        Box::pin(function(cx, flow, mapping.copied())).await
    }))
    .await
}

async fn function(cx: &Cx, flow: &Flow, mapping: Option<&Mapping>) -> anyhow::Result<FunctionState> {
    let metric = |name, statistic| {
        let dimension = ("FunctionName", flow.function.as_str());
        Metric { namespace: "AWS/Lambda", name, dimension, statistic }
    };
    let mapping = async {
        let Some(mapping) = mapping else { return Ok(None) };
        let seen = mapping.find(cx).await.context("reading the event source mapping")?;
        anyhow::Ok(seen.map(|seen| MappingState {
            state: seen.state,
            reason: seen.state_transition_reason,
            last_result: seen.last_processing_result,
        }))
    };
    let (mapping, lag, errors, throttles) = tokio::try_join!(
        mapping,
        minutes(cx, metric("IteratorAge", MinuteStatistic::Maximum), TREND),
        minutes(cx, metric("Errors", MinuteStatistic::Sum), LOOK_BACK),
        minutes(cx, metric("Throttles", MinuteStatistic::Sum), LOOK_BACK),
    )?;
    let sum = |minutes: Option<Minutes>| minutes.map(|minutes| count(minutes.iter().map(|(_, value)| value).sum()));
    let lag = lag.unwrap_or_default();
    let now = cx.aws.now();
    let newest = lag.last().filter(|(at, _)| *at + LOOK_BACK >= now);
    Ok(FunctionState {
        function: flow.key.clone(),
        mapping,
        iterator_age_ms: newest.map(|(_, ms)| *ms),
        lag_trend: newest.and_then(|_| trend(&lag)),
        errors: sum(errors),
        throttles: sum(throttles),
        counted_seconds: LOOK_BACK.as_secs(),
        queue_depth: None,
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a conversion from float saturates")]
fn count(sum: f64) -> u64 {
    sum.round() as u64
}

type Minutes = Vec<(SystemTime, f64)>;

/// The metric's minutes; `None` where nothing can be known of it.
async fn minutes(cx: &Cx, metric: Metric<'_>, look_back: Duration) -> anyhow::Result<Option<Minutes>> {
    match metric.minutes(&cx.aws, look_back).await {
        Ok(minutes) => Ok(Some(minutes)),
        // Emulators without CloudWatch's protocol still have a state to show.
        Err(error) if error.is_unreadable() && cx.aws.endpoint.is_some() => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading the metric {}/{}", metric.namespace, metric.name)),
    }
}

/// How the queues of the pipeline are that exist, each once.
pub(in crate::commands) async fn queues(
    cx: &Cx,
    pipeline: &Pipeline,
    exists: impl Fn(&str) -> bool,
) -> anyhow::Result<Vec<QueueState>> {
    let dead_letters = dead_letter_queues(cx, pipeline);
    let queues = pipeline.nodes.iter().filter_map(|node| match &node.resource {
        Any::Queue(queue) if exists(&node.id) => Some((node.id.as_str(), queue.name.as_str())),
        _ => None,
    });
    let states = try_join_all(queues.map(async |(node, name)| {
        let Some((messages, in_flight)) = depth(cx, name).await? else { return Ok(None) };
        let metric = Metric {
            namespace: "AWS/SQS",
            name: "ApproximateAgeOfOldestMessage",
            dimension: ("QueueName", name),
            statistic: MinuteStatistic::Maximum,
        };
        let oldest = if messages == 0 { None } else { minutes(cx, metric, AGE).await? };
        let now = cx.aws.now();
        let oldest = oldest.and_then(|minutes| minutes.last().copied()).and_then(|(at, seconds)| {
            // It has become older since the end of that minute.
            let then = Duration::try_from_secs_f64(seconds).ok()?;
            Some((then + now.duration_since(at + MINUTE).unwrap_or_default()).as_secs())
        });
        let dead_letters = dead_letters.contains(name);
        let (node, name) = (node.to_owned(), name.to_owned());
        anyhow::Ok(Some(QueueState { node, name, dead_letters, messages, in_flight, oldest_seconds: oldest }))
    }));
    Ok(states.await?.into_iter().flatten().collect())
}

/// The names of the queues to which something of the pipeline sends what failed.
fn dead_letter_queues(cx: &Cx, pipeline: &Pipeline) -> BTreeSet<String> {
    let arns: BTreeSet<&String> = pipeline
        .nodes
        .iter()
        .flat_map(|node| match &node.resource {
            Any::Mapping(mapping) => mapping.on_failure.iter().collect(),
            Any::Queue(queue) => queue.redrive.iter().map(|redrive| &redrive.queue).collect(),
            _ => Vec::new(),
        })
        .collect();
    let mut names: BTreeSet<String> = pipeline.flows.iter().filter_map(|flow| flow.dead_letters.clone()).collect();
    let queues = pipeline.nodes.iter().filter_map(|node| match &node.resource {
        Any::Queue(queue) => Some(queue),
        _ => None,
    });
    // Directly, or through a topic.
    let is_told =
        |queue: &&Queue| arns.contains(&queue.arn(&cx.aws)) || queue.fed_by.iter().any(|topic| arns.contains(topic));
    names.extend(queues.filter(is_told).map(|queue| queue.name.clone()));
    names
}

/// How many messages a queue has, and how many of them somebody is just reading; `None` if it is gone.
async fn depth(cx: &Cx, queue: &str) -> anyhow::Result<Option<(u64, u64)>> {
    const VISIBLE: QueueAttributeName = QueueAttributeName::ApproximateNumberOfMessages;
    const IN_FLIGHT: QueueAttributeName = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
    const DELAYED: QueueAttributeName = QueueAttributeName::ApproximateNumberOfMessagesDelayed;
    let call = cx.aws.sqs.get_queue_attributes().queue_url(cx.aws.queue_url(queue));
    let call = call.set_attribute_names(Some(vec![VISIBLE, IN_FLIGHT, DELAYED]));
    let attributes = match answered(call.send().await) {
        Ok(answer) => answer.attributes.unwrap_or_default(),
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("reading how many messages {queue} has")),
    };
    let number = |name: &QueueAttributeName| -> anyhow::Result<u64> {
        let number = attributes.get(name).and_then(|text| text.parse().ok());
        number.with_context(|| format!("SQS answered without {}", name.as_str()))
    };
    let in_flight = number(&IN_FLIGHT)?;
    Ok(Some((number(&VISIBLE)? + in_flight + number(&DELAYED)?, in_flight)))
}

/// The states of those of the alarms that exist.
pub(in crate::commands) async fn alarms(cx: &Cx, names: &BTreeSet<String>) -> Result<Vec<AlarmState>, AwsError> {
    // Emulators without CloudWatch's protocol still have a state to show.
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let all = pipeline_alarms(cx).await?;
    let own = all.iter().filter(|alarm| alarm.alarm_name.as_ref().is_some_and(|name| names.contains(name)));
    let state = |alarm: aws_sdk_cloudwatch::types::MetricAlarm| {
        let since = alarm.state_transitioned_timestamp.or(alarm.state_updated_timestamp);
        let since = since.and_then(|since| Timestamp::from_second(since.secs()).ok());
        AlarmState {
            name: alarm.alarm_name.unwrap_or_default(),
            state: alarm.state_value.map_or_else(|| "INSUFFICIENT_DATA".to_owned(), |state| state.as_str().to_owned()),
            reason: alarm.state_reason,
            since: since.map(|since| since.to_string()),
        }
    };
    Ok(own.cloned().map(state).collect())
}
