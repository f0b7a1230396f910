//! Runs streamkit with the user's own environment, keeps what its log says, and hands on Ctrl-C.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

/// Further arguments of every command, such as `--profile NAME`, separated by spaces.
const ARGUMENTS: &str = "STREAMKIT_TEST_ARGUMENTS";

/// No command takes so long: a mapping's states may last minutes, and a build of the handler some more.
const LIMIT: Duration = Duration::from_secs(40 * 60);

/// Set by Ctrl-C and SIGTERM.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// The stage of this run, and all that its commands have logged.
pub(crate) struct Runner {
    pub(crate) stage: String,
    arguments: Vec<String>,
    log: Mutex<Vec<String>>,
}

/// What a command printed, without its log, and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("not one JSON document: {self:?}"))
    }
}

/// Whether the run is to end.
pub(crate) fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

impl Runner {
    /// Takes a random stage, and Ctrl-C from now on.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let stage: String = std::iter::repeat_with(|| fastrand::char('a'..='z')).take(6).collect();
        let arguments = std::env::var(ARGUMENTS).unwrap_or_default();
        let arguments = arguments.split_whitespace().map(str::to_owned).collect();
        listen()?;
        Ok(Self { stage, arguments, log: Mutex::default() })
    }

    /// A command on a spec in this run's stage that must end well: its document.
    pub(crate) fn done(&self, args: &[&str]) -> anyhow::Result<Value> {
        self.ends_with(0, args)
    }

    /// The same for a command that ends with this exit code.
    pub(crate) fn ends_with(&self, code: i32, args: &[&str]) -> anyhow::Result<Value> {
        ensure!(!is_interrupted(), "interrupted before `{}`", args.join(" "));
        let output = self.run(args, true)?;
        ensure!(
            output.code == code,
            "`streamkit {}` ended with {}, not {code}:\n{}{}",
            args.join(" "),
            output.code,
            output.stderr,
            output.stdout
        );
        output.json()
    }

    /// Runs a command; `stops` says whether Ctrl-C ends it.
    pub(crate) fn run(&self, args: &[&str], stops: bool) -> anyhow::Result<Output> {
        let mut command = self.command(args);
        // A group of its own: Ctrl-C on a terminal reaches this process only, which hands it on.
        let child = command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.context("starting streamkit")?;
        let stdout = child.stdout.take().context("no stdout")?;
        let stderr = child.stderr.take().context("no stderr")?;
        let (stdout, stderr) = std::thread::scope(|scope| {
            let stdout = scope.spawn(move || {
                let mut text = String::new();
                BufReader::new(stdout).read_to_string(&mut text).map(|_| text)
            });
            let stderr = scope.spawn(|| {
                let lines = BufReader::new(stderr).lines().map_while(Result::ok);
                let (log, said): (Vec<_>, Vec<_>) = lines.partition(|line| super::log::is_event(line));
                if let Ok(mut all) = self.log.lock() {
                    all.extend(log);
                }
                said.into_iter().map(|line| line + "\n").collect::<String>()
            });
            let (started, mut told) = (Instant::now(), false);
            while child.try_wait()?.is_none() {
                let over = started.elapsed() > LIMIT;
                if (over || stops && is_interrupted()) && !told {
                    told = true;
                    Command::new("kill").args(["-INT", &child.id().to_string()]).status()?;
                }
                if started.elapsed() > LIMIT * 2 {
                    child.kill()?;
                }
                std::thread::park_timeout(Duration::from_millis(20));
            }
            let joined = stdout.join().map_err(|_| anyhow::anyhow!("reading stdout"))?;
            anyhow::Ok((joined?, stderr.join().map_err(|_| anyhow::anyhow!("reading stderr"))?))
        })?;
        let code = child.wait()?.code().unwrap_or(-1);
        Ok(Output { code, stdout, stderr })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_streamkit"));
        command.args(args).args(["--stage", &self.stage, "--json", "-vv"]).args(&self.arguments);
        command
    }

    /// The same command as a user would type it.
    pub(crate) fn typed(&self, args: &[&str]) -> String {
        let all = [&[env!("CARGO_BIN_EXE_streamkit")], args, &["--stage", &self.stage]].concat();
        let all = all.into_iter().chain(self.arguments.iter().map(String::as_str));
        all.map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect::<Vec<_>>().join(" ")
    }

    /// What was logged since the last time.
    pub(crate) fn take_log(&self) -> Vec<String> {
        self.log.lock().map(|mut log| std::mem::take(&mut *log)).unwrap_or_default()
    }
}

/// From now on Ctrl-C and SIGTERM are noted once, and end the process the second time.
fn listen() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let wait = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            for _ in 0..2 {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
                if INTERRUPTED.swap(true, Ordering::SeqCst) {
                    super::say("stopped at once; the command above removes what is left");
                    std::process::exit(130);
                }
                super::say("interrupted: removing what was made; once more stops at once");
            }
        });
    });
    if let Err(error) = wait {
        bail!("no thread for signals: {error}");
    }
    Ok(())
}
