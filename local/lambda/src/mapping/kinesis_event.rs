//! Records of a Kinesis stream as functions get them.
//!
//! See <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>.

use serde_json::json;
use streamkit_wire::clock;

use super::filters::{Filters, base64_payload};
use super::source::Record;
use crate::ports::KinesisRecord;

/// Writes the records of one shard. Most of what functions get is the same for all of them, so it is written out once.
pub(super) struct KinesisEvents {
    /// From the arrival time to the shard's name in the event's id, and from there to the end.
    before_id: String,
    after_id: String,
    /// The arrival time that was written last: records that were put together have the same.
    arrival: (i64, String),
}

impl KinesisEvents {
    pub(super) fn new(shard: &str, role: &str, region: &str, source_arn: &str) -> Self {
        let after_id = format!(
            r#"","eventName":"aws:kinesis:record","invokeIdentityArn":{},"awsRegion":{},"eventSourceARN":{}}}"#,
            json!(role),
            json!(region),
            json!(source_arn)
        );
        // The text of a shard's name, without the quote at its end.
        let shard = json!(shard).to_string();
        let shard = shard.strip_suffix('"').unwrap_or(&shard);
        let before_id = format!(r#"}},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":{shard}:"#);
        Self { before_id, after_id, arrival: (0, seconds(0)) }
    }

    /// The record as the function gets it, or without that if filters keep it from the function.
    pub(super) fn record(&mut self, filters: &Filters, given: &KinesisRecord<'_>) -> Record {
        let KinesisRecord { sequence_number, partition_key, data, arrived_ms } = *given;
        let passes = filters.pass(|| {
            json!({
                "kinesisSchemaVersion": "1.0",
                "partitionKey": partition_key,
                "sequenceNumber": sequence_number,
                "data": base64_payload(data),
                "approximateArrivalTimestamp": clock::seconds(arrived_ms),
            })
        });
        let json = if passes { self.event(given) } else { String::new() };
        Record { sequence: sequence_number.to_owned(), arrival_ms: arrived_ms, json, filtered: !passes }
    }

    fn event(&mut self, given: &KinesisRecord<'_>) -> String {
        const REST: usize = 192;
        let KinesisRecord { sequence_number, partition_key, data, arrived_ms } = *given;
        if self.arrival.0 != arrived_ms {
            self.arrival = (arrived_ms, seconds(arrived_ms));
        }
        let texts = data.len() + partition_key.map_or(0, str::len) + 2 * sequence_number.len();
        let mut event = String::with_capacity(texts + self.before_id.len() + self.after_id.len() + REST);
        event.push_str(r#"{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"#);
        match partition_key {
            Some(key) => push_quoted(&mut event, key),
            None => event.push_str("null"),
        }
        event.push_str(r#","sequenceNumber":"#);
        push_quoted(&mut event, sequence_number);
        event.push_str(r#","data":"#);
        push_quoted(&mut event, data);
        event.push_str(r#","approximateArrivalTimestamp":"#);
        event.push_str(&self.arrival.1);
        event.push_str(&self.before_id);
        event.push_str(sequence_number);
        event.push_str(&self.after_id);
        event
    }
}

/// A time as JSON has it.
fn seconds(ms: i64) -> String {
    json!(clock::seconds(ms)).to_string()
}

/// Adds a text as JSON has it. Base64, numbers and most keys need no escapes.
fn push_quoted(json: &mut String, text: &str) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        json.push('"');
        json.push_str(text);
        json.push('"');
    } else {
        json.push_str(&json!(text).to_string());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/s";

    fn record(filters: &serde_json::Value, given: &KinesisRecord<'_>) -> Record {
        let mut events = KinesisEvents::new("shardId-000000000000", "arn:aws:iam::0:role/r", "us-east-1", ARN);
        events.record(&Filters::read(filters).unwrap(), given)
    }

    #[test]
    fn filtered_records_have_no_event() {
        let filters = json!({ "Filters": [{ "Pattern": r#"{"data":{"kind":["a"]}}"# }] });
        // {"kind":"a"} and {"kind":"b"}.
        for (data, passes) in [("eyJraW5kIjoiYSJ9", true), ("eyJraW5kIjoiYiJ9", false)] {
            let given = KinesisRecord { sequence_number: "1", partition_key: Some("k"), data, arrived_ms: 1 };
            let seen = record(&filters, &given);
            assert_eq!((seen.filtered, seen.json.is_empty()), (!passes, !passes));
        }
    }

    proptest! {
        #[test]
        fn event_is_the_documented_one(
            key in prop::option::of(any::<String>()), sequence in 0..u64::MAX, data in any::<String>(), ms in 0..4_000_000_000_000_i64,
        ) {
            let sequence = sequence.to_string();
            let given =
                KinesisRecord { sequence_number: &sequence, partition_key: key.as_deref(), data: &data, arrived_ms: ms };
            let seen = record(&json!({}), &given);
            let event: serde_json::Value = serde_json::from_str(&seen.json).unwrap();
            let expected = json!({
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": key,
                    "sequenceNumber": sequence,
                    "data": data,
                    "approximateArrivalTimestamp": clock::seconds(ms),
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": format!("shardId-000000000000:{sequence}"),
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::0:role/r",
                "awsRegion": "us-east-1",
                "eventSourceARN": ARN,
            });
            prop_assert_eq!(event, expected);
            prop_assert_eq!((seen.sequence, seen.arrival_ms, seen.filtered), (sequence, ms, false));
        }
    }
}
