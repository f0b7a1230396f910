//! AWS's own time, as the `Date` of its answers tells it: this machine's clock may be minutes off.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::Format;

/// What is no more than the way of an answer, and the part of a second that a date lacks.
const UNNOTICED_MS: i64 = 5_000;

/// How far AWS's clock is ahead of this machine's, by the newest answer to one of the clients that it watches.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    ahead_ms: Arc<AtomicI64>,
}

impl Clock {
    /// AWS's time; this machine's while nothing has answered.
    pub(crate) fn now(&self) -> SystemTime {
        self.at(SystemTime::now())
    }

    /// Whether AWS's clock is ahead, and by how much.
    pub(super) fn ahead(&self) -> (bool, Duration) {
        let ahead = self.ahead_ms.load(Ordering::Relaxed);
        (ahead > 0, Duration::from_millis(ahead.unsigned_abs()))
    }

    fn at(&self, here: SystemTime) -> SystemTime {
        let ahead = self.ahead_ms.load(Ordering::Relaxed);
        let by = Duration::from_millis(ahead.unsigned_abs());
        let there = if ahead < 0 { here.checked_sub(by) } else { here.checked_add(by) };
        there.unwrap_or(here)
    }

    fn note(&self, there: SystemTime, here: SystemTime) {
        let ahead = match there.duration_since(here) {
            Ok(ahead) => milliseconds(ahead),
            Err(behind) => -milliseconds(behind.duration()),
        };
        self.ahead_ms.store(if ahead.abs() < UNNOTICED_MS { 0 } else { ahead }, Ordering::Relaxed);
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl Intercept for Clock {
    fn name(&self) -> &'static str {
        "Clock"
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date").and_then(parse) {
            self.note(date, SystemTime::now());
        }
        Ok(())
    }
}

fn parse(text: &str) -> Option<SystemTime> {
    SystemTime::try_from(DateTime::from_str(text, Format::HttpDate).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_answers_are_read() {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(parse("Tue, 14 Nov 2023 22:13:20 GMT"), at(1_700_000_000));
        assert_eq!(parse("yesterday"), None);
    }

    #[test]
    fn a_clock_that_is_minutes_off_is_set_right_and_the_way_of_an_answer_is_not() {
        let here = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let minutes = Duration::from_mins(2);
        for (there, now) in [
            (here + minutes, here + minutes),
            (here - minutes, here - minutes),
            (here - Duration::from_secs(3), here),
            (here + Duration::from_secs(2), here),
        ] {
            let clock = Clock::default();
            assert_eq!(clock.at(here), here);
            clock.note(there, here);
            assert_eq!(clock.at(here), now);
        }
    }
}
