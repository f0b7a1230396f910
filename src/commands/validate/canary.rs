//! Canaries, which show that events flow at all, and the rounds in which test events are sent once they do.

use std::time::Duration;

use tokio::time::Instant;

use super::check::Verdict;
use super::resources::mapping;
use super::validation::Validation;

/// The least number of events whose latency is measured.
pub(super) const MEASURED_EVENTS: usize = 50;
/// The time between two rounds of test events. It makes them arrive at different points of the batch window.
pub(super) const ROUND_INTERVAL: Duration = Duration::from_millis(500);
const FIRST_INTERVAL: Duration = Duration::from_secs(2);
const LONGEST_INTERVAL: Duration = Duration::from_secs(10);

/// How often `events` test events are sent: often enough to measure latencies, and at least once.
pub(super) fn rounds(events: usize) -> usize {
    MEASURED_EVENTS.div_ceil(events.max(1))
}

/// A run that can send canaries and look for their effects.
pub(super) trait CanaryRun {
    /// What one does with a canary, for messages: `sent` into a stream, `put` into a table.
    const DONE: &'static str;

    fn validation(&self) -> &Validation<'_>;

    /// Sends the canary of this number.
    async fn send_canary(&mut self, number: usize) -> anyhow::Result<()>;

    /// Looks once for effects, and waits for as long as is useful before the next look.
    async fn look_and_wait(&mut self) -> anyhow::Result<()>;

    /// The place, among all that the run has sent, of the first canary whose effect was seen.
    fn first_arrived(&self) -> Option<usize>;

    /// Notes that a check has waited to its end in vain.
    fn give_up(&mut self);
}

/// Sends canaries until the effect of one is seen. A mapping that is enabled may not read yet, and one that starts at the
/// end of the stream never reads what was sent before.
pub(super) async fn flow(run: &mut impl CanaryRun) -> anyhow::Result<Verdict> {
    let (started, deadline) = (Instant::now(), run.validation().deadline());
    let mut sent = 0;
    let mut next = started;
    let mut interval = FIRST_INTERVAL;
    loop {
        if Instant::now() >= next {
            run.send_canary(sent).await?;
            sent += 1;
            next = Instant::now() + interval;
            interval = (interval * 3 / 2).min(LONGEST_INTERVAL);
        }
        run.look_and_wait().await?;
        if let Some(place) = run.first_arrived() {
            let after = started.elapsed().as_secs_f64();
            return Ok(Verdict::new(true, format!("canary {} of {sent} arrived after {after:.1} s", place + 1)));
        }
        if Instant::now() >= deadline {
            run.give_up();
            return Ok(nothing_arrived(run, sent).await);
        }
    }
}

async fn nothing_arrived<R: CanaryRun>(run: &R, sent: usize) -> Verdict {
    let validation = run.validation();
    let observed = format!(
        "none, with canaries {} {sent} times in {} s; {}",
        R::DONE,
        validation.limit.as_secs(),
        mapping(validation).await
    );
    let mut hint = format!("see `streamkit status`, and the function's log {}", validation.flow.log_group);
    if validation.session.aws.endpoint.is_some() && !validation.local {
        hint.push_str("; an endpoint that runs no functions, as moto's, never gets further: `--local` does");
    }
    Verdict::new(false, observed).or_hint(hint)
}
