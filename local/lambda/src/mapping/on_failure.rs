//! Records of batches that were given up, and their way to the on-failure destination.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use streamkit_wire::clock;
use uuid::Uuid;

use super::batch::{Condition, Discard};
use super::kind::SourceKind;
use super::source::Record;
use crate::Engine;

/// The last delivery of the records that are given up.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) request_id: String,
    /// Whether the function failed, rather than report failed records.
    pub(crate) function_error: bool,
    /// The version of the function that ran.
    pub(crate) version: String,
}

/// What the record says besides the discard itself.
pub(crate) struct About<'a> {
    pub(crate) function_arn: &'a str,
    /// The function's role, with whose rights the record is sent.
    pub(crate) role: &'a str,
    pub(crate) stream_arn: &'a str,
    pub(crate) shard: &'a str,
    pub(crate) mapping: &'a str,
    pub(crate) kind: SourceKind,
}

/// Builds the record. Its form: <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>.
fn record(about: &About<'_>, discard: &Discard, records: &[Record], delivery: Option<&Delivery>, now_ms: i64) -> Value {
    let condition = match discard.condition {
        Condition::RetryAttemptsExhausted => "RetryAttemptsExhausted",
        Condition::RecordAgeExceeded | Condition::Expired => "RecordAgeExceeded",
    };
    let mut body = json!({
        "requestContext": {
            "requestId": delivery.map_or_else(|| Uuid::new_v4().to_string(), |delivery| delivery.request_id.clone()),
            "functionArn": about.function_arn,
            "condition": condition,
            "approximateInvokeCount": discard.deliveries,
        },
        "version": "1.0",
        "timestamp": clock::iso(now_ms),
        about.kind.batch_info(): {
            "shardId": about.shard,
            "startSequenceNumber": records.first().map(|record| &record.sequence),
            "endSequenceNumber": records.last().map(|record| &record.sequence),
            "approximateArrivalOfFirstRecord": records.first().map(|record| about.kind.arrival(record.arrival_ms)),
            "approximateArrivalOfLastRecord": records.last().map(|record| about.kind.arrival(record.arrival_ms)),
            "batchSize": records.len(),
            "streamArn": about.stream_arn,
        },
    });
    if let Some(delivery) = delivery {
        body["responseContext"] = json!({
            "statusCode": 200,
            "executedVersion": delivery.version,
            "functionError": delivery.function_error.then_some("Unhandled"),
        });
    }
    body
}

/// Sends the record; `false` when the destination could not be reached.
pub(crate) async fn send(
    engine: &Arc<Engine>,
    destination: &str,
    about: &About<'_>,
    discard: &Discard,
    records: &[Record],
    delivery: Option<&Delivery>,
) -> bool {
    let now_ms = clock::now_ms();
    let mut body = record(about, discard, records, delivery, now_ms);
    if destination.starts_with("arn:aws:s3:") {
        body["payload"] = json!(event(records));
    }
    engine.send_record(about.role, destination, &object_key(about, now_ms), &body.to_string()).await
}

/// The event that a function gets for these records.
pub(crate) fn event(records: &[Record]) -> String {
    envelope(records.iter().map(|record| record.json.as_str()))
}

/// The event around records that are JSON already.
pub(crate) fn envelope<'a>(records: impl Iterator<Item = &'a str> + Clone) -> String {
    let size: usize = records.clone().map(|record| record.len() + 1).sum();
    let mut event = String::with_capacity(size + ENVELOPE);
    event.push_str("{\"Records\":[");
    for (index, record) in records.enumerate() {
        if index > 0 {
            event.push(',');
        }
        event.push_str(record);
    }
    event.push_str("]}");
    event
}

/// Bytes of an event besides its records and the commas between them.
pub(crate) const ENVELOPE: usize = "{\"Records\":[]}".len();

fn object_key(about: &About<'_>, now_ms: i64) -> String {
    let time = DateTime::<Utc>::from_timestamp_millis(now_ms).unwrap_or_default();
    format!(
        "aws/lambda/{}/{}/{}-{}",
        about.mapping,
        about.shard,
        time.format("%Y/%m/%d/%Y-%m-%dT%H.%M.%S"),
        Uuid::new_v4()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record> {
        ["11", "12"]
            .map(|sequence| Record {
                sequence: sequence.into(),
                arrival_ms: 1_700_000_000_123,
                json: format!("{{\"n\":{sequence}}}"),
                filtered: false,
            })
            .into()
    }

    const ABOUT: About<'static> = About {
        function_arn: "arn:aws:lambda:us-east-1:000000000000:function:f",
        role: "arn:aws:iam::000000000000:role/r",
        stream_arn: "arn:aws:kinesis:us-east-1:000000000000:stream/s",
        shard: "shardId-000000000000",
        mapping: "uuid",
        kind: SourceKind::Kinesis,
    };

    #[test]
    fn record_has_the_form_of_aws() {
        let discard = Discard { records: 0..2, condition: Condition::RetryAttemptsExhausted, deliveries: 4 };
        let delivery = Delivery { request_id: "id".into(), function_error: true, version: "$LATEST".into() };
        let seen = record(&ABOUT, &discard, &records(), Some(&delivery), 1_700_000_001_000);
        let expected = json!({
            "requestContext": {
                "requestId": "id",
                "functionArn": ABOUT.function_arn,
                "condition": "RetryAttemptsExhausted",
                "approximateInvokeCount": 4,
            },
            "responseContext": { "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" },
            "version": "1.0",
            "timestamp": "2023-11-14T22:13:21.000Z",
            "KinesisBatchInfo": {
                "shardId": "shardId-000000000000",
                "startSequenceNumber": "11",
                "endSequenceNumber": "12",
                "approximateArrivalOfFirstRecord": "2023-11-14T22:13:20.123Z",
                "approximateArrivalOfLastRecord": "2023-11-14T22:13:20.123Z",
                "batchSize": 2,
                "streamArn": ABOUT.stream_arn,
            },
        });
        assert_eq!(seen, expected);
    }

    #[test]
    fn arrivals_at_a_table_are_written_in_whole_seconds() {
        let discard = Discard { records: 0..2, condition: Condition::RetryAttemptsExhausted, deliveries: 1 };
        let mut records = records();
        for record in &mut records {
            record.arrival_ms = 1_700_000_000_000;
        }
        for (kind, info, time) in [
            (SourceKind::DynamoDb, "DDBStreamBatchInfo", "2023-11-14T22:13:20Z"),
            (SourceKind::Kinesis, "KinesisBatchInfo", "2023-11-14T22:13:20.000Z"),
        ] {
            let seen = record(&About { kind, ..ABOUT }, &discard, &records, None, 0);
            assert_eq!(seen[info]["approximateArrivalOfFirstRecord"], time);
            assert_eq!(seen[info]["approximateArrivalOfLastRecord"], time);
        }
    }

    #[test]
    fn records_that_never_reached_the_function_have_no_response() {
        let discard = Discard { records: 0..2, condition: Condition::RecordAgeExceeded, deliveries: 0 };
        let seen = record(&ABOUT, &discard, &records(), None, 0);
        assert_eq!(seen.get("responseContext"), None);
        assert_eq!(seen["requestContext"]["condition"], "RecordAgeExceeded");
    }

    #[test]
    fn object_key_names_mapping_shard_and_time() {
        let key = object_key(&ABOUT, 1_700_000_001_000);
        assert!(key.starts_with("aws/lambda/uuid/shardId-000000000000/2023/11/14/2023-11-14T22.13.21-"), "{key}");
    }

    #[test]
    fn event_holds_the_records_in_order() {
        let records = records();
        let event = event(&records);
        assert_eq!(event, r#"{"Records":[{"n":11},{"n":12}]}"#);
        assert_eq!(event.len(), ENVELOPE + records.iter().map(|record| record.json.len()).sum::<usize>() + 1);
    }
}
