//! What is usual for a series: a level and a deviation for each hour of working days and of weekends, and for all hours together.
//!
//! A baseline begins with the median of its first values and their median distance from it, times 1.4826, which is the standard
//! deviation of normal ones (P. Rousseeuw, C. Croux: Alternatives to the Median Absolute Deviation, JASA 88, 1993). From there on both are
//! smoothed exponentially as in S. Gelper, R. Fried, C. Croux: Robust Forecasting with Exponential and Holt-Winters Smoothing, Journal of
//! Forecasting 29, 2010: a value counts as no farther away than two deviations, so that an anomaly does not become what is usual, and
//! a lasting change does, step by step.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{LEARN, SMOOTHING, THRESHOLD};
use crate::Settings;

/// Makes the median distance of normal values their standard deviation.
const NORMAL: f64 = 1.4826;

/// A value counts as no farther away than so many deviations (k in the paper).
const FARTHEST: f64 = 2.0;

/// Makes the bounded squares of normal values one on average (c in the paper, for k = 2).
const CONSISTENT: f64 = 2.52;

/// The least deviation, as a share of the level: values that are all alike have none, and the next one is not infinitely far away.
const LEAST_SHARE: f64 = 0.01;

/// Scores end here, in either direction.
const SCORE_MAX: f64 = 1_000_000.0;

/// What the settings say.
pub(super) struct Limits {
    threshold: f64,
    learn: usize,
    smoothing: f64,
}

impl Limits {
    pub(super) fn of(settings: &Settings) -> Self {
        let learn = usize::try_from(settings.integer(LEARN)).unwrap_or(1);
        Self { threshold: settings.number(THRESHOLD), learn, smoothing: settings.number(SMOOTHING) }
    }
}

/// What is known of a series. It has 49 baselines, of which each keeps a hundred values at the most: less than 150 KB of JSON.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Baselines {
    all: Baseline,
    /// By hour of the day in UTC, those of weekends from 24 on.
    hours: BTreeMap<u8, Baseline>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Baseline {
    /// The values so far, as long as they are too few.
    first: Vec<f64>,
    known: Option<Usual>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Usual {
    level: f64,
    deviation: f64,
}

/// What is said of a value.
#[derive(Debug, PartialEq)]
pub(super) struct Verdict {
    /// How many deviations it is above what was expected, or below.
    pub(super) score: f64,
    pub(super) expected: f64,
    pub(super) deviation: f64,
    /// `hour` or `all`.
    pub(super) baseline: &'static str,
    pub(super) is_anomaly: bool,
}

/// The hour of the day in UTC, those of weekends from 24 on.
fn hour(timestamp_ms: i64) -> u8 {
    let hours = timestamp_ms.div_euclid(60 * 60 * 1000);
    // The epoch began on a Thursday.
    let is_weekend = (hours.div_euclid(24) + 3).rem_euclid(7) >= 5;
    u8::try_from(hours.rem_euclid(24)).unwrap_or_default() + if is_weekend { 24 } else { 0 }
}

impl Baselines {
    /// A state that is none of ours is that of an earlier version: all is learned anew.
    pub(super) fn read(state: &Value) -> Self {
        Self::deserialize(state).unwrap_or_default()
    }

    pub(super) fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("numbers and maps of them always serialize")
    }

    /// Compares a value with what is usual, and learns from it. `None` as long as too little is known.
    pub(super) fn judge(&mut self, limits: &Limits, value: f64, timestamp_ms: i64) -> Option<Verdict> {
        let of_hour = self.hours.entry(hour(timestamp_ms)).or_default();
        let usual = of_hour.known.map(|usual| (usual, "hour")).or(self.all.known.map(|usual| (usual, "all")));
        let verdict = usual.map(|(usual, baseline)| {
            let score = ((value - usual.level) / usual.deviation).clamp(-SCORE_MAX, SCORE_MAX);
            let (expected, deviation) = (usual.level, usual.deviation);
            Verdict { score, expected, deviation, baseline, is_anomaly: score.abs() >= limits.threshold }
        });
        of_hour.learn(limits, value);
        self.all.learn(limits, value);
        verdict
    }
}

impl Baseline {
    fn learn(&mut self, limits: &Limits, value: f64) {
        match &mut self.known {
            Some(usual) => usual.learn(limits.smoothing, value),
            None => {
                self.first.push(value);
                if self.first.len() >= limits.learn {
                    self.known = Some(Usual::of(&mut self.first));
                    self.first.clear();
                }
            }
        }
    }
}

impl Usual {
    fn of(values: &mut [f64]) -> Self {
        let level = median(values);
        let mut distances: Vec<f64> = values.iter().map(|value| (value - level).abs()).collect();
        let deviation = NORMAL * median(&mut distances);
        Self { level, deviation: deviation.max(least(level)) }
    }

    fn learn(&mut self, smoothing: f64, value: f64) {
        let distance = (value - self.level) / self.deviation;
        let variance = self.deviation.powi(2);
        self.deviation = (smoothing * bounded_square(distance) * variance + (1.0 - smoothing) * variance).sqrt();
        let cleaned = ((value - self.level) / self.deviation).clamp(-FARTHEST, FARTHEST) * self.deviation;
        self.level += smoothing * cleaned;
        self.deviation = self.deviation.max(least(self.level));
    }
}

/// Tukey's biweight: the square of what is near, and a constant for all that is far.
fn bounded_square(distance: f64) -> f64 {
    if distance.abs() > FARTHEST {
        CONSISTENT
    } else {
        CONSISTENT * (1.0 - (1.0 - (distance / FARTHEST).powi(2)).powi(3))
    }
}

fn least(level: f64) -> f64 {
    (LEAST_SHARE * level.abs()).max(1e-9)
}

/// The median; the values are put in order.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count.is_multiple_of(2) => f64::midpoint(values[count / 2 - 1], values[count / 2]),
        count => values[count / 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { threshold: 6.0, learn: 30, smoothing: 0.05 };
    const HOUR_MS: i64 = 60 * 60 * 1000;
    /// A Monday, midnight in UTC.
    const MONDAY_MS: i64 = 1_767_571_200_000;

    fn near(one: f64, two: f64) -> bool {
        (one - two).abs() < 1e-9
    }

    #[test]
    fn hours_of_weekends_are_others() {
        assert_eq!([0, 5 * 24, 6 * 24 + 23, 7 * 24].map(|hours| hour(MONDAY_MS + hours * HOUR_MS)), [0, 24, 47, 0]);
        assert_eq!(hour(0), 0, "a Thursday");
        assert_eq!(hour(-1), 23);
    }

    #[test]
    fn the_first_values_give_median_and_median_distance() {
        let usual = Usual::of(&mut [1.0, 9.0, 3.0, 4.0, 100.0]);
        assert!(near(usual.level, 4.0) && near(usual.deviation, 3.0 * NORMAL), "{usual:?}");
        let alike = Usual::of(&mut [50.0; 6]);
        assert!(near(alike.deviation, 0.5), "{alike:?}");
        assert!(near(Usual::of(&mut [0.0; 6]).deviation, 1e-9));
    }

    #[test]
    fn bounded_squares_are_those_of_the_paper() {
        assert!(near(bounded_square(0.0), 0.0) && near(bounded_square(2.0), 2.52) && near(bounded_square(-70.0), 2.52));
        assert!(near(bounded_square(1.0), 2.52 * (1.0 - 0.75_f64.powi(3))));
    }

    /// Normal values by the sum of twelve uniform ones.
    fn normal(rng: &mut fastrand::Rng, level: f64, deviation: f64) -> f64 {
        level + deviation * ((0..12).map(|_| rng.f64()).sum::<f64>() - 6.0)
    }

    #[test]
    fn outliers_are_found_and_others_pass_whatever_the_scale() {
        let mut rng = fastrand::Rng::with_seed(5);
        for round in 0..50 {
            let (level, deviation) = (10_f64.powi(rng.i32(0..9)), 10_f64.powi(rng.i32(-1..1)) * 0.3);
            let deviation = level * deviation;
            let mut baselines = Baselines::default();
            let mut judged = 0;
            for n in 0..2_000 {
                let is_outlier = n > 200 && n % 97 == 0;
                let value = if is_outlier { level + 12.0 * deviation } else { normal(&mut rng, level, deviation) };
                let verdict = baselines.judge(&LIMITS, value, MONDAY_MS + n * 60_000);
                assert_eq!(verdict.is_some(), n >= 30, "round {round}");
                if let Some(verdict) = verdict {
                    judged += 1;
                    assert_eq!(verdict.is_anomaly, is_outlier, "round {round}, value {n}: {value} {verdict:?}");
                }
            }
            assert_eq!(judged, 1_970);
            let usual = baselines.all.known.unwrap();
            assert!(
                (usual.level / level - 1.0).abs() < 0.5 && (0.5..2.0).contains(&(usual.deviation / deviation)),
                "{usual:?}"
            );
        }
    }

    #[test]
    fn each_hour_has_a_level_of_its_own_once_it_is_known() {
        let mut baselines = Baselines::default();
        // Ten times as much at noon, for a fortnight.
        let value = |at: i64, n: i64| {
            let busy = if at % 24 == 12 { 1_000.0 } else { 100.0 };
            busy * (1.0 + 0.01 * f64::from(i32::try_from(n % 7).unwrap()))
        };
        for at in 0..14 * 24 {
            for n in 0..10 {
                baselines.judge(&LIMITS, value(at, n), MONDAY_MS + at * HOUR_MS);
            }
        }
        let mut judge = |value, hours: i64| {
            let verdict = baselines.judge(&LIMITS, value, MONDAY_MS + (14 * 24 + hours) * HOUR_MS).unwrap();
            (verdict.baseline, verdict.is_anomaly)
        };
        assert_eq!(judge(1_010.0, 12), ("hour", false));
        assert_eq!(judge(101.0, 12), ("hour", true), "usual at any other hour");
        assert_eq!(judge(1_010.0, 11), ("hour", true));
        assert_eq!(judge(101.0, 11), ("hour", false));
    }

    #[test]
    fn a_lasting_change_becomes_usual() {
        let mut baselines = Baselines::default();
        let mut rng = fastrand::Rng::with_seed(2);
        for _ in 0..100 {
            baselines.judge(&LIMITS, normal(&mut rng, 100.0, 5.0), MONDAY_MS);
        }
        let mut found = 0;
        for _ in 0..500 {
            let verdict = baselines.judge(&LIMITS, normal(&mut rng, 200.0, 5.0), MONDAY_MS).unwrap();
            found += usize::from(verdict.is_anomaly);
        }
        assert!((5..100).contains(&found), "{found}");
        assert!((baselines.all.known.unwrap().level - 200.0).abs() < 10.0);
    }

    #[test]
    fn a_state_stays_small() {
        let mut rng = fastrand::Rng::with_seed(3);
        let limits = Limits { learn: 100, ..LIMITS };
        let mut baselines = Baselines::default();
        for n in 0..110 * 168 {
            baselines.judge(&limits, rng.f64() * 1e15, MONDAY_MS + n % 168 * HOUR_MS);
            if n % 1_000 == 0 {
                let text = baselines.to_value().to_string();
                assert!(text.len() < 150_000, "{}", text.len());
            }
        }
        // All hours known: little is left.
        assert!(baselines.to_value().to_string().len() < 8_000);
        let mut again = Baselines::read(&baselines.to_value());
        assert_eq!(again, baselines);
        assert_eq!(again.judge(&limits, 5.0, MONDAY_MS), baselines.judge(&limits, 5.0, MONDAY_MS));
        for other in [Value::Null, serde_json::json!("x"), serde_json::json!({"all": 7})] {
            assert_eq!(Baselines::read(&other), Baselines::default());
        }
    }
}
