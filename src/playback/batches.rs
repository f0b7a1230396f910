//! Cuts records into batches that one invocation takes.

use crate::records::{Content, SourceRecord};

/// Somewhat less than the six megabytes that a synchronous invocation takes.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const BYTES: usize = 5_500_000;
/// What a record's event has besides its payload and key, about.
const ENVELOPE: usize = 640;

/// About how many bytes the record's event has.
fn event_bytes(record: &SourceRecord) -> usize {
    ENVELOPE
        + match &record.content {
            Content::Stream { partition_key, data, .. } => {
                data.len().div_ceil(3) * 4 + partition_key.as_ref().map_or(0, String::len)
            }
            Content::Change { change, .. } => change.to_string().len(),
        }
}

/// The ends of batches of at most so many records, each of one shard. A record that is too large by itself is a batch.
pub(crate) fn batches<'a>(records: impl Iterator<Item = &'a SourceRecord>, most: usize) -> Vec<usize> {
    let mut ends = Vec::new();
    let (mut count, mut bytes, mut shard) = (0, 0, None);
    let mut total = 0;
    for record in records {
        let size = event_bytes(record);
        let other = shard.is_some_and(|shard| shard != &record.shard_id);
        if count > 0 && (count >= most.max(1) || bytes + size > BYTES || other) {
            ends.push(total);
            (count, bytes) = (0, 0);
        }
        (count, bytes, shard) = (count + 1, bytes + size, Some(&record.shard_id));
        total += 1;
    }
    if count > 0 {
        ends.push(total);
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(shard: &str, bytes: usize) -> SourceRecord {
        SourceRecord {
            source_arn: "arn:aws:kinesis:r:1:stream/s".to_owned(),
            shard_id: shard.to_owned(),
            sequence_number: "1".to_owned(),
            arrival_ms: 0,
            content: Content::Stream { partition_key: None, data: vec![0; bytes], sub_sequence_number: None },
        }
    }

    #[test]
    fn batches_end_with_their_shard_and_before_they_are_too_many_or_too_large() {
        let of = |records: &[SourceRecord], most| batches(records.iter(), most);
        let small: Vec<_> = ["a", "a", "a", "b", "b"].into_iter().map(|shard| record(shard, 1)).collect();
        assert_eq!(of(&small, 2), [2, 3, 5]);
        assert_eq!(of(&small, 100), [3, 5]);
        let large: Vec<_> = (0..3).map(|_| record("a", 3_000_000)).collect();
        assert_eq!(of(&large, 100), [1, 2, 3]);
        assert!(of(&[], 1).is_empty());
    }
}
