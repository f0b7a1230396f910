//! `streamkit graph`: the pipeline as a picture.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::session::{CodeArgument, Input, Session, SpecArgument, Whose};
use crate::daemon::Start;
use crate::observe::{Allowed, observe};
use crate::options::Global;
use crate::picture::{dot, mermaid, svg};
use crate::report::{Reporter, exit_code};

/// Draw the pipeline: what flows from where to where, under which filters, and what each function may do
///
/// Asks AWS nothing, unless with --plan: then it shows what `up` would create (+), change (~), replace (±) and delete (-).
///
/// Example: streamkit graph pipelines/retail-events.toml --format svg -o retail.svg
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
    #[command(flatten)]
    code: CodeArgument,
    /// mermaid: for GitHub and other Markdown; dot: for Graphviz; svg: an image
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "mermaid")]
    format: Format,
    /// Write to this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Show what `up` would do with each resource
    #[arg(long)]
    plan: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Mermaid,
    Dot,
    Svg,
}

pub(crate) async fn run(args: &Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let input = Input::new(&args.spec, &args.code, global)?;
    let session = if args.plan {
        Session::open(&input, global, reporter, Start::IfNeeded).await?
    } else {
        Session::open_in(&input, global, reporter, Start::Never, Whose::Any).await?
    };
    let plan = if args.plan {
        let allowed = Allowed { replace: Vec::new(), delete: Vec::new() };
        Some(observe(&session.cx, &session.pipeline, &allowed, reporter.waiting()).await?.plan)
    } else {
        None
    };
    let drawing = session.drawing(plan.as_ref());
    let text = match args.format {
        Format::Mermaid => mermaid(&drawing),
        Format::Dot => dot(&drawing),
        Format::Svg => svg(&drawing),
    };
    match &args.output {
        Some(path) => {
            fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
            reporter.note(&format!("the picture is in {}", path.display()));
        }
        None => reporter.text(&text),
    }
    reporter.document(&drawing)?;
    Ok(exit_code::DONE)
}
