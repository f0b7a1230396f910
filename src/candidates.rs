//! What completes an argument: names of the pipeline file, for the shells of `streamkit completions`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Read as _;
use std::path::PathBuf;

use clap_complete::CompletionCandidate;

/// A pipeline file that is larger is not read while somebody waits for a completion.
const MOST_BYTES: u64 = 1 << 20;

/// The stages of the pipeline file.
pub(crate) fn stages(current: &OsStr) -> Vec<CompletionCandidate> {
    beginning_with(current, section("stage"))
}

/// The functions of the pipeline file.
pub(crate) fn functions(current: &OsStr) -> Vec<CompletionCandidate> {
    beginning_with(current, section("function"))
}

/// The nodes of the pipeline file that `--allow-replace` and `--allow-delete` may name.
pub(crate) fn nodes(current: &OsStr) -> Vec<CompletionCandidate> {
    let kinds = ["stream", "table", "queue", "bucket", "topic", "function", "alarm"];
    let nodes = kinds.iter().flat_map(|kind| section(kind).into_iter().map(move |name| format!("{kind}.{name}")));
    beginning_with(current, nodes)
}

/// Those of the names that begin like this.
pub(crate) fn beginning_with(
    current: &OsStr,
    names: impl IntoIterator<Item = impl Into<String>>,
) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let names = names.into_iter().map(Into::into).filter(|name: &String| name.starts_with(&*current));
    names.map(CompletionCandidate::new).collect()
}

/// The names of the sections of a kind, in the pipeline file that the command line names so far, or in the default one. None where it
/// can't be read: there is nobody to tell.
fn section(kind: &str) -> Vec<String> {
    let is_spec = |word: &PathBuf| word.extension().is_some_and(|extension| extension == "toml");
    let path = std::env::args_os().map(PathBuf::from).rfind(is_spec).unwrap_or_else(|| "streamkit.toml".into());
    let read = || -> Option<toml::Table> {
        let file = std::fs::File::open(&path).ok().filter(|file| file.metadata().is_ok_and(|file| file.is_file()))?;
        let mut text = String::new();
        file.take(MOST_BYTES).read_to_string(&mut text).ok()?;
        text.parse().ok()
    };
    let sections = read().and_then(|file| Some(file.get(kind)?.as_table()?.keys().cloned().collect::<BTreeSet<_>>()));
    sections.into_iter().flatten().collect()
}
