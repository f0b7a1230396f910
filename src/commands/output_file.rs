//! A file that a command writes when it ends.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::failure::Hint;

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
