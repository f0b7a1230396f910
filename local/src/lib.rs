//! The embedded AWS of streamkit: one loopback gateway, embedded engines, and a Lambda engine.

mod calls;
mod changing;
mod cloudwatch;
mod connection;
mod control;
mod engines;
mod faults;
mod gateway;
mod iam;
mod lambda_ports;
mod logs;
mod pace;
pub mod rehearsal;
mod server;
mod sns;
mod sqs;
mod sts;

use std::path::PathBuf;

pub use rehearsal::Rehearsal;
pub use server::serve;
pub use streamkit_lambda::{check_pattern, pattern_matches};

/// The account that owns everything when the user asks for no other.
pub const DEFAULT_ACCOUNT: &str = "000000000000";

/// What one embedded AWS is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// TCP port on 127.0.0.1; 0 takes any free one.
    pub port: u16,
    /// The one region of this AWS; it stands in every ARN whatever region a request was signed for.
    pub region: String,
    /// The one account, 12 digits.
    pub account: String,
    /// Where function code is unpacked and function processes keep their scratch files.
    pub state_dir: PathBuf,
    /// How slow and how unreliable it is; by default, neither.
    pub rehearsal: Rehearsal,
}
