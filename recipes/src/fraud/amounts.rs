//! What a shopper usually spends: a running mean and deviation in each currency.
//!
//! These are statistics in floating point, which nothing but scores follows from; amounts themselves are kept exactly elsewhere.
//! They are taken of logarithms: what people spend is skewed to the right, close to a log-normal distribution (see for
//! example Aitchison and Brown, "The Lognormal Distribution", 1957, on expenditures), and of logarithms a single huge amount
//! is no huge number.

use serde::{Deserialize, Serialize};

use super::limits::Limits;

/// A shopper with more currencies loses the one that was not used for longest.
const CURRENCIES: usize = 8;

/// From so many amounts on, older ones count less and less: habits change.
const REMEMBERED: u32 = 200;

/// What is assumed before anything is known, and how many amounts that counts for: that about two thirds of a shopper's
/// purchases lie between 0.6 and 1.65 times the usual amount (e^-0.5 and e^0.5).
const ASSUMED_DEVIATION: f64 = 0.5;
const ASSUMED_COUNT: f64 = 4.0;

/// The least deviation, a quarter more or less: who pays the same each month may buy something else one day.
const LEAST_DEVIATION: f64 = 0.25;

/// The amounts of one currency.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
struct History {
    currency: String,
    count: u32,
    /// The mean of the amounts' natural logarithms.
    mean: f64,
    /// The sum of their squared distances from the mean.
    squares: f64,
}

/// How an amount compares with those before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Comparison {
    /// How far it lies above the usual one, in standard deviations.
    pub(super) deviations: f64,
    /// The usual amount: the geometric mean.
    pub(super) usual: f64,
    /// How many amounts that is the mean of.
    pub(super) count: u32,
}

impl History {
    /// The standard deviation with which the next amount is expected.
    ///
    /// The variance is that of the amounts and of the assumption together, each by its weight: the posterior of a scaled
    /// inverse-χ² prior (Gelman et al., "Bayesian Data Analysis", section 3.3). So the first few amounts, which may happen to
    /// be alike, do not make everything else unusual. That the mean is uncertain too adds the factor 1 + 1/n.
    fn deviation(&self) -> f64 {
        let count = f64::from(self.count);
        let assumed = ASSUMED_COUNT * ASSUMED_DEVIATION.powi(2);
        let variance = (self.squares + assumed) / (count - 1.0 + ASSUMED_COUNT);
        (variance.max(LEAST_DEVIATION.powi(2)) * (1.0 + 1.0 / count)).sqrt()
    }

    /// Takes an amount in: Welford's method (Technometrics 4, 1962), which loses no digits where amounts are alike. Of what
    /// lies farther away than `limit` deviations only so much counts, so that no amount makes the next one of its kind usual.
    fn add(&mut self, logarithm: f64, limit: f64) {
        let most = limit * self.deviation();
        let distance = (logarithm - self.mean).clamp(-most, most);
        if self.count < REMEMBERED {
            self.count += 1;
        } else {
            self.squares *= 1.0 - 1.0 / f64::from(REMEMBERED);
        }
        let step = distance / f64::from(self.count);
        self.squares = rounded(self.squares + distance * (distance - step));
        self.mean = rounded(self.mean + step);
    }
}

/// Nine digits behind the point: the same number whether it was stored in between or not.
fn rounded(number: f64) -> f64 {
    (number * 1e9).round() / 1e9
}

/// What is known of a shopper's amounts; the currency that was used last is the last.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct Amounts(Vec<History>);

impl Amounts {
    /// Compares an amount with those before it, if there are enough of them, and takes it in. An amount of nothing says nothing.
    pub(super) fn compare_and_add(&mut self, currency: &str, amount: f64, limits: &Limits) -> Option<Comparison> {
        if amount <= 0.0 {
            return None;
        }
        let logarithm = amount.ln();
        let known = self.0.iter().position(|history| history.currency == currency);
        let mut history = match known {
            Some(place) => self.0.remove(place),
            None => History { currency: currency.to_owned(), count: 0, mean: 0.0, squares: 0.0 },
        };
        let mut comparison = None;
        if history.count == 0 {
            (history.count, history.mean) = (1, rounded(logarithm));
        } else {
            let deviations = (logarithm - history.mean) / history.deviation();
            comparison = Some(Comparison { deviations, usual: history.mean.exp(), count: history.count })
                .filter(|_| history.count >= limits.history);
            history.add(logarithm, limits.deviations);
        }
        self.0.push(history);
        self.0.drain(..self.0.len().saturating_sub(CURRENCIES));
        comparison
    }
}

#[cfg(test)]
mod tests;
