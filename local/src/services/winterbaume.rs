//! Services that a `winterbaume` crate answers, behind the trait that these crates share.

use axum::body::Bytes;
use axum::response::Response;
use http::uri::PathAndQuery;
use http::{Request, header};
use serde_json::Value;
use streamkit_wire::{Call, CallError, Protocol, protocol};
use winterbaume_core::{MockRequest, MockService, default_account_id, set_default_account_id};

use super::service::{AwsService, BoxFuture};

/// Says whose account it is. A setting of the whole process in these crates: the first embedded AWS of a process decides.
pub(super) fn set_account(account: &str) {
    set_default_account_id(account);
}

/// Whose account it is.
pub(super) fn account() -> &'static str {
    default_account_id()
}

/// A service with such an engine.
pub(super) struct Winterbaume<E> {
    engine: E,
    region: String,
}

impl<E: MockService> Winterbaume<E> {
    pub(super) fn new(engine: E, region: &str) -> Self {
        Self { engine, region: region.to_owned() }
    }

    /// The engine itself, for its state.
    pub(super) fn engine(&self) -> &E {
        &self.engine
    }

    /// The engine's answer to a request, its method, path or body replaced where that is asked for.
    pub(super) async fn forward(&self, call: &Call, request: &Request<Bytes>, changed: Changed<'_>) -> Response {
        let mut headers = request.headers().clone();
        // S3 would otherwise keep one world per region that a request is signed for.
        headers.remove(header::AUTHORIZATION);
        let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        let path = changed.path.unwrap_or(path);
        let answer = self
            .engine
            .handle(MockRequest {
                method: changed.method.unwrap_or(request.method().as_str()).to_owned(),
                // The crates read the region out of AWS's own host names.
                uri: format!("https://{}.{}.amazonaws.com{path}", call.service.name(), self.region),
                headers,
                body: changed.body.unwrap_or_else(|| request.body().clone()),
            })
            .await;
        let mut response = protocol::response(answer.status, "application/json", Vec::new());
        for (name, value) in &answer.headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        let xml = answer.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().ends_with(b"xml"));
        let mangled = call.protocol == Protocol::Query || xml;
        let body = if mangled { utf8_again(answer.body) } else { answer.body };
        *response.body_mut() = body.into();
        response
    }
}

/// What of a request is not handed on as it came.
#[derive(Default)]
pub(super) struct Changed<'a> {
    pub(super) method: Option<&'a str>,
    pub(super) path: Option<&'a str>,
    pub(super) body: Option<Bytes>,
}

impl<E: MockService> AwsService for Winterbaume<E> {
    fn run<'a>(&'a self, call: &'a Call, _: Value) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(async { Err(CallError::unknown_operation(call.service.name(), &call.operation)) })
    }

    fn answer<'a>(&'a self, call: &'a Call, request: Request<Bytes>) -> BoxFuture<'a, Response> {
        Box::pin(async move { self.forward(call, &request, Changed::default()).await })
    }
}

/// The crates percent-decode byte by byte, so that `é` comes back as the two letters `Ã©`. Undoes that where the whole
/// answer can only be such text.
fn utf8_again(body: Bytes) -> Bytes {
    let Ok(text) = std::str::from_utf8(&body) else { return body };
    if text.is_ascii() {
        return body;
    }
    let bytes: Option<Vec<u8>> = text.chars().map(|letter| u8::try_from(u32::from(letter)).ok()).collect();
    match bytes.map(String::from_utf8) {
        Some(Ok(mended)) => mended.into(),
        _ => body,
    }
}
