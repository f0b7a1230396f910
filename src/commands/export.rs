//! `streamkit export`: the pipeline in the language of another tool, which takes it over.

mod cloudformation;
mod terraform;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use super::output_file::write_new;
use super::session::Session;
use crate::export::{Export, Live, look};
use crate::failure::Hint;
use crate::observe::{Allowed, observe};
use crate::options::Global;
use crate::plan::{Action, Plan, Step};
use crate::report::{Reporter, exit_code};

/// Write the pipeline for another tool, which then takes it over
///
/// Nothing in AWS is changed. The file stays what it is: `up` goes on to work, but two tools should not have one pipeline for long.
///
/// Example: streamkit export terraform -o terraform && cd terraform && terraform init && terraform plan
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Debug, clap::Subcommand)]
enum Tool {
    Terraform(terraform::Args),
    Cloudformation(cloudformation::Args),
}

pub(crate) async fn run(args: &Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    match &args.tool {
        Tool::Terraform(args) => terraform::run(args, global, reporter).await,
        Tool::Cloudformation(args) => cloudformation::run(args, global, reporter).await,
    }
}

/// Somebody else's resources are not to be imported.
fn refuse_what_is_not_ours(plan: &Plan) -> anyhow::Result<()> {
    let mut refused = plan.refusals().filter(|(step, _)| step.action == Action::Unchanged);
    match refused.next() {
        Some((_, refusal)) => Err(Hint::error(refusal.why.clone(), "`streamkit plan` shows what stands in the way")),
        None => Ok(()),
    }
}

/// How many resources are not as the file has them.
struct Pending(usize);

/// Code is not compared: what is exported does not have it.
fn pending(plan: &Plan) -> Pending {
    let of_code =
        |step: &&Step| step.action == Action::Update && step.changes.iter().all(|change| change.field == "code");
    let steps = plan.steps.iter().filter(|step| step.action != Action::Unchanged);
    Pending(steps.filter(|step| !of_code(step)).count())
}

impl Pending {
    fn told(&self) -> String {
        match self.0 {
            0 => String::new(),
            pending => format!(
                "{pending} resources are not as the file has them, and the other tool will find that too: see `streamkit plan`\n"
            ),
        }
    }
}

/// What is there of the pipeline, and how much of it is not as the file has it.
async fn look_at(session: &Session, reporter: &Reporter) -> anyhow::Result<(Vec<Live>, Pending)> {
    let cx = session.cx.clone().only_looking();
    let observation = observe(&cx, &session.pipeline, &Allowed::default(), reporter.waiting()).await?;
    refuse_what_is_not_ours(&observation.plan)?;
    let pending = pending(&observation.plan);
    Ok((look(&cx, &session.pipeline, observation.seen).await?, pending))
}

/// Writes the export into a folder, and tells of it; `says` is what there is to do with it.
fn conclude(
    folder: &Path,
    export: &Export,
    pending: &Pending,
    says: &str,
    reporter: &Reporter,
) -> anyhow::Result<ExitCode> {
    write(folder, &export.files)?;
    reporter.text(&format!("{}{}{says}", export.told(folder), pending.told()));
    reporter.document(&export.document(folder, pending.0))?;
    Ok(exit_code::DONE)
}

/// Writes files into a folder, none over another.
fn write(folder: &Path, files: &BTreeMap<String, String>) -> anyhow::Result<()> {
    for name in files.keys() {
        let path = folder.join(name);
        if path.exists() {
            return Err(Hint::error(
                format!("{} exists already", path.display()),
                "choose another folder with --output, or move the files that are there away",
            ));
        }
    }
    fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
    files.iter().try_for_each(|(name, text)| write_new(&folder.join(name), text))
}
