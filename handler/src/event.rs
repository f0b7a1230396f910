//! Lambda's JSON: the event with a batch of a Kinesis or DynamoDB stream, and the partial batch response.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use streamkit_recipes::{Recipe, SourceKind};

/// An invocation's payload.
///
/// See <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html> and
/// <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event<R = EventRecord> {
    /// The batch, in the shard's order.
    #[serde(rename = "Records")]
    pub records: Vec<R>,
    /// Present if the mapping has a tumbling window.
    pub window: Option<WindowTimes>,
    /// The shard whose window it is; present with a window only.
    pub shard_id: Option<String>,
    /// The state that the window's last invocation returned.
    pub state: Option<Value>,
    /// Whether the window is over; there are no records then.
    #[serde(default)]
    pub is_final_invoke_for_window: bool,
    /// Whether the window is over because its state grew too large.
    #[serde(default)]
    pub is_window_terminated_early: bool,
}

/// When a tumbling window begins and ends, as ISO 8601 has it.
#[derive(Debug, Deserialize)]
pub struct WindowTimes {
    /// The first moment in it.
    pub start: String,
    /// The first moment behind it.
    pub end: String,
}

/// One record of an event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventRecord {
    /// `aws:kinesis` or `aws:dynamodb`; records of other sources are not supported.
    pub event_source: Name,
    /// `<shard>:<sequence number>` for Kinesis, DynamoDB's own identifier otherwise.
    #[serde(rename = "eventID", default)]
    pub event_id: String,
    /// `INSERT`, `MODIFY` or `REMOVE` for DynamoDB.
    #[serde(default)]
    pub event_name: Name,
    /// The region of the source.
    #[serde(default)]
    pub aws_region: String,
    /// The stream.
    #[serde(rename = "eventSourceARN", default)]
    pub source_arn: String,
    /// Present if the source is Kinesis.
    pub kinesis: Option<Kinesis>,
    /// Present if the source is DynamoDB. It is kept as raw JSON, so that an invalid one becomes one dead letter and does
    /// not fail the batch.
    pub dynamodb: Option<Box<RawValue>>,
    /// Present if a service made the change.
    pub user_identity: Option<Identity>,
    /// Present if streamkit plays the record again.
    pub streamkit: Option<Again>,
}

/// What streamkit says of a record that it plays again.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Again {
    /// When it had failed, in milliseconds since the epoch.
    pub failed_at: i64,
    /// The recipe had rejected it, so that nothing has followed from it.
    #[serde(default)]
    pub rejected: bool,
}

impl EventRecord {
    /// The record's sequence number, if it has one.
    pub fn sequence_number(&self) -> Option<String> {
        if let Some(kinesis) = &self.kinesis {
            return Some(kinesis.sequence_number.clone());
        }
        let change: Value = serde_json::from_str(self.dynamodb.as_ref()?.get()).ok()?;
        change["SequenceNumber"].as_str().map(str::to_owned)
    }

    /// True if the partition key, or any part of a change, contains the text.
    pub fn mentions(&self, text: &str) -> bool {
        let key = self.kinesis.as_ref().and_then(|kinesis| kinesis.partition_key.as_ref());
        key.is_some_and(|key| key.contains(text))
            || self.dynamodb.as_ref().is_some_and(|change| change.get().contains(text))
    }
}

/// The part of a record that comes from Kinesis.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kinesis {
    /// The producer's key; none where the service chooses the shard.
    pub partition_key: Option<String>,
    /// Unique in the shard.
    pub sequence_number: String,
    /// Of a record that is played again: its place among those that the Kinesis Producer Library put into one of the stream's.
    pub sub_sequence_number: Option<u64>,
    /// The payload.
    #[serde(default)]
    pub data: Payload,
    /// Seconds since the epoch, with milliseconds as a fraction.
    #[serde(default)]
    pub approximate_arrival_timestamp: f64,
}

/// A name that most records have in common, so that it is not copied for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name(pub Cow<'static, str>);

impl Name {
    /// The kind of source that `eventSource` names, if the recipe reads such.
    pub(crate) fn kind(&self, recipe: &dyn Recipe) -> Result<SourceKind, EventError> {
        source_kind(&self.0, recipe)
    }
}

/// The same of the name alone.
pub(crate) fn source_kind(event_source: &str, recipe: &dyn Recipe) -> Result<SourceKind, EventError> {
    let kind = match event_source {
        "aws:kinesis" => Some(SourceKind::Stream),
        "aws:dynamodb" => Some(SourceKind::Table),
        _ => None,
    };
    let wanted = match recipe.source() {
        SourceKind::Stream => "Kinesis streams",
        SourceKind::Table => "DynamoDB streams",
        SourceKind::Any => "Kinesis streams and DynamoDB streams",
    };
    let other = || EventError::Source { found: event_source.to_owned(), recipe: recipe.name(), wanted };
    kind.filter(|kind| recipe.source().takes(*kind)).ok_or_else(other)
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const COMMON: [&str; 6] = ["aws:kinesis", "aws:kinesis:record", "aws:dynamodb", "INSERT", "MODIFY", "REMOVE"];

        struct Common;

        impl Visitor<'_> for Common {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                let common = COMMON.into_iter().find(|common| *common == text);
                Ok(Name(common.map_or_else(|| Cow::Owned(text.to_owned()), Cow::Borrowed)))
            }
        }

        deserializer.deserialize_str(Common)
    }
}

/// A payload, decoded as it is read: most of an event is payloads. Or the text as it was received, if that is not base64.
#[derive(Debug)]
pub struct Payload(pub Result<Vec<u8>, String>);

impl Default for Payload {
    fn default() -> Self {
        Self(Ok(Vec::new()))
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64;

        impl Visitor<'_> for Base64 {
            type Value = Payload;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Payload(STANDARD.decode(text).map_err(|_| text.to_owned())))
            }
        }

        deserializer.deserialize_str(Base64)
    }
}

/// Who made a change.
#[derive(Debug, Deserialize)]
pub struct Identity {
    /// `Service`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The service.
    #[serde(rename = "principalId", default)]
    pub principal_id: String,
}

/// Which records to deliver again: Lambda starts at the lowest sequence number.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// The state of a tumbling window; none if the mapping has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Value>,
    /// Lowest first; empty if the whole batch is done.
    pub batch_item_failures: Vec<BatchItemFailure>,
    /// What became of the records of a replay; none without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replayed>,
}

/// What became of the records of a replay. `streamkit` reads it; Lambda does not.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// How many there were, each that the Kinesis Producer Library had put into one of the stream's by itself.
    pub records: usize,
    /// How many were processed before.
    pub duplicates: usize,
    /// Those that were not processed.
    pub failed: Vec<ReplayedFailure>,
}

/// A record of a replay that was not processed.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayedFailure {
    /// The record's sequence number.
    pub sequence_number: String,
    /// Its place among those that the Kinesis Producer Library put into one of the stream's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_sequence_number: Option<u64>,
    /// The record's identity.
    pub event_id: String,
    /// The recipe's code, or AWS's.
    pub code: String,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// It can never succeed as it is; otherwise it may the next time.
    pub rejected: bool,
}

/// One record that failed.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// The record's sequence number.
    pub item_identifier: String,
}

/// An event that this function cannot serve at all; Lambda retries the whole batch.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Not from the kind of source that the recipe reads.
    #[error("unsupported event source {found}: the recipe {recipe} reads {wanted}")]
    Source {
        /// What the event says.
        found: String,
        /// The recipe's name.
        recipe: &'static str,
        /// What the recipe reads.
        wanted: &'static str,
    },
    /// Says that it belongs to a tumbling window, and not to which.
    #[error("the event's window has no shard, or not two times")]
    Window,
    /// Says that it is from Kinesis or DynamoDB, and is not.
    #[error("the record {id} has no {part} part with a sequence number")]
    Incomplete {
        /// The record's identity.
        id: String,
        /// What is missing.
        part: &'static str,
    },
}
