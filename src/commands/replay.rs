//! `streamkit replay`: plays records and changes again.

mod into;

use std::process::ExitCode;

use self::into::{Restoration, into};
use super::session::{Input, Session, SpecArgument};
use crate::daemon::Start;
use crate::failure::{Hint, Interrupted, Usage};
use crate::interrupt::Interrupt;
use crate::options::Global;
use crate::report::{Reporter, exit_code};
use crate::spec::{Reference, SectionKind};

/// Write the changes of an audit log into a table again, in order, up to a moment
///
/// Example: streamkit replay pipelines/change-capture.toml --from bucket.audit --into table.activities --into-stage test --yes
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
    /// The bucket with the audit objects, such as bucket.audit
    #[arg(long, value_name = "bucket.NAME", value_parser = Reference::parse)]
    from: Reference,
    /// The table to write to, such as table.activities
    #[arg(long, value_name = "table.NAME", value_parser = Reference::parse)]
    into: Reference,
    /// The stage that has the table, if it is another one
    #[arg(long, value_name = "STAGE")]
    into_stage: Option<String>,
    /// From this time on, such as 2026-01-02T03:04:05Z
    #[arg(long, value_name = "TIME")]
    since: Option<jiff::Timestamp>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    until: Option<jiff::Timestamp>,
    /// Overwrite items that somebody else has changed since
    #[arg(long)]
    overwrite: bool,
    /// Say what would be written
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(
    args: &Args,
    global: &Global,
    reporter: &Reporter,
    mut interrupt: Interrupt,
) -> anyhow::Result<ExitCode> {
    if args.from.kind != SectionKind::Bucket || args.into.kind != SectionKind::Table {
        return Err(Usage("--from takes a bucket and --into a table of the pipeline's".to_owned()).into());
    }
    if !args.yes && !args.dry_run {
        return Err(Hint::usage("this writes to a table", "say --yes, or look first with --dry-run"));
    }
    let input = Input::spec(&args.spec);
    let session = interrupt.unless(Box::pin(Session::open(&input, global, reporter, Start::Never))).await?;
    let args = Restoration {
        from_bucket: &args.from.name,
        into_table: &args.into.name,
        into_stage: args.into_stage.as_deref(),
        since_ms: args.since.map(jiff::Timestamp::as_millisecond),
        until_ms: args.until.map(jiff::Timestamp::as_millisecond),
        overwrite: args.overwrite,
        dry_run: args.dry_run,
    };
    let summary = Box::pin(into(&session, &args, &interrupt, reporter)).await?;
    if interrupt.is_set() {
        return Err(Interrupted { left: summary.left }.into());
    }
    Ok(if summary.failed > 0 { ExitCode::from(exit_code::FAILED) } else { exit_code::DONE })
}
