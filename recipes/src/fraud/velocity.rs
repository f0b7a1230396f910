//! The last purchases: how many, and how much money, some minutes had.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::AMOUNT_DECIMALS;
use crate::decimal::Decimal;

/// How many times the purchases that are allowed are remembered: those of a burst are told from those before it.
const KEPT: usize = 4;

/// A purchase: when (milliseconds since the epoch), in which currency, and the amount as an exact decimal; empty if it had none.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(super) struct Purchase(i64, String, String);

impl Purchase {
    pub(super) fn new(at_ms: i64, currency: &str, units: Option<u128>) -> Self {
        let amount = units.map(|units| Decimal::of_units(units, AMOUNT_DECIMALS).to_string()).unwrap_or_default();
        Self(at_ms, currency.to_owned(), amount)
    }

    fn units(&self) -> u128 {
        Decimal::parse(&self.2).ok().and_then(|amount| amount.units(AMOUNT_DECIMALS)).unwrap_or_default()
    }
}

/// The last purchases in the order of the stream. Their number alone is limited, not their age: an event with a time of the far
/// future would make all others too old.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct Purchases(VecDeque<Purchase>);

impl Purchases {
    /// Remembers a purchase, where `allowed` is the number that a window may have.
    pub(super) fn add(&mut self, purchase: Purchase, allowed: usize) {
        self.0.push_back(purchase);
        let most = allowed.saturating_mul(KEPT);
        self.0.drain(..self.0.len().saturating_sub(most));
    }

    /// The most purchases that a window of this length has which contains the last one; and the most money, in units and in
    /// that one's currency.
    ///
    /// All such windows are looked at, not just the one that ends with the purchase: events come out of order, too.
    pub(super) fn fullest(&self, window_ms: i64) -> (usize, u128) {
        let Some(Purchase(last_ms, currency, _)) = self.0.back() else { return (0, 0) };
        let of = |purchase: &Purchase| (purchase.0, if purchase.1 == *currency { purchase.units() } else { 0 });
        let purchases: Vec<(i64, u128)> = self.0.iter().map(of).collect();
        let (mut most, mut most_units) = (0, 0_u128);
        for (start, _) in &purchases {
            let window = *start..start.saturating_add(window_ms);
            if !window.contains(last_ms) {
                continue;
            }
            let within = purchases.iter().filter(|(at_ms, _)| window.contains(at_ms));
            let (count, units) =
                within.fold((0, 0_u128), |(count, sum), (_, units)| (count + 1, sum.saturating_add(*units)));
            most = most.max(count);
            most_units = most_units.max(units);
        }
        (most, most_units)
    }
}
