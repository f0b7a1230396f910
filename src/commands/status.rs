//! `streamkit status`: what is there, whether it is as the spec says, and how the events flow.

pub(super) mod document;
pub(super) mod look;
mod next_steps;
mod text;
pub(super) mod trend;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::time::sleep;

use self::document::{AlarmState, Document, FunctionState, NodeState, QueueState};
use self::next_steps::next_steps;
use super::caller::Caller;
use super::session::{CodeArgument, Input, Session, SpecArgument};
use crate::daemon::Start;
use crate::interrupt::Interrupt;
use crate::observe::{Allowed, observe};
use crate::options::Global;
use crate::pipeline::Pipeline;
use crate::plan::{Action, ResourceKind, Step, Warning, region_of};
use crate::report::{LOG_VARIABLE, Reporter, exit_code};
use crate::resources::Any;
use crate::screen::Terminal;

/// Show each resource's state, the lag, the failures, the dead letters and the alarms, and what to do
///
/// Exits with 1 when something is missing or different. With --watch it looks again every few seconds
/// until Ctrl-C: on a terminal it shows the screen of `dev`, and changes nothing; elsewhere, and with -v,
/// it prints each look; with --json too, each look is one document on a line.
///
/// Example: streamkit status pipelines/retail-events.toml --local --watch
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
    #[command(flatten)]
    code: CodeArgument,
    /// Look again every few seconds, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
}

/// What a plan warns of that is so whether or not anything is changed.
const STANDING: [&str; 2] = ["unconfirmed-subscriber", "postponed"];

/// How often to look again.
const WATCH_EVERY: Duration = Duration::from_secs(5);
/// To the upper left corner, and nothing below it.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J\u{1b}[3J";

pub(crate) async fn run(
    args: &Args,
    global: &Global,
    reporter: &Reporter,
    mut interrupt: Interrupt,
) -> anyhow::Result<ExitCode> {
    if !args.watch {
        return Box::pin(interrupt.unless(once(args, global, reporter))).await;
    }
    if !global.json && Terminal::is_there() && !logs(global) {
        return Box::pin(on_screen(args, global, reporter, &mut interrupt)).await;
    }
    tokio::select! {
        biased;
        result = Box::pin(watch(args, global, reporter)) => result,
        // Whoever watches ends it so.
        () = interrupt.changed() => Ok(exit_code::DONE),
        () = reporter.reader_left() => Ok(exit_code::DONE),
    }
}

async fn once(args: &Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let session = open(args, global, reporter).await?;
    let document = look(&session, args, global, reporter.waiting()).await?;
    reporter.text(&shown(&document, &session, reporter)?);
    reporter.document(&document)?;
    let fine = document.resources.iter().all(|node| matches!(node.state, "ok" | "changing"));
    Ok(if fine { exit_code::DONE } else { ExitCode::from(exit_code::FAILED) })
}

/// Whether log lines would be written over a screen.
pub(super) fn logs(global: &Global) -> bool {
    global.verbose > 0 || std::env::var_os(LOG_VARIABLE).is_some()
}

/// Watches on the screen of `dev`.
async fn on_screen(
    args: &Args,
    global: &Global,
    reporter: &Reporter,
    interrupt: &mut Interrupt,
) -> anyhow::Result<ExitCode> {
    let session = interrupt.unless(open(args, global, reporter)).await?;
    let document = Box::pin(interrupt.unless(look(&session, args, global, reporter.waiting()))).await?;
    let differs = document.resources.iter().filter(|node| !matches!(node.state, "ok" | "changing"));
    let differs: Vec<_> = differs.map(|node| format!("{} is {}", node.node, node.state)).collect();
    Box::pin(watch::show(&session, &differs, global, reporter, interrupt)).await
}

async fn watch(args: &Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let mut session = open(args, global, reporter).await?;
    let mut looks = 0_u64;
    while !reporter.has_no_reader() {
        session.cx = session.cx.as_of_now();
        for elsewhere in &mut session.elsewhere {
            elsewhere.cx = elsewhere.cx.as_of_now();
        }
        match look(&session, args, global, |_| {}).await {
            Ok(document) => {
                let above = format!("{}, every {} s\n\n", time(&session)?, WATCH_EVERY.as_secs());
                let clear = if Reporter::is_on_terminal() { CLEAR } else { "" };
                reporter.text(&format!("{clear}{above}{}\n", shown(&document, &session, reporter)?));
                reporter.line(&document)?;
            }
            // What is wrong at the first look will be at the next.
            Err(error) if looks == 0 => return Err(error),
            Err(error) => reporter.error(&error),
        }
        looks += 1;
        sleep(WATCH_EVERY).await;
    }
    Ok(exit_code::DONE)
}

async fn open(args: &Args, global: &Global, reporter: &Reporter) -> anyhow::Result<Session> {
    let input = Input::new(&args.spec, &args.code, global)?;
    let session = Box::pin(Session::open(&input, global, reporter, Start::Never)).await?;
    let cx = session.cx.clone().only_looking();
    Ok(Session { cx, ..session })
}

fn time(session: &Session) -> anyhow::Result<String> {
    Ok(Timestamp::try_from(session.aws.now())?.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn shown(document: &Document, session: &Session, reporter: &Reporter) -> anyhow::Result<String> {
    Ok(text::text(document, Timestamp::try_from(session.aws.now())?, reporter.paint()))
}

async fn look(session: &Session, args: &Args, global: &Global, waiting: impl FnMut(&str)) -> anyhow::Result<Document> {
    let (cx, pipeline) = (&session.cx, &session.pipeline);
    let observation = observe(cx, pipeline, &Allowed::default(), waiting).await?;
    let mut warnings = observation.plan.warnings;
    warnings.retain(|warning| STANDING.contains(&warning.rule));
    let unreadable = unreadable_code(pipeline);
    let resources: Vec<_> = observation
        .plan
        .steps
        .into_iter()
        .map(|step| node_state(if unreadable.contains_key(&step.node) { without_code(step) } else { step }))
        .collect();
    warnings.extend(unreadable.into_iter().map(|(node, why)| Warning {
        rule: "unreadable-code",
        message: format!("{node}: whether its code is that of this spec is not known: {why}"),
        node,
        line: None,
        help: None,
    }));
    let (mut functions, mut queues, mut alarms) = (Vec::new(), Vec::new(), Vec::new());
    for (region, session) in session.everywhere() {
        let (of_region, its_queues, its_alarms) = Box::pin(in_region(session, region, &resources)).await?;
        functions.extend(of_region);
        queues.extend(its_queues);
        alarms.extend(its_alarms);
    }
    let naming = &pipeline.naming;
    let (name, stage) = (naming.pipeline.clone(), naming.stage.clone());
    let document = Document { pipeline: name, stage, resources, functions, queues, alarms, warnings, next: Vec::new() };
    let spec = args.spec.spec.as_ref().map(|spec| spec.display().to_string());
    let next = next_steps(&document, &Caller::new(spec.as_deref(), global));
    Ok(Document { next, ..document })
}

/// How the functions, queues and alarms of a region are; what is not in the pipeline's own has the region in its name.
async fn in_region(
    session: &Session,
    region: Option<&str>,
    resources: &[NodeState],
) -> anyhow::Result<(Vec<FunctionState>, Vec<QueueState>, Vec<AlarmState>)> {
    let (cx, pipeline) = (&session.cx, &session.pipeline);
    let full = |name: &str| region.map_or_else(|| name.to_owned(), |region| format!("{name}@{region}"));
    let is_there = |node: &str| {
        let node = full(node);
        resources.iter().any(|other| other.node == node && other.state != "missing")
    };
    let of_alarms =
        resources.iter().filter(|node| node.kind == ResourceKind::Alarm.text() && region_of(&node.node) == region);
    let of_alarms: BTreeSet<_> = of_alarms.map(|node| node.name.clone()).collect();
    let alarms = async { look::alarms(cx, &of_alarms).await.context("reading the alarms") };
    let (mut functions, mut queues, mut alarms) =
        tokio::try_join!(look::functions(cx, pipeline), look::queues(cx, pipeline, is_there), alarms)?;
    for (function, flow) in functions.iter_mut().zip(&pipeline.flows) {
        let queue = queues.iter().find(|queue| flow.dead_letters.as_ref() == Some(&queue.name));
        function.queue_depth = queue.map(|queue| queue.messages);
        function.function = full(&function.function);
    }
    for queue in &mut queues {
        queue.node = full(&queue.node);
    }
    for alarm in &mut alarms {
        alarm.name = full(&alarm.name);
    }
    Ok((functions, queues, alarms))
}

/// The functions whose code can't be read here, and why. Whoever is on call has other sorrows than a crate that is being changed.
fn unreadable_code(pipeline: &Pipeline) -> BTreeMap<String, String> {
    let functions = pipeline.nodes.iter().filter_map(|node| match node.resource.inner() {
        Any::Function(function) if function.code.known_hash().is_none() => Some((&node.id, &function.code)),
        _ => None,
    });
    functions.filter_map(|(node, code)| Some((node.clone(), format!("{:#}", code.hash().err()?)))).collect()
}

/// The step without what follows from code that is not known.
fn without_code(mut step: Step) -> Step {
    step.changes.retain(|change| change.field != "code");
    if step.action == Action::Update && step.changes.is_empty() {
        step.action = Action::Unchanged;
    }
    step
}

fn node_state(step: Step) -> NodeState {
    let state = match (step.action, &step.refused) {
        (Action::Unchanged, Some(_)) => "foreign",
        (Action::Unchanged, None) if step.unsettled => "changing",
        (Action::Unchanged, None) => "ok",
        (Action::Create, _) => "missing",
        (Action::Delete, _) => "not in the spec",
        (Action::Update | Action::Replace, _) => "different",
    };
    // What is missing differs in everything.
    let changes = if step.action == Action::Create { Vec::new() } else { step.changes };
    NodeState { node: step.node, kind: step.kind.text(), name: step.name, arn: step.arn, state, changes }
}
