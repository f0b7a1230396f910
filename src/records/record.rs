//! One record of a Kinesis stream or of a table's stream, and its form in the events that Lambda hands to functions.
//!
//! See <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html> and
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>.

use anyhow::Context as _;
use aws_sdk_kinesis::primitives::DateTime;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::attribute::item_json;
use crate::aws::Arn;

/// A record, with all that is its identity.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SourceRecord {
    /// The stream's, never a consumer's.
    pub(crate) source_arn: String,
    /// Empty where nobody said it: a change's event does not name its shard.
    pub(crate) shard_id: String,
    pub(crate) sequence_number: String,
    /// Milliseconds since the epoch.
    pub(crate) arrival_ms: i64,
    pub(crate) content: Content,
}

/// What the record says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    /// A record of a Kinesis stream.
    Stream {
        /// None where the service chose the shard.
        partition_key: Option<String>,
        data: Vec<u8>,
        /// Its place among the records that the Kinesis Producer Library put into one of the stream's: then `data` is its own.
        sub_sequence_number: Option<u64>,
    },
    /// A change of a table's item.
    Change {
        /// DynamoDB's identity of the change.
        event_id: String,
        /// `INSERT`, `MODIFY` or `REMOVE`.
        event_name: String,
        /// Lambda's `dynamodb` member: keys, images, sequence number, time, size and view type.
        change: Value,
        /// Who made the change, where that was a service.
        user_identity: Option<Value>,
    },
}

/// The ARN of the stream that an ARN of a stream, or of a consumer of one, is about.
pub(crate) fn source_arn(arn: &str) -> &str {
    arn.split_once("/consumer/").map_or(arn, |(stream, _)| stream)
}

impl SourceRecord {
    /// A record that `GetRecords` of Kinesis gave.
    pub(super) fn of_stream(source_arn: &str, shard_id: &str, record: aws_sdk_kinesis::types::Record) -> Self {
        Self {
            source_arn: source_arn.to_owned(),
            shard_id: shard_id.to_owned(),
            sequence_number: record.sequence_number,
            arrival_ms: record.approximate_arrival_timestamp.as_ref().map_or(0, millis),
            content: Content::Stream {
                partition_key: record.partition_key,
                data: record.data.into_inner(),
                sub_sequence_number: None,
            },
        }
    }

    /// A change that `GetRecords` of DynamoDB Streams gave; none that lacks its change.
    pub(super) fn of_table(
        source_arn: &str,
        shard_id: &str,
        record: aws_sdk_dynamodbstreams::types::Record,
    ) -> Option<Self> {
        let body = record.dynamodb?;
        let sequence_number = body.sequence_number?;
        let arrival_ms = body.approximate_creation_date_time.as_ref().map_or(0, millis);
        let mut change = json!({
            "ApproximateCreationDateTime": seconds(arrival_ms),
            "Keys": item_json(body.keys.unwrap_or_default()),
            "SequenceNumber": sequence_number,
            "SizeBytes": body.size_bytes.unwrap_or_default(),
            "StreamViewType": body.stream_view_type.map(|view| view.as_str().to_owned()),
        });
        for (name, image) in [("NewImage", body.new_image), ("OldImage", body.old_image)] {
            // The SDK gives an empty map for an image that is not there.
            if let Some(image) = image.filter(|image| !image.is_empty()) {
                change[name] = item_json(image);
            }
        }
        let identity = record.user_identity;
        Some(Self {
            source_arn: source_arn.to_owned(),
            shard_id: shard_id.to_owned(),
            sequence_number,
            arrival_ms,
            content: Content::Change {
                event_id: record.event_id.unwrap_or_default(),
                event_name: record.event_name.map_or_else(String::new, |name| name.as_str().to_owned()),
                change,
                user_identity: identity.map(|who| json!({ "type": who.r#type, "principalId": who.principal_id })),
            },
        })
    }

    /// The `eventID` that Lambda gives to it.
    pub(crate) fn event_id(&self) -> String {
        match &self.content {
            Content::Stream { .. } => format!("{}:{}", self.shard_id, self.sequence_number),
            Content::Change { event_id, .. } => event_id.clone(),
        }
    }

    /// The partition key, or the key of the item that changed, as text.
    pub(crate) fn key(&self) -> String {
        match &self.content {
            Content::Stream { partition_key, .. } => partition_key.clone().unwrap_or_default(),
            Content::Change { change, .. } => key_text(&change["Keys"]),
        }
    }

    /// The record as one of `Records` in an event.
    pub(crate) fn event(&self) -> Value {
        let region = Arn::parse(&self.source_arn).map_or_else(String::new, |arn| arn.region);
        match &self.content {
            Content::Stream { partition_key, data, sub_sequence_number } => {
                let mut kinesis = json!({
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": partition_key,
                    "sequenceNumber": self.sequence_number,
                    "data": STANDARD.encode(data),
                    "approximateArrivalTimestamp": seconds(self.arrival_ms),
                });
                if let Some(sub) = sub_sequence_number {
                    kinesis["subSequenceNumber"] = json!(sub);
                }
                json!({
                    "kinesis": kinesis,
                    "eventSource": "aws:kinesis",
                    "eventVersion": "1.0",
                    "eventID": self.event_id(),
                    "eventName": "aws:kinesis:record",
                    "awsRegion": region,
                    "eventSourceARN": self.source_arn,
                })
            }
            Content::Change { event_id, event_name, change, user_identity } => {
                let mut event = json!({
                    "eventID": event_id,
                    "eventName": event_name,
                    "eventVersion": "1.1",
                    "eventSource": "aws:dynamodb",
                    "awsRegion": region,
                    "dynamodb": change,
                    "eventSourceARN": self.source_arn,
                });
                if let Some(identity) = user_identity {
                    event["userIdentity"] = identity.clone();
                }
                event
            }
        }
    }

    /// Reads one of `Records` in an event.
    ///
    /// # Errors
    /// It is not of a Kinesis stream or a table's stream, or lacks its sequence number.
    pub(crate) fn from_event(event: &Value) -> anyhow::Result<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let arn = text(&event["eventSourceARN"]).context("the record names no eventSourceARN")?;
        let event_id = text(&event["eventID"]).unwrap_or_default();
        let (shard_id, sequence_number, arrival, content) = match event["eventSource"].as_str() {
            Some("aws:kinesis") => {
                let kinesis = &event["kinesis"];
                let data = kinesis["data"].as_str().unwrap_or_default();
                let content = Content::Stream {
                    partition_key: text(&kinesis["partitionKey"]),
                    data: STANDARD.decode(data).context("the record's data is not base64")?,
                    sub_sequence_number: kinesis["subSequenceNumber"].as_u64(),
                };
                let shard = event_id.split_once(':').map(|(shard, _)| shard.to_owned()).unwrap_or_default();
                (shard, &kinesis["sequenceNumber"], &kinesis["approximateArrivalTimestamp"], content)
            }
            Some("aws:dynamodb") => {
                let change = &event["dynamodb"];
                let content = Content::Change {
                    event_id,
                    event_name: text(&event["eventName"]).unwrap_or_default(),
                    change: change.clone(),
                    user_identity: event.get("userIdentity").filter(|who| !who.is_null()).cloned(),
                };
                (String::new(), &change["SequenceNumber"], &change["ApproximateCreationDateTime"], content)
            }
            other => anyhow::bail!("the record is from {}, not from a stream", other.unwrap_or("nowhere")),
        };
        Ok(Self {
            source_arn: source_arn(&arn).to_owned(),
            shard_id,
            sequence_number: text(sequence_number).context("the record has no sequence number")?,
            arrival_ms: arrival.as_f64().map_or(0, to_millis),
            content,
        })
    }
}

/// A key as people read it: its values, with spaces between them.
fn key_text(keys: &Value) -> String {
    let values = keys.as_object().into_iter().flatten().filter_map(|(_, value)| value.as_object()?.values().next());
    values.filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
}

fn millis(time: &DateTime) -> i64 {
    // The SDK reads AWS's fraction of a second as a float, which may lie just below the millisecond.
    to_millis(time.as_secs_f64())
}

/// Times in events are seconds with a fraction.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of the next thousands of years have an exact float")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

#[expect(clippy::cast_possible_truncation, reason = "a conversion from float saturates, and no arrival time is near")]
fn to_millis(seconds: f64) -> i64 {
    (seconds * 1_000.0).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_as_an_event_is_read_back() {
        let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/s".to_owned();
        let stream = SourceRecord {
            source_arn: arn,
            shard_id: "shardId-000000000001".to_owned(),
            sequence_number: "42".to_owned(),
            arrival_ms: 1_700_000_000_123,
            content: Content::Stream {
                partition_key: Some("k".to_owned()),
                data: vec![255, 0],
                sub_sequence_number: Some(3),
            },
        };
        let keys = json!({ "id": { "S": "a" }, "n": { "N": "1" } });
        let change = json!({ "Keys": keys, "SequenceNumber": "7", "ApproximateCreationDateTime": 1_700_000_000.0 });
        let table = SourceRecord {
            source_arn: "arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/2026".to_owned(),
            shard_id: String::new(),
            sequence_number: "7".to_owned(),
            arrival_ms: 1_700_000_000_000,
            content: Content::Change {
                event_id: "e".to_owned(),
                event_name: "REMOVE".to_owned(),
                change,
                user_identity: Some(json!({ "type": "Service", "principalId": "dynamodb.amazonaws.com" })),
            },
        };
        for record in [&stream, &table] {
            assert_eq!(SourceRecord::from_event(&record.event()).unwrap(), *record);
            assert_eq!(record.event()["awsRegion"], "eu-west-1");
        }
        assert_eq!((stream.event_id(), stream.key()), ("shardId-000000000001:42".to_owned(), "k".to_owned()));
        assert_eq!((table.event_id(), table.key()), ("e".to_owned(), "a 1".to_owned()));
    }

    #[test]
    fn a_consumer_reads_its_stream() {
        let stream = "arn:aws:kinesis:eu-west-1:123456789012:stream/s";
        assert_eq!(source_arn(&format!("{stream}/consumer/c:17")), stream);
        assert_eq!(source_arn(stream), stream);
    }

    #[test]
    fn what_is_not_from_a_stream_is_refused() {
        for event in [json!({}), json!({ "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-west-1:1:q" })] {
            assert!(SourceRecord::from_event(&event).is_err(), "{event}");
        }
    }
}
