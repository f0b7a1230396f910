//! Metric and subscription filters of log groups: their settings, and what they make of the events that come in.

use std::collections::BTreeMap;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use streamkit_wire::input::{list, map_pairs, number, text};
use streamkit_wire::{CallError, clock};

use super::events::Accepted;
use super::pattern::Pattern;
use super::service::{Answer, invalid, required};
use super::validation::{bad_token, limit};

const MAX_METRIC_FILTERS: usize = 100;
const MAX_SUBSCRIPTIONS: usize = 2;
const PAGE: usize = 50;

/// The filters of one log group, by name.
#[derive(Default)]
pub(super) struct Filters {
    metrics: BTreeMap<String, MetricFilter>,
    subscriptions: BTreeMap<String, Subscription>,
}

struct MetricFilter {
    pattern: Pattern,
    transformations: Vec<Value>,
    shown: Value,
}

struct Subscription {
    pattern: Pattern,
    destination: String,
    shown: Value,
}

/// Log events on their way to a stream or function.
pub(super) struct Delivery {
    /// The log group that they are of.
    pub(super) group: String,
    pub(super) destination: String,
    /// Compressed, and in Base64.
    pub(super) data: String,
}

/// What filters made of some events.
#[derive(Default)]
pub(super) struct Made {
    /// Inputs of `PutMetricData`.
    pub(super) metrics: Vec<Value>,
    pub(super) deliveries: Vec<Delivery>,
}

impl Filters {
    pub(super) fn count(&self) -> usize {
        self.metrics.len()
    }

    pub(super) fn put_metric(&mut self, group: &str, input: &Value) -> Answer {
        let name = filter_name(input)?;
        let pattern = read_pattern(input)?;
        let transformations = list(&input["metricTransformations"]);
        let [transformation] = transformations else {
            return Err(invalid("metricTransformations must have exactly one element"));
        };
        for member in ["metricName", "metricNamespace", "metricValue"] {
            required(transformation, member)?;
        }
        let has_dimensions = map_pairs(&transformation["dimensions"]).next().is_some();
        if has_dimensions && !transformation["defaultValue"].is_null() {
            return Err(invalid(
                "Invalid metric transformation: dimensions and default value are mutually exclusive properties.",
            ));
        }
        if !self.metrics.contains_key(name) && self.metrics.len() >= MAX_METRIC_FILTERS {
            return Err(limit_exceeded());
        }
        let mut transformation = transformation.clone();
        if let Some(value) = number(&transformation["defaultValue"]) {
            transformation["defaultValue"] = json!(value);
        }
        let transformations = vec![transformation];
        let shown = json!({
            "filterName": name,
            "filterPattern": input["filterPattern"],
            "logGroupName": group,
            "creationTime": clock::now_ms(),
            "metricTransformations": transformations,
            "applyOnTransformedLogs": input["applyOnTransformedLogs"].as_bool().unwrap_or_default(),
        });
        self.metrics.insert(name.to_owned(), MetricFilter { pattern, transformations, shown });
        Ok(json!({}))
    }

    pub(super) fn put_subscription(&mut self, group: &str, input: &Value) -> Answer {
        let name = filter_name(input)?;
        let pattern = read_pattern(input)?;
        let destination = required(input, "destinationArn")?;
        let role = text(input, "roleArn");
        match destination.split(':').nth(2) {
            Some("kinesis") if role.is_none() => {
                return Err(invalid("destinationArn for vendor kinesis cannot be used without roleArn"));
            }
            Some("lambda") if role.is_some() => {
                return Err(invalid("destinationArn for vendor lambda cannot be used with roleArn"));
            }
            Some("kinesis" | "lambda") => {}
            _ => {
                return Err(invalid(
                    "the embedded AWS delivers log events to Kinesis streams and Lambda functions only",
                ));
            }
        }
        if !self.subscriptions.contains_key(name) && self.subscriptions.len() >= MAX_SUBSCRIPTIONS {
            return Err(limit_exceeded());
        }
        let mut shown = json!({
            "filterName": name,
            "filterPattern": input["filterPattern"],
            "logGroupName": group,
            "destinationArn": destination,
            "distribution": text(input, "distribution").unwrap_or("ByLogStream"),
            "creationTime": clock::now_ms(),
            "applyOnTransformedLogs": input["applyOnTransformedLogs"].as_bool().unwrap_or_default(),
        });
        if let Some(role) = role {
            shown["roleArn"] = json!(role);
        }
        let destination = destination.to_owned();
        self.subscriptions.insert(name.to_owned(), Subscription { pattern, destination, shown });
        Ok(json!({}))
    }

    pub(super) fn delete_metric(&mut self, input: &Value) -> Answer {
        let removed = self.metrics.remove(required(input, "filterName")?);
        removed.map(|_| json!({})).ok_or_else(|| missing("The specified metric filter does not exist."))
    }

    pub(super) fn delete_subscription(&mut self, input: &Value) -> Answer {
        let removed = self.subscriptions.remove(required(input, "filterName")?);
        removed.map(|_| json!({})).ok_or_else(|| missing("The specified subscription filter does not exist."))
    }

    pub(super) fn metric_filters(&self) -> impl Iterator<Item = &Value> {
        self.metrics.values().map(|filter| &filter.shown)
    }

    pub(super) fn subscription_filters(&self) -> impl Iterator<Item = &Value> {
        self.subscriptions.values().map(|filter| &filter.shown)
    }

    /// What the filters make of events that a stream has taken.
    pub(super) fn make(&self, account: &str, group: &str, stream: &str, events: &[Accepted<'_>]) -> Made {
        let mut made = Made::default();
        for filter in self.metrics.values() {
            made.metrics.extend(filter.metrics(events));
        }
        for (name, filter) in &self.subscriptions {
            let events: Vec<Value> = events
                .iter()
                .filter(|event| filter.pattern.matches(event.message))
                .map(|event| json!({"id": event.id, "timestamp": event.time_ms, "message": event.message}))
                .collect();
            if events.is_empty() {
                continue;
            }
            let payload = json!({
                "messageType": "DATA_MESSAGE",
                "owner": account,
                "logGroup": group,
                "logStream": stream,
                "subscriptionFilters": [name],
                "logEvents": events,
            });
            made.deliveries.extend(delivery(&filter.destination, &payload));
        }
        made
    }
}

impl MetricFilter {
    fn metrics(&self, events: &[Accepted<'_>]) -> Vec<Value> {
        let matching: Vec<&Accepted> = events.iter().filter(|event| self.pattern.matches(event.message)).collect();
        let mut inputs = Vec::new();
        for transformation in &self.transformations {
            let datum = |time_ms: i64, value: f64| {
                let seconds = clock::seconds(time_ms);
                json!({
                    "MetricName": transformation["metricName"],
                    "Unit": text(transformation, "unit").unwrap_or("None"),
                    "Timestamp": seconds,
                    "Value": value,
                })
            };
            let mut data = Vec::new();
            for event in &matching {
                let wanted = transformation["metricValue"].as_str().unwrap_or_default();
                let found = |selector: &str| self.pattern.value_of(event.message, selector);
                let value = if wanted.starts_with('$') { found(wanted) } else { Some(wanted.to_owned()) };
                let Some(value) = value.and_then(|value| value.parse().ok()) else { continue };
                let mut datum = datum(event.time_ms, value);
                datum["Dimensions"] = map_pairs(&transformation["dimensions"])
                    .filter_map(|(name, selector)| Some(json!({"Name": name, "Value": found(&selector)?})))
                    .collect();
                data.push(datum);
            }
            if let (true, Some(default), Some(last)) =
                (matching.is_empty(), number(&transformation["defaultValue"]), events.last())
            {
                data.push(datum(last.time_ms, default));
            }
            let namespace = &transformation["metricNamespace"];
            inputs.extend(data.chunks(1_000).map(|data| json!({"Namespace": namespace, "MetricData": data})));
        }
        inputs
    }
}

/// What AWS sends to a stream to see whether it can.
pub(super) fn test_delivery(account: &str, destination: &str) -> Option<Delivery> {
    let payload = json!({
        "messageType": "CONTROL_MESSAGE",
        "owner": "CloudwatchLogs",
        "logGroup": "",
        "logStream": "",
        "subscriptionFilters": [],
        "logEvents": [{
            "id": "",
            "timestamp": clock::now_ms(),
            "message": format!("CWL CONTROL MESSAGE: Checking health of destination for {account}"),
        }],
    });
    delivery(destination, &payload)
}

fn delivery(destination: &str, payload: &Value) -> Option<Delivery> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(payload.to_string().as_bytes()).ok()?;
    let group = payload["logGroup"].as_str().unwrap_or_default().to_owned();
    Some(Delivery { group, destination: destination.to_owned(), data: BASE64.encode(gzip.finish().ok()?) })
}

/// One page of filters; a token is the index that the next page starts at.
pub(super) fn page(filters: Vec<Value>, member: &str, input: &Value) -> Answer {
    let limit = limit(input, "limit", PAGE)?.unwrap_or(PAGE);
    let start: usize = text(input, "nextToken").map_or(Ok(0), |token| token.parse().map_err(|_| bad_token()))?;
    let prefix = text(input, "filterNamePrefix").unwrap_or_default();
    let found =
        filters.into_iter().filter(|filter| text(filter, "filterName").is_some_and(|it| it.starts_with(prefix)));
    let mut found: Vec<Value> = found.skip(start).collect();
    let more = found.len() > limit;
    found.truncate(limit);
    let mut answer = json!({member: found});
    if more {
        answer["nextToken"] = Value::String((start + limit).to_string());
    }
    Ok(answer)
}

/// `TestMetricFilter`: which of these messages match.
pub(super) fn test(input: &Value) -> Answer {
    let pattern = read_pattern(input)?;
    let messages = list(&input["logEventMessages"]).iter().filter_map(Value::as_str).zip(1..);
    let matches: Vec<Value> = messages
        .filter(|(message, _)| pattern.matches(message))
        .map(|(message, number)| json!({"eventNumber": number, "eventMessage": message, "extractedValues": {}}))
        .collect();
    Ok(json!({"matches": matches}))
}

fn filter_name(input: &Value) -> Result<&str, CallError> {
    let name = required(input, "filterName")?;
    if name.len() > 512 || name.contains([':', '*']) {
        return Err(super::validation::unsatisfied("filterName", name, "satisfy regular expression pattern: [^:*]*"));
    }
    Ok(name)
}

/// The pattern must be given, but may be empty.
fn read_pattern(input: &Value) -> Result<Pattern, CallError> {
    Pattern::parse(input["filterPattern"].as_str().ok_or_else(|| invalid("filterPattern is required"))?)
}

fn missing(message: &str) -> CallError {
    CallError::bad("ResourceNotFoundException", message)
}

fn limit_exceeded() -> CallError {
    CallError::bad("LimitExceededException", "Resource limit exceeded.")
}
