//! Waits until a resource reaches a state: a wait is data, and the loop is here. Tells the log how long each state lasted.

use std::time::Duration;

use anyhow::bail;
use tokio::time::Instant;

use super::backoff::Backoff;

/// A wait: for what, through which states, to which, and for how long.
pub(crate) struct Wait<'a> {
    pub(crate) what: &'a str,
    pub(crate) pending: &'a [&'a str],
    pub(crate) target: &'a [&'a str],
    pub(crate) limit: Duration,
}

/// One look at the resource.
pub(crate) enum Look {
    State(String),
    Gone,
}

/// The state that stands for "no longer there" in [`Wait::target`] and [`Wait::pending`].
pub(crate) const GONE: &str = "gone";

/// How long AWS's answers may lag behind what was done. The longest that a service names: SQS says so of a queue's attributes.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html>
pub(crate) const LAG: Duration = Duration::from_secs(60);

/// What users write in `STREAMKIT_LOG` to choose the events of waits.
const TARGET: &str = "streamkit::wait";

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), 1.5, Duration::from_secs(2));

/// Looks until the state is one of the targets; an unknown state is an error, and so is the time limit.
///
/// What is waited for exists: while AWS does not find it, it is not known everywhere yet.
pub(crate) async fn wait(
    wait: &Wait<'_>,
    mut look: impl AsyncFnMut() -> anyhow::Result<Look>,
    mut note: impl FnMut(&str),
) -> anyhow::Result<()> {
    let started = Instant::now();
    let deadline = started + wait.limit;
    let mut backoff = BACKOFF;
    // The state of the last look, and when it was first seen.
    let mut last: Option<(String, Instant)> = None;
    loop {
        let state = match look().await? {
            Look::State(state) => state,
            Look::Gone => GONE.to_owned(),
        };
        if last.as_ref().is_none_or(|(seen, _)| *seen != state)
            && let Some((ended, since)) = last.replace((state.clone(), Instant::now()))
        {
            let ms = since.elapsed().as_millis();
            tracing::debug!(target: TARGET, ms, %ended, next = %state, "{}", wait.what);
        }
        if wait.target.contains(&state.as_str()) {
            return Ok(());
        }
        let is_lagging = state == GONE && started.elapsed() < LAG;
        if !is_lagging && !wait.pending.contains(&state.as_str()) {
            bail!("{} is in the unexpected state {state}, on its way to {}", wait.what, wait.target.join(" or "));
        }
        let pause = backoff.pause();
        if Instant::now() + pause > deadline {
            bail!("{} is still {state} after {} s", wait.what, wait.limit.as_secs());
        }
        note(&format!("{state}, waiting for {}", wait.target.join(" or ")));
        tokio::time::sleep(pause).await;
    }
}

/// Looks until there is something to see, for as long as AWS may lag; `None` when there is nothing to see even then.
pub(crate) async fn until_seen<T>(
    mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
    mut note: impl FnMut(&str),
) -> anyhow::Result<Option<T>> {
    let deadline = Instant::now() + LAG;
    let mut backoff = BACKOFF;
    loop {
        let seen = look().await?;
        let pause = backoff.pause();
        if seen.is_some() || Instant::now() + pause > deadline {
            return Ok(seen);
        }
        note("waiting until AWS shows it");
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIVE: Wait<'_> =
        Wait { what: "stream (a)", pending: &["CREATING"], target: &["ACTIVE"], limit: Duration::from_secs(60) };

    #[tokio::test(start_paused = true)]
    async fn wait_ends_at_the_target() {
        let mut states = ["CREATING", "CREATING", "ACTIVE"].into_iter();
        wait(&ACTIVE, async || Ok(Look::State(states.next().unwrap().to_owned())), |_| {}).await.unwrap();
        assert_eq!(states.next(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn wait_refuses_states_it_does_not_know() {
        let error = wait(&ACTIVE, async || Ok(Look::State("DELETING".to_owned())), |_| {}).await.unwrap_err();
        assert_eq!(error.to_string(), "stream (a) is in the unexpected state DELETING, on its way to ACTIVE");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_found_yet_is_waited_for_and_what_is_gone_for_good_is_told() {
        let mut states = [Look::Gone, Look::Gone, Look::State("ACTIVE".to_owned())].into_iter();
        wait(&ACTIVE, async || Ok(states.next().unwrap()), |_| {}).await.unwrap();
        let patient = Wait { limit: Duration::from_secs(600), ..ACTIVE };
        let started = Instant::now();
        let error = wait(&patient, async || Ok(Look::Gone), |_| {}).await.unwrap_err();
        assert_eq!(error.to_string(), "stream (a) is in the unexpected state gone, on its way to ACTIVE");
        assert!(started.elapsed() >= LAG && started.elapsed() < LAG * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_never_seen_is_looked_for_as_long_as_aws_may_lag() {
        let mut left = 4;
        let look = async || {
            left -= 1;
            Ok((left == 0).then_some("there"))
        };
        assert_eq!(until_seen(look, |_| {}).await.unwrap(), Some("there"));
        let started = Instant::now();
        assert_eq!(until_seen(async || Ok(None::<()>), |_| {}).await.unwrap(), None);
        assert!(started.elapsed() <= LAG && started.elapsed() > LAG / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn wait_says_the_last_state_at_its_limit() {
        let error = wait(&ACTIVE, async || Ok(Look::State("CREATING".to_owned())), |_| {}).await.unwrap_err();
        assert_eq!(error.to_string(), "stream (a) is still CREATING after 60 s");
    }
}
