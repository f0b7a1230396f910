//! `streamkit check`: what is wrong with a spec and what would surprise, without asking AWS anything.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;
use tokio::runtime::Handle;

use super::session::{NAME_A_SPEC, SpecArgument, checked_stage, load_spec};
use crate::aws::{Clients, Connection, Credentials};
use crate::options::Global;
use crate::package::{Architecture, Code, Origin, Target};
use crate::pipeline::{Parts, Pipeline, over_limit};
use crate::report::{Reporter, exit_code};
use crate::spec::{Finding, Findings, Function, Loaded, Naming, Spec, StageChoice};

/// An account and a region whose names are as long as any: only these are not known yet.
const ACCOUNT: &str = "000000000000";
const REGION: &str = "ap-southeast-1";

/// Check a pipeline file for mistakes and for what would surprise, without asking AWS
///
/// Each warning has an id. `[lint] allow` in the file silences it by that id, everywhere or, as in
/// `no-bisect:function.processor`, in one section.
///
/// Example: streamkit check pipelines/retail-events.toml --strict
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
    /// Exit with 1 when there is any warning
    #[arg(long)]
    strict: bool,
}

pub(crate) fn run(args: &Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let stage = checked_stage(global)?;
    let path = args.spec.path();
    let choice = StageChoice { name: stage.as_deref(), required: false };
    let Loaded { spec, advices, .. } = load_spec(&path, choice, NAME_A_SPEC)?;
    let all = Handle::current().block_on(over_limits(&spec, stage))?;
    if !all.is_empty() {
        return Err(Findings { path, text: advices.text, all }.into());
    }
    reporter.advice(&advices);
    let count = advices.all.len();
    let said = match count {
        0 => "valid".to_owned(),
        1 => "valid; 1 warning".to_owned(),
        _ => format!("valid; {count} warnings"),
    };
    reporter.text(&format!("{}: {said}\n", path.display()));
    reporter.document(&json!({ "spec": path, "warnings": advices.warnings() }))?;
    Ok(if args.strict && count > 0 { ExitCode::from(exit_code::FAILED) } else { exit_code::DONE })
}

/// What AWS would refuse of functions and their roles. Asks AWS nothing.
async fn over_limits(spec: &Spec, stage: Option<String>) -> anyhow::Result<Vec<Finding>> {
    let connection = Connection {
        region: Some(REGION.to_owned()),
        account: Some(ACCOUNT.to_owned()),
        credentials: Credentials::Local,
        ..Connection::default()
    };
    let aws = Clients::connect(&connection).await?;
    let naming = Naming { pipeline: spec.name.get_ref().clone(), stage };
    // What the functions run is of no interest here.
    let code = |_: &Function, _: Architecture| Arc::new(Code::new(PathBuf::new(), Origin::Linked, Target::Host));
    let pipeline = Pipeline::build(&Parts { spec, naming: &naming, aws: &aws, architecture: None, code: &code });
    let section = |node: &str| spec.function.keys().find(|name| node.split('.').nth(1) == Some(name.get_ref()));
    let finding = |node| {
        let refusal = over_limit(node)?;
        let span = section(&node.id)?.span();
        Some(Finding::new(span, refusal.why).help(refusal.hint))
    };
    // What is in several regions has one section.
    Ok(pipeline.nodes.iter().filter(|node| node.resource.region().is_none()).filter_map(finding).collect())
}
