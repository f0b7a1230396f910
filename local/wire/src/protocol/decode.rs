//! Requests and answers of every protocol as JSON trees.

use axum::body::{Bytes, to_bytes};
use axum::response::Response;
use http::{HeaderMap, Request};
use serde_json::{Value, json};

use super::cbor::Dialect;
use super::query::form_tree;
use super::{cbor, xml};
use crate::error::CallError;
use crate::request::{Call, Protocol};

/// The largest body that the gateway takes: a 50 MB zip in base64 with room to spare.
pub const MAX_BODY: usize = 100 * 1024 * 1024;

/// The input of an operation, or its answer, as one tree; members are named as in AWS's API model.
pub fn decode(call: &Call, body: &[u8]) -> Result<Value, CallError> {
    Ok(match call.protocol {
        Protocol::Json | Protocol::RestJson if body.is_empty() => json!({}),
        Protocol::Json | Protocol::RestJson => object(
            serde_json::from_slice(body)
                .map_err(|error| CallError::bad("SerializationException", error.to_string()))?,
        )?,
        Protocol::AwsCbor => object(cbor::decode(Dialect::Kinesis, body)?)?,
        Protocol::Cbor => object(cbor::decode(Dialect::Smithy, body)?)?,
        Protocol::Query => form_tree(body),
        Protocol::RestXml => return Err(CallError::internal("XML bodies are read by the S3 engine")),
    })
}

fn object(tree: Value) -> Result<Value, CallError> {
    if tree.is_object() { Ok(tree) } else { Err(CallError::bad("SerializationException", "the body is not an object")) }
}

/// The query form of a GET sits in its URL.
pub fn query_bytes(request: &Request<Bytes>) -> Bytes {
    if request.body().is_empty() {
        Bytes::copy_from_slice(request.uri().query().unwrap_or_default().as_bytes())
    } else {
        request.body().clone()
    }
}

/// Collects a response's body.
pub async fn body_of(response: Response) -> Result<Bytes, CallError> {
    to_bytes(response.into_body(), MAX_BODY).await.map_err(CallError::internal)
}

/// Reads code and message out of an error answer of any protocol.
pub fn error_of(status: u16, headers: &HeaderMap, body: &[u8]) -> CallError {
    let from_header = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let tree: Option<Value> = match body.first() {
        Some(b'{') => serde_json::from_slice(body).ok(),
        Some(b'<') | None => None,
        Some(_) => cbor::decode(Dialect::Smithy, body).ok(),
    };
    let (code, message) = if let Some(tree) = tree {
        let member = |names: [&str; 2]| names.iter().find_map(|name| tree[*name].as_str()).map(str::to_owned);
        (member(["__type", "code"]), member(["message", "Message"]))
    } else {
        let text = String::from_utf8_lossy(body);
        (xml::text_of(&text, "Code"), xml::text_of(&text, "Message"))
    };
    let code = from_header.or(code).unwrap_or_else(|| format!("Http{status}"));
    let code = code.rsplit('#').next().unwrap_or(&code).split(':').next().unwrap_or(&code).to_owned();
    CallError::new(status, code, message.unwrap_or_default())
}
