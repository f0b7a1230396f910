//! The files that a pipeline is made from, and whether they have changed. They are looked at and not subscribed to: that works on every
//! file system, and for editors that put a new file in the place of the old one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::commands::session::Session;
use crate::package::crate_files;
use crate::resources::Any;

/// Of each file when it was written and how long it is; `None` where there is none.
pub(super) type Stamps = BTreeMap<PathBuf, Option<(SystemTime, u64)>>;

/// The files of a spec, of its functions' code, and of the clone of streamkit that it is in.
pub(super) struct Files {
    spec: PathBuf,
    clone: Option<PathBuf>,
    /// Those of a function whose crate could be read last.
    known: BTreeMap<String, BTreeSet<PathBuf>>,
}

impl Files {
    pub(super) fn new(spec: &Path) -> Self {
        Self { spec: spec.to_owned(), clone: clone_of(spec), known: BTreeMap::new() }
    }

    /// The clone of streamkit, where functions with a recipe may follow its sources.
    pub(super) fn clone_folder(&self) -> Option<&Path> {
        self.clone.as_deref()
    }

    /// How the files are now.
    pub(super) fn stamps(&mut self, session: &Session) -> Stamps {
        let mut stamps = Stamps::from([(self.spec.clone(), stamp(&self.spec))]);
        for node in &session.pipeline.nodes {
            let Any::Function(function) = node.resource.inner() else { continue };
            // A manifest that can't be read now will be when it is mended.
            if let Ok(files) = function.code.files() {
                self.known.insert(node.id.clone(), files);
            }
        }
        if session.pipeline.flows.iter().any(|flow| flow.recipe.is_some())
            && let Some(clone) = &self.clone
            && let Ok(files) = crate_files(&clone.join("handler"))
        {
            self.known.insert(String::new(), files);
        }
        stamps.extend(self.known.values().flatten().map(|path| (path.clone(), stamp(path))));
        stamps
    }

    /// Whether a change of these files is one of the handler or the recipes.
    pub(super) fn is_of_clone(&self, changed: &[PathBuf]) -> bool {
        self.clone.as_ref().is_some_and(|clone| {
            changed.iter().any(|path| ["handler", "recipes"].iter().any(|name| path.starts_with(clone.join(name))))
        })
    }
}

/// The files of which two looks differ.
pub(super) fn changed(before: &Stamps, after: &Stamps) -> Vec<PathBuf> {
    let all: BTreeSet<&PathBuf> = before.keys().chain(after.keys()).collect();
    all.into_iter().filter(|path| before.get(*path) != after.get(*path)).cloned().collect()
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let data = path.metadata().ok()?;
    Some((data.modified().ok()?, data.len()))
}

/// The clone of streamkit that the spec or this program is in.
fn clone_of(spec: &Path) -> Option<PathBuf> {
    let is_clone = |folder: &&Path| {
        let has = |file: &str| folder.join(file).is_file();
        has("handler/Cargo.toml") && has("recipes/Cargo.toml") && has("recipes/src/recipe.rs")
    };
    let places = [spec.canonicalize().ok(), std::env::current_exe().ok()];
    places.into_iter().flatten().find_map(|place| place.ancestors().find(is_clone).map(Path::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_come_go_or_are_written_have_changed() {
        let at = |seconds: u64| Some((SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds), 3));
        let stamps = |all: &[(&str, u64)]| -> Stamps { all.iter().map(|(path, s)| (path.into(), at(*s))).collect() };
        let before = stamps(&[("a", 1), ("b", 1), ("c", 1)]);
        assert_eq!(changed(&before, &before), Vec::<PathBuf>::new());
        let after = stamps(&[("a", 1), ("b", 2), ("d", 1)]);
        assert_eq!(changed(&before, &after), ["b", "c", "d"].map(PathBuf::from));
    }

    #[test]
    fn this_projects_own_pipelines_are_in_a_clone() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().unwrap();
        let files = Files::new(&root.join("pipelines/retail-events.toml"));
        assert_eq!(files.clone_folder(), Some(root.as_path()));
        assert!(files.is_of_clone(&[root.join("recipes/src/retail.rs")]));
        assert!(!files.is_of_clone(&[root.join("pipelines/retail-events.toml")]));
    }
}
