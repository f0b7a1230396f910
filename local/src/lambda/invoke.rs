//! Invoking a function: admission, a process, the deadline, the log lines and metrics of one invocation, and the Invoke API.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::time::Instant;
use uuid::Uuid;

use super::error::ApiError;
use super::function::{Function, State, Version};
use super::process::{Fault, Process, Surroundings};
use super::runtime_api::{Answer, MAX_PAYLOAD, Work};
use super::versions::Target;
use super::{Engine, logs::LogStream};
use crate::clock;

/// Lambda stops an initialisation after 10 s and tries it once more within the function's timeout; here the longer of
/// the two is the limit of the only try.
const INIT_LIMIT: Duration = Duration::from_secs(10);
/// Lambda's limit for the event of an asynchronous invocation.
const MAX_ASYNC_PAYLOAD: usize = 1024 * 1024;

/// One event for a function.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) payload: Bytes,
    pub(crate) request_id: String,
    pub(crate) trace: Option<String>,
    pub(crate) client_context: Option<String>,
}

impl Event {
    pub(crate) fn new(payload: Bytes) -> Self {
        Self { payload, request_id: Uuid::new_v4().to_string(), trace: None, client_context: None }
    }
}

/// What became of it.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) payload: Bytes,
    /// Whether the payload is an error: the function's own, or the platform's about it.
    pub(crate) failed: bool,
    /// The last 4 KB of the log.
    pub(crate) tail: Vec<u8>,
    /// The version that ran.
    pub(crate) version: String,
}

/// Why an event never reached the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The concurrency is used up.
    Throttled,
    /// The function is not there yet.
    Pending,
    /// The function was deleted.
    Gone,
    /// The event is over 6 MB.
    TooLarge,
}

impl Engine {
    /// Runs a function on one event.
    pub(crate) async fn run(self: &Arc<Self>, target: &Target, event: Event) -> Result<Outcome, Refusal> {
        let Target { function, version, .. } = target;
        if event.payload.len() > MAX_PAYLOAD {
            return Err(Refusal::TooLarge);
        }
        if function.gone.is_cancelled() {
            return Err(Refusal::Gone);
        }
        if function.state() == State::Creating {
            return Err(Refusal::Pending);
        }
        let Some(admission) = function.admit() else {
            self.metrics.function(&function.name, "Throttles", "Count", 1.0);
            return Err(Refusal::Throttled);
        };
        self.metrics.function(&function.name, "ConcurrentExecutions", "Count", f64::from(admission.running));
        let timeout = Duration::from_secs(version.settings.timeout_seconds.into());
        let (run, process) = match self.process(function, version, timeout).await {
            Ok((process, init)) => {
                process.output.start_tail();
                process.output.say(&start_line(&event, version));
                let started = Instant::now();
                let result = process.work(work(target, &event, timeout), timeout).await;
                let duration = if matches!(result, Err(Fault::Timeout)) { timeout } else { started.elapsed() };
                (Run { event: &event, version, result, duration, init }, Ok(process))
            }
            Err(NotReady { fault, init, process }) => {
                let run =
                    Run { event: &event, version, result: Err(fault), duration: Duration::ZERO, init: Some(init) };
                (run, process)
            }
        };
        let outcome = match process {
            Ok(process) => {
                process.output.drain();
                let lines = run.report(process.peak_memory_mb());
                for line in &lines {
                    process.output.say(line);
                }
                let tail = process.output.tail();
                // A fault that leaves the process able to answer the next event does not cost it its life.
                // One of a version that was replaced meanwhile has nothing to wait for.
                let able = matches!(run.result, Ok(_) | Err(Fault::TooLarge));
                if able && !function.gone.is_cancelled() && function.has(version) {
                    function.pool.keep(process);
                    self.reap_later();
                } else {
                    process.kill().await;
                    process.output.drain();
                }
                run.outcome(tail)
            }
            Err(to) => {
                let mut lines = vec![start_line(&event, version)];
                lines.extend(run.report(None));
                let now = clock::now_ms();
                let tail = lines.join("\n").into_bytes();
                for line in lines {
                    self.logs.push(&to, now, line);
                }
                run.outcome(tail)
            }
        };
        self.count(function, &outcome, run.duration);
        Ok(outcome)
    }

    /// A process that waits for work: a warm one, or a new one with the time it took to start.
    async fn process(
        &self,
        function: &Function,
        version: &Arc<Version>,
        timeout: Duration,
    ) -> Result<(Process, Option<Duration>), NotReady> {
        // One that ended, or hangs after its last answer, is not this invocation's fault: the next one, or a new one, takes it.
        while let Some(process) = function.pool.take(version) {
            if process.ready(timeout).await.is_ok() {
                return Ok((process, None));
            }
        }
        let around =
            Surroundings { backplane: &self.backplane, logs: &self.logs, metrics: &self.metrics, tasks: &self.tasks };
        let process = Process::start(function, Arc::clone(version), &around).await.map_err(|(fault, to)| NotReady {
            fault,
            init: Duration::ZERO,
            process: Err(to),
        })?;
        match process.ready(INIT_LIMIT.max(timeout)).await {
            Ok(()) => {
                let init = process.age();
                Ok((process, Some(init)))
            }
            Err(fault) => {
                let init = process.age();
                Err(NotReady { fault, init, process: Ok(process) })
            }
        }
    }

    fn count(&self, function: &Function, outcome: &Outcome, duration: Duration) {
        let count = |name, unit, value| self.metrics.function(&function.name, name, unit, value);
        count("Invocations", "Count", 1.0);
        count("Errors", "Count", if outcome.failed { 1.0 } else { 0.0 });
        count("Duration", "Milliseconds", milliseconds(duration));
        count("Throttles", "Count", 0.0);
    }

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
        match header("x-amz-invocation-type").unwrap_or("RequestResponse") {
            "RequestResponse" => {
                let size = event.payload.len();
                // In a task of its own: a caller that hangs up does not end the invocation.
                let (engine, running) = (Arc::clone(self), target.clone());
                let outcome = self.tasks.spawn(async move { engine.run(&running, event).await }).await;
                let outcome =
                    outcome.map_err(ApiError::service)?.map_err(|refusal| refused(refusal, &target.function, size))?;
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
                Ok(answer)
            }
            "Event" if event.payload.len() > MAX_ASYNC_PAYLOAD => {
                Err(too_large(event.payload.len(), "Event", MAX_ASYNC_PAYLOAD))
            }
            "Event" => {
                self.take_event(target, event);
                Ok(StatusCode::ACCEPTED.into_response())
            }
            "DryRun" => Ok(StatusCode::NO_CONTENT.into_response()),
            other => Err(ApiError::invalid(format!(
                "1 validation error detected: Value '{other}' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]"
            ))),
        }
    }
}

/// A process that did not come to the point of asking for work.
struct NotReady {
    fault: Fault,
    init: Duration,
    /// The process, or where its lines go if it was never started.
    process: Result<Process, LogStream>,
}

/// One invocation that has ended.
struct Run<'a> {
    event: &'a Event,
    version: &'a Version,
    result: Result<Answer, Fault>,
    duration: Duration,
    init: Option<Duration>,
}

impl Run<'_> {
    fn timeout(&self) -> Duration {
        Duration::from_secs(self.version.settings.timeout_seconds.into())
    }

    /// The lines that Lambda writes after an invocation.
    fn report(&self, peak_memory_mb: Option<u64>) -> Vec<String> {
        let id = &self.event.request_id;
        let mut lines = Vec::new();
        let mut status = String::new();
        match &self.result {
            Ok(_) => {}
            Err(Fault::Timeout) => {
                let text = Fault::Timeout.text(self.timeout());
                lines.push(format!("{} {id} {text}", clock::iso(clock::now_ms())));
                status.push_str("Status: timeout");
            }
            Err(fault) => {
                lines.push(format!("RequestId: {id} Error: {}\n{}", fault.text(self.timeout()), fault.kind()));
                status = format!("Status: error\tError Type: {}", fault.kind());
            }
        }
        lines.push(format!("END RequestId: {id}"));
        let duration = milliseconds(self.duration);
        let billed = milliseconds(self.duration + self.init.unwrap_or_default()).ceil();
        let mut report = format!(
            "REPORT RequestId: {id}\tDuration: {duration:.2} ms\tBilled Duration: {billed:.0} ms\tMemory Size: {} MB\t",
            self.version.settings.memory_mb
        );
        // Writing to a String cannot fail.
        if let Some(peak) = peak_memory_mb {
            let _ = write!(report, "Max Memory Used: {peak} MB\t");
        }
        if let Some(init) = self.init {
            let _ = write!(report, "Init Duration: {:.2} ms\t", milliseconds(init));
        }
        report.push_str(&status);
        lines.push(report);
        lines
    }

    fn outcome(&self, tail: Vec<u8>) -> Outcome {
        let (payload, failed) = match &self.result {
            Ok(Answer::Response(payload)) => (payload.clone(), false),
            Ok(Answer::Error(payload)) => (payload.clone(), true),
            Ok(Answer::TooLarge) => (Fault::TooLarge.payload(&self.event.request_id, self.timeout()), true),
            Err(fault) => (fault.payload(&self.event.request_id, self.timeout()), true),
        };
        Outcome { payload, failed, tail, version: self.version.name() }
    }
}

fn start_line(event: &Event, version: &Version) -> String {
    format!("START RequestId: {} Version: {}", event.request_id, version.name())
}

fn work(target: &Target, event: &Event, timeout: Duration) -> Work {
    let deadline_ms = clock::now_ms() + i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX / 2);
    Work {
        request_id: event.request_id.clone(),
        payload: event.payload.clone(),
        deadline_ms,
        function_arn: target.arn(),
        trace: event.trace.clone().unwrap_or_else(|| new_trace(target.version.settings.tracing == "Active")),
        client_context: event.client_context.clone(),
    }
}

fn new_trace(sampled: bool) -> String {
    let id = Uuid::new_v4().simple().to_string();
    let parent = Uuid::new_v4().simple().to_string();
    let (time, sampled) = (clock::now_ms() / 1000, u8::from(sampled));
    format!("Root=1-{time:08x}-{};Parent={};Sampled={sampled}", &id[..24], &parent[..16])
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

fn refused(refusal: Refusal, function: &Function, size: usize) -> ApiError {
    match refusal {
        Refusal::Throttled => {
            let reason = if function.reserved().is_some() {
                "ReservedFunctionConcurrentInvocationLimitExceeded"
            } else {
                "ConcurrentInvocationLimitExceeded"
            };
            let mut error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", "Rate Exceeded.");
            error.reason = Some(reason);
            error
        }
        Refusal::Pending => match function.check_settled() {
            Err(error) => error,
            Ok(()) => ApiError::conflict("The function was being created; it is there now."),
        },
        Refusal::Gone => ApiError::not_found(format!("Function not found: {}", function.arn)),
        Refusal::TooLarge => too_large(size, "RequestResponse", MAX_PAYLOAD),
    }
}

fn too_large(size: usize, kind: &str, limit: usize) -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "RequestTooLargeException",
        format!("{size} byte payload is too large for the {kind} invocation type (limit {limit} bytes)"),
    )
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
