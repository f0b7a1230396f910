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
            "IQM" => self.trimmed("TM", &Bounds::Ranks(25.0, 75.0)),
            _ if statistic.starts_with('p') => Some(self.percentile(percent(&statistic[1..])?)),
            _ => {
                let (kind, bounds) = statistic.split_at_checked(2)?;
                self.trimmed(kind, &Bounds::read(kind, bounds)?)
            }
        }
    }

    /// Trimmed mean, count and sum (`TM`, `TC`, `TS`), winsorized mean (`WM`) and percentile rank (`PR`): what of the values lies within bounds.
    ///
    /// See <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html>.
    fn trimmed(&self, kind: &str, bounds: &Bounds) -> Option<f64> {
        let (mut count, mut sum, mut seen) = (0.0, 0.0, 0.0);
        for (bucket, of) in &self.distribution {
            let value = value_of(*bucket).clamp(self.min, self.max);
            let inside = match *bounds {
                Bounds::Values(low, high) => {
                    if value > low && value <= high {
                        *of
                    } else {
                        0.0
                    }
                }
                Bounds::Ranks(low, high) => {
                    let (from, to) = (self.count * low / 100.0, self.count * high / 100.0);
                    ((seen + of).min(to) - f64::max(seen, from)).max(0.0)
                }
            };
            seen += of;
            count += inside;
            sum += inside * value;
        }
        match (kind.to_ascii_uppercase().as_str(), bounds) {
            ("TM", _) => Some(sum / count).filter(|mean| mean.is_finite()),
            ("TC", _) => Some(count),
            ("TS", _) => Some(sum),
            // What is trimmed away counts as the bound.
            ("WM", Bounds::Ranks(low, high)) => {
                let below = self.count * low / 100.0 * self.percentile(*low);
                let above = self.count * (100.0 - high) / 100.0 * self.percentile(*high);
                Some((sum + below + above) / self.count)
            }
            ("PR", Bounds::Values(..)) => Some(count / self.count * 100.0),
            _ => None,
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

/// What is left by trimming: percentiles, or values.
#[derive(Debug)]
enum Bounds {
    Ranks(f64, f64),
    /// Without the first, with the second.
    Values(f64, f64),
}

impl Bounds {
    /// `99` (up to that percentile), `(10%:90%)` or `(0.1:2)`; either side may be left out.
    fn read(kind: &str, text: &str) -> Option<Self> {
        if kind.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Some(Self::Ranks(0.0, percent(text)?));
        }
        let (low, high) = text.strip_prefix('(')?.strip_suffix(')')?.split_once(':')?;
        if low.is_empty() && high.is_empty() {
            return None;
        }
        if text.contains('%') {
            let rank =
                |side: &str, absent| if side.is_empty() { Some(absent) } else { percent(side.strip_suffix('%')?) };
            return Some(Self::Ranks(rank(low, 0.0)?, rank(high, 100.0)?)).filter(Self::is_ordered);
        }
        let value = |side: &str, absent: f64| if side.is_empty() { Some(absent) } else { side.parse().ok() };
        Some(Self::Values(value(low, f64::NEG_INFINITY)?, value(high, f64::INFINITY)?)).filter(Self::is_ordered)
    }

    fn is_ordered(&self) -> bool {
        let (Self::Ranks(low, high) | Self::Values(low, high)) = self;
        low < high
    }
}

/// A number from 0 to 100.
fn percent(text: &str) -> Option<f64> {
    text.parse().ok().filter(|percent| (0.0..=100.0).contains(percent))
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
        for (statistic, wanted) in [
            ("tm90", 450.0),
            ("tc90", 900.0),
            ("ts90", 405_000.0),
            ("wm90", 495.0),
            ("IQM", 500.0),
            ("TM(10%:90%)", 500.0),
            ("TM(:50%)", 250.0),
            ("WM(10%:)", 505.0),
            ("TC(100:200)", 100.0),
            ("PR(:250)", 25.0),
        ] {
            let got = stats.get(statistic).expect("a statistic");
            assert!((got - wanted).abs() <= wanted * 0.03, "{statistic}: {got}, wanted {wanted}");
        }
        for unknown in [
            "median",
            "",
            "p",
            "p101",
            "tm",
            "tm101",
            "é",
            "TM99",
            "TM(:)",
            "TM(90%:10%)",
            "PR(10%:20%)",
            "WM(1:2)",
            "XX(1:2)",
        ] {
            assert!(stats.get(unknown).is_none(), "{unknown}");
        }
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
