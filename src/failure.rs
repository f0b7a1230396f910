//! Errors that decide the exit code or carry a hint of their own.

use std::fmt;

/// Bad usage: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// The run was stopped by Ctrl-C: exit code 130.
#[derive(Debug, thiserror::Error)]
#[error("interrupted{}", if *left == 0 { String::new() } else { format!(": {left} left to do, run the same command again to go on") })]
pub(crate) struct Interrupted {
    pub(crate) left: usize,
}

/// The run has shown what failed; only the exit code is left to say.
#[derive(Debug, thiserror::Error)]
#[error("failed")]
pub(crate) struct Shown;

/// What the user can do about an error, kept in its chain of causes.
#[derive(Debug)]
pub(crate) struct Hint {
    pub(crate) message: String,
    /// What to do, printed after the error.
    pub(crate) advice: String,
    /// True when the mistake is in how streamkit was called: exit code 2.
    pub(crate) usage: bool,
}

impl Hint {
    /// An error with a hint.
    pub(crate) fn error(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
        Self { message: message.into(), advice: hint.into(), usage: false }.into()
    }

    /// Bad usage with a hint.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
        Self { message: message.into(), advice: hint.into(), usage: true }.into()
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Hint {}
