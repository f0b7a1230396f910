//! Where a shopper was, and how fast one would have had to travel from there.

use serde::{Deserialize, Serialize};

/// The earth's mean radius as the IUGG defines it (R1).
const RADIUS_KILOMETERS: f64 = 6_371.008_8;

/// A place, in degrees, and when a shopper was there, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Place {
    pub(super) latitude: f64,
    pub(super) longitude: f64,
    pub(super) at_ms: i64,
}

/// A way from one place to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hop {
    pub(super) kilometers: f64,
    pub(super) seconds: f64,
}

impl Hop {
    /// The speed that it takes. What happens within one second is taken to be a second apart.
    pub(super) fn kilometers_per_hour(&self) -> f64 {
        self.kilometers * 3_600.0 / self.seconds.max(1.0)
    }
}

impl Place {
    pub(super) fn new(latitude: f64, longitude: f64, at_ms: i64) -> Self {
        // A meter is more than anybody knows, and so few digits are the same number whether it was stored in between or not.
        let rounded = |degrees: f64| (degrees * 1e5).round() / 1e5;
        Self { latitude: rounded(latitude), longitude: rounded(longitude), at_ms }
    }

    /// The way to another place along the great circle, whichever of them was first: events come out of order, too.
    ///
    /// The haversine formula, which keeps its digits for small distances (Sinnott, "Virtues of the Haversine", Sky and Telescope
    /// 68, 1984).
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of 8,000 years have 48 bits")]
    pub(super) fn hop_to(&self, other: &Self) -> Hop {
        let (from, to) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half_chord = |degrees: f64| (degrees.to_radians() / 2.0).sin().powi(2);
        let haversine = half_chord(other.latitude - self.latitude)
            + from.cos() * to.cos() * half_chord(other.longitude - self.longitude);
        let kilometers = 2.0 * RADIUS_KILOMETERS * haversine.clamp(0.0, 1.0).sqrt().asin();
        Hop { kilometers, seconds: self.at_ms.abs_diff(other.at_ms) as f64 / 1_000.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_along_the_great_circle() {
        let at = |latitude, longitude| Place::new(latitude, longitude, 0);
        for (from, to, kilometers) in [
            // The published example of the formula: the airports of Nashville and Los Angeles.
            (at(36.12, -86.67), at(33.94, -118.40), 2_886.4),
            (at(0.0, 0.0), at(0.0, 180.0), 20_015.1),
            (at(90.0, 0.0), at(-90.0, 77.0), 20_015.1),
            // Across the date line.
            (at(0.0, 179.5), at(0.0, -179.5), 111.2),
            (at(52.5, 13.4), at(52.5, 13.4), 0.0),
        ] {
            let hop = from.hop_to(&to);
            assert!((hop.kilometers - kilometers).abs() < 0.1, "{hop:?}, not {kilometers}");
            assert!((to.hop_to(&from).kilometers - hop.kilometers).abs() < 1e-9);
        }
    }

    #[test]
    fn speeds_do_not_depend_on_the_order_and_are_never_infinite() {
        let (one, two) = (Place::new(0.0, 0.0, 3_600_000), Place::new(0.0, 1.0, 0));
        assert!((one.hop_to(&two).kilometers_per_hour() - 111.2).abs() < 0.1);
        assert_eq!(one.hop_to(&two), two.hop_to(&one));
        let at_once = Place { at_ms: one.at_ms, ..two };
        assert!((one.hop_to(&at_once).kilometers_per_hour() - 400_302.0).abs() < 1.0);
        assert!(Place::new(90.0, 180.0, i64::MIN).hop_to(&Place::new(-90.0, -180.0, i64::MAX)).seconds.is_finite());
    }
}
