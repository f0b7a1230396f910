//! What is remembered of a shopper, and what an event is worth in its light.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::amounts::Amounts;
use super::device::Devices;
use super::limits::Limits;
use super::place::Place;
use super::reason::Reason;
use super::velocity::{Purchase, Purchases};
use super::{AMOUNT_DECIMALS, ShopEvent};
use crate::decimal::Decimal;

/// The state of a shopper. Each part has a limit, so all of it is a few kilobytes whatever comes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Shopper {
    purchases: Purchases,
    amounts: Amounts,
    devices: Devices,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Place>,
}

/// What an event is worth.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Judgement {
    pub(super) score: i64,
    pub(super) flagged: bool,
    pub(super) reasons: Vec<Reason>,
}

impl Shopper {
    /// Reads a state. Nothing is known where there is none, and where somebody has put something else there.
    pub(super) fn read(state: &Value) -> Self {
        Self::deserialize(state).unwrap_or_default()
    }

    pub(super) fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Compares an event with what is known, and learns from it.
    pub(super) fn judge(&mut self, limits: &Limits, event: &ShopEvent<'_>) -> Judgement {
        let mut reasons = self.velocity(limits, event);
        reasons.extend(self.unusual_amount(limits, event));
        reasons.extend(self.impossible_hop(limits, event));
        reasons.extend(self.new_device(limits, event));
        reasons.retain(|reason| reason.score > 0);
        let score = reasons.iter().map(|reason| reason.score).sum();
        let flagged = score >= limits.flag_score;
        if !flagged {
            // Place and device of a thief are not those of the shopper, who would have to hop back.
            self.place = event.place().or(self.place);
            if let Some(device_id) = &event.device_id {
                self.devices.add(device_id);
            }
        }
        Judgement { score, flagged, reasons }
    }

    /// More purchases, or more money, than the window may have. Money is added up exactly.
    fn velocity(&mut self, limits: &Limits, event: &ShopEvent<'_>) -> Vec<Reason> {
        if !event.is_purchase() {
            return Vec::new();
        }
        let units = event.spent().map(|amount| amount.units);
        self.purchases.add(Purchase::new(event.timestamp_ms, &event.currency, units), limits.purchases);
        let (purchases, spent) = self.purchases.fullest(limits.window_seconds.saturating_mul(1_000));
        let mut reasons = Vec::new();
        if purchases > limits.purchases {
            reasons.push(
                Reason::new("velocity-purchases", limits.purchases_score)
                    .from("purchases", &purchases)
                    .from("limit", &limits.purchases)
                    .from("windowSeconds", &limits.window_seconds),
            );
        }
        if units.is_some() && spent > limits.spent_units {
            reasons.push(
                Reason::new("velocity-amount", limits.spent_score)
                    .from("amount", &Decimal::of_units(spent, AMOUNT_DECIMALS))
                    .from("limit", &Decimal::of_units(limits.spent_units, AMOUNT_DECIMALS))
                    .from("windowSeconds", &limits.window_seconds),
            );
        }
        reasons
    }

    /// An amount above the shopper's own. From half of the limit on it scores, in proportion: by itself that is not flagged, but
    /// together with something else.
    fn unusual_amount(&mut self, limits: &Limits, event: &ShopEvent<'_>) -> Option<Reason> {
        let amount = event.spent()?.exact.to_f64();
        let comparison = self.amounts.compare_and_add(&event.currency, amount, limits)?;
        let share = comparison.deviations / limits.deviations;
        if share < 0.5 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "scores are small")]
        #[expect(clippy::cast_possible_truncation, reason = "it is at most the setting")]
        let score = (share.min(1.0) * limits.amount_score as f64).floor() as i64;
        let reason = Reason::new("unusual-amount", score)
            .about("deviations", comparison.deviations)
            .about("limit", limits.deviations)
            .about("usualAmount", comparison.usual)
            .from("amounts", &comparison.count);
        Some(reason)
    }

    /// Two places farther apart than anybody travels in the time between them.
    fn impossible_hop(&self, limits: &Limits, event: &ShopEvent<'_>) -> Option<Reason> {
        let (from, to) = (self.place?, event.place()?);
        let hop = from.hop_to(&to);
        if hop.kilometers < limits.kilometers || hop.kilometers_per_hour() <= limits.kilometers_per_hour {
            return None;
        }
        let reason = Reason::new("impossible-hop", limits.hop_score)
            .about("kilometers", hop.kilometers)
            .about("seconds", hop.seconds)
            .about("kilometersPerHour", hop.kilometers_per_hour())
            .about("limit", limits.kilometers_per_hour)
            .about("fromLatitude", from.latitude)
            .about("fromLongitude", from.longitude);
        Some(reason)
    }

    fn new_device(&self, limits: &Limits, event: &ShopEvent<'_>) -> Option<Reason> {
        let is_new = self.devices.is_new(event.device_id.as_deref()?);
        is_new.then(|| Reason::new("new-device", limits.device_score).from("knownDevices", &self.devices.len()))
    }
}
