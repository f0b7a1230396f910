//! `streamkit validate`: proves that events flow and have the effects that the recipe says.

mod check;
mod cleanup;
mod events;
mod items;
mod letters;
mod poison;
mod resources;
mod run;
mod telemetry;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use streamkit_recipes::Samples;
use tokio::time::{Instant, timeout};

use self::check::{Checks, check};
use self::run::Run;
use self::telemetry::Counts;
use super::session::{Session, SpecArgument};
use crate::cli::Global;
use crate::daemon::Start;
use crate::failure::{Interrupted, Usage};
use crate::interrupt::Interrupt;
use crate::report::{Reporter, exit_code};
use crate::spec::Seconds;

/// Prove that events flow: send marked ones, good and bad, and check what becomes of each
///
/// Compares every item with what the recipe says, finds poison in the dead letter queue, reads
/// metrics, logs and alarms, and measures latencies. What it sends it takes away again; the items
/// and messages of others stay as they are. Its poison counts as failed events, so an alarm on those
/// may go off. Exits with 1 when a check fails.
///
/// Example: streamkit validate pipelines/retail-events.toml --local
#[derive(Debug, ClapArgs)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
    /// The function to validate, where the pipeline has several
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// How long each check waits for what it expects; new mappings and metrics may take minutes
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = Seconds::parse)]
    timeout: Seconds,
}

/// What a check gets on top of its own time for the calls that it has begun.
const GRACE: Duration = Duration::from_secs(30);
/// How long cleaning up may take in all.
const CLEANUP: Duration = Duration::from_mins(2);
/// How long the metrics may take to say what they were before the run.
const BASELINE: Duration = Duration::from_secs(10);

pub(crate) async fn run(
    args: &Args,
    global: &Global,
    reporter: &Reporter,
    mut interrupt: Interrupt,
) -> anyhow::Result<ExitCode> {
    if args.timeout.0 == 0 {
        return Err(Usage("--timeout 0s leaves no time to wait for anything".to_owned()).into());
    }
    let started = Instant::now();
    let session = Session::open(&args.spec.spec, global, reporter, Start::Never).await?;
    let flow = session.flow(args.function.as_deref())?;
    let recipe = streamkit_recipes::find(&flow.recipe).context("the spec names an unknown recipe")?;
    let Samples::Stream(samples) = recipe.samples() else {
        anyhow::bail!("the recipe `{}` reads a table, and only streams can be validated", recipe.name());
    };
    let mut run = Run::new(&session, flow, (recipe, samples), Duration::from_secs(args.timeout.0), global.local);
    let mut checks = Checks::new(reporter);
    let stopped = tokio::select! {
        result = try_all(&mut run, &mut checks) => result.err(),
        () = interrupt.changed() => {
            reporter.note("cleaning up; Ctrl-C again stops at once");
            None
        }
    };
    let shown = checks.under_way("cleanup");
    let done = check("cleanup", "nothing of the run is left", CLEANUP, cleanup::check(&mut run)).await;
    drop(shown);
    checks.add(done);
    let ok =
        checks.conclude(stopped.is_none() && !interrupt.is_set(), &run.latencies(), started.elapsed().as_secs_f64())?;
    if let Some(error) = stopped {
        return Err(error);
    }
    if interrupt.is_set() {
        return Err(Interrupted { left: 0 }.into());
    }
    Ok(if ok { exit_code::DONE } else { ExitCode::from(exit_code::FAILED) })
}

/// Carries out all checks in order.
///
/// # Errors
/// Only when nothing more can be tried; a check that fails is in the report.
async fn try_all(run: &mut Run<'_>, checks: &mut Checks<'_>) -> anyhow::Result<()> {
    let limit = run.limit + GRACE;
    let shown = checks.under_way("resources");
    let mut missing = Vec::new();
    let done = check("resources", "all as the spec says", limit, async {
        let verdict;
        (verdict, missing) = resources::check(run).await?;
        Ok(verdict)
    });
    let done = done.await;
    // What the metrics were; a failure to read them is the matter of their own check.
    let before = match timeout(BASELINE, telemetry::counts(run)).await {
        Ok(Ok(counts)) => counts,
        _ => Counts::default(),
    };
    drop(shown);
    checks.add(done);
    if !missing.is_empty() {
        return Err(Run::not_up(&format!("no event can flow: there is no {}", missing.join(", no "))));
    }

    let shown = checks.under_way("flow: waiting for a canary");
    let done = check("flow", "the item of a canary", limit, events::flow(run)).await;
    drop(shown);
    if !checks.add(done) {
        anyhow::bail!("no event came through, so items, poison, metrics and logs were not checked");
    }

    let shown = checks.under_way("items");
    let count = run.samples.marked(&run.name, 0).len() * events::rounds(run.samples);
    let expected = format!("the effects of {count} events, attribute by attribute as the recipe says");
    let done = check("items", expected, limit, events::items(run)).await;
    drop(shown);
    checks.add(done);

    let twins = events::twins(run.samples);
    if twins > 0 {
        let expected = format!("an item for each event of {twins} users with equal events in one millisecond");
        let done = check("identity", expected, limit, events::identity(run)).await;
        checks.add(done);
    }

    if run.letters.is_some() {
        let shown = checks.under_way("poison: waiting for dead letters");
        let count = run.samples.marked_poison(&run.name).len();
        let expected = format!("{count} dead letters with payload, error, shard and sequence number, and no item");
        let done = check("poison", expected, limit, poison::check(run)).await;
        drop(shown);
        checks.add(done);
    }

    let shown = checks.under_way("metrics, logs, alarms");
    let run = &*run;
    let Counts { processed, failed } = telemetry::wanted(run);
    let (recipe, pipeline) = (run.recipe, run.session.pipeline.naming.prefix());
    let (good, bad) = (recipe.processed_metric(), recipe.failed_metric());
    let expected =
        format!("at least {processed:.0} {good} and {failed:.0} {bad} more in {} for {pipeline}", recipe.namespace());
    let metrics = check("metrics", expected, limit, telemetry::metrics(run, before));
    let lines =
        if run.poison.is_empty() { "a line of an invocation" } else { "lines of a rejected record and its invocation" };
    let logs = check("logs", format!("{lines} in {}", run.flow.log_group), limit, telemetry::logs(run));
    let expected = format!("{} alarms, in any state", telemetry::alarm_names(run).len());
    let alarms = check("alarms", expected, limit, telemetry::alarms(run));
    let (metrics, logs, alarms) = tokio::join!(metrics, logs, alarms);
    drop(shown);
    for done in [metrics, logs, alarms] {
        checks.add(done);
    }
    Ok(())
}
