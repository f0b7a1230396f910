//! Waits until a resource reaches a state: a wait is data, and the loop is here.

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

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), 1.5, Duration::from_secs(2));

/// Looks until the state is one of the targets; an unknown state is an error, and so is the time limit.
pub(crate) async fn wait(
    wait: &Wait<'_>,
    mut look: impl AsyncFnMut() -> anyhow::Result<Look>,
    mut note: impl FnMut(&str),
) -> anyhow::Result<()> {
    let deadline = Instant::now() + wait.limit;
    let mut backoff = BACKOFF;
    loop {
        let state = match look().await? {
            Look::State(state) => state,
            Look::Gone => GONE.to_owned(),
        };
        if wait.target.contains(&state.as_str()) {
            return Ok(());
        }
        if !wait.pending.contains(&state.as_str()) {
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
        let error = wait(&ACTIVE, async || Ok(Look::Gone), |_| {}).await.unwrap_err();
        assert_eq!(error.to_string(), "stream (a) is in the unexpected state gone, on its way to ACTIVE");
    }

    #[tokio::test(start_paused = true)]
    async fn wait_says_the_last_state_at_its_limit() {
        let error = wait(&ACTIVE, async || Ok(Look::State("CREATING".to_owned())), |_| {}).await.unwrap_err();
        assert_eq!(error.to_string(), "stream (a) is still CREATING after 60 s");
    }
}
