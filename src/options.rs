//! The options that every command takes.

use clap::{ArgAction, Args, ColorChoice};
use clap_complete::ArgValueCompleter;

use crate::candidates::stages;

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Use the embedded AWS, starting it if none runs
    #[arg(long, global = true, conflicts_with = "endpoint_url", help_heading = "Where")]
    pub(crate) local: bool,
    /// Use this endpoint for every service, as `AWS_ENDPOINT_URL` does
    #[arg(long, global = true, value_name = "URL", help_heading = "Where")]
    pub(crate) endpoint_url: Option<String>,
    /// AWS region; otherwise that of the environment or profile
    #[arg(long, global = true, help_heading = "Where")]
    pub(crate) region: Option<String>,
    /// Profile of the AWS configuration files; with --local, keys that were made in the embedded AWS, to try what they may do
    #[arg(long, global = true, help_heading = "Where")]
    pub(crate) profile: Option<String>,
    /// Put a stage into every name, so that several stand side by side
    #[arg(long, global = true, value_name = "NAME", add = ArgValueCompleter::new(stages), help_heading = "Where")]
    pub(crate) stage: Option<String>,
    /// Print one JSON document on stdout when the command ends
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// Show no progress
    #[arg(short, long, global = true, help_heading = "Output")]
    pub(crate) quiet: bool,
    /// Colour the output; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t, help_heading = "Output")]
    pub(crate) color: ColorChoice,
    /// Log each AWS call on stderr; -vv: each attempt and each state waited for too
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
    /// How many resources to work on at the same time
    #[arg(long, global = true, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "How")]
    pub(crate) parallelism: u16,
}
