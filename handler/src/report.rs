//! The function's log: structured lines, and the metrics in CloudWatch's embedded metric format.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};
use streamkit_recipes::Unit;

use crate::batch::{Handling, Outcome};
use crate::config::Config;
use crate::record::{Content, IncomingRecord};

/// Writes one line for each record that was not processed, one for the invocation, and one with the metrics.
pub fn write(
    out: &mut impl Write,
    config: &Config,
    request_id: &str,
    records: &[IncomingRecord],
    outcome: &Outcome,
    duration: Duration,
    now_ms: i64,
) -> io::Result<()> {
    for failure in &outcome.failures {
        let record = &records[failure.place];
        let (message, handling) = match failure.handling {
            Handling::DeadLetter => ("record rejected", "dead-letter"),
            Handling::Reported => ("record rejected", "reported"),
            Handling::Retry => ("record failed", "retry"),
        };
        let mut line = json!({
            "level": "WARN",
            "message": message,
            "requestId": request_id,
            "eventId": record.event_id,
            "sequenceNumber": record.sequence_number,
            "error": failure.code,
            "outcome": handling,
        });
        match &record.content {
            Content::Stream { shard_id, partition_key, .. } => {
                line["stream"] = json!(record.source_arn.rsplit('/').next());
                line["shardId"] = json!(shard_id);
                line["partitionKey"] = json!(partition_key);
            }
            Content::Change { table, event_name, .. } => {
                line["table"] = json!(table);
                line["eventName"] = json!(event_name);
            }
        }
        if let Some(sub) = record.sub_sequence_number {
            line["subSequenceNumber"] = json!(sub);
        }
        if let Some(reason) = &failure.reason {
            line["reason"] = json!(reason);
        }
        writeln!(out, "{line}")?;
    }
    let mut line = json!({
        "level": if outcome.failures.is_empty() { "INFO" } else { "WARN" },
        "message": "batch processed",
        "requestId": request_id,
        "records": outcome.records,
        "processed": outcome.processed,
        "failed": outcome.failed,
        "retry": outcome.retry,
        "durationMs": u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
    });
    if let Some(replayed) = &outcome.response.replay {
        line["replay"] = json!(true);
        line["duplicates"] = json!(replayed.duplicates);
    }
    writeln!(out, "{line}")?;
    for line in metrics(config, outcome, now_ms) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// The most metrics, and the most values of one, that the embedded metric format allows in a line.
const LINE_MAX: usize = 100;

/// Returns the metrics in CloudWatch's embedded metric format, each over all pipelines and for this one: one line for each
/// combination of dimensions, more only for more than a hundred metrics or values.
///
/// See <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.
fn metrics(config: &Config, outcome: &Outcome, now_ms: i64) -> Vec<Value> {
    let recipe = config.recipe;
    let mut lines = Lines { config, now_ms, all: Vec::new() };
    lines.add(&[], recipe.processed_metric(), Unit::Count, json!(outcome.processed));
    lines.add(&[], recipe.failed_metric(), Unit::Count, json!(outcome.failed));
    // Lambda counts no error of an invocation that reports failed records.
    lines.add(&[], recipe.retried_metric(), Unit::Count, json!(outcome.retry));
    for (series, values) in outcome.counts.iter() {
        for values in values.chunks(LINE_MAX) {
            let value = if let [value] = values { json!(value) } else { json!(values) };
            lines.add(&series.dimensions, series.metric, series.unit, value);
        }
    }
    lines.all
}

struct Lines<'a> {
    config: &'a Config,
    now_ms: i64,
    all: Vec<Value>,
}

impl Lines<'_> {
    fn add(&mut self, dimensions: &[(&'static str, String)], metric: &str, unit: Unit, value: Value) {
        let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
        let ours = [&["Pipeline"], names.as_slice()].concat();
        let sets = json!([names, ours]);
        let is_open = |line: &Value| {
            let metrics = &line["_aws"]["CloudWatchMetrics"][0];
            metrics["Dimensions"] == sets
                && dimensions.iter().all(|(name, value)| line[name] == **value)
                && line.get(metric).is_none()
                && metrics["Metrics"].as_array().is_some_and(|metrics| metrics.len() < LINE_MAX)
        };
        // Series with the same dimensions follow each other.
        if !self.all.last().is_some_and(is_open) {
            let mut line = json!({
                "_aws": {
                    "Timestamp": self.now_ms,
                    "CloudWatchMetrics": [{
                        "Namespace": self.config.recipe.namespace(),
                        "Dimensions": sets,
                        "Metrics": [],
                    }],
                },
                "Pipeline": self.config.pipeline,
            });
            for (name, value) in dimensions {
                line[name] = json!(value);
            }
            self.all.push(line);
        }
        let line = self.all.last_mut().expect("there is an open line now");
        line[metric] = value;
        if let Some(metrics) = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array_mut() {
            metrics.push(json!({"Name": metric, "Unit": unit.name()}));
        }
    }
}

#[cfg(test)]
mod tests {
    use streamkit_recipes::Count;

    use super::*;
    use crate::batch::Failure;

    fn config() -> Config {
        Config {
            recipe: streamkit_recipes::find("retail").unwrap(),
            pipeline: "retail-events-dev".to_owned(),
            table: "t".to_owned(),
            bucket: String::new(),
            stream_arn: String::new(),
            topic_arn: String::new(),
            state_table: String::new(),
            settings: streamkit_recipes::Settings::default(),
            parallel: false,
            dead_letter_queue_url: None,
            identity: "eventId".to_owned(),
            encryption: None,
            fail_on: None,
        }
    }

    fn record(sequence: &str) -> IncomingRecord {
        IncomingRecord {
            withheld: None,
            indexes: Vec::new(),
            event_id: format!("shardId-000000000000:{sequence}"),
            sequence_number: sequence.to_owned(),
            sub_sequence_number: None,
            source_arn: "arn:aws:kinesis:eu-west-1:123456789012:stream/s".to_owned(),
            content: Content::Stream {
                shard_id: "shardId-000000000000".to_owned(),
                partition_key: Some("k".to_owned()),
                own_id: None,
                copy_of: None,
                arrival_ms: 0,
                data: Ok(b"secret".to_vec()),
            },
        }
    }

    fn lines(records: &[IncomingRecord], outcome: &Outcome) -> Vec<Value> {
        let mut out = Vec::new();
        let duration = Duration::from_micros(7_900);
        write(&mut out, &config(), "r-1", records, outcome, duration, 1_700_000_000_000).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains("secret"));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn write_gives_a_line_per_failure_one_per_invocation_and_the_metrics() {
        let failure = |place, code: &str, reason: Option<&str>, handling| Failure {
            place,
            code: code.to_owned(),
            reason: reason.map(str::to_owned),
            handling,
        };
        let mut outcome = Outcome {
            records: 3,
            processed: 1,
            failed: 1,
            retry: 1,
            failures: vec![
                failure(0, "not_utf8", None, Handling::DeadLetter),
                failure(1, "Timeout", Some("late"), Handling::Retry),
            ],
            ..Outcome::default()
        };
        outcome.counts.add(Count::sample("Revenue", 2.5, Unit::None));
        let line = |n: u32, error: &str, message: &str, outcome: &str| {
            json!({"level": "WARN", "message": message, "requestId": "r-1", "sequenceNumber": n.to_string(), "stream": "s",
                "shardId": "shardId-000000000000", "eventId": format!("shardId-000000000000:{n}"), "partitionKey": "k",
                "error": error, "outcome": outcome})
        };
        let mut late = line(2, "Timeout", "record failed", "retry");
        late["reason"] = json!("late");
        assert_eq!(
            lines(&[record("1"), record("2"), record("3")], &outcome),
            [
                line(1, "not_utf8", "record rejected", "dead-letter"),
                late,
                json!({"level": "WARN", "message": "batch processed", "requestId": "r-1", "records": 3, "processed": 1,
                    "failed": 1, "retry": 1, "durationMs": 7}),
                json!({"_aws": {"Timestamp": 1_700_000_000_000_i64, "CloudWatchMetrics": [{
                        "Namespace": "RetailEventProcessing", "Dimensions": [[], ["Pipeline"]],
                        "Metrics": [{"Name": "ProcessedEvents", "Unit": "Count"}, {"Name": "FailedEvents", "Unit": "Count"},
                            {"Name": "RetriedEvents", "Unit": "Count"}, {"Name": "Revenue", "Unit": "None"}]}]},
                    "Pipeline": "retail-events-dev", "ProcessedEvents": 1, "FailedEvents": 1, "RetriedEvents": 1, "Revenue": 2.5}),
            ]
        );
    }

    #[test]
    fn failures_of_changes_name_their_table() {
        let change = IncomingRecord {
            withheld: None,
            indexes: Vec::new(),
            event_id: "e".to_owned(),
            sequence_number: "7".to_owned(),
            sub_sequence_number: None,
            source_arn: "arn".to_owned(),
            content: Content::Change {
                table: "activities".to_owned(),
                event_name: "INSERT".to_owned(),
                raw: serde_json::value::to_raw_value("secret").unwrap(),
                change: Err(streamkit_recipes::Rejected::new("invalid_change", "")),
            },
        };
        let failure =
            Failure { place: 0, code: "invalid_change".to_owned(), reason: None, handling: Handling::DeadLetter };
        let line = &lines(&[change], &Outcome { failures: vec![failure], ..Outcome::default() })[0];
        assert_eq!(
            *line,
            json!({"level": "WARN", "message": "record rejected", "requestId": "r-1", "sequenceNumber": "7", "eventId": "e",
                "table": "activities", "eventName": "INSERT", "error": "invalid_change", "outcome": "dead-letter"})
        );
    }

    #[test]
    fn metrics_of_the_same_dimensions_share_a_line() {
        let mut outcome = Outcome::default();
        for n in 0..250 {
            let device = ["mobile", "tablet"][n % 2];
            outcome.counts.add(Count::one("Events").of("Device", device));
            outcome.counts.add(Count::one("Clicks").of("Device", device));
            outcome.counts.add(Count::sample("Amount", 1.5, Unit::None).of("Currency", "EUR"));
        }
        let lines = lines(&[], &outcome).split_off(1);
        assert_eq!(lines.len(), 1 + 3 + 2, "{lines:?}");
        let amounts: Vec<usize> = lines.iter().filter_map(|line| Some(line["Amount"].as_array()?.len())).collect();
        assert_eq!(amounts, [100, 100, 50]);
        let mobile = lines.iter().find(|line| line["Device"] == "mobile").unwrap();
        assert_eq!((&mobile["Events"], &mobile["Clicks"]), (&json!(125.0), &json!(125.0)));
        assert_eq!(
            mobile["_aws"]["CloudWatchMetrics"][0],
            json!({"Namespace": "RetailEventProcessing", "Dimensions": [["Device"], ["Pipeline", "Device"]],
                "Metrics": [{"Name": "Clicks", "Unit": "Count"}, {"Name": "Events", "Unit": "Count"}]})
        );
    }

    #[test]
    fn no_line_has_more_metrics_than_the_format_allows() {
        let mut outcome = Outcome::default();
        for n in 0..250 {
            outcome.counts.add(Count::one(Box::leak(format!("Metric{n}").into_boxed_str())));
        }
        let lines = lines(&[], &outcome).split_off(1);
        let sizes = lines.iter().map(|line| line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap().len());
        assert_eq!(sizes.collect::<Vec<_>>(), [100, 100, 53]);
    }
}
