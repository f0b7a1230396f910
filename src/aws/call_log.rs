//! Tells the log of each AWS call: service, operation, milliseconds, result, attempts and request id.
//!
//! No input, no output, no header and no message is ever passed on: what a call carries may be secret.

use std::time::Instant;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use aws_types::request_id::RequestId as _;
use serde_json::Value;
use tracing::Level;

/// What users write in `STREAMKIT_LOG` to choose these events.
const TARGET: &str = "streamkit::aws";

/// Watches the calls of one client.
#[derive(Debug)]
pub(super) struct CallLog;

/// True when somebody reads the log; without that, no client needs to be watched.
pub(super) fn is_read() -> bool {
    tracing::enabled!(target: TARGET, Level::INFO)
}

/// When a call and its newest attempt began.
#[derive(Debug, Clone, Copy)]
struct Began {
    call: Instant,
    attempt: Instant,
    attempts: u32,
}

impl Storable for Began {
    type Storer = StoreReplace<Self>;
}

impl Intercept for CallLog {
    fn name(&self) -> &'static str {
        "CallLog"
    }

    fn read_before_execution(
        &self,
        _context: &BeforeSerializationInterceptorContextRef<'_>,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let now = Instant::now();
        cfg.interceptor_state().store_put(Began { call: now, attempt: now, attempts: 0 });
        Ok(())
    }

    fn read_before_attempt(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(began) = cfg.load::<Began>().copied() {
            let next = Began { attempt: Instant::now(), attempts: began.attempts + 1, ..began };
            cfg.interceptor_state().store_put(next);
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let (Some(began), Some(call)) = (cfg.load::<Began>(), cfg.load::<Metadata>()) {
            let (service, operation) = (call.service(), call.name());
            let (ms, attempt) = (milliseconds(began.attempt), began.attempts);
            let (result, request_id) = (result(context), request_id(context));
            tracing::debug!(target: TARGET, attempt, ms, %result, request_id, "{service} {operation}");
        }
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let (Some(began), Some(call)) = (cfg.load::<Began>(), cfg.load::<Metadata>()) {
            let (service, operation) = (call.service(), call.name());
            let (ms, attempts) = (milliseconds(began.call), began.attempts);
            let (result, request_id) = (result(context), request_id(context));
            tracing::info!(target: TARGET, ms, %result, attempts, request_id, "{service} {operation}");
        }
        Ok(())
    }
}

fn milliseconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 10_000.0).round() / 10.0
}

fn request_id<'a>(context: &'a FinalizerInterceptorContextRef<'_>) -> Option<tracing::field::DisplayValue<&'a str>> {
    context.response()?.request_id().map(tracing::field::display)
}

/// `ok`, AWS's error code, or ours where no answer came.
fn result(context: &FinalizerInterceptorContextRef<'_>) -> String {
    let error = match context.output_or_error() {
        Some(Ok(_)) => return "ok".to_owned(),
        Some(Err(error)) => error,
        None => return "Unsent".to_owned(),
    };
    if let Some(response) = context.response()
        && error.is_operation_error()
    {
        return error_code(response).unwrap_or_else(|| format!("HTTP-{}", response.status().as_u16()));
    }
    let timeout = error.is_timeout_error() || error.as_connector_error().is_some_and(ConnectorError::is_timeout);
    match (timeout, error.is_connector_error(), error.is_response_error()) {
        (true, ..) => "Timeout",
        (_, true, _) => "Unreachable",
        (.., true) => "UnreadableAnswer",
        _ => "Unsent",
    }
    .to_owned()
}

/// AWS's code for an error. The operation's own error type is not known here, so the answer is looked at: the code stands in a
/// header or, by protocol, in a JSON, CBOR or XML body.
fn error_code(response: &HttpResponse) -> Option<String> {
    let headers = response.headers();
    let in_header = headers.get("x-amzn-query-error").or_else(|| headers.get("x-amzn-errortype"));
    let body = response.body().bytes().unwrap_or_default();
    in_header.and_then(word).or_else(|| in_json(body)).or_else(|| in_cbor(body)).or_else(|| in_xml(body))
}

fn in_json(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body.get("__type").or_else(|| body.get("code")).and_then(Value::as_str).and_then(word)
}

/// The text after the key `__type`, which is a CBOR text of six bytes.
fn in_cbor(body: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"\x66__type";
    let at = body.windows(KEY.len()).position(|bytes| bytes == KEY)? + KEY.len();
    let (length, text) = match body.get(at..)? {
        // Texts of up to 23 bytes have their length in the first byte, those of up to 255 in the second.
        [head @ 0x60..=0x77, text @ ..] => (usize::from(head - 0x60), text),
        [0x78, length, text @ ..] => (usize::from(*length), text),
        _ => return None,
    };
    word(std::str::from_utf8(text.get(..length)?).ok()?)
}

fn in_xml(body: &[u8]) -> Option<String> {
    let (_, rest) = std::str::from_utf8(body).ok()?.split_once("<Code>")?;
    word(rest.split_once("</Code>")?.0)
}

/// The code without its namespace and what follows it. Anything but a plain word is no code, and must not get into the log.
fn word(text: &str) -> Option<String> {
    const LONGEST: usize = 100;
    let text = text.split([';', ',']).next()?;
    // A namespace ends with `#`; behind a colon some services put the address of a page.
    let code = text.rsplit('#').next()?.split(':').next()?.trim();
    let plain = code.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    (!code.is_empty() && code.len() <= LONGEST && plain).then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::body::SdkBody;

    use super::*;

    fn answer(header: Option<(&'static str, &'static str)>, body: &[u8]) -> HttpResponse {
        let status = aws_smithy_runtime_api::http::StatusCode::try_from(400).unwrap();
        let mut response = HttpResponse::new(status, SdkBody::from(body));
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        response
    }

    #[test]
    fn error_codes_are_found_in_every_protocol() {
        let header = |name, value| error_code(&answer(Some((name, value)), b"{\"message\":\"no\"}"));
        let body = |body: &[u8]| error_code(&answer(None, body));
        assert_eq!(header("x-amzn-errortype", "ResourceNotFoundException:").unwrap(), "ResourceNotFoundException");
        let query = "AWS.SimpleQueueService.NonExistentQueue;Sender";
        assert_eq!(header("x-amzn-query-error", query).unwrap(), "AWS.SimpleQueueService.NonExistentQueue");
        let json = b"{\"__type\":\"com.amazonaws.kinesis.v20131202#ResourceInUseException\",\"message\":\"no\"}";
        assert_eq!(body(json).unwrap(), "ResourceInUseException");
        let xml = b"<ErrorResponse><Error><Code>NoSuchEntity</Code></Error></ErrorResponse>";
        assert_eq!(body(xml).unwrap(), "NoSuchEntity");
        let cbor = b"\xa1\x66__type\x78\x19ResourceNotFoundException";
        assert_eq!(body(cbor).unwrap(), "ResourceNotFoundException");
        assert_eq!(body(b"\xa1\x66__type\x64Gone").unwrap(), "Gone");
    }

    #[test]
    fn what_is_no_plain_word_does_not_get_into_the_log() {
        for body in
            [&b"{\"__type\":\"a secret value\"}"[..], b"<Code>pass=word</Code>", b"\xa1\x66__type\x7f", b"", b"{}"]
        {
            assert_eq!(error_code(&answer(None, body)), None, "{body:?}");
        }
    }
}
