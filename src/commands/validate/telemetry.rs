//! The checks on what an operator sees: metrics, logs and alarms.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use aws_sdk_cloudwatch::types::{AlarmType, Dimension, Statistic};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::check::{Verdict, counted};
use super::run::{Poison, Run, epoch_ms};
use crate::aws::aws;
use crate::resources::{Resource as _, Type};

/// How far this machine's clock and AWS's may lie apart.
const SKEW: Duration = Duration::from_mins(1);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The most names of a `DescribeAlarms` call.
const ALARMS: usize = 100;

/// How many events were processed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Counts {
    pub(super) processed: f64,
    pub(super) failed: f64,
}

/// What the metrics must show at least: what was seen to have been processed, and what was rejected.
pub(super) fn wanted(run: &Run<'_>) -> Counts {
    let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let processed = run.good.iter().filter(|good| good.seen().is_some()).count();
    let failed = run.poison.iter().filter(|poison| poison.letter.is_some()).count();
    Counts { processed: number(processed), failed: number(failed) }
}

/// Reads the recipe's metrics of this pipeline since shortly before the run.
pub(super) async fn counts(run: &Run<'_>) -> anyhow::Result<Counts> {
    let (processed, failed) =
        tokio::try_join!(sum(run, run.recipe.processed_metric()), sum(run, run.recipe.failed_metric()))?;
    Ok(Counts { processed, failed })
}

async fn sum(run: &Run<'_>, metric: &str) -> anyhow::Result<f64> {
    let pipeline = Dimension::builder().name("Pipeline").value(run.session.pipeline.naming.prefix()).build();
    // Whole minutes, in which metrics are kept.
    let since = epoch_ms(run.started - SKEW) / 60_000 * 60;
    let call = run
        .session
        .aws
        .cloudwatch
        .get_metric_statistics()
        .namespace(run.recipe.namespace())
        .metric_name(metric)
        .dimensions(pipeline)
        .start_time(aws_sdk_cloudwatch::primitives::DateTime::from_secs(since))
        .end_time((SystemTime::now() + SKEW).into())
        .period(60)
        .statistics(Statistic::Sum);
    let answer =
        aws(call.send().await).with_context(|| format!("reading the metric {}/{metric}", run.recipe.namespace()))?;
    Ok(answer.datapoints.unwrap_or_default().iter().filter_map(|point| point.sum).sum())
}

/// Waits until the metrics have grown as they must. `before` is what they were when the run began.
pub(super) async fn metrics(run: &Run<'_>, before: Counts) -> anyhow::Result<Verdict> {
    let deadline = run.deadline();
    let wanted = wanted(run);
    let mut pause = FIRST_PAUSE;
    loop {
        let now = counts(run).await?;
        let grown = Counts { processed: now.processed - before.processed, failed: now.failed - before.failed };
        let ok = grown.processed >= wanted.processed && grown.failed >= wanted.failed;
        if ok || Instant::now() >= deadline {
            let observed = format!("{:.0} and {:.0} more", grown.processed, grown.failed);
            return Ok(Verdict::new(ok, observed)
                .or_hint("CloudWatch may take some minutes: try again with a longer --timeout"));
        }
        sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

/// Waits until the log has the line of a rejected record, and that of the invocation that rejected it.
pub(super) async fn logs(run: &Run<'_>) -> anyhow::Result<Verdict> {
    let deadline = run.deadline();
    let mut pause = FIRST_PAUSE;
    loop {
        let observed = match logged(run).await? {
            Ok(observed) => return Ok(Verdict::new(true, observed)),
            Err(missing) => missing,
        };
        if Instant::now() >= deadline {
            let hint =
                format!("the role may not write to {}, or the function fails before it logs", run.flow.log_group);
            return Ok(Verdict::new(false, observed).or_hint(hint));
        }
        sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

/// What was found, or what is missing.
async fn logged(run: &Run<'_>) -> anyhow::Result<Result<String, String>> {
    let Some(poison) = run.poison.first() else {
        let lines = filter(run, "\"batch processed\"").await?.len();
        let found = format!("{} of invocations", counted(lines, "line"));
        return Ok(if lines > 0 { Ok(found) } else { Err(found) });
    };
    let number = &poison.placed.sequence_number;
    let rejected = filter(run, &format!("\"{number}\"")).await?;
    let Some(request) = rejected.iter().find_map(|line| request_of(line, poison)) else {
        return Ok(Err(format!("no line on the rejected record {number}")));
    };
    let invocations = filter(run, &format!("\"batch processed\" \"{request}\"")).await?;
    if invocations.is_empty() {
        return Ok(Err(format!("no line of the invocation {request}, which rejected a record")));
    }
    Ok(Ok(format!("record {number} ({}) and its invocation {request}", poison.rejected.code)))
}

/// The invocation that says in this line that it has put the record aside.
fn request_of(line: &str, poison: &Poison) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let is = |name: &str, value: &str| line[name] == value;
    let it_is = is("sequenceNumber", &poison.placed.sequence_number)
        && is("shardId", &poison.placed.shard_id)
        && is("error", poison.rejected.code)
        && is("outcome", "dead-letter");
    if it_is { Some(line["requestId"].as_str()?.to_owned()) } else { None }
}

/// The log's lines since shortly before the run that match the pattern.
async fn filter(run: &Run<'_>, pattern: &str) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut token = None;
    loop {
        let call = run
            .session
            .aws
            .logs
            .filter_log_events()
            .log_group_name(&run.flow.log_group)
            .filter_pattern(pattern)
            .start_time(epoch_ms(run.started - SKEW))
            .set_next_token(token);
        let answer = aws(call.send().await).with_context(|| format!("reading the log group {}", run.flow.log_group))?;
        lines.extend(answer.events.unwrap_or_default().into_iter().filter_map(|event| event.message));
        token = answer.next_token;
        if token.is_none() {
            return Ok(lines);
        }
    }
}

/// The names of the pipeline's alarms.
pub(super) fn alarm_names(run: &Run<'_>) -> Vec<String> {
    let nodes = run.session.pipeline.nodes.iter().filter(|node| node.resource.kind() == Type::Alarm);
    nodes.map(|node| node.resource.name().to_owned()).collect()
}

/// Reads the states of the pipeline's alarms. All are fine; that one is missing is not.
pub(super) async fn alarms(run: &Run<'_>) -> anyhow::Result<Verdict> {
    let names = alarm_names(run);
    let mut states = BTreeMap::new();
    for names in names.chunks(ALARMS) {
        let call = run
            .session
            .aws
            .cloudwatch
            .describe_alarms()
            .set_alarm_names(Some(names.to_vec()))
            .alarm_types(AlarmType::MetricAlarm);
        let limit = i32::try_from(ALARMS)?;
        let alarms =
            aws(call.max_records(limit).send().await).context("reading the alarms")?.metric_alarms.unwrap_or_default();
        states.extend(
            alarms.into_iter().filter_map(|alarm| Some((alarm.alarm_name?, alarm.state_value?.as_str().to_owned()))),
        );
    }
    let missing = names.iter().any(|name| !states.contains_key(name));
    let said = names.iter().map(|name| format!("{name} {}", states.get(name).map_or("MISSING", String::as_str)));
    Ok(Verdict::new(!missing, said.collect::<Vec<_>>().join(", ")).or_hint(Run::up_first()))
}

#[cfg(test)]
mod tests {
    use streamkit_recipes::{Event, Rejected};

    use super::*;
    use crate::events::Placed;

    #[test]
    fn the_line_of_a_rejected_record_names_its_invocation() {
        let poison = Poison {
            event: Event { partition_key: "key".to_owned(), data: Vec::new() },
            placed: Placed { shard_id: "shardId-1".to_owned(), sequence_number: "42".to_owned(), at: Instant::now() },
            rejected: Rejected { code: "invalid_json", message: String::new() },
            letter: None,
        };
        let line = r#"{"level":"WARN","requestId":"r","sequenceNumber":"42","shardId":"shardId-1","error":"invalid_json","outcome":"dead-letter"}"#;
        assert_eq!(request_of(line, &poison).as_deref(), Some("r"));
        assert_eq!(request_of(&line.replace("dead-letter", "retry"), &poison), None);
        assert_eq!(request_of(&line.replace("42", "43"), &poison), None);
        assert_eq!(request_of("END RequestId: r 42", &poison), None);
    }
}
