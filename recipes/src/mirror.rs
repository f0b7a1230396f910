//! The mirror recipe: the records of a stream, copied into another one, as a rule in another region. A copy says which record it is
//! of, so that whoever reads it knows a record that is copied twice.
//!
//! It judges nothing: whatever a record is, it is copied. Only copies are not copied again, so two streams may mirror each other.

use crate::{
    CopyOf, Count, Effects, Needs, OutgoingRecord, Recipe, Record, Rejected, Sampled, Samples, SourceKind, StreamRecord,
};

/// The longest partition key that Kinesis takes, in characters.
const KEY_MAX_CHARS: usize = 256;

/// The recipe; it has no state.
#[derive(Debug)]
pub(crate) struct Mirror;

impl Recipe for Mirror {
    fn name(&self) -> &'static str {
        "mirror"
    }

    fn about(&self) -> &'static str {
        "Copies a stream's records into a stream of another region (Kinesis to Kinesis)"
    }

    fn source(&self) -> SourceKind {
        SourceKind::Stream
    }

    fn needs(&self) -> Needs {
        Needs { stream: true, ..Needs::default() }
    }

    fn namespace(&self) -> &'static str {
        "Mirror"
    }

    fn metrics(&self) -> &'static [(&'static str, &'static [&'static str])] {
        &[("CopiedRecords", &[]), ("SkippedCopies", &[])]
    }

    fn takes_records_as_they_lie(&self) -> bool {
        true
    }

    fn process(&self, record: &Record<'_>, _now_ms: i64) -> Result<Effects, Rejected> {
        let record = record.stream()?;
        if CopyOf::read(record.data).is_some() {
            return Ok(Effects::new().count(Count::one("SkippedCopies")));
        }
        let of = CopyOf {
            stream_arn: record.stream_arn.to_owned(),
            shard_id: record.shard_id.to_owned(),
            sequence_number: record.sequence_number.to_owned(),
            approximate_arrival_timestamp: record.arrival_ms,
        };
        let copy = OutgoingRecord {
            partition_key: partition_key(record).to_owned(),
            explicit_hash_key: None,
            data: of.copy(record.data),
        };
        Ok(Effects::new().record(copy).count(Count::one("CopiedRecords")))
    }
}

impl Sampled for Mirror {
    fn samples(&self) -> Samples<'_> {
        Samples::OfOthers
    }
}

/// The record's own key; where the service has chosen the shard, one that spreads as well.
fn partition_key<'r>(record: &StreamRecord<'r>) -> &'r str {
    let key = if record.partition_key.is_empty() { record.sequence_number } else { record.partition_key };
    // Never longer than that, since a stream has taken it.
    key.char_indices().nth(KEY_MAX_CHARS).map_or(key, |(end, _)| &key[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(data: &[u8]) -> Record<'_> {
        Record::Stream(StreamRecord {
            stream_arn: "arn:aws:kinesis:us-east-1:123456789012:stream/events",
            shard_id: "shardId-000000000001",
            sequence_number: "495",
            partition_key: "user-1",
            arrival_ms: 1_700_000_000_123,
            data,
            ..StreamRecord::default()
        })
    }

    #[test]
    fn every_record_is_copied_good_or_bad_with_its_key_and_what_it_is_a_copy_of() {
        for data in [&br#"{"userId":"u"}"#[..], b"no JSON", b"\xff", b""] {
            let effects = Mirror.process(&record(data), 0).unwrap();
            let [copy] = &effects.records[..] else { panic!("{effects:?}") };
            assert_eq!(copy.partition_key, "user-1");
            let (of, payload) = CopyOf::read(&copy.data).unwrap();
            assert_eq!((of.place().as_str(), payload.as_slice()), ("shardId-000000000001:495", data));
            assert_eq!(of.stream_arn, "arn:aws:kinesis:us-east-1:123456789012:stream/events");
            assert_eq!(of.approximate_arrival_timestamp, 1_700_000_000_123);
            assert_eq!(effects.counts, [Count::one("CopiedRecords")]);
        }
    }

    #[test]
    fn a_copy_is_not_copied_again() {
        let copy = Mirror.process(&record(b"{}"), 0).unwrap().records.remove(0);
        let effects = Mirror.process(&record(&copy.data), 0).unwrap();
        assert!(effects.records.is_empty());
        assert_eq!(effects.counts, [Count::one("SkippedCopies")]);
    }

    #[test]
    fn a_record_without_a_key_gets_one_of_its_own() {
        let Record::Stream(record) = record(b"{}") else { unreachable!() };
        let keyless = Record::Stream(StreamRecord { partition_key: "", ..record });
        assert_eq!(Mirror.process(&keyless, 0).unwrap().records[0].partition_key, "495");
    }
}
