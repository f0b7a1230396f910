//! One message of a dead letter queue, or one object of an on-failure bucket: what it is, and what it says.

use serde_json::Value;

use super::batch::FailedBatch;
use super::letter::Letter;
use super::store::Receipt;

/// What a message is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// A record that the handler rejected.
    Letter(Box<Letter>),
    /// A batch that a mapping gave up.
    OnFailure(Box<FailedBatch>),
    /// Something else, such as a notification that a subscriber's queue passed on.
    Other,
}

impl Kind {
    /// Its name in `--json`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Letter(_) => "letter",
            Self::OnFailure(_) => "on_failure",
            Self::Other => "other",
        }
    }

    /// The recipe's error code, or the condition under which a mapping gave up; empty for what is neither.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Letter(letter) => &letter.code,
            Self::OnFailure(batch) => &batch.condition,
            Self::Other => "",
        }
    }

    /// The function's name in AWS.
    pub(crate) fn function(&self) -> Option<&str> {
        match self {
            Self::Letter(letter) => Some(&letter.function),
            Self::OnFailure(batch) => Some(&batch.function),
            Self::Other => None,
        }
    }

    /// What happened, for people.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Letter(letter) => letter.message.clone(),
            Self::OnFailure(batch) => batch.message(),
            Self::Other => String::new(),
        }
    }

    /// Reads a body. SNS wraps what it passes on to a queue, unless the subscription is a raw one.
    /// <https://docs.aws.amazon.com/sns/latest/dg/sns-sqs-as-subscriber.html>
    pub(crate) fn of(body: &str) -> Self {
        let Ok(mut value) = serde_json::from_str::<Value>(body) else { return Self::Other };
        if value["Type"] == "Notification"
            && value.get("TopicArn").is_some()
            && let Some(inner) = value["Message"].as_str().and_then(|text| serde_json::from_str(text).ok())
        {
            value = inner;
        }
        if let Some(letter) = Letter::parse(&value) {
            return Self::Letter(Box::new(letter));
        }
        FailedBatch::parse(&value).map_or(Self::Other, |batch| Self::OnFailure(Box::new(batch)))
    }
}

/// A message as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// SQS's message id, or the object's key.
    pub(crate) id: String,
    /// What it is deleted and given back by.
    pub(crate) receipt: Receipt,
    pub(crate) body: String,
    pub(crate) kind: Kind,
    /// When it was sent, or the object was written, in milliseconds since the epoch.
    pub(crate) sent_ms: i64,
    /// How often it has been received, this time included; 0 for objects.
    pub(crate) receives: i64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_are_told_apart_and_found_in_what_sns_passed_on() {
        let letter = json!({"pipeline": "p", "function": "p-f", "eventId": "s:1", "sequenceNumber": "1", "shardId": "s",
            "streamArn": "arn:aws:kinesis:r:1:stream/s", "error": {"code": "c", "message": "m"}, "payload": "{}"});
        let batch = json!({"requestContext": {"functionArn": "arn:aws:lambda:r:1:function:p-f:$LATEST",
            "condition": "RecordAgeExceeded", "approximateInvokeCount": 0}, "timestamp": "2026-11-14T22:13:21.000Z",
            "DDBStreamBatchInfo": {"shardId": "s", "startSequenceNumber": "1", "endSequenceNumber": "2", "batchSize": 2,
                "streamArn": "arn:aws:dynamodb:r:1:table/t/stream/x"}});
        let wrapped = |inner: &Value| {
            json!({"Type": "Notification", "TopicArn": "arn", "Message": inner.to_string()}).to_string()
        };
        for (inner, name, code) in [(&letter, "letter", "c"), (&batch, "on_failure", "RecordAgeExceeded")] {
            for body in [inner.to_string(), wrapped(inner)] {
                let kind = Kind::of(&body);
                assert_eq!((kind.name(), kind.code(), kind.function()), (name, code, Some("p-f")));
            }
        }
        for body in ["", "text", "{}", r#"{"Type":"Notification","TopicArn":"a","Message":"hello"}"#] {
            assert_eq!(Kind::of(body), Kind::Other, "{body}");
        }
    }
}
