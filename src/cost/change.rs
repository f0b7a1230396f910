//! What a plan adds to the cost at rest: what is, against what is to be.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde::Serialize;

use super::at_rest::{Asset, at_rest};
use super::bill::{Bill, Unknown, dollars, usd};
use super::prices::Prices;

/// The difference that a plan makes at declared capacity, before any traffic.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CostChange {
    #[serde(serialize_with = "usd")]
    pub(crate) monthly_usd_before: Decimal,
    #[serde(serialize_with = "usd")]
    pub(crate) monthly_usd_after: Decimal,
    /// What has no known price and so is in neither sum.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) unknown: BTreeSet<Unknown>,
    /// What is deleted, and was not looked at closely enough to know what it costs now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unread: Vec<String>,
    pub(crate) prices_of: String,
}

/// Compares what these cost a month, without any traffic.
pub(crate) fn change(
    before: &[Asset],
    after: &[Asset],
    unread: Vec<String>,
    region: &str,
    prices: &Prices,
) -> CostChange {
    let (mut was, mut is) = (Bill::new(prices), Bill::new(prices));
    at_rest(before, &mut was);
    at_rest(after, &mut is);
    CostChange {
        monthly_usd_before: was.sum(),
        monthly_usd_after: is.sum(),
        unknown: &was.unknown | &is.unknown,
        unread,
        prices_of: prices.date(region).to_owned(),
    }
}

impl CostChange {
    /// The line of `plan`.
    pub(crate) fn line(&self) -> String {
        let difference = self.monthly_usd_after - self.monthly_usd_before;
        let sign = if difference.is_sign_negative() && !difference.is_zero() { "" } else { "+" };
        let mut line = format!("cost: {sign}{} a month at rest, before traffic", dollars(difference));
        if difference.is_zero() {
            line = format!("cost: {} a month at rest, before traffic, as now", dollars(self.monthly_usd_after));
        }
        if !self.unknown.is_empty() {
            let what: BTreeSet<_> =
                self.unknown.iter().map(|unknown| format!("{} in {}", unknown.what, unknown.region)).collect();
            line = format!("{line}; no price known for {}", what.into_iter().collect::<Vec<_>>().join(", "));
        }
        if !self.unread.is_empty() {
            line = format!("{line}; without what {} costs now", self.unread.join(", "));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::{Fields, ResourceKind};

    fn stream(shards: i64, region: &str) -> Asset {
        Asset {
            node: "stream.events".to_owned(),
            kind: ResourceKind::Stream,
            name: "shop-events".to_owned(),
            region: region.to_owned(),
            fields: Fields::from([
                ("mode", json!("provisioned")),
                ("shards", json!(shards)),
                ("retention", json!("24h")),
            ]),
        }
    }

    #[test]
    fn a_plan_s_line_tells_the_difference_and_what_is_not_in_it() {
        let prices = Prices::built_in();
        let line = |before: &[Asset], after: &[Asset], unread: &[&str]| {
            let unread = unread.iter().map(|node| (*node).to_owned()).collect();
            change(before, after, unread, "us-east-1", &prices).line()
        };
        let of = |shards| [stream(shards, "us-east-1")];
        // 730 × 0.015 = 10.95 for each shard
        assert_eq!(line(&[], &of(2), &[]), "cost: +$21.90 a month at rest, before traffic");
        assert_eq!(line(&of(3), &of(1), &[]), "cost: -$21.90 a month at rest, before traffic");
        assert_eq!(line(&of(1), &of(1), &[]), "cost: $10.95 a month at rest, before traffic, as now");
        assert_eq!(
            line(&[], &[stream(1, "xx-nowhere-1")], &["stream.old"]),
            "cost: $0.00 a month at rest, before traffic, as now; no price known for shard-hour in xx-nowhere-1; \
             without what stream.old costs now"
        );
    }
}
