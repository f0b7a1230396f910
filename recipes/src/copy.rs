//! Copies of a stream's records in another stream: each says which record it is a copy of.
//!
//! Records of Kinesis have no headers. So a copy is a JSON object with the field [`COPY_FIELD`], whose value is a [`CopyOf`]. Where
//! the payload is a JSON object itself, that field is added to it, and all of its own bytes stay as they are: whoever reads its
//! fields, a filter of an event source mapping too, finds them where they were. Any other payload is in the field, in base64.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::json::members::Members;
use crate::record::place;

/// The field of a copy that says what it is a copy of.
pub const COPY_FIELD: &str = "streamkitCopyOf";

static COPY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(COPY_FIELD));

/// The record that a copy is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyOf {
    /// The ARN of the record's stream.
    pub stream_arn: String,
    /// The record's shard.
    pub shard_id: String,
    /// The record's sequence number.
    pub sequence_number: String,
    /// When its stream took it, in milliseconds since the epoch.
    pub approximate_arrival_timestamp: i64,
}

/// What the field holds beside, where the payload is no JSON object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    payload_base64: Option<String>,
}

impl CopyOf {
    /// The record's place, `<shard>:<sequence number>`: what Lambda calls the record's `eventID`.
    pub fn place(&self) -> String {
        place(&self.shard_id, &self.sequence_number)
    }

    fn json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers always serialize")
    }

    /// The payload of the record's copy.
    pub fn copy(&self, payload: &[u8]) -> Vec<u8> {
        let field = self.json();
        let Some((text, is_empty)) = object(payload) else {
            let field = field.trim_end_matches('}');
            let payload = STANDARD.encode(payload);
            return format!(r#"{{"{COPY_FIELD}":{field},"payloadBase64":"{payload}"}}}}"#).into_bytes();
        };
        let (before, end) = text.split_at(text.rfind('}').unwrap_or(text.len()));
        let comma = if is_empty { "" } else { "," };
        format!(r#"{before}{comma}"{COPY_FIELD}":{field}{end}"#).into_bytes()
    }

    /// Takes a copy apart: what it is a copy of, and the payload of that record, byte for byte. `None` for a payload that is none of
    /// a copy.
    pub fn read(payload: &[u8]) -> Option<(Self, Vec<u8>)> {
        // Every record is looked at like this, and most payloads are not read a second time.
        COPY.find(payload)?;
        let text = std::str::from_utf8(payload).ok()?;
        let members: Members<'_, &RawValue> = serde_json::from_str(text).ok()?;
        let raw = members.get(COPY_FIELD)?.get();
        let of = serde_json::from_str(raw).ok()?;
        let payload = match serde_json::from_str(raw).ok()? {
            Payload { payload_base64: Some(encoded) } => STANDARD.decode(encoded).ok()?,
            Payload { payload_base64: None } => without(text, raw)?.into_bytes(),
        };
        Some((of, payload))
    }
}

/// The text of a payload that is a JSON object, and whether that is empty.
fn object(payload: &[u8]) -> Option<(&str, bool)> {
    let text = std::str::from_utf8(payload).ok()?;
    let members: Members<'_, &RawValue> = serde_json::from_str(text).ok()?;
    Some((text, members.is_empty()))
}

/// The text of an object without the member that has this value, and without the comma that stood between it and another one.
fn without(text: &str, value: &str) -> Option<String> {
    // Where in the text the value is, which is a part of it.
    let start = value.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let after = text.get(start + value.len()..)?;
    let name = text.get(..start)?.rfind(&format!("\"{COPY_FIELD}\""))?;
    let before = &text[..name];
    let (before, after) = match (before.trim_end().strip_suffix(','), after.trim_start().strip_prefix(',')) {
        (Some(before), _) => (before, after),
        (None, Some(after)) => (before, after),
        (None, None) => (before, after),
    };
    Some([before, after].concat())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of() -> CopyOf {
        CopyOf {
            stream_arn: "arn:aws:kinesis:us-east-1:123456789012:stream/events".to_owned(),
            shard_id: "shardId-000000000001".to_owned(),
            sequence_number: "495".to_owned(),
            approximate_arrival_timestamp: 1_700_000_000_123,
        }
    }

    #[test]
    fn a_payload_comes_back_byte_for_byte_whatever_it_is() {
        for payload in [
            &br#"{"userId":"u-1","n":1.50}"#[..],
            b"{}",
            b" { } \n",
            b"{ \"a\" : [1, {\"b\": \"}\"}] , \"a\": 2 }\r\n",
            br#"{"streamkitCopyOf":7}"#,
            br#"{"text":"\"streamkitCopyOf\":{}"}"#,
            "{\"é\":\"\u{1f600}\"}".as_bytes(),
            b"",
            b"null",
            b"[1,2]",
            b"{\"a\":1",
            b"\xff\x00",
            b"plain text",
            b"\xf3\x89\x9a\xc2 aggregated",
        ] {
            let copy = of().copy(payload);
            let text = String::from_utf8(copy.clone()).unwrap();
            assert_eq!(CopyOf::read(&copy), Some((of(), payload.to_vec())), "{text}");
            let value: Value = serde_json::from_slice(&copy).unwrap();
            assert_eq!(value[COPY_FIELD]["shardId"], "shardId-000000000001", "{text}");
        }
    }

    #[test]
    fn the_fields_of_an_object_stay_where_they_were() {
        let copy = of().copy(br#"{"userId":"u-1"}"#);
        let expected = r#"{"userId":"u-1","streamkitCopyOf":{"streamArn":"arn:aws:kinesis:us-east-1:123456789012:stream/events","shardId":"shardId-000000000001","sequenceNumber":"495","approximateArrivalTimestamp":1700000000123}}"#;
        assert_eq!(String::from_utf8(copy).unwrap(), expected);
        let binary: Value = serde_json::from_slice(&of().copy(b"\xff")).unwrap();
        assert_eq!(binary[COPY_FIELD]["payloadBase64"], "/w==");
    }

    #[test]
    fn a_copy_that_was_edited_is_still_one() {
        let field = serde_json::to_value(of()).unwrap();
        for (edited, payload) in [
            (json!({ "a": 1, COPY_FIELD: field, "z": 2 }).to_string(), json!({ "a": 1, "z": 2 }).to_string()),
            (format!("{{ \"{COPY_FIELD}\" : {field} , \"a\": 1}}"), "{  \"a\": 1}".to_owned()),
            (format!("{{\"a\": 1, \"{COPY_FIELD}\": {field}}}"), "{\"a\": 1}".to_owned()),
        ] {
            let (read, left) = CopyOf::read(edited.as_bytes()).unwrap();
            assert_eq!((read, String::from_utf8(left).unwrap()), (of(), payload), "{edited}");
        }
    }

    #[test]
    fn what_only_looks_like_a_copy_is_none() {
        let copy = String::from_utf8(of().copy(b"{}")).unwrap();
        for payload in [
            br#"{"streamkitCopyOf":{"shardId":"s"}}"#.to_vec(),
            br#"{"streamkitCopyOf":null}"#.to_vec(),
            format!("[{copy}]").into_bytes(),
            format!("{{\"inner\":{copy}}}").into_bytes(),
            format!("x{copy}").into_bytes(),
            copy.as_bytes()[..copy.len() - 1].to_vec(),
        ] {
            assert_eq!(CopyOf::read(&payload), None, "{}", String::from_utf8_lossy(&payload));
        }
    }
}
