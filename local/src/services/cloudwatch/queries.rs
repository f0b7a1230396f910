//! The queries of `GetMetricData` and of metric-math alarms: metrics and expressions over them, by their ids.

use std::cell::Cell;
use std::collections::BTreeMap;

use serde_json::Value as Json;
use streamkit_wire::CallError;
use streamkit_wire::input::{flag, integer, required, text};

use super::expression::Expression;
use super::math::{self, Surroundings, TimeSeries, Value};
use super::metrics::{Key, Metrics, check_statistic};
use super::validation::validation_error;

const MAX_QUERIES: usize = 500;
/// Points that the expressions of one request may compute.
const MAX_POINTS: u64 = 3_000_000;
/// The period of an expression without metrics.
const DEFAULT_PERIOD: i64 = 60;

/// Queries that refer to each other by their ids.
#[derive(Debug, Clone)]
pub(super) struct Queries {
    all: Vec<Query>,
    /// Places of the queries, each after those that it needs.
    order: Vec<usize>,
}

#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) id: String,
    pub(super) label: Option<String>,
    pub(super) returns: bool,
    period: Option<i64>,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Metric { key: Key, statistic: String, unit: Option<String> },
    Math(Expression),
}

impl Queries {
    pub(super) fn read(queries: &[Json]) -> Result<Self, CallError> {
        if queries.len() > MAX_QUERIES {
            return Err(validation_error(format!("There are more than {MAX_QUERIES} queries.")));
        }
        let all: Vec<Query> = queries.iter().map(Query::read).collect::<Result<_, _>>()?;
        let order = order(&all)?;
        Ok(Self { all, order })
    }

    /// Those whose data are wanted.
    pub(super) fn returned(&self) -> impl Iterator<Item = &Query> {
        self.all.iter().filter(|query| query.returns)
    }

    /// The longest period of the metrics, in seconds.
    pub(super) fn period(&self) -> i64 {
        let metrics = self.all.iter().filter(|query| matches!(query.what, What::Metric { .. }));
        let longest = metrics.filter_map(|query| query.period).max();
        longest.or_else(|| self.all.iter().filter_map(|query| query.period).max()).unwrap_or(DEFAULT_PERIOD)
    }

    /// The periods of all metrics, in seconds.
    pub(super) fn periods(&self) -> impl Iterator<Item = i64> {
        self.all.iter().filter_map(|query| query.period)
    }

    /// What each query gives between two times.
    pub(super) fn evaluate(
        &self,
        metrics: &Metrics,
        start_ms: i64,
        end_ms: i64,
    ) -> Result<BTreeMap<String, Value>, CallError> {
        let points_left = Cell::new(MAX_POINTS);
        let ids: Vec<&str> = self
            .all
            .iter()
            .filter(|query| matches!(query.what, What::Metric { .. }))
            .map(|query| query.id.as_str())
            .collect();
        let mut values = BTreeMap::new();
        for query in self.order.iter().filter_map(|place| self.all.get(*place)) {
            let value = match &query.what {
                What::Metric { key, statistic, unit } => {
                    let period_ms = query.period.unwrap_or(DEFAULT_PERIOD).saturating_mul(1000);
                    let points = metrics.points(key, statistic, unit.as_deref(), (start_ms, end_ms), period_ms);
                    Value::Series(TimeSeries { label: key.name.clone(), period_ms, points })
                }
                What::Math(expression) => {
                    let period_ms = query.period.unwrap_or_else(|| self.period()).saturating_mul(1000);
                    let surroundings = Surroundings {
                        values: &values,
                        metrics: &ids,
                        start_ms,
                        end_ms,
                        period_ms,
                        points_left: &points_left,
                    };
                    match surroundings.evaluate(expression).map_err(|why| in_expression(&query.id, &why))? {
                        // A number is the same at all times.
                        Value::Scalar(value) if query.returns => {
                            let series = surroundings.constant(value).map_err(|why| in_expression(&query.id, &why))?;
                            Value::Series(series)
                        }
                        value => value,
                    }
                }
            };
            values.insert(query.id.clone(), value);
        }
        Ok(values)
    }
}

impl Query {
    fn read(query: &Json) -> Result<Self, CallError> {
        const MAX_ID: usize = 255;
        let id = required(query, "Id")?;
        let legal = id.starts_with(|letter: char| letter.is_ascii_lowercase())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && id.len() <= MAX_ID;
        if !legal {
            return Err(validation_error(format!(
                "The value {id} for parameter Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$."
            )));
        }
        let stat = &query["MetricStat"];
        let (what, period) = match (text(query, "Expression"), stat.is_object()) {
            (Some(expression), false) => {
                let parsed = Expression::parse(expression).ok_or_else(|| in_expression(id, "Invalid syntax"))?;
                math::check(&parsed).map_err(|why| in_expression(id, &why))?;
                (What::Math(parsed), integer(&query["Period"]))
            }
            (None, true) => {
                let key = Key::read(required(&stat["Metric"], "Namespace")?, &stat["Metric"])?;
                let statistic = required(stat, "Stat")?;
                check_statistic(statistic)?;
                let unit = text(stat, "Unit").map(str::to_owned);
                (
                    What::Metric { key, statistic: statistic.to_owned(), unit },
                    Some(integer(&stat["Period"]).unwrap_or_default()),
                )
            }
            _ => {
                return Err(validation_error(format!(
                    "Exactly one of MetricStat or Expression must be specified for the query {id}."
                )));
            }
        };
        Ok(Self {
            id: id.to_owned(),
            label: text(query, "Label").map(str::to_owned),
            returns: flag(&query["ReturnData"]).unwrap_or(true),
            period,
            what,
        })
    }

    pub(super) fn period(&self) -> Option<i64> {
        self.period
    }

    /// The metric, if the query is one by itself: key, statistic, unit.
    pub(super) fn metric(&self) -> Option<(&Key, &str, Option<&str>)> {
        match &self.what {
            What::Metric { key, statistic, unit } => Some((key, statistic, unit.as_deref())),
            What::Math(_) => None,
        }
    }

    /// The ids that the query needs; `METRICS` needs all metrics, which come first.
    fn needs(&self) -> Vec<&str> {
        let mut ids = Vec::new();
        if let What::Math(expression) = &self.what {
            expression.each(&mut |part| {
                if let Expression::Id(id) = part {
                    ids.push(id.as_str());
                }
            });
        }
        ids
    }
}

/// Puts each query after those that it needs.
fn order(all: &[Query]) -> Result<Vec<usize>, CallError> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, query) in all.iter().enumerate() {
        if places.insert(&query.id, place).is_some() {
            return Err(validation_error(format!("The id {} is used more than once.", query.id)));
        }
    }
    let mut order: Vec<usize> = (0..all.len()).filter(|place| all[*place].metric().is_some()).collect();
    let mut waiting: Vec<usize> = (0..all.len()).filter(|place| all[*place].metric().is_none()).collect();
    for query in all {
        if let Some(unknown) = query.needs().into_iter().find(|id| !places.contains_key(id)) {
            return Err(in_expression(&query.id, &format!("The id '{unknown}' does not exist")));
        }
    }
    while !waiting.is_empty() {
        let (ready, rest): (Vec<usize>, Vec<usize>) = waiting.iter().partition(|place| {
            all[**place].needs().iter().all(|id| places.get(id).is_some_and(|needed| order.contains(needed)))
        });
        if ready.is_empty() {
            return Err(in_expression(&all[rest[0]].id, "The expression refers to itself"));
        }
        order.extend(ready);
        waiting = rest;
    }
    Ok(order)
}

fn in_expression(id: &str, why: &str) -> CallError {
    validation_error(format!("Error in expression '{id}': {why}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::series::Stats;
    use super::*;

    /// Three minutes of `a` (1, 2, 4) and of `b` (10, none, 40).
    fn metrics() -> (Metrics, i64) {
        let start = (streamkit_wire::clock::now_ms() / 3_600_000 - 1) * 3_600_000;
        let mut metrics = Metrics::default();
        for (name, minute, value) in [("a", 0, 1.0), ("a", 1, 2.0), ("a", 2, 4.0), ("b", 0, 10.0), ("b", 2, 40.0)] {
            metrics.add(Key::of("N", name, &[]), start + minute * 60_000, &Stats::of(value, 1.0), "None", false);
        }
        (metrics, start)
    }

    fn stat(id: &str) -> Json {
        json!({"Id": id, "MetricStat": {"Metric": {"Namespace": "N", "MetricName": id}, "Period": 60, "Stat": "Sum"}, "ReturnData": false})
    }

    fn evaluated(expression: &str) -> Result<Vec<Vec<f64>>, String> {
        let (metrics, start) = metrics();
        let queries = [stat("a"), stat("b"), json!({"Id": "e", "Expression": expression})];
        let read = Queries::read(&queries).map_err(|error| error.message)?;
        let values = read.evaluate(&metrics, start, start + 180_000).map_err(|error| error.message)?;
        Ok(match &values["e"] {
            Value::Series(series) => vec![series.points.values().copied().collect()],
            Value::Many(all) => all.iter().map(|series| series.points.values().copied().collect()).collect(),
            Value::Scalar(_) => Vec::new(),
        })
    }

    #[test]
    fn expressions_give_what_cloudwatch_documents() {
        for (expression, wanted) in [
            ("a * 2 + 1", &[&[3.0, 5.0, 9.0][..]][..]),
            ("a + b", &[&[11.0, 44.0]]),
            ("b / (a - 1)", &[&[40.0 / 3.0]]),
            ("a > 1", &[&[0.0, 1.0, 1.0]]),
            ("a > 1 AND b > 1", &[&[0.0, 1.0]]),
            ("-a", &[&[-1.0, -2.0, -4.0]]),
            ("SUM([a, b])", &[&[11.0, 2.0, 44.0]]),
            ("AVG(METRICS())", &[&[5.5, 1.0, 22.0]]),
            ("MAX(METRICS('b'))", &[&[10.0, 40.0]]),
            ("METRICS()", &[&[1.0, 2.0, 4.0], &[10.0, 40.0]]),
            ("METRICS() / a", &[&[1.0, 1.0, 1.0], &[10.0, 10.0]]),
            ("SUM(a)", &[&[7.0, 7.0, 7.0]]),
            ("a / MAX(a)", &[&[0.25, 0.5, 1.0]]),
            ("FILL(b, 0)", &[&[10.0, 0.0, 40.0]]),
            ("FILL(b, REPEAT)", &[&[10.0, 10.0, 40.0]]),
            ("FILL(b, LINEAR)", &[&[10.0, 25.0, 40.0]]),
            ("FILL(b, a)", &[&[10.0, 2.0, 40.0]]),
            ("IF(a > 1, a, 0)", &[&[0.0, 2.0, 4.0]]),
            ("IF(a > 1, b)", &[&[40.0]]),
            ("IF(1, a, b)", &[&[1.0, 2.0, 4.0]]),
            ("RATE(a) * PERIOD(a)", &[&[1.0, 2.0]]),
            ("DIFF(a)", &[&[1.0, 2.0]]),
            ("DIFF_TIME(a)", &[&[60.0, 60.0]]),
            ("RUNNING_SUM(a)", &[&[1.0, 3.0, 7.0]]),
            ("MINUTE(a)", &[&[0.0, 1.0, 2.0]]),
            ("TIME_SERIES(5)", &[&[5.0, 5.0, 5.0]]),
            ("LAST(METRICS())", &[&[10.0, 40.0]]),
            ("DATAPOINT_COUNT(b) + METRIC_COUNT(METRICS())", &[&[4.0, 4.0, 4.0]]),
        ] {
            let wanted: Vec<Vec<f64>> = wanted.iter().map(|series| series.to_vec()).collect();
            assert_eq!(evaluated(expression), Ok(wanted), "{expression}");
        }
    }

    #[test]
    fn wrong_expressions_are_refused_with_their_id() {
        for (expression, why) in [
            ("a +", "Invalid syntax"),
            ("FOO(a)", "Unsupported function 'FOO'"),
            ("ANOMALY_DETECTION_BAND(a)", "Unsupported function 'ANOMALY_DETECTION_BAND'"),
            ("c", "The id 'c' does not exist"),
            ("e + 1", "The expression refers to itself"),
            ("RATE(1)", "a time series is needed where there is a number"),
            ("METRICS() + METRICS()", "two lists of time series can't be joined"),
        ] {
            assert_eq!(evaluated(expression), Err(format!("Error in expression 'e': {why}")), "{expression}");
        }
        let both = json!({"Id": "e", "Expression": "1", "MetricStat": {}});
        for queries in [vec![stat("a"), stat("a")], vec![json!({"Id": "A", "Expression": "1"})], vec![both]] {
            assert_eq!(
                Queries::read(&queries).map(drop).map_err(|error| error.code),
                Err("ValidationError".to_owned())
            );
        }
    }

    #[test]
    fn expressions_that_compute_too_much_end() {
        let (metrics, start) = metrics();
        let long = vec!["FILL(a, 0)"; 60].join("+");
        let queries: Vec<Json> = std::iter::once(stat("a"))
            .chain((0..400).map(|number| json!({"Id": format!("e{number}"), "Expression": long})))
            .collect();
        let read = Queries::read(&queries).expect("they can be read");
        let refused = read.evaluate(&metrics, start - 86_400_000, start).map(drop).map_err(|error| error.message);
        assert!(refused.is_err_and(|why| why.ends_with("The expression is too complex")));
    }
}
