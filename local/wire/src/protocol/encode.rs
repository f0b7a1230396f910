//! Answers and errors of operations, from a JSON tree to what the clients of each protocol read.

use axum::body::Body;
use axum::response::Response;
use http::HeaderValue;
use serde_json::{Value, json};
use uuid::Uuid;

use super::cbor::Dialect;
use super::xml::escape;
use super::{cbor, xml};
use crate::error::CallError;
use crate::request::{Call, Protocol};
use crate::service::Service;

/// The answer to a call in its own protocol.
pub fn encode(call: &Call, outcome: Result<Value, CallError>) -> Response {
    match outcome {
        Err(error) => error_response(call, &error),
        Ok(tree) => match call.protocol {
            Protocol::Json | Protocol::RestJson | Protocol::RestXml => {
                response(200, &content_type(call), tree.to_string().into_bytes())
            }
            Protocol::AwsCbor => match cbor::encode(Dialect::Kinesis, &tree) {
                Ok(body) => response(200, &content_type(call), body),
                Err(error) => error_response(call, &error),
            },
            Protocol::Cbor => match cbor::encode(Dialect::Smithy, &tree) {
                Ok(body) => with_header(response(200, &content_type(call), body), "smithy-protocol", "rpc-v2-cbor"),
                Err(error) => error_response(call, &error),
            },
            Protocol::Query => response(200, &content_type(call), xml::document(call, &tree).into_bytes()),
        },
    }
}

/// A tree in one of the protocols whose bodies are trees: JSON, or its dialect of CBOR.
pub fn encode_tree(protocol: Protocol, tree: &Value) -> Result<Vec<u8>, CallError> {
    match protocol {
        Protocol::AwsCbor => cbor::encode(Dialect::Kinesis, tree),
        Protocol::Cbor => cbor::encode(Dialect::Smithy, tree),
        _ => Ok(tree.to_string().into_bytes()),
    }
}

/// An error in the form of the call's protocol.
pub fn error_response(call: &Call, error: &CallError) -> Response {
    let CallError { status, code, message } = error;
    let kind = if *status < 500 { "Sender" } else { "Receiver" };
    match call.protocol {
        Protocol::Json | Protocol::RestJson => {
            let body = json!({"__type": code, "message": message, "Message": message});
            let answer = response(*status, &content_type(call), body.to_string().into_bytes());
            with_header(with_query_code(answer, call, code, kind), "x-amzn-errortype", code)
        }
        Protocol::AwsCbor => {
            let body = cbor::encode(Dialect::Kinesis, &json!({"__type": code, "message": message})).unwrap_or_default();
            with_header(response(*status, &content_type(call), body), "x-amzn-errortype", code)
        }
        Protocol::Cbor => {
            let body = cbor::encode(Dialect::Smithy, &json!({"__type": code, "message": message})).unwrap_or_default();
            let answer = with_header(response(*status, &content_type(call), body), "smithy-protocol", "rpc-v2-cbor");
            with_query_code(answer, call, code, kind)
        }
        Protocol::Query => {
            let body = format!(
                "<ErrorResponse xmlns=\"{}\"><Error><Type>{kind}</Type><Code>{}</Code><Message>{}</Message></Error><RequestId>{}</RequestId></ErrorResponse>",
                call.service.xml_namespace(),
                escape(&query_code(call, code)),
                escape(message),
                Uuid::new_v4()
            );
            response(*status, &content_type(call), body.into_bytes())
        }
        Protocol::RestXml => {
            let body = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{}</Code><Message>{}</Message><RequestId>{}</RequestId></Error>",
                escape(code),
                escape(message),
                Uuid::new_v4()
            );
            response(*status, &content_type(call), body.into_bytes())
        }
    }
}

/// The answer of an operation that has nothing to say, not even an empty object.
pub fn empty(call: &Call) -> Response {
    response(200, &content_type(call), Vec::new())
}

/// The answer to a call in a JSON protocol whose text is there already.
pub fn json_response(call: &Call, text: Vec<u8>) -> Response {
    response(200, &content_type(call), text)
}

/// A response with a request id.
pub fn response(status: u16, content_type: &str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let response = with_header(response, "content-type", content_type);
    with_header(response, "x-amzn-requestid", &Uuid::new_v4().to_string())
}

fn content_type(call: &Call) -> String {
    match call.protocol {
        Protocol::Json => format!("application/x-amz-json-{}", call.service.json_version()),
        Protocol::RestJson => "application/json".to_owned(),
        Protocol::AwsCbor => "application/x-amz-cbor-1.1".to_owned(),
        Protocol::Cbor => "application/cbor".to_owned(),
        Protocol::Query => "text/xml".to_owned(),
        Protocol::RestXml => "application/xml".to_owned(),
    }
}

/// Clients of services that once spoke the query protocol look for the old error code in a header.
fn with_query_code(answer: Response, call: &Call, code: &str, kind: &str) -> Response {
    if call.service.has_query_error_header() {
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
        _ if call.service == Service::Sqs && PREFIXED.contains(&code) => format!("AWS.SimpleQueueService.{code}"),
        _ => code.to_owned(),
    }
}

fn with_header(mut answer: Response, name: &'static str, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}
