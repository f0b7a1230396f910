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
    pub(crate) times: Times,
}

/// How long AWS commonly stays in the states that are waited through.
pub(crate) type Times = &'static [Stay];

/// How long AWS commonly stays in a state.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stay {
    state: &'static str,
    /// Seconds, at least.
    least: f64,
    /// After that each look comes later than the one before by this share of the time that the run has taken, so that no more than
    /// that is lost of it.
    share: f64,
    /// Other endpoints may leave the state at once, but not before the first look.
    is_left_at_once: bool,
}

impl Stay {
    pub(crate) const fn new(state: &'static str, least: f64, share: f64) -> Self {
        Self { state, least, share, is_left_at_once: false }
    }

    /// A second look comes soon after the first.
    pub(crate) const fn or_short(self) -> Self {
        Self { is_left_at_once: true, ..self }
    }
}

/// For states that are in no table: those that AWS still shows, although it has left them.
const OTHERS: Stay = Stay::new("", 1.0, 0.5);
/// Looks are never closer to each other than this, nor farther apart than that.
const STEPS: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(5));

/// The pause after a look that showed this state, when so much time has passed since the first one, and `before` it in this run.
fn pause_after(times: Times, state: &str, passed: Duration, before: Duration) -> Duration {
    let known = times.iter().find(|stay| stay.state == state).map(|stay| (stay, before));
    let (stay, before) = known.unwrap_or((&OTHERS, Duration::ZERO));
    if stay.is_left_at_once && passed < STEPS.0 {
        return STEPS.0;
    }
    let left = Duration::from_secs_f64(stay.least).saturating_sub(passed);
    left.max((before + passed).mul_f64(stay.share).clamp(STEPS.0, STEPS.1))
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
/// What is waited for exists: while AWS does not find it, it is not known everywhere yet. `before` is what the run has taken until
/// now. Gives the time that AWS needed at least: to the last look that did not show the target.
pub(crate) async fn wait(
    wait: &Wait<'_>,
    before: Duration,
    mut look: impl AsyncFnMut() -> anyhow::Result<Look>,
    mut note: impl FnMut(&str),
) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let deadline = started + wait.limit;
    let mut needed = Duration::ZERO;
    // The state of the last look, and when it was first seen.
    let mut last: Option<(String, Instant)> = None;
    loop {
        let looked = started.elapsed();
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
            return Ok(needed);
        }
        needed = looked;
        let is_lagging = state == GONE && started.elapsed() < LAG;
        if !is_lagging && !wait.pending.contains(&state.as_str()) {
            bail!("{} is in the unexpected state {state}, on its way to {}", wait.what, wait.target.join(" or "));
        }
        let pause = pause_after(wait.times, &state, started.elapsed(), before);
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

    const ACTIVE: Wait<'_> = Wait {
        what: "stream (a)",
        pending: &["CREATING"],
        target: &["ACTIVE"],
        limit: Duration::from_secs(60),
        times: &[Stay::new("CREATING", 9.0, 0.1)],
    };
    /// A run that has just begun.
    const NEW: Duration = Duration::ZERO;

    #[tokio::test(start_paused = true)]
    async fn wait_ends_at_the_target() {
        let mut states = ["CREATING", "CREATING", "ACTIVE"].into_iter();
        wait(&ACTIVE, NEW, async || Ok(Look::State(states.next().unwrap().to_owned())), |_| {}).await.unwrap();
        assert_eq!(states.next(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn looks_are_few_and_little_time_is_lost() {
        for seconds in [10.0, 15.0, 30.0] {
            let (started, mut looks) = (Instant::now(), 0);
            let look = async || {
                looks += 1;
                let state = if started.elapsed().as_secs_f64() < seconds { "CREATING" } else { "ACTIVE" };
                Ok(Look::State(state.to_owned()))
            };
            let needed = wait(&ACTIVE, NEW, look, |_| {}).await.unwrap();
            assert!(needed.as_secs_f64() < seconds && needed.as_secs_f64() > seconds / 1.1 - 0.1, "{needed:?}");
            assert!(started.elapsed().as_secs_f64() <= seconds * 1.1, "{:?}", started.elapsed());
            assert!(looks <= 15, "{looks} looks in {seconds} s");
        }
    }

    #[test]
    fn what_a_look_may_cost_is_a_share_of_the_whole_run() {
        let pause = |passed, before| {
            pause_after(ACTIVE.times, "CREATING", Duration::from_secs(passed), Duration::from_secs(before))
        };
        assert_eq!(
            [pause(0, 20), pause(10, 0), pause(10, 20), pause(10, 90)].map(|pause| pause.as_millis()),
            [9_000, 1_000, 3_000, 5_000]
        );
        let unknown = pause_after(ACTIVE.times, GONE, Duration::from_secs(4), Duration::from_secs(90));
        assert_eq!(unknown, Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn wait_refuses_states_it_does_not_know() {
        let error = wait(&ACTIVE, NEW, async || Ok(Look::State("DELETING".to_owned())), |_| {}).await.unwrap_err();
        assert_eq!(error.to_string(), "stream (a) is in the unexpected state DELETING, on its way to ACTIVE");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_found_yet_is_waited_for_and_what_is_gone_for_good_is_told() {
        let mut states = [Look::Gone, Look::Gone, Look::State("ACTIVE".to_owned())].into_iter();
        wait(&ACTIVE, NEW, async || Ok(states.next().unwrap()), |_| {}).await.unwrap();
        let patient = Wait { limit: Duration::from_secs(600), ..ACTIVE };
        let started = Instant::now();
        let error = wait(&patient, NEW, async || Ok(Look::Gone), |_| {}).await.unwrap_err();
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
        let error = wait(&ACTIVE, NEW, async || Ok(Look::State("CREATING".to_owned())), |_| {}).await.unwrap_err();
        assert_eq!(error.to_string(), "stream (a) is still CREATING after 60 s");
    }
}
