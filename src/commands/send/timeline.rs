//! What was sent over time, and how long calls took: for the page about a run, and bounded however long that is.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest slot, and how many there are at most: then each two become one that is twice as long.
const SHORTEST: Duration = Duration::from_millis(10);
const SLOTS: usize = 120;
/// How many calls are kept. Runs with more have so many alike that those tell enough.
const CALLS: usize = 1_000_000;

/// Counts by time.
#[derive(Debug)]
pub(super) struct Timeline {
    started: Instant,
    slot: Duration,
    sent: Vec<u64>,
    /// How long calls took, in seconds.
    calls: Vec<f32>,
}

impl Timeline {
    pub(super) fn new(started: Instant) -> Self {
        Self { started, slot: SHORTEST, sent: Vec::new(), calls: Vec::new() }
    }

    /// Notes what a call has sent, and how long it took.
    pub(super) fn note(&mut self, at: Instant, sent: u64, took: Duration) {
        if self.calls.len() < CALLS {
            self.calls.push(took.as_secs_f32());
        }
        let since = at.saturating_duration_since(self.started);
        let place = loop {
            let place = since.as_nanos() / self.slot.as_nanos();
            match usize::try_from(place) {
                Ok(place) if place < SLOTS => break place,
                _ => self.halve(),
            }
        };
        if self.sent.len() <= place {
            self.sent.resize(place + 1, 0);
        }
        self.sent[place] += sent;
    }

    fn halve(&mut self) {
        self.slot *= 2;
        self.sent = self.sent.chunks(2).map(|pair| pair.iter().sum()).collect();
    }

    /// The length of a slot in seconds.
    pub(super) fn slot_seconds(&self) -> f64 {
        self.slot.as_secs_f64()
    }

    /// How many were sent in each slot.
    pub(super) fn sent(&self) -> &[u64] {
        &self.sent
    }

    /// How long calls took, in seconds.
    pub(super) fn calls(&self) -> impl Iterator<Item = f64> {
        self.calls.iter().copied().map(f64::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_grow_with_the_run_and_lose_nothing() {
        let started = Instant::now();
        let mut timeline = Timeline::new(started);
        for second in 0..3_600 {
            timeline.note(started + Duration::from_secs(second), 10, Duration::from_millis(second));
        }
        assert!(timeline.sent().len() <= SLOTS && timeline.sent().len() > SLOTS / 2, "{:?}", timeline.sent().len());
        assert_eq!(timeline.sent().iter().sum::<u64>(), 36_000);
        assert!((timeline.slot_seconds() - 40.96).abs() < 1e-9);
        assert_eq!(timeline.calls().count(), 3_600);
    }
}
