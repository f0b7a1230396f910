//! `streamkit plan`: what `up` would do.

use std::process::ExitCode;
use std::time::Instant;

use super::session::{CodeArgument, Session, SpecArgument};
use crate::daemon::Start;
use crate::observe::{Allowed, observe};
use crate::options::Global;
use crate::report::{Reporter, exit_code, run_report};

/// Show what `up` would create, change, replace and delete, field by field
///
/// Example: streamkit plan pipelines/retail-events.toml --exit-code
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
    #[command(flatten)]
    code: CodeArgument,
    /// Exit with 3 when there is something to do
    #[arg(long)]
    exit_code: bool,
    /// Plan as `up --adopt` would
    #[arg(long)]
    adopt: bool,
    /// Plan as `up --allow-replace NODE` would
    #[arg(long, value_name = "NODE")]
    allow_replace: Vec<String>,
    /// Plan as `up --allow-delete NODE` would
    #[arg(long, value_name = "NODE")]
    allow_delete: Vec<String>,
}

pub(crate) async fn run(args: &Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let session = Session::open(&args.spec.spec, &args.code, global, reporter, Start::IfNeeded).await?;
    reporter.advice(&session.advices);
    let cx = session.cx.clone().adopting(args.adopt);
    let allowed = Allowed { replace: args.allow_replace.clone(), delete: args.allow_delete.clone() };
    let plan = observe(&cx, &session.pipeline, &allowed, reporter.waiting()).await?.plan;
    let place = session.place();
    reporter.plan(&plan, &place);
    for (_, refusal) in plan.refusals() {
        reporter.refusal(refusal);
    }
    let refused = plan.refusals().next().is_some();
    let changes = !plan.is_empty();
    let report = run_report(&place, plan, None, started.elapsed().as_secs_f64());
    reporter.document(&report.warned(session.advices.warnings()))?;
    if refused {
        return Ok(ExitCode::from(exit_code::FAILED));
    }
    Ok(if args.exit_code && changes { ExitCode::from(exit_code::CHANGES) } else { exit_code::DONE })
}
