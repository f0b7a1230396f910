//! `streamkit local`: the embedded AWS.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;
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
    /// Example: streamkit local start --latency aws --faults 5% --seed 42
    #[command(verbatim_doc_comment)]
    Start {
        /// The port; any free one when not given
        #[arg(long)]
        port: Option<u16>,
        #[command(flatten)]
        rehearse: Rehearse,
    },
    /// Stop it and every function process
    Stop,
    /// Say whether it runs, where, and what it rehearses
    Status,
    /// Print its log, or every API call that it was sent
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
        rehearse: Rehearse,
    },
}

/// The account of the embedded AWS.
const ACCOUNT: &str = "000000000000";
const REGION: &str = "us-east-1";

pub(crate) async fn run(args: Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let home = Home::find()?;
    match args.command {
        Command::Start { port, rehearse } => start(&home, port, rehearse, global, reporter).await,
        Command::Stop => {
            let stopped = daemon::stop(&home).await?;
            reporter.text(if stopped { "stopped\n" } else { "no embedded AWS was running\n" });
            reporter.document(&json!({ "stopped": stopped }))?;
            Ok(exit_code::DONE)
        }
        Command::Status => status(&home, reporter).await,
        Command::Logs { calls: true, follow } => calls::show(&home, follow, reporter).await,
        Command::Logs { calls: false, follow } => logs(&home, follow, reporter).await,
        Command::Serve { port, rehearse } => serve(&home, port, &rehearse, global).await,
    }
}

async fn start(
    home: &Home,
    port: Option<u16>,
    rehearse: Rehearse,
    global: &Global,
    reporter: &Reporter,
) -> anyhow::Result<ExitCode> {
    const ADVICE: &str = "stop it first with `streamkit local stop`";
    // Mistakes in files are shown here and not in the daemon's log.
    rehearse.read()?;
    let seeded = rehearse.clone().seeded();
    let options = StartOptions { port, region: global.region.clone(), more: seeded.arguments() };
    let (running, new) = daemon::start_with(home, &options).await?;
    if let Some(port) = port.filter(|port| *port != 0 && !running.endpoint.ends_with(&format!(":{port}"))) {
        let message = format!("the embedded AWS runs already, at {} and not at port {port}", running.endpoint);
        return Err(Hint::error(message, ADVICE));
    }
    let rehearsal = rehearsal(&running).await?;
    if !new && !rehearse.is_met_by(rehearsal.as_ref()) {
        return Err(Hint::error("the embedded AWS runs already, without this rehearsal", ADVICE));
    }
    reporter.note(if new { "started the embedded AWS" } else { "the embedded AWS runs already" });
    if let Some(rehearsal) = &rehearsal {
        reporter.note(&format!("rehearsing: {}", in_words(rehearsal)));
    }
    reporter.text(&format!("export AWS_ENDPOINT_URL={}\n", running.endpoint));
    reporter.document(&json!({ "endpoint": running.endpoint, "pid": running.pid, "rehearsal": rehearsal }))?;
    Ok(exit_code::DONE)
}

/// What the running embedded AWS rehearses.
async fn rehearsal(running: &Running) -> anyhow::Result<Option<Shown>> {
    let health = daemon::ask(&running.endpoint, "GET", "/_streamkit/health").await?;
    serde_json::from_value(health["rehearsal"].clone()).context("reading what the embedded AWS rehearses")
}

fn in_words(Shown { latency, faults, seed }: &Shown) -> String {
    format!("latency {latency}, faults {faults}, seed {seed}")
}

async fn status(home: &Home, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let Some(running) = daemon::find(home).await else {
        reporter.text("not running\n");
        reporter.document(&json!({ "running": false }))?;
        return Ok(ExitCode::from(exit_code::FAILED));
    };
    let health = daemon::ask(&running.endpoint, "GET", "/_streamkit/health").await?;
    let rehearsal = rehearsal(&running).await?;
    reporter.text(&format!("running at {} (process {})\n", running.endpoint, running.pid));
    if let Some(rehearsal) = &rehearsal {
        reporter.text(&format!("rehearsing: {}\n", in_words(rehearsal)));
    }
    reporter.document(&json!({
        "running": true,
        "endpoint": running.endpoint,
        "pid": running.pid,
        "region": health["region"],
        "account": health["account"],
        "rehearsal": rehearsal,
    }))?;
    Ok(exit_code::DONE)
}

async fn logs(home: &Home, follow: bool, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(daemon::log_file(home)).unwrap_or_default();
    reporter.text(&text);
    if !follow {
        reporter.document(&json!({ "log": text.lines().collect::<Vec<_>>() }))?;
        return Ok(exit_code::DONE);
    }
    let mut shown = text.len();
    while daemon::find(home).await.is_some() {
        tokio::time::sleep(daemon::FOLLOW_EVERY).await;
        let text = std::fs::read_to_string(daemon::log_file(home)).unwrap_or_default();
        // A daemon that was started anew has a log of its own.
        let new = text.get(shown..).unwrap_or(&text);
        reporter.text(new);
        new.lines().try_for_each(|line| reporter.line(&json!({ "log": line })))?;
        shown = text.len();
    }
    Ok(exit_code::DONE)
}

/// The daemon itself: announces where it is, serves until it is told to stop, and takes its address away again.
async fn serve(home: &Home, port: u16, rehearse: &Rehearse, global: &Global) -> anyhow::Result<ExitCode> {
    let region = global.region.clone().unwrap_or_else(|| REGION.to_owned());
    let options = streamkit_local::Options {
        port,
        region: region.clone(),
        account: ACCOUNT.to_owned(),
        state_dir: home.state.join("functions"),
        rehearsal: rehearse.read()?,
        ..streamkit_local::Options::default()
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
