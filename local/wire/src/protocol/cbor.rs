//! CBOR to and from the JSON tree; times are tagged numbers on the wire and epoch seconds in the tree.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ciborium::Value as Cbor;
use serde_json::{Map, Number, Value};

use super::xml::is_time;
use crate::clock;
use crate::error::CallError;
use crate::input::time_ms;

const EPOCH_TIME_TAG: u64 = 1;

/// The two protocols that have CBOR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Smithy's `rpc-v2-cbor`: times are epoch seconds, as the tag says.
    Smithy,
    /// `application/x-amz-cbor-1.1`, which only Kinesis has: times are whole epoch milliseconds all the same
    /// (<https://github.com/aws/aws-sdk-java-v2/issues/4661>).
    Kinesis,
}

pub(super) fn decode(dialect: Dialect, body: &[u8]) -> Result<Value, CallError> {
    if body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let tree: Cbor =
        ciborium::from_reader(body).map_err(|error| CallError::bad("SerializationException", error.to_string()))?;
    Ok(to_json(dialect, tree))
}

pub(super) fn encode(dialect: Dialect, tree: &Value) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    ciborium::into_writer(&to_cbor(dialect, "", tree), &mut body).map_err(CallError::internal)?;
    Ok(body)
}

fn to_json(dialect: Dialect, tree: Cbor) -> Value {
    match tree {
        Cbor::Integer(number) => i64::try_from(i128::from(number)).map_or(Value::Null, Value::from),
        Cbor::Float(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
        Cbor::Text(text) => Value::String(text),
        Cbor::Bytes(bytes) => Value::String(STANDARD.encode(bytes)),
        Cbor::Bool(flag) => Value::Bool(flag),
        Cbor::Tag(EPOCH_TIME_TAG, inner) if dialect == Dialect::Kinesis => {
            to_json(dialect, *inner).as_i64().map_or(Value::Null, |ms| clock::seconds(ms).into())
        }
        Cbor::Tag(_, inner) => to_json(dialect, *inner),
        Cbor::Array(items) => Value::Array(items.into_iter().map(|item| to_json(dialect, item)).collect()),
        Cbor::Map(entries) => Value::Object(
            entries
                .into_iter()
                .filter_map(|(name, value)| Some((name.into_text().ok()?, to_json(dialect, value))))
                .collect(),
        ),
        _ => Value::Null,
    }
}

fn to_cbor(dialect: Dialect, name: &str, tree: &Value) -> Cbor {
    match tree {
        Value::Null => Cbor::Null,
        Value::Bool(flag) => Cbor::Bool(*flag),
        Value::Number(_) if is_time(name) && dialect == Dialect::Kinesis => {
            let ms = time_ms(tree).unwrap_or_default();
            Cbor::Tag(EPOCH_TIME_TAG, Box::new(Cbor::Integer(ms.into())))
        }
        Value::String(base64) if is_blob(name) && dialect == Dialect::Kinesis => {
            STANDARD.decode(base64).map_or_else(|_| Cbor::Text(base64.clone()), Cbor::Bytes)
        }
        Value::Number(number) if is_time(name) => {
            Cbor::Tag(EPOCH_TIME_TAG, Box::new(Cbor::Float(number.as_f64().unwrap_or_default())))
        }
        Value::Number(number) => number
            .as_i64()
            .map_or_else(|| Cbor::Float(number.as_f64().unwrap_or_default()), |whole| Cbor::Integer(whole.into())),
        Value::String(text) => Cbor::Text(text.clone()),
        Value::Array(items) => Cbor::Array(items.iter().map(|item| to_cbor(dialect, name, item)).collect()),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| (Cbor::Text(name.clone()), to_cbor(dialect, name, value));
            Cbor::Map(members.iter().map(member).collect())
        }
    }
}

/// Whether a member is bytes, which are base64 in the tree: Kinesis has one of that kind.
fn is_blob(name: &str) -> bool {
    name == "Data"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinesis_has_bytes_and_times_in_milliseconds() {
        let tree = json!({"Records": [{"Data": "AAH/", "ApproximateArrivalTimestamp": 1_787_036_486.712, "PartitionKey": "k"}]});
        let body = encode(Dialect::Kinesis, &tree).unwrap();
        let contains = |part: &[u8]| body.windows(part.len()).any(|window| window == part);
        assert!(contains(b"dData\x43\x00\x01\xff"), "a string of three bytes: {body:02x?}");
        // As the Java SDK was seen to send it: a tag, and a whole number.
        assert!(contains(b"Timestamp\xc1\x1b\x00\x00\x01\xa0\x13\xac\xcc\x38"), "{body:02x?}");
        assert_eq!(decode(Dialect::Kinesis, &body).unwrap(), tree);
    }

    #[test]
    fn smithy_has_times_in_seconds() {
        let tree = json!({"Timestamp": 1_787_036_486.5, "Data": "AAH/"});
        assert_eq!(decode(Dialect::Smithy, &encode(Dialect::Smithy, &tree).unwrap()).unwrap(), tree);
    }
}
