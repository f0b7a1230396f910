//! The settings of a mapping: how a request changes them, and what AWS refuses in them.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::filters::Filters;
use super::kind::SourceKind;
use crate::Engine;
use crate::api_error::ApiError;

/// Where a new mapping begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    Latest,
    TrimHorizon,
    /// Milliseconds since 1970.
    AtTimestamp(i64),
}

/// What `CreateEventSourceMapping` and `UpdateEventSourceMapping` set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) kind: SourceKind,
    pub(crate) source_arn: String,
    pub(crate) function: String,
    pub(crate) function_arn: String,
    pub(crate) enabled: bool,
    pub(crate) start: Start,
    pub(crate) batch_size: usize,
    pub(crate) window: Duration,
    pub(crate) parallelization: u32,
    pub(crate) bisect: bool,
    /// `None` is no limit.
    pub(crate) max_retries: Option<u32>,
    /// `None` is no limit.
    pub(crate) max_age_seconds: Option<u32>,
    /// ARN of the queue, topic or bucket.
    pub(crate) on_failure: Option<String>,
    pub(crate) report_item_failures: bool,
    /// Whether the `EventCount` metrics are published; `None` when that was never said.
    pub(crate) metrics: Option<bool>,
    pub(crate) filters: Filters,
    /// Length of tumbling windows; 0 is none.
    pub(crate) tumbling_seconds: u32,
    /// Most invocations at a time for a queue.
    pub(crate) max_concurrency: Option<u32>,
}

impl Settings {
    /// Reads the settings of a new mapping. Whether the stream exists is for the caller to find out.
    pub(crate) fn create(engine: &Engine, body: &Value) -> Result<Self, ApiError> {
        let Some(source_arn) = body["EventSourceArn"].as_str() else {
            return Err(ApiError::invalid("Unrecognized event source."));
        };
        let kind = SourceKind::of(source_arn)?;
        let mut settings = Self {
            kind,
            source_arn: source_arn.to_owned(),
            function: String::new(),
            function_arn: String::new(),
            enabled: true,
            start: start(kind, source_arn, body)?,
            batch_size: kind.batch_size(),
            window: Duration::ZERO,
            parallelization: 1,
            bisect: false,
            max_retries: None,
            max_age_seconds: None,
            on_failure: None,
            report_item_failures: false,
            metrics: None,
            filters: Filters::default(),
            tumbling_seconds: 0,
            max_concurrency: None,
        };
        if body["FunctionName"].is_null() {
            return Err(null("functionName"));
        }
        settings.change(engine, body)?;
        Ok(settings)
    }

    /// Changes what the request names; what it leaves out stays.
    pub(crate) fn change(&mut self, engine: &Engine, body: &Value) -> Result<(), ApiError> {
        self.kind.refuse_foreign(body)?;
        if let Some(name) = body["FunctionName"].as_str() {
            let target = engine.named(name).map_err(|error| match error.code {
                "ResourceNotFoundException" => ApiError::invalid("Function does not exist"),
                _ => error,
            })?;
            self.function.clone_from(&target.function.name);
            self.function_arn = target.arn();
        }
        if let Some(enabled) = body["Enabled"].as_bool() {
            self.enabled = enabled;
        }
        if let Some(size) = number(body, "BatchSize", "batchSize", 1, 10_000)? {
            self.batch_size = usize::try_from(size).unwrap_or(1);
        }
        if let Some(seconds) = number(body, "MaximumBatchingWindowInSeconds", "maximumBatchingWindowInSeconds", 0, 300)?
        {
            self.window = Duration::from_secs(seconds.unsigned_abs());
        }
        if let Some(factor) = number(body, "ParallelizationFactor", "parallelizationFactor", 1, 10)? {
            self.parallelization = u32::try_from(factor).unwrap_or(1);
        }
        if let Some(bisect) = body["BisectBatchOnFunctionError"].as_bool() {
            self.bisect = bisect;
        }
        if let Some(retries) = number(body, "MaximumRetryAttempts", "maximumRetryAttempts", -1, 10_000)? {
            self.max_retries = u32::try_from(retries).ok();
        }
        if let Some(age) = number(body, "MaximumRecordAgeInSeconds", "maximumRecordAgeInSeconds", -1, 604_800)? {
            if (0..60).contains(&age) {
                return Err(ApiError::invalid(format!(
                    "MaximumRecordAgeInSeconds is {age}: it must be -1 (no limit) or between 60 and 604800."
                )));
            }
            self.max_age_seconds = u32::try_from(age).ok();
        }
        if let Some(seconds) = number(body, "TumblingWindowInSeconds", "tumblingWindowInSeconds", 0, 900)? {
            self.tumbling_seconds = u32::try_from(seconds).unwrap_or(0);
        }
        if !body["FilterCriteria"].is_null() {
            self.filters = Filters::read(&body["FilterCriteria"])?;
        }
        if !body["ScalingConfig"].is_null() {
            let most =
                number(&body["ScalingConfig"], "MaximumConcurrency", "scalingConfig.maximumConcurrency", 2, 1000)?;
            self.max_concurrency = most.and_then(|most| u32::try_from(most).ok());
        }
        if !body["DestinationConfig"].is_null() {
            self.on_failure = destination(&body["DestinationConfig"])?;
        }
        if let Some(types) = body["FunctionResponseTypes"].as_array() {
            if let Some(other) = types.iter().find(|given| **given != "ReportBatchItemFailures") {
                return Err(ApiError::constraint(
                    other,
                    "functionResponseTypes",
                    "satisfy enum value set: [ReportBatchItemFailures]",
                ));
            }
            self.report_item_failures = !types.is_empty();
        }
        if let Some(metrics) = body["MetricsConfig"]["Metrics"].as_array() {
            if let Some(other) = metrics.iter().find(|given| **given != "EventCount") {
                return Err(ApiError::constraint(
                    other,
                    "metricsConfig.metrics",
                    "satisfy enum value set: [EventCount]",
                ));
            }
            self.metrics = Some(!metrics.is_empty());
        }
        self.kind.check(self)
    }

    /// Length of tumbling windows, where there are any.
    pub(crate) fn tumbling_ms(&self) -> Option<i64> {
        (self.tumbling_seconds > 0).then(|| i64::from(self.tumbling_seconds) * 1000)
    }

    /// The settings as they are read back.
    pub(crate) fn shown(&self) -> Value {
        let mut shown = json!({
            "EventSourceArn": self.source_arn,
            "FunctionArn": self.function_arn,
            "BatchSize": self.batch_size,
            "MaximumBatchingWindowInSeconds": self.window.as_secs(),
            "FunctionResponseTypes": if self.report_item_failures { json!(["ReportBatchItemFailures"]) } else { json!([]) },
        });
        if self.kind.is_stream() {
            shown["ParallelizationFactor"] = json!(self.parallelization);
            shown["BisectBatchOnFunctionError"] = json!(self.bisect);
            shown["MaximumRetryAttempts"] = json!(self.max_retries.map_or(-1, i64::from));
            shown["MaximumRecordAgeInSeconds"] = json!(self.max_age_seconds.map_or(-1, i64::from));
            shown["TumblingWindowInSeconds"] = json!(self.tumbling_seconds);
            let on_failure = self.on_failure.as_ref().map_or(json!({}), |arn| json!({ "Destination": arn }));
            shown["DestinationConfig"] = json!({ "OnFailure": on_failure });
            shown["StartingPosition"] = json!(match self.start {
                Start::Latest => "LATEST",
                Start::TrimHorizon => "TRIM_HORIZON",
                Start::AtTimestamp(_) => "AT_TIMESTAMP",
            });
            if let Start::AtTimestamp(ms) = self.start {
                shown["StartingPositionTimestamp"] = json!(streamkit_wire::clock::seconds(ms));
            }
        }
        if let Some(criteria) = self.filters.shown() {
            shown["FilterCriteria"] = criteria;
        }
        if let Some(most) = self.max_concurrency {
            shown["ScalingConfig"] = json!({ "MaximumConcurrency": most });
        }
        if let Some(on) = self.metrics {
            shown["MetricsConfig"] = json!({ "Metrics": if on { json!(["EventCount"]) } else { json!([]) } });
        }
        shown
    }
}

/// Where a new mapping of a stream begins. A queue has no positions: all that is in it is new.
fn start(kind: SourceKind, source_arn: &str, body: &Value) -> Result<Start, ApiError> {
    let moment = &body["StartingPositionTimestamp"];
    if !kind.is_stream() {
        if body["StartingPosition"].is_null() && moment.is_null() {
            return Ok(Start::TrimHorizon);
        }
        return Err(ApiError::invalid("StartingPosition is not valid for SQS event sources."));
    }
    let start = match body["StartingPosition"].as_str() {
        None => return Err(null("startingPosition")),
        Some("LATEST") => Start::Latest,
        Some("TRIM_HORIZON") => Start::TrimHorizon,
        Some("AT_TIMESTAMP") if kind == SourceKind::DynamoDb => {
            return Err(ApiError::invalid(format!("Unsupported starting position for arn type: {source_arn}")));
        }
        Some("AT_TIMESTAMP") => match timestamp(moment) {
            Some(ms) if ms > streamkit_wire::clock::now_ms() => {
                return Err(ApiError::invalid("The timestamp of the starting position must not be in the future."));
            }
            Some(ms) => Start::AtTimestamp(ms),
            None => return Err(null("startingPositionTimestamp")),
        },
        Some(other) => {
            return Err(ApiError::constraint(
                other,
                "startingPosition",
                "satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]",
            ));
        }
    };
    if !moment.is_null() && !matches!(start, Start::AtTimestamp(_)) {
        return Err(ApiError::invalid("A timestamp goes with the starting position AT_TIMESTAMP only."));
    }
    Ok(start)
}

fn timestamp(given: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "a conversion from float saturates, and no time is near")]
    let ms = given.as_f64().map(|seconds| (seconds * 1000.0) as i64);
    ms.or_else(|| streamkit_wire::clock::parse_iso(given.as_str()?))
}

fn number(body: &Value, member: &str, name: &str, least: i64, most: i64) -> Result<Option<i64>, ApiError> {
    match (&body[member], body[member].as_i64()) {
        (Value::Null, _) => Ok(None),
        (_, Some(value)) if value < least => {
            Err(ApiError::constraint(value, name, &format!("have value greater than or equal to {least}")))
        }
        (_, Some(value)) if value > most => {
            Err(ApiError::constraint(value, name, &format!("have value less than or equal to {most}")))
        }
        (_, Some(value)) => Ok(Some(value)),
        (other, None) => Err(ApiError::constraint(other, name, "be a whole number")),
    }
}

/// Reads a `DestinationConfig`; an empty one, or one with an empty `OnFailure` ARN, takes the destination away.
fn destination(config: &Value) -> Result<Option<String>, ApiError> {
    if !config["OnSuccess"].is_null() {
        return Err(ApiError::invalid("Unsupported DestinationConfig parameter for given event source mapping type."));
    }
    match &config["OnFailure"] {
        Value::Null => Ok(None),
        on_failure => match on_failure["Destination"].as_str() {
            None | Some("") => {
                Err(ApiError::invalid("The Destination field is required for an OnFailure configuration."))
            }
            Some(arn) => match arn.split(':').nth(2) {
                Some("sqs" | "sns" | "s3") if arn.split(':').count() >= 6 => Ok(Some(arn.to_owned())),
                _ => Err(ApiError::invalid(format!(
                    "The destination {arn} is not supported: it must be the ARN of an SQS queue, an SNS topic or an S3 bucket."
                ))),
            },
        },
    }
}

fn null(member: &str) -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "InvalidParameterValueException",
        format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null."
        ),
    )
}
