//! The embedded metric format: metrics that a function prints as JSON lines.

use serde_json::Value;

use crate::telemetry::metric_writer::Series;

/// `CloudWatch`'s limits for one directive.
const MAX_METRICS: usize = 100;
const MAX_DIMENSIONS: usize = 30;

/// Reads the metrics in one log line; a line that is not in the format, or a part of it that is not, gives none.
///
/// Format: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
pub(crate) fn metrics(line: &str, now_ms: i64) -> Vec<(Series, f64)> {
    let mut found = Vec::new();
    // Most lines are not EMF: looked at before they are parsed.
    if !line.starts_with('{') || !line.contains("\"_aws\"") {
        return found;
    }
    let Ok(root) = serde_json::from_str::<Value>(line) else { return found };
    let time_ms = root["_aws"]["Timestamp"].as_i64().unwrap_or(now_ms);
    for directive in root["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten() {
        let Some(namespace) = directive["Namespace"].as_str() else { continue };
        // No `Dimensions` at all means one series without any, like the empty set.
        let sets: Vec<Vec<(String, String)>> = match directive["Dimensions"].as_array() {
            None => vec![Vec::new()],
            Some(sets) if sets.is_empty() => vec![Vec::new()],
            Some(sets) => sets.iter().filter_map(|set| dimensions(&root, set)).collect(),
        };
        for metric in directive["Metrics"].as_array().into_iter().flatten().take(MAX_METRICS) {
            let Some(name) = metric["Name"].as_str() else { continue };
            let unit = metric["Unit"].as_str().unwrap_or("None");
            for dimensions in &sets {
                let series = Series {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                    dimensions: dimensions.clone(),
                    unit: unit.to_owned(),
                    time_seconds: time_ms.div_euclid(1000),
                };
                found.extend(values(&root[name]).into_iter().map(|value| (series.clone(), value)));
            }
        }
    }
    found
}

/// A set of dimension names with the values that the line's root gives them; `None` if one is missing.
fn dimensions(root: &Value, set: &Value) -> Option<Vec<(String, String)>> {
    let names = set.as_array()?;
    if names.len() > MAX_DIMENSIONS {
        return None;
    }
    let mut pairs = names
        .iter()
        .map(|name| {
            let name = name.as_str()?;
            let value = match &root[name] {
                Value::String(value) => value.clone(),
                value @ (Value::Number(_) | Value::Bool(_)) => value.to_string(),
                _ => return None,
            };
            Some((name.to_owned(), value))
        })
        .collect::<Option<Vec<_>>>()?;
    pairs.sort();
    Some(pairs)
}

/// A number, or an array of at most 100 of them.
fn values(value: &Value) -> Vec<f64> {
    match value {
        Value::Number(number) => number.as_f64().into_iter().collect(),
        Value::Array(numbers) if numbers.len() <= 100 => numbers.iter().filter_map(Value::as_f64).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_dimension_set_gives_a_series() {
        let line = json!({
            "_aws": { "Timestamp": 1_700_000_000_123_i64, "CloudWatchMetrics": [{
                "Namespace": "Shop",
                "Dimensions": [[], ["Stage"], ["Stage", "Missing"]],
                "Metrics": [{ "Name": "Processed", "Unit": "Count" }, { "Name": "Latency", "Unit": "Milliseconds" }, { "Name": "Absent" }],
            }] },
            "Stage": "dev", "Processed": 7, "Latency": [1.5, 2],
        });
        let found = metrics(&line.to_string(), 0);
        let seen: Vec<_> = found
            .iter()
            .map(|(series, value)| {
                (series.name.as_str(), series.dimensions.len(), series.unit.as_str(), value.to_string())
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("Processed", 0, "Count", "7".to_owned()),
                ("Processed", 1, "Count", "7".to_owned()),
                ("Latency", 0, "Milliseconds", "1.5".to_owned()),
                ("Latency", 0, "Milliseconds", "2".to_owned()),
                ("Latency", 1, "Milliseconds", "1.5".to_owned()),
                ("Latency", 1, "Milliseconds", "2".to_owned()),
            ]
        );
        assert_eq!(found[0].0.time_seconds, 1_700_000_000);
    }

    #[test]
    fn other_lines_give_nothing() {
        for line in ["", "plain", "{", r#"{"_aws":1}"#, r#"{"_aws":{"CloudWatchMetrics":[{"Metrics":[]}]}}"#] {
            assert_eq!(metrics(line, 0), [], "{line}");
        }
    }
}
