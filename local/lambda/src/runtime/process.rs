//! One process of a function: started in a clean environment and its own process group, given work, watched, killed whole.

use std::fmt;
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::function::version::Version;
use crate::ports::Roles;
use crate::runtime::managed::{self, Interpreters};
use crate::runtime::memory;
use crate::runtime::proc_file;
use crate::runtime::process_limit::Slot;
use crate::runtime::runtime_api::{Answer, RuntimeApi, Work};
use crate::telemetry::log_writer::{LogStream, LogWriter};
use crate::telemetry::metric_writer::MetricWriter;
use crate::telemetry::output::Output;

/// A process that another thread is just starting may still hold the file open in which the code was unpacked.
const BUSY_RETRIES: u32 = 50;
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Why an invocation has no answer of the function's own.
#[derive(Debug)]
pub(crate) enum RuntimeFailure {
    /// The process reported that it cannot start.
    Init(Bytes),
    /// The process ended.
    Exit(ExitStatus),
    /// The process could not be started.
    Entrypoint(String),
    /// The function's timeout passed.
    Timeout,
    /// The answer is over 6 MB.
    TooLarge,
    /// The function was deleted, or the engine is stopping.
    Stopped,
    /// There are as many processes as this machine is meant to have.
    NoRoom,
}

impl RuntimeFailure {
    /// Lambda's name of it.
    pub(crate) fn kind(&self) -> String {
        let kind = match self {
            Self::Init(body) => {
                let error: Value = serde_json::from_slice(body).unwrap_or_default();
                return error["errorType"].as_str().unwrap_or("Runtime.Unknown").to_owned();
            }
            Self::Exit(_) => "Runtime.ExitError",
            Self::Entrypoint(_) => "Runtime.InvalidEntrypoint",
            Self::Timeout => "Sandbox.Timedout",
            Self::TooLarge => "Function.ResponseSizeTooLarge",
            Self::Stopped | Self::NoRoom => "Sandbox.Failure",
        };
        kind.to_owned()
    }

    /// Lambda's words for it.
    pub(crate) fn text(&self, timeout: Duration) -> String {
        match self {
            Self::Init(body) => String::from_utf8_lossy(body).into_owned(),
            Self::Exit(status) if status.success() => "Runtime exited without providing a reason".to_owned(),
            Self::Exit(status) => format!("Runtime exited with error: {}", Ended(*status)),
            Self::Entrypoint(text) => text.clone(),
            Self::Timeout => format!("Task timed out after {:.2} seconds", timeout.as_secs_f64()),
            Self::TooLarge => format!(
                "Response payload size exceeded maximum allowed payload size ({} bytes).",
                crate::runtime::runtime_api::MAX_PAYLOAD
            ),
            Self::Stopped => "The sandbox was stopped".to_owned(),
            Self::NoRoom => "There are too many sandboxes".to_owned(),
        }
    }

    /// The payload that the caller of the function gets.
    pub(crate) fn payload(&self, request_id: &str, timeout: Duration) -> Bytes {
        match self {
            Self::Init(body) => match serde_json::from_slice::<Value>(body) {
                // A start belongs to no invocation; its report gets the one that it is the answer to.
                Ok(mut error) if error["requestId"] == "" => {
                    error["requestId"] = json!(request_id);
                    error.to_string().into()
                }
                _ => body.clone(),
            },
            Self::TooLarge => {
                json!({ "errorType": self.kind(), "errorMessage": self.text(timeout) }).to_string().into()
            }
            _ => json!({
                "errorType": self.kind(),
                "errorMessage": format!("RequestId: {request_id} Error: {}", self.text(timeout)),
            })
            .to_string()
            .into(),
        }
    }
}

/// An exit status in the words of Lambda's own runtime supervisor.
struct Ended(ExitStatus);

impl fmt::Display for Ended {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.code(), self.0.signal()) {
            (Some(code), _) => write!(to, "exit status {code}"),
            (None, Some(signal)) => match signal {
                4 => to.write_str("signal: illegal instruction"),
                6 => to.write_str("signal: aborted"),
                7 => to.write_str("signal: bus error"),
                8 => to.write_str("signal: floating point exception"),
                9 => to.write_str("signal: killed"),
                11 => to.write_str("signal: segmentation fault"),
                15 => to.write_str("signal: terminated"),
                other => write!(to, "signal: signal {other}"),
            },
            (None, None) => to.write_str("unknown"),
        }
    }
}

/// What a process needs from the engine.
pub(crate) struct ProcessContext<'a> {
    pub(crate) config: &'a Config,
    pub(crate) roles: &'a dyn Roles,
    pub(crate) logs: &'a Arc<LogWriter>,
    pub(crate) metrics: &'a Arc<MetricWriter>,
    pub(crate) tasks: &'a TaskTracker,
    pub(crate) interpreters: &'a Interpreters,
}

/// A running `bootstrap`, or interpreter; dropping it kills it.
pub(crate) struct Process {
    pub(crate) version: Arc<Version>,
    pub(crate) output: Arc<Output>,
    pid: Pid,
    runtime_api: Arc<RuntimeApi>,
    exit: watch::Receiver<Option<ExitStatus>>,
    kill: CancellationToken,
    served: AtomicU64,
    started: Instant,
    /// Whether it starts or has work, for those who watch its memory.
    working: watch::Sender<bool>,
    ran_out_of_memory: Arc<AtomicBool>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill.cancel();
    }
}

impl Process {
    /// Starts a process of this version of the function, which ends with `gone`.
    pub(crate) async fn start(
        function: &str,
        gone: &CancellationToken,
        version: Arc<Version>,
        to: &LogStream,
        context: &ProcessContext<'_>,
        slot: Slot,
    ) -> Result<Process, RuntimeFailure> {
        let kill = gone.child_token();
        let started = Instant::now();
        let attempt = async {
            let (runtime_api, address) = RuntimeApi::open(kill.clone()).await.map_err(internal)?;
            let (reader, writer) = std::io::pipe().map_err(internal)?;
            let mut command = match context.interpreters.command(&version.settings.runtime).await {
                Some(command) => command.map_err(RuntimeFailure::Entrypoint)?,
                None => bootstrap(&version)?,
            };
            command
                .current_dir(&version.code.dir)
                .env_clear()
                .envs(environment(function, &version, to, context))
                .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
                .stdin(Stdio::null())
                .stdout(writer.try_clone().map_err(internal)?)
                .stderr(writer)
                .process_group(0)
                .kill_on_drop(true);
            let mut child = command.spawn();
            for _ in 0..BUSY_RETRIES {
                if !matches!(&child, Err(error) if error.kind() == ErrorKind::ExecutableFileBusy) {
                    break;
                }
                tokio::time::sleep(BUSY_PAUSE).await;
                child = command.spawn();
            }
            // The command holds the writing ends: while it lives the pipe would never close.
            drop(command);
            let child = child.map_err(|error| RuntimeFailure::Entrypoint(cannot_start(&error)))?;
            let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
            let pid = pid.ok_or(RuntimeFailure::Stopped)?;
            let output = Output::follow(reader, to.clone(), Arc::clone(context.logs), Arc::clone(context.metrics));
            let working = watch::Sender::new(true);
            let ran_out_of_memory = Arc::new(AtomicBool::new(false));
            let watched = Watched {
                child,
                pid,
                memory_mb: version.settings.memory_mb.into(),
                working: working.subscribe(),
                ran_out_of_memory: Arc::clone(&ran_out_of_memory),
            };
            let (exit, kill) = (watched.watch_over(kill.clone(), context.tasks, slot), kill.clone());
            let (output, served) = (output.map_err(internal)?, AtomicU64::new(0));
            let version = Arc::clone(&version);
            Ok(Process { version, output, pid, runtime_api, exit, kill, served, started, working, ran_out_of_memory })
        };
        let started = attempt.await;
        if started.is_err() {
            kill.cancel();
        }
        started
    }

    /// Waits until the process asks for work that it has not had yet.
    pub(crate) async fn ready(&self, limit: Duration) -> Result<(), RuntimeFailure> {
        let served = self.served.load(Ordering::Relaxed);
        let mut polls = self.runtime_api.polls();
        let mut exit = self.exit.clone();
        tokio::select! {
            biased;
            ended = exit.wait_for(Option::is_some) => Err(self.ended(ended.ok().and_then(|status| *status))),
            // The Runtime API outlives this call, so the channel is open.
            _ = polls.wait_for(|polls| *polls > served) => Ok(()),
            () = tokio::time::sleep(limit) => Err(RuntimeFailure::Timeout),
        }
    }

    /// Gives the process one piece of work and waits for its answer.
    pub(crate) async fn work(&self, work: Work, limit: Duration) -> Result<Answer, RuntimeFailure> {
        self.served.fetch_add(1, Ordering::Relaxed);
        self.working.send_replace(true);
        let answer = self.runtime_api.hand_out(work).await;
        let mut exit = self.exit.clone();
        let outcome = tokio::select! {
            biased;
            Ok(answer) = answer => match answer {
                Answer::TooLarge => Err(RuntimeFailure::TooLarge),
                answer => Ok(answer),
            },
            ended = exit.wait_for(Option::is_some) => Err(self.ended(ended.ok().and_then(|status| *status))),
            () = tokio::time::sleep(limit) => Err(RuntimeFailure::Timeout),
        };
        self.working.send_replace(false);
        outcome
    }

    /// Whether the process has ended.
    pub(crate) fn exited(&self) -> bool {
        self.exit.borrow().is_some()
    }

    /// Kills the process and waits until it is gone.
    pub(crate) async fn kill(&self) {
        self.kill.cancel();
        // An error means that the watcher is gone, and so the process.
        drop(self.exit.clone().wait_for(Option::is_some).await);
    }

    /// Time since the process was started.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Highest resident memory in MB, where the system tells; never more than the function has.
    pub(crate) fn peak_memory_mb(&self) -> Option<u64> {
        let most = u64::from(self.version.settings.memory_mb);
        if self.ran_out_of_memory.load(Ordering::Relaxed) {
            return Some(most);
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid.as_raw_nonzero())).ok()?;
        Some(proc_file::kilobytes(&status, "VmHWM")?.div_ceil(1024).min(most))
    }

    fn ended(&self, status: Option<ExitStatus>) -> RuntimeFailure {
        match (self.runtime_api.init_error(), status) {
            _ if self.kill.is_cancelled() => RuntimeFailure::Stopped,
            (Some(body), _) if self.served.load(Ordering::Relaxed) == 0 => RuntimeFailure::Init(body),
            (_, Some(status)) => RuntimeFailure::Exit(status),
            (_, None) => RuntimeFailure::Stopped,
        }
    }
}

/// A process that runs.
struct Watched {
    child: Child,
    pid: Pid,
    memory_mb: u64,
    working: watch::Receiver<bool>,
    ran_out_of_memory: Arc<AtomicBool>,
}

impl Watched {
    /// Waits for the end of the process, or brings it about; then ends what it may have started.
    fn watch_over(
        mut self,
        kill: CancellationToken,
        tasks: &TaskTracker,
        slot: Slot,
    ) -> watch::Receiver<Option<ExitStatus>> {
        let (exited, exit) = watch::channel(None);
        tasks.spawn(async move {
            let status = tokio::select! {
                status = self.child.wait() => status,
                () = kill.cancelled() => self.end().await,
                () = memory::exceeded(self.pid.as_raw_nonzero().get(), self.memory_mb, self.working.clone()) => {
                    self.ran_out_of_memory.store(true, Ordering::Relaxed);
                    self.end().await
                }
            };
            let _ = kill_process_group(self.pid, Signal::KILL);
            exited.send_replace(Some(status.unwrap_or_default()));
            drop(slot);
        });
        exit
    }

    async fn end(&mut self) -> std::io::Result<ExitStatus> {
        // Gone already is what is wanted.
        let _ = kill_process_group(self.pid, Signal::KILL);
        self.child.wait().await
    }
}

fn bootstrap(version: &Version) -> Result<Command, RuntimeFailure> {
    let path = version.code.dir.join("bootstrap");
    if path.is_file() {
        return Ok(Command::new(path));
    }
    Err(RuntimeFailure::Entrypoint("Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]".into()))
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn internal(error: std::io::Error) -> RuntimeFailure {
    RuntimeFailure::Entrypoint(format!("starting the sandbox: {error}"))
}

fn cannot_start(error: &std::io::Error) -> String {
    let reason = match error.raw_os_error() {
        // ENOEXEC, EACCES, ENOENT (a missing loader or interpreter) as Lambda's supervisor prints them.
        Some(8) => "exec format error".to_owned(),
        Some(13) => "permission denied".to_owned(),
        Some(2) => "no such file or directory".to_owned(),
        _ => error.to_string(),
    };
    format!("fork/exec /var/task/bootstrap: {reason}")
}

fn environment(
    function: &str,
    version: &Version,
    to: &LogStream,
    ProcessContext { config, roles, .. }: &ProcessContext<'_>,
) -> Vec<(String, String)> {
    let settings = &version.settings;
    let credentials = roles.credentials(&settings.role, function);
    let mut environment: Vec<(String, String)> = [
        ("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin".to_owned()),
        ("LANG", "en_US.UTF-8".to_owned()),
        ("TZ", ":UTC".to_owned()),
        ("_HANDLER", settings.handler.clone()),
        ("LAMBDA_TASK_ROOT", version.code.dir.display().to_string()),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime".to_owned()),
        ("AWS_REGION", config.region.clone()),
        ("AWS_DEFAULT_REGION", config.region.clone()),
        ("AWS_ACCESS_KEY_ID", credentials.access_key),
        ("AWS_SECRET_ACCESS_KEY", credentials.secret),
        ("AWS_SESSION_TOKEN", credentials.token),
        ("AWS_LAMBDA_FUNCTION_NAME", function.to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", version.name()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", settings.memory_mb.to_string()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", to.group.to_string()),
        ("AWS_LAMBDA_LOG_STREAM_NAME", to.stream.to_string()),
        ("AWS_LAMBDA_LOG_FORMAT", settings.log_format().to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    if let Some(endpoint) = &config.endpoint {
        environment.push(("AWS_ENDPOINT_URL".to_owned(), endpoint.clone()));
    }
    if settings.log_format() == "JSON" {
        environment.push(("AWS_LAMBDA_LOG_LEVEL".to_owned(), settings.application_log_level().to_owned()));
    }
    environment.extend(managed::environment(&settings.runtime));
    // Last, so that a function may have an endpoint of its own; the reserved names were refused when they were set.
    environment.extend(settings.environment.iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
    environment
}
