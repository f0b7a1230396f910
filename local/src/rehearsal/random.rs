//! Random numbers that follow from a seed and what they are for, so that no order of events changes them.

use std::f64::consts::TAU;

use sha2::{Digest as _, Sha256};

/// Four numbers from 0 to below 1, always the same for the same seed and parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeededRandom(pub(crate) [f64; 4]);

impl SeededRandom {
    pub(crate) fn new(seed: u64, parts: &[&str], count: u64) -> Self {
        let mut hash = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(count.to_le_bytes());
        for part in parts {
            // With its length, so that parts do not run into each other.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        let mut numbers = [0.0; 4];
        for (number, bytes) in numbers.iter_mut().zip(digest.chunks_exact(8)) {
            let whole = bytes.iter().fold(0_u64, |whole, byte| whole << 8 | u64::from(*byte));
            #[expect(clippy::cast_precision_loss, reason = "53 bits are what a float holds")]
            let fraction = (whole >> 11) as f64 / (1_u64 << 53) as f64;
            *number = fraction;
        }
        Self(numbers)
    }

    /// A number of the normal distribution, made of the last two.
    pub(crate) fn normal(&self) -> f64 {
        // 1 − u is never 0, whose logarithm is infinite.
        (-2.0 * (1.0 - self.0[2]).ln()).sqrt() * (TAU * self.0[3]).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "the very same numbers must come again")]
    fn draw_follows_from_seed_parts_and_count_alone() {
        let draw = |seed, parts: &[&str], count| SeededRandom::new(seed, parts, count).0;
        let one = draw(1, &["kinesis", "PutRecord"], 0);
        assert_eq!(one, draw(1, &["kinesis", "PutRecord"], 0));
        for other in [
            draw(2, &["kinesis", "PutRecord"], 0),
            draw(1, &["kinesis", "PutRecord"], 1),
            draw(1, &["kinesisPut", "Record"], 0),
        ] {
            assert_ne!(one[0].to_bits(), other[0].to_bits());
        }
        // The numbers are the same on every machine and with every release: a seed in a bug report still says something.
        assert!(one.iter().all(|number| (0.0..1.0).contains(number)));
    }

    #[test]
    fn draws_are_spread_evenly() {
        let mean = |numbers: &[f64]| numbers.iter().sum::<f64>() / 10_000.0;
        let all: Vec<SeededRandom> = (0..10_000).map(|count| SeededRandom::new(7, &["x"], count)).collect();
        let first: Vec<f64> = all.iter().map(|draw| draw.0[0]).collect();
        let normal: Vec<f64> = all.iter().map(SeededRandom::normal).collect();
        let squares: Vec<f64> = normal.iter().map(|number| number * number).collect();
        assert!((mean(&first) - 0.5).abs() < 0.02 && mean(&normal).abs() < 0.04 && (mean(&squares) - 1.0).abs() < 0.06);
    }
}
