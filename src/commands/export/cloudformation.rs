//! `streamkit export cloudformation`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::super::policy::account;
use super::super::session::{Input, Session, SpecArgument, Whose};
use super::{Pending, conclude, look_at};
use crate::daemon::Start;
use crate::export::{Export, cloudformation};
use crate::options::Global;
use crate::report::Reporter;

/// Write a CloudFormation template, and the resources that an import change set takes into a stack
///
/// With --account nothing is asked of AWS, and there is only the template. A pipeline in several regions gets one for each.
///
/// Example: streamkit export cloudformation pipelines/retail-events.toml -o cloudformation
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
    /// The folder to write to
    #[arg(short, long, value_name = "DIR", default_value = "cloudformation")]
    output: PathBuf,
    /// The account to write it for, instead of looking at what is there
    #[arg(long, value_name = "ID", value_parser = account)]
    account: Option<String>,
}

pub(super) async fn run(args: &Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let whose = args.account.clone().map_or(Whose::Asked, Whose::Known);
    let session = Session::open_in(&Input::spec(&args.spec), global, reporter, Start::Never, whose).await?;
    let (export, pending) = if args.account.is_some() {
        (cloudformation(&session.pipeline, &session.aws, None), Pending(0))
    } else {
        let (live, pending) = look_at(&session, reporter).await?;
        (cloudformation(&session.pipeline, &session.aws, Some(&live)), pending)
    };
    conclude(&args.output, &export, &pending, &said(args, &export), reporter)
}

fn said(args: &Args, export: &Export) -> String {
    let mut text = String::new();
    if !export.variables.is_empty() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "secrets are parameters: {}", export.variables.join(", "));
    }
    let folder = args.output.display();
    // Each region's stack by itself, the pipeline's own first.
    let ends = export.files.keys().filter_map(|name| name.strip_prefix("template")?.strip_suffix(".json"));
    let mut ends: Vec<&str> = ends.collect();
    ends.sort_by_key(|end| end.len());
    if export.imports > 0 {
        text.push_str("next: put the functions' zip files into a bucket, then\n");
    } else {
        text.push_str("next:\n");
    }
    for end in ends {
        let region = end.strip_prefix('-').map(|region| format!(" --region {region}")).unwrap_or_default();
        let _ = if export.files.contains_key(&format!("resources-to-import{end}.json")) {
            writeln!(
                text,
                "  aws cloudformation create-change-set{region} --change-set-type IMPORT --template-body file://{folder}/template{end}.json \
                 --resources-to-import file://{folder}/resources-to-import{end}.json …"
            )
        } else {
            writeln!(text, "  aws cloudformation deploy{region} --template-file {folder}/template{end}.json …")
        };
    }
    text
}
