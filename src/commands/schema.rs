//! `streamkit schema`: what a pipeline file may hold and what commands print, as JSON Schema.

use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use include_dir::{Dir, include_dir};

use crate::report::{Reporter, exit_code};
use crate::spec;

/// The schemas of what commands print. That of the pipeline file is made from its types.
static OUTPUTS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/schemas");

/// The name of the pipeline file's schema.
const SPEC: &str = "spec";

/// Print the JSON Schema of the pipeline file, or of what a command prints with --json
///
/// An editor that knows it completes and checks a pipeline file while it is written. `init` writes it beside
/// the file, as streamkit.schema.json, with the line that editors look for: `#:schema ./streamkit.schema.json`.
/// Write it again after an update of streamkit.
///
/// Example: streamkit schema > streamkit.schema.json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// What to describe: the pipeline file (spec), the file of `plan --out` (saved-plan), what `plan`, `up` and `down` print
    /// (plan), what commands print of a file with mistakes (mistakes), or what another command prints, such as `dlq show` (dlq-show)
    #[arg(value_name = "NAME", default_value = SPEC, value_parser = PossibleValuesParser::new(names()))]
    name: String,
}

fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = OUTPUTS.files().filter_map(|file| file.path().file_stem()?.to_str()).collect();
    names.sort_unstable();
    names
}

pub(crate) fn run(args: &Args, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    match OUTPUTS.get_file(format!("{}.json", args.name)).and_then(|file| file.contents_utf8()) {
        Some(text) if args.name != SPEC => reporter.data(text),
        _ => reporter.data(&of_spec()?),
    }
    Ok(exit_code::DONE)
}

/// The schema of a pipeline file, as text.
pub(super) fn of_spec() -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(&spec::schema())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_of_the_repository_is_the_one_that_is_printed() {
        let file = OUTPUTS.get_file("spec.json").and_then(|file| file.contents_utf8()).unwrap();
        assert!(file == of_spec().unwrap(), "run `cargo run -- schema > schemas/spec.json`");
    }
}
