//! What capacity costs that a file declares, whether anything comes or not.

use rust_decimal::Decimal;
use serde_json::Value;

use super::bill::{At, Bill, Quantity, number};
use super::load::HOURS;
use super::prices::Price;
use crate::aws::Clients;
use crate::pipeline::Node;
use crate::plan::{Fields, ResourceKind};
use crate::resources::Resource as _;
use crate::spec::Seconds;

/// For how long a stream keeps records for the price of its shards.
const FREE_RETENTION: Seconds = Seconds(24 * 3_600);

/// Alarms on shorter periods cost more.
const MINUTE: Seconds = Seconds(60);

/// A resource, as far as its price depends on it.
#[derive(Debug, Clone)]
pub(crate) struct Asset {
    pub(crate) node: String,
    pub(crate) kind: ResourceKind,
    pub(crate) name: String,
    pub(crate) region: String,
    /// Its settings, as plans compare them.
    pub(crate) fields: Fields,
}

impl Asset {
    /// What a node is to be.
    pub(crate) fn of(node: &Node, aws: &Clients) -> Self {
        Self::with(node, aws, node.resource.desired())
    }

    /// A node with these settings.
    pub(crate) fn with(node: &Node, aws: &Clients, fields: Fields) -> Self {
        Self {
            node: node.id.clone(),
            kind: node.resource.kind(),
            name: node.resource.name().to_owned(),
            region: node.resource.region().unwrap_or(&aws.region).to_owned(),
            fields,
        }
    }

    pub(crate) fn at(&self) -> At<'_> {
        At { node: &self.node, region: &self.region }
    }

    pub(crate) fn is_on_demand(&self) -> bool {
        self.text("mode") == Some("on-demand")
    }

    /// Shards of a stream; `None` where AWS opens as many as it takes.
    pub(crate) fn shards(&self) -> Option<Decimal> {
        if self.is_on_demand() { None } else { self.fields.get("shards").and_then(Value::as_i64).map(Decimal::from) }
    }

    pub(crate) fn retention(&self) -> Option<Seconds> {
        self.duration("retention")
    }

    /// Read and write units of a table; `None` where requests are paid for.
    pub(crate) fn capacity(&self) -> Option<(Decimal, Decimal)> {
        let (read, write) = self.text("billing")?.split_once(", write ")?;
        let units = |text: &str| text.trim().parse::<i64>().ok().map(Decimal::from);
        Some((units(read.strip_prefix("read ")?)?, units(write)?))
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field).and_then(Value::as_str)
    }

    fn duration(&self, field: &str) -> Option<Seconds> {
        Seconds::parse(self.text(field)?).ok()
    }
}

/// Adds what these cost without any traffic.
pub(crate) fn at_rest(assets: &[Asset], bill: &mut Bill<'_>) {
    for asset in assets {
        match asset.kind {
            ResourceKind::Stream => stream(asset, bill),
            ResourceKind::Consumer => consumer(asset, assets, bill),
            ResourceKind::Table => table(asset, bill),
            ResourceKind::Alarm => {
                let is_quick = asset.duration("period").is_some_and(|period| period < MINUTE);
                let (price, what) = if is_quick {
                    (Price::HighResolutionAlarm, "high-resolution alarm")
                } else {
                    (Price::Alarm, "alarm")
                };
                bill.add(asset.at(), what, price, Quantity::declared(Decimal::ONE, "1 alarm"));
            }
            ResourceKind::Dashboard => {
                bill.add(asset.at(), "dashboard", Price::Dashboard, Quantity::declared(Decimal::ONE, "1 dashboard"));
            }
            ResourceKind::Key => {
                bill.add(asset.at(), "key", Price::Key, Quantity::declared(Decimal::ONE, "1 key"));
            }
            ResourceKind::Mapping
            | ResourceKind::Function
            | ResourceKind::LogGroup
            | ResourceKind::Role
            | ResourceKind::Topic
            | ResourceKind::Queue
            | ResourceKind::Bucket => {}
        }
    }
}

/// Units that are paid for each hour of the month.
pub(super) fn hourly(units: Decimal, of: &str) -> Quantity {
    let s = if units == Decimal::ONE { "" } else { "s" };
    Quantity::declared(units * Decimal::from(HOURS), format!("{} {of}{s} × {HOURS} h", number(units)))
}

fn stream(asset: &Asset, bill: &mut Bill<'_>) {
    let Some(shards) = asset.shards() else {
        bill.add(asset.at(), "on-demand stream", Price::StreamHour, hourly(Decimal::ONE, "stream"));
        return;
    };
    bill.add(asset.at(), "shards", Price::ShardHour, hourly(shards, "shard"));
    if asset.retention().is_some_and(|retention| retention > FREE_RETENTION) {
        bill.add(asset.at(), "retention over 24h", Price::ExtendedShardHour, hourly(shards, "shard"));
    }
}

/// An enhanced fan-out consumer of a provisioned stream. Of an on-demand one only what it reads is paid for.
fn consumer(asset: &Asset, assets: &[Asset], bill: &mut Bill<'_>) {
    let name = asset.text("stream").and_then(|arn| arn.rsplit('/').next());
    let mut streams = assets.iter().filter(|other| {
        other.kind == ResourceKind::Stream && other.region == asset.region && Some(other.name.as_str()) == name
    });
    if let Some(shards) = streams.next().and_then(Asset::shards) {
        bill.add(asset.at(), "enhanced fan-out", Price::ConsumerShardHour, hourly(shards, "consumer-shard"));
    }
}

fn table(asset: &Asset, bill: &mut Bill<'_>) {
    if let Some((read, write)) = asset.capacity() {
        bill.add(asset.at(), "write capacity", Price::WriteCapacityHour, hourly(write, "WCU"));
        bill.add(asset.at(), "read capacity", Price::ReadCapacityHour, hourly(read, "RCU"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cost::prices::Prices;

    fn asset(node: &str, kind: ResourceKind, fields: Fields) -> Asset {
        let name = format!("shop-{}", node.rsplit('.').next().unwrap());
        Asset { node: node.to_owned(), kind, name, region: "us-east-1".to_owned(), fields }
    }

    fn sums(assets: &[Asset]) -> Vec<(String, String)> {
        let prices = Prices::built_in();
        let mut bill = Bill::new(&prices);
        at_rest(assets, &mut bill);
        assert!(bill.unknown.is_empty(), "{:?}", bill.unknown);
        bill.items.into_iter().map(|item| (item.what, item.usd.to_string())).collect()
    }

    #[test]
    fn shards_their_retention_and_their_consumers_are_paid_by_the_hour() {
        let of = |mode: &str, shards: i64, retention: &str| {
            Fields::from([("mode", json!(mode)), ("shards", json!(shards)), ("retention", json!(retention))])
        };
        let consumer = Fields::from([("stream", json!("arn:aws:kinesis:us-east-1:1:stream/shop-events"))]);
        let consumer = || asset("function.f.consumer", ResourceKind::Consumer, consumer.clone());
        let stream = |fields| asset("stream.events", ResourceKind::Stream, fields);
        let told = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|(what, usd)| ((*what).to_owned(), (*usd).to_owned())).collect()
        };
        // 2 × 730 × 0.015 = 21.9
        assert_eq!(
            sums(&[stream(of("provisioned", 2, "24h")), consumer()]),
            told(&[("shards", "21.9"), ("enhanced fan-out", "21.9")])
        );
        // 3 × 730 × 0.015 = 32.85; 3 × 730 × 0.020 = 43.8
        assert_eq!(
            sums(&[stream(of("provisioned", 3, "7d"))]),
            told(&[("shards", "32.85"), ("retention over 24h", "43.8")])
        );
        // 730 × 0.04 = 29.2
        assert_eq!(sums(&[stream(of("on-demand", 4, "7d")), consumer()]), told(&[("on-demand stream", "29.2")]));
    }

    #[test]
    fn tables_cost_their_units_and_alarms_by_their_period() {
        let table = |billing: &str| asset("table.t", ResourceKind::Table, Fields::from([("billing", json!(billing))]));
        let usd = |assets: &[Asset]| sums(assets).into_iter().map(|(_, usd)| usd).collect::<Vec<_>>();
        // 5 × 730 × 0.00065 = 2.3725; 10 × 730 × 0.00013 = 0.949
        assert_eq!(usd(&[table("read 10, write 5")]), ["2.3725", "0.949"]);
        assert_eq!(usd(&[table("on-demand")]), [""; 0]);
        let alarm = |period: &str| asset("alarm.a", ResourceKind::Alarm, Fields::from([("period", json!(period))]));
        assert_eq!(usd(&[alarm("1m"), alarm("10s")]), ["0.1", "0.3"]);
        let fixed = [ResourceKind::Dashboard, ResourceKind::Key, ResourceKind::Role, ResourceKind::Queue];
        assert_eq!(usd(&fixed.map(|kind| asset("x.y", kind, Fields::new()))), ["3", "1"]);
    }
}
