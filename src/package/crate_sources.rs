//! The hash of a crate's sources: what decides whether a function's code is still that of the spec, without a compiler.
//!
//! It covers the crate's folder, the crates that it depends on by path, and the workspace's manifest and lock file. What a
//! build script reads from elsewhere is not seen.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use toml::{Table, Value};

/// What becomes of the workspace's lock file, which cargo itself may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    Counts,
    Ignored,
}

/// Adds the sources of the crate in `folder` to the hash, names and contents, in the order of the names.
pub(super) fn add(hash: &mut Sha256, folder: &Path, lock: Lock) -> Result<()> {
    let folder = absolute(folder)?;
    for file in files(&folder)?.into_iter().filter(|file| lock == Lock::Counts || !file.ends_with("Cargo.lock")) {
        let contents = match fs::read(&file) {
            Ok(contents) => contents,
            // Not every workspace has a lock file or settings for cargo.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
        };
        // The same sources are the same in any folder of any machine.
        let name = relative(&file, &folder);
        for part in [name.as_os_str().as_encoded_bytes(), &contents] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
    }
    Ok(())
}

fn absolute(folder: &Path) -> Result<PathBuf> {
    folder.canonicalize().with_context(|| format!("looking for the crate {}", folder.display()))
}

/// The files that a crate is made from, in the order of their names. Not all of them need exist.
///
/// # Errors
/// A manifest or a folder can't be read.
pub(crate) fn files(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    let folder = absolute(folder)?;
    let mut crates = BTreeSet::new();
    find_crates(&folder, &mut crates)?;
    let mut files = BTreeSet::new();
    for folder in &crates {
        find_files(folder, &mut files)?;
    }
    if let Some(workspace) = workspace_of(&folder) {
        files.extend(["Cargo.toml", "Cargo.lock", ".cargo/config.toml"].map(|name| workspace.join(name)));
    }
    Ok(files)
}

/// The path as seen from `folder`, with as many `..` as it takes.
fn relative(path: &Path, folder: &Path) -> PathBuf {
    let common = path.components().zip(folder.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().skip(common).map(|_| std::path::Component::ParentDir);
    up.chain(path.components().skip(common)).collect()
}

/// The crate and those that it depends on by path, and those that they depend on.
fn find_crates(folder: &Path, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    if !found.insert(folder.to_owned()) {
        return Ok(());
    }
    let path = folder.join("Cargo.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let manifest: Table = text.parse().with_context(|| format!("reading {}", path.display()))?;
    let mut tables: Vec<&Table> = vec![&manifest];
    if let Some(Value::Table(targets)) = manifest.get("target") {
        tables.extend(targets.values().filter_map(Value::as_table));
    }
    for table in tables {
        for kind in ["dependencies", "build-dependencies"] {
            let Some(Value::Table(dependencies)) = table.get(kind) else { continue };
            for (name, dependency) in dependencies {
                if let Some(path) = dependency_path(folder, name, dependency)? {
                    let path = path.canonicalize().with_context(|| format!("looking for the dependency `{name}`"))?;
                    find_crates(&path, found)?;
                }
            }
        }
    }
    Ok(())
}

/// The folder of a dependency that is in this file system.
fn dependency_path(folder: &Path, name: &str, dependency: &Value) -> Result<Option<PathBuf>> {
    let path = |value: &Value| value.get("path").and_then(Value::as_str).map(str::to_owned);
    if let Some(path) = path(dependency) {
        return Ok(Some(folder.join(path)));
    }
    if dependency.get("workspace").and_then(Value::as_bool) != Some(true) {
        return Ok(None);
    }
    let Some(workspace) = workspace_of(folder) else { return Ok(None) };
    let manifest = workspace.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).with_context(|| format!("reading {}", manifest.display()))?;
    let manifest: Table = text.parse().with_context(|| format!("reading {}", manifest.display()))?;
    let shared = manifest.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    Ok(shared.and_then(|shared| shared.get(name)).and_then(path).map(|path| workspace.join(path)))
}

/// The folder of the workspace that the crate belongs to: its own if it is one.
fn workspace_of(folder: &Path) -> Option<PathBuf> {
    let is_workspace = |folder: &&Path| {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).ok().and_then(|text| text.parse::<Table>().ok());
        manifest.is_some_and(|manifest| manifest.contains_key("workspace"))
    };
    folder.ancestors().find(is_workspace).or(Some(folder)).map(Path::to_owned)
}

/// All files but hidden ones and what cargo builds.
fn find_files(folder: &Path, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    let context = || format!("reading the folder {}", folder.display());
    for entry in fs::read_dir(folder).with_context(context)? {
        let entry = entry.with_context(context)?;
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") || name == "target" {
            continue;
        }
        let path = entry.path();
        if entry.file_type().with_context(context)?.is_dir() {
            find_files(&path, found)?;
        } else {
            found.insert(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(folder: &Path) -> Vec<u8> {
        let mut hash = Sha256::new();
        add(&mut hash, folder, Lock::Counts).unwrap();
        hash.finalize().to_vec()
    }

    /// A workspace with a crate `function`, which depends on `shared`, and a crate that it has nothing to do with.
    fn workspace(root: &Path) {
        let write = |name: &str, text: &str| {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("Cargo.toml", "[workspace]\nmembers = [\"*\"]\n[workspace.dependencies]\nmore = { path = \"more\" }\n");
        write("Cargo.lock", "version = 4\n");
        write("function/Cargo.toml", "[dependencies]\nserde = \"1\"\nshared = { path = \"../shared\" }\n");
        write("function/src/main.rs", "fn main() {}\n");
        write("shared/Cargo.toml", "[target.'cfg(unix)'.dependencies]\nmore = { workspace = true }\n");
        write("shared/src/lib.rs", "");
        write("more/Cargo.toml", "[dependencies]\nshared = { path = \"../shared\" }\n");
        write("more/src/lib.rs", "");
        write("apart/src/lib.rs", "");
    }

    #[test]
    fn a_crates_hash_follows_its_sources_those_it_depends_on_and_the_lock_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        workspace(folder.path());
        let function = folder.path().join("function");
        let before = hash(&function);
        for (file, counts) in [
            ("function/src/main.rs", true),
            ("function/templates/page.html", true),
            ("shared/src/lib.rs", true),
            ("more/src/lib.rs", true),
            ("Cargo.lock", true),
            (".cargo/config.toml", true),
            ("apart/src/lib.rs", false),
            ("function/target/debug/bootstrap", false),
            ("function/.git/HEAD", false),
            ("README.md", false),
        ] {
            let path = folder.path().join(file);
            let old = fs::read(&path).ok();
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "changed").unwrap();
            assert_eq!(hash(&function) != before, counts, "{file}");
            match old {
                Some(old) => fs::write(&path, old).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            assert_eq!(hash(&function), before, "{file}");
        }
        let elsewhere = tempfile::tempdir().unwrap();
        workspace(elsewhere.path());
        assert_eq!(hash(&elsewhere.path().join("function")), before);
    }
}
