//! How often things come, in bounded memory: the counters of Space-Saving.
//!
//! A. Metwally, D. Agrawal, A. El Abbadi: Efficient Computation of Frequent and Top-k Elements in Data Streams, ICDT 2005. As
//! long as there are no more different things than counters, all counts are exact. From then on a new thing takes over the
//! counter of the rarest, so that counts are too high by at most what is noted as their excess, and nothing that is frequent is
//! missing. Merged as in M. Cafaro, M. Pulimeno, P. Tempesta: A parallel space saving algorithm for frequent items and the Hurwitz
//! zeta distribution, Information Sciences 329, 2016.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counters by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Sketch {
    pub(super) counters: BTreeMap<String, Counter>,
    /// What has no counter has come at most so often.
    pub(super) uncounted: u64,
}

/// How often something came: at most `count` times, and at least `excess` times less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counter {
    #[serde(rename = "n")]
    pub(super) count: u64,
    #[serde(rename = "x", default, skip_serializing_if = "is_zero")]
    pub(super) excess: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Sketch {
    /// Counts one more, with no more than `most` counters.
    pub(super) fn add(&mut self, name: &str, most: usize) {
        if let Some(counter) = self.counters.get_mut(name) {
            counter.count += 1;
            return;
        }
        while self.counters.len() >= most.max(1) {
            self.take_rarest();
        }
        let counter = Counter { count: self.uncounted + 1, excess: self.uncounted };
        self.counters.insert(name.to_owned(), counter);
    }

    /// Of equally rare ones the first by name, so that the same events always give the same counters.
    fn take_rarest(&mut self) {
        let rarest = self.counters.iter().min_by_key(|(_, counter)| counter.count);
        if let Some((name, counter)) = rarest.map(|(name, counter)| (name.clone(), *counter)) {
            self.counters.remove(&name);
            self.uncounted = self.uncounted.max(counter.count);
        }
    }

    /// Whether every count is exact, and nothing that came has no counter.
    pub(super) fn is_exact(&self) -> bool {
        self.uncounted == 0 && self.counters.values().all(|counter| counter.excess == 0)
    }

    /// Counts of disjoint streams together, with no more than `most` counters.
    pub(super) fn merge<'s>(all: impl Iterator<Item = &'s Self> + Clone, most: usize) -> Self {
        let uncounted = all.clone().map(|sketch| sketch.uncounted).sum();
        let mut merged = Self { counters: BTreeMap::new(), uncounted };
        for sketch in all {
            for (name, counter) in &sketch.counters {
                // Where it has no counter it has come at most so often.
                let absent = Counter { count: uncounted, excess: uncounted };
                let sum = merged.counters.entry(name.clone()).or_insert(absent);
                sum.count = sum.count + counter.count - sketch.uncounted;
                sum.excess = sum.excess + counter.excess - sketch.uncounted;
            }
        }
        while merged.counters.len() > most.max(1) {
            merged.take_rarest();
        }
        merged
    }

    /// The most frequent first, equally frequent ones by name.
    pub(super) fn ranked(&self) -> Vec<(&str, Counter)> {
        let mut all: Vec<_> = self.counters.iter().map(|(name, counter)| (name.as_str(), *counter)).collect();
        all.sort_by(|(one, a), (two, b)| b.count.cmp(&a.count).then(one.cmp(two)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zipf::Zipf;

    fn sketch(names: &[String], most: usize) -> Sketch {
        let mut sketch = Sketch::default();
        for name in names {
            sketch.add(name, most);
        }
        sketch
    }

    fn counted(names: &[String]) -> BTreeMap<&str, u64> {
        let mut counts = BTreeMap::new();
        for name in names {
            *counts.entry(name.as_str()).or_default() += 1;
        }
        counts
    }

    /// What the algorithm promises, and merges keep.
    fn assert_bounds(sketch: &Sketch, names: &[String], most: usize, what: &str) {
        let truth = counted(names);
        assert!(sketch.counters.len() <= most, "{what}");
        for (name, count) in &truth {
            match sketch.counters.get(*name) {
                Some(counter) => {
                    assert!(counter.count >= *count && counter.count - counter.excess <= *count, "{what}: {name}");
                }
                None => assert!(*count <= sketch.uncounted, "{what}: {name} came {count} times"),
            }
        }
        if truth.len() <= most {
            assert!(sketch.is_exact(), "{what}");
        }
    }

    #[test]
    fn counts_are_exact_while_there_are_counters_and_bounded_then() {
        let mut rng = fastrand::Rng::with_seed(7);
        for round in 0..300 {
            let (most, different) = (rng.usize(1..40), rng.u32(1..80));
            let zipf = Zipf::new(different);
            let names: Vec<String> = (0..rng.usize(0..600)).map(|_| format!("P{}", zipf.draw(&mut rng))).collect();
            let whole = sketch(&names, most);
            assert_bounds(&whole, &names, most, &format!("round {round}"));
            // At most a k-th of all, as the paper says.
            assert!(whole.uncounted <= (names.len() / most) as u64, "round {round}");

            // Any way to divide them among shards.
            let mut shards = vec![Vec::new(); rng.usize(1..6)];
            for name in &names {
                let shard = rng.usize(..shards.len());
                shards[shard].push(name.clone());
            }
            let parts: Vec<Sketch> = shards.iter().map(|names| sketch(names, most)).collect();
            let merged = Sketch::merge(parts.iter(), most);
            assert_bounds(&merged, &names, most, &format!("round {round}, merged"));
            assert_eq!(merged, Sketch::merge(parts.iter().rev(), most), "in any order");
            if counted(&names).len() <= most {
                assert_eq!(merged, whole);
            }
        }
    }

    #[test]
    fn fewer_counters_than_before_are_enough_from_the_next_name_on() {
        let names: Vec<String> = (0..50).map(|n| format!("P{n:02}")).collect();
        let mut sketch = sketch(&names, 50);
        sketch.add("new", 10);
        assert_eq!(sketch.counters.len(), 10);
        assert_eq!(sketch.counters["new"], Counter { count: 2, excess: 1 });
    }

    #[test]
    fn ranks_go_by_count_and_name() {
        let names = ["b", "a", "c", "c"].map(str::to_owned);
        let sketch = sketch(&names, 9);
        let ranked: Vec<_> = sketch.ranked().into_iter().map(|(name, counter)| (name, counter.count)).collect();
        assert_eq!(ranked, [("c", 2), ("a", 1), ("b", 1)]);
        assert_eq!(serde_json::to_string(&sketch.counters["c"]).unwrap(), r#"{"n":2}"#);
    }
}
