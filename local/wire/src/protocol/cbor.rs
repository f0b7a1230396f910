//! CBOR to and from the JSON tree; times are tagged epoch seconds on the wire and plain numbers in the tree.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ciborium::Value as Cbor;
use serde_json::{Map, Number, Value};

use super::xml::is_time;
use crate::error::CallError;

const EPOCH_TIME_TAG: u64 = 1;

pub(super) fn decode(body: &[u8]) -> Result<Value, CallError> {
    if body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let tree: Cbor =
        ciborium::from_reader(body).map_err(|error| CallError::bad("SerializationException", error.to_string()))?;
    Ok(to_json(tree))
}

pub(super) fn encode(tree: &Value) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    ciborium::into_writer(&to_cbor("", tree), &mut body).map_err(CallError::internal)?;
    Ok(body)
}

fn to_json(tree: Cbor) -> Value {
    match tree {
        Cbor::Integer(number) => i64::try_from(i128::from(number)).map_or(Value::Null, Value::from),
        Cbor::Float(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
        Cbor::Text(text) => Value::String(text),
        Cbor::Bytes(bytes) => Value::String(STANDARD.encode(bytes)),
        Cbor::Bool(flag) => Value::Bool(flag),
        Cbor::Tag(_, inner) => to_json(*inner),
        Cbor::Array(items) => Value::Array(items.into_iter().map(to_json).collect()),
        Cbor::Map(entries) => Value::Object(
            entries.into_iter().filter_map(|(name, value)| Some((name.into_text().ok()?, to_json(value)))).collect(),
        ),
        _ => Value::Null,
    }
}

fn to_cbor(name: &str, tree: &Value) -> Cbor {
    match tree {
        Value::Null => Cbor::Null,
        Value::Bool(flag) => Cbor::Bool(*flag),
        Value::Number(number) if is_time(name) => {
            Cbor::Tag(EPOCH_TIME_TAG, Box::new(Cbor::Float(number.as_f64().unwrap_or_default())))
        }
        Value::Number(number) => number
            .as_i64()
            .map_or_else(|| Cbor::Float(number.as_f64().unwrap_or_default()), |whole| Cbor::Integer(whole.into())),
        Value::String(text) => Cbor::Text(text.clone()),
        Value::Array(items) => Cbor::Array(items.iter().map(|item| to_cbor(name, item)).collect()),
        Value::Object(members) => {
            Cbor::Map(members.iter().map(|(name, value)| (Cbor::Text(name.clone()), to_cbor(name, value))).collect())
        }
    }
}
