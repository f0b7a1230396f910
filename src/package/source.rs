//! The handler's sources, which travel in this binary so that it can build the handler on any machine and in any folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use include_dir::{Dir, DirEntry, include_dir};
use sha2::{Digest as _, Sha256};
use toml::{Table, Value};

use super::write_in_cache;

static RECIPES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/recipes");
static HANDLER: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/handler");
const WORKSPACE: &str = include_str!("../../Cargo.toml");
/// The versions of all crates that this program was built with.
pub(crate) const LOCK: &str = include_str!("../../Cargo.lock");

/// How the handler is compiled. It is built once and started often: small and quick comes first.
const PROFILE: &str = "
[release]
opt-level = 3
lto = 'fat'
codegen-units = 1
panic = 'abort'
strip = true
";

/// A workspace with nothing but the handler and what it needs.
#[derive(Debug)]
pub(super) struct Sources {
    files: BTreeMap<PathBuf, Vec<u8>>,
    hash: String,
}

impl Sources {
    /// Puts the workspace together from what this binary carries.
    pub(super) fn bundled() -> Result<Self> {
        let mut files = BTreeMap::new();
        for (name, folder) in [("recipes", &RECIPES), ("handler", &HANDLER)] {
            let manifest = folder.get_file("Cargo.toml").and_then(|file| file.contents_utf8());
            let manifest = manifest.with_context(|| format!("the bundled crate {name} has no Cargo.toml"))?;
            files.insert(Path::new(name).join("Cargo.toml"), member_manifest(manifest)?.into_bytes());
            if let Some(sources) = folder.get_dir("src") {
                collect(sources, Path::new(name), &mut files);
            }
        }
        files.insert("Cargo.toml".into(), workspace_manifest(WORKSPACE)?.into_bytes());
        // Cargo drops what this smaller workspace does not use and keeps the versions of the rest.
        files.insert("Cargo.lock".into(), LOCK.as_bytes().to_vec());

        let mut hash = Sha256::new();
        for (path, contents) in &files {
            for part in [path.as_os_str().as_encoded_bytes(), contents] {
                hash.update(part.len().to_le_bytes());
                hash.update(part);
            }
        }
        Ok(Self { files, hash: hex::encode(&hash.finalize()[..16]) })
    }

    /// Names these sources and no others.
    pub(super) fn hash(&self) -> &str {
        &self.hash
    }

    /// Writes the workspace to a folder. A file that is there already stays untouched, so that cargo does not take it
    /// for changed; one that was damaged is mended.
    pub(super) fn extract(&self, folder: &Path) -> Result<()> {
        for (path, contents) in &self.files {
            let path = folder.join(path);
            if fs::read(&path).ok().as_ref() != Some(contents) {
                write_in_cache(&path, contents)?;
            }
        }
        Ok(())
    }
}

fn collect(folder: &Dir<'_>, below: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in folder.entries() {
        match entry {
            DirEntry::Dir(folder) => collect(folder, below, files),
            DirEntry::File(file) if file.path().extension().is_some_and(|extension| extension == "rs") => {
                files.insert(below.join(file.path()), file.contents().to_vec());
            }
            DirEntry::File(_) => {}
        }
    }
}

/// Leaves out what only tests and benchmarks need, which nobody should have to download to build the handler.
fn member_manifest(manifest: &str) -> Result<String> {
    let mut manifest: Table = manifest.parse().context("reading a bundled Cargo.toml")?;
    for key in ["dev-dependencies", "bench", "test", "lints"] {
        manifest.remove(key);
    }
    Ok(toml::to_string(&manifest)?)
}

/// Takes what members inherit from the real workspace, and adds how the handler is compiled.
fn workspace_manifest(manifest: &str) -> Result<String> {
    let manifest: Table = manifest.parse().context("reading the bundled workspace's Cargo.toml")?;
    let mut workspace = Table::new();
    for key in ["resolver", "package", "dependencies"] {
        let value = manifest.get("workspace").and_then(|workspace| workspace.get(key));
        let value = value.with_context(|| format!("the bundled workspace has no {key}"))?;
        workspace.insert(key.into(), value.clone());
    }
    if let Some(Value::Table(dependencies)) = workspace.get_mut("dependencies") {
        dependencies.remove("streamkit-local");
    }
    workspace.insert("members".into(), Value::Array(vec!["recipes".into(), "handler".into()]));
    let profile: Table = PROFILE.parse().context("reading the handler's profile")?;
    let mut result = Table::new();
    result.insert("workspace".into(), Value::Table(workspace));
    result.insert("profile".into(), Value::Table(profile));
    Ok(toml::to_string(&result)?)
}
