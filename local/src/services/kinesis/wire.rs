//! Kinesis's two protocols: JSON, and the CBOR that the Java SDKs send.

use axum::body::Bytes;
use axum::response::Response;
use http::{HeaderValue, Request, header};
use serde_json::{Map, Value, json};
use streamkit_wire::{CallError, protocol};

const CBOR: &str = "application/x-amz-cbor-1.1";
const JSON: &str = "application/x-amz-json-1.1";

pub(super) fn is_cbor(request: &Request<Bytes>) -> bool {
    request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().ends_with(b"cbor-1.1"))
}

/// The answer to a call in the protocol of its request.
pub(super) fn answer(cbor: bool, outcome: &Result<Value, CallError>) -> Response {
    let kind = if cbor { CBOR } else { JSON };
    let (status, tree) = match outcome {
        // Operations that have nothing to say answer with nothing at all.
        Ok(tree) if tree.as_object().is_none_or(Map::is_empty) => return protocol::response(200, kind, Vec::new()),
        Ok(tree) => (200, tree),
        Err(CallError { status, code, message }) => (*status, &json!({"__type": code, "message": message})),
    };
    let body = protocol::encode_as(cbor, tree).unwrap_or_default();
    let mut answer = protocol::response(status, kind, body);
    if let Err(error) = outcome
        && let Ok(code) = HeaderValue::from_str(&error.code)
    {
        answer.headers_mut().insert("x-amzn-errortype", code);
    }
    answer
}
