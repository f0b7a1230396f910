//! The kinds of source that a mapping may have, and what each allows.

use serde_json::Value;
use streamkit_wire::arn::is_fifo;
use streamkit_wire::clock;

use super::settings::Settings;
use crate::api_error::ApiError;

/// What a mapping reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceKind {
    /// A Kinesis data stream, or a consumer of one.
    Kinesis,
    /// The change stream of a DynamoDB table.
    DynamoDb,
    /// An SQS queue.
    Sqs,
}

/// Settings of streams that a queue does not have.
const STREAMS_ONLY: [&str; 6] = [
    "ParallelizationFactor",
    "BisectBatchOnFunctionError",
    "MaximumRetryAttempts",
    "MaximumRecordAgeInSeconds",
    "TumblingWindowInSeconds",
    "DestinationConfig",
];
/// Settings of sources that this AWS does not have (brokers, Kafka, databases) and of pollers with a price.
const NEITHER: [&str; 8] = [
    "Topics",
    "Queues",
    "SourceAccessConfigurations",
    "SelfManagedEventSource",
    "SelfManagedKafkaEventSourceConfig",
    "AmazonManagedKafkaEventSourceConfig",
    "DocumentDBEventSourceConfig",
    "ProvisionedPollerConfig",
];

impl SourceKind {
    /// The kind of what this ARN names.
    pub(crate) fn of(arn: &str) -> Result<Self, ApiError> {
        match arn.split(':').nth(2) {
            Some("kinesis") if arn.contains(":stream/") => Ok(Self::Kinesis),
            Some("dynamodb") if arn.contains(":table/") && arn.contains("/stream/") => Ok(Self::DynamoDb),
            Some("sqs") if arn.split(':').nth(5).is_some_and(|name| !name.is_empty()) => Ok(Self::Sqs),
            _ => Err(ApiError::invalid(format!(
                "Unrecognized event source, must be kinesis, dynamodb stream or sqs. Unsupported source arn: {arn}"
            ))),
        }
    }

    pub(crate) fn is_stream(self) -> bool {
        self != Self::Sqs
    }

    /// `BatchSize` when none is given.
    pub(crate) fn batch_size(self) -> usize {
        if self.is_stream() { 100 } else { 10 }
    }

    /// Which member of an on-failure record describes the batch.
    pub(crate) fn batch_info(self) -> &'static str {
        if self == Self::DynamoDb { "DDBStreamBatchInfo" } else { "KinesisBatchInfo" }
    }

    /// A record's arrival as on-failure records write it: a table's stream counts whole seconds, and writes no more.
    pub(crate) fn arrival(self, ms: i64) -> String {
        if self == Self::DynamoDb && ms % 1000 == 0 { clock::iso_seconds(ms) } else { clock::iso(ms) }
    }

    /// The refusal of a second mapping from this source to this function.
    pub(crate) fn duplicate(self, source_arn: &str, function: &str, uuid: &str) -> ApiError {
        let both = if self == Self::Sqs {
            format!(
                "An event source mapping with SQS arn (\" {source_arn} \") and function (\" {function} \") already exists."
            )
        } else {
            format!(
                "The event source arn (\" {source_arn} \") and function (\" {function} \") provided mapping already exists."
            )
        };
        ApiError::conflict(format!("{both} Please update or delete the existing mapping with UUID {uuid}"))
    }

    /// What `StateTransitionReason` says of a change that the user made.
    pub(crate) fn user_action(self) -> &'static str {
        if self.is_stream() { "User action" } else { "USER_INITIATED" }
    }

    /// Refuses the settings that this kind of source does not have, unless they are empty: those ask for nothing.
    pub(crate) fn refuse_foreign(self, body: &Value) -> Result<(), ApiError> {
        let foreign: &[&str] = if self.is_stream() { &["ScalingConfig"] } else { &STREAMS_ONLY };
        match foreign.iter().chain(&NEITHER).find(|member| !empty(&body[**member])) {
            Some(member) => Err(ApiError::invalid(format!(
                "Unsupported '{}' parameter for given event source mapping type.",
                lower_first(member)
            ))),
            None => Ok(()),
        }
    }

    /// Refuses settings that do not go together.
    pub(crate) fn check(self, settings: &Settings) -> Result<(), ApiError> {
        if self == Self::Sqs {
            if is_fifo(&settings.source_arn) {
                if !settings.window.is_zero() {
                    return Err(ApiError::invalid("Batching window is not supported for FIFO queues"));
                }
                if settings.batch_size > 10 {
                    return Err(ApiError::invalid("The maximum batch size of a FIFO queue is 10."));
                }
            }
            if settings.batch_size > 10 && settings.window.is_zero() {
                return Err(ApiError::invalid(
                    "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
                ));
            }
        }
        if settings.tumbling_seconds > 0 && settings.parallelization > 1 {
            return Err(ApiError::invalid(
                "ParallelizationFactor must be 1 for event source mappings with a tumbling window.",
            ));
        }
        if self == Self::Kinesis && settings.filters.compare_with_text("data") {
            return Err(ApiError::invalid(
                "Invalid filter pattern definition. The pattern of data must be a JSON object, as the data must be.",
            ));
        }
        Ok(())
    }
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => members.is_empty(),
        Value::Array(values) => values.is_empty(),
        _ => false,
    }
}

/// AWS names members of a request as its model does, with a small first letter.
fn lower_first(member: &str) -> String {
    let mut letters = member.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arns_tell_the_kind() {
        for (arn, kind) in [
            ("arn:aws:kinesis:r:1:stream/s", SourceKind::Kinesis),
            ("arn:aws:kinesis:r:1:stream/s/consumer/c:1", SourceKind::Kinesis),
            ("arn:aws:dynamodb:r:1:table/t/stream/2026", SourceKind::DynamoDb),
            ("arn:aws:sqs:r:1:q", SourceKind::Sqs),
        ] {
            assert_eq!(SourceKind::of(arn).unwrap(), kind);
        }
        for arn in ["", "arn:aws:dynamodb:r:1:table/t", "arn:aws:mq:r:1:broker:b"] {
            assert_eq!(SourceKind::of(arn).unwrap_err().code, "InvalidParameterValueException", "{arn}");
        }
    }

    #[test]
    fn settings_of_another_kind_are_refused_unless_they_are_empty() {
        let refused = |kind: SourceKind, body: Value| kind.refuse_foreign(&body).unwrap_err().message;
        assert_eq!(
            refused(SourceKind::Sqs, json!({ "TumblingWindowInSeconds": 60 })),
            "Unsupported 'tumblingWindowInSeconds' parameter for given event source mapping type."
        );
        assert!(
            refused(SourceKind::Kinesis, json!({ "ScalingConfig": { "MaximumConcurrency": 2 } }))
                .contains("'scalingConfig'")
        );
        assert!(refused(SourceKind::DynamoDb, json!({ "Topics": ["t"] })).contains("'topics'"));
        assert!(SourceKind::Sqs.refuse_foreign(&json!({ "DestinationConfig": {}, "BatchSize": 1 })).is_ok());
    }
}
