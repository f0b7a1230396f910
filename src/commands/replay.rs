//! `streamkit replay`: plays what a source has had once more: through a function, or into a table.

mod history;
mod into;
mod place;
mod totals;

use std::process::ExitCode;

use clap_complete::ArgValueCompleter;

use self::history::History;
use self::into::{Restoration, into};
use super::send::rate;
use super::session::{Input, Session, SpecArgument};
use super::since::Since;
use crate::candidates::functions;
use crate::daemon::Start;
use crate::dead_letters::Selection;
use crate::failure::{Interrupted, Usage};
use crate::interrupt::Interrupt;
use crate::options::Global;
use crate::report::{Reporter, exit_code};
use crate::spec::{Reference, SectionKind};

/// Play what a stream or table has had once more: through its function, or into a table
///
/// Records go to the function as events of their source, with their own identity: what is there
/// already stays as it is, and is neither counted nor announced again. A run that was
/// interrupted goes on from its place when it is started again.
///
/// Example: streamkit replay pipelines/retail-events.toml --local --since 2h --yes
/// Example: streamkit replay pipelines/archive.toml --local --since 7d --from bucket.archive
/// Example: streamkit replay pipelines/change-capture.toml --from bucket.audit --into table.activities
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
    /// The function to play to, where the pipeline has several
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(functions), conflicts_with = "into")]
    function: Option<String>,
    /// Where the records are read from, if not from the function's own source: the bucket of an archive, or with --into the
    /// bucket of an audit log, such as bucket.audit
    #[arg(long, value_name = "bucket.NAME", value_parser = Reference::parse)]
    from: Option<Reference>,
    /// Write the changes of an audit log into this table, such as table.activities, in their order
    #[arg(long, value_name = "table.NAME", value_parser = Reference::parse, requires = "from")]
    into: Option<Reference>,
    /// The stage that has the table, if it is another one
    #[arg(long, value_name = "STAGE", requires = "into")]
    into_stage: Option<String>,
    /// What arrived from then on: an age such as 2h, or a time such as 2026-11-22T09:30:00Z
    #[arg(long, value_name = "TIME", value_parser = Since::parse, required_unless_present = "into")]
    since: Option<Since>,
    /// What arrived before then [default: now]
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    until: Option<Since>,
    /// Only these shards, separated by commas
    #[arg(long, value_name = "SHARDS", value_delimiter = ',', conflicts_with = "into")]
    shards: Vec<String>,
    /// Only records of which this is true, such as 'key = "user-7" or payload.amount > 100'
    #[arg(long, value_name = "CONDITION", value_parser = Selection::parse, conflicts_with = "into")]
    select: Option<Selection>,
    /// Records a second at most
    #[arg(long, value_name = "PER_SECOND", value_parser = rate, conflicts_with = "into")]
    rate: Option<f64>,
    /// Begin anew, where an earlier run was interrupted
    #[arg(long, conflicts_with = "into")]
    restart: bool,
    /// With --into: overwrite items that somebody else has changed since
    #[arg(long, requires = "into")]
    overwrite: bool,
    /// Only say what would be played
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(crate) async fn run(
    args: &Args,
    global: &Global,
    reporter: &Reporter,
    mut interrupt: Interrupt,
) -> anyhow::Result<ExitCode> {
    if args.from.as_ref().is_some_and(|from| from.kind != SectionKind::Bucket) {
        return Err(Usage("--from takes a bucket of the pipeline's, such as bucket.archive".to_owned()).into());
    }
    if args.into.as_ref().is_some_and(|into| into.kind != SectionKind::Table) {
        return Err(Usage("--into takes a table of the pipeline's, such as table.orders".to_owned()).into());
    }
    let input = Input::spec(&args.spec);
    let session = interrupt.unless(Box::pin(Session::open(&input, global, reporter, Start::Never))).await?;
    match (&args.from, &args.into) {
        (Some(from), Some(table)) => restore(args, &session, from, table, reporter, &mut interrupt).await,
        _ => Box::pin(History::new(args, &session, reporter).run(&mut interrupt)).await,
    }
}

async fn restore(
    args: &Args,
    session: &Session,
    from: &Reference,
    table: &Reference,
    reporter: &Reporter,
    interrupt: &mut Interrupt,
) -> anyhow::Result<ExitCode> {
    let now = session.aws.now();
    let stage = args.into_stage.as_deref().map_or_else(String::new, |stage| format!(" of stage {stage}"));
    let question = format!("write the changes of {from} into {table}{stage}?");
    if !args.yes && !args.dry_run && !reporter.confirm(&question, interrupt).await? {
        reporter.note("nothing was written");
        return Ok(ExitCode::from(exit_code::FAILED));
    }
    let args = Restoration {
        from_bucket: &from.name,
        into_table: &table.name,
        into_stage: args.into_stage.as_deref(),
        since_ms: args.since.map(|since| since.epoch_ms(now)),
        until_ms: args.until.map(|until| until.epoch_ms(now)),
        overwrite: args.overwrite,
        dry_run: args.dry_run,
    };
    let summary = Box::pin(into(session, &args, interrupt, reporter)).await?;
    if interrupt.is_set() {
        return Err(Interrupted { left: summary.left }.into());
    }
    Ok(if summary.failed > 0 { ExitCode::from(exit_code::FAILED) } else { exit_code::DONE })
}
