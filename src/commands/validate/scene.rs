//! What every validation has, whatever its source: where it looks, for how long, and under which name.

use std::time::{Duration, SystemTime};

use streamkit_recipes::Recipe;
use tokio::time::Instant;

use crate::commands::session::Session;
use crate::failure::Hint;
use crate::pipeline::Flow;

/// Where a validation takes place.
pub(super) struct Scene<'a> {
    pub(super) session: &'a Session,
    pub(super) flow: &'a Flow,
    pub(super) recipe: &'static dyn Recipe,
    /// Shows in the key of everything that is sent, and in nothing that anybody else sends.
    pub(super) name: String,
    /// The embedded AWS is what runs it.
    pub(super) local: bool,
    /// How long a check waits for what it expects.
    pub(super) limit: Duration,
    pub(super) started: SystemTime,
}

impl<'a> Scene<'a> {
    pub(super) fn new(
        session: &'a Session,
        flow: &'a Flow,
        recipe: &'static dyn Recipe,
        limit: Duration,
        local: bool,
    ) -> Self {
        let name = format!("{:012x}", fastrand::u64(..1 << 48));
        Self { session, flow, recipe, name, local, limit, started: SystemTime::now() }
    }

    /// When a check that starts now stops waiting.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.limit
    }

    /// The pipeline's name, stage included.
    pub(super) fn pipeline(&self) -> String {
        self.session.pipeline.naming.prefix()
    }

    /// Where to look when effects are missing.
    pub(super) fn see_log(&self) -> String {
        format!("see the function's log, {}", self.flow.log_group)
    }
}

/// What to do when the pipeline is not there.
pub(super) fn up_first() -> &'static str {
    "bring the pipeline up with `streamkit up` first"
}

/// The error of a flow whose parts are missing.
pub(super) fn not_up(what: &str) -> anyhow::Error {
    Hint::error(what.to_owned(), up_first())
}

/// The time in milliseconds since the epoch.
pub(super) fn epoch_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
