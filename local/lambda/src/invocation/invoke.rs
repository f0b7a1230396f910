//! Invoking a function: admission, a process, the deadline, the log lines and metrics of one invocation.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use streamkit_wire::clock;
use tokio::time::Instant;
use uuid::Uuid;

use crate::Engine;
use crate::function::target::Target;
use crate::function::version::Version;
use crate::function::{Function, State};
use crate::invocation::report::{Run, init_line, milliseconds, start_line};
use crate::runtime::process::{Process, ProcessContext, RuntimeFailure};
use crate::runtime::process_limit::{self, Slot};
use crate::runtime::runtime_api::{MAX_PAYLOAD, Work};
use crate::runtime::trace;
use crate::telemetry::log_writer::LogStream;
use crate::telemetry::output;

/// Lambda gives a function so long to start. One that does not make it, or fails, is started once more within the timeout of the
/// invocation.
const INIT_LIMIT: Duration = Duration::from_secs(10);

/// How long a process that is ended may take to make way.
const SLOT_LIMIT: Duration = Duration::from_secs(5);

/// One event for a function.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) payload: Bytes,
    pub(crate) request_id: String,
    /// The caller's tracing header.
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
    /// The version that ran: `$LATEST` or a number.
    pub(crate) version: String,
}

/// Why an event never reached the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotInvoked {
    /// The concurrency is used up.
    Throttled,
    /// The function is still being created.
    Pending,
    /// The function, or the version or alias that was meant, was deleted.
    Gone,
    /// The event is over 6 MB.
    TooLarge,
}

/// A process that waits for work.
struct Ready {
    process: Process,
    /// How long it took to start; none for one that was there already.
    init: Option<Duration>,
    /// What starting it took of the invocation's timeout.
    spent: Duration,
}

/// A process that did not come to the point of asking for work.
struct NotReady {
    failure: RuntimeFailure,
    took: Duration,
    /// The end of what it printed.
    tail: Vec<u8>,
}

impl Engine {
    /// Runs a function on one event.
    pub(crate) async fn run(self: &Arc<Self>, target: &Target, event: Event) -> Result<Outcome, NotInvoked> {
        let Target { function, version, .. } = target;
        if event.payload.len() > MAX_PAYLOAD {
            return Err(NotInvoked::TooLarge);
        }
        if function.gone.is_cancelled() {
            return Err(NotInvoked::Gone);
        }
        if function.state() == State::Creating {
            return Err(NotInvoked::Pending);
        }
        let Some(admission) = self.admit(function) else { return Err(self.throttled(function)) };
        self.metrics.function(&function.name, "ConcurrentExecutions", "Count", f64::from(admission.running));
        let timeout = Duration::from_secs(version.settings.timeout_seconds.into());
        let to = log_stream(function, version);
        let (outcome, duration) = match self.ready_process(function, version, &to, timeout).await {
            Ok(Ready { process, init, spent }) => {
                process.output.start_tail();
                process.output.say(&start_line(&event, version));
                let started = Instant::now();
                let left = timeout.saturating_sub(spent);
                let result = process.work(work(target, &event, left), left).await;
                let duration =
                    if matches!(result, Err(RuntimeFailure::Timeout)) { timeout } else { spent + started.elapsed() };
                let run = Run { event: &event, version, result, duration, init };
                (self.finish(function, process, &run).await, duration)
            }
            Err(NotReady { failure: RuntimeFailure::NoRoom, .. }) => return Err(self.throttled(function)),
            Err(NotReady { failure, took, tail }) => {
                let duration = if matches!(failure, RuntimeFailure::Timeout) { timeout } else { took };
                let run = Run { event: &event, version, result: Err(failure), duration, init: None };
                let mut lines = vec![start_line(&event, version)];
                lines.extend(run.report(None));
                (run.outcome(self.say(&to, tail, lines)), duration)
            }
        };
        self.count(function, &outcome, duration);
        Ok(outcome)
    }

    fn throttled(&self, function: &Function) -> NotInvoked {
        self.metrics.function(&function.name, "Throttles", "Count", 1.0);
        NotInvoked::Throttled
    }

    /// Writes the last lines of an invocation, and keeps or ends its process.
    async fn finish(self: &Arc<Self>, function: &Function, process: Process, run: &Run<'_>) -> Outcome {
        process.output.drain();
        for line in run.report(process.peak_memory_mb()) {
            process.output.say(&line);
        }
        let tail = process.output.tail();
        // A failure that leaves the process able to answer the next event does not cost it its life. One of a version that was
        // replaced meanwhile has nothing to wait for.
        let sound = matches!(run.result, Ok(_) | Err(RuntimeFailure::TooLarge));
        if sound && !function.gone.is_cancelled() && function.has(run.version) {
            function.pool.keep(process);
            self.reap_later();
        } else {
            process.kill().await;
            process.output.drain();
        }
        run.outcome(tail)
    }

    /// A process that waits for work: a warm one, or a new one.
    async fn ready_process(
        &self,
        function: &Function,
        version: &Arc<Version>,
        to: &LogStream,
        timeout: Duration,
    ) -> Result<Ready, NotReady> {
        // One that ended, or hangs after its last answer, is not this invocation's failure: the next one, or a new one, takes it.
        while let Some(process) = function.pool.take(version) {
            if process.ready(timeout).await.is_ok() {
                return Ok(Ready { process, init: None, spent: Duration::ZERO });
            }
        }
        let first = match self.start(function, version, to, INIT_LIMIT).await {
            Ok(process) => return Ok(Ready { init: Some(process.age()), process, spent: Duration::ZERO }),
            Err(failed) if matches!(failed.failure, RuntimeFailure::Stopped | RuntimeFailure::NoRoom) => {
                return Err(failed);
            }
            Err(failed) => self.say(to, failed.tail, vec![init_line(failed.took, "init", &failed.failure)]),
        };
        match self.start(function, version, to, timeout).await {
            Ok(process) => Ok(Ready { init: None, spent: process.age(), process }),
            Err(NotReady { failure, took, tail }) => {
                let tail = self.say(to, [first, tail].concat(), vec![init_line(took, "invoke", &failure)]);
                Err(NotReady { failure, took, tail })
            }
        }
    }

    /// Starts a process, and waits until it asks for work.
    async fn start(
        &self,
        function: &Function,
        version: &Arc<Version>,
        to: &LogStream,
        limit: Duration,
    ) -> Result<Process, NotReady> {
        let around = ProcessContext {
            config: &self.config,
            roles: &*self.ports.roles,
            logs: &self.logs,
            metrics: &self.metrics,
            tasks: &self.tasks,
            interpreters: &self.interpreters,
        };
        let failed = |failure| NotReady { failure, took: Duration::ZERO, tail: Vec::new() };
        let Some(slot) = self.process_slot().await else { return Err(failed(RuntimeFailure::NoRoom)) };
        let process = Process::start(&function.name, &function.gone, Arc::clone(version), to, &around, slot)
            .await
            .map_err(failed)?;
        match process.ready(limit).await {
            Ok(()) => Ok(process),
            Err(failure) => {
                let took = process.age();
                process.kill().await;
                process.output.drain();
                Err(NotReady { failure, took, tail: process.output.tail() })
            }
        }
    }

    /// The leave for one more process; one that has no work makes way for it.
    async fn process_slot(&self) -> Option<Slot> {
        if let Some(slot) = process_limit::slot() {
            return Some(slot);
        }
        if !self.end_an_idle_process() {
            return None;
        }
        // A killed process is gone at once.
        tokio::time::timeout(SLOT_LIMIT, process_limit::next_slot()).await.ok()?
    }

    /// Logs lines of the platform's own where no process does, and gives back the end of the log with them.
    fn say(&self, to: &LogStream, mut tail: Vec<u8>, lines: Vec<String>) -> Vec<u8> {
        let now = clock::now_ms();
        for line in lines {
            output::add_to_tail(&mut tail, line.as_bytes());
            self.logs.push(to, now, line);
        }
        tail
    }

    fn count(&self, function: &Function, outcome: &Outcome, duration: Duration) {
        let count = |name, unit, value| self.metrics.function(&function.name, name, unit, value);
        count("Invocations", "Count", 1.0);
        count("Errors", "Count", if outcome.failed { 1.0 } else { 0.0 });
        count("Duration", "Milliseconds", milliseconds(duration));
        count("Throttles", "Count", 0.0);
    }
}

/// A new log stream for a process of this version.
fn log_stream(function: &Function, version: &Version) -> LogStream {
    let today = clock::iso(clock::now_ms());
    let stream = format!("{}/[{}]{}", today[..10].replace('-', "/"), version.name(), Uuid::new_v4().simple());
    // Region and account are those of the function.
    let place = function.arn.trim_start_matches("arn:aws:lambda:").split(":function:").next().unwrap_or_default();
    LogStream {
        role: version.settings.role.as_str().into(),
        place: place.into(),
        group: version.settings.log_group(&function.name).into(),
        stream: stream.into(),
        function_gone: function.gone.clone(),
    }
}

fn work(target: &Target, event: &Event, left: Duration) -> Work {
    let deadline_ms = clock::now_ms() + i64::try_from(left.as_millis()).unwrap_or(i64::MAX / 2);
    Work {
        request_id: event.request_id.clone(),
        payload: event.payload.clone(),
        deadline_ms,
        function_arn: target.arn(),
        trace: trace::header(event.trace.as_deref(), target.version.settings.tracing == "Active"),
        client_context: event.client_context.clone(),
    }
}
