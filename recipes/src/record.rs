//! What goes into a stream (`Event`) and what comes out of it (`Record`).

/// A stream record as a function sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The shard's identifier, such as `shardId-000000000000`.
    pub shard_id: &'a str,
    /// The record's sequence number, unique within its shard.
    pub sequence_number: &'a str,
    /// The partition key that the producer chose.
    pub partition_key: &'a str,
    /// When the stream took the record, in milliseconds since the epoch.
    pub arrival_ms: i64,
    /// The payload, decoded.
    pub data: &'a [u8],
}

impl Record<'_> {
    /// Returns the record's identity, `<shard>:<sequence number>`: the `eventID` that Lambda gives to a Kinesis record.
    pub fn id(&self) -> String {
        format!("{}:{}", self.shard_id, self.sequence_number)
    }

    /// Returns 20 decimal digits that depend on nothing but the record's identity, for keys that must differ between
    /// records and stay the same when one record is delivered again.
    pub(crate) fn digits(&self) -> String {
        let parts = [self.shard_id, ":", self.sequence_number];
        let hash = fnv1a_128(parts.iter().flat_map(|part| part.bytes()));
        format!("{:020}", hash % 10_u128.pow(20))
    }
}

/// FNV-1a with 128 bits: written out here because the standard library's hashers may change between releases, and
/// stored keys may not.
fn fnv1a_128(bytes: impl Iterator<Item = u8>) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

/// An event for a producer to put into a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Decides the shard, and with it the order; 1 to 256 characters.
    pub partition_key: String,
    /// The payload.
    pub data: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_matches_published_vectors() {
        assert_eq!(fnv1a_128("".bytes()), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fnv1a_128("foobar".bytes()), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }

    #[test]
    fn digits_differ_between_neighbours_and_never_between_deliveries() {
        let mut seen = std::collections::BTreeSet::new();
        for shard in 0..10 {
            for sequence in 0..10_000_u64 {
                let shard_id = format!("shardId-{shard:012}");
                let sequence_number = format!("4954583968659{:043}", sequence * 16);
                let record = Record {
                    shard_id: &shard_id,
                    sequence_number: &sequence_number,
                    partition_key: "p",
                    arrival_ms: 1,
                    data: b"",
                };
                let later = Record { arrival_ms: 2, partition_key: "q", data: b"x", ..record };
                assert_eq!(record.digits(), later.digits());
                assert_eq!(record.digits().len(), 20);
                assert!(seen.insert(record.digits()));
            }
        }
    }
}
