//! `streamkit local`: the embedded AWS.

use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::cli::Global;
use crate::daemon::{self, Running, Start, StartOptions};
use crate::failure::Hint;
use crate::home::Home;
use crate::report::{Reporter, exit_code};

/// Look after the embedded AWS
///
/// It serves Kinesis, DynamoDB, SQS, SNS, S3, IAM, STS, CloudWatch, CloudWatch Logs and Lambda on one loopback port, for any
/// AWS tool: export AWS_ENDPOINT_URL with the address that `local start` prints, and any credentials. It keeps everything in
/// memory: stopping it forgets all.
///
/// Example: streamkit local start --port 4599
#[derive(Debug, ClapArgs)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start it, unless it runs, and print its address
    Start {
        /// The port; any free one when not given
        #[arg(long)]
        port: Option<u16>,
    },
    /// Stop it and every function process
    Stop,
    /// Say whether it runs, and where
    Status,
    /// Print its log, or every API call that it was sent
    Logs {
        /// The API calls: time, service, operation, status
        #[arg(long)]
        calls: bool,
    },
    /// Serve in the foreground
    #[command(hide = true)]
    Serve {
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
}

/// The account of the embedded AWS.
const ACCOUNT: &str = "000000000000";
const REGION: &str = "us-east-1";

pub(crate) async fn run(args: Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let home = Home::find()?;
    match args.command {
        Command::Start { port } => start(&home, port, global, reporter).await,
        Command::Stop => {
            let stopped = daemon::stop(&home).await?;
            reporter.text(if stopped { "stopped\n" } else { "no embedded AWS was running\n" });
            reporter.document(&json!({ "stopped": stopped }))?;
            Ok(exit_code::DONE)
        }
        Command::Status => status(&home, reporter).await,
        Command::Logs { calls } => logs(&home, calls, reporter).await,
        Command::Serve { port } => serve(&home, port, global).await,
    }
}

async fn start(home: &Home, port: Option<u16>, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let (running, new) = daemon::start_with(home, &StartOptions { port, region: global.region.clone() }).await?;
    if let Some(port) = port.filter(|port| *port != 0 && !running.endpoint.ends_with(&format!(":{port}"))) {
        let message = format!("the embedded AWS runs already, at {} and not at port {port}", running.endpoint);
        return Err(Hint::error(message, "stop it first with `streamkit local stop`"));
    }
    reporter.note(if new { "started the embedded AWS" } else { "the embedded AWS runs already" });
    reporter.text(&format!("export AWS_ENDPOINT_URL={}\n", running.endpoint));
    reporter.document(&json!({ "endpoint": running.endpoint, "pid": running.pid }))?;
    Ok(exit_code::DONE)
}

async fn status(home: &Home, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let Some(running) = daemon::find(home).await else {
        reporter.text("not running\n");
        reporter.document(&json!({ "running": false }))?;
        return Ok(ExitCode::from(exit_code::FAILED));
    };
    let health = daemon::ask(&running.endpoint, "GET", "/_streamkit/health").await?;
    reporter.text(&format!("running at {} (process {})\n", running.endpoint, running.pid));
    reporter.document(&json!({
        "running": true,
        "endpoint": running.endpoint,
        "pid": running.pid,
        "region": health["region"],
        "account": health["account"],
    }))?;
    Ok(exit_code::DONE)
}

async fn logs(home: &Home, calls: bool, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    if !calls {
        let text = std::fs::read_to_string(daemon::log_file(home)).unwrap_or_default();
        reporter.text(&text);
        reporter.document(&json!({ "log": text.lines().collect::<Vec<_>>() }))?;
        return Ok(exit_code::DONE);
    }
    let running = daemon::find_or_start(home, Start::Never, reporter).await?;
    let answer = daemon::ask(&running.endpoint, "GET", "/_streamkit/calls").await?;
    let calls = answer.get("calls").and_then(Value::as_array).cloned().unwrap_or_default();
    for call in &calls {
        let text = |key: &str| call.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let time =
            call.get("time_ms").and_then(Value::as_i64).and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let time = time.map_or_else(String::new, |time| format!("{time:.3}"));
        let status = call.get("status").and_then(Value::as_u64).unwrap_or_default();
        reporter.text(&format!(
            "{time}  {status}  {:<16} {} {}\n",
            text("service"),
            text("operation"),
            text("error_code")
        ));
    }
    reporter.document(&answer)?;
    Ok(exit_code::DONE)
}

/// The daemon itself: announces where it is, serves until it is told to stop, and takes its address away again.
async fn serve(home: &Home, port: u16, global: &Global) -> anyhow::Result<ExitCode> {
    let region = global.region.clone().unwrap_or_else(|| REGION.to_owned());
    let options = streamkit_local::Options {
        port,
        region: region.clone(),
        account: ACCOUNT.to_owned(),
        state_dir: home.state.join("functions"),
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
    let served = streamkit_local::serve(options, ready, async {
        let _ = tokio::signal::ctrl_c().await;
    });
    let mut served = std::pin::pin!(served);
    tokio::select! {
        result = &mut served => result?,
        announced = announce => {
            announced?;
            served.await?;
        }
    }
    let _ = std::fs::remove_file(daemon::address_file(home));
    Ok(exit_code::DONE)
}
