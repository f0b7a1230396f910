//! `streamkit down`: takes the pipeline away and looks whether anything is left.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args as ClapArgs;

use super::session::{checked_stage, connect, load_spec, owner};
use super::up::{conclude, show_refusals};
use crate::apply::{self, Task};
use crate::aws::Tags;
use crate::cli::Global;
use crate::daemon::{self, Start};
use crate::failure::{Hint, Shown, Usage};
use crate::graph::{Need, Until};
use crate::home::Home;
use crate::interrupt::Interrupt;
use crate::observe::deletion;
use crate::plan::{Action, Plan};
use crate::report::{Reporter, exit_code, run_report};
use crate::resources::{Cx, Leftover, Type, leftovers};
use crate::spec::{self, Naming};

/// Delete everything that carries the pipeline's tags, then look again
///
/// Works from the spec, or from the pipeline's name alone. Says what holds data before it asks.
///
/// Example: streamkit down pipelines/retail-events.toml --local --yes
#[derive(Debug, ClapArgs)]
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
}

#[expect(clippy::large_futures, reason = "see `cli::run`")]
pub(crate) async fn run(
    args: &Args,
    global: &Global,
    reporter: &Reporter,
    mut interrupt: Interrupt,
) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let (naming, functions) = target(args, global)?;
    if global.local && daemon::find(&Home::find()?).await.is_none() {
        reporter.text("no embedded AWS is running, so nothing is left\n");
        let nothing = run_report(
            &naming.pipeline,
            naming.stage.as_deref(),
            Plan::default(),
            None,
            started.elapsed().as_secs_f64(),
        );
        reporter.document(&nothing)?;
        return Ok(exit_code::DONE);
    }
    let aws = interrupt.unless(connect(global, reporter, Start::Never)).await?;
    let cx = Cx::new(aws, owner(&naming));
    let found = interrupt.unless(leftovers(&cx, &naming.prefix(), &functions, &BTreeSet::new())).await?;
    let plan = Plan { steps: found.iter().map(deletion).collect(), ..Plan::default() };
    let (pipeline, stage) = (naming.pipeline.clone(), naming.stage.clone());
    let seconds = || started.elapsed().as_secs_f64();
    if found.is_empty() {
        reporter.text(&format!(
            "nothing of {} is left in account {}, {}\n",
            naming.prefix(),
            cx.aws.account,
            cx.aws.region
        ));
        reporter.document(&run_report(&pipeline, stage.as_deref(), plan, None, seconds()))?;
        return Ok(exit_code::DONE);
    }
    reporter.plan(&plan);
    if show_refusals(&plan, reporter) {
        reporter.document(&run_report(&pipeline, stage.as_deref(), plan, None, seconds()))?;
        return Err(Shown.into());
    }
    let question = format!("delete these {} resources in account {}, {}?", found.len(), cx.aws.account, cx.aws.region);
    if !args.yes && !reporter.confirm(&question, &mut interrupt).await? {
        reporter.note("nothing was deleted");
        return Ok(ExitCode::from(exit_code::FAILED));
    }
    let tasks = tasks(&found);
    let mut progress = reporter.progress(tasks.iter().map(|task| task.node.as_str()));
    let ended =
        apply::run(&tasks, &cx, usize::from(global.parallelism), &mut interrupt, &mut |event| progress.show(&event))
            .await;
    drop(progress);
    let report = run_report(&pipeline, stage.as_deref(), plan, Some(&ended), seconds());
    reporter.run(&report)?;
    let code = conclude(&ended, &interrupt, reporter)?;
    let left = leftovers(&cx, &naming.prefix(), &functions, &BTreeSet::new()).await?;
    if left.is_empty() {
        return Ok(code);
    }
    let labels: Vec<_> = left.iter().map(|leftover| leftover.resource.label()).collect();
    Err(Hint::error(format!("still there: {}", labels.join(", ")), "run the same command again"))
}

/// Whose resources to delete.
fn target(args: &Args, global: &Global) -> anyhow::Result<(Naming, BTreeSet<String>)> {
    let stage = checked_stage(global)?;
    if let Some(name) = &args.name {
        if let Some(why) = spec::mistake_in_name(name) {
            return Err(Usage(format!("`{name}` can't be a pipeline's name: {why}")).into());
        }
        return Ok((Naming { pipeline: name.clone(), stage }, BTreeSet::new()));
    }
    let spec = load_spec(&args.spec, stage.as_deref(), "name the pipeline file, or the pipeline with --name")?;
    let naming = Naming { pipeline: spec.name.get_ref().clone(), stage };
    let functions = spec.function.keys().map(|key| naming.physical(key.get_ref())).collect();
    Ok((naming, functions))
}

/// A mapping goes before its function, and both before what they read, write or log to.
fn tasks(found: &[Leftover]) -> Vec<Task<'_>> {
    let waits_for = |kind: Type| -> &[Type] {
        match kind {
            Type::Dashboard | Type::Alarm | Type::Mapping => &[],
            Type::Function | Type::Consumer => &[Type::Mapping],
            Type::Stream => &[Type::Mapping, Type::Function, Type::Consumer],
            _ => &[Type::Mapping, Type::Function],
        }
    };
    found
        .iter()
        .map(|leftover| {
            let first = waits_for(leftover.resource.kind());
            let before = found.iter().enumerate().filter(|(_, other)| first.contains(&other.resource.kind()));
            Task {
                node: leftover.node.clone(),
                action: Action::Delete,
                resource: &leftover.resource,
                tags: Tags::new(),
                needs: before.map(|(node, _)| Need { node, until: Until::Ready }).collect(),
                unsettled: false,
            }
        })
        .collect()
}
