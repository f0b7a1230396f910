//! `streamkit import`: a pipeline file from what is in AWS.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

use super::output_file::{exists, write_new};
use super::session::{Input, Packaging, Session, connect};
use crate::aws::Owner;
use crate::daemon::Start;
use crate::failure::Usage;
use crate::import::{Gap, Import, compose, discover};
use crate::observe::{Allowed, observe};
use crate::options::Global;
use crate::plan::{Action, Plan};
use crate::report::{Reporter, exit_code};
use crate::resources::Cx;
use crate::spec::mistake_in_name;

/// Write a pipeline file from a live function and what hangs on it
///
/// Follows the function to its source, to what it writes to, to dead letter queues and topics, and to the alarms on any of these.
/// Nothing in AWS is changed. What a file can't say is said, in the file and here. Values of the function's environment that may be
/// secret are not written: the file takes them from variables.
///
/// Example: streamkit import orders-processor -o orders.toml && streamkit plan orders.toml --adopt
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Names of Lambda functions, which are to be in one pipeline
    #[arg(value_name = "FUNCTION", required = true)]
    functions: Vec<String>,
    /// Where to write
    #[arg(short, long, value_name = "FILE", default_value = "streamkit.toml")]
    output: PathBuf,
    /// The pipeline's name, instead of what the names in AWS begin with
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// What `up --adopt` would do with one resource after the import.
#[derive(Debug, Serialize)]
struct Difference {
    node: String,
    action: Action,
    fields: BTreeSet<String>,
}

pub(crate) async fn run(args: &Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    refuse_bad_names(args, global)?;
    // What is there already is found out before anything is asked.
    if args.output.exists() {
        return Err(exists(&args.output));
    }
    let aws = connect(global, reporter, Start::Never).await?;
    let cx = Cx::new(aws, Owner { pipeline: String::new(), stage: None });
    let found = Box::pin(discover(&cx, &args.functions)).await?;
    let import = compose(&cx, found, args.name.as_deref());
    write_new(&args.output, &import.text)?;
    let missing: Vec<&String> = import.secrets.iter().filter(|name| std::env::var_os(name).is_none()).collect();
    let differences = if missing.is_empty() { Some(Box::pin(differences(args, global, reporter)).await) } else { None };
    let (differences, failed) = match differences {
        Some(Ok(differences)) => (Some(differences), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    reporter.text(&told(args, &import, differences.as_deref(), failed.is_some()));
    reporter.document(&json!({
        "path": args.output,
        "pipeline": import.name,
        "sections": import.sections,
        "gaps": import.gaps,
        "variables": import.secrets,
        "differences": differences,
    }))?;
    // The file is there; what is wrong with it is shown as `check` does.
    match failed {
        Some(error) => Err(error),
        None => Ok(exit_code::DONE),
    }
}

fn refuse_bad_names(args: &Args, global: &Global) -> anyhow::Result<()> {
    if global.stage.is_some() {
        return Err(Usage("an imported file has no stages: leave --stage out".to_owned()).into());
    }
    if let Some(name) = &args.name
        && let Some(why) = mistake_in_name(name)
    {
        return Err(Usage(format!("`{name}` can't be a pipeline's name: {why}")).into());
    }
    Ok(())
}

/// What `up --adopt` would change, beside tags.
async fn differences(args: &Args, global: &Global, reporter: &Reporter) -> anyhow::Result<Vec<Difference>> {
    let input = Input { spec: args.output.clone(), packaging: Packaging::Fitting };
    let session = Session::open(&input, global, reporter, Start::Never).await?;
    let cx = session.cx.clone().adopting(true).only_looking();
    let plan = observe(&cx, &session.pipeline, &Allowed::default(), reporter.waiting()).await?.plan;
    Ok(differing(&plan))
}

fn differing(plan: &Plan) -> Vec<Difference> {
    let steps = plan.steps.iter().filter(|step| step.action != Action::Unchanged);
    let differences = steps.map(|step| {
        let fields = step.changes.iter().map(|change| change.field.clone());
        let fields = if step.action == Action::Create { BTreeSet::new() } else { fields.collect() };
        Difference { node: step.node.clone(), action: step.action, fields }
    });
    // Tags are what taking over is about.
    let is_more = |difference: &Difference| {
        difference.action != Action::Update || difference.fields.iter().any(|field| !field.starts_with("tag"))
    };
    differences.filter(is_more).collect()
}

fn told(args: &Args, import: &Import, differences: Option<&[Difference]>, failed: bool) -> String {
    let path = args.output.display();
    let mut text = format!("wrote {path}: the pipeline {}, {} sections\n", import.name, import.sections);
    // Writing to a String cannot fail.
    for Gap { what, why } in &import.gaps {
        let _ = writeln!(text, "not in the file: {what}: {why}");
    }
    for difference in differences.unwrap_or_default() {
        let fields = difference.fields.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let node = &difference.node;
        let _ = match difference.action {
            Action::Create => {
                writeln!(text, "differs: {node} is not there under the file's name: `up` would create it")
            }
            Action::Delete => writeln!(text, "differs: {node} is not in the file: `up` would delete it"),
            Action::Replace => writeln!(text, "differs: {node}: {fields}: `up` would replace it"),
            Action::Update | Action::Unchanged => writeln!(text, "differs: {node}: {fields}: `up` would change it"),
        };
    }
    if !import.secrets.is_empty() {
        let _ = writeln!(
            text,
            "may be secret, so not in the file: set {} before the next command",
            import.secrets.join(", ")
        );
    }
    if differences.is_some_and(<[_]>::is_empty) {
        text.push_str("the file says what AWS has: taking it over changes tags alone\n");
    }
    if failed {
        let _ = writeln!(text, "next: mend the file, until `streamkit check {path}` finds nothing");
    } else {
        let _ = writeln!(text, "next: streamkit plan {path} --adopt");
    }
    text
}
