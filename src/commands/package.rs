//! `streamkit package`: builds the functions' code and writes the zip file that `--package FILE.zip` takes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap_complete::ArgValueCompleter;
use serde_json::json;

use super::origin::{Origins, SharedPackage, packages};
use super::session::{NAME_A_SPEC, Packaging, SpecArgument, checked_stage, load_spec};
use crate::candidates::functions;
use crate::failure::{Hint, Usage};
use crate::home::Home;
use crate::lock::locked;
use crate::options::Global;
use crate::package::{Code, Target, write_whole};
use crate::report::{Reporter, exit_code};
use crate::spec::{self, Loaded, StageChoice};

/// Build the functions' code once, as a zip file that every stage can be given
///
/// Asks AWS nothing. With --local it builds for this machine.
///
/// Example: streamkit package pipelines/retail-events.toml -o retail.zip && streamkit up --stage prod --package retail.zip
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
    /// Where to write the zip file
    #[arg(short, long, value_name = "FILE.zip")]
    output: PathBuf,
    /// The function whose code it is, where the functions have different code
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(functions))]
    function: Option<String>,
}

pub(crate) async fn run(args: &Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    if !spec::is_zip(&args.output) {
        return Err(Usage(format!(
            "`{}` does not end in .zip, and `--package` takes nothing else",
            args.output.display()
        ))
        .into());
    }
    let path = args.spec.path();
    let stage = checked_stage(global)?;
    let choice = StageChoice { name: stage.as_deref(), required: false };
    let Loaded { spec, .. } = load_spec(&path, choice, NAME_A_SPEC)?;
    let origins = Origins::new(&spec, path.parent().unwrap_or(Path::new("")), &Packaging::Built, global.local)?;
    let SharedPackage { origin, architecture, functions } =
        chosen(packages(&spec, &origins), args.function.as_deref())?;
    let target = if global.local { Target::Host } else { Target::Lambda(architecture) };
    let code = Code::new(Home::find()?.cache, origin, target);
    let built = {
        let waiting = Mutex::new(reporter.waiting());
        let note = |text: &str| locked(&waiting)(text);
        code.package(&note).await?
    };
    let (zip, code_sha256) = (&built.package.zip, &built.package.sha256);
    write_whole(&args.output, zip).with_context(|| format!("writing the package to {}", args.output.display()))?;
    let sha256 = hex::encode(STANDARD.decode(code_sha256)?);
    reporter.text(&format!(
        "{}: the code of {}, {} bytes, SHA-256 {sha256}\n",
        args.output.display(),
        functions.join(", "),
        zip.len()
    ));
    reporter.document(&json!({
        "path": args.output,
        "bytes": zip.len(),
        "sha256": sha256,
        // As Lambda says it.
        "code_sha256": code_sha256,
        // What it was made from, as the tag `streamkit:code` has it where no zip file is named.
        "hash": built.hash,
        "architecture": architecture.name(),
        "functions": functions,
    }))?;
    Ok(exit_code::DONE)
}

/// The only package, or that of the named function.
fn chosen(packages: Vec<SharedPackage>, function: Option<&str>) -> anyhow::Result<SharedPackage> {
    let names = packages.iter().map(|package| package.functions.join(" and ")).collect::<Vec<_>>().join("; ");
    let several = packages.len() > 1;
    let wanted = |package: &SharedPackage| function.is_none_or(|name| package.functions.iter().any(|one| one == name));
    let mut found = packages.into_iter().filter(wanted);
    match (found.next(), function) {
        (None, None) => Err(Usage("this pipeline has no function, so there is no code to pack".to_owned()).into()),
        (None, Some(name)) => {
            Err(Usage(format!("there is no function `{name}` in this pipeline; there is {names}")).into())
        }
        (Some(_), None) if several => {
            Err(Hint::usage(format!("these functions have different code: {names}"), "choose one with --function NAME"))
        }
        (Some(package), _) => Ok(package),
    }
}
