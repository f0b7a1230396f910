//! Removes what the run has made, however the run ends.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};

use crate::account::Account;
use crate::command::Runner;
use crate::life::Pipeline;

/// How often a removal is tried: a second one goes on where the first one failed.
const TRIES: u32 = 3;

/// Removes the pipelines when it is dropped, too: then a step has panicked.
pub(crate) struct CleanUp<'a> {
    runner: &'a Runner,
    account: &'a Account,
    pipelines: &'a [Pipeline],
    /// The commands that remove everything, for when nobody is left to do it.
    pub(crate) script: PathBuf,
}

impl<'a> CleanUp<'a> {
    pub(crate) fn new(runner: &'a Runner, account: &'a Account, pipelines: &'a [Pipeline]) -> anyhow::Result<Self> {
        let script = crate::folder().join("aws-clean-up.sh");
        let mut text =
            "# Removes what a test of all pipelines made, after which this file is a leftover itself.\n".to_owned();
        for pipeline in pipelines {
            let down = ["down", "--name", &pipeline.name, "--yes", "--region", &account.region];
            let _ = writeln!(text, "{} || failed=1", runner.typed(&down));
        }
        text.push_str("exit ${failed:-0}\n");
        std::fs::write(&script, text).with_context(|| format!("writing {}", script.display()))?;
        Ok(Self { runner, account, pipelines, script })
    }

    /// Removes a pipeline, and looks whether anything is left. Ctrl-C does not end it.
    pub(crate) fn remove(&self, pipeline: &Pipeline) -> anyhow::Result<()> {
        let down = ["down", "--name", &pipeline.name, "--yes", "--region", &self.account.region];
        for attempt in 1.. {
            let output = self.runner.run(&down, false)?;
            match output.code {
                0 => break,
                _ if attempt < TRIES => {}
                _ => bail!("not removed:\n{}\n  sh {} removes it", output.stderr, self.script.display()),
            }
        }
        self.account.has_nothing_of(&format!("{}-{}", pipeline.name, self.runner.stage))
    }
}

impl Drop for CleanUp<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for pipeline in self.pipelines {
            if let Err(why) = self.remove(pipeline) {
                super::say(&format!("{}: {why:#}", pipeline.name));
            }
        }
    }
}
