//! What it costs that records go through a Kinesis stream.

use rust_decimal::Decimal;

use super::batches::gb;
use super::bill::{Bill, Part, Quantity, number};
use super::estimate::{Estimator, StreamUse, add_kept, gb_of};
use super::load::HOURS;
use super::prices::Price;

/// A PUT payload unit.
const PAYLOAD_UNIT: u32 = 25 * 1_024;
/// On-demand streams count each record as whole KB.
const KB: u32 = 1_024;
const DAY: u64 = 86_400;
const WEEK: u64 = 7 * DAY;

/// Kinesis asks for a data key about every five minutes, for each credentials that put or get records.
/// <https://docs.aws.amazon.com/streams/latest/dev/costs-performance.html>
const KEY_REQUESTS_AN_HOUR: u32 = 12;

impl Estimator<'_> {
    /// Adds what all streams cost by use.
    pub(super) fn streams(&mut self) {
        for stream in self.estimate.streams.clone() {
            let bill = &mut self.estimate.bill;
            if stream.asset.is_on_demand() {
                on_demand(&stream, bill);
            } else {
                provisioned(&stream, bill);
            }
            let is_encrypted = stream.asset.fields.get("encryption").is_some_and(|encryption| encryption != "none");
            if is_encrypted && !stream.traffic.total().is_zero() {
                let users = Decimal::from(1 + stream.shared_readers + stream.fan_out_readers);
                let amount = users * Decimal::from(KEY_REQUESTS_AN_HOUR * HOURS);
                let basis = format!("{} users × {KEY_REQUESTS_AN_HOUR} requests an hour × {HOURS} h", number(users));
                bill.add(stream.asset.at(), "encryption", Price::KeyRequest, Quantity::assumed(amount, basis));
            }
        }
        for (node, gb, part) in self.fan_out() {
            let on_demand =
                self.estimate.streams.iter().any(|stream| stream.asset.is_on_demand() && node.1 == stream.asset.node);
            let price = if on_demand { Price::OnDemandFanOut } else { Price::FanOutGb };
            let at = self.here(&node.0);
            let quantity = Quantity { amount: gb, basis: format!("{} GB", number(gb)), part };
            self.estimate.bill.add(at, "read by fan-out", price, quantity);
        }
    }

    /// What each consumer of a function's own reads: its node and that of its stream, and GB.
    fn fan_out(&self) -> Vec<((String, String), Decimal, Part)> {
        let mut read = Vec::new();
        for function in self.estimate.functions.iter().filter(|function| function.has_consumer) {
            let stream = self.estimate.streams.iter().find(|stream| stream.asset.name == function.source.name());
            if let Some(stream) = stream {
                let gb = gb_of(stream.traffic.total(), stream.record_bytes);
                read.push(((format!("{}.consumer", function.node), stream.asset.node.clone()), gb, stream.part));
            }
        }
        read
    }
}

fn provisioned(stream: &StreamUse, bill: &mut Bill<'_>) {
    let records = stream.traffic.total();
    let each = (stream.record_bytes / Decimal::from(PAYLOAD_UNIT)).ceil().max(Decimal::ONE);
    let basis = if each == Decimal::ONE {
        format!("{} records", number(records))
    } else {
        format!("{} records × {} units", number(records), number(each))
    };
    let quantity = Quantity { amount: records * each, basis, part: stream.part };
    bill.add(stream.asset.at(), "PUT payload units", Price::PutUnit, quantity);
    long_term(stream, Price::LongTermGb, bill);
}

fn on_demand(stream: &StreamUse, bill: &mut Bill<'_>) {
    let records = stream.traffic.total();
    let at = stream.asset.at();
    let each = (stream.record_bytes / Decimal::from(KB)).ceil().max(Decimal::ONE);
    let amount = gb(records * each * Decimal::from(KB));
    let basis = format!("{} records × {} KB = {} GB", number(records), number(each), number(amount));
    bill.add(at, "GB in", Price::OnDemandIn, Quantity { amount, basis, part: stream.part });
    let read = gb_of(records, stream.record_bytes);
    let readers = Decimal::from(stream.shared_readers);
    let basis = format!("{} readers × {} GB", number(readers), number(read));
    bill.add(at, "GB out", Price::OnDemandOut, Quantity { amount: read * readers, basis, part: stream.part });
    let longer = stream.asset.retention().map_or(0, |retention| retention.0.min(WEEK).saturating_sub(DAY));
    if longer > 0 {
        add_kept(bill, at, "retention over 24h", Price::OnDemandExtendedGb, amount, longer, stream.part);
    }
    long_term(stream, Price::OnDemandLongTermGb, bill);
}

/// Records that stay for more than a week are paid for by their bytes.
fn long_term(stream: &StreamUse, price: Price, bill: &mut Bill<'_>) {
    let longer = stream.asset.retention().map_or(0, |retention| retention.0.saturating_sub(WEEK));
    if longer > 0 {
        let gb = gb_of(stream.traffic.total(), stream.record_bytes);
        add_kept(bill, stream.asset.at(), "retention over 7d", price, gb, longer, stream.part);
    }
}
