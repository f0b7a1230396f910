//! What `cost` says, for scripts and for people.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde::Serialize;

use crate::cost::{Advice, BreakEven, EVENT_COUNT, Estimate, Item, Part, Price, Unknown, usd};

/// All that there is to say.
#[derive(Debug)]
pub(super) struct Document<'a> {
    pub(super) pipeline: String,
    pub(super) stage: Option<String>,
    pub(super) region: String,
    pub(super) prices_of: String,
    pub(super) of_it: OfIt,
    pub(super) break_evens: Vec<BreakEven>,
    pub(super) advices: Vec<Advice>,
    pub(super) estimate: Estimate<'a>,
}

/// What some of it comes to that one may do without.
#[derive(Debug, Serialize)]
pub(super) struct OfIt {
    /// Consumers of functions' own, and what is read through them.
    #[serde(serialize_with = "usd")]
    pub(super) fan_out: Decimal,
    /// All metrics; those of `EventCount` among them.
    #[serde(serialize_with = "usd")]
    pub(super) metrics: Decimal,
    #[serde(serialize_with = "usd")]
    pub(super) event_count: Decimal,
    #[serde(serialize_with = "usd")]
    pub(super) logs: Decimal,
}

/// Adds up what some of it comes to.
pub(super) fn of_it(estimate: &Estimate<'_>) -> OfIt {
    let sum = |which: fn(&Item) -> bool| estimate.bill.sum_of(which);
    OfIt {
        fan_out: sum(|item| matches!(item.price, Price::ConsumerShardHour | Price::FanOutGb | Price::OnDemandFanOut)),
        metrics: sum(|item| item.price == Price::Metric),
        event_count: sum(|item| item.price == Price::Metric && item.what == EVENT_COUNT),
        logs: sum(|item| matches!(item.price, Price::LogGb | Price::LogStorageGb)),
    }
}

/// The document of `--json`; `schemas/cost.json` describes it.
#[derive(Debug, Serialize)]
pub(super) struct Json<'a> {
    version: u32,
    pipeline: &'a str,
    stage: Option<&'a str>,
    region: &'a str,
    /// The day of the prices.
    prices_of: &'a str,
    #[serde(serialize_with = "usd")]
    monthly_usd: Decimal,
    #[serde(serialize_with = "usd")]
    declared_usd: Decimal,
    #[serde(serialize_with = "usd")]
    use_usd: Decimal,
    /// Null where nothing comes.
    per_million_events_usd: Option<f64>,
    #[serde(serialize_with = "usd")]
    events: Decimal,
    items: &'a [Item],
    of_it: &'a OfIt,
    break_even: &'a [BreakEven],
    advice: &'a [Advice],
    assumptions: &'a BTreeSet<String>,
    /// What has no known price, and so is in no sum.
    unknown: &'a BTreeSet<Unknown>,
}

const VERSION: u32 = 1;

impl Document<'_> {
    pub(super) fn declared(&self) -> Decimal {
        self.estimate.bill.sum_of(|item| item.part == Part::Declared)
    }

    /// USD for a million events; `None` where nothing comes.
    pub(super) fn per_million(&self) -> Option<Decimal> {
        let events = self.estimate.events;
        (!events.is_zero()).then(|| self.estimate.bill.sum() * Decimal::from(1_000_000) / events)
    }

    pub(super) fn json(&self) -> Json<'_> {
        let (all, declared) = (self.estimate.bill.sum(), self.declared());
        Json {
            version: VERSION,
            pipeline: &self.pipeline,
            stage: self.stage.as_deref(),
            region: &self.region,
            prices_of: &self.prices_of,
            monthly_usd: all,
            declared_usd: declared,
            use_usd: all - declared,
            per_million_events_usd: self.per_million().map(crate::cost::as_f64),
            events: self.estimate.events,
            items: &self.estimate.bill.items,
            of_it: &self.of_it,
            break_even: &self.break_evens,
            advice: &self.advices,
            assumptions: &self.estimate.assumptions,
            unknown: &self.estimate.bill.unknown,
        }
    }
}
