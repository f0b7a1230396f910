//! The metric store: putting values, statistics over periods, and what metrics there are.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use streamkit_wire::input::{integer, list, number, required, text, texts, time_ms};
use streamkit_wire::{CallError, clock};

use super::math;
use super::queries::Queries;
use super::series::{Series, Stats};
use super::service::{Answer, invalid, page};
use super::validation::{exclusive, no_more_than, one_of};

/// Beyond this many metrics the one that was silent for longest goes: a runaway dimension must not fill the memory.
const MAX_SERIES: usize = 20_000;
const MAX_DATUMS: usize = 1_000;
const MAX_DIMENSIONS: usize = 30;
const MAX_VALUES: usize = 150;
/// How far from now a datum's time may be.
const FUTURE_MS: i64 = 2 * 60 * 60 * 1000;
const PAST_MS: i64 = 14 * 24 * 60 * 60 * 1000;
const MAX_STATISTICS: i64 = 1_440;
pub(super) const PLAIN_STATISTICS: [&str; 5] = ["SampleCount", "Average", "Sum", "Minimum", "Maximum"];
const MAX_DATAPOINTS: i64 = 100_800;
const LIST_PAGE: usize = 500;

/// Namespace, name and dimensions: what makes a metric.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) namespace: String,
    pub(super) name: String,
    /// Sorted by name.
    pub(super) dimensions: Vec<(String, String)>,
}

impl Key {
    pub(super) fn read(namespace: &str, input: &Value) -> Result<Self, CallError> {
        let mut dimensions: Vec<(String, String)> = list(&input["Dimensions"])
            .iter()
            .filter_map(|it| Some((it["Name"].as_str()?.to_owned(), it["Value"].as_str()?.to_owned())))
            .collect();
        dimensions.sort();
        Ok(Self { namespace: namespace.to_owned(), name: required(input, "MetricName")?.to_owned(), dimensions })
    }

    pub(super) fn of(namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> Self {
        let mut dimensions: Vec<(String, String)> =
            dimensions.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        dimensions.sort();
        Self { namespace: namespace.to_owned(), name: name.to_owned(), dimensions }
    }

    pub(super) fn dimensions_shown(&self) -> Value {
        self.dimensions.iter().map(|(name, value)| json!({"Name": name, "Value": value})).collect()
    }
}

/// All metrics.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    series: BTreeMap<Key, Series>,
}

impl Metrics {
    pub(super) fn observe(&mut self, key: Key, value: f64, unit: &str) {
        self.add(key, clock::now_ms(), &Stats::of(value, 1.0), unit, false);
    }

    pub(super) fn gauge(&mut self, key: Key, value: f64, unit: &str) {
        self.of(key, unit).gauge(clock::now_ms(), value);
    }

    pub(super) fn add(&mut self, key: Key, at_ms: i64, stats: &Stats, unit: &str, high_resolution: bool) {
        self.of(key, unit).add(at_ms, stats, high_resolution);
    }

    /// Lets the largest metrics forget their oldest values until all together fit the memory that is meant for them.
    pub(super) fn bound(&mut self, most_bytes: usize) {
        let mut all: usize = self.series.values().map(Series::bytes).sum();
        while all > most_bytes
            && let Some((key, largest)) = self.series.iter_mut().max_by_key(|(_, series)| series.bytes())
        {
            let before = largest.bytes();
            let dropped = largest.drop_half();
            all -= before - largest.bytes();
            tracing::warn!(
                "{} {}: dropped the values of its {dropped} oldest periods: metrics take only so much memory",
                key.namespace,
                key.name
            );
        }
    }

    fn of(&mut self, key: Key, unit: &str) -> &mut Series {
        if self.series.len() >= MAX_SERIES
            && !self.series.contains_key(&key)
            && let Some(silent) = self.series.iter().min_by_key(|(_, it)| it.latest_ms()).map(|(key, _)| key.clone())
        {
            self.series.remove(&silent);
        }
        let series = self.series.entry(key).or_default();
        unit.clone_into(&mut series.unit);
        series
    }

    pub(super) fn put(&mut self, input: &Value) -> Answer {
        let namespace = required(input, "Namespace")?;
        let datums = list(&input["MetricData"]);
        no_more_than("MetricData", datums, MAX_DATUMS)?;
        // All are read before any is stored: AWS refuses the whole call.
        let read: Vec<(Key, i64, Stats, &str, bool)> = datums
            .iter()
            .zip(1..)
            .map(|(datum, place)| read_datum(namespace, datum, place))
            .collect::<Result<_, _>>()?;
        for (key, at_ms, stats, unit, high_resolution) in read {
            if stats.count() > 0.0 {
                self.add(key, at_ms, &stats, unit, high_resolution);
            }
        }
        Ok(json!({}))
    }

    pub(super) fn statistics(&self, input: &Value) -> Answer {
        let key = Key::read(required(input, "Namespace")?, input)?;
        let (start, end, period) = span(input, &input["Period"])?;
        let datapoints = end.saturating_sub(start) / period;
        if datapoints > MAX_STATISTICS {
            return Err(CallError::bad(
                "InvalidParameterCombination",
                format!(
                    "You have requested up to {datapoints} datapoints, which exceeds the limit of {MAX_STATISTICS}. You may reduce the datapoints requested by increasing Period, or decreasing the time range."
                ),
            ));
        }
        let plain = texts(&input["Statistics"]);
        let extended = texts(&input["ExtendedStatistics"]);
        if plain.is_empty() && extended.is_empty() {
            return Err(CallError::bad(
                "MissingParameter",
                "At least one of the parameters Statistics and ExtendedStatistics must be specified.",
            ));
        }
        for name in &plain {
            one_of("statistics", name, &PLAIN_STATISTICS)?;
        }
        extended.iter().try_for_each(|name| check_statistic(name))?;
        let series = self.series.get(&key).filter(|series| unit_fits(input, series));
        let mut points = Vec::new();
        for (at, stats) in series.map(|series| series.periods(start, end, period)).unwrap_or_default() {
            let mut point =
                json!({"Timestamp": seconds(at), "Unit": series.map_or("None", |series| series.unit.as_str())});
            for name in &plain {
                point[name] = value_of(&stats, name)?;
            }
            if !extended.is_empty() {
                let values: Result<Map<String, Value>, CallError> =
                    extended.iter().map(|name| Ok((name.clone(), value_of(&stats, name)?))).collect();
                point["ExtendedStatistics"] = Value::Object(values?);
            }
            points.push(point);
        }
        Ok(json!({"Label": key.name, "Datapoints": points}))
    }

    /// What a statistic of a metric was in each period that has values.
    pub(super) fn points(
        &self,
        key: &Key,
        statistic: &str,
        unit: Option<&str>,
        (start_ms, end_ms): (i64, i64),
        period_ms: i64,
    ) -> BTreeMap<i64, f64> {
        let series = self.series.get(key).filter(|series| unit.is_none_or(|unit| unit == series.unit));
        let periods = series.map(|series| series.periods(start_ms, end_ms, period_ms)).unwrap_or_default();
        periods.into_iter().filter_map(|(at, stats)| Some((at, stats.get(statistic)?))).collect()
    }

    pub(super) fn data(&self, input: &Value) -> Answer {
        let ascending = text(input, "ScanBy") == Some("TimestampAscending");
        let queries = Queries::read(list(&input["MetricDataQueries"]))?;
        let (start, end) = times(input)?;
        for period in queries.periods() {
            check_period(period)?;
            if end.saturating_sub(start) / period.saturating_mul(1000) > MAX_DATAPOINTS {
                return Err(CallError::bad(
                    "InvalidParameterCombination",
                    "You have requested more datapoints than the limit.",
                ));
            }
        }
        let mut values = queries.evaluate(self, start, end)?;
        let mut results = Vec::new();
        for query in queries.returned() {
            for series in values.remove(&query.id).and_then(math::series_of).unwrap_or_default() {
                let mut points: Vec<(Value, Value)> =
                    series.points.iter().map(|(at, value)| (seconds(*at), json!(value))).collect();
                if !ascending {
                    points.reverse();
                }
                let (times, values): (Vec<Value>, Vec<Value>) = points.into_iter().unzip();
                let label = if series.label.is_empty() { &query.id } else { &series.label };
                results.push(json!({
                    "Id": query.id,
                    "Label": query.label.as_ref().unwrap_or(label),
                    "Timestamps": times,
                    "Values": values,
                    "StatusCode": "Complete",
                }));
            }
        }
        Ok(json!({"MetricDataResults": results, "Messages": []}))
    }

    pub(super) fn list(&self, input: &Value) -> Value {
        let namespace = text(input, "Namespace");
        let name = text(input, "MetricName");
        let dimensions = list(&input["Dimensions"]);
        let has = |key: &Key, wanted: &Value| {
            key.dimensions.iter().any(|(name, value)| {
                wanted["Name"].as_str() == Some(name) && wanted["Value"].as_str().is_none_or(|it| it == value)
            })
        };
        let found = self
            .series
            .keys()
            .filter(|key| {
                namespace.is_none_or(|it| it == key.namespace)
                    && name.is_none_or(|it| it == key.name)
                    && dimensions.iter().all(|wanted| has(key, wanted))
            })
            .map(
                |key| json!({"Namespace": key.namespace, "MetricName": key.name, "Dimensions": key.dimensions_shown()}),
            )
            .collect();
        page(found, "Metrics", input, LIST_PAGE)
    }
}

/// `place` counts from one, as AWS names the members of a list.
fn read_datum<'a>(
    namespace: &str,
    datum: &'a Value,
    place: usize,
) -> Result<(Key, i64, Stats, &'a str, bool), CallError> {
    let named = |member: &str| format!("MetricData.member.{place}.{member}");
    let key = Key::read(namespace, datum)?;
    no_more_than(&named("Dimensions"), list(&datum["Dimensions"]), MAX_DIMENSIONS)?;
    let now = clock::now_ms();
    let at_ms = time_ms(&datum["Timestamp"]).unwrap_or(now);
    if at_ms > now + FUTURE_MS {
        let name = named("Timestamp");
        return Err(invalid(format!("The parameter {name} must specify a time no more than two hours in the future.")));
    }
    if at_ms < now - PAST_MS {
        let name = named("Timestamp");
        return Err(invalid(format!("The parameter {name} must specify a time no more than two weeks in the past.")));
    }
    let unit = text(datum, "Unit").unwrap_or("None");
    let high_resolution = integer(&datum["StorageResolution"]).is_some_and(|seconds| seconds < 60);
    Ok((key, at_ms, read_values(datum, &named)?, unit, high_resolution))
}

/// A value, values with their counts, or a set that was aggregated by its sender: one of these.
fn read_values(datum: &Value, named: &impl Fn(&str) -> String) -> Result<Stats, CallError> {
    let given = |member: &str| {
        let value = &datum[member];
        !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty())
    };
    let both = |one: &str, other: &str| given(one) && given(other);
    for (one, other) in [("Value", "Values"), ("Value", "StatisticValues"), ("Values", "StatisticValues")] {
        if both(one, other) {
            return Err(exclusive(&named(one), &named(other)));
        }
    }
    let finite = |member: &str, value: &Value| {
        number(value).filter(|number| number.is_finite()).ok_or_else(|| {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            invalid(format!("The value {shown} for parameter {} is invalid.", named(member)))
        })
    };
    if given("Value") {
        return Ok(Stats::of(finite("Value", &datum["Value"])?, 1.0));
    }
    if given("Values") {
        let (values, counts) = (list(&datum["Values"]), list(&datum["Counts"]));
        no_more_than(&named("Values"), values, MAX_VALUES)?;
        if given("Counts") && counts.len() != values.len() {
            let (values, counts) = (named("Values"), named("Counts"));
            return Err(invalid(format!("The parameters {values} and {counts} must be of the same size.")));
        }
        let mut all = Stats::default();
        for (at, value) in values.iter().enumerate() {
            let count = counts.get(at).map_or(Ok(1.0), |count| finite("Counts", count))?;
            all.merge(&Stats::of(finite("Values", value)?, count));
        }
        return Ok(all);
    }
    if given("StatisticValues") {
        let set = &datum["StatisticValues"];
        let member = |name: &str| finite(&format!("StatisticValues.{name}"), &set[name]);
        return Ok(Stats::of_set(member("Sum")?, member("Minimum")?, member("Maximum")?, member("SampleCount")?));
    }
    Err(CallError::bad(
        "MissingParameter",
        "At least one of the parameters MetricData.Value, Values or StatisticValues must be specified.",
    ))
}

fn span(input: &Value, period: &Value) -> Result<(i64, i64, i64), CallError> {
    let (start, end) = times(input)?;
    let period = integer(period).unwrap_or_default();
    check_period(period)?;
    Ok((start, end, period.saturating_mul(1000)))
}

fn times(input: &Value) -> Result<(i64, i64), CallError> {
    let time = |name: &str| {
        time_ms(&input[name])
            .ok_or_else(|| CallError::bad("MissingParameter", format!("The parameter {name} is required.")))
    };
    let (start, end) = (time("StartTime")?, time("EndTime")?);
    if start >= end {
        return Err(invalid("The parameter StartTime must be less than the parameter EndTime."));
    }
    Ok((start, end))
}

fn check_period(period: i64) -> Result<(), CallError> {
    let legal = matches!(period, 1 | 5 | 10 | 20 | 30) || (period > 0 && period % 60 == 0);
    if legal { Ok(()) } else { Err(invalid("The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60.")) }
}

fn unit_fits(input: &Value, series: &Series) -> bool {
    text(input, "Unit").is_none_or(|unit| unit == series.unit)
}

/// Refuses what is no statistic.
pub(super) fn check_statistic(name: &str) -> Result<(), CallError> {
    let known = PLAIN_STATISTICS.contains(&name) || Stats::of(0.0, 1.0).get(name).is_some();
    if known { Ok(()) } else { Err(invalid(format!("The value {name} for parameter Statistic is not supported."))) }
}

fn value_of(stats: &Stats, name: &str) -> Answer {
    let value = stats.get(name).ok_or_else(|| invalid(format!("The statistic {name} is not supported.")))?;
    Ok(json!(value))
}

/// Epoch seconds, as times are in the tree.
pub(super) fn seconds(ms: i64) -> Value {
    json!(clock::seconds(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_stay_within_their_bytes_and_the_largest_gives_way() {
        let mut metrics = Metrics::default();
        let now = clock::now_ms();
        let key = |name: &str| Key::of("N", name, &[]);
        metrics.observe(key("small"), 1.0, "None");
        for minute in 0..1_000 {
            for value in 1..20 {
                let at_ms = now - minute * 60_000;
                metrics.add(key("large"), at_ms, &Stats::of(f64::from(value), 1.0), "None", minute % 2 == 0);
            }
        }
        let bytes = |metrics: &Metrics, name: &str| metrics.series.get(&key(name)).map_or(0, Series::bytes);
        let (small, large) = (bytes(&metrics, "small"), bytes(&metrics, "large"));
        metrics.bound(large);
        assert!(bytes(&metrics, "large") < large * 6 / 10);
        assert_eq!(bytes(&metrics, "small"), small);
        let newest = metrics.series.get(&key("large")).map(Series::latest_ms);
        assert!(newest.is_some_and(|at| at >= now - 60_000), "the newest values stay");
        metrics.bound(0);
        assert_eq!((bytes(&metrics, "small"), bytes(&metrics, "large")), (0, 0), "what was counted is given back");
    }
}
