//! `streamkit validate`: proves that events flow and have the effects that the recipe says.

mod archive;
mod canary;
mod check;
mod cleanup;
mod copies;
mod dead_letter_queue;
mod detection;
mod downstream;
mod encryption;
mod events;
mod failure;
mod files;
mod items;
mod kept;
mod memory;
mod passing;
mod poison;
mod queries;
mod replicas;
mod resources;
mod siblings;
mod stream_run;
mod table;
mod telemetry;
mod validation;
mod windows;

use std::process::ExitCode;
use std::time::Duration;

use clap_complete::ArgValueCompleter;
use streamkit_recipes::{Samples, SourceKind};
use tokio::time::{Instant, timeout};

use self::check::{Checks, check, listed};
use self::downstream::Downstream;
use self::failure::FailureInjection;
use self::files::{Files, FilesArgument};
use self::stream_run::{Poison, StreamRun};
use self::telemetry::Growth;
use self::validation::{Validation, not_up};
use super::output_file::ended;
use super::session::{CodeArgument, Input, Session, SpecArgument};
use crate::candidates::functions;
use crate::daemon::Start;
use crate::failure::{Hint, Interrupted, Usage};
use crate::interrupt::Interrupt;
use crate::options::Global;
use crate::pipeline::Flow;
use crate::report::{Passage, Reporter, exit_code};
use crate::spec::Seconds;

/// Prove that events flow: send marked ones, good and bad, and check what becomes of each
///
/// Compares every item with what the recipe says, finds poison in the dead letter queue, reads
/// metrics, logs and alarms, and measures latencies. What it sends it takes away again; the items
/// and messages of others stay as they are. Its poison counts as failed events, so an alarm on those
/// may go off. Exits with 1 when a check fails.
///
/// Example: streamkit validate pipelines/retail-events.toml --local
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
    #[command(flatten)]
    code: CodeArgument,
    /// The function to validate; otherwise each one that has a recipe, but archives
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(functions))]
    function: Option<String>,
    /// How long each check waits for what it expects; new mappings and metrics may take minutes
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = Seconds::parse)]
    timeout: Seconds,
    /// In the end make the function fail on an event for a while: see the on-failure record come, and restore the function
    ///
    /// Events of others are processed as ever, but for those that come in one batch with the run's own. Needs `on_failure`
    /// in the function's source, and an end to its retries.
    #[arg(long = "break")]
    breaks: bool,
    #[command(flatten)]
    files: FilesArgument,
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
    let mut files = Files::create(&args.files, args.spec.path())?;
    let mut checks = Checks::new(reporter);
    let result = Box::pin(validate(args, global, reporter, &mut interrupt, &mut checks, &mut files)).await;
    let stopped = result.as_ref().err().map(|error| format!("{error:#}"));
    let written = files.write(&checks, stopped.as_deref());
    ended(result, written, reporter)
}

/// Carries out all checks on all functions that are wanted.
async fn validate(
    args: &Args,
    global: &Global,
    reporter: &Reporter,
    interrupt: &mut Interrupt,
    checks: &mut Checks<'_>,
    files: &mut Files,
) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let input = Input::new(&args.spec, &args.code, global)?;
    let opened = Box::pin(Session::open(&input, global, reporter, Start::Never));
    let home = interrupt.unless(opened).await?;
    files.know(&home);
    let flows = flows(&home, args.function.as_deref())?;
    let limit = Duration::from_secs(args.timeout.0);
    let broken = match flows[..] {
        _ if !args.breaks => None,
        [flow] => Some(flow),
        // The only one but mirrors, or the usual complaint about several functions.
        _ => Some(home.flow(None)?),
    };
    let of_broken = broken.and_then(|flow| {
        let has = |session: &Session| session.pipeline.flows.iter().any(|other| other.key == flow.key);
        home.everywhere().map(|(_, session)| session).find(|session| has(session))
    });
    let injection = match (of_broken, broken) {
        (Some(session), Some(flow)) => Some((FailureInjection::new(session, flow, limit)?, session, flow)),
        _ => None,
    };
    for flow in &flows {
        if flow.recipe()?.batched().is_some() && flow.source.kind() == SourceKind::Table {
            return Err(Hint::usage(
                format!("`validate` does not look into the archive of a table's changes, which `{}` keeps", flow.key),
                "validate the table's other function; the archive's objects and metrics show that it works",
            ));
        }
    }
    if flows.len() > 1 {
        checks.name_functions();
    }
    let mut stopped = None;
    for flow in &flows {
        checks.begin(&flow.key);
        for (region, session) in home.everywhere() {
            let Some(flow) = session.pipeline.flows.iter().find(|other| other.key == flow.key) else { continue };
            if stopped.is_some() || interrupt.is_set() {
                break;
            }
            checks.go_to(region);
            let validation = Validation::new(session, &home, flow, flow.recipe()?, limit, global.local);
            let (of_flow, error) = Box::pin(validate_flow(validation, checks, reporter, interrupt)).await?;
            checks.measured(of_flow);
            stopped = error;
        }
        checks.go_to(None);
    }
    if let Some((injection, session, flow)) = injection
        && stopped.is_none()
        && !interrupt.is_set()
    {
        let validation = Validation::new(session, &home, flow, flow.recipe()?, limit, global.local);
        stopped = Box::pin(failure::validate(injection, validation, checks, reporter, interrupt)).await.err();
    }
    let whole = stopped.is_none() && !interrupt.is_set();
    let ok = checks.conclude(whole, started.elapsed().as_secs_f64())?;
    if whole {
        files.read_lag(&home, &flows, reporter).await;
    }
    if let Some(error) = stopped {
        return Err(error);
    }
    if interrupt.is_set() {
        return Err(Interrupted { left: 0 }.into());
    }
    Ok(if ok { exit_code::DONE } else { ExitCode::from(exit_code::FAILED) })
}

/// The named function's flow, or those that have a recipe, but archives: also those of functions that are only in other regions.
fn flows<'s>(session: &'s Session, function: Option<&str>) -> anyhow::Result<Vec<&'s Flow>> {
    let own = &session.pipeline.flows;
    let elsewhere = session.elsewhere.iter().flat_map(|there| &there.pipeline.flows);
    let mut only_there = elsewhere.filter(|flow| own.iter().all(|other| other.key != flow.key));
    if let Some(name) = function {
        let there = only_there.find(|flow| flow.key == name);
        return there.map_or_else(|| session.known_flows(function), |flow| Ok(vec![flow]));
    }
    let mut flows = session.known_flows(None)?;
    let mirrors = own.iter().chain(only_there);
    for flow in mirrors.filter(|flow| flow.recipe().is_ok_and(|recipe| recipe.batched().is_none())) {
        if flows.iter().all(|other| other.key != flow.key) {
            flows.push(flow);
        }
    }
    Ok(flows)
}

/// Carries out all checks on a function. Gives its events whose effects were seen, and why not everything was tried.
async fn validate_flow(
    validation: Validation<'_>,
    checks: &mut Checks<'_>,
    reporter: &Reporter,
    interrupt: &mut Interrupt,
) -> anyhow::Result<(Vec<Passage>, Option<anyhow::Error>)> {
    let flow = validation.flow;
    match validation.session.pipeline.samples(flow)? {
        Samples::Stream(samples) => {
            let mut run = StreamRun::new(validation, samples);
            let stopped = Box::pin(validate_stream(&mut run, checks, reporter, interrupt)).await;
            Ok((run.passages(), stopped))
        }
        Samples::Table(samples) => Box::pin(table::validate(validation, samples, checks, reporter, interrupt)).await,
        Samples::OfOthers => anyhow::bail!("no recipe has events for the source of `{}`", flow.key),
    }
}

/// Carries out all checks on a function that reads a stream, and cleans up. Gives why not everything was tried.
async fn validate_stream(
    run: &mut StreamRun<'_>,
    checks: &mut Checks<'_>,
    reporter: &Reporter,
    interrupt: &mut Interrupt,
) -> Option<anyhow::Error> {
    let stopped = tokio::select! {
        result = try_all(run, checks, reporter) => result.err(),
        () = interrupt.changed() => {
            reporter.note("cleaning up; Ctrl-C again stops at once");
            None
        }
    };
    let shown = checks.under_way("cleanup");
    let done = check("cleanup", "nothing of the run is left", CLEANUP, cleanup::check(run)).await;
    drop(shown);
    checks.add(done);
    stopped
}

/// Carries out all checks in order.
///
/// # Errors
/// Only when nothing more can be tried; a check that fails is in the report.
async fn try_all(run: &mut StreamRun<'_>, checks: &mut Checks<'_>, reporter: &Reporter) -> anyhow::Result<()> {
    let limit = run.validation.limit + GRACE;
    run.events.check(&run.validation.flow.key)?;
    for function in siblings::unknown(&run.validation) {
        reporter.note(&format!(
            "{function} reads the same stream with code of its own: what it makes of the run's events is for you to delete"
        ));
    }
    for Downstream { function, .. } in &run.downstream {
        reporter.note(&format!(
            "function.{function} reads what the run's events come to: it may count and announce some of that, and learns from it"
        ));
    }
    let alarms = telemetry::alarms_on_failures(&run.validation);
    let examples = run.samples.detection().is_some();
    if (examples || !run.events.poison().is_empty()) && !alarms.is_empty() {
        let what = if examples { "poison and examples" } else { "poison" };
        reporter.note(&format!("the run's {what} may set off {}, and whoever they notify is told", listed(&alarms)));
    }
    if let Some(topic) = run.validation.flow.topic.as_ref().filter(|_| examples) {
        let run_id = &run.validation.run_id;
        reporter.note(&format!(
            "subscribers of {topic} are told of what is found in the run's examples, whose keys contain {run_id}"
        ));
    }
    let before = Box::pin(begin(&run.validation, checks, run.metrics())).await?;
    if run.copies.is_some() {
        return Box::pin(kept::try_copies(run, checks, reporter, &before)).await;
    }
    if run.is_archive() {
        return Box::pin(kept::try_archive(run, checks, &before)).await;
    }
    if run.windows.is_some() {
        return Box::pin(try_windows(run, checks, reporter, &before)).await;
    }

    let shown = checks.under_way("flow: waiting for a canary");
    let done = check("flow", "the item of a canary", limit, canary::flow(run)).await;
    drop(shown);
    if !checks.add(done) {
        anyhow::bail!("no event came through, so items, poison, metrics and logs were not checked");
    }

    let shown = checks.under_way("items");
    let count = run.events.marked("").len() * events::rounds(&run.events);
    let expected = format!("the effects of {count} events, attribute by attribute as the recipe says");
    let done = check("items", expected, limit, events::items(run)).await;
    drop(shown);
    checks.add(done);

    if let Some(sought) = run.samples.detection() {
        for done in detection::checks(run, sought).await {
            checks.add(done);
        }
    }
    let encrypted = run.validation.flow.encrypted();
    if !encrypted.is_empty() {
        let names: Vec<_> = encrypted.iter().map(|field| field.field.as_str()).collect();
        let expected = format!("{} only encrypted, and what was sent when decrypted", names.join(" and "));
        let done = check("encryption", expected, limit, encryption::check(run)).await;
        checks.add(done);
    }

    let twins = events::twins(&run.events);
    if twins > 0 {
        let expected = format!("an item for each event of {twins} users with equal events in one millisecond");
        let done = check("identity", expected, limit, events::identity(run)).await;
        checks.add(done);
    }

    if let Some(attribute) = run.samples.type_attribute() {
        let expected = format!("the run's items again when asked for by {attribute}");
        let done = check("queries", expected, limit, queries::by_type(run, attribute)).await;
        checks.add(done);
    }

    if let Some(processed_at) = run.samples.ordered_by() {
        let expected = "each user's events stored and processed in the order of the stream";
        let done = check("order", expected, limit, queries::order(run, processed_at)).await;
        checks.add(done);
    }

    Box::pin(try_poison(run, checks, reporter)).await?;
    Box::pin(end(&run.validation, checks, run.wanted_metrics(), &before, run.poison.first())).await;
    Ok(())
}

/// Sends poison, and looks for all events of the run in the archives of others.
async fn try_poison(run: &mut StreamRun<'_>, checks: &mut Checks<'_>, reporter: &Reporter) -> anyhow::Result<()> {
    let limit = run.validation.limit + GRACE;
    let poison = run.events.poison().len();
    if let Some(queue) = run.dead_letter_queue.as_mut().filter(|_| poison > 0) {
        if let Some(others) = queue.others().await? {
            reporter.note(&others);
        }
        let shown = checks.under_way("poison: waiting for dead letters");
        let expected = format!("{poison} dead letters with payload, error, shard and sequence number, and no item");
        let done = check("poison", expected, limit, poison::check(run)).await;
        drop(shown);
        checks.add(done);
    }

    if !run.archives.is_empty() {
        let shown = checks.under_way("archive");
        let names: Vec<_> = run.archives.iter().map(|archive| archive.function.as_str()).collect();
        let expected = format!("every event of the run, good and bad, in an object of {}", names.join(" and of "));
        let done = check("archive", expected, limit, archive::beside(run)).await;
        drop(shown);
        checks.add(done);
    }
    Ok(())
}

/// Carries out all checks on a function that stores what windows come to.
async fn try_windows(
    run: &mut StreamRun<'_>,
    checks: &mut Checks<'_>,
    reporter: &Reporter,
    before: &Growth,
) -> anyhow::Result<()> {
    let limit = run.validation.limit + GRACE;
    let shown = checks.under_way("flow: waiting for the end of a canary's window");
    let done = check("flow", "a window with a canary", limit, canary::flow(run)).await;
    drop(shown);
    if !checks.add(done) {
        anyhow::bail!("no event came through, so windows, poison, metrics and logs were not checked");
    }

    let shown = checks.under_way("windows: waiting for their ends");
    let count = run.events.marked("").len() * events::rounds(&run.events);
    let expected = format!("each of {count} events in one window, by everything that the recipe counts");
    let done = check("windows", expected, limit, windows::events(run)).await;
    drop(shown);
    checks.add(done);

    let expected = "an item of each window that is the merge of those of its shards";
    let done = check("merge", expected, limit, windows::merges(run)).await;
    checks.add(done);

    Box::pin(try_poison(run, checks, reporter)).await?;
    Box::pin(end(&run.validation, checks, run.wanted_metrics(), before, run.poison.first())).await;
    Ok(())
}

/// Looks at the resources, and at what the metrics were before anything is sent.
async fn begin(validation: &Validation<'_>, checks: &mut Checks<'_>, metrics: Growth) -> anyhow::Result<Growth> {
    let shown = checks.under_way("resources");
    let mut missing = Vec::new();
    let done = check("resources", "all as the spec says", validation.limit + GRACE, async {
        let verdict;
        (verdict, missing) = resources::check(validation).await?;
        Ok(verdict)
    });
    let done = Box::pin(done).await;
    // What the metrics were; a failure to read them is the matter of their own check.
    let before = match timeout(BASELINE, telemetry::read(validation, &metrics)).await {
        Ok(Ok(before)) => before,
        _ => Growth::default(),
    };
    drop(shown);
    checks.add(done);
    if missing.is_empty() {
        return Ok(before);
    }
    Err(not_up(&format!("no event can flow: there is no {}", missing.join(", no "))))
}

/// Looks at what an operator sees: metrics, logs and alarms.
async fn end(
    validation: &Validation<'_>,
    checks: &mut Checks<'_>,
    wanted: Growth,
    before: &Growth,
    poison: Option<&Poison>,
) {
    let shown = checks.under_way("metrics, logs, alarms");
    let limit = validation.limit + GRACE;
    let (recipe, pipeline) = (validation.recipe, validation.pipeline());
    let (plain, own) = (wanted.plain(recipe), wanted.own(recipe));
    let expected = format!("at least {} more in {} for {pipeline}", plain.text(), recipe.namespace());
    let metrics = check("metrics", expected, limit, telemetry::metrics(validation, &plain, before));
    let expected = format!("at least as many more in each of {} metrics as the recipe says", own.len());
    let breakdown = check("breakdown", expected, limit, telemetry::metrics(validation, &own, before));
    let lines =
        if poison.is_some() { "lines of a rejected record and its invocation" } else { "a line of an invocation" };
    let logs =
        check("logs", format!("{lines} in {}", validation.flow.log_group), limit, telemetry::logs(validation, poison));
    let expected = format!("{} alarms, in any state", telemetry::alarm_names(validation).len());
    let alarms = check("alarms", expected, limit, telemetry::alarms(validation));
    let (metrics, breakdown, logs, alarms) = tokio::join!(metrics, breakdown, logs, alarms);
    drop(shown);
    checks.add(metrics);
    if own.len() > 0 {
        checks.add(breakdown);
    }
    checks.add(logs);
    checks.add(alarms);
}
