//! `streamkit doctor`: whether this machine, these credentials and this account are fit for what streamkit does with them.

mod account;
mod machine;

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::session::SpecArgument;
use crate::options::Global;
use crate::report::{Paint, Reporter, exit_code};

/// Check toolchain, disk, embedded AWS, region, credentials, endpoint, clock, quotas and rights
///
/// Each check says what it found and, where something is wrong, how to mend it. Nothing is changed, and no key
/// is shown. Without a network or credentials the rest is checked all the same. With a pipeline file it also
/// asks IAM whether the caller may do what `up` does, and checks the toolchain for the processors of its functions.
/// Exits with 1 if a check failed; warnings do not count.
///
/// Example: streamkit doctor pipelines/retail-events.toml --region eu-central-1
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
}

/// What became of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    /// Some of streamkit does not work, or may not.
    Warn,
    Fail,
    /// It could not be checked, or there is nothing to check.
    Skipped,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    /// What was looked at, for scripts too.
    name: &'static str,
    status: Status,
    message: String,
    /// What to do about it.
    mend: Option<String>,
}

impl Check {
    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, message: message.into(), mend: None }
    }

    fn skipped(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, status: Status::Skipped, message: message.into(), mend: None }
    }

    fn warn(name: &'static str, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, status: Status::Warn, message: message.into(), mend: Some(mend.into()) }
    }

    fn fail(name: &'static str, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, status: Status::Fail, message: message.into(), mend: Some(mend.into()) }
    }

    fn lines(&self, widest: usize, paint: Paint) -> String {
        let (word, style): (&str, fn(Paint, &str) -> String) = match self.status {
            Status::Ok => ("ok", Paint::good),
            Status::Warn => ("warn", Paint::changed),
            Status::Fail => ("FAIL", Paint::bad),
            Status::Skipped => ("-", Paint::dim),
        };
        let mut lines = format!("{}  {:<widest$}  {}\n", style(paint, &format!("{word:<4}")), self.name, self.message);
        if let Some(mend) = &self.mend {
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "{:<widest$}        {}: {mend}", "", paint.hint());
        }
        lines
    }
}

#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    checks: Vec<Check>,
}

pub(crate) async fn run(args: &Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    // Without a file that is meant, only what concerns no pipeline is checked.
    let path = args.spec.path();
    let spec: Option<&Path> = (args.spec.spec.is_some() || path.exists()).then_some(&path);
    let mut checks = Vec::new();
    let loaded = match spec {
        Some(path) => machine::spec(path, global, &mut checks)?,
        None => None,
    };
    machine::checks(loaded.as_ref(), &mut checks).await?;
    account::checks(spec.filter(|_| loaded.is_some()), global, reporter, &mut checks).await?;
    let report = Report { ok: checks.iter().all(|check| check.status != Status::Fail), checks };
    let widest = report.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let lines = report.checks.iter().map(|check| check.lines(widest, reporter.paint()));
    reporter.text(&lines.collect::<String>());
    reporter.document(&report)?;
    Ok(if report.ok { exit_code::DONE } else { ExitCode::from(exit_code::FAILED) })
}
