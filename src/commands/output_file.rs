//! Files that commands write: those that tell of a run when it ends, and new ones.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::failure::Hint;
use crate::report::Reporter;

/// A file that can be written.
#[derive(Debug)]
pub(super) struct OutputFile(PathBuf);

impl OutputFile {
    /// Makes the file, or empties it: what an earlier run wrote must not be taken for this one's.
    ///
    /// # Errors
    /// It can't be written. That is said before anything is done.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        match OpenOptions::new().write(true).create(true).truncate(true).open(path) {
            Ok(_) => Ok(Self(path.to_owned())),
            Err(error) => Err(Hint::usage(
                format!("can't write {}: {error}", path.display()),
                "name a file in a folder that is there and may be written to",
            )),
        }
    }

    pub(super) fn write(&self, text: &str) -> anyhow::Result<()> {
        fs::write(&self.0, text).with_context(|| format!("writing {}", self.0.display()))
    }
}

/// How a command ended that has written files about its run, as failed or interrupted too. What the run itself ended with counts more
/// than a file that could not be written.
pub(super) fn ended<T>(
    result: anyhow::Result<T>,
    written: anyhow::Result<()>,
    reporter: &Reporter,
) -> anyhow::Result<T> {
    match (written, result) {
        (Err(unwritten), Ok(_)) => Err(unwritten),
        (Err(unwritten), Err(error)) => {
            reporter.error(&unwritten);
            Err(error)
        }
        (Ok(()), result) => result,
    }
}

/// Writes a new file, never over another: it may be the only copy of a pipeline.
///
/// # Errors
/// It can't be written, or exists already.
pub(super) fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = match OpenOptions::new().write(true).create_new(true).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(exists(path)),
        other => other.with_context(|| format!("writing {}", path.display()))?,
    };
    file.write_all(text.as_bytes()).with_context(|| format!("writing {}", path.display()))
}

/// The error about a file that is there already.
pub(super) fn exists(path: &Path) -> anyhow::Error {
    Hint::error(format!("{} exists already", path.display()), "choose another file with --output")
}
