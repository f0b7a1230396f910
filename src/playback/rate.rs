//! How many records a second are played at most.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::lock::locked;

/// A steady rate, or none.
#[derive(Debug)]
pub(crate) struct Rate {
    each: Option<Duration>,
    next: Mutex<Instant>,
}

impl Rate {
    /// Records a second.
    pub(crate) fn new(per_second: Option<f64>) -> Self {
        // Slower than a record in a year is no rate, and would not fit a timer.
        let each = per_second.map(|rate| Duration::from_secs_f64((1.0 / rate).clamp(1e-9, 31_536_000.0)));
        Self { each, next: Mutex::new(Instant::now()) }
    }

    /// The most records that may go together: what a second allows.
    pub(crate) fn most(&self) -> usize {
        let Some(each) = self.each else { return usize::MAX };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a conversion from float saturates"
        )]
        let most = (1.0 / each.as_secs_f64()) as usize;
        most.max(1)
    }

    /// Waits until so many records may go.
    pub(crate) async fn wait(&self, records: usize) {
        let Some(each) = self.each else { return };
        let due = {
            let mut next = locked(&self.next);
            let due = (*next).max(Instant::now());
            *next = due + each.saturating_mul(u32::try_from(records).unwrap_or(u32::MAX));
            due
        };
        sleep_until(due).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn records_go_at_the_rate() {
        let rate = Rate::new(Some(50.0));
        let started = Instant::now();
        for _ in 0..5 {
            rate.wait(50).await;
        }
        assert_eq!((started.elapsed(), rate.most()), (Duration::from_secs(4), 50));
        assert_eq!((Rate::new(None).most(), Rate::new(Some(0.1)).most()), (usize::MAX, 1));
    }
}
