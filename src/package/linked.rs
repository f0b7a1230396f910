//! The handler that is linked into this program: on this machine nothing has to be built, the function is this program again.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::own::package;
use super::source::Sources;
use super::{Package, archive};

/// The hidden command that runs the linked handler.
pub(crate) const COMMAND: &str = "handler";

/// A package whose `bootstrap` starts this program as the handler. It names the handler's sources, so that a streamkit with
/// others makes another package.
pub(super) fn build() -> Result<Package> {
    package(archive::zip(bootstrap()?.as_bytes())?)
}

/// The script that is the package's `bootstrap`.
pub(super) fn bootstrap() -> Result<String> {
    let program = std::env::current_exe().context("looking for the file of this program")?;
    Ok(script(&program, Sources::bundled()?.hash()))
}

fn script(program: &Path, sources: &str) -> String {
    // In single quotes only a single quote itself has a meaning.
    let quoted = program.display().to_string().replace('\'', r"'\''");
    format!("#!/bin/sh\n# The handler of streamkit, sources {sources}\nexec '{quoted}' {COMMAND}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bootstrap_starts_a_program_of_any_name() {
        let script = script(Path::new("/tmp/it's $HOME/streamkit"), "abc");
        assert_eq!(
            script,
            "#!/bin/sh\n# The handler of streamkit, sources abc\nexec '/tmp/it'\\''s $HOME/streamkit' handler\n"
        );
    }
}
