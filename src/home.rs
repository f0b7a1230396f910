//! Where streamkit keeps its own files, which are for no other user to read.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The state directory and the cache for builds.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    /// The embedded AWS's address, log and unpacked functions.
    pub(crate) state: PathBuf,
    /// Sources, build output and packages of the handler.
    pub(crate) cache: PathBuf,
}

impl Home {
    /// `STREAMKIT_HOME`, or the user's data directory; `STREAMKIT_CACHE`, or `cache` below that.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let state = match variable("STREAMKIT_HOME") {
            Some(home) => std::path::absolute(home)?,
            None => directories::ProjectDirs::from("", "", "streamkit")
                .context("no home directory: set STREAMKIT_HOME")?
                .data_local_dir()
                .to_owned(),
        };
        let cache = match variable("STREAMKIT_CACHE") {
            Some(cache) => std::path::absolute(cache)?,
            None => state.join("cache"),
        };
        Ok(Self { state, cache })
    }

    /// Makes the state directory, for this user alone.
    pub(crate) fn make_state(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.state)?;
        // One that was there before may be shared, such as a folder that STREAMKIT_HOME names; one of our name is ours.
        if self.state.ends_with("streamkit") {
            fs::set_permissions(&self.state, Permissions::from_mode(0o700))?;
        }
        Ok(())
    }
}

/// Makes a file for this user alone, or empties the one that is there.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // The mode is that of a new file only.
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}
