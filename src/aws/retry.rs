//! Retries of calls that fail for a known and passing reason. Throttles and broken connections are the SDK's own matter.

use std::error::Error;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::time::Instant;

use super::error::{AwsError, answered};
use super::wait::LAG;

/// A kind of error that passes, and for how long it is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passing {
    includes: fn(&AwsError) -> bool,
    limit: Duration,
    note: &'static str,
    /// When to try again first, and from when on it passes as a rule.
    times: (Duration, Duration),
}

/// A new role is not yet known to Lambda.
pub(crate) const PROPAGATION: Passing = Passing {
    includes: AwsError::is_propagation,
    limit: Duration::from_secs(120),
    note: "waiting for IAM to propagate the role",
    times: (Duration::from_millis(1_000), Duration::from_millis(4_500)),
};
/// Lambda knows the role, whose function it has taken, and not yet all that it may do: the most of the way is behind it.
pub(crate) const RIGHTS: Passing = Passing { times: QUICKLY, ..PROPAGATION };
/// An earlier change of the same resource is still being made.
pub(crate) const BUSY: Passing = Passing {
    includes: AwsError::is_busy,
    limit: Duration::from_secs(300),
    note: "waiting for an earlier change",
    times: QUICKLY,
};
/// It is being deleted, and will not be found when it is gone.
pub(crate) const GOING: Passing = Passing {
    includes: |error| error.is(&["ResourceInUseException"]) && error.message.contains("DELETING"),
    limit: Duration::from_secs(300),
    note: "waiting for an earlier deletion",
    times: QUICKLY,
};
/// What was just made is not yet known to all that AWS answers from.
pub(crate) const NOT_KNOWN: Passing = Passing {
    includes: AwsError::is_missing,
    limit: LAG,
    note: "waiting until AWS knows it everywhere",
    times: QUICKLY,
};

const QUICKLY: (Duration, Duration) = (Duration::from_millis(800), Duration::from_millis(800));
/// Each later try comes after this share of the time that has passed, within these limits.
const SHARE: f64 = 0.2;
const STEPS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2));

/// The pause after a refusal, when so much time has passed since the first one.
fn pause_after((first, usual): (Duration, Duration), passed: Duration) -> Duration {
    let until_first = first.saturating_sub(passed);
    if !until_first.is_zero() {
        return until_first;
    }
    usual
        .saturating_sub(passed)
        .max(passed.mul_f64(SHARE).clamp(STEPS.0, STEPS.1))
        .mul_f64(0.9 + fastrand::f64() / 10.0)
}

/// Sends a call again until it ends otherwise than with one of these errors, or the error's time limit is over.
pub(crate) async fn retry<T, E, F>(
    passing: &[Passing],
    send: impl FnMut() -> F,
    note: impl FnMut(&str),
) -> Result<T, AwsError>
where
    E: ProvideErrorMetadata + Error + 'static,
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    timed_retry(passing, send, note).await.map(|(answer, _)| answer)
}

/// The same, which also gives the time that AWS needed at least: to the last refusal.
pub(crate) async fn timed_retry<T, E, F>(
    passing: &[Passing],
    mut send: impl FnMut() -> F,
    note: impl FnMut(&str),
) -> Result<(T, Duration), AwsError>
where
    E: ProvideErrorMetadata + Error + 'static,
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    retry_call(passing, async || answered(send().await), note).await
}

async fn retry_call<T>(
    passing: &[Passing],
    mut call: impl AsyncFnMut() -> Result<T, AwsError>,
    mut note: impl FnMut(&str),
) -> Result<(T, Duration), AwsError> {
    let started = Instant::now();
    let mut needed = Duration::ZERO;
    loop {
        let sent = started.elapsed();
        let error = match call().await {
            Ok(answer) => return Ok((answer, needed)),
            Err(error) => error,
        };
        let Some(passing) = passing.iter().find(|passing| (passing.includes)(&error)) else { return Err(error) };
        needed = sent;
        let pause = pause_after(passing.times, started.elapsed());
        if started.elapsed() + pause >= passing.limit {
            return Err(error);
        }
        note(passing.note);
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: &str, message: &str) -> AwsError {
        AwsError { code: code.to_owned(), message: message.to_owned(), request_id: None }
    }

    #[tokio::test(start_paused = true)]
    async fn propagation_errors_are_retried_until_they_pass() {
        let mut left = 5;
        let answer = retry_call(
            &[BUSY, PROPAGATION],
            async || {
                left -= 1;
                if left > 0 {
                    return Err(error(
                        "InvalidParameterValueException",
                        "The role defined for the function cannot be assumed by Lambda.",
                    ));
                }
                Ok(left)
            },
            |_| {},
        );
        assert_eq!(answer.await.unwrap().0, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn rights_are_asked_for_again_sooner_than_a_role_that_is_new() {
        for (passing, tries) in [(PROPAGATION, 2), (RIGHTS, 4)] {
            let (started, mut sent) = (Instant::now(), 0);
            let call = async || {
                sent += 1;
                let is_known = started.elapsed() > Duration::from_secs(4);
                let refusal =
                    || error("InvalidParameterValueException", "Please ensure the role can perform the GetRecords");
                if is_known { Ok(()) } else { Err(refusal()) }
            };
            retry_call(&[passing], call, |_| {}).await.unwrap();
            assert!(sent > tries && started.elapsed() < Duration::from_secs(6), "{sent} in {:?}", started.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn other_bad_parameters_fail_at_once() {
        let started = Instant::now();
        let answer: Result<((), _), _> = retry_call(
            &[BUSY, PROPAGATION],
            async || Err(error("InvalidParameterValueException", "Unzipped size must be smaller")),
            |_| {},
        )
        .await;
        assert_eq!(answer.unwrap_err().message, "Unzipped size must be smaller");
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn propagation_gives_up_after_its_budget_with_the_last_error() {
        let started = Instant::now();
        let answer: Result<((), _), _> = retry_call(
            &[BUSY, PROPAGATION],
            async || Err(error("InvalidParameterValueException", "Please ensure the role can perform the GetRecords")),
            |_| {},
        )
        .await;
        assert!(answer.is_err());
        assert!(started.elapsed() <= PROPAGATION.limit && started.elapsed() > Duration::from_secs(110));
    }
}
