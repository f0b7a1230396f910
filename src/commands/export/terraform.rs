//! `streamkit export terraform`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::super::session::{Input, Session, SpecArgument};
use super::{Pending, pending, refuse_what_is_not_ours, write};
use crate::daemon::Start;
use crate::export::{Export, look, terraform};
use crate::observe::{Allowed, observe};
use crate::options::Global;
use crate::report::{Reporter, exit_code};

/// Write Terraform's HCL, with `import` blocks for what is there
///
/// `terraform plan` then has resources to import, and nothing to add, change or destroy. Secrets become variables. The code
/// of functions stays what it is.
///
/// Example: streamkit export terraform pipelines/retail-events.toml -o terraform
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
    /// The folder to write to
    #[arg(short, long, value_name = "DIR", default_value = "terraform")]
    output: PathBuf,
}

pub(super) async fn run(args: &Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let session = Session::open(&Input::spec(&args.spec), global, reporter, Start::Never).await?;
    let cx = session.cx.clone().only_looking();
    let observation = observe(&cx, &session.pipeline, &Allowed::default(), reporter.waiting()).await?;
    refuse_what_is_not_ours(&observation.plan)?;
    let pending = pending(&observation.plan);
    let live = look(&cx, &session.pipeline, observation.seen).await?;
    let export = terraform(&session.pipeline, &session.aws, &live);
    write(&args.output, &export.files)?;
    reporter.text(&told(args, &export, &pending));
    reporter.document(&export.document(&args.output, pending.0))?;
    Ok(exit_code::DONE)
}

fn told(args: &Args, export: &Export, pending: &Pending) -> String {
    let mut text = export.told(&args.output);
    text.push_str(&pending.told());
    if !export.variables.is_empty() {
        let given: Vec<String> = export.variables.iter().map(|name| format!("TF_VAR_{name}")).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "secrets are variables: set {}", given.join(", "));
    }
    let _ = writeln!(text, "next: cd {} && terraform init && terraform plan", args.output.display());
    text
}
