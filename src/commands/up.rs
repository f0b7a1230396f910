//! `streamkit up`: makes AWS match the spec.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap_complete::ArgValueCompleter;

use super::session::{CodeArgument, Input, Packaging, Session, SpecArgument};
use crate::apply::{self, Ended, Outcome, Task, Work};
use crate::aws::until_seen;
use crate::candidates::nodes;
use crate::daemon::Start;
use crate::deletion_order;
use crate::failure::{Hint, Interrupted, Shown};
use crate::graph::{Need, Until};
use crate::interrupt::Interrupt;
use crate::lock::locked;
use crate::narrowing;
use crate::observe::{Allowed, Observation, is_renewed, observe};
use crate::options::Global;
use crate::pipeline::Node;
use crate::plan::{Action, Plan, ResourceKind, Step, region_of};
use crate::report::{Reporter, RunReport, exit_code, run_report};
use crate::resources::{Any, Function, Observed, OwnedResource, Planned, Reviewed, owned_resources};
use crate::saved_plan::{PlanOptions, SavedPlan, SpecFile};

/// For how long what the plan saw is as good as another look, which would be as old by the time that its change is made.
const FRESH: Duration = Duration::from_secs(60);

/// Create or change everything that the spec says, and nothing else
///
/// Shows the plan and asks first. Running it again changes nothing; after a failure, running it again
/// goes on.
///
/// Example: streamkit up pipelines/retail-events.toml --local --yes
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
    #[command(flatten)]
    code: CodeArgument,
    /// Carry out this plan, which `plan --out FILE` wrote, without asking; refused where anything has changed since
    #[arg(long, value_name = "FILE", conflicts_with_all = ["adopt", "allow_replace", "allow_delete", "package"])]
    plan: Option<PathBuf>,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    /// Take over resources of the same name that are not this pipeline's
    #[arg(long)]
    adopt: bool,
    /// Replace this node although what it holds is lost, such as table.results
    #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(nodes))]
    allow_replace: Vec<String>,
    /// Delete this node, which is not in the spec any more, with the data that it holds, such as table.results
    #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(nodes))]
    allow_delete: Vec<String>,
    /// If anything fails, delete again what this run has created, and nothing else
    #[arg(long)]
    rollback: bool,
}

impl Args {
    /// Makes AWS match the spec without asking; what would lose data is refused.
    pub(super) fn unasked(spec: SpecArgument, code: CodeArgument) -> Self {
        Self {
            spec,
            code,
            plan: None,
            yes: true,
            adopt: false,
            allow_replace: Vec::new(),
            allow_delete: Vec::new(),
            rollback: false,
        }
    }
}

#[expect(clippy::large_futures, reason = "see `cli::run`")]
pub(crate) async fn run(
    args: &Args,
    global: &Global,
    reporter: &Reporter,
    mut interrupt: Interrupt,
) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let saved = args.plan.as_deref().map(SavedPlan::read).transpose()?;
    let mut global = global.clone();
    if let Some(saved) = &saved {
        // Another one is refused.
        global.stage = global.stage.or_else(|| saved.stage.clone());
    }
    let global = &global;
    let (input, options) = what(args, saved.as_ref(), global)?;
    let session = interrupt.unless(Session::open(&input, global, reporter, Start::IfNeeded)).await?;
    reporter.advice(&session.advices);
    let warnings = session.advices.warnings();
    let place = session.place();
    let refuse = |plan: Plan, moved: Vec<String>| {
        let report = run_report(&place, plan, None, started.elapsed().as_secs_f64());
        reporter.document(&RunReport { moved: moved.clone(), ..report })?;
        Err(moved_error(args, &moved))
    };
    let files = match &saved {
        Some(saved) => {
            let files = (SpecFile::read(&input.spec)?, session.code_hashes()?);
            let moved = [saved.moved_place(&place), saved.moved_files(&files.0, &files.1)].concat();
            if !moved.is_empty() {
                return refuse(Plan::default(), moved);
            }
            Some((saved, files))
        }
        None => None,
    };
    let cx = session.cx.clone().adopting(options.adopt).stopped_by(&interrupt);
    let allowed = Allowed { replace: options.allow_replace, delete: options.allow_delete };
    let reading = observe(&cx, &session.pipeline, &allowed, reporter.waiting());
    let Observation { plan, orphans, seen } = interrupt.unless(reading).await?;
    let observed = Instant::now();
    reporter.plan(&plan, &place);
    if let Some((saved, (spec, code))) = files {
        let moved = saved.moved(&saved.again(&plan, &place, spec, code));
        if !moved.is_empty() {
            return refuse(plan, moved);
        }
    }
    if show_refusals(&plan, reporter) {
        let report = run_report(&place, plan, None, started.elapsed().as_secs_f64());
        reporter.document(&report.warned(warnings))?;
        return Err(Shown.into());
    }
    let unsettled = plan.steps.iter().any(|step| step.unsettled);
    if plan.is_empty() && !unsettled {
        let report = run_report(&place, plan, None, started.elapsed().as_secs_f64());
        reporter.document(&report.warned(warnings))?;
        return Ok(exit_code::DONE);
    }
    let question = format!("make these changes in account {}, {}?", cx.aws.account, cx.aws.region);
    let asked = Instant::now();
    // Who wrote a plan to a file has read it.
    let agreed = args.yes || args.plan.is_some();
    if !plan.is_empty() && !agreed && !reporter.confirm(&question, &mut interrupt).await? {
        reporter.note("nothing was changed");
        return Ok(ExitCode::from(exit_code::FAILED));
    }
    // The time in which the question waited for its answer is not the run's.
    let started = started + asked.elapsed();
    tell_of_new_streams(&session, &plan);
    // A program that does not compile must not leave half a pipeline behind.
    let built = interrupt.unless(build(&session, &plan, reporter)).await?;
    if let Some(saved) = &saved {
        let moved = saved.moved_code(&built);
        if !moved.is_empty() {
            return refuse(plan, moved);
        }
    }
    let nodes = &session.pipeline.nodes;
    let trust = Trust::in_plan(observed.elapsed(), saved.is_some(), agreed);
    let mut tasks = tasks(&session, &plan, &orphans, &seen, trust);
    tasks.extend(narrowing::tasks(nodes, &plan));
    let mut progress = reporter.progress(tasks.iter().map(|task| task.node.as_str()));
    let show = &mut |event: apply::Event<'_>| progress.show(&event);
    let mut ended = apply::run(&tasks, &cx, usize::from(global.parallelism), &mut interrupt, show).await;
    drop(progress);
    let waited_for = apply::critical_path(&tasks, &ended);
    narrowing::conclude(nodes, &plan, &mut ended);
    let failed = ended.iter().any(|end| matches!(end.outcome, Outcome::Failed(_)));
    let undone = if args.rollback && failed && !interrupt.is_set() {
        let made = made_here(&plan, &ended);
        Some(roll_back(&session, &plan, &made, global, reporter, &mut interrupt).await)
    } else {
        None
    };
    let mut report =
        run_report(&place, plan, Some(&ended), started.elapsed().as_secs_f64()).warned(warnings).waited_for(waited_for);
    if let Some(Ok(undone)) = &undone {
        report.rolled_back.clone_from(undone);
    }
    reporter.run(&report)?;
    if let Some(Err(error)) = &undone {
        reporter.error(error);
    }
    conclude(&ended, &interrupt, reporter)
}

/// A mapping reads a stream that this run makes from its beginning.
fn tell_of_new_streams(session: &Session, plan: &Plan) {
    let is_new =
        |step: &&Step| step.kind == ResourceKind::Stream && matches!(step.action, Action::Create | Action::Replace);
    for step in plan.steps.iter().filter(is_new) {
        if let Some(new) = session.pipeline.new_streams.get(&step.name) {
            new.store(true, Ordering::Relaxed);
        }
    }
}

/// What is made of what the plan saw, when it is carried out.
#[derive(Debug, Clone, Copy)]
enum Trust {
    /// It is as good as another look.
    Fresh,
    /// Each node is looked at again, and brought to what the spec says from there.
    Stale,
    /// Somebody has read the plan: each node is looked at again, and must be as the plan saw it.
    Reviewed,
}

impl Trust {
    /// Who reads a plan agrees to that one. Before a minute is over, an answered question needs no other look.
    fn in_plan(age: Duration, is_saved: bool, is_unasked: bool) -> Self {
        match age < FRESH {
            _ if is_saved => Self::Reviewed,
            true => Self::Fresh,
            false if is_unasked => Self::Stale,
            false => Self::Reviewed,
        }
    }
}

/// What to bring up, and how: as the saved plan says where there is one.
fn what(args: &Args, saved: Option<&SavedPlan>, global: &Global) -> anyhow::Result<(Input, PlanOptions)> {
    let Some(saved) = saved else {
        let options = PlanOptions {
            adopt: args.adopt,
            allow_replace: args.allow_replace.clone(),
            allow_delete: args.allow_delete.clone(),
            ..PlanOptions::default()
        };
        return Ok((Input::new(&args.spec, &args.code, global)?, options));
    };
    let spec = args.spec.spec.clone().unwrap_or_else(|| saved.spec.path.clone());
    let packaging = match &saved.options.package {
        Some(file) => Packaging::File(file.clone()),
        None if saved.options.build_package => Packaging::Built,
        None => Packaging::Fitting,
    };
    Ok((Input { spec, packaging }, saved.options.clone()))
}

/// The refusal of a saved plan.
fn moved_error(args: &Args, moved: &[String]) -> anyhow::Error {
    let file = args.plan.as_deref().unwrap_or(Path::new("")).display();
    Hint::error(
        format!("nothing was changed, since this is not what {file} was made for any more:\n  {}", moved.join("\n  ")),
        format!("make the plan again with `streamkit plan --out {file}`, and read it"),
    )
}

/// Builds the packages that the plan uploads, before anything is changed. Gives what each function's was made from.
async fn build(session: &Session, plan: &Plan, reporter: &Reporter) -> anyhow::Result<BTreeMap<String, String>> {
    let waiting = Mutex::new(reporter.waiting());
    let note = |text: &str| locked(&waiting)(text);
    let mut built = BTreeMap::new();
    for (node, step) in session.pipeline.nodes.iter().zip(&plan.steps) {
        if let Any::Function(function) = node.resource.inner()
            && Function::is_uploaded(step.action, &step.changes)
        {
            built.insert(node.id.clone(), function.code.package(&note).await?.hash.clone());
        }
    }
    Ok(built)
}

/// The resources that this run began to create, whatever became of them.
fn made_here(plan: &Plan, ended: &[Ended]) -> BTreeSet<String> {
    let begun = plan.steps.iter().zip(ended).filter(|(step, end)| step.action == Action::Create && end.span.is_some());
    begun.map(|(step, _)| step.node.clone()).collect()
}

/// Deletes what the run made, and gives the nodes. What has another owner's tags is not found, and so not touched.
async fn roll_back(
    session: &Session,
    plan: &Plan,
    made: &BTreeSet<String>,
    global: &Global,
    reporter: &Reporter,
    interrupt: &mut Interrupt,
) -> anyhow::Result<Vec<String>> {
    let others = plan.steps.iter().filter(|step| !made.contains(&step.node));
    let known = others.map(|step| (region_of(&step.node), step.kind, step.name.as_str())).collect();
    let naming = &session.pipeline.naming;
    let look = async || anyhow::Ok(owned_resources(&session.cx.as_of_now(), &naming.prefix(), &known).await?.owned);
    let found = look().await.context("looking for what to roll back")?;
    reporter.note(&format!("rolling back what this run created: {} resources", found.len()));
    let tasks = deletion_order::tasks(&found);
    let mut progress = reporter.progress(tasks.iter().map(|task| task.node.as_str()));
    let mut ended =
        apply::run(&tasks, &session.cx.as_of_now(), usize::from(global.parallelism), interrupt, &mut |event| {
            progress.show(&event);
        })
        .await;
    drop(progress);
    deletion_order::conclude(&found, &mut ended);
    for end in &ended {
        if let Outcome::Failed(error) = &end.outcome {
            reporter.error(error);
        }
    }
    // A list may show for a while what is gone.
    let mut left = Vec::new();
    let clean = async || {
        left = look().await?;
        Ok(left.is_empty().then_some(()))
    };
    until_seen(clean, |_| {}).await.context("looking whether all is rolled back")?;
    if left.is_empty() {
        return Ok(found.into_iter().map(|resource| resource.node).collect());
    }
    let labels: Vec<_> = left.iter().map(OwnedResource::label).collect();
    Err(Hint::error(
        format!("not rolled back: {}", labels.join(", ")),
        "run `streamkit up` again to go on, or `streamkit down` to delete all of it",
    ))
}

/// The nodes' work, and after all of it the deletion of the orphans.
fn tasks<'a>(
    session: &'a Session,
    plan: &Plan,
    orphans: &'a [OwnedResource],
    seen: &'a [Option<Observed>],
    trust: Trust,
) -> Vec<Task<'a>> {
    let nodes = &session.pipeline.nodes;
    let mut tasks: Vec<Task<'a>> = nodes
        .iter()
        .zip(&plan.steps)
        .enumerate()
        .map(|(index, (node, step))| Task {
            node: node.id.clone(),
            action: step.action,
            work: Work::Sync {
                resource: &node.resource,
                tags: &node.tags,
                planned: match (trust, seen[index].as_ref()) {
                    (Trust::Reviewed, seen) => Planned::Reviewed(Reviewed {
                        seen,
                        doubtful: seen.is_some() && may_be_gone(index, nodes, plan),
                        follows: seen.is_some() && follows(node, plan),
                    }),
                    (Trust::Stale, _) => Planned::Unknown,
                    (Trust::Fresh, None) => Planned::Missing,
                    (Trust::Fresh, Some(seen)) if may_be_gone(index, nodes, plan) => Planned::Doubtful(seen),
                    (Trust::Fresh, Some(seen)) => Planned::Seen(seen),
                },
            },
            needs: node.needs.iter().map(|need| need_now(*need, nodes, plan)).collect(),
            unsettled: step.unsettled || may_be_gone(index, nodes, plan),
        })
        .collect();
    for (index, orphan) in orphans.iter().enumerate() {
        // Orphans come in the order of their deletion; one after the other is simple, and there are few.
        let before = if index == 0 { 0..nodes.len() } else { tasks.len() - 1..tasks.len() };
        let needs = before.map(|node| Need { node, until: Until::Ready }).collect();
        tasks.push(Task {
            node: orphan.node.clone(),
            action: Action::Delete,
            work: Work::Delete(orphan),
            needs,
            unsettled: false,
        });
    }
    tasks
}

/// Whether a node may have gone although it was seen: AWS may show for a while what a run that was killed has deleted. A role goes
/// with its function, and everything after the mappings.
fn may_be_gone(index: usize, nodes: &[Node], plan: &Plan) -> bool {
    let step = &plan.steps[index];
    if step.action == Action::Create || step.refused.is_some() || !step.kind.has_tags() {
        return false;
    }
    let mut mappings = plan.steps.iter().filter(|step| step.kind == ResourceKind::Mapping).peekable();
    if mappings.peek().is_some() && mappings.all(|step| matches!(step.action, Action::Create | Action::Delete)) {
        return true;
    }
    let uses = |node: &Node| node.needs.iter().any(|need| need.node == index);
    let is_new_user = |(node, step): (&Node, &Step)| {
        matches!(node.resource.inner(), Any::Function(_)) && step.action == Action::Create && uses(node)
    };
    matches!(nodes[index].resource.inner(), Any::Role(_)) && nodes.iter().zip(&plan.steps).any(is_new_user)
}

/// Whether a node refers to what this run makes anew.
fn follows(node: &Node, plan: &Plan) -> bool {
    node.replaced_with.is_some_and(|other| is_renewed(&plan.steps[other.node], other))
}

/// What a node needs in this run. Where a role, stream or table is there already and changes, what refers to it waits for that:
/// rights come before what uses them, and the source of a mapping may become another one.
fn need_now(need: Need, nodes: &[Node], plan: &Plan) -> Need {
    let changes = plan.steps[need.node].action == Action::Update;
    match nodes[need.node].resource.inner() {
        Any::Role(_) | Any::Stream(_) | Any::Table(_) if changes => Need { until: Until::Ready, ..need },
        _ => need,
    }
}

/// Reports the refused steps; false when there are none.
pub(super) fn show_refusals(plan: &Plan, reporter: &Reporter) -> bool {
    for (_, refusal) in plan.refusals() {
        reporter.error(&Hint::error(refusal.why.clone(), refusal.hint.clone()));
    }
    plan.refusals().next().is_some()
}

/// Reports failures with their hints, and decides how the command ended.
pub(super) fn conclude(ended: &[Ended], interrupt: &Interrupt, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let mut failed = false;
    for end in ended {
        if let Outcome::Failed(error) = &end.outcome {
            failed = true;
            reporter.error(error);
        }
    }
    let left = ended.iter().filter(|end| matches!(end.outcome, Outcome::Interrupted)).count();
    if interrupt.is_set() {
        return Err(Interrupted { left }.into());
    }
    if failed { Err(Shown.into()) } else { Ok(exit_code::DONE) }
}
