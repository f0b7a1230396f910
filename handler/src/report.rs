//! What the function writes to its log: structured lines, and the metrics as an embedded metric format line.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use crate::batch::{Handling, Outcome};
use crate::config::Config;
use crate::event::Incoming;

/// Writes one line for each record that did not go through, one for the invocation, and one with the metrics.
pub fn write(
    out: &mut impl Write,
    config: &Config,
    request_id: &str,
    records: &[Incoming],
    outcome: &Outcome,
    duration: Duration,
    now_ms: i64,
) -> io::Result<()> {
    for failure in &outcome.failures {
        let record = &records[failure.place];
        let (message, handling) = match failure.handling {
            Handling::DeadLetter => ("record rejected", "dead-letter"),
            Handling::Retry => ("record failed", "retry"),
        };
        let mut line = json!({
            "level": "WARN",
            "message": message,
            "requestId": request_id,
            "sequenceNumber": record.sequence_number,
            "shardId": record.shard_id,
            "eventId": record.stream_record().id(),
            "partitionKey": record.partition_key,
            "error": failure.code,
            "outcome": handling,
        });
        if let Some(reason) = &failure.reason {
            line["reason"] = json!(reason);
        }
        writeln!(out, "{line}")?;
    }
    let line = json!({
        "level": if outcome.failures.is_empty() { "INFO" } else { "WARN" },
        "message": "batch processed",
        "requestId": request_id,
        "records": records.len(),
        "processed": outcome.processed,
        "failed": outcome.failed,
        "retry": outcome.retry,
        "durationMs": u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
    });
    writeln!(out, "{line}")?;
    writeln!(out, "{}", metrics(config, outcome, now_ms))
}

/// Returns the metrics in CloudWatch's embedded metric format: over all pipelines, and for this one.
///
/// See <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.
fn metrics(config: &Config, outcome: &Outcome, now_ms: i64) -> Value {
    let mut values = vec![
        (config.recipe.processed_metric(), json!(outcome.processed), "Count"),
        (config.recipe.failed_metric(), json!(outcome.failed), "Count"),
    ];
    values.extend(outcome.counts.iter().map(|(name, (value, unit))| (*name, json!(value), unit.name())));
    let definitions: Vec<_> = values.iter().map(|(name, _, unit)| json!({"Name": name, "Unit": unit})).collect();
    let mut line = json!({
        "_aws": {
            "Timestamp": now_ms,
            "CloudWatchMetrics": [{
                "Namespace": config.recipe.namespace(),
                "Dimensions": [[], ["Pipeline"]],
                "Metrics": definitions,
            }],
        },
        "Pipeline": config.pipeline,
    });
    for (name, value, _) in values {
        line[name] = value;
    }
    line
}

#[cfg(test)]
mod tests {
    use streamkit_recipes::Unit;

    use super::*;
    use crate::batch::Failure;

    #[test]
    fn write_gives_a_line_per_failure_one_per_invocation_and_the_metrics() {
        let config = Config {
            recipe: streamkit_recipes::find("retail").unwrap(),
            pipeline: "retail-events-dev".to_owned(),
            table: "t".to_owned(),
            dead_letter_queue_url: None,
        };
        let record = |sequence: &str| Incoming {
            shard_id: "shardId-000000000000".to_owned(),
            sequence_number: sequence.to_owned(),
            partition_key: "k".to_owned(),
            arrival_ms: 0,
            stream_arn: String::new(),
            data: Ok(b"secret".to_vec()),
        };
        let failure = |place, code: &str, reason: Option<&str>, handling| Failure {
            place,
            code: code.to_owned(),
            reason: reason.map(str::to_owned),
            handling,
        };
        let outcome = Outcome {
            processed: 1,
            failed: 1,
            retry: 1,
            counts: [("Revenue", (2.5, Unit::None))].into(),
            failures: vec![
                failure(0, "not_utf8", None, Handling::DeadLetter),
                failure(1, "Timeout", Some("late"), Handling::Retry),
            ],
            ..Outcome::default()
        };
        let mut out = Vec::new();
        let records = [record("1"), record("2"), record("3")];
        write(&mut out, &config, "r-1", &records, &outcome, Duration::from_micros(7_900), 1_700_000_000_000).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains("secret"));
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            lines,
            [
                json!({"level": "WARN", "message": "record rejected", "requestId": "r-1", "sequenceNumber": "1",
                    "shardId": "shardId-000000000000", "eventId": "shardId-000000000000:1", "partitionKey": "k",
                    "error": "not_utf8", "outcome": "dead-letter"}),
                json!({"level": "WARN", "message": "record failed", "requestId": "r-1", "sequenceNumber": "2",
                    "shardId": "shardId-000000000000", "eventId": "shardId-000000000000:2", "partitionKey": "k",
                    "error": "Timeout", "outcome": "retry", "reason": "late"}),
                json!({"level": "WARN", "message": "batch processed", "requestId": "r-1", "records": 3, "processed": 1,
                    "failed": 1, "retry": 1, "durationMs": 7}),
                json!({"_aws": {"Timestamp": 1_700_000_000_000_i64, "CloudWatchMetrics": [{
                        "Namespace": "RetailEventProcessing", "Dimensions": [[], ["Pipeline"]],
                        "Metrics": [{"Name": "ProcessedEvents", "Unit": "Count"}, {"Name": "FailedEvents", "Unit": "Count"},
                            {"Name": "Revenue", "Unit": "None"}]}]},
                    "Pipeline": "retail-events-dev", "ProcessedEvents": 1, "FailedEvents": 1, "Revenue": 2.5}),
            ]
        );
    }
}
