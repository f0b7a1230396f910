//! What one embedded AWS is started with.

use std::path::PathBuf;

use crate::rehearsal::Rehearsal;

/// The account that owns everything when the user asks for no other.
pub const DEFAULT_ACCOUNT: &str = "000000000000";

/// What one embedded AWS is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// TCP port on 127.0.0.1; 0 takes any free one.
    pub port: u16,
    /// The region of requests that are signed for none; all others are made when a request is signed for them.
    pub region: String,
    /// The one account, 12 digits.
    pub account: String,
    /// Where function code is unpacked and function processes keep their scratch files.
    pub state_dir: PathBuf,
    /// How slow and how unreliable it is; by default, neither.
    pub rehearsal: Rehearsal,
}
