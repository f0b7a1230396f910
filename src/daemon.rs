//! The embedded AWS as a process of its own: finding it, starting it, asking it, stopping it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::Hint;
use crate::home::{Home, private_file};
use crate::report::{LOG_VARIABLE, Reporter};

/// How long a new daemon may take to answer.
const START_LIMIT: Duration = Duration::from_secs(15);
/// How long it may take to end its function processes.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// How often to look whether it answers or has ended.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(10);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How often to look for more when following.
pub(crate) const FOLLOW_EVERY: Duration = Duration::from_millis(200);

/// A running embedded AWS, as its file in the state directory says.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) endpoint: String,
    pub(crate) pid: u32,
    pub(crate) region: Option<String>,
}

/// Whether a command that finds none starts one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    IfNeeded,
    Never,
}

/// How to start it.
#[derive(Debug, Clone, Default)]
pub(crate) struct StartOptions {
    /// 0 or none: any free port.
    pub(crate) port: Option<u16>,
    pub(crate) region: Option<String>,
    /// Other arguments of `local serve`.
    pub(crate) more: Vec<String>,
}

/// The file that says where the daemon of this state directory is.
pub(crate) fn address_file(home: &Home) -> PathBuf {
    home.state.join("local.json")
}

/// The daemon's own output.
pub(crate) fn log_file(home: &Home) -> PathBuf {
    home.state.join("local.log")
}

/// The daemon of this state directory, if it answers.
pub(crate) async fn find(home: &Home) -> Option<Running> {
    let running: Running = serde_json::from_slice(&fs::read(address_file(home)).ok()?).ok()?;
    let health = ask(&running.endpoint, "GET", "/_streamkit/health").await.ok()?;
    // Another process may have got the port since.
    (health.get("pid").and_then(Value::as_u64) == Some(u64::from(running.pid))).then_some(running)
}

/// The daemon, started if none runs and that is wanted.
pub(crate) async fn find_or_start(home: &Home, start: Start, reporter: &Reporter) -> anyhow::Result<Running> {
    if let Some(running) = find(home).await {
        return Ok(running);
    }
    if start == Start::Never {
        return Err(Hint::error(
            "no embedded AWS is running",
            "start one with `streamkit local start`, or bring a pipeline up with --local",
        ));
    }
    let (running, _) = start_with(home, &StartOptions::default()).await?;
    reporter.note(&format!("started the embedded AWS at {}", running.endpoint));
    Ok(running)
}

/// Makes the state directory, if there is none.
pub(crate) fn make_state_folder(home: &Home) -> anyhow::Result<()> {
    home.make_state().with_context(|| format!("making the state directory {}", home.state.display()))
}

/// Starts the daemon unless it runs, and waits until it answers. The flag says whether it was started now.
pub(crate) async fn start_with(home: &Home, options: &StartOptions) -> anyhow::Result<(Running, bool)> {
    make_state_folder(home)?;
    // Two commands at once start one daemon: the second waits here and then finds it.
    let lock = private_file(&home.state.join("local.lock")).context("opening the lock of the state directory")?;
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock))
        .await?
        .context("locking the state directory")?;
    if let Some(running) = find(home).await {
        return Ok((running, false));
    }
    let file = address_file(home);
    // What a daemon that was killed left behind.
    let _ = fs::remove_file(&file);
    let mut child = spawn(home, options)?;
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            bail!("the embedded AWS ended at once ({status}): {}", last_line(&log_file(home)));
        }
        if let Some(running) = find(home).await {
            drop(lock);
            return Ok((running, true));
        }
        if started.elapsed() > START_LIMIT {
            let _ = child.kill();
            bail!("the embedded AWS did not answer within {} s: {}", START_LIMIT.as_secs(), last_line(&log_file(home)));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn spawn(home: &Home, options: &StartOptions) -> anyhow::Result<std::process::Child> {
    let log = private_file(&log_file(home)).context("opening the embedded AWS's log")?;
    let program = std::env::current_exe().context("finding this program")?;
    let mut command = Command::new(program);
    command.args(["local", "serve", "--port", &options.port.unwrap_or(0).to_string()]);
    if let Some(region) = &options.region {
        command.args(["--region", region]);
    }
    command.args(&options.more);
    if std::env::var_os(LOG_VARIABLE).is_none() {
        // Nobody watches it: what it had to drop is in its log.
        command.env(LOG_VARIABLE, "warn");
    }
    command.env("STREAMKIT_HOME", &home.state).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        // Its own group, so that Ctrl-C in the terminal does not reach it.
        command.process_group(0);
    }
    command.spawn().context("starting the embedded AWS")
}

/// Stops the daemon and waits until it is gone. False when none ran.
pub(crate) async fn stop(home: &Home) -> anyhow::Result<bool> {
    let Some(running) = find(home).await else { return Ok(false) };
    ask(&running.endpoint, "POST", "/_streamkit/stop").await.context("asking the embedded AWS to stop")?;
    let started = Instant::now();
    while address_file(home).exists() {
        if started.elapsed() > STOP_LIMIT {
            bail!("the embedded AWS (process {}) did not stop within {} s", running.pid, STOP_LIMIT.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(true)
}

/// Writes the address file, whole or not at all.
pub(crate) fn announce(home: &Home, running: &Running) -> anyhow::Result<()> {
    let file = address_file(home);
    let partial = file.with_extension("json.new");
    private_file(&partial)?.write_all(&serde_json::to_vec(running)?)?;
    fs::rename(&partial, &file).context("writing the address file")
}

/// Takes this process's address file away, and no other's: one that could not have the port has none.
pub(crate) fn withdraw(home: &Home) {
    let file = address_file(home);
    let named = fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Running>(&text).ok());
    if named.is_some_and(|running| running.pid == std::process::id()) {
        let _ = fs::remove_file(file);
    }
}

/// One request to the daemon's control paths.
pub(crate) async fn ask(endpoint: &str, method: &str, path: &str) -> anyhow::Result<Value> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<hyper::body::Bytes>>();
    let request = hyper::Request::builder().method(method).uri(format!("{endpoint}{path}")).body(Full::default())?;
    let answer = async {
        let answer = client.request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!("{path} answered {status}");
        }
        Ok(serde_json::from_slice(&body).unwrap_or(Value::Null))
    };
    tokio::time::timeout(ANSWER_LIMIT, answer).await.with_context(|| format!("{path} did not answer"))?
}

fn last_line(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("its log is empty").to_owned()
}
