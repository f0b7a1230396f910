//! What it costs that a function stores and publishes: tables with their replicas, buckets, topics and queues.

use rust_decimal::Decimal;

use super::at_rest::Asset;
use super::bill::{At, Part, Quantity, number};
use super::estimate::{Estimator, add_kept, gb_of};
use super::function_use::FunctionUse;
use super::load::{SECONDS, Traffic};
use super::measured::Counted;
use super::prices::Price;
use crate::pipeline::Flow;
use crate::plan::ResourceKind;
use crate::resources::{Any, Resource as _};

/// Messages of a `PublishBatch`, which is paid for as one publish.
const PUBLISH_BATCH: u32 = 10;

/// A message is sent, received and deleted.
const QUEUE_REQUESTS: u32 = 3;

/// What is done with a table in a month.
#[derive(Debug, Clone, Default)]
pub(crate) struct TableUse {
    pub(crate) node: String,
    pub(crate) write_units: Decimal,
    /// Write units in the second in which most come.
    pub(crate) peak_write_units: Decimal,
    pub(crate) read_units: Decimal,
    /// Write units that are provisioned; `None` where requests are paid for.
    pub(crate) write_capacity: Option<Decimal>,
    /// Bytes that are written, each time that an item is.
    pub(crate) bytes: Decimal,
    write_basis: Vec<String>,
    read_basis: Vec<String>,
}

impl Estimator<'_> {
    /// Notes writes of items into a table, by its name in AWS.
    pub(super) fn writes(&mut self, table: &str, items: &Traffic, units_each: Decimal, item_bytes: Decimal, who: &str) {
        if items.total().is_zero() {
            return;
        }
        let basis = if units_each == Decimal::ONE {
            format!("{} items {who}", number(items.total()))
        } else {
            format!("{} items {who} × {} units", number(items.total()), number(units_each))
        };
        self.use_of(table, |used| {
            used.write_units += items.total() * units_each;
            used.peak_write_units += items.peak() * units_each;
            used.bytes += items.total() * item_bytes;
            used.write_basis.push(basis);
        });
    }

    fn use_of(&mut self, table: &str, add: impl FnOnce(&mut TableUse)) {
        let Some(node) = self.named(ResourceKind::Table, table) else { return };
        let write_capacity = self.asset(&node.id).and_then(Asset::capacity).map(|(_, write)| write);
        let used = self.estimate.tables.entry(table.to_owned()).or_default();
        used.node.clone_from(&node.id);
        used.write_capacity = write_capacity;
        add(used);
    }

    /// What a function leaves where.
    pub(super) fn sinks(&mut self, flow: &Flow, made: &FunctionUse) {
        let event = &made.effects.event;
        if let Some(table) = &flow.table {
            if !event.items.is_zero() {
                let each = event.write_units / event.items;
                self.writes(table, &made.items, each, event.item_bytes, &format!("by {}", flow.key));
            }
            self.windows(table, made);
        }
        if let Some(table) = &flow.state {
            self.states(table, flow, made);
        }
        if let Some(bucket) = &flow.bucket {
            self.objects(bucket, made);
        }
        if let Some(topic) = &flow.topic {
            let batch = made.effects.batch.notifications;
            let messages = made.records * event.notifications + made.invocations * batch;
            self.messages(topic, messages, made.invocations);
        }
    }

    /// Each shard puts what its window came to, reads those of all shards, and puts what they come to together.
    fn windows(&mut self, table: &str, made: &FunctionUse) {
        let ends = made.reading.ends_of_windows(&made.traffic);
        let window = made.effects.window.clone();
        if ends.is_zero() || window.write_units.is_zero() {
            return;
        }
        let each = |units: Decimal| format!("{} ends of windows × {} units", number(ends), number(units));
        let seconds = made.reading.tumbling_window.unwrap_or(Decimal::ONE);
        let peak = made.reading.lanes / seconds * window.write_units;
        self.use_of(table, |used| {
            used.write_units += ends * window.write_units;
            used.peak_write_units += peak;
            used.read_units += ends * window.read_units;
            used.write_basis.push(each(window.write_units));
            used.read_basis.push(each(window.read_units));
        });
    }

    /// The state of each record's key is read and written: at most once for each record, and less often where a batch has
    /// several records of a key.
    fn states(&mut self, table: &str, flow: &Flow, made: &FunctionUse) {
        let records = made.records;
        let event = made.effects.event.clone();
        let each = |units: Decimal| format!("{} states × {} units", number(records), number(units));
        let peak = made.traffic.peak() * made.reading.share * event.state_write_units;
        self.use_of(table, |used| {
            used.write_units += records * event.state_write_units;
            used.peak_write_units += peak;
            used.read_units += records * event.state_read_units;
            used.bytes += records * event.state_write_units * Decimal::from(1_024);
            used.write_basis.push(each(event.state_write_units));
            used.read_basis.push(each(event.state_read_units));
        });
        self.assume(format!("{}: each record of a batch has a key of its own, and so a state", flow.key));
    }

    /// Adds what all tables cost by use.
    pub(super) fn tables(&mut self) {
        for (name, used) in self.estimate.tables.clone() {
            let asset = self.asset(&used.node).cloned();
            let Some(asset) = asset else { continue };
            let assumed = |amount, basis: &[String]| Quantity::assumed(amount, basis.join(" + "));
            let writes = assumed(used.write_units, &used.write_basis);
            let writes = self.quantity(&used.node, Counted::WriteUnits, "write units", writes);
            let reads = assumed(used.read_units, &used.read_basis);
            let reads = self.quantity(&used.node, Counted::ReadUnits, "read units", reads);
            let written = writes.clone();
            // Provisioned capacity is paid for whether it is used or not.
            if asset.capacity().is_none() {
                self.estimate.bill.add(asset.at(), "writes", Price::WriteUnit, writes);
                self.estimate.bill.add(asset.at(), "reads", Price::ReadUnit, reads);
            }
            self.replicas(&name, &used, &asset, &written);
        }
        self.storage();
    }

    /// Each replica gets each write, over the network between the regions.
    fn replicas(&mut self, table: &str, used: &TableUse, home: &Asset, written: &Quantity) {
        let replicas: Vec<Asset> = self.replicas_of(table);
        for replica in replicas {
            self.estimate.bill.add(replica.at(), "replicated writes", Price::ReplicatedWriteUnit, written.clone());
            let gb = gb_of(used.bytes, Decimal::ONE);
            let quantity = Quantity::assumed(gb, format!("{} GB to {}", number(gb), replica.region));
            self.estimate.bill.add(home.at(), "transfer", Price::TransferGb, quantity);
        }
    }

    fn replicas_of(&self, table: &str) -> Vec<Asset> {
        let nodes = self.question.pipeline.nodes.iter();
        let replicas =
            nodes.filter(|node| matches!(node.resource.inner(), Any::Replica(_)) && node.resource.name() == table);
        replicas.filter_map(|node| self.asset(&node.id)).cloned().collect()
    }

    /// What tables and their replicas hold, and can be put back to.
    fn storage(&mut self) {
        let gb = self.question.load.table_gb;
        let tables: Vec<Asset> =
            self.assets.iter().filter(|asset| asset.kind == ResourceKind::Table).cloned().collect();
        for table in tables {
            let of = || Quantity::assumed(gb, format!("{} GB", number(gb)));
            self.estimate.bill.add(table.at(), "storage", Price::TableGb, of());
            if table.fields.get("point_in_time_recovery").and_then(serde_json::Value::as_bool) == Some(true) {
                self.estimate.bill.add(table.at(), "point-in-time recovery", Price::RecoveryGb, of());
            }
        }
    }

    fn objects(&mut self, bucket: &str, made: &FunctionUse) {
        let Some(node) = self.named(ResourceKind::Bucket, bucket) else { return };
        let Any::Bucket(bucket) = node.resource.inner() else { return };
        let expire = bucket.expire.map(|age| age.0);
        let at: At<'_> = self.here(&node.id);
        let event = &made.effects.event;
        let of_batches = made.invocations * made.effects.batch.objects;
        let (puts, bytes) = if of_batches.is_zero() {
            (made.records * event.objects, made.records * event.objects * event.object_bytes)
        } else {
            (of_batches, made.records * event.object_bytes)
        };
        let quantity = Quantity::assumed(puts, format!("{} objects", number(puts)));
        self.estimate.bill.add(at, "PUT", Price::Put, quantity);
        let gb = gb_of(bytes, Decimal::ONE);
        let seconds = expire.unwrap_or(SECONDS.into());
        if !gb.is_zero() {
            self.assume(match expire {
                None => {
                    format!("{}: a month of objects lies there; without `expire` they grow month by month", node.id)
                }
                Some(_) => format!("{}: as many objects lie there as `expire` leaves, which takes that long", node.id),
            });
        }
        add_kept(&mut self.estimate.bill, at, "storage", Price::BucketGb, gb, seconds, Part::Assumed);
    }

    /// Publishes, and deliveries to whoever is subscribed.
    fn messages(&mut self, topic: &str, messages: Decimal, invocations: Decimal) {
        let Some(node) = self.named(ResourceKind::Topic, topic) else { return };
        let Any::Topic(topic) = node.resource.inner() else { return };
        let counted = self.question.measured.get(&node.id, Counted::Messages);
        let messages = counted.unwrap_or(messages);
        let part = if counted.is_some() { Part::Measured } else { Part::Assumed };
        let publishes = publishes(messages, invocations);
        let at = self.here(&node.id);
        let basis = format!("{} publishes of {} messages", number(publishes), number(messages));
        let quantity = Quantity { amount: publishes, basis, part };
        self.estimate.bill.add(at, "publishes", Price::Publish, quantity);
        for subscription in &topic.subscribers {
            let each = |what: &str| Quantity { amount: messages, basis: format!("{} {what}", number(messages)), part };
            match subscription.protocol.as_str() {
                "sqs" => self.queued(&subscription.endpoint, messages),
                "email" => self.estimate.bill.add(at, "emails", Price::Email, each("emails")),
                "https" => self.estimate.bill.add(at, "deliveries", Price::HttpDelivery, each("deliveries")),
                protocol if !messages.is_zero() => {
                    self.estimate.bill.no_price(at, &format!("{protocol} messages, which differ by country"));
                }
                _ => {}
            }
            if subscription.filter.is_some() {
                self.assume(format!("{}: subscribers with a filter get every message", node.id));
            }
        }
    }

    /// SNS delivers to queues for nothing, and SQS counts its own requests.
    fn queued(&mut self, arn: &str, messages: Decimal) {
        let nodes = self.question.pipeline.nodes.iter();
        let mut queues = nodes
            .filter(|node| node.resource.kind() == ResourceKind::Queue && node.resource.arn(self.question.aws) == arn);
        let Some(node) = queues.next() else { return };
        let requests = messages * Decimal::from(QUEUE_REQUESTS);
        let basis = format!("{} messages × {QUEUE_REQUESTS} (sent, received, deleted)", number(messages));
        let quantity = Quantity::assumed(requests, basis);
        let quantity = self.quantity(&node.id, Counted::QueueRequests, "requests", quantity);
        let at = self.here(&node.id);
        self.estimate.bill.add(at, "requests", Price::QueueRequest, quantity);
    }
}

/// Publishes of so many messages, of which those of an invocation go together.
fn publishes(messages: Decimal, invocations: Decimal) -> Decimal {
    if invocations.is_zero() || messages <= invocations {
        return messages;
    }
    let each = messages / invocations;
    invocations * (each / Decimal::from(PUBLISH_BATCH)).ceil()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_an_invocation_are_published_ten_at_a_time() {
        let of = |messages: u32, invocations: u32| publishes(messages.into(), invocations.into());
        assert_eq!(of(100, 1_000), Decimal::from(100));
        assert_eq!(of(5_000, 1_000), Decimal::from(1_000));
        // 25 of each invocation are three publishes.
        assert_eq!(of(25_000, 1_000), Decimal::from(3_000));
        assert_eq!(of(0, 0), Decimal::ZERO);
    }
}
