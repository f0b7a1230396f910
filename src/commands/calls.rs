//! `streamkit local logs --calls`: what the embedded AWS was sent, and how each call ended.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::Value;

use crate::daemon::{self, Start};
use crate::home::Home;
use crate::report::{Reporter, exit_code};

/// One call, as the embedded AWS notes it.
#[derive(Debug, Deserialize)]
struct Call {
    time_ms: i64,
    service: String,
    operation: String,
    resource: Option<String>,
    status: Option<u16>,
    error_code: Option<String>,
    fault: Option<String>,
    ms: f64,
}

impl Call {
    fn line(&self) -> String {
        let time =
            jiff::Timestamp::from_millisecond(self.time_ms).map_or_else(|_| String::new(), |t| format!("{t:.3}"));
        let status = self.status.map_or_else(|| "---".to_owned(), |status| status.to_string());
        let mut line = format!("{time}  {status}  {:>8.1} ms  {:<16} {}", self.ms, self.service, self.operation);
        for part in [&self.resource, &self.error_code].into_iter().flatten() {
            line.push(' ');
            line.push_str(part);
        }
        if let Some(fault) = &self.fault {
            // Writing to a String cannot fail.
            let _ = write!(line, " [{fault}]");
        }
        line.push('\n');
        line
    }
}

/// Prints all calls so far, and with `follow` those to come.
pub(crate) async fn show(home: &Home, follow: bool, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let running = daemon::find_or_start(home, Start::Never, reporter).await?;
    let mut next = 0;
    loop {
        let path = format!("/_streamkit/calls?since={next}");
        let answer = match daemon::ask(&running.endpoint, "GET", &path).await {
            // It was stopped, which ends what there is to follow.
            Err(_) if next > 0 && daemon::find(home).await.is_none() => return Ok(exit_code::DONE),
            answer => answer?,
        };
        let calls: Vec<Value> = serde_json::from_value(answer["calls"].clone())?;
        for call in &calls {
            reporter.text(&Call::deserialize(call)?.line());
            if follow {
                reporter.line(call)?;
            }
        }
        if !follow {
            reporter.document(&answer)?;
            return Ok(exit_code::DONE);
        }
        next = answer["next"].as_u64().unwrap_or(next);
        tokio::time::sleep(daemon::FOLLOW_EVERY).await;
    }
}
