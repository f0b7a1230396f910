//! `streamkit export`: the pipeline in the language of another tool, which takes it over.

mod cloudformation;
mod terraform;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::failure::Hint;
use crate::options::Global;
use crate::plan::{Action, Plan, Step};
use crate::report::Reporter;

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
    for (name, text) in files {
        let path = folder.join(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        match written {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                anyhow::bail!("{} has just been made by somebody else", path.display());
            }
            other => other.with_context(|| format!("writing {}", path.display()))?,
        }
    }
    Ok(())
}
