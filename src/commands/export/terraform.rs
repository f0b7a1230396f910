//! `streamkit export terraform`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::super::session::{Input, Session, SpecArgument};
use super::{conclude, look_at};
use crate::daemon::Start;
use crate::export::{Export, terraform};
use crate::options::Global;
use crate::report::Reporter;

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
    let (live, pending) = look_at(&session, reporter).await?;
    let export = terraform(&session.pipeline, &session.aws, &live);
    conclude(&args.output, &export, &pending, &said(args, &export), reporter)
}

fn said(args: &Args, export: &Export) -> String {
    let mut text = String::new();
    if !export.variables.is_empty() {
        let given: Vec<String> = export.variables.iter().map(|name| format!("TF_VAR_{name}")).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "secrets are variables: set {}", given.join(", "));
    }
    let _ = writeln!(text, "next: cd {} && terraform init && terraform plan", args.output.display());
    text
}
