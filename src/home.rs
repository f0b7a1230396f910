//! Where streamkit keeps its own files.

use std::path::PathBuf;

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
}
