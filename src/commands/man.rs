//! `streamkit man`: manual pages, for those who package streamkit.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;

use crate::report::{Reporter, exit_code};

/// Write a manual page for streamkit and for each of its commands
///
/// Example: streamkit man --output /usr/local/share/man/man1
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The folder to write to
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

pub(crate) fn run(args: &Args, command: clap::Command, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let folder = &args.output;
    let writing = || format!("writing manual pages to {}", folder.display());
    std::fs::create_dir_all(folder).with_context(writing)?;
    clap_mangen::generate_to(command, folder).with_context(writing)?;
    reporter.text(&format!("wrote manual pages to {}\n", folder.display()));
    reporter.document(&json!({ "path": folder }))?;
    Ok(exit_code::DONE)
}
