//! Recipes whose effects are those of a batch, not of single records.

use std::ops::Range;

use crate::Effects;

/// A recipe that looks at the records of a batch together, as they came: neither decoded, nor taken apart where the Kinesis
/// Producer Library has aggregated them.
///
/// No record is rejected. What can't be stored or published is delivered again, however the service calls its error.
pub trait Batched: Sync {
    /// Divides a batch into parts, each with its effects: objects, notifications and counts, no items. `records` are in the order
    /// of their shard. Every record is in one part, and the parts are in the order of the records.
    ///
    /// Effects have to follow from the records of the part alone. A batch that is delivered again may be cut in other places.
    fn process(&self, records: &[ReceivedRecord<'_>], bucket: &str) -> Vec<BatchPart>;
}

/// Records of a batch that follow each other, and what follows from them.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchPart {
    /// The places of the records in the batch.
    pub records: Range<usize>,
    /// Their effects. The part is done when all of them are carried out.
    pub effects: Effects,
}

/// A record as Lambda handed it over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceivedRecord<'a> {
    /// The ARN of the stream, or of the table's stream.
    pub source_arn: &'a str,
    /// The shard's identifier; empty for a table's change, whose event does not say it.
    pub shard_id: &'a str,
    /// The record's sequence number.
    pub sequence_number: &'a str,
    /// When the stream took the record, in milliseconds since the epoch.
    pub arrival_ms: i64,
    /// The whole record: one entry of `Records` of Lambda's event, as JSON.
    pub json: &'a str,
}

impl ReceivedRecord<'_> {
    /// The name of the stream or table.
    pub fn source_name(&self) -> &str {
        let arn = self.source_arn;
        let name = arn.split_once(":stream/").or_else(|| arn.split_once(":table/")).map_or("", |(_, name)| name);
        name.split('/').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_known_by_their_arns() {
        for (source_arn, name) in [
            ("arn:aws:kinesis:eu-west-1:123456789012:stream/events", "events"),
            ("arn:aws:kinesis:eu-west-1:123456789012:stream/events/consumer/c:1", "events"),
            ("arn:aws:dynamodb:eu-west-1:123456789012:table/my.table/stream/2026-01-02T03:04:05.678", "my.table"),
            ("", ""),
        ] {
            assert_eq!(ReceivedRecord { source_arn, ..ReceivedRecord::default() }.source_name(), name);
        }
    }
}
