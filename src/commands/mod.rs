//! The subcommands, one file each.

mod caller;
pub(crate) mod calls;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod decrypt;
pub(crate) mod dlq;
pub(crate) mod down;
pub(crate) mod graph;
pub(crate) mod init;
pub(crate) mod local;
pub(crate) mod logs;
mod origin;
pub(crate) mod outputs;
pub(crate) mod package;
pub(crate) mod plan;
pub(crate) mod policy;
pub(crate) mod rehearse;
pub(crate) mod replay;
pub(crate) mod send;
mod session;
mod since;
mod sources;
pub(crate) mod status;
pub(crate) mod tail;
pub(crate) mod up;
pub(crate) mod validate;
