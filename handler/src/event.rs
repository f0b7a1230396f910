//! What Lambda sends and expects back: the Kinesis event and the partial batch response.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use streamkit_recipes::{Record, StreamRecord};

/// An invocation's payload.
///
/// See <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>.
#[derive(Debug, Deserialize)]
pub struct Event {
    /// The batch, in the shard's order.
    #[serde(rename = "Records")]
    pub records: Vec<EventRecord>,
}

/// One record of an event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventRecord {
    /// `aws:kinesis` for the records that this function understands.
    pub event_source: String,
    /// `<shard>:<sequence number>`.
    #[serde(rename = "eventID", default)]
    pub event_id: String,
    /// The stream.
    #[serde(rename = "eventSourceARN", default)]
    pub stream_arn: String,
    /// Present if the source is Kinesis.
    pub kinesis: Option<Kinesis>,
}

/// The part of a record that comes from Kinesis.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kinesis {
    /// The producer's key.
    #[serde(default)]
    pub partition_key: String,
    /// Unique in the shard.
    pub sequence_number: String,
    /// The payload in base64.
    #[serde(default)]
    pub data: String,
    /// Seconds since the epoch, with milliseconds as a fraction.
    #[serde(default)]
    pub approximate_arrival_timestamp: f64,
}

/// Which records to deliver again: Lambda starts at the lowest sequence number.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// Lowest first; empty if the whole batch is done.
    pub batch_item_failures: Vec<BatchItemFailure>,
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
    /// Not from a Kinesis stream.
    #[error("unsupported event source {0}: this function reads Kinesis streams")]
    Source(String),
    /// Says that it is from Kinesis, and is not.
    #[error("the record {0} has no kinesis part")]
    NotKinesis(String),
}

/// A record taken out of its event.
#[derive(Debug)]
pub struct Incoming {
    /// The shard.
    pub shard_id: String,
    /// Unique in the shard.
    pub sequence_number: String,
    /// The producer's key.
    pub partition_key: String,
    /// When the stream took the record.
    pub arrival_ms: i64,
    /// The stream.
    pub stream_arn: String,
    /// The payload; if it was not base64, what came instead.
    pub data: Result<Vec<u8>, String>,
}

impl Incoming {
    /// Returns the record as recipes see it.
    pub fn record(&self) -> Record<'_> {
        Record::Stream(self.stream_record())
    }

    /// Returns the record of a stream.
    pub fn stream_record(&self) -> StreamRecord<'_> {
        StreamRecord {
            shard_id: &self.shard_id,
            sequence_number: &self.sequence_number,
            partition_key: &self.partition_key,
            arrival_ms: self.arrival_ms,
            data: self.data.as_deref().unwrap_or_default(),
        }
    }
}

/// Decodes a batch, brings it into the shard's order, and drops repetitions of a record.
pub fn decode(event: Event) -> Result<Vec<Incoming>, EventError> {
    let mut records = event.records.into_iter().map(decode_record).collect::<Result<Vec<_>, _>>()?;
    // Sequence numbers are decimal: of two, the longer is the greater.
    records.sort_by(|a, b| {
        let key = |record: &Incoming| (record.sequence_number.len(), record.sequence_number.clone());
        key(a).cmp(&key(b))
    });
    records.dedup_by(|a, b| a.sequence_number == b.sequence_number && a.shard_id == b.shard_id);
    Ok(records)
}

fn decode_record(record: EventRecord) -> Result<Incoming, EventError> {
    if record.event_source != "aws:kinesis" {
        return Err(EventError::Source(record.event_source));
    }
    let Some(kinesis) = record.kinesis else {
        return Err(EventError::NotKinesis(record.event_id));
    };
    let shard_id = record.event_id.split_once(':').map_or("", |(shard, _)| shard);
    Ok(Incoming {
        shard_id: shard_id.to_owned(),
        arrival_ms: millis(kinesis.approximate_arrival_timestamp),
        partition_key: kinesis.partition_key,
        stream_arn: record.stream_arn,
        data: STANDARD.decode(&kinesis.data).map_err(|_| kinesis.data),
        sequence_number: kinesis.sequence_number,
    })
}

#[expect(clippy::cast_possible_truncation, reason = "saturates, and real times are far from the limits")]
fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Event {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn decode_reads_a_kinesis_event_as_lambda_sends_it() {
        let event = parse(
            r#"{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"k","sequenceNumber":"4959033827149",
            "data":"SGVsbG8=","approximateArrivalTimestamp":1545084650.987},"eventSource":"aws:kinesis","eventVersion":"1.0",
            "eventID":"shardId-000000000006:4959033827149","eventName":"aws:kinesis:record","awsRegion":"us-east-2",
            "invokeIdentityArn":"arn:aws:iam::123456789012:role/r",
            "eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/s"}]}"#,
        );
        let records = decode(event).unwrap();
        let record = records[0].stream_record();
        assert_eq!((record.shard_id, record.sequence_number), ("shardId-000000000006", "4959033827149"));
        assert_eq!((record.partition_key, record.arrival_ms, record.data), ("k", 1_545_084_650_987, &b"Hello"[..]));
        assert_eq!(record.id(), "shardId-000000000006:4959033827149");
        assert_eq!(records[0].stream_arn, "arn:aws:kinesis:us-east-2:123456789012:stream/s");
    }

    #[test]
    fn decode_orders_by_number_and_drops_repetitions() {
        let record = |sequence: &str| {
            format!(
                r#"{{"eventSource":"aws:kinesis","eventID":"s:{sequence}","kinesis":{{"sequenceNumber":"{sequence}"}}}}"#
            )
        };
        let event = format!(r#"{{"Records":[{}]}}"#, ["10", "9", "100", "9"].map(record).join(","));
        let sequences: Vec<_> = decode(parse(&event)).unwrap().into_iter().map(|r| r.sequence_number).collect();
        assert_eq!(sequences, ["9", "10", "100"]);
    }

    #[test]
    fn decode_keeps_a_record_that_is_not_base64() {
        let event = r#"{"Records":[{"eventSource":"aws:kinesis","kinesis":{"sequenceNumber":"1","data":"%%%"}}]}"#;
        assert_eq!(decode(parse(event)).unwrap()[0].data, Err("%%%".to_owned()));
    }

    #[test]
    fn decode_refuses_other_sources() {
        let sqs = r#"{"Records":[{"messageId":"m","body":"{}","eventSource":"aws:sqs"}]}"#;
        assert_eq!(decode(parse(sqs)).unwrap_err(), EventError::Source("aws:sqs".to_owned()));
        let odd = r#"{"Records":[{"eventID":"x","eventSource":"aws:kinesis"}]}"#;
        assert_eq!(decode(parse(odd)).unwrap_err(), EventError::NotKinesis("x".to_owned()));
        assert!(serde_json::from_str::<Event>(r#"{"hello":1}"#).is_err());
    }
}
