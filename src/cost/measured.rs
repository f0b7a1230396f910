//! What CloudWatch has counted, in place of what would be assumed.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

/// Something that AWS counts of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Counted {
    /// Records of a stream, and their bytes.
    Records,
    Bytes,
    Invocations,
    Milliseconds,
    WriteUnits,
    ReadUnits,
    /// Messages of a topic.
    Messages,
    /// Requests of a queue: messages that were sent, received and deleted.
    QueueRequests,
    LogBytes,
}

/// Counts by node, for a month at the pace of the time that was looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measured(BTreeMap<(String, Counted), Decimal>);

impl Measured {
    /// Adds to a count.
    pub(crate) fn add(&mut self, node: &str, counted: Counted, a_month: Decimal) {
        *self.0.entry((node.to_owned(), counted)).or_default() += a_month;
    }

    pub(crate) fn get(&self, node: &str, counted: Counted) -> Option<Decimal> {
        self.0.get(&(node.to_owned(), counted)).copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
