//! `streamkit check`: what is wrong with a spec and what would surprise, without asking AWS anything.

use std::process::ExitCode;

use serde_json::json;

use super::session::{NAME_A_SPEC, SpecArgument, checked_stage, load_spec};
use crate::options::Global;
use crate::report::{Reporter, exit_code};
use crate::spec::{Loaded, StageChoice};

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
    let spec = args.spec.path();
    let choice = StageChoice { name: stage.as_deref(), required: false };
    let Loaded { advices, .. } = load_spec(&spec, choice, NAME_A_SPEC)?;
    reporter.advice(&advices);
    let count = advices.all.len();
    let said = match count {
        0 => "valid".to_owned(),
        1 => "valid; 1 warning".to_owned(),
        _ => format!("valid; {count} warnings"),
    };
    reporter.text(&format!("{}: {said}\n", spec.display()));
    reporter.document(&json!({ "spec": spec, "warnings": advices.warnings() }))?;
    Ok(if args.strict && count > 0 { ExitCode::from(exit_code::FAILED) } else { exit_code::DONE })
}
