//! The Invoke operation: synchronous, asynchronous and dry-run invocations over HTTP.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::Engine;
use crate::api_error::ApiError;
use crate::function::pending;
use crate::function::target::Target;
use crate::invocation::invoke::{Event, NotInvoked};
use crate::runtime::runtime_api::MAX_PAYLOAD;

/// Lambda's limit for the event of an asynchronous invocation.
const MAX_ASYNC_PAYLOAD: usize = 1024 * 1024;

impl Engine {
    /// The Invoke API.
    pub(crate) async fn invoke(
        self: &Arc<Self>,
        target: Target,
        headers: &HeaderMap,
        payload: Bytes,
    ) -> Result<Response, ApiError> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if !payload.is_empty()
            && let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&payload)
        {
            return Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                "InvalidRequestContentException",
                format!("Could not parse request body into json: {error}"),
            ));
        }
        // AWS hands a function that was invoked without a payload an empty object.
        let payload = if payload.is_empty() { Bytes::from_static(b"{}") } else { payload };
        let mut event = Event::new(payload);
        event.trace = header("x-amzn-trace-id").map(str::to_owned);
        event.client_context = match header("x-amz-client-context") {
            None => None,
            Some(encoded) => Some(client_context(encoded)?),
        };
        let request_id = HeaderValue::from_str(&event.request_id).map_err(ApiError::service)?;
        let mut answer = match header("x-amz-invocation-type").unwrap_or("RequestResponse") {
            "RequestResponse" => {
                let size = event.payload.len();
                // In a task of its own: a caller that hangs up does not end the invocation.
                let (engine, running) = (Arc::clone(self), target.clone());
                let outcome = self.tasks.spawn(async move { engine.run(&running, event).await }).await;
                let outcome = outcome.map_err(ApiError::service)?.map_err(|refusal| refused(refusal, &target, size))?;
                let mut answer = outcome.payload.into_response();
                let headers = answer.headers_mut();
                headers.insert("content-type", HeaderValue::from_static("application/json"));
                if let Ok(version) = HeaderValue::from_str(&outcome.version) {
                    headers.insert("x-amz-executed-version", version);
                }
                if outcome.failed {
                    headers.insert("x-amz-function-error", HeaderValue::from_static("Unhandled"));
                }
                if header("x-amz-log-type") == Some("Tail")
                    && let Ok(tail) = HeaderValue::from_str(&BASE64.encode(outcome.tail))
                {
                    headers.insert("x-amz-log-result", tail);
                }
                answer
            }
            "Event" if event.payload.len() > MAX_ASYNC_PAYLOAD => {
                return Err(too_large(event.payload.len(), "Event", MAX_ASYNC_PAYLOAD));
            }
            "Event" => {
                self.take_event(target, event);
                StatusCode::ACCEPTED.into_response()
            }
            "DryRun" => StatusCode::NO_CONTENT.into_response(),
            other => {
                return Err(ApiError::constraint(
                    other,
                    "invocationType",
                    "satisfy enum value set: [Event, RequestResponse, DryRun]",
                ));
            }
        };
        answer.headers_mut().insert("x-amzn-requestid", request_id);
        Ok(answer)
    }
}

fn client_context(encoded: &str) -> Result<String, ApiError> {
    let decoded = BASE64.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.ok_or_else(|| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "InvalidRequestContentException",
            "Client context must be a valid Base64-encoded JSON object.",
        )
    })
}

fn refused(refusal: NotInvoked, target: &Target, size: usize) -> ApiError {
    match refusal {
        NotInvoked::Throttled => {
            let reason = if target.function.reserved().is_some() {
                "ReservedFunctionConcurrentInvocationLimitExceeded"
            } else {
                "ConcurrentInvocationLimitExceeded"
            };
            let mut error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", "Rate Exceeded.");
            error.reason = Some(reason);
            error
        }
        NotInvoked::Gone => ApiError::not_found(format!("Function not found: {}", target.arn())),
        NotInvoked::Pending => pending(),
        NotInvoked::TooLarge => too_large(size, "RequestResponse", MAX_PAYLOAD),
    }
}

fn too_large(size: usize, kind: &str, limit: usize) -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "RequestTooLargeException",
        format!("{size} byte payload is too large for the {kind} invocation type (limit {limit} bytes)"),
    )
}
