//! The kinds of source that a mapping may have, and what each allows.

use crate::lambda::error::ApiError;

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

/// Settings that only streams have.
const STREAMS_ONLY: [&str; 7] = [
    "StartingPosition",
    "StartingPositionTimestamp",
    "ParallelizationFactor",
    "BisectBatchOnFunctionError",
    "MaximumRetryAttempts",
    "MaximumRecordAgeInSeconds",
    "TumblingWindowInSeconds",
];

impl SourceKind {
    /// The kind of what this ARN names.
    pub(crate) fn of(arn: &str) -> Result<Self, ApiError> {
        match arn.split(':').nth(2) {
            Some("kinesis") if arn.contains(":stream/") => Ok(Self::Kinesis),
            Some("dynamodb") if arn.contains("/stream/") => Ok(Self::DynamoDb),
            Some("sqs") => Ok(Self::Sqs),
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

    /// Refuses the settings that this kind of source does not have.
    pub(crate) fn refuse_foreign(self, body: &serde_json::Value) -> Result<(), ApiError> {
        let foreign = match self {
            Self::Sqs => STREAMS_ONLY.iter().find(|member| !body[**member].is_null()).copied(),
            Self::Kinesis | Self::DynamoDb => (!body["ScalingConfig"].is_null()).then_some("ScalingConfig"),
        };
        foreign.map_or(Ok(()), |member| {
            let source = if self.is_stream() { "streams" } else { "SQS queues" };
            Err(ApiError::invalid(format!("Unsupported parameter {member} for event source type: {source}.")))
        })
    }
}

#[cfg(test)]
mod tests {
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
}
