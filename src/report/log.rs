//! The log on stderr: who reads it, and what may get into it.

use std::io::{IsTerminal as _, Write};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::failure::Usage;

/// What to show, in the words of tracing-subscriber's `EnvFilter`, when no `-v` is given.
pub(crate) const LOG_VARIABLE: &str = "STREAMKIT_LOG";

/// Starts the log if `-v` or the environment asks for it; otherwise no event is ever made.
///
/// # Errors
/// The environment's filter is none.
pub(super) fn start(verbose: u8, bars: &MultiProgress) -> Result<(), Usage> {
    let filter = match verbose {
        0 => match std::env::var_os(LOG_VARIABLE).filter(|filter| !filter.is_empty()) {
            None => return Ok(()),
            Some(filter) => filter.to_string_lossy().into_owned(),
        },
        1 => "streamkit=info".to_owned(),
        _ => "streamkit=debug".to_owned(),
    };
    let filter = EnvFilter::try_new(&filter).map_err(|error| {
        Usage(format!(
            "{LOG_VARIABLE} is `{filter}`, which is no filter ({error}): write a level, such as info or debug, or streamkit::aws=debug"
        ))
    })?;
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(AboveBars(bars.clone()));
    let log = tracing_subscriber::registry().with(filter_fn(|event| is_ours(event.target()))).with(filter).with(lines);
    // Only a second log in one process could fail, and there is none.
    let _ = log.try_init();
    Ok(())
}

/// Only our own events pass, whatever the filter says: those of the SDK and of the HTTP client hold bodies and headers, and so
/// secrets and records.
fn is_ours(target: &str) -> bool {
    let krate = target.split("::").next().unwrap_or_default();
    ["streamkit", "streamkit_local", "streamkit_lambda"].contains(&krate)
}

/// Writes to stderr, above the progress that a terminal shows.
struct AboveBars(MultiProgress);

impl<'a> MakeWriter<'a> for AboveBars {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { bars: &self.0 }
    }
}

/// One event; it comes in one piece.
struct Line<'a> {
    bars: &'a MultiProgress,
}

impl Write for Line<'_> {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        let mut stderr = std::io::stderr();
        let written =
            if stderr.is_terminal() { self.bars.suspend(|| stderr.write_all(text)) } else { stderr.write_all(text) };
        written.map(|()| text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn only_our_own_events_pass() {
        for target in ["streamkit", "streamkit::aws", "streamkit_local::services", "streamkit_lambda::engine"] {
            assert!(is_ours(target), "{target}");
        }
        for target in ["aws_smithy_runtime::client", "hyper", "streamkit_locals::wire", "aws_config", ""] {
            assert!(!is_ours(target), "{target}");
        }
    }
}
