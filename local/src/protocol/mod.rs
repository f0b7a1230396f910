//! The wire protocols of AWS: a request to a JSON tree, a JSON tree or an error back to what that protocol's clients read.

mod cbor;
mod query;
mod xml;

use axum::body::{Body, Bytes, to_bytes};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Request};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::call::{Call, Protocol};
use crate::error::CallError;

pub(crate) use query::form_tree;
pub(crate) use xml::escape;

/// The largest body that the gateway takes: a 50 MB zip in base64 with room to spare.
pub(crate) const MAX_BODY: usize = 100 * 1024 * 1024;

/// The input of an operation as one tree; members are named as in AWS's API model.
pub(crate) fn decode(call: &Call, body: &[u8]) -> Result<Value, CallError> {
    Ok(match call.protocol {
        Protocol::Json | Protocol::RestJson if body.is_empty() => json!({}),
        Protocol::Json | Protocol::RestJson => decode_as(false, body)?,
        Protocol::Cbor => decode_as(true, body)?,
        Protocol::Query => form_tree(body),
        Protocol::RestXml => return Err(CallError::internal("XML bodies are read by the S3 engine")),
    })
}

/// Kinesis's body, which is JSON or CBOR.
pub(crate) fn decode_as(cbor: bool, body: &[u8]) -> Result<Value, CallError> {
    let tree = if cbor {
        cbor::decode(body)?
    } else {
        serde_json::from_slice(body).map_err(|error| CallError::bad("SerializationException", error.to_string()))?
    };
    if tree.is_object() { Ok(tree) } else { Err(CallError::bad("SerializationException", "the body is not an object")) }
}

/// The reverse of [`decode_as`].
pub(crate) fn encode_as(cbor: bool, tree: &Value) -> Result<Vec<u8>, CallError> {
    if cbor { cbor::encode(tree) } else { Ok(tree.to_string().into_bytes()) }
}

/// The query form of a GET sits in its URL.
pub(crate) fn query_bytes(request: &Request<Bytes>) -> Bytes {
    if request.body().is_empty() {
        Bytes::copy_from_slice(request.uri().query().unwrap_or_default().as_bytes())
    } else {
        request.body().clone()
    }
}

/// The answer to a call in its own protocol.
pub(crate) fn encode(call: &Call, outcome: Result<Value, CallError>) -> Response {
    match outcome {
        Err(error) => error_response(call, &error),
        Ok(tree) => match call.protocol {
            Protocol::Json | Protocol::RestJson | Protocol::RestXml => {
                response(200, content_type(call), tree.to_string().into_bytes())
            }
            Protocol::Cbor => match cbor::encode(&tree) {
                Ok(body) => with_header(response(200, content_type(call), body), "smithy-protocol", "rpc-v2-cbor"),
                Err(error) => error_response(call, &error),
            },
            Protocol::Query => response(200, content_type(call), xml::document(call, &tree).into_bytes()),
        },
    }
}

/// An error in the form of the call's protocol.
pub(crate) fn error_response(call: &Call, error: &CallError) -> Response {
    let CallError { status, code, message } = error;
    let kind = if *status < 500 { "Sender" } else { "Receiver" };
    match call.protocol {
        Protocol::Json | Protocol::RestJson => {
            let body = json!({"__type": code, "message": message, "Message": message});
            let answer = response(*status, content_type(call), body.to_string().into_bytes());
            with_header(with_query_code(answer, call, code, kind), "x-amzn-errortype", code)
        }
        Protocol::Cbor => {
            let body = cbor::encode(&json!({"__type": code, "message": message})).unwrap_or_default();
            let answer = with_header(response(*status, content_type(call), body), "smithy-protocol", "rpc-v2-cbor");
            with_query_code(answer, call, code, kind)
        }
        Protocol::Query => {
            let body = format!(
                "<ErrorResponse xmlns=\"{}\"><Error><Type>{kind}</Type><Code>{}</Code><Message>{}</Message></Error><RequestId>{}</RequestId></ErrorResponse>",
                xml::namespace(&call.service),
                escape(&query_code(call, code)),
                escape(message),
                Uuid::new_v4()
            );
            response(*status, content_type(call), body.into_bytes())
        }
        Protocol::RestXml => {
            let body = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{}</Code><Message>{}</Message><RequestId>{}</RequestId></Error>",
                escape(code),
                escape(message),
                Uuid::new_v4()
            );
            response(*status, content_type(call), body.into_bytes())
        }
    }
}

/// A response with a request id.
pub(crate) fn response(status: u16, content_type: &str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let response = with_header(response, "content-type", content_type);
    with_header(response, "x-amzn-requestid", &Uuid::new_v4().to_string())
}

/// Collects a response's body.
pub(crate) async fn body_of(response: Response) -> Result<Bytes, CallError> {
    to_bytes(response.into_body(), MAX_BODY).await.map_err(CallError::internal)
}

/// Reads code and message out of an error answer of any protocol.
pub(crate) fn error_of(status: u16, headers: &HeaderMap, body: &[u8]) -> CallError {
    let from_header = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let tree: Option<Value> = match body.first() {
        Some(b'{') => serde_json::from_slice(body).ok(),
        Some(b'<') | None => None,
        Some(_) => cbor::decode(body).ok(),
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

fn content_type(call: &Call) -> &'static str {
    match call.protocol {
        Protocol::Json if matches!(call.service.as_str(), "kinesis" | "logs" | "kms" | "application-autoscaling") => {
            "application/x-amz-json-1.1"
        }
        Protocol::Json => "application/x-amz-json-1.0",
        Protocol::RestJson => "application/json",
        Protocol::Cbor => "application/cbor",
        Protocol::Query => "text/xml",
        Protocol::RestXml => "application/xml",
    }
}

/// Clients of services that once spoke the query protocol look for the old error code in a header.
fn with_query_code(answer: Response, call: &Call, code: &str, kind: &str) -> Response {
    if matches!(call.service.as_str(), "sqs" | "cloudwatch") {
        with_header(answer, "x-amzn-query-error", &format!("{};{kind}", query_code(call, code)))
    } else {
        answer
    }
}

/// The error code of the query protocol; SQS had others than it has now.
fn query_code(call: &Call, code: &str) -> String {
    const PREFIXED: [&str; 7] = [
        "BatchEntryIdsNotDistinct",
        "BatchRequestTooLong",
        "EmptyBatchRequest",
        "InvalidBatchEntryId",
        "PurgeQueueInProgress",
        "QueueDeletedRecently",
        "TooManyEntriesInBatchRequest",
    ];
    match code {
        "QueueDoesNotExist" => "AWS.SimpleQueueService.NonExistentQueue".to_owned(),
        _ if call.service == "sqs" && PREFIXED.contains(&code) => format!("AWS.SimpleQueueService.{code}"),
        _ => code.to_owned(),
    }
}

fn with_header(mut answer: Response, name: &'static str, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}
