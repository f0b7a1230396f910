//! `streamkit init`: a commented spec that works, and a crate with a handler of one's own.

mod handler;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap_complete::{ArgValueCompleter, CompletionCandidate};
use include_dir::{Dir, include_dir};
use serde_json::json;
use streamkit_recipes as recipes;

use super::output_file::{exists, write_new};
use crate::candidates::beginning_with;
use crate::failure::Hint;
use crate::report::{Reporter, exit_code};
use crate::spec::did_you_mean;

/// The schema that lies beside a pipeline file: its first line names it, and so whoever gets the two has it, offline too.
const SCHEMA: &str = "streamkit.schema.json";

/// The pipelines that come with streamkit: each is the template of its recipe.
static PIPELINES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/pipelines");

/// Write a commented pipeline file to start from
///
/// Beside it comes streamkit.schema.json, if it is not there yet: editors complete and check the file by it, without a network.
///
/// With --handler DIR it writes a crate with a handler of your own into this folder, with all that it is built from, and the
/// pipeline for it. For a folder that is there already it renews the library in it.
///
/// Example: streamkit init retail
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// A recipe or one of the pipelines; without one, all are listed
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(templates))]
    name: Option<String>,
    /// The same, said as other commands say it
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    recipe: Option<String>,
    /// Write a crate with a handler of your own to this folder, and its pipeline
    #[arg(long, value_name = "DIR", conflicts_with_all = ["name", "recipe"])]
    handler: Option<PathBuf>,
    /// Where to write
    #[arg(short, long, default_value = "streamkit.toml")]
    output: PathBuf,
}

pub(crate) fn run(args: &Args, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    if let Some(folder) = &args.handler {
        return with_handler(folder, &args.output, reporter);
    }
    let Some(name) = args.name.as_ref().or(args.recipe.as_ref()) else {
        let mut text = String::from("recipes:\n");
        for recipe in recipes::all() {
            let _ = writeln!(text, "  {:<12} {}", recipe.name(), recipe.about());
        }
        let _ = writeln!(text, "pipelines: {}", names().collect::<Vec<_>>().join(", "));
        text.push_str("write one with: streamkit init NAME\n");
        reporter.text(&text);
        let list: Vec<_> =
            recipes::all().iter().map(|recipe| json!({ "recipe": recipe.name(), "about": recipe.about() })).collect();
        reporter.document(&list)?;
        return Ok(exit_code::DONE);
    };
    let Some(template) = template(name) else {
        let known = known();
        let hint = match did_you_mean(name, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("choose one of {}", known.into_iter().collect::<Vec<_>>().join(", ")),
        };
        return Err(Hint::usage(format!("there is no recipe or pipeline `{name}`"), hint));
    };
    // That nobody hears of the alarms is for the new pipeline's owner to know.
    let text = template.split("\n[lint]\n").next().unwrap_or(template);
    let schema = write_pipeline(&args.output, text)?;
    reporter.text(&format!("wrote {0}; next: streamkit up {0} --local\n", args.output.display()));
    reporter.document(&json!({ "recipe": name, "path": args.output, "schema": schema }))?;
    Ok(exit_code::DONE)
}

/// Writes a pipeline and, beside it, the schema, whose path it returns.
fn write_pipeline(output: &Path, text: &str) -> anyhow::Result<PathBuf> {
    write_new(output, &format!("#:schema ./{SCHEMA}\n{}", for_file(text, output)))?;
    let schema = output.with_file_name(SCHEMA);
    // It may be of a newer streamkit, or belong to other files too.
    if !schema.exists() {
        write_new(&schema, &super::schema::of_spec()?)?;
    }
    Ok(schema)
}

/// The text of a pipeline whose comments say commands for this file.
fn for_file(text: &str, output: &Path) -> String {
    let file = output.display().to_string();
    let file = if file.contains(char::is_whitespace) { format!("\"{file}\"") } else { file };
    let mend = |line: &str| match (line.find(" pipelines/"), line.find(".toml")) {
        (Some(start), Some(end)) if line.starts_with('#') && line.contains("streamkit ") => {
            format!("{} {file}{}", &line[..start], &line[end + ".toml".len()..])
        }
        _ => line.to_owned(),
    };
    text.lines().map(|line| mend(line) + "\n").collect()
}

/// Writes a crate and its pipeline.
fn with_handler(folder: &Path, output: &Path, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let shown = folder.display();
    if handler::is_there(folder)? {
        handler::renew(folder)?;
        reporter.text(&format!("renewed the library of {shown}; nothing else was changed\n"));
        reporter.document(&json!({ "handler": folder, "renewed": true }))?;
        return Ok(exit_code::DONE);
    }
    // Before anything is written: both, or none.
    if output.exists() {
        return Err(exists(output));
    }
    handler::write(folder)?;
    let schema = write_pipeline(output, &handler::pipeline(folder, output)?)?;
    reporter.text(&format!("wrote the crate {shown} and {0}; next: streamkit up {0} --local\n", output.display()));
    reporter.document(&json!({ "handler": folder, "renewed": false, "path": output, "schema": schema }))?;
    Ok(exit_code::DONE)
}

fn templates(current: &OsStr) -> Vec<CompletionCandidate> {
    beginning_with(current, known())
}

/// What `init` can write. Some pipelines have the name of their recipe.
fn known() -> BTreeSet<&'static str> {
    recipes::all().iter().map(|recipe| recipe.name()).chain(names()).collect()
}

/// The pipeline of this file name, or of those with a function of the recipe the one with the fewest functions.
fn template(name: &str) -> Option<&'static str> {
    if let Some(file) = PIPELINES.get_file(format!("{name}.toml")) {
        return file.contents_utf8();
    }
    let names = format!("recipe = \"{name}\"");
    let lines = |text: &str, start: &str| text.lines().filter(|line| line.starts_with(start)).count();
    let of_recipe = |text: &&str| lines(text, &names) > 0;
    PIPELINES
        .files()
        .filter_map(|file| file.contents_utf8())
        .filter(of_recipe)
        .min_by_key(|text| lines(text, "recipe = "))
}

/// The names of all pipelines that come with streamkit.
fn names() -> impl Iterator<Item = &'static str> {
    PIPELINES.files().filter_map(|file| file.path().file_stem()?.to_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_STAGE: crate::spec::StageChoice<'_> = crate::spec::StageChoice { name: None, required: true };

    #[test]
    fn every_pipeline_is_a_correct_spec_and_can_be_chosen_by_its_name() {
        assert!(names().count() >= 5);
        for name in names() {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("streamkit.toml");
            write_new(&path, template(name).unwrap()).unwrap();
            if let Err(error) = crate::spec::load(&path, NO_STAGE) {
                panic!("{name}: {error:#?}");
            }
        }
    }

    #[test]
    fn comments_say_commands_for_the_file_that_is_written() {
        for name in names() {
            let text = for_file(template(name).unwrap(), Path::new("my streams.toml"));
            let commands = text.lines().filter(|line| line.starts_with('#') && line.contains("  streamkit "));
            assert!(commands.clone().count() >= 3, "{name}");
            assert!(commands.clone().all(|line| line.contains(" \"my streams.toml\"")), "{name}: {text}");
            assert_eq!(text.lines().count(), template(name).unwrap().lines().count());
        }
    }

    /// What these write, or what they read, is another recipe's, so they never come alone.
    const BESIDE_OTHERS: [&str; 3] = ["archive", "anomalies", "mirror"];

    #[test]
    fn every_recipe_has_a_template_that_is_a_correct_spec() {
        for recipe in recipes::all() {
            let text = template(recipe.name()).unwrap_or_else(|| panic!("no pipeline uses {}", recipe.name()));
            let others = text.lines().filter(|line| line.starts_with("recipe = ") && !line.contains(recipe.name()));
            let alone = others.count() == 0;
            assert_eq!(alone, !BESIDE_OTHERS.contains(&recipe.name()), "{} comes with other recipes", recipe.name());
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("streamkit.toml");
            write_new(&path, text).unwrap();
            crate::spec::load(&path, NO_STAGE).unwrap();
            assert!(write_new(&path, text).is_err(), "overwritten");
        }
    }
}
