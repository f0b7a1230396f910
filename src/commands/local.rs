//! `streamkit local`: the embedded AWS.

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Value, json};
use streamkit_local::Strictness;
use streamkit_local::rehearsal::Shown;
use tokio::sync::oneshot;

use super::calls;
use super::rehearse::Rehearse;
use crate::daemon::{self, Running, StartOptions};
use crate::failure::Hint;
use crate::home::Home;
use crate::interrupt;
use crate::options::Global;
use crate::report::{Reporter, exit_code};

/// Look after the embedded AWS
///
/// It serves Kinesis, DynamoDB, SQS, SNS, S3, IAM, STS, CloudWatch, CloudWatch Logs and Lambda on one
/// loopback port, for any AWS tool: export AWS_ENDPOINT_URL with the address that `local start`
/// prints, and any credentials. It keeps everything in memory: stopping it forgets all.
///
/// Example: streamkit local start --port 4599
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::doc_link_with_quotes, reason = "the help shows TOML")]
enum Command {
    /// Start it, unless it runs, and print its address
    ///
    /// With --latency and --faults it is as slow and as unreliable as AWS, or as a TOML file says, and
    /// all follows from the seed: the n-th call of an operation on a resource always meets the same
    /// fate. Only calls from outside are delayed and fail.
    ///
    /// --latency FILE: times are "250ms", "10s" or "2m"; of two, calls take the first in the median and
    /// stay below the second in 99 of 100 cases, and changes take between the two. What the file does
    /// not name takes no time, or AWS's with base = "aws".
    ///
    ///   base = "aws"
    ///   call = ["20ms", "120ms"]                     # all calls, unless narrowed below
    ///   # also stream-update, stream-delete, table-create, table-update, table-delete,
    ///   # replica-create, replica-delete, replication (of a write to another region),
    ///   # role-propagation, function-create, function-update, mapping-create, mapping-update,
    ///   # mapping-delete, mapping-polling, queue-name
    ///   changes.stream-create = ["1s", "3s"]
    ///   [lambda]
    ///   call = "40ms"                                # calls of one service
    ///   CreateFunction = { call = ["300ms", "2s"] }  # one operation
    ///
    /// --faults FILE: of 100 calls so many fail, in one of these ways: "throttle", "error" (5xx),
    /// "lost-request" (the connection breaks before the call took effect), "lost-answer" (after it).
    /// Where "failed-entries" is named, some entries of a batch fail and the others take effect: SQS's
    /// and SNS's batches, Kinesis PutRecords, DynamoDB BatchWriteItem and BatchGetItem.
    ///
    ///   percent = 1
    ///   [lambda]
    ///   percent = 10
    ///   CreateFunction = { percent = 50, kinds = ["lost-answer"] }
    ///   [kinesis]
    ///   PutRecords = { percent = 30, kinds = ["failed-entries"] }
    ///
    /// --strict: reads do not know at once what was just made, changed or deleted (consistency), and
    /// shards, time to live and backups have the rates that AWS allows (rates).
    ///
    /// Example: streamkit local start --latency aws --faults 5% --seed 42
    ///
    /// In a container: streamkit local start --foreground --port 4566 --bind 0.0.0.0 --allow-host aws
    #[command(verbatim_doc_comment)]
    Start {
        /// The port; any free one when not given
        #[arg(long)]
        port: Option<u16>,
        #[command(flatten)]
        listen: Listen,
        /// Serve in this process until Ctrl-C, as containers need it
        #[arg(long)]
        foreground: bool,
        #[command(flatten)]
        rehearse: Rehearse,
    },
    /// Stop it and every function process
    ///
    /// Example: streamkit local stop
    Stop,
    /// Say whether it runs, where, and what it rehearses
    ///
    /// Example: streamkit local status --json
    Status,
    /// Print its log, or every API call that it was sent
    ///
    /// Example: streamkit local logs --calls --follow
    Logs {
        /// The API calls: time, status, milliseconds, service, operation, resource, error and what a rehearsal did to it
        #[arg(long)]
        calls: bool,
        /// Go on with what comes, until Ctrl-C or until it stops; with --json, one document a line
        #[arg(short, long)]
        follow: bool,
    },
    /// Serve in the foreground
    #[command(hide = true)]
    Serve {
        #[arg(long, default_value_t = 0)]
        port: u16,
        #[command(flatten)]
        listen: Listen,
        #[command(flatten)]
        rehearse: Rehearse,
    },
}

/// Where it listens, and whom it answers there.
#[derive(Debug, Clone, clap::Args)]
struct Listen {
    /// The address to listen at. Whoever reaches it can run code here as you: beyond loopback, be sure of the network
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,
    /// A name that requests may be addressed to, besides those of loopback and the address; can be repeated
    #[arg(long, value_name = "NAME", value_parser = host_name)]
    allow_host: Vec<String>,
}

/// A name as `Host` headers have it, without a port.
fn host_name(given: &str) -> Result<String, String> {
    let correct = !given.is_empty() && given.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if correct {
        Ok(given.to_ascii_lowercase())
    } else {
        Err("give a host's name alone, such as `aws.test`".to_owned())
    }
}

impl Listen {
    /// The same as arguments.
    fn arguments(&self) -> Vec<String> {
        let hosts = self.allow_host.iter().map(|host| format!("--allow-host={host}"));
        std::iter::once(format!("--bind={}", self.bind)).chain(hosts).collect()
    }
}

/// The account of the embedded AWS.
const ACCOUNT: &str = "000000000000";
const REGION: &str = "us-east-1";

pub(crate) async fn run(args: Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let home = Home::find()?;
    match args.command {
        Command::Start { port, listen, foreground: true, rehearse } => {
            foreground(&home, port.unwrap_or(0), &listen, rehearse, global, reporter).await
        }
        Command::Start { port, listen, foreground: false, rehearse } => {
            start(&home, port, &listen, rehearse, global, reporter).await
        }
        Command::Stop => {
            let stopped = daemon::stop(&home).await?;
            reporter.text(if stopped { "stopped\n" } else { "no embedded AWS was running\n" });
            reporter.document(&json!({ "stopped": stopped }))?;
            Ok(exit_code::DONE)
        }
        Command::Status => status(&home, reporter).await,
        Command::Logs { calls: true, follow } => calls::show(&home, follow, reporter).await,
        Command::Logs { calls: false, follow } => logs(&home, follow, reporter).await,
        Command::Serve { port, listen, rehearse } => serve(&home, port, &listen, &rehearse, global).await,
    }
}

const STOP_FIRST: &str = "stop it first with `streamkit local stop`";

async fn start(
    home: &Home,
    port: Option<u16>,
    listen: &Listen,
    rehearse: Rehearse,
    global: &Global,
    reporter: &Reporter,
) -> anyhow::Result<ExitCode> {
    // Mistakes in files are shown here and not in the daemon's log.
    rehearse.read()?;
    let arguments = [listen.arguments(), rehearse.clone().seeded().arguments()].concat();
    let options = StartOptions { port, region: global.region.clone(), more: arguments };
    let (running, new) = daemon::start_with(home, &options).await?;
    if let Some(port) = port.filter(|port| *port != 0 && !running.endpoint.ends_with(&format!(":{port}"))) {
        let message = format!("the embedded AWS runs already, at {} and not at port {port}", running.endpoint);
        return Err(Hint::error(message, STOP_FIRST));
    }
    let health = Health::of(&running).await?;
    if !new && !rehearse.is_met_by(health.rehearsal.as_ref(), health.strict) {
        return Err(Hint::error("the embedded AWS runs already, without this rehearsal", STOP_FIRST));
    }
    if !new && (health.bind != listen.bind || !listen.allow_host.iter().all(|host| health.allow_hosts.contains(host))) {
        let message = format!("the embedded AWS runs already, at {} and without these hosts", health.bind);
        return Err(Hint::error(message, STOP_FIRST));
    }
    reporter.note(if new { "started the embedded AWS" } else { "the embedded AWS runs already" });
    for line in health.in_words() {
        reporter.note(&line);
    }
    reporter.text(&format!("export AWS_ENDPOINT_URL={}\n", running.endpoint));
    reporter.document(&health.document(&running))?;
    Ok(exit_code::DONE)
}

/// Serves in this process. Says where once it listens.
async fn foreground(
    home: &Home,
    port: u16,
    listen: &Listen,
    rehearse: Rehearse,
    global: &Global,
    reporter: &Reporter,
) -> anyhow::Result<ExitCode> {
    let rehearse = rehearse.seeded();
    daemon::make_state_folder(home)?;
    if let Some(running) = daemon::find(home).await {
        return Err(Hint::error(format!("the embedded AWS runs already, at {}", running.endpoint), STOP_FIRST));
    }
    let tell = async {
        loop {
            if let Some(running) = daemon::find(home).await {
                let health = Health::of(&running).await?;
                health.in_words().iter().for_each(|line| reporter.note(line));
                reporter.text(&format!("export AWS_ENDPOINT_URL={}\n", running.endpoint));
                return reporter.document(&health.document(&running));
            }
            tokio::time::sleep(daemon::LOOK_EVERY).await;
        }
    };
    let served = serve(home, port, listen, &rehearse, global);
    let mut served = std::pin::pin!(served);
    tokio::select! {
        ended = &mut served => ended,
        told = tell => {
            // A closed standard output is no reason to stop serving.
            drop(told);
            served.await
        }
    }
}

/// What the running embedded AWS says of itself.
#[derive(Debug, Deserialize)]
struct Health {
    region: String,
    regions: Vec<String>,
    account: String,
    version: String,
    bind: IpAddr,
    allow_hosts: Vec<String>,
    strict: Strictness,
    rehearsal: Option<Shown>,
}

impl Health {
    async fn of(running: &Running) -> anyhow::Result<Self> {
        let health = daemon::ask(&running.endpoint, "GET", "/_streamkit/health").await?;
        serde_json::from_value(health)
            .context("reading what the embedded AWS says of itself (is it of another version?)")
    }

    fn is_strict(&self) -> bool {
        self.strict != Strictness::default()
    }

    /// What a user should know of it, a line each.
    fn in_words(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(Shown { latency, faults, seed }) = &self.rehearsal {
            lines.push(format!("rehearsing: latency {latency}, faults {faults}, seed {seed}"));
        }
        if self.is_strict() {
            let Strictness { consistency, rates } = self.strict;
            let about = [("consistency", consistency), ("rates", rates)];
            let about: Vec<_> = about.into_iter().filter_map(|(name, is_on)| is_on.then_some(name)).collect();
            lines.push(format!("strict: {}", about.join(", ")));
        }
        if !self.bind.is_loopback() {
            lines.push(format!("listens at {}: whoever reaches it can run code here", self.bind));
        }
        lines
    }

    fn document(&self, running: &Running) -> Value {
        json!({
            "running": true,
            "endpoint": running.endpoint,
            "pid": running.pid,
            "bind": self.bind,
            "allow_hosts": self.allow_hosts,
            "region": self.region,
            "regions": self.regions,
            "account": self.account,
            "version": self.version,
            "strict": self.is_strict(),
            "strictness": self.strict,
            "rehearsal": self.rehearsal,
        })
    }
}

async fn status(home: &Home, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let Some(running) = daemon::find(home).await else {
        reporter.text("not running\n");
        reporter.document(&json!({ "running": false }))?;
        return Ok(ExitCode::from(exit_code::FAILED));
    };
    let health = Health::of(&running).await?;
    reporter.text(&format!("running at {} (process {})\n", running.endpoint, running.pid));
    for line in health.in_words() {
        reporter.text(&format!("{line}\n"));
    }
    reporter.document(&health.document(&running))?;
    Ok(exit_code::DONE)
}

async fn logs(home: &Home, follow: bool, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(daemon::log_file(home)).unwrap_or_default();
    reporter.text(&text);
    if !follow {
        reporter.document(&json!({ "log": text.lines().collect::<Vec<_>>() }))?;
        return Ok(exit_code::DONE);
    }
    let tell = |text: &str| text.lines().try_for_each(|line| reporter.line(&json!({ "log": line })));
    tell(&text)?;
    let mut shown = text.len();
    while daemon::find(home).await.is_some() {
        tokio::time::sleep(daemon::FOLLOW_EVERY).await;
        let text = std::fs::read_to_string(daemon::log_file(home)).unwrap_or_default();
        // A daemon that was started anew has a log of its own.
        let new = text.get(shown..).unwrap_or(&text);
        reporter.text(new);
        tell(new)?;
        shown = text.len();
    }
    Ok(exit_code::DONE)
}

/// The daemon itself: announces where it is, serves until it is told to stop, and takes its address away again.
async fn serve(
    home: &Home,
    port: u16,
    listen: &Listen,
    rehearse: &Rehearse,
    global: &Global,
) -> anyhow::Result<ExitCode> {
    let region = global.region.clone().unwrap_or_else(|| REGION.to_owned());
    let options = streamkit_local::Options {
        port,
        bind: listen.bind,
        allow_hosts: listen.allow_host.clone(),
        region: region.clone(),
        account: ACCOUNT.to_owned(),
        state_dir: home.state.join("functions"),
        rehearsal: rehearse.read()?,
        strict: rehearse.strictness(),
    };
    let (ready, address) = oneshot::channel();
    let announce = async {
        // Nothing arrives when the port could not be had; `serve` then says so.
        let Ok(address) = address.await else { return std::future::pending().await };
        daemon::announce(
            home,
            &Running { endpoint: format!("http://{address}"), pid: std::process::id(), region: Some(region) },
        )
    };
    let served = streamkit_local::serve(options, ready, interrupt::daemon_requested());
    let mut served = std::pin::pin!(served);
    let result = tokio::select! {
        result = &mut served => result,
        announced = announce => match announced {
            Ok(()) => served.await,
            Err(error) => Err(error),
        }
    };
    daemon::withdraw(home);
    result.map(|()| exit_code::DONE)
}
