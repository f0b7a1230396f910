//! The message for the dead letter queue: a record that can never be processed, with all that is needed to replay it.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use streamkit_recipes::Rejected;

use crate::record::{Content, IncomingRecord};

/// The message attribute with the record's identity, by which a consumer recognizes a dead letter that was sent twice.
pub const EVENT_ID_ATTRIBUTE: &str = "eventId";

/// What the codes of records begin with that the recipe had taken before something else refused them: a recipe with a memory
/// remembers those.
pub const REFUSED_BY: &str = "refused_by_";

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
        Self::build(pipeline, function, record, rejected, true)
    }

    /// Builds the dead letter of a record that is too large for a message: in place of the payload it says how large that is,
    /// by which hash it is known, and where it can be read for as long as the stream keeps it.
    pub fn without_payload(pipeline: &str, function: &str, record: &IncomingRecord, rejected: &Rejected) -> Self {
        Self::build(pipeline, function, record, rejected, false)
    }

    fn build(pipeline: &str, function: &str, record: &IncomingRecord, rejected: &Rejected, with_payload: bool) -> Self {
        let with_payload = with_payload && record.withheld.is_none();
        let event_id = record.event_id.clone();
        let mut body = json!({
            "pipeline": pipeline,
            "function": function,
            "eventId": event_id,
            "sequenceNumber": record.sequence_number,
            "streamArn": record.source_arn,
            "error": {"code": rejected.code, "message": rejected.message},
        });
        if let Some(sub) = record.sub_sequence_number {
            body["subSequenceNumber"] = json!(sub);
        }
        match &record.content {
            Content::Stream { shard_id, partition_key, arrival_ms, data, copy_of, .. } => {
                // As it lies in the stream: played again, it is still a copy of the same record.
                let data = &match (data, copy_of) {
                    (Ok(data), Some(of)) => Ok(of.copy(data)),
                    _ => data.clone(),
                };
                body["shardId"] = json!(shard_id);
                body["partitionKey"] = json!(partition_key);
                body["approximateArrivalTimestamp"] = json!(arrival_ms);
                if with_payload {
                    let (name, payload) = match data {
                        Ok(data) => match std::str::from_utf8(data) {
                            Ok(text) => ("payload", text.to_owned()),
                            Err(_) => ("payloadBase64", STANDARD.encode(data)),
                        },
                        Err(not_base64) => ("payload", not_base64.clone()),
                    };
                    body[name] = Value::String(payload);
                } else {
                    let data = data.as_ref().map_or_else(|text| text.as_bytes(), Vec::as_slice);
                    describe_payload(&mut body, data, json!({ "shardId": shard_id }), record);
                }
            }
            Content::Change { table, event_name, raw, change } => {
                body["table"] = json!(table);
                body["eventName"] = json!(event_name);
                if let Some(user) = change.as_ref().ok().and_then(|change| change.user()) {
                    body["userIdentity"] = json!({"type": user.kind, "principalId": user.principal_id});
                }
                if with_payload {
                    body["payload"] = json!(raw.get());
                } else {
                    describe_payload(&mut body, raw.get().as_bytes(), json!({}), record);
                }
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

/// The hash by which a payload is known, in hexadecimal digits.
pub(crate) fn sha256(payload: &[u8]) -> String {
    Sha256::digest(payload).iter().fold(String::new(), |mut text, byte| {
        // Writing into a text can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What a dead letter says of a payload that it does not hold.
fn describe_payload(body: &mut Value, payload: &[u8], mut place: Value, record: &IncomingRecord) {
    let (bytes, hash) = match &record.withheld {
        Some(withheld) => (withheld.bytes, withheld.sha256.clone()),
        None => (payload.len(), sha256(payload)),
    };
    place["streamArn"] = json!(record.source_arn);
    place["sequenceNumber"] = json!(record.sequence_number);
    body["payloadBytes"] = json!(bytes);
    body["payloadSha256"] = json!(hash);
    body["payloadAt"] = place;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(data: Result<Vec<u8>, String>) -> IncomingRecord {
        IncomingRecord {
            withheld: None,
            indexes: Vec::new(),
            event_id: "shardId-000000000001:42".to_owned(),
            sequence_number: "42".to_owned(),
            sub_sequence_number: None,
            source_arn: "arn:aws:kinesis:eu-west-1:123456789012:stream/s".to_owned(),
            content: Content::Stream {
                shard_id: "shardId-000000000001".to_owned(),
                partition_key: Some("key\u{ffff}".to_owned()),
                own_id: None,
                copy_of: None,
                arrival_ms: 1_700_000_000_123,
                data,
            },
        }
    }

    fn dead_letter(data: Result<Vec<u8>, String>) -> Value {
        let record = record(data);
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
    fn a_payload_that_does_not_fit_is_described() {
        let record = record(Ok(b"abc".to_vec()));
        let rejected = Rejected { code: "wrong_type", message: "userId: expected a string".to_owned() };
        let letter = DeadLetter::without_payload("p", "f", &record, &rejected);
        let body: Value = serde_json::from_str(&letter.body).unwrap();
        assert_eq!((&body["payload"], &body["payloadBase64"]), (&Value::Null, &Value::Null));
        assert_eq!(body["payloadBytes"], 3);
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(body["payloadSha256"], hash);
        let place = json!({"streamArn": "arn:aws:kinesis:eu-west-1:123456789012:stream/s",
            "shardId": "shardId-000000000001", "sequenceNumber": "42"});
        assert_eq!((&body["payloadAt"], &body["eventId"]), (&place, &json!("shardId-000000000001:42")));
    }

    #[test]
    fn dead_letter_keeps_bytes_that_are_not_utf8() {
        let body = dead_letter(Ok(b"\xff\x00".to_vec()));
        assert_eq!((&body["payloadBase64"], &body["payload"]), (&json!("/wA="), &Value::Null));
        assert_eq!(dead_letter(Err("%%%".to_owned()))["payload"], "%%%");
    }
}
