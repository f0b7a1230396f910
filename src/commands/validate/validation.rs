//! What the checks on streams and on tables share: the flow that is validated, the run's id, and the time limits.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use streamkit_recipes::Recipe;
use tokio::time::Instant;

use super::stream_run::Meaning;
use crate::commands::session::Session;
use crate::failure::Hint;
use crate::pipeline::Flow;

/// How far this machine's clock and AWS's may be apart.
pub(super) const CLOCK_SKEW: Duration = Duration::from_mins(1);
/// How long the clean-up waits for effects that are still to come.
pub(super) const LATE_EFFECTS: Duration = Duration::from_secs(30);

/// The function that is validated, and how.
pub(super) struct Validation<'a> {
    pub(super) session: &'a Session,
    /// The session in the pipeline's own region, which has all others.
    home: &'a Session,
    pub(super) flow: &'a Flow,
    pub(super) recipe: &'static dyn Recipe,
    /// Is part of the key of everything that this run sends, and of nothing that anybody else sends.
    pub(super) run_id: String,
    /// True if the pipeline runs in the embedded AWS.
    pub(super) local: bool,
    /// How long a check waits for what it expects.
    pub(super) limit: Duration,
    started: OnceLock<SystemTime>,
}

impl<'a> Validation<'a> {
    pub(super) fn new(
        session: &'a Session,
        home: &'a Session,
        flow: &'a Flow,
        recipe: &'static dyn Recipe,
        limit: Duration,
        local: bool,
    ) -> Self {
        let run_id = format!("{:012x}", fastrand::u64(..1 << 48));
        // What comes when a window begins is stored when it has ended.
        let limit = limit + 2 * flow.tumbling_window.unwrap_or_default();
        Self { session, home, flow, recipe, run_id, local, limit, started: OnceLock::new() }
    }

    /// What the pipeline has in other regions than that of the flow.
    pub(super) fn elsewhere(&self) -> impl Iterator<Item = &'a Session> + use<'a> {
        let region = &self.session.aws.region;
        self.home.everywhere().map(|(_, session)| session).filter(move |there| there.aws.region != *region)
    }

    /// What becomes of the flow's events.
    pub(super) fn meaning(&self) -> Meaning<'a> {
        Meaning { recipe: self.recipe, identity: &self.flow.identity, encrypted: self.flow.encrypted() }
    }

    /// When the run began, by AWS's clock: at the first look at what it grew from, for which AWS has answered already.
    pub(super) fn started(&self) -> SystemTime {
        *self.started.get_or_init(|| self.session.aws.now())
    }

    /// When a check that starts now stops waiting.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.limit
    }

    /// The pipeline's name, stage included.
    pub(super) fn pipeline(&self) -> String {
        self.session.pipeline.naming.prefix()
    }

    /// The hint for missing effects.
    pub(super) fn see_log(&self) -> String {
        format!("see the function's log, {}", self.flow.log_group)
    }
}

/// The hint for a pipeline that does not exist.
pub(super) fn up_first() -> &'static str {
    "bring the pipeline up with `streamkit up` first"
}

/// The error for a flow with missing resources.
pub(super) fn not_up(what: &str) -> anyhow::Error {
    Hint::error(what.to_owned(), up_first())
}
