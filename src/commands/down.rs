//! `streamkit down`: deletes the pipeline's resources, then checks that none is left.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use super::session::{checked_stage, connect, load_spec, owner, place};
use super::up::{conclude, show_refusals};
use crate::apply::{self, Outcome};
use crate::daemon::{self, Start};
use crate::deletion_order;
use crate::failure::{Hint, Shown, Usage};
use crate::home::Home;
use crate::interrupt::Interrupt;
use crate::observe::deletion;
use crate::options::Global;
use crate::plan::{Plan, region_of};
use crate::report::{Reporter, exit_code, run_report};
use crate::resources::{Cx, Known, OwnedResource, Search, UnreadableResource, owned_resources, until_unfound};
use crate::spec::{self, Loaded, Naming, Pins, StageChoice};

/// Delete everything that carries the pipeline's tags, then look again
///
/// Works from the spec, or from the pipeline's name alone. Says what holds data before it asks.
///
/// Example: streamkit down pipelines/retail-events.toml --local --yes
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The pipeline file
    #[arg(value_name = "SPEC", default_value = "streamkit.toml")]
    spec: PathBuf,
    /// The pipeline's name, when its file is not at hand
    #[arg(long, value_name = "PIPELINE", conflicts_with = "spec")]
    name: Option<String>,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    /// Leave tables, buckets and queues standing, with all that they hold; the next `up` takes them up again
    #[arg(long)]
    keep_data: bool,
}

impl Args {
    /// Deletes all of the spec's pipeline without asking.
    pub(super) fn unasked(spec: PathBuf) -> Self {
        Self { spec, name: None, yes: true, keep_data: false }
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
    let (naming, pins) = target(args, global)?;
    if global.local && daemon::find(&Home::find()?).await.is_none() {
        reporter.text("no embedded AWS is running, so nothing is left\n");
        let nothing = run_report(&place(&naming, None), Plan::default(), None, started.elapsed().as_secs_f64());
        reporter.document(&nothing)?;
        return Ok(exit_code::DONE);
    }
    let aws = interrupt.unless(connect(global, reporter, Start::Never)).await?;
    pins.map_or(Ok(()), |pins| pins.check(&aws.account, &aws.region))?;
    let cx = Cx::new(aws, owner(&naming));
    let prefix = naming.prefix();
    let look = async || {
        let mut search = owned_resources(&cx.as_of_now(), &prefix, &Known::new()).await?;
        search.owned.retain(|resource| !(args.keep_data && resource.kind.is_data()));
        search.unreadable.retain(|resource| !(args.keep_data && resource.kind.is_data()));
        anyhow::Ok(search)
    };
    let Search { owned: mut found, unreadable } = interrupt.unless(look()).await?;
    check_home(&cx, &found)?;
    let mut plan = Plan { steps: found.iter().map(deletion).collect(), ..Plan::default() };
    let place = place(&naming, Some(&cx.aws));
    let seconds = || started.elapsed().as_secs_f64();
    if found.is_empty() && !unreadable.is_empty() {
        reporter.document(&run_report(&place, plan, None, seconds()))?;
        return Err(not_looked_at(&unreadable));
    }
    if found.is_empty() {
        reporter.text(&format!(
            "there is nothing of {prefix}{} in account {}, {}\n",
            if args.keep_data { " but what --keep-data keeps" } else { "" },
            cx.aws.account,
            cx.aws.region
        ));
        reporter.document(&run_report(&place, plan, None, seconds()))?;
        return Ok(exit_code::DONE);
    }
    reporter.plan(&plan, &place);
    if show_refusals(&plan, reporter) {
        reporter.document(&run_report(&place, plan, None, seconds()))?;
        return Err(Shown.into());
    }
    let question = question(&found, &cx, global.json);
    let asked = Instant::now();
    if !args.yes && !reporter.confirm(&question, &mut interrupt).await? {
        reporter.note("nothing was deleted");
        return Ok(ExitCode::from(exit_code::FAILED));
    }
    // The time in which the question waited for its answer is not the run's.
    let started = started + asked.elapsed();
    let mut delete = async |found: &[OwnedResource]| {
        let tasks = deletion_order::tasks(found);
        let mut progress = reporter.progress(tasks.iter().map(|task| task.node.as_str()));
        let show = &mut |event: apply::Event<'_>| progress.show(&event);
        let mut ended = apply::run(&tasks, &cx, usize::from(global.parallelism), &mut interrupt, show).await;
        let critical_path = deletion_order::critical_path(&tasks, &ended);
        deletion_order::conclude(found, &mut ended);
        (ended, critical_path)
    };
    let (mut ended, critical_path) = delete(&found).await;
    let mut left = None;
    while ended.iter().all(|end| matches!(end.outcome, Outcome::Done)) {
        let mut search = left_over(&cx, &look, &found).await?;
        let late: Vec<_> = search.owned.extract_if(.., |left| !left.is_among(&found)).collect();
        // What was just made is not in every list yet: now that it is, it goes like the rest.
        if late.is_empty() || !(args.yes || late.iter().all(|late| late.contents.is_none())) {
            search.owned.extend(late);
            left = Some(search);
            break;
        }
        plan.steps.extend(late.iter().map(deletion));
        ended.extend(delete(&late).await.0);
        found.extend(late);
    }
    let report = run_report(&place, plan, Some(&ended), started.elapsed().as_secs_f64());
    reporter.run(&report.waited_for(critical_path))?;
    let code = conclude(&ended, &interrupt, reporter)?;
    let left = match left {
        Some(left) => left,
        None => look().await?,
    };
    if !left.owned.is_empty() {
        let labels: Vec<_> = left.owned.iter().map(OwnedResource::label).collect();
        return Err(Hint::error(format!("still there: {}", labels.join(", ")), "run the same command again"));
    }
    if left.unreadable.is_empty() { Ok(code) } else { Err(not_looked_at(&left.unreadable)) }
}

/// Refuses to take down from here what belongs to the pipeline's own region, while that is there.
fn check_home(cx: &Cx, found: &[OwnedResource]) -> anyhow::Result<()> {
    let elsewhere: BTreeSet<&str> = found.iter().filter_map(|resource| resource.region.as_deref()).collect();
    let is_guest =
        |resource: &&OwnedResource| resource.region.is_none() && region_of(&resource.node) == Some(&cx.aws.region);
    match found.iter().find(is_guest) {
        Some(guest) if !elsewhere.is_empty() => Err(Hint::error(
            format!(
                "{} is in {} for the sake of a pipeline that is itself in another region",
                guest.label(),
                cx.aws.region
            ),
            format!("pass --region with that one: {}", elsewhere.into_iter().collect::<Vec<_>>().join(" or ")),
        )),
        _ => Ok(()),
    }
}

/// What is left, or appears only now, of what was not found before. A list may show for a while what is gone.
async fn left_over(
    cx: &Cx,
    look: &impl AsyncFn() -> anyhow::Result<Search>,
    found: &[OwnedResource],
) -> anyhow::Result<Search> {
    let mut search = look().await?;
    if search.owned.iter().all(|left| left.is_among(found)) {
        search.owned = until_unfound(cx, search.owned).await?;
    }
    Ok(search)
}

/// The error for resources that may be the pipeline's: they were left alone, since their tags could not be read.
fn not_looked_at(unreadable: &[UnreadableResource]) -> anyhow::Error {
    let each: Vec<_> = unreadable.iter().map(|resource| format!("{}: {}", resource.label(), resource.error)).collect();
    Hint::error(
        format!("could not look at what has a name like this pipeline's, and so left it alone: {}", each.join("; ")),
        "allow the caller to read its tags, and run the same command again; `streamkit policy` prints what is needed",
    )
}

/// The question before the deletion. What each of them holds is said by the plan above it, and where that is not shown
/// (`--json`), here.
fn question(found: &[OwnedResource], cx: &Cx, json: bool) -> String {
    let holding = found.iter().filter(|resource| resource.contents.is_some()).count();
    let data = if holding == 0 { String::new() } else { format!(" and the data in {holding} of them,") };
    let told = found.iter().filter(|_| json).filter_map(|resource| Some((resource, resource.contents.as_ref()?)));
    let told: Vec<_> =
        told.map(|(resource, contents)| format!("{}: {contents} will be deleted\n", resource.label())).collect();
    let told = told.concat();
    format!("{told}delete these {} resources{data} in account {}, {}?", found.len(), cx.aws.account, cx.aws.region)
}

/// The pipeline whose resources are to be deleted, and where its stage may be.
fn target(args: &Args, global: &Global) -> anyhow::Result<(Naming, Option<Pins>)> {
    let stage = checked_stage(global)?;
    if let Some(name) = &args.name {
        if let Some(why) = spec::mistake_in_name(name) {
            return Err(Usage(format!("`{name}` can't be a pipeline's name: {why}")).into());
        }
        return Ok((Naming { pipeline: name.clone(), stage }, None));
    }
    let choice = StageChoice { name: stage.as_deref(), required: true };
    let Loaded { spec, pins, .. } =
        load_spec(&args.spec, choice, "name the pipeline file, or the pipeline with --name")?;
    Ok((Naming { pipeline: spec.name.get_ref().clone(), stage }, pins))
}
