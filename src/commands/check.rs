//! `streamkit check`: what is wrong with specs and what would surprise, without asking AWS anything.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;
use tokio::runtime::Handle;

use super::session::{NAME_A_SPEC, SPEC, checked_stage, load_spec};
use crate::aws::{Clients, Connection, Credentials};
use crate::failure::Usage;
use crate::options::Global;
use crate::package::{Architecture, Code, Origin, Target};
use crate::pipeline::{Parts, Pipeline, over_limit};
use crate::report::{CheckedFile, Reporter, check_report, exit_code, findings_report, github_annotations, sarif};
use crate::spec::{Finding, Findings, Function, Loaded, Naming, Spec, StageChoice};

/// An account and a region whose names are as long as any: only these are not known yet.
const ACCOUNT: &str = "000000000000";
const REGION: &str = "ap-southeast-1";

/// Check pipeline files for mistakes and for what would surprise, without asking AWS
///
/// Each warning has an id. `[lint] allow` in the file silences it by that id, everywhere or, as in
/// `no-bisect:function.processor`, in one section.
///
/// Example: streamkit check pipelines/*.toml --strict
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The pipeline files [default: streamkit.toml]
    #[arg(value_name = "SPEC")]
    specs: Vec<PathBuf>,
    /// Exit with 1 when there is any warning
    #[arg(long)]
    strict: bool,
    /// On stdout: text for people, a SARIF 2.1.0 log for code scanning, or annotations of GitHub Actions
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Sarif,
    Github,
}

pub(crate) fn run(args: &Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    if global.json && args.format != Format::Text {
        return Err(Usage("--json and --format both say what is printed: leave one of them out".to_owned()).into());
    }
    let stage = checked_stage(global)?;
    let only = [PathBuf::from(SPEC)];
    let paths = if args.specs.is_empty() { &only[..] } else { &args.specs };
    let files = paths.iter().map(|path| checked(path, stage.as_deref())).collect::<anyhow::Result<Vec<_>>>()?;
    for file in &files {
        match file {
            CheckedFile::Correct(advices) => {
                reporter.advice(advices);
                let said = match advices.all.len() {
                    0 => "valid".to_owned(),
                    1 => "valid; 1 warning".to_owned(),
                    count => format!("valid; {count} warnings"),
                };
                if args.format == Format::Text {
                    reporter.text(&format!("{}: {said}\n", advices.path.display()));
                }
            }
            CheckedFile::Mistaken(findings) => reporter.mistakes(findings),
        }
    }
    let code = exit_code_of(&files, args.strict);
    match (args.format, &files[..]) {
        (Format::Sarif, _) => reporter.data(&format!("{:#}\n", sarif(&files))),
        (Format::Github, _) => reporter.data(&github_annotations(&files)),
        (Format::Text, [CheckedFile::Correct(advices)]) => {
            reporter.document(&json!({ "spec": advices.path, "warnings": advices.warnings() }))?;
        }
        (Format::Text, [CheckedFile::Mistaken(findings)]) => reporter.document(&findings_report(findings, code))?,
        (Format::Text, _) => reporter.document(&check_report(&files, code))?,
    }
    Ok(ExitCode::from(code))
}

fn exit_code_of(files: &[CheckedFile], strict: bool) -> u8 {
    let surprises = |file: &CheckedFile| matches!(file, CheckedFile::Correct(advices) if !advices.all.is_empty());
    if files.iter().any(|file| matches!(file, CheckedFile::Mistaken(_))) {
        exit_code::USAGE
    } else if strict && files.iter().any(surprises) {
        exit_code::FAILED
    } else {
        0
    }
}

/// Looks at one file.
///
/// # Errors
/// It can't be read, or its stages are not what was asked for.
fn checked(path: &Path, stage: Option<&str>) -> anyhow::Result<CheckedFile> {
    let choice = StageChoice { name: stage, required: false };
    let Loaded { spec, advices, .. } = match load_spec(path, choice, NAME_A_SPEC) {
        Ok(loaded) => loaded,
        Err(error) => return Ok(CheckedFile::Mistaken(error.downcast::<Findings>()?)),
    };
    let all = Handle::current().block_on(over_limits(&spec, stage.map(str::to_owned)))?;
    if all.is_empty() {
        return Ok(CheckedFile::Correct(advices));
    }
    Ok(CheckedFile::Mistaken(Findings { path: path.to_owned(), text: advices.text, all }))
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
