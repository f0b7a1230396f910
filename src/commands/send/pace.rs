//! How fast events may follow each other.

use std::time::Duration;

use tokio::time::Instant;

/// A steady rate. A sender that is held up catches up for at most a second's worth, so no burst follows.
#[derive(Debug)]
pub(in crate::commands) struct Pace {
    interval: Duration,
    next: Instant,
}

const CATCH_UP: Duration = Duration::from_secs(1);

impl Pace {
    /// Events a second; the first is due now.
    pub(in crate::commands) fn new(rate: f64, now: Instant) -> Self {
        // Slower than an event in a year is no rate, and would not fit a timer.
        let seconds = (1.0 / rate).clamp(1e-9, 31_536_000.0);
        Self { interval: Duration::from_secs_f64(seconds), next: now }
    }

    /// When the next event is due.
    pub(in crate::commands) fn due(&self) -> Instant {
        self.next
    }

    /// Notes that an event was made.
    pub(in crate::commands) fn took(&mut self, now: Instant) {
        let behind = now.checked_sub(CATCH_UP).unwrap_or(now);
        self.next = self.next.max(behind) + self.interval;
    }
}

/// Reads a positive number of events a second.
pub(in crate::commands) fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| format!("`{text}` is not a rate: write a number of events a second, more than 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many events are made in these seconds, when the sender looks every millisecond.
    fn made(pace: &mut Pace, from: Instant, milliseconds: std::ops::Range<u64>) -> u32 {
        let mut made = 0;
        for now in milliseconds.map(|ms| from + Duration::from_millis(ms)) {
            while pace.due() <= now {
                pace.took(now);
                made += 1;
            }
        }
        made
    }

    #[test]
    fn pace_is_steady_for_high_and_low_rates() {
        let now = Instant::now();
        for (rate, expected) in [(1.0, 10), (250.0, 2_500), (8_000.0, 80_000), (0.5, 5)] {
            let made = made(&mut Pace::new(rate, now), now, 0..10_000);
            assert!(made.abs_diff(expected) <= 8, "{rate}: {made}");
        }
    }

    #[test]
    fn pace_does_not_burst_after_a_long_stop() {
        let now = Instant::now();
        let mut pace = Pace::new(100.0, now);
        assert_eq!(made(&mut pace, now, 0..1), 1);
        let burst = made(&mut pace, now, 60_000..60_001);
        assert!((100..=102).contains(&burst), "{burst}");
    }

    #[test]
    fn rates_that_are_none_are_refused() {
        for text in ["0", "-1", "NaN", "inf", "fast", ""] {
            assert!(rate(text).is_err(), "{text}");
        }
        assert_eq!(rate("0.5"), Ok(0.5));
    }
}
