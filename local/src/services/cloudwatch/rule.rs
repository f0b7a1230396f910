//! What a metric alarm asks of its metric, read from `PutMetricAlarm`.

use serde_json::Value;
use streamkit_wire::CallError;
use streamkit_wire::input::{integer, list, number, required, text};

use super::metrics::{Key, PLAIN_STATISTICS, check_statistic};
use super::queries::Queries;
use super::service::invalid;
use super::validation::{one_of, validation_error};

/// Those with two thresholds are of anomaly bands.
const COMPARISONS: [&str; 7] = [
    "GreaterThanOrEqualToThreshold",
    "GreaterThanThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
    "LessThanLowerOrGreaterThanUpperThreshold",
    "LessThanLowerThreshold",
    "GreaterThanUpperThreshold",
];
const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Comparison {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "GreaterThanThreshold" => Self::Greater,
            "GreaterThanOrEqualToThreshold" => Self::GreaterOrEqual,
            "LessThanThreshold" => Self::Less,
            "LessThanOrEqualToThreshold" => Self::LessOrEqual,
            _ => return None,
        })
    }

    pub(super) fn breaches(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Greater => value > threshold,
            Self::GreaterOrEqual => value >= threshold,
            Self::Less => value < threshold,
            Self::LessOrEqual => value <= threshold,
        }
    }

    /// Whether more values in a period can only push it further over the threshold.
    pub(super) fn upwards(self) -> bool {
        matches!(self, Self::Greater | Self::GreaterOrEqual)
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Greater => "greater than",
            Self::GreaterOrEqual => "greater than or equal to",
            Self::Less => "less than",
            Self::LessOrEqual => "less than or equal to",
        }
    }
}

/// What an absent data point counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Unknown,
    Ignore,
    Breaching,
    NotBreaching,
}

impl Missing {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "missing" => Self::Unknown,
            "ignore" => Self::Ignore,
            "breaching" => Self::Breaching,
            "notBreaching" => Self::NotBreaching,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// None for metric math.
    pub(super) metric: Option<Key>,
    /// The queries of metric math, one of which gives the values.
    pub(super) math: Option<Queries>,
    pub(super) statistic: String,
    pub(super) unit: Option<String>,
    pub(super) period_ms: i64,
    pub(super) periods: usize,
    pub(super) datapoints: usize,
    pub(super) threshold: f64,
    pub(super) comparison: Comparison,
    pub(super) missing: Missing,
}

impl Rule {
    pub(super) fn read(input: &Value) -> Result<Self, CallError> {
        let comparison = required(input, "ComparisonOperator")?;
        one_of("comparisonOperator", comparison, &COMPARISONS)?;
        let comparison = Comparison::parse(comparison).ok_or_else(|| {
            invalid(format!("The comparison operator {comparison} is not supported by the embedded AWS."))
        })?;
        let threshold = number(&input["Threshold"])
            .ok_or_else(|| CallError::bad("MissingParameter", "The parameter Threshold is required."))?;
        let periods = positive(input, "EvaluationPeriods")?
            .ok_or_else(|| CallError::bad("MissingParameter", "The parameter EvaluationPeriods is required."))?;
        let datapoints = positive(input, "DatapointsToAlarm")?.unwrap_or(periods);
        if datapoints > periods {
            return Err(invalid("DatapointsToAlarm must not be greater than EvaluationPeriods."));
        }
        let missing = text(input, "TreatMissingData").unwrap_or("missing");
        let missing = Missing::parse(missing)
            .ok_or_else(|| invalid(format!("The option {missing} for TreatMissingData is not valid.")))?;
        let source = Source::read(input)?;
        let legal = matches!(source.period, 10 | 20 | 30) || (source.period > 0 && source.period % 60 == 0);
        if !legal {
            return Err(invalid("The parameter Period must be 10, 20, 30 or a multiple of 60."));
        }
        let looked_back = source.period.max(1).saturating_mul(i64::try_from(periods).unwrap_or(i64::MAX));
        if source.period >= HOUR && looked_back > WEEK {
            return Err(validation_error(format!(
                "Metrics cannot be checked across more than a week (EvaluationPeriods * Period must be <= {WEEK}) for alarms using period >= {HOUR}"
            )));
        }
        if source.period < HOUR && looked_back > DAY {
            return Err(validation_error(format!(
                "Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be <= {DAY})."
            )));
        }
        Ok(Self {
            metric: source.metric,
            math: source.math,
            statistic: source.statistic,
            unit: source.unit,
            period_ms: source.period.max(1) * 1000,
            periods,
            datapoints,
            threshold,
            comparison,
            missing,
        })
    }
}

/// Where an alarm's values come from: its own members, or the one query of `Metrics` that returns data.
struct Source {
    metric: Option<Key>,
    math: Option<Queries>,
    statistic: String,
    unit: Option<String>,
    period: i64,
}

impl Source {
    fn read(input: &Value) -> Result<Self, CallError> {
        let queries = list(&input["Metrics"]);
        if queries.is_empty() {
            let statistic = text(input, "Statistic").or_else(|| text(input, "ExtendedStatistic")).ok_or_else(|| {
                CallError::bad("MissingParameter", "One of the parameters Statistic and ExtendedStatistic is required.")
            })?;
            if let Some(plain) = text(input, "Statistic") {
                one_of("statistic", plain, &PLAIN_STATISTICS)?;
            }
            check_statistic(statistic)?;
            return Ok(Self {
                metric: Some(Key::read(required(input, "Namespace")?, input)?),
                math: None,
                statistic: statistic.to_owned(),
                unit: text(input, "Unit").map(str::to_owned),
                period: integer(&input["Period"]).unwrap_or_default(),
            });
        }
        let queries = Queries::read(queries)?;
        let period = queries.period();
        let mut returned = queries.returned();
        let (Some(query), None) = (returned.next(), returned.next()) else {
            return Err(validation_error("Exactly one element of the metrics list should return data."));
        };
        if let Some((key, statistic, unit)) = query.metric() {
            return Ok(Self {
                metric: Some(key.clone()),
                math: None,
                statistic: statistic.to_owned(),
                unit: unit.map(str::to_owned),
                period: query.period().unwrap_or_default(),
            });
        }
        drop(returned);
        Ok(Self { metric: None, math: Some(queries), statistic: String::new(), unit: None, period })
    }
}

fn positive(input: &Value, name: &str) -> Result<Option<usize>, CallError> {
    match integer(&input[name]) {
        None => Ok(None),
        Some(number) if number > 0 => Ok(usize::try_from(number).ok()),
        Some(_) => Err(invalid(format!("The parameter {name} must be greater than 0."))),
    }
}
