//! The checks on what an operator sees: metrics, logs and alarms.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_cloudwatch::types::{AlarmType, Datapoint, Dimension, Statistic};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;
use streamkit_recipes::{Aggregation, Count, Recipe};
use tokio::time::{Instant, sleep};

use super::check::{Verdict, listed};
use super::stream_run::Poison;
use super::validation::{CLOCK_SKEW, Validation, up_first};
use crate::aws::{Backoff, all, answered};
use crate::commands::since::epoch_ms;
use crate::plan::ResourceKind;
use crate::report::counted;
use crate::resources::{Alarm, Any, Resource as _};

/// How often to look again for what CloudWatch does not have yet.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(200), 1.5, Duration::from_secs(5));
/// How many metrics are read at once.
const READS: usize = 8;
/// The most names of a `DescribeAlarms` call.
const ALARMS: usize = 100;

/// Metrics, each with how much it has, or must have, grown.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Growth(BTreeMap<Series, f64>);

/// A metric of the recipe's namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    metric: &'static str,
    dimensions: Vec<(&'static str, String)>,
    /// How many samples there are is looked at, not their sum.
    sampled: bool,
}

impl Growth {
    /// Adds a record that counts for `metric` and for whatever the recipe says of it.
    pub(super) fn add(&mut self, metric: &'static str, counts: &[Count]) {
        *self.0.entry(Series { metric, dimensions: Vec::new(), sampled: false }).or_default() += 1.0;
        self.count(counts);
    }

    /// Adds what the recipe counts.
    pub(super) fn count(&mut self, counts: &[Count]) {
        for Count { metric, value, aggregation, dimensions, .. } in counts {
            let sampled = *aggregation == Aggregation::Samples;
            let series = Series { metric, dimensions: dimensions.clone(), sampled };
            *self.0.entry(series).or_default() += if sampled { 1.0 } else { *value };
        }
    }

    /// The metrics that every recipe has: how many records were processed, and how many failed.
    pub(super) fn plain(&self, recipe: &dyn Recipe) -> Self {
        self.filtered(|series| series.is_plain(recipe))
    }

    /// The recipe's own metrics.
    pub(super) fn own(&self, recipe: &dyn Recipe) -> Self {
        self.filtered(|series| !series.is_plain(recipe))
    }

    fn filtered(&self, keep: impl Fn(&Series) -> bool) -> Self {
        Self(self.0.iter().filter(|(series, _)| keep(series)).map(|(series, value)| (series.clone(), *value)).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Says all of it, such as `7 Events EventType=click`.
    pub(super) fn text(&self) -> String {
        let texts = self.0.iter().map(|(series, value)| format!("{value:.0} {}", series.text()));
        listed(&texts.collect::<Vec<_>>())
    }
}

impl Series {
    fn is_plain(&self, recipe: &dyn Recipe) -> bool {
        self.dimensions.is_empty()
            && (self.metric == recipe.processed_metric() || self.metric == recipe.failed_metric())
    }

    fn text(&self) -> String {
        let dimensions = self.dimensions.iter().map(|(name, value)| format!(" {name}={value}"));
        format!("{}{}", self.metric, dimensions.collect::<String>())
    }
}

/// Reads these metrics of this pipeline since shortly before the run.
pub(super) async fn read(validation: &Validation<'_>, metrics: &Growth) -> anyhow::Result<Growth> {
    let reads = stream::iter(metrics.0.keys())
        .map(|series| async { anyhow::Ok((series.clone(), sum(validation, series).await?)) });
    Ok(Growth(reads.buffered(READS).try_collect().await?))
}

async fn sum(validation: &Validation<'_>, series: &Series) -> anyhow::Result<f64> {
    let dimensions = [("Pipeline", validation.pipeline())].into_iter().chain(series.dimensions.iter().cloned());
    let dimensions = dimensions.map(|(name, value)| Dimension::builder().name(name).value(value).build());
    // Whole minutes, in which metrics are kept.
    let since = epoch_ms(validation.started() - CLOCK_SKEW) / 60_000 * 60;
    let call = validation
        .session
        .aws
        .cloudwatch
        .get_metric_statistics()
        .namespace(validation.recipe.namespace())
        .metric_name(series.metric)
        .set_dimensions(Some(dimensions.collect()))
        .start_time(aws_sdk_cloudwatch::primitives::DateTime::from_secs(since))
        .end_time((validation.session.aws.now() + CLOCK_SKEW).into())
        .period(60)
        .statistics(if series.sampled { Statistic::SampleCount } else { Statistic::Sum });
    let what = || format!("reading the metric {}/{}", validation.recipe.namespace(), series.metric);
    let points = answered(call.send().await).with_context(what)?.datapoints.unwrap_or_default();
    let value = |point: &Datapoint| if series.sampled { point.sample_count } else { point.sum };
    Ok(points.iter().filter_map(value).sum())
}

/// Waits until the metrics have grown as they must. `before` is what they were when the run began.
pub(super) async fn metrics(validation: &Validation<'_>, wanted: &Growth, before: &Growth) -> anyhow::Result<Verdict> {
    let deadline = validation.deadline();
    let mut pauses = PAUSES;
    loop {
        let mut grown = read(validation, wanted).await?;
        for (series, value) in &mut grown.0 {
            *value -= before.0.get(series).copied().unwrap_or_default();
        }
        let lacks = |series: &Series| grown.0.get(series).is_none_or(|value| *value + 1e-6 < wanted.0[series]);
        let lacking: Vec<&Series> = wanted.0.keys().filter(|series| lacks(series)).collect();
        if lacking.is_empty() || Instant::now() >= deadline {
            let observed = if lacking.is_empty() {
                format!("grown by {}", grown.text())
            } else {
                let of = |series: &&Series| {
                    let value = grown.0.get(*series).copied().unwrap_or_default();
                    format!("{value:.0} of {:.0} {}", wanted.0[*series], series.text())
                };
                format!("only {}", listed(&lacking.iter().map(of).collect::<Vec<_>>()))
            };
            return Ok(Verdict::new(lacking.is_empty(), observed)
                .or_hint("CloudWatch may take some minutes: try again with a longer --timeout"));
        }
        sleep(pauses.pause()).await;
    }
}

/// Waits until the log has the line of a rejected record, and that of the invocation that rejected it.
pub(super) async fn logs(validation: &Validation<'_>, poison: Option<&Poison>) -> anyhow::Result<Verdict> {
    let deadline = validation.deadline();
    let mut pauses = PAUSES;
    loop {
        let observed = match logged(validation, poison).await? {
            Ok(observed) => return Ok(Verdict::new(true, observed)),
            Err(missing) => missing,
        };
        if Instant::now() >= deadline {
            let hint = format!(
                "the role may not write to {}, or the function fails before it logs",
                validation.flow.log_group
            );
            return Ok(Verdict::new(false, observed).or_hint(hint));
        }
        sleep(pauses.pause()).await;
    }
}

/// What was found, or what is missing.
async fn logged(validation: &Validation<'_>, poison: Option<&Poison>) -> anyhow::Result<Result<String, String>> {
    let Some(poison) = poison else {
        let lines = filter(validation, "\"batch processed\"").await?.len();
        let found = format!("{} of invocations", counted(lines, "line"));
        return Ok(if lines > 0 { Ok(found) } else { Err(found) });
    };
    let number = &poison.position.sequence_number;
    let rejected = filter(validation, &format!("\"{number}\"")).await?;
    let Some(request) = rejected.iter().find_map(|line| request_of(line, poison)) else {
        return Ok(Err(format!("no line on the rejected record {number}")));
    };
    let invocations = filter(validation, &format!("\"batch processed\" \"{request}\"")).await?;
    if invocations.is_empty() {
        return Ok(Err(format!("no line of the invocation {request}, which rejected a record")));
    }
    Ok(Ok(format!("record {number} ({}) and its invocation {request}", poison.rejected.code)))
}

/// The request id of the invocation that reports in this line that it rejected the record.
fn request_of(line: &str, poison: &Poison) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let is = |name: &str, value: &str| line[name] == value;
    let it_is = is("sequenceNumber", &poison.position.sequence_number)
        && is("shardId", &poison.position.shard_id)
        && is("error", poison.rejected.code)
        && is("outcome", "dead-letter");
    if it_is { Some(line["requestId"].as_str()?.to_owned()) } else { None }
}

/// The log's lines since shortly before the run that match the pattern.
async fn filter(validation: &Validation<'_>, pattern: &str) -> anyhow::Result<Vec<String>> {
    let call = validation
        .session
        .aws
        .logs
        .filter_log_events()
        .log_group_name(&validation.flow.log_group)
        .filter_pattern(pattern)
        .start_time(epoch_ms(validation.started() - CLOCK_SKEW));
    let pages = all(call.into_paginator().send())
        .await
        .with_context(|| format!("reading the log group {}", validation.flow.log_group))?;
    let events = pages.into_iter().flat_map(|page| page.events.unwrap_or_default());
    Ok(events.filter_map(|event| event.message).collect())
}

/// The names of the pipeline's alarms.
pub(super) fn alarm_names(validation: &Validation<'_>) -> Vec<String> {
    let nodes = validation.session.pipeline.nodes.iter().filter(|node| node.resource.kind() == ResourceKind::Alarm);
    nodes.map(|node| node.resource.name().to_owned()).collect()
}

/// The alarms that tell somebody of failed events or dead letters, which is what a run's poison becomes.
pub(super) fn alarms_on_failures(validation: &Validation<'_>) -> Vec<String> {
    let queue = validation.flow.dead_letters.as_ref();
    let is_on_failures = |alarm: &&Alarm| {
        let of_queue = queue.is_some() && alarm.metric.dimensions.get("QueueName") == queue;
        // With a queue, poison is not delivered again.
        let of_retries = queue.is_some() && alarm.metric.name == validation.recipe.retried_metric();
        let of_recipe = alarm.metric.namespace == validation.recipe.namespace() && !of_retries;
        !alarm.notify.is_empty() && (of_queue || of_recipe)
    };
    let alarms = validation.session.pipeline.nodes.iter().filter_map(|node| match &node.resource {
        Any::Alarm(alarm) => Some(alarm),
        _ => None,
    });
    alarms.filter(is_on_failures).map(|alarm| alarm.name.clone()).collect()
}

/// Reads the states of the pipeline's alarms. All are fine; that one is missing is not.
pub(super) async fn alarms(validation: &Validation<'_>) -> anyhow::Result<Verdict> {
    let names = alarm_names(validation);
    let mut states = BTreeMap::new();
    for names in names.chunks(ALARMS) {
        let call = validation
            .session
            .aws
            .cloudwatch
            .describe_alarms()
            .set_alarm_names(Some(names.to_vec()))
            .alarm_types(AlarmType::MetricAlarm);
        let limit = i32::try_from(ALARMS)?;
        let alarms = answered(call.max_records(limit).send().await)
            .context("reading the alarms")?
            .metric_alarms
            .unwrap_or_default();
        states.extend(
            alarms.into_iter().filter_map(|alarm| Some((alarm.alarm_name?, alarm.state_value?.as_str().to_owned()))),
        );
    }
    let missing = names.iter().any(|name| !states.contains_key(name));
    let said = names.iter().map(|name| format!("{name} {}", states.get(name).map_or("MISSING", String::as_str)));
    Ok(Verdict::new(!missing, said.collect::<Vec<_>>().join(", ")).or_hint(up_first()))
}

#[cfg(test)]
mod tests {
    use streamkit_recipes::{Event, Rejected};

    use super::*;
    use crate::producer::Position;

    #[test]
    fn the_line_of_a_rejected_record_names_its_invocation() {
        let poison = Poison {
            event: Event { partition_key: "key".to_owned(), data: Vec::new() },
            position: Position {
                shard_id: "shardId-1".to_owned(),
                sequence_number: "42".to_owned(),
                at: Instant::now(),
            },
            rejected: Rejected { code: "invalid_json", message: String::new() },
            dead_letter: None,
        };
        let line = r#"{"level":"WARN","requestId":"r","sequenceNumber":"42","shardId":"shardId-1","error":"invalid_json","outcome":"dead-letter"}"#;
        assert_eq!(request_of(line, &poison).as_deref(), Some("r"));
        assert_eq!(request_of(&line.replace("dead-letter", "retry"), &poison), None);
        assert_eq!(request_of(&line.replace("42", "43"), &poison), None);
        assert_eq!(request_of("END RequestId: r 42", &poison), None);
    }
}
