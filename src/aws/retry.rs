//! Retries of calls that fail for a known and passing reason. Throttles and broken connections are the SDK's own matter.

use std::time::Duration;

use tokio::time::Instant;

use super::error::AwsError;

/// How long a new role may take until Lambda can use it.
const PROPAGATION: Duration = Duration::from_secs(120);
/// How long an earlier change of the same resource may take.
const IN_USE: Duration = Duration::from_secs(300);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Calls until IAM has told Lambda of the role, for two minutes at most.
pub(crate) async fn propagation<T>(
    call: impl AsyncFnMut() -> Result<T, AwsError>,
    note: impl FnMut(&str),
) -> Result<T, AwsError> {
    retry(PROPAGATION, "waiting for IAM to propagate the role", AwsError::is_propagation, call, note).await
}

/// Calls until an earlier change of the same resource is done, for five minutes at most.
pub(crate) async fn in_use<T>(
    call: impl AsyncFnMut() -> Result<T, AwsError>,
    note: impl FnMut(&str),
) -> Result<T, AwsError> {
    retry(IN_USE, "waiting for an earlier change", AwsError::is_busy, call, note).await
}

async fn retry<T>(
    budget: Duration,
    why: &str,
    passes: fn(&AwsError) -> bool,
    mut call: impl AsyncFnMut() -> Result<T, AwsError>,
    mut note: impl FnMut(&str),
) -> Result<T, AwsError> {
    let deadline = Instant::now() + budget;
    let mut pause = FIRST_PAUSE;
    loop {
        match call().await {
            Err(error) if passes(&error) && Instant::now() + pause < deadline => {
                note(why);
                tokio::time::sleep(jittered(pause)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            other => return other,
        }
    }
}

/// Between half of the pause and all of it, so that many callers do not come back at once.
pub(super) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
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
        let answer = propagation(
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
        assert_eq!(answer.await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn other_bad_parameters_fail_at_once() {
        let started = Instant::now();
        let answer: Result<(), _> =
            propagation(async || Err(error("InvalidParameterValueException", "Unzipped size must be smaller")), |_| {})
                .await;
        assert_eq!(answer.unwrap_err().message, "Unzipped size must be smaller");
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn propagation_gives_up_after_its_budget_with_the_last_error() {
        let started = Instant::now();
        let answer: Result<(), _> = propagation(
            async || Err(error("InvalidParameterValueException", "Please ensure the role can perform the GetRecords")),
            |_| {},
        )
        .await;
        assert!(answer.is_err());
        assert!(started.elapsed() <= PROPAGATION && started.elapsed() > Duration::from_secs(110));
    }
}
