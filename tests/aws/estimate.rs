//! What the run will cost, before it costs anything.

use std::fmt::Write as _;

use crate::life::Pipeline;

/// Hours of a month by which AWS divides monthly prices.
const HOURS: f64 = 730.0;
/// USD in us-east-1, from the services' price pages in 2026; other regions differ by up to half. What AWS counts by the hour counts
/// here as one begun hour for each pipeline, which stands for some minutes.
const SHARD_HOUR: f64 = 0.015;
/// For streams that keep more than a day, which they do after the change.
const LONG_RETENTION_SHARD_HOUR: f64 = 0.02;
const ON_DEMAND_STREAM_HOUR: f64 = 0.04;
const ALARM_HOUR: f64 = 0.10 / HOURS;
const METRIC_HOUR: f64 = 0.30 / HOURS;
const DASHBOARD_HOUR: f64 = 3.00 / HOURS;
/// Of KMS; one for the values, and one for their hashes.
const KEY_HOUR: f64 = 2.0 * 1.00 / HOURS;
/// Metrics of its own that a recipe counts in at most.
const METRICS: f64 = 50.0;
/// The dearest of a million calls, S3's PUT, for every call of the run; most cost a tenth or nothing.
const MILLION_CALLS: f64 = 5.0;
const CALLS: f64 = 10_000.0;
/// Shards after the change, see `life`.
const SHARDS: f64 = 3.0;

/// The estimate with what it is made of.
pub(crate) fn text(pipelines: &[Pipeline]) -> String {
    let mut text = String::new();
    let mut total = 0.0;
    for pipeline in pipelines {
        let sections = |name: &str| pipeline.content.get(name).and_then(toml::Value::as_table);
        let count = |name: &str| sections(name).map_or(0.0, |all| all.values().fold(0.0, |sum, _| sum + 1.0));
        let on_demand = |stream: &&toml::Value| stream.get("mode").and_then(toml::Value::as_str) == Some("on-demand");
        let streams = sections("stream").into_iter().flat_map(|all| all.values());
        let on_demand = streams.filter(on_demand).fold(0.0, |sum, _| sum + 1.0);
        let shards = (count("stream") - on_demand) * SHARDS;
        let dashboards = if pipeline.content.contains_key("dashboard") { 1.0 } else { 0.0 };
        let streams = shards * (SHARD_HOUR + LONG_RETENTION_SHARD_HOUR) + on_demand * ON_DEMAND_STREAM_HOUR;
        let watching =
            count("alarm") * ALARM_HOUR + METRICS * METRIC_HOUR + dashboards * DASHBOARD_HOUR + count("key") * KEY_HOUR;
        let calls = CALLS * MILLION_CALLS / 1e6;
        let _ = writeln!(
            text,
            "  {:20} ${:.2}: {shards} shards and {on_demand} on-demand streams for an hour ${streams:.3}, \
             {} alarms, metrics and {dashboards} dashboards ${watching:.3}, calls ${calls:.3}",
            pipeline.name,
            streams + watching + calls,
            count("alarm"),
        );
        total += streams + watching + calls;
    }
    format!(
        "costs at most about ${total:.2} at the prices of us-east-1, without what is free of charge:\n{}",
        text.trim_end()
    )
}

#[test]
fn estimate_is_less_than_three_dollars_and_more_than_nothing() -> anyhow::Result<()> {
    let pipelines = crate::life::pipelines("estimate")?;
    let text = text(&pipelines);
    let total = text.split(['$', ' ']).find_map(|word| word.parse::<f64>().ok()).unwrap_or_default();
    assert!((0.1..3.0).contains(&total), "{text}");
    assert!(pipelines.len() == 13 && pipelines.iter().all(|pipeline| text.contains(&pipeline.name)), "{text}");
    Ok(())
}
