//! A Zipf distribution for realistic popularity: the first rank is drawn most, the n-th about 1/n as often.

/// A Zipf distribution over the ranks `0..len`, with exponent 1.
#[derive(Debug)]
pub(crate) struct Zipf {
    /// Cumulated weights; the last is the total.
    cumulated: Vec<f64>,
}

impl Zipf {
    pub(crate) fn new(len: u32) -> Self {
        let mut total = 0.0;
        let cumulated = (1..=len.max(1))
            .map(|rank| {
                total += 1.0 / f64::from(rank);
                total
            })
            .collect();
        Self { cumulated }
    }

    pub(crate) fn draw(&self, rng: &mut fastrand::Rng) -> usize {
        let last = self.cumulated.len() - 1;
        let point = rng.f64() * self.cumulated[last];
        self.cumulated.partition_point(|&sum| sum <= point).min(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draw_prefers_low_ranks_and_reaches_all() {
        let zipf = Zipf::new(10);
        let mut rng = fastrand::Rng::with_seed(1);
        let mut hits = [0_u32; 10];
        for _ in 0..100_000 {
            hits[zipf.draw(&mut rng)] += 1;
        }
        assert!(hits.iter().all(|&n| n > 0), "{hits:?}");
        let ratio = f64::from(hits[0]) / f64::from(hits[9]);
        assert!((8.0..12.0).contains(&ratio), "{ratio}");
    }
}
