//! How long to wait before the next try.

use std::time::Duration;

/// Pauses that grow up to a longest one, each shortened at random so that many callers do not come back at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    next: Duration,
    factor: f64,
    longest: Duration,
}

impl Backoff {
    /// Pauses of `first`, `first × factor` and so on.
    pub(crate) const fn new(first: Duration, factor: f64, longest: Duration) -> Self {
        Self { next: first, factor, longest }
    }

    /// The next pause: between half of its length and all of it.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = pause.mul_f64(self.factor).min(self.longest);
        pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_are_at_least_half_of_their_length() {
        let mut backoff = Backoff::new(Duration::from_millis(100), 2.0, Duration::from_millis(300));
        for length in [100, 200, 300, 300] {
            let pause = backoff.pause();
            assert!((Duration::from_millis(length / 2)..=Duration::from_millis(length)).contains(&pause), "{pause:?}");
        }
    }
}
