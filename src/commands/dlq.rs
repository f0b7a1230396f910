//! `streamkit dlq`: what failed, where it lies, and how it gets back.

mod edit;
mod held;
mod lane;
mod list;
mod listing;
mod newest;
mod played;
mod purge;
mod reading;
mod redrive;
mod show;
mod stores;
mod units;

use std::process::ExitCode;

use clap::Subcommand;
use clap_complete::ArgValueCompleter;

pub(super) use self::newest::{Failed, newest};
pub(super) use self::reading::facts_of_record;
pub(super) use self::redrive::explained;
use self::stores::{Chosen, Place};
use super::session::{Input, RegionArgument, Session, SpecArgument};
use crate::candidates::{functions, nodes};
use crate::daemon::Start;
use crate::dead_letters::Selection;
use crate::interrupt::Interrupt;
use crate::options::Global;
use crate::report::Reporter;

/// See what failed, mend it, and play it again
///
/// A dead letter queue holds letters of the handler, one for each record that it rejected, and on-failure records of mappings,
/// each for a batch that was given up. Both are played to the function again by `redrive`.
///
/// Example: streamkit dlq list pipelines/retail-events.toml --local
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(list::Args),
    Show(show::Args),
    Redrive(redrive::Args),
    Purge(purge::Args),
}

/// Which messages are meant.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Which {
    #[command(flatten)]
    spec: SpecArgument,
    #[command(flatten)]
    region: RegionArgument,
    /// Only this queue or bucket, such as queue.dlq; otherwise all that failures go to
    #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(nodes))]
    queue: Option<String>,
    /// Only what this function failed on
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(functions))]
    function: Option<String>,
    /// Only what this is true of, such as 'code = "missing_field" and age < 2h'. Fields: kind, code, message, function, stream,
    /// shard, sequence, event_id, key, time, age, payload.NAME; compared by = != < <= > >= ~ (contains), joined by and, or, not
    #[arg(long, value_name = "CONDITION", value_parser = Selection::parse)]
    select: Option<Selection>,
}

impl Which {
    /// The pipeline, and the queues and buckets that are meant.
    async fn open(&self, global: &Global, reporter: &Reporter) -> anyhow::Result<(Session, Vec<Place>)> {
        let session = Box::pin(Session::open(&Input::spec(&self.spec), global, reporter, Start::Never)).await?;
        let session = self.region.choose(session)?;
        if let Some(function) = &self.function {
            session.flow(Some(function))?;
        }
        let places = stores::find(&session, self.queue.as_deref()).await?;
        Ok((session, places))
    }

    fn chosen(&self) -> Chosen<'_> {
        Chosen { function: self.function.as_deref(), selection: self.select.as_ref() }
    }
}

impl Which {
    /// All that has failed in a pipeline.
    fn all(spec: SpecArgument) -> Self {
        Self { spec, region: RegionArgument::default(), queue: None, function: None, select: None }
    }
}

/// Plays all that has failed to the functions again, without asking.
pub(super) async fn redrive_all(
    spec: SpecArgument,
    global: &Global,
    reporter: &Reporter,
    interrupt: Interrupt,
) -> anyhow::Result<ExitCode> {
    Box::pin(redrive::run(&redrive::Args::unasked(Which::all(spec)), global, reporter, interrupt)).await
}

pub(crate) async fn run(
    args: &Args,
    global: &Global,
    reporter: &Reporter,
    interrupt: Interrupt,
) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::List(args) => Box::pin(list::run(args, global, reporter, interrupt)).await,
        Action::Show(args) => Box::pin(show::run(args, global, reporter, interrupt)).await,
        Action::Redrive(args) => Box::pin(redrive::run(args, global, reporter, interrupt)).await,
        Action::Purge(args) => Box::pin(purge::run(args, global, reporter, interrupt)).await,
    }
}
