//! What one embedded AWS is started with.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::rehearsal::Rehearsal;

/// The account that owns everything when the user asks for no other.
pub const DEFAULT_ACCOUNT: &str = "000000000000";

/// What one embedded AWS is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// TCP port; 0 takes any free one.
    pub port: u16,
    /// Where it listens. Beyond loopback, everybody who reaches the address can run code here, so be sure of the network.
    pub bind: IpAddr,
    /// The names, besides those of loopback and the bound address, that requests may be addressed to.
    pub allow_hosts: Vec<String>,
    /// The region of requests that are signed for none; all others are made when a request is signed for them.
    pub region: String,
    /// The one account, 12 digits.
    pub account: String,
    /// Where function code is unpacked and function processes keep their scratch files.
    pub state_dir: PathBuf,
    /// How slow and how unreliable it is; by default, neither.
    pub rehearsal: Rehearsal,
    /// Where it is as strict as AWS although that takes its users time; by default, nowhere.
    pub strict: Strictness,
}

/// Where the embedded AWS is as strict as AWS although that takes its users time; each can be switched by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strictness {
    /// Reads, lists and dependent calls do not know at once what was just made, changed or deleted.
    pub consistency: bool,
    /// What AWS allows per second, minute or hour: throughput of a shard, changes of a table's time to live, a table's backups
    /// that are still being enabled.
    pub rates: bool,
}

impl Strictness {
    /// As strict as AWS in everything.
    pub const ALL: Self = Self { consistency: true, rates: true };
}

impl Default for Options {
    /// Any free port of loopback, `us-east-1`, and nothing slow, unreliable or strict beyond what costs nothing.
    fn default() -> Self {
        Self {
            port: 0,
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            allow_hosts: Vec::new(),
            region: "us-east-1".to_owned(),
            account: DEFAULT_ACCOUNT.to_owned(),
            state_dir: std::env::temp_dir().join(format!("streamkit-local-{}", std::process::id())),
            rehearsal: Rehearsal::default(),
            strict: Strictness::default(),
        }
    }
}
