//! The effects of a record: items and objects to store, notifications to publish, metrics to add to.

use std::collections::BTreeMap;

use crate::Item;

/// Everything that follows from one record. The same record always gives the same effects, so that carrying them out
/// again changes nothing.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Effects {
    /// Items to put into the table.
    pub items: Vec<Item>,
    /// Objects to put into the bucket.
    pub objects: Vec<Object>,
    /// Records to put into the stream, in this order where they have the same partition key.
    pub records: Vec<OutgoingRecord>,
    /// Messages to publish to the topic, after items, objects and records are stored.
    pub notifications: Vec<Notification>,
    /// Metrics to add to, besides the recipe's processed and failed counts, which the handler keeps.
    pub counts: Vec<Count>,
}

impl Effects {
    /// No effects yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an item to put into the table.
    #[must_use]
    pub fn item(mut self, item: Item) -> Self {
        self.items.push(item);
        self
    }

    /// Adds an object to put into the bucket.
    #[must_use]
    pub fn object(mut self, object: Object) -> Self {
        self.objects.push(object);
        self
    }

    /// Adds a record to put into the stream.
    #[must_use]
    pub fn record(mut self, record: OutgoingRecord) -> Self {
        self.records.push(record);
        self
    }

    /// Adds a message to publish to the topic.
    #[must_use]
    pub fn notification(mut self, notification: Notification) -> Self {
        self.notifications.push(notification);
        self
    }

    /// Adds to a metric.
    #[must_use]
    pub fn count(mut self, count: Count) -> Self {
        self.counts.push(count);
        self
    }
}

/// An S3 object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The key. It begins with the prefix that the recipe says it needs, and follows from the record's identity.
    pub key: String,
    /// The body.
    pub body: Vec<u8>,
    /// The media type.
    pub content_type: &'static str,
    /// Whether an object that is there already stays as it is. Its key has to say what is in it: it counts as stored.
    pub keep_existing: bool,
}

/// A record for a Kinesis stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingRecord {
    /// Decides the shard, and with it the order; 1 to 256 characters.
    pub partition_key: String,
    /// Decides the shard in place of the partition key's hash: a decimal number of 128 bits; mostly none. Records with one are put in
    /// any order.
    pub explicit_hash_key: Option<String>,
    /// The payload. The record's identity should be in it, so that a consumer recognizes a record that is put twice.
    pub data: Vec<u8>,
}

/// A message to a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The subject: at most 100 printable ASCII characters.
    pub subject: String,
    /// The body.
    pub message: String,
    /// Message attributes, by which subscribers filter; all are strings, none empty. The record's identity should be
    /// among them, so that a subscriber recognizes a message that is delivered twice.
    pub attributes: BTreeMap<&'static str, String>,
}

/// A value for a CloudWatch metric in the recipe's namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Count {
    /// The metric's name.
    pub metric: &'static str,
    /// The value.
    pub value: f64,
    /// The value's unit.
    pub unit: Unit,
    /// How values of one batch are combined.
    pub aggregation: Aggregation,
    /// Names and values of dimensions. Each combination of values is a metric of its own, and costs as one: take them
    /// from a closed list. Values are printable ASCII and not empty.
    pub dimensions: Vec<(&'static str, String)>,
}

impl Count {
    /// One more of something.
    pub fn one(metric: &'static str) -> Self {
        Self { metric, value: 1.0, unit: Unit::Count, aggregation: Aggregation::Sum, dimensions: Vec::new() }
    }

    /// A measured value, kept apart from others so that CloudWatch knows minimum, maximum and percentiles.
    pub fn sample(metric: &'static str, value: f64, unit: Unit) -> Self {
        Self { metric, value, unit, aggregation: Aggregation::Samples, dimensions: Vec::new() }
    }

    /// Adds a dimension.
    #[must_use]
    pub fn of(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.dimensions.push((name, value.into()));
        self
    }
}

/// How values of one metric and batch are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aggregation {
    /// Added up to one sum.
    Sum,
    /// Sent as single samples.
    Samples,
}

/// A CloudWatch unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// How many.
    Count,
    /// Milliseconds.
    Milliseconds,
    /// Bytes.
    Bytes,
    /// Hundredths.
    Percent,
    /// A number without a unit.
    None,
}

impl Unit {
    /// Returns CloudWatch's name of the unit.
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Milliseconds => "Milliseconds",
            Self::Bytes => "Bytes",
            Self::Percent => "Percent",
            Self::None => "None",
        }
    }
}
