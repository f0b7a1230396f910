//! A crate with a handler of one's own, and everything that it is built from.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::commands::output_file::write_new;
use crate::failure::Hint;
use crate::package::{LOCK, extract_library};

const MANIFEST: &str = include_str!("../../../examples/own-handler/Cargo.toml");
const MAIN: &str = include_str!("../../../examples/own-handler/src/main.rs");
const PIPELINE: &str = include_str!("../../../examples/own-handler/pipeline.toml");
/// The folder of the crate that has the library in the version of this program.
const LIBRARY: &str = "streamkit";

/// Whether the folder has a crate that `write` has made.
///
/// # Errors
/// It has another one.
pub(super) fn is_there(folder: &Path) -> anyhow::Result<bool> {
    if !folder.join("Cargo.toml").exists() {
        return Ok(false);
    }
    if folder.join(LIBRARY).join("handler").exists() {
        return Ok(true);
    }
    Err(Hint::usage(
        format!("{} has a crate already, and not one that `init --handler` has made", folder.display()),
        "name a folder that is not there yet",
    ))
}

/// Puts the library in this program's version into a crate that is there.
pub(super) fn renew(folder: &Path) -> anyhow::Result<()> {
    extract_library(&folder.join(LIBRARY))
}

/// Writes the example's crate into a folder.
///
/// # Errors
/// A file of it is there already.
pub(super) fn write(folder: &Path) -> anyhow::Result<()> {
    let sources = folder.join("src");
    std::fs::create_dir_all(&sources).with_context(|| format!("making {}", sources.display()))?;
    write_new(&sources.join("main.rs"), MAIN)?;
    // The versions that the library is tested with; cargo leaves out what is not used.
    write_new(&folder.join("Cargo.lock"), LOCK)?;
    renew(folder)?;
    // Last, since it tells that the crate is whole.
    write_new(&folder.join("Cargo.toml"), &manifest(folder))
}

/// The pipeline file for the crate in this folder.
pub(super) fn pipeline(folder: &Path, output: &Path) -> anyhow::Result<String> {
    let code = match output.parent() {
        // A path in a pipeline file begins where the file is.
        Some(parent) if !parent.as_os_str().is_empty() => std::path::absolute(folder)?,
        _ => PathBuf::from(folder),
    };
    let code = code.to_str().with_context(|| format!("{} is no UTF-8", code.display()))?;
    Ok(PIPELINE.replacen(r#"code = ".""#, &format!("code = {}", toml::Value::from(code)), 1))
}

fn manifest(folder: &Path) -> String {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_named = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter))
    };
    let name = if is_named(name) { name } else { "own-handler" };
    let (_, settings) = MANIFEST.split_once("[package]\n").unwrap_or(("", MANIFEST));
    let settings = settings
        .replacen(r#"name = "own-handler""#, &format!("name = \"{name}\""), 1)
        .replacen("../../handler", &format!("{LIBRARY}/handler"), 1)
        .replacen(
            "# Not a member of the workspace around it.\n[workspace]",
            &format!("# A workspace of its own; the library is another one.\n[workspace]\nexclude = [\"{LIBRARY}\"]"),
            1,
        );
    format!(
        "# A handler of one's own: everything of streamkit's handler, and a recipe that is not streamkit's.\n\
         # The library is in the folder {LIBRARY}; `streamkit init --handler` with this folder renews it.\n\
         [package]\n{settings}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_names_the_folder_and_the_library_in_it() {
        let manifest: toml::Table = manifest(Path::new("work/temperatures")).parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("temperatures"));
        assert_eq!(manifest["dependencies"]["streamkit-handler"]["path"].as_str(), Some("streamkit/handler"));
        assert_eq!(manifest["workspace"]["exclude"][0].as_str(), Some("streamkit"));
        assert_eq!(manifest["profile"]["release"]["lto"].as_str(), Some("fat"));
        let odd: toml::Table = super::manifest(Path::new("../7 up")).parse().unwrap();
        assert_eq!(odd["package"]["name"].as_str(), Some("own-handler"));
    }

    #[test]
    fn the_pipeline_finds_the_crate_from_where_it_is() {
        let text = pipeline(Path::new("temperatures"), Path::new("streamkit.toml")).unwrap();
        assert!(text.contains("code = \"temperatures\" "), "{text}");
        let text = pipeline(Path::new("temperatures"), Path::new("pipelines/readings.toml")).unwrap();
        let there = std::path::absolute("temperatures").unwrap();
        assert!(text.contains(&format!("code = \"{}\" ", there.display())), "{text}");
    }

    #[test]
    fn a_crate_is_written_once_and_its_library_again() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("own");
        assert!(!is_there(&place).unwrap());
        write(&place).unwrap();
        let library = place.join("streamkit/handler/src/lib.rs");
        std::fs::remove_file(&library).unwrap();
        assert!(is_there(&place).unwrap());
        renew(&place).unwrap();
        assert!(library.is_file());
        assert!(write(&place).is_err(), "overwritten");
        std::fs::write(folder.path().join("Cargo.toml"), "").unwrap();
        assert!(is_there(folder.path()).is_err());
    }
}
