//! `streamkit completions`: the script with which a shell asks streamkit what completes a command line.

use std::process::ExitCode;

use anyhow::Context as _;
use clap_complete::env::Shells;

use crate::report::{Reporter, exit_code};

/// The variable by which the shell's function asks streamkit what fits.
pub(crate) const VARIABLE: &str = "STREAMKIT_COMPLETE";

/// Print a script that lets your shell complete streamkit's commands, options, stages, functions and recipes
///
/// Example: source <(streamkit completions bash)
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

pub(crate) fn run(args: &Args, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let name = match args.shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
        Shell::Powershell => "powershell",
    };
    let shells = Shells::builtins();
    let shell = shells.completer(name).context("the shell has a script")?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "streamkit", "streamkit", "streamkit", &mut script)?;
    reporter.data(&String::from_utf8(script)?);
    Ok(exit_code::DONE)
}
