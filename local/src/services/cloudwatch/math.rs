//! Metric math: values, operators and functions.
//!
//! See <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html>.

use std::cell::Cell;
use std::collections::BTreeMap;

use chrono::{DateTime, Datelike as _, Timelike as _};
use streamkit_wire::clock::seconds;

use super::expression::{Expression, Operator};

/// Values by when their period begins, in epoch milliseconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct TimeSeries {
    pub(super) label: String,
    pub(super) period_ms: i64,
    pub(super) points: BTreeMap<i64, f64>,
}

/// What an expression gives.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Scalar(f64),
    Series(TimeSeries),
    Many(Vec<TimeSeries>),
}

/// Why an expression gives nothing, without the expression's id.
pub(super) type Failure = String;

/// What expressions are evaluated in.
pub(super) struct Surroundings<'a> {
    /// What the queries before have given.
    pub(super) values: &'a BTreeMap<String, Value>,
    /// The queries that are metrics themselves, in their order.
    pub(super) metrics: &'a [&'a str],
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    /// The period of what is made from nothing.
    pub(super) period_ms: i64,
    /// How many more points may be computed: a request must not take for ever.
    pub(super) points_left: &'a Cell<u64>,
}

/// The functions that [`call`](Surroundings::call) knows.
const FUNCTIONS: [&str; 33] = [
    "ABS",
    "AVG",
    "CEIL",
    "DATAPOINT_COUNT",
    "DATE",
    "DAY",
    "DIFF",
    "DIFF_TIME",
    "EPOCH",
    "FILL",
    "FIRST",
    "FLOOR",
    "HOUR",
    "IF",
    "LAST",
    "LOG",
    "LOG10",
    "MAX",
    "METRICS",
    "METRIC_COUNT",
    "MIN",
    "MINUTE",
    "MONTH",
    "PERIOD",
    "RATE",
    "REMOVE_EMPTY",
    "RUNNING_SUM",
    "SLICE",
    "STDDEV",
    "SUM",
    "TIME_SERIES",
    "YEAR",
    "COUNT",
];

/// Says what is wrong with an expression whatever its values are: a function that is not computed here.
pub(super) fn check(expression: &Expression) -> Result<(), Failure> {
    let mut unknown = None;
    expression.each(&mut |part| {
        if let Expression::Call(name, _) = part
            && !FUNCTIONS.contains(&name.as_str())
        {
            unknown.get_or_insert(name);
        }
    });
    unknown.map_or(Ok(()), |name| Err(format!("Unsupported function '{name}'")))
}

impl Surroundings<'_> {
    pub(super) fn evaluate(&self, expression: &Expression) -> Result<Value, Failure> {
        match expression {
            Expression::Number(number) => Ok(Value::Scalar(*number)),
            Expression::Id(id) => self.values.get(id).cloned().ok_or_else(|| format!("The id '{id}' does not exist")),
            Expression::Negative(part) => self.each_value(self.evaluate(part)?, |value| -value),
            Expression::Operation(operator, one, other) => {
                let (one, other) = (self.evaluate(one)?, self.evaluate(other)?);
                self.combine(one, other, &|one, other| apply(*operator, one, other))
            }
            Expression::List(parts) => {
                let mut all = Vec::new();
                for part in parts {
                    all.extend(self.many(part)?);
                }
                Ok(Value::Many(all))
            }
            Expression::Call(name, arguments) => self.call(name, arguments),
            Expression::Text(text) | Expression::Word(text) => Err(format!("'{text}' is not a value")),
        }
    }

    fn call(&self, name: &str, arguments: &[Expression]) -> Result<Value, Failure> {
        let first = || arguments.first().ok_or_else(|| format!("{name} needs an argument"));
        let value = || self.evaluate(first()?);
        match name {
            "ABS" => self.each_value(value()?, f64::abs),
            "CEIL" => self.each_value(value()?, f64::ceil),
            "FLOOR" => self.each_value(value()?, f64::floor),
            "LOG" => self.each_value(value()?, f64::ln),
            "LOG10" => self.each_value(value()?, f64::log10),
            "SUM" | "AVG" | "MIN" | "MAX" | "STDDEV" => self.aggregate(name, value()?),
            "DIFF" => self.steps(value()?, |_, before, now| now - before),
            "DIFF_TIME" => self.steps(value()?, |seconds, _, _| seconds),
            "RATE" => self.steps(value()?, |seconds, before, now| (now - before) / seconds),
            "RUNNING_SUM" => self.each_series(value()?, |series| {
                let mut sum = 0.0;
                series.points.values_mut().for_each(|value| {
                    sum += *value;
                    *value = sum;
                });
            }),
            "PERIOD" => Ok(Value::Scalar(seconds(single(value()?)?.period_ms))),
            "DATAPOINT_COUNT" | "COUNT" => Ok(Value::Scalar(count(single(value()?)?.points.len()))),
            "METRIC_COUNT" => Ok(Value::Scalar(count(self.many(first()?)?.len()))),
            "MINUTE" | "HOUR" | "DAY" | "DATE" | "MONTH" | "YEAR" | "EPOCH" => self.each_series(value()?, |series| {
                series.points.iter_mut().for_each(|(at, value)| *value = part_of_time(name, *at));
            }),
            "TIME_SERIES" => match value()? {
                Value::Scalar(scalar) => self.constant(scalar).map(Value::Series),
                other => Ok(other),
            },
            "FILL" => {
                let filler = arguments.get(1).ok_or("FILL needs a value, REPEAT or LINEAR")?;
                self.fill(value()?, filler)
            }
            "IF" => self.choose(arguments),
            "METRICS" => {
                let part = match arguments.first() {
                    Some(Expression::Text(part)) => part.as_str(),
                    Some(_) => return Err("METRICS takes a text".to_owned()),
                    None => "",
                };
                let chosen = self.metrics.iter().filter(|id| id.contains(part));
                let values = chosen.filter_map(|id| self.values.get(*id).cloned());
                Ok(Value::Many(values.flat_map(|value| series_of(value).unwrap_or_default()).collect()))
            }
            "REMOVE_EMPTY" => {
                let mut all = self.many(first()?)?;
                all.retain(|series| !series.points.is_empty());
                Ok(Value::Many(all))
            }
            "FIRST" | "LAST" => {
                let mut all = self.many(first()?)?;
                let chosen = if name == "FIRST" { all.drain(..).next() } else { all.pop() };
                chosen.map(Value::Series).ok_or_else(|| format!("{name} of no time series"))
            }
            "SLICE" => {
                let all = self.many(first()?)?;
                let place = |at: usize, absent: usize| match arguments.get(at).map(|place| self.evaluate(place)) {
                    None => Ok(absent),
                    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
                    Some(Ok(Value::Scalar(place))) if place >= 0.0 => Ok(place as usize),
                    Some(_) => Err("SLICE takes places in a list".to_owned()),
                };
                let (from, to) = (place(1, 0)?, place(2, all.len())?);
                Ok(Value::Many(all.into_iter().take(to).skip(from).collect()))
            }
            _ => Err(format!("Unsupported function '{name}'")),
        }
    }

    /// Counts points that are to be computed.
    fn spend(&self, points: usize) -> Result<(), Failure> {
        let left = self.points_left.get().checked_sub(points as u64 + 1);
        self.points_left.set(left.ok_or("The expression is too complex")?);
        Ok(())
    }

    fn many(&self, expression: &Expression) -> Result<Vec<TimeSeries>, Failure> {
        series_of(self.evaluate(expression)?)
            .ok_or_else(|| "a time series is needed where there is a number".to_owned())
    }

    fn each_value(&self, value: Value, change: impl Fn(f64) -> f64) -> Result<Value, Failure> {
        match value {
            Value::Scalar(scalar) => Ok(Value::Scalar(change(scalar))),
            other => self.each_series(other, |series| {
                series.points.values_mut().for_each(|value| *value = change(*value));
                series.points.retain(|_, value| value.is_finite());
            }),
        }
    }

    fn each_series(&self, value: Value, change: impl Fn(&mut TimeSeries)) -> Result<Value, Failure> {
        let changed = |mut series: TimeSeries| {
            self.spend(series.points.len())?;
            change(&mut series);
            Ok::<_, Failure>(series)
        };
        match value {
            Value::Scalar(_) => Err("a time series is needed where there is a number".to_owned()),
            Value::Series(series) => changed(series).map(Value::Series),
            Value::Many(all) => all.into_iter().map(changed).collect::<Result<_, _>>().map(Value::Many),
        }
    }

    /// What two neighbours of a series give, at the later one: from the seconds between them, and their values.
    fn steps(&self, value: Value, step: impl Fn(f64, f64, f64) -> f64) -> Result<Value, Failure> {
        self.each_series(value, |series| {
            let pairs = series.points.iter().zip(series.points.iter().skip(1));
            series.points =
                pairs.map(|(before, now)| (*now.0, step(seconds(now.0 - before.0), *before.1, *now.1))).collect();
        })
    }

    /// Joins two values, point by point; points that only one of two series has are left out, and so is what is no number.
    fn combine(&self, one: Value, other: Value, join: &impl Fn(f64, f64) -> f64) -> Result<Value, Failure> {
        match (one, other) {
            (Value::Scalar(one), Value::Scalar(other)) => Ok(Value::Scalar(join(one, other))),
            (one, Value::Scalar(other)) => self.each_value(one, |value| join(value, other)),
            (Value::Scalar(one), other) => self.each_value(other, |value| join(one, value)),
            (Value::Series(one), Value::Series(other)) => self.joined(one, &other, join).map(Value::Series),
            (Value::Many(all), Value::Series(other)) => {
                all.into_iter().map(|one| self.joined(one, &other, join)).collect::<Result<_, _>>().map(Value::Many)
            }
            (Value::Series(one), Value::Many(all)) => {
                let flipped = |other: f64, one: f64| join(one, other);
                all.into_iter()
                    .map(|other| self.joined(other, &one, &flipped))
                    .collect::<Result<_, _>>()
                    .map(Value::Many)
            }
            (Value::Many(_), Value::Many(_)) => Err("two lists of time series can't be joined".to_owned()),
        }
    }

    fn joined(
        &self,
        mut one: TimeSeries,
        other: &TimeSeries,
        join: &impl Fn(f64, f64) -> f64,
    ) -> Result<TimeSeries, Failure> {
        self.spend(one.points.len())?;
        one.period_ms = one.period_ms.max(other.period_ms);
        one.points = one
            .points
            .iter()
            .filter_map(|(at, value)| Some((*at, join(*value, *other.points.get(at)?))))
            .filter(|(_, value)| value.is_finite())
            .collect();
        Ok(one)
    }

    /// Of one series a number, of several a series.
    fn aggregate(&self, name: &str, value: Value) -> Result<Value, Failure> {
        match value {
            Value::Scalar(scalar) => Ok(Value::Scalar(scalar)),
            Value::Series(series) => {
                self.spend(series.points.len())?;
                let values: Vec<f64> = series.points.into_values().collect();
                Ok(Value::Scalar(statistic(name, &values, values.len()).unwrap_or_default()))
            }
            Value::Many(all) => {
                self.spend(all.iter().map(|series| series.points.len()).sum())?;
                let mut by_time: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
                for (at, value) in all.iter().flat_map(|series| &series.points) {
                    by_time.entry(*at).or_default().push(*value);
                }
                // What a series lacks counts as nothing, not as absent.
                let points =
                    by_time.into_iter().filter_map(|(at, values)| Some((at, statistic(name, &values, all.len())?)));
                let period_ms = all.iter().map(|series| series.period_ms).max().unwrap_or(self.period_ms);
                Ok(Value::Series(TimeSeries { label: String::new(), period_ms, points: points.collect() }))
            }
        }
    }

    pub(super) fn constant(&self, value: f64) -> Result<TimeSeries, Failure> {
        self.spend(usize::try_from((self.end_ms - self.start_ms) / self.period_ms).unwrap_or(usize::MAX - 1))?;
        let points = self.times(self.period_ms).map(|at| (at, value)).collect();
        Ok(TimeSeries { label: String::new(), period_ms: self.period_ms, points })
    }

    /// The beginnings of all periods.
    fn times(&self, period_ms: i64) -> impl Iterator<Item = i64> + use<> {
        let (first, end) = (self.start_ms - self.start_ms.rem_euclid(period_ms), self.end_ms);
        std::iter::successors(Some(first), move |at| Some(at + period_ms)).take_while(move |at| *at < end)
    }

    fn fill(&self, value: Value, filler: &Expression) -> Result<Value, Failure> {
        let by = match filler {
            Expression::Word(word) if matches!(word.as_str(), "REPEAT" | "LINEAR") => None,
            other => Some(self.evaluate(other)?),
        };
        let repeats = matches!(filler, Expression::Word(word) if word == "REPEAT");
        let periods = usize::try_from((self.end_ms - self.start_ms) / self.period_ms.max(1)).unwrap_or(usize::MAX / 2);
        let lists = if let Value::Many(all) = &value { all.len() } else { 1 };
        self.spend(periods.saturating_mul(lists))?;
        self.each_series(value, |series| {
            let known = series.points.clone();
            for at in self.times(series.period_ms).filter(|at| !known.contains_key(at)) {
                let value = match &by {
                    Some(Value::Scalar(scalar)) => Some(*scalar),
                    Some(Value::Series(other)) => other.points.get(&at).copied(),
                    Some(Value::Many(_)) => None,
                    None => {
                        let before = known.range(..at).next_back();
                        let after = known.range(at..).next();
                        match (before, after) {
                            (Some((_, value)), _) if repeats => Some(*value),
                            (Some((from, one)), Some((to, other))) if !repeats => {
                                Some(one + (other - one) * seconds(at - from) / seconds(to - from))
                            }
                            _ => None,
                        }
                    }
                };
                if let Some(value) = value {
                    series.points.insert(at, value);
                }
            }
        })
    }

    fn choose(&self, arguments: &[Expression]) -> Result<Value, Failure> {
        let [condition, yes, rest @ ..] = arguments else { return Err("IF needs a condition and a value".to_owned()) };
        let (condition, yes) = (self.evaluate(condition)?, self.evaluate(yes)?);
        let no = rest.first().map(|no| self.evaluate(no)).transpose()?;
        let condition = match condition {
            Value::Scalar(scalar) => {
                let empty = || Value::Series(TimeSeries { period_ms: self.period_ms, ..TimeSeries::default() });
                return Ok(if scalar == 0.0 { no.unwrap_or_else(empty) } else { yes });
            }
            other => single(other)?,
        };
        self.spend(condition.points.len())?;
        let value = |of: &Value, at: i64| match of {
            Value::Scalar(scalar) => Some(*scalar),
            Value::Series(series) => series.points.get(&at).copied(),
            Value::Many(_) => None,
        };
        let points = condition.points.iter().filter_map(|(at, holds)| {
            let chosen = if *holds == 0.0 { no.as_ref()? } else { &yes };
            Some((*at, value(chosen, *at)?))
        });
        let points = points.collect();
        Ok(Value::Series(TimeSeries { points, ..condition }))
    }
}

/// A value as time series; a number is none.
/// The series of a value; none of a number.
pub(super) fn series_of(value: Value) -> Option<Vec<TimeSeries>> {
    match value {
        Value::Scalar(_) => None,
        Value::Series(series) => Some(vec![series]),
        Value::Many(all) => Some(all),
    }
}

pub(super) fn single(value: Value) -> Result<TimeSeries, Failure> {
    match value {
        Value::Series(series) => Ok(series),
        Value::Many(mut all) if all.len() == 1 => Ok(all.remove(0)),
        _ => Err("one time series is needed".to_owned()),
    }
}

fn apply(operator: Operator, one: f64, other: f64) -> f64 {
    let truth = |holds: bool| f64::from(u8::from(holds));
    match operator {
        Operator::Add => one + other,
        Operator::Subtract => one - other,
        Operator::Multiply => one * other,
        Operator::Divide => one / other,
        Operator::Power => one.powf(other),
        #[expect(clippy::float_cmp, reason = "it is what the expression asks for")]
        Operator::Equal => truth(one == other),
        #[expect(clippy::float_cmp, reason = "it is what the expression asks for")]
        Operator::NotEqual => truth(one != other),
        Operator::Less => truth(one < other),
        Operator::LessOrEqual => truth(one <= other),
        Operator::Greater => truth(one > other),
        Operator::GreaterOrEqual => truth(one >= other),
        Operator::And => truth(one != 0.0 && other != 0.0),
        Operator::Or => truth(one != 0.0 || other != 0.0),
    }
}

/// A statistic of some values, of which there are `count`: those that are missing are 0 to an average.
fn statistic(name: &str, values: &[f64], of: usize) -> Option<f64> {
    let sum: f64 = values.iter().sum();
    let mean = sum / count(of);
    match name {
        "SUM" => Some(sum),
        "AVG" => Some(mean),
        "MIN" => values.iter().copied().reduce(f64::min),
        "MAX" => values.iter().copied().reduce(f64::max),
        _ => {
            let missing = count(of.saturating_sub(values.len()));
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() + missing * mean.powi(2);
            Some((squares / count(of)).sqrt())
        }
    }
    .filter(|value| value.is_finite())
}

fn part_of_time(name: &str, at_ms: i64) -> f64 {
    let time = DateTime::from_timestamp_millis(at_ms).unwrap_or_default();
    match name {
        "MINUTE" => time.minute().into(),
        "HOUR" => time.hour().into(),
        // Monday is 1.
        "DAY" => time.weekday().number_from_monday().into(),
        "DATE" => time.day().into(),
        "MONTH" => time.month().into(),
        "YEAR" => time.year().into(),
        _ => seconds(at_ms),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn count(of: usize) -> f64 {
    of as f64
}
