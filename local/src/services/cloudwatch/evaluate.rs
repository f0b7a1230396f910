//! The state of a metric alarm from its data points, as AWS documents it ("Configuring how `CloudWatch` alarms treat missing
//! data" and its tables).

use std::collections::BTreeMap;

use chrono::DateTime;
use serde_json::{Value, json};
use streamkit_wire::clock;

use super::math;
use super::metrics::Metrics;
use super::queries::Queries;
use super::rule::{Missing, Rule};

/// AWS looks back some periods further than it has to evaluate; how many more is not documented, its tables show two.
const EXTRA_PERIODS: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Ok,
    Alarm,
    InsufficientData,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::Ok, Self::Alarm, Self::InsufficientData].into_iter().find(|state| state.name() == name)
    }
}

/// A state with AWS's explanation of it.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) state: State,
    pub(super) reason: String,
    pub(super) reason_data: Value,
}

/// One period of the evaluation range: its start and its value, if it has one.
type Point = (i64, Option<f64>);

/// The periods to look at, oldest first. The running period of a metric counts as soon as it has a value and more values could only
/// push it further up: a rehearsal should not wait a minute for an alarm that is certain.
pub(super) fn points(rule: &Rule, metrics: &Metrics, now_ms: i64) -> Vec<Point> {
    let range = i64::try_from(rule.periods + EXTRA_PERIODS).unwrap_or(i64::MAX);
    let current = now_ms.div_euclid(rule.period_ms) * rule.period_ms;
    let start = current.saturating_sub(range.saturating_mul(rule.period_ms));
    let end = current + rule.period_ms;
    let found = match (&rule.metric, &rule.math) {
        (Some(key), _) => metrics.points(key, &rule.statistic, rule.unit.as_deref(), (start, end), rule.period_ms),
        (None, Some(queries)) => computed(queries, metrics, start, current),
        (None, None) => BTreeMap::new(),
    };
    let value = |at: i64| found.get(&at).copied();
    let mut points: Vec<Point> =
        (1..=range).rev().map(|back| current - back * rule.period_ms).map(|at| (at, value(at))).collect();
    if rule.comparison.upwards()
        && let Some(running) = value(current)
    {
        points.push((current, Some(running)));
    }
    points
}

/// What the expression of an alarm gives; one that gives no single series, or fails with what there is now, gives nothing.
fn computed(queries: &Queries, metrics: &Metrics, start_ms: i64, end_ms: i64) -> BTreeMap<i64, f64> {
    let id = queries.returned().next().map(|query| query.id.as_str()).unwrap_or_default();
    let value = queries.evaluate(metrics, start_ms, end_ms).ok().and_then(|mut values| values.remove(id));
    value.and_then(|value| math::single(value).ok()).map(|series| series.points).unwrap_or_default()
}

/// The new state; `None` keeps the present one.
pub(super) fn verdict(rule: &Rule, points: &[Point], present: State, now_ms: i64) -> Option<Verdict> {
    let breaches = |value: f64| rule.comparison.breaches(value, rule.threshold);
    let known: Vec<(i64, f64)> = points.iter().filter_map(|(at, value)| Some((*at, (*value)?))).collect();
    let known = &known[known.len().saturating_sub(rule.periods)..];
    let absent = rule.periods - known.len();
    let breaching = known.iter().filter(|(_, value)| breaches(*value)).count();
    let all_breach = !known.is_empty() && breaching == known.len();
    // How many periods ago the oldest known breach was: an alarm may come before all data points are in.
    let age = points.iter().position(|(_, value)| value.is_some_and(breaches)).map_or(0, |at| points.len() - at);

    let state = if breaching >= rule.datapoints {
        State::Alarm
    } else {
        match rule.missing {
            Missing::Breaching if breaching + absent >= rule.datapoints => State::Alarm,
            Missing::Unknown if known.is_empty() => State::InsufficientData,
            Missing::Unknown if absent > 0 && all_breach && age >= rule.datapoints => State::Alarm,
            Missing::Ignore if known.is_empty() || (absent > 0 && all_breach) => return None,
            _ => State::Ok,
        }
    };
    Some(Verdict {
        state,
        reason: reason(rule, known, absent, present, state),
        reason_data: json!({
            "version": "1.0",
            "queryDate": aws_time(now_ms),
            "startDate": known.first().map(|(at, _)| aws_time(*at)),
            "statistic": rule.statistic,
            "period": rule.period_ms / 1000,
            "recentDatapoints": known.iter().map(|(_, value)| *value).collect::<Vec<f64>>(),
            "threshold": rule.threshold,
            "evaluatedDatapoints": known
                .iter()
                .rev()
                .map(|(at, value)| json!({"timestamp": aws_time(*at), "value": value}))
                .collect::<Vec<Value>>(),
        }),
    })
}

fn reason(rule: &Rule, known: &[(i64, f64)], absent: usize, present: State, state: State) -> String {
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    if state == State::InsufficientData {
        let verb = if rule.periods == 1 { "was" } else { "were" };
        return format!("Insufficient Data: {} datapoint{} {verb} unknown.", rule.periods, plural(rule.periods));
    }
    if known.is_empty() {
        let treated = if rule.missing == Missing::Breaching { "Breaching" } else { "NonBreaching" };
        return format!(
            "Threshold Crossed: no datapoints were received for {} period{} and {absent} missing datapoint{} {} treated as [{treated}].",
            rule.periods,
            plural(rule.periods),
            plural(absent),
            if absent == 1 { "was" } else { "were" },
        );
    }
    let alarm = state == State::Alarm;
    let listed: Vec<&(i64, f64)> =
        known.iter().rev().filter(|(_, value)| rule.comparison.breaches(*value, rule.threshold) == alarm).collect();
    let shown: Vec<String> = listed
        .iter()
        .map(|(at, value)| {
            let time = DateTime::from_timestamp_millis(*at).unwrap_or_default();
            format!("{value:?} ({})", time.format("%d/%m/%y %H:%M:%S"))
        })
        .collect();
    let needed = if alarm { rule.datapoints } else { rule.periods - rule.datapoints + 1 };
    format!(
        "Threshold Crossed: {} out of the last {} datapoint{} [{}] {} {}{} the threshold ({:?}) (minimum {needed} datapoint{} for {} -> {} transition).",
        listed.len(),
        rule.periods,
        plural(rule.periods),
        shown.join(", "),
        if listed.len() == 1 { "was" } else { "were" },
        if alarm { "" } else { "not " },
        rule.comparison.words(),
        rule.threshold,
        plural(needed),
        if alarm { "OK" } else { "ALARM" },
        state.name(),
    )
    .replace("OK -> OK", &format!("{} -> OK", present.name()))
}

/// `2026-11-21T02:03:04.567+0000`, as `CloudWatch` writes times into its messages.
pub(super) fn aws_time(ms: i64) -> String {
    clock::iso(ms).replace('Z', "+0000")
}

#[cfg(test)]
mod tests {
    use super::{Missing, State, verdict};
    use crate::services::cloudwatch::rule::{Comparison, Rule};

    /// `0` is a good data point, `X` a bad one, `-` none.
    fn outcome(points: &str, datapoints: usize, missing: Missing) -> Option<State> {
        let rule = Rule {
            metric: None,
            math: None,
            statistic: "Sum".into(),
            unit: None,
            period_ms: 60_000,
            periods: 3,
            datapoints,
            threshold: 10.0,
            comparison: Comparison::Greater,
            missing,
        };
        let points: Vec<(i64, Option<f64>)> = points
            .chars()
            .zip(0_i64..)
            .map(|(point, at)| {
                let value = match point {
                    '0' => Some(1.0),
                    'X' => Some(11.0),
                    _ => None,
                };
                (at * 60_000, value)
            })
            .collect();
        verdict(&rule, &points, State::Ok, 300_000).map(|verdict| verdict.state)
    }

    #[test]
    fn states_are_those_of_the_tables_in_the_cloudwatch_guide() {
        const A: Option<State> = Some(State::Alarm);
        const O: Option<State> = Some(State::Ok);
        const I: Option<State> = Some(State::InsufficientData);
        // Points, data points to alarm, then: missing, ignore (none = unchanged), breaching, notBreaching.
        let table = [
            ("0-X-X", 3, [O, O, O, O]),
            ("----0", 3, [O, O, O, O]),
            ("-----", 3, [I, None, A, O]),
            ("0XX-X", 3, [A, A, A, A]),
            ("--X--", 3, [A, None, A, O]),
            ("0-X-X", 2, [A, A, A, A]),
            ("00X0X", 2, [A, A, A, A]),
            ("0-X--", 2, [O, O, A, O]),
            ("----0", 2, [O, O, A, O]),
            ("---X-", 2, [A, None, A, O]),
        ];
        for (points, datapoints, wanted) in table {
            let kinds = [Missing::Unknown, Missing::Ignore, Missing::Breaching, Missing::NotBreaching];
            for (missing, wanted) in kinds.into_iter().zip(wanted) {
                assert_eq!(outcome(points, datapoints, missing), wanted, "{points} {datapoints} of 3, {missing:?}");
            }
        }
    }
}
