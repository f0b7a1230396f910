//! The message for the dead letter queue: a record that can never be processed, with all that is needed to replay it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use streamkit_recipes::Rejected;

use crate::record::{Content, IncomingRecord};

/// The message attribute with the record's identity, by which a consumer recognizes a dead letter that was sent twice.
pub const EVENT_ID_ATTRIBUTE: &str = "eventId";

/// A message for the dead letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The record's identity.
    pub event_id: String,
    /// The body: JSON.
    pub body: String,
}

impl DeadLetter {
    /// Builds the dead letter of a record, with its whole payload.
    pub fn new(pipeline: &str, function: &str, record: &IncomingRecord, rejected: &Rejected) -> Self {
        let event_id = record.event_id.clone();
        let mut body = json!({
            "pipeline": pipeline,
            "function": function,
            "eventId": event_id,
            "sequenceNumber": record.sequence_number,
            "streamArn": record.source_arn,
            "error": {"code": rejected.code, "message": rejected.message},
        });
        match &record.content {
            Content::Stream { shard_id, partition_key, arrival_ms, data } => {
                body["shardId"] = json!(shard_id);
                body["partitionKey"] = json!(partition_key);
                body["approximateArrivalTimestamp"] = json!(arrival_ms);
                let (name, payload) = match data {
                    Ok(data) => match std::str::from_utf8(data) {
                        Ok(text) => ("payload", text.to_owned()),
                        Err(_) => ("payloadBase64", STANDARD.encode(data)),
                    },
                    Err(not_base64) => ("payload", not_base64.clone()),
                };
                body[name] = Value::String(payload);
            }
            Content::Change { table, event_name, raw, .. } => {
                body["table"] = json!(table);
                body["eventName"] = json!(event_name);
                body["payload"] = json!(raw.get());
            }
        }
        // SQS refuses these two characters in a body; in JSON they can only be within strings.
        let body = body.to_string().replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff");
        Self { event_id, body }
    }

    /// Returns what SQS counts towards its limits: the body, and names, types and values of attributes.
    pub fn bytes(&self) -> usize {
        self.body.len() + EVENT_ID_ATTRIBUTE.len() + "String".len() + self.event_id.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead_letter(data: Result<Vec<u8>, String>) -> Value {
        let record = IncomingRecord {
            event_id: "shardId-000000000001:42".to_owned(),
            sequence_number: "42".to_owned(),
            source_arn: "arn:aws:kinesis:eu-west-1:123456789012:stream/s".to_owned(),
            content: Content::Stream {
                shard_id: "shardId-000000000001".to_owned(),
                partition_key: "key\u{ffff}".to_owned(),
                arrival_ms: 1_700_000_000_123,
                data,
            },
        };
        let rejected = Rejected { code: "wrong_type", message: "userId: expected a string".to_owned() };
        let letter = DeadLetter::new("retail-events-dev", "retail-events-dev-processor", &record, &rejected);
        assert!(!letter.body.contains(['\u{fffe}', '\u{ffff}']));
        assert_eq!(letter.event_id, "shardId-000000000001:42");
        serde_json::from_str(&letter.body).unwrap()
    }

    #[test]
    fn dead_letter_has_everything_about_the_record() {
        assert_eq!(
            dead_letter(Ok(b"{\"a\":\"\xef\xbf\xbe\"}".to_vec())),
            json!({
                "pipeline": "retail-events-dev",
                "function": "retail-events-dev-processor",
                "eventId": "shardId-000000000001:42",
                "shardId": "shardId-000000000001",
                "sequenceNumber": "42",
                "partitionKey": "key\u{ffff}",
                "approximateArrivalTimestamp": 1_700_000_000_123_i64,
                "streamArn": "arn:aws:kinesis:eu-west-1:123456789012:stream/s",
                "error": {"code": "wrong_type", "message": "userId: expected a string"},
                "payload": "{\"a\":\"\u{fffe}\"}",
            })
        );
    }

    #[test]
    fn dead_letter_keeps_bytes_that_are_not_utf8() {
        let body = dead_letter(Ok(b"\xff\x00".to_vec()));
        assert_eq!((&body["payloadBase64"], &body["payload"]), (&json!("/wA="), &Value::Null));
        assert_eq!(dead_letter(Err("%%%".to_owned()))["payload"], "%%%");
    }
}
