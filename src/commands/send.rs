//! placeholder
use std::process::ExitCode;
use crate::cli::Global; use crate::interrupt::Interrupt; use crate::report::Reporter;
/// send
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}
pub(crate) async fn run(_args: &Args, _global: &Global, _reporter: &Reporter, _interrupt: Interrupt) -> anyhow::Result<ExitCode> { anyhow::bail!("not yet") }
