//! The front door: refuses what web pages could send, recognises the operation, injects faults, calls the engine, notes it.

use std::io::Read as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use flate2::read::GzDecoder;
use http::header;
use http::request::Parts;
use streamkit_wire::protocol::{self, MAX_BODY};
use streamkit_wire::{Call, CallError, resource_name, signed_region, web_page};
use tokio::sync::Notify;

use super::call_log::{CallLog, Outcome};
use super::connection::ConnectionHandle;
use super::consistency::EventuallyConsistent;
use super::injected_faults::{Injected, InjectedFaults};
use super::{authorize, body_limit, control, panics};
use crate::rehearsal::{Disturbances, Fault, failed, throttled};
use crate::services::{Global, Region, Regions};

/// Everything behind the one port.
pub(crate) struct Gateway {
    pub(crate) regions: Arc<Regions>,
    pub(crate) calls: CallLog,
    pub(crate) faults: InjectedFaults,
    pub(crate) disturbances: Disturbances,
    /// None where everything is known at once.
    pub(crate) consistency: Option<EventuallyConsistent>,
    /// Where it listens, and what it may be called there.
    pub(crate) bind: IpAddr,
    pub(crate) allow_hosts: Vec<String>,
    /// Asks the server to shut down.
    pub(crate) stop: Notify,
}

impl Gateway {
    /// Answers any request, or breaks the connection that it came on.
    pub(crate) async fn handle(&self, request: Request, connection: &ConnectionHandle) -> Response {
        panics::caught(Box::pin(self.respond(request, connection))).await.unwrap_or_else(|panic| {
            tracing::error!(panic, "a request panicked");
            refused(500, "the embedded AWS panicked at this request")
        })
    }

    async fn respond(&self, request: Request, connection: &ConnectionHandle) -> Response {
        let (mut parts, body) = request.into_parts();
        name_host(&mut parts);
        if let Some(why) = web_page::refusal(&parts.headers, &self.allow_hosts) {
            return refused(403, why);
        }
        let control = parts.uri.path().starts_with(control::PREFIX);
        let limit = body_limit::of(&parts);
        let Ok(body) = to_bytes(body, limit).await else { return body_limit::refused(&parts, limit) };
        let request = match unpacked(http::Request::from_parts(parts, body), limit) {
            Ok(Unpacked::Request(request)) => request,
            Ok(Unpacked::TooLarge(head)) => return body_limit::refused(&head, limit),
            Err(_) => return refused(400, "the request body is not the gzip that its Content-Encoding says it is"),
        };
        if control {
            return control::answer(self, &request).await;
        }
        let Some(call) = Call::of(&request) else {
            return refused(400, "neither signature, X-Amz-Target, path nor Action names an AWS service");
        };
        match self.regions.answering(&call, signed_region(&request).as_deref()) {
            Ok(region) => self.answer_logged(&call, request, &region, connection).await,
            Err(error) => protocol::error_response(&call, &error),
        }
    }

    /// A call from outside, which may meet delays and faults and is put into the log.
    async fn answer_logged(
        &self,
        call: &Call,
        request: http::Request<Bytes>,
        region: &Region,
        connection: &ConnectionHandle,
    ) -> Response {
        let started = Instant::now();
        let resource = resource_name(call, &request);
        if !Global::has(&call.service)
            && let Err(error) = region.services.check_up()
        {
            let answer = protocol::error_response(call, &error);
            let (status, error_code) = (Some(answer.status().as_u16()), Some(error.code));
            let took = started.elapsed();
            self.calls.record(call, Outcome { resource, status, error_code, fault: Some("region-down"), took });
            return answer;
        }
        let disturbance =
            self.disturbances.next(call, &self.regions.scoped(region, resource.as_deref().unwrap_or_default()));
        // Half of the way there, half of the way back.
        pause(disturbance.delay / 2).await;
        let (error, fault) = match self.faults.take(call) {
            Some(Injected::Error(error)) => (Some(error), None),
            Some(Injected::Fault(fault)) => (None, Some(fault)),
            None => (None, disturbance.fault),
        };
        let answer = match (error, fault) {
            (Some(error), _) => refused_by(region, call, &request, &error),
            (None, Some(Fault::Throttle)) => refused_by(region, call, &request, &throttled(call)),
            (None, Some(Fault::Error)) => protocol::error_response(call, &failed(call)),
            (None, Some(Fault::LostRequest)) => Response::default(),
            (None, Some(Fault::FailedEntries)) => {
                let seed = disturbance.entries_seed;
                panics::answer(call, region.services.answer_with_failures(call, request, seed)).await
            }
            (None, None | Some(Fault::LostAnswer)) => {
                panics::answer(call, self.known_answer(region, call, request)).await
            }
        };
        pause(disturbance.delay / 2).await;
        let (answer, error_code) = with_code(answer).await;
        let made = fault != Some(Fault::LostRequest);
        let outcome = Outcome {
            resource,
            status: made.then(|| answer.status().as_u16()),
            error_code,
            fault: fault.map(Fault::name),
            took: started.elapsed(),
        };
        self.calls.record(call, outcome);
        if matches!(fault, Some(Fault::LostRequest | Fault::LostAnswer)) {
            connection.reset();
        }
        answer
    }

    /// The service's answer, which lags behind where eventual consistency is asked for.
    async fn known_answer(&self, region: &Region, call: &Call, request: http::Request<Bytes>) -> Response {
        match &self.consistency {
            Some(consistency) => consistency.answer(&self.regions, region, call, request).await,
            None => authorize::answer(&region.services, call, request).await,
        }
    }
}

/// HTTP/2 names the host in the address of the request.
fn name_host(parts: &mut http::request::Parts) {
    if let Some(authority) = parts.uri.authority()
        && !parts.headers.contains_key(header::HOST)
        && let Ok(host) = http::HeaderValue::from_str(authority.as_str())
    {
        parts.headers.insert(header::HOST, host);
    }
}

/// An injected error, which the service's metrics count as AWS's do.
fn refused_by(region: &Region, call: &Call, request: &http::Request<Bytes>, error: &CallError) -> Response {
    region.services.count_refused(call, request.body(), error);
    protocol::error_response(call, error)
}

/// Waits; not at all for no time, for which the clock's tick would be a millisecond.
async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// An answer with the error code that it carries.
async fn with_code(answer: Response) -> (Response, Option<String>) {
    let status = answer.status();
    if !status.is_client_error() && !status.is_server_error() {
        return (answer, None);
    }
    let (parts, body) = answer.into_parts();
    let body = to_bytes(body, MAX_BODY).await.unwrap_or_default();
    let error = protocol::error_of(status.as_u16(), &parts.headers, &body);
    (Response::from_parts(parts, Body::from(body)), Some(error.code))
}

/// A request whose body is as it was before it was packed.
enum Unpacked {
    Request(http::Request<Bytes>),
    TooLarge(Parts),
}

/// SDKs compress large `PutMetricData` bodies. S3 keeps what it is given, encoding and all; where an upload in parts begins, the encoding
/// is that of parts to come.
fn unpacked(request: http::Request<Bytes>, limit: usize) -> std::io::Result<Unpacked> {
    let gzip = request.headers().get(header::CONTENT_ENCODING).is_some_and(|value| value == "gzip");
    if !gzip || request.method() == http::Method::PUT || request.body().is_empty() {
        return Ok(Unpacked::Request(request));
    }
    let (mut parts, body) = request.into_parts();
    let mut plain = Vec::new();
    // One byte more than allowed tells a body that is too large from one that just fits.
    GzDecoder::new(&*body).take(limit as u64 + 1).read_to_end(&mut plain)?;
    if plain.len() > limit {
        return Ok(Unpacked::TooLarge(parts));
    }
    parts.headers.remove(header::CONTENT_ENCODING);
    parts.headers.remove(header::CONTENT_LENGTH);
    Ok(Unpacked::Request(http::Request::from_parts(parts, plain.into())))
}

pub(super) fn refused(status: u16, message: &str) -> Response {
    let error = CallError::new(status, "RequestRefused", message);
    let body = serde_json::json!({"__type": error.code, "message": error.message});
    protocol::response(status, "application/json", body.to_string().into_bytes())
}
