//! `streamkit plan`: what `up` would do.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap_complete::ArgValueCompleter;

use super::session::{CodeArgument, Input, Packaging, Session, SpecArgument};
use crate::candidates::nodes;
use crate::cost::{Asset, CostChange, Prices, change};
use crate::daemon::Start;
use crate::home::Home;
use crate::observe::{Allowed, Observation, observe};
use crate::options::Global;
use crate::plan::{Action, Fields, Plan, ResourceKind, region_of};
use crate::report::{Reporter, RunReport, exit_code, run_report};
use crate::resources::{self, Attachment, Cx};
use crate::saved_plan::{PlanOptions, SavedPlan, SpecFile};

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
    /// Write the plan to this file, for `up --plan FILE`; it holds no secrets
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Exit with 3 when there is something to do
    #[arg(long)]
    exit_code: bool,
    /// Plan as `up --adopt` would
    #[arg(long)]
    adopt: bool,
    /// Plan as `up --allow-replace NODE` would
    #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(nodes))]
    allow_replace: Vec<String>,
    /// Plan as `up --allow-delete NODE` would
    #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(nodes))]
    allow_delete: Vec<String>,
}

pub(crate) async fn run(args: &Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let input = Input::new(&args.spec, &args.code, global)?;
    let session = Session::open(&input, global, reporter, Start::IfNeeded).await?;
    reporter.advice(&session.advices);
    let cx = session.cx.clone().adopting(args.adopt);
    let allowed = Allowed { replace: args.allow_replace.clone(), delete: args.allow_delete.clone() };
    let observation = observe(&cx, &session.pipeline, &allowed, reporter.waiting()).await?;
    let cost = cost(&session, &observation)?;
    let plan = observation.plan;
    let place = session.place();
    reporter.plan(&plan, &place);
    reporter.text(&format!("{}\n", cost.line()));
    for (_, refusal) in plan.refusals() {
        reporter.refusal(refusal);
    }
    let attached = attached(&cx, &session, &plan).await;
    reporter.attached(&attached);
    let refused = plan.refusals().next().is_some();
    let changes = !plan.is_empty();
    if let Some(path) = &args.out {
        if refused {
            reporter.note(&format!("{} was not written: `up` would refuse this plan", path.display()));
        } else {
            save(args, &input, &session, &plan, path)?;
            reporter.note(&format!("the plan is in {0}; carry it out with `streamkit up --plan {0}`", path.display()));
        }
    }
    let report = run_report(&place, plan, None, started.elapsed().as_secs_f64());
    let report = RunReport { attached, cost: Some(cost), ..report.warned(session.advices.warnings()) };
    reporter.document(&report)?;
    if refused {
        return Ok(ExitCode::from(exit_code::FAILED));
    }
    Ok(if args.exit_code && changes { ExitCode::from(exit_code::CHANGES) } else { exit_code::DONE })
}

/// What the plan adds to the cost at rest. What it may not touch is in neither sum.
fn cost(session: &Session, observation: &Observation) -> anyhow::Result<CostChange> {
    let (aws, nodes) = (&session.aws, &session.pipeline.nodes);
    let (mut before, mut after, mut unread) = (Vec::new(), Vec::new(), Vec::new());
    for ((node, step), seen) in nodes.iter().zip(&observation.plan.steps).zip(&observation.seen) {
        if step.refused.is_some() {
            continue;
        }
        before.extend(seen.iter().map(|seen| Asset::with(node, aws, seen.fields.clone())));
        after.push(Asset::of(node, aws));
    }
    let gone = observation.plan.steps.iter().skip(nodes.len());
    for step in gone.filter(|step| step.action == Action::Delete && step.refused.is_none()) {
        match step.kind {
            // Orphans are read no further than their tags.
            ResourceKind::Stream | ResourceKind::Table | ResourceKind::Consumer => unread.push(step.node.clone()),
            kind => before.push(Asset {
                node: step.node.clone(),
                kind,
                name: step.name.clone(),
                region: region_of(&step.node).unwrap_or(&aws.region).to_owned(),
                fields: Fields::new(),
            }),
        }
    }
    let regions = session.pipeline.regions().into_iter().chain([aws.region.as_str()]);
    let prices = Prices::load(&Home::find()?, regions)?;
    Ok(change(&before, &after, unread, &aws.region, &prices))
}

/// What others have attached to those resources of the pipeline that exist.
async fn attached(cx: &Cx, session: &Session, plan: &Plan) -> Vec<Attachment> {
    let steps = session.pipeline.nodes.iter().zip(&plan.steps);
    let there = steps.filter(|(_, step)| step.action != Action::Create && step.refused.is_none());
    let nodes: Vec<_> = there.map(|(node, _)| (node.id.as_str(), &node.resource)).collect();
    let own: BTreeSet<(ResourceKind, &str)> = plan.steps.iter().map(|step| (step.kind, step.name.as_str())).collect();
    resources::attached(cx, &nodes, &own).await
}

fn save(args: &Args, input: &Input, session: &Session, plan: &Plan, path: &Path) -> anyhow::Result<()> {
    let options = PlanOptions {
        adopt: args.adopt,
        allow_replace: args.allow_replace.clone(),
        allow_delete: args.allow_delete.clone(),
        package: match &input.packaging {
            Packaging::File(file) => Some(file.clone()),
            _ => None,
        },
        build_package: input.packaging == Packaging::Built,
    };
    let spec = SpecFile::read(&input.spec)?;
    SavedPlan::new(plan, &session.place(), spec, options, session.code_hashes()?).write(path)
}
