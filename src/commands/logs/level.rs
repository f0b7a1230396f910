//! The levels of log lines, by the names that Lambda and the common loggers give them.

/// How grave a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    /// Reads a level as loggers write it. What they call worse than an error is one, and finer than debugging is that.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(text));
        if is(&["trace", "debug", "fine", "finer", "finest", "verbose"]) {
            Some(Self::Debug)
        } else if is(&["info", "information", "notice", "log"]) {
            Some(Self::Info)
        } else if is(&["warn", "warning"]) {
            Some(Self::Warn)
        } else if is(&["error", "err", "fatal", "critical", "severe", "panic", "alert", "emergency"]) {
            Some(Self::Error)
        } else {
            None
        }
    }

    /// As it is shown.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}
