//! The values that a batch adds to the recipe's metrics.

use std::collections::BTreeMap;

use streamkit_recipes::{Aggregation, Count, Unit};

/// Values by metric and dimensions. A summed metric has one value, the sum.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricValues(BTreeMap<Series, Vec<f64>>);

/// A metric with its dimensions. The order keeps metrics with equal dimensions together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// Names and values of dimensions.
    pub dimensions: Vec<(&'static str, String)>,
    /// The metric's name.
    pub metric: &'static str,
    /// The values' unit.
    pub unit: Unit,
    /// How values of one batch are combined.
    pub aggregation: Aggregation,
}

impl MetricValues {
    /// Adds a value.
    pub fn add(&mut self, count: Count) {
        let Count { metric, value, unit, aggregation, dimensions } = count;
        let values = self.0.entry(Series { dimensions, metric, unit, aggregation }).or_default();
        match (aggregation, values.first_mut()) {
            (Aggregation::Sum, Some(sum)) => *sum += value,
            _ => values.push(value),
        }
    }

    /// The values, by dimensions and metric.
    pub fn iter(&self) -> impl Iterator<Item = (&Series, &[f64])> {
        self.0.iter().map(|(series, values)| (series, values.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_one_value_and_samples_stay_apart() {
        let mut tallies = MetricValues::default();
        for device in ["mobile", "tablet", "mobile"] {
            tallies.add(Count::one("Events").of("Device", device));
            tallies.add(Count::sample("Amount", 2.5, Unit::None));
        }
        let all: Vec<_> =
            tallies.iter().map(|(series, values)| (series.metric, &series.dimensions[..], values)).collect();
        let of = |device: &str| [("Device", device.to_owned())];
        assert_eq!(
            all,
            [
                ("Amount", &[][..], &[2.5, 2.5, 2.5][..]),
                ("Events", &of("mobile")[..], &[2.0][..]),
                ("Events", &of("tablet")[..], &[1.0][..]),
            ]
        );
    }
}
