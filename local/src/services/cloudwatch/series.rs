//! One metric's values, aggregated as they arrive so that memory depends on time and not on volume.

use std::collections::BTreeMap;

use streamkit_wire::clock;

const MINUTE_MS: i64 = 60_000;
const SECOND_MS: i64 = 1_000;
/// AWS keeps one-minute values for 15 days and high-resolution ones for 3 hours.
const MINUTES_KEPT_MS: i64 = 15 * 24 * 60 * MINUTE_MS;
const SECONDS_KEPT_MS: i64 = 3 * 60 * MINUTE_MS;
/// Percentiles come from logarithmic buckets of this ratio: within one percent of the exact value.
const BUCKET_RATIO: f64 = 1.02;

/// Sum, extremes, count and distribution of the values of some stretch of time.
#[derive(Debug, Clone, Default)]
pub(super) struct Stats {
    sum: f64,
    min: f64,
    max: f64,
    count: f64,
    /// Sign and logarithmic bucket → how many.
    distribution: BTreeMap<(i8, i32), f64>,
}

impl Stats {
    /// `count` times the same value.
    pub(super) fn of(value: f64, count: f64) -> Self {
        Self {
            sum: value * count,
            min: value,
            max: value,
            count,
            distribution: BTreeMap::from([(bucket(value), count)]),
        }
    }

    /// A set that was aggregated by its sender; its distribution is not known.
    pub(super) fn of_set(sum: f64, min: f64, max: f64, count: f64) -> Self {
        let mut set = Self { sum, min, max, count, distribution: BTreeMap::new() };
        let mean = if count > 0.0 { sum / count } else { 0.0 };
        set.distribution.insert(bucket(mean), count);
        set
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if self.count == 0.0 {
            *self = other.clone();
            return;
        }
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.count += other.count;
        for (bucket, count) in &other.distribution {
            *self.distribution.entry(*bucket).or_default() += count;
        }
    }

    /// About how much memory it takes.
    fn bytes(&self) -> usize {
        const OWN: usize = 128;
        const BUCKET: usize = 32;
        OWN + BUCKET * self.distribution.len()
    }

    pub(super) fn count(&self) -> f64 {
        self.count
    }

    /// A statistic by AWS's name (`Sum`, `p99`, …); none for one that does not exist.
    pub(super) fn get(&self, statistic: &str) -> Option<f64> {
        match statistic {
            "Sum" => Some(self.sum),
            "Minimum" => Some(self.min),
            "Maximum" => Some(self.max),
            "SampleCount" => Some(self.count),
            "Average" => Some(self.sum / self.count),
            _ => {
                let percent: f64 = statistic.strip_prefix('p')?.parse().ok()?;
                (0.0..=100.0).contains(&percent).then(|| self.percentile(percent))
            }
        }
    }

    fn percentile(&self, percent: f64) -> f64 {
        let rank = (self.count * percent / 100.0).max(f64::MIN_POSITIVE);
        let mut seen = 0.0;
        for (bucket, count) in &self.distribution {
            seen += count;
            if seen >= rank {
                return value_of(*bucket).clamp(self.min, self.max);
            }
        }
        self.max
    }
}

fn bucket(value: f64) -> (i8, i32) {
    if value == 0.0 {
        return (0, 0);
    }
    #[expect(clippy::cast_possible_truncation, reason = "the logarithm of any f64 is small")]
    let power = (value.abs().ln() / BUCKET_RATIO.ln()).round() as i32;
    // Negative values sort backwards by size.
    if value < 0.0 { (-1, -power) } else { (1, power) }
}

fn value_of((sign, power): (i8, i32)) -> f64 {
    match sign {
        0 => 0.0,
        1 => BUCKET_RATIO.powi(power),
        _ => -BUCKET_RATIO.powi(-power),
    }
}

/// The values of one metric.
#[derive(Debug, Default)]
pub(super) struct Series {
    minutes: BTreeMap<i64, Stats>,
    seconds: BTreeMap<i64, Stats>,
    pub(super) unit: String,
    /// About how much memory the values take.
    bytes: usize,
}

impl Series {
    pub(super) fn add(&mut self, at_ms: i64, stats: &Stats, high_resolution: bool) {
        let (buckets, width, kept) = if high_resolution {
            (&mut self.seconds, SECOND_MS, SECONDS_KEPT_MS)
        } else {
            (&mut self.minutes, MINUTE_MS, MINUTES_KEPT_MS)
        };
        let bucket = buckets.entry(at_ms.div_euclid(width) * width).or_default();
        let before = if bucket.count == 0.0 { 0 } else { bucket.bytes() };
        bucket.merge(stats);
        self.bytes += bucket.bytes() - before;
        // A value from the future takes nothing from the past.
        let newest = buckets.last_key_value().map_or(at_ms, |(at, _)| *at).min(clock::now_ms());
        while let Some(oldest) = buckets.first_entry()
            && *oldest.key() < newest - kept
        {
            self.bytes -= oldest.remove().bytes();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets the older half of the values; tells how many periods that were.
    pub(super) fn drop_half(&mut self) -> usize {
        let mut dropped = 0;
        for buckets in [&mut self.minutes, &mut self.seconds] {
            for _ in 0..buckets.len().div_ceil(2) {
                self.bytes -= buckets.pop_first().map_or(0, |(_, stats)| stats.bytes());
                dropped += 1;
            }
        }
        dropped
    }

    /// One observation for each minute: the greatest.
    pub(super) fn gauge(&mut self, at_ms: i64, value: f64) {
        let minute = at_ms.div_euclid(MINUTE_MS) * MINUTE_MS;
        if self.minutes.get(&minute).is_none_or(|stats| stats.max < value) {
            self.bytes -= self.minutes.remove(&minute).map_or(0, |stats| stats.bytes());
            self.add(at_ms, &Stats::of(value, 1.0), false);
        }
    }

    pub(super) fn latest_ms(&self) -> i64 {
        [&self.minutes, &self.seconds]
            .iter()
            .filter_map(|it| it.last_key_value())
            .map(|(at, _)| *at)
            .max()
            .unwrap_or(i64::MIN)
    }

    /// Statistics for each period in `[start, end)` that has any value, periods aligned to the epoch.
    pub(super) fn periods(&self, start_ms: i64, end_ms: i64, period_ms: i64) -> BTreeMap<i64, Stats> {
        let mut periods: BTreeMap<i64, Stats> = BTreeMap::new();
        let start = start_ms - start_ms.rem_euclid(period_ms);
        if start >= end_ms {
            return periods;
        }
        for buckets in [&self.minutes, &self.seconds] {
            for (at, stats) in buckets.range(start..end_ms) {
                periods.entry(at - at.rem_euclid(period_ms)).or_default().merge(stats);
            }
        }
        periods
    }
}

#[cfg(test)]
mod tests {
    use super::{Series, Stats};

    #[test]
    fn statistics_of_a_thousand_values_are_close() {
        let mut series = Series::default();
        for value in 1..=1000 {
            series.add(120_000 + value, &Stats::of(f64::from(i32::try_from(value).expect("small")), 1.0), false);
        }
        let periods = series.periods(120_000, 180_000, 60_000);
        let stats = &periods[&120_000];
        let close = |statistic: &str, wanted: f64| {
            let got = stats.get(statistic).expect("a statistic");
            assert!((got - wanted).abs() <= wanted * 0.011, "{statistic}: {got}, wanted {wanted}");
        };
        close("Sum", 500_500.0);
        close("Average", 500.5);
        close("p50", 500.0);
        close("p99", 990.0);
        close("Maximum", 1000.0);
        assert!(stats.get("median").is_none());
    }

    #[test]
    fn value_from_the_future_takes_nothing_from_the_past() {
        let now = streamkit_wire::clock::now_ms();
        let mut series = Series::default();
        series.add(now - 2 * 60 * 60 * 1000, &Stats::of(1.0, 1.0), true);
        series.add(now + 2 * 60 * 60 * 1000, &Stats::of(1.0, 1.0), true);
        assert_eq!(series.seconds.len(), 2);
    }

    #[test]
    fn gauge_is_one_observation_a_minute() {
        let mut series = Series::default();
        for value in [2.0, 5.0, 3.0] {
            series.gauge(60_000, value);
        }
        let minute = &series.periods(60_000, 120_000, 60_000)[&60_000];
        assert_eq!(["Sum", "Maximum", "SampleCount"].map(|statistic| minute.get(statistic)), [5.0, 5.0, 1.0].map(Some));
    }

    #[test]
    fn series_forgets_what_aws_forgets() {
        let mut series = Series::default();
        for minute in 0..30_000_i64 {
            series.add(minute * 60_000, &Stats::of(1.0, 1.0), false);
        }
        assert!(series.minutes.len() <= 15 * 24 * 60 + 1);
    }
}
