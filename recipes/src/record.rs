//! The records that recipes process: of a Kinesis stream, or changes of a table.

use crate::{Item, Rejected, View};

/// A record as recipes process it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// From a Kinesis data stream.
    Stream(StreamRecord<'a>),
    /// From a DynamoDB table's stream.
    Change(Change<'a>),
}

impl<'a> Record<'a> {
    /// The record of a stream, or the verdict on one that comes from elsewhere.
    pub fn stream(&self) -> Result<&StreamRecord<'a>, Rejected> {
        match self {
            Self::Stream(record) => Ok(record),
            Self::Change(_) => Err(Rejected::new("wrong_source", "a table's change, expected a stream's record")),
        }
    }

    /// The change of a table, or the verdict on a record that comes from elsewhere.
    pub fn change(&self) -> Result<&Change<'a>, Rejected> {
        match self {
            Self::Change(change) => Ok(change),
            Self::Stream(_) => Err(Rejected::new("wrong_source", "a stream's record, expected a table's change")),
        }
    }
}

/// A record of a Kinesis data stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamRecord<'a> {
    /// The ARN of the stream.
    pub stream_arn: &'a str,
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
    /// The event's own id, where it has one.
    pub own_id: Option<&'a str>,
    /// Its place among the records that the Kinesis Producer Library put into one of the stream's.
    pub sub_sequence_number: Option<u64>,
}

/// A change of a DynamoDB table's item.
///
/// See <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Record.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// DynamoDB's identity of the change, the same for every delivery.
    pub event_id: &'a str,
    /// The change's place in the stream: of two changes of one item the later has the higher number.
    pub sequence_number: &'a str,
    /// What was done to the item.
    pub kind: ChangeKind,
    /// The table's name.
    pub table: &'a str,
    /// The region that the stream is in.
    pub region: &'a str,
    /// About when the change was made, in milliseconds since the epoch.
    pub created_ms: i64,
    /// The size of key and images in bytes.
    pub size_bytes: u64,
    /// What the stream carries.
    pub view: View,
    /// The item's key.
    pub keys: &'a Item,
    /// The item before the change, if there was one and the view type carries it.
    pub old: Option<&'a Item>,
    /// The item after the change, if there is one and the view type carries it.
    pub new: Option<&'a Item>,
    /// On whose behalf DynamoDB made the change, if it was a service's.
    pub user: Option<UserIdentity<'a>>,
}

impl Change<'_> {
    /// Whether DynamoDB deleted the item because its time to live was over. In a replica of a global table this shows
    /// only in the region where it happened.
    pub fn is_expiry(&self) -> bool {
        let by_dynamodb =
            |user: &UserIdentity<'_>| user.kind == "Service" && user.principal_id == "dynamodb.amazonaws.com";
        self.kind == ChangeKind::Remove && self.user.as_ref().is_some_and(by_dynamodb)
    }
}

/// What was done to an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It was created.
    Insert,
    /// It was changed.
    Modify,
    /// It was deleted.
    Remove,
}

impl ChangeKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Insert, Self::Modify, Self::Remove];

    /// DynamoDB's name of it, such as `INSERT`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Modify => "MODIFY",
            Self::Remove => "REMOVE",
        }
    }

    /// Finds a kind by DynamoDB's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Who made a change on a service's behalf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserIdentity<'a> {
    /// `Service`.
    pub kind: &'a str,
    /// `dynamodb.amazonaws.com` for an item whose time to live was over.
    pub principal_id: &'a str,
}

impl StreamRecord<'_> {
    /// Returns the record's identity: the event's own id, which it keeps when its producer sends it twice, or else its place.
    pub fn id(&self) -> String {
        self.own_id.map_or_else(|| self.place(), str::to_owned)
    }

    /// Returns the record's place, `<shard>:<sequence number>`: the `eventID` that Lambda gives to a Kinesis record. That of an
    /// aggregated record is followed by `:` and its place among the others.
    pub fn place(&self) -> String {
        match self.sub_sequence_number {
            None => place(self.shard_id, self.sequence_number),
            Some(sub) => format!("{}:{}:{sub}", self.shard_id, self.sequence_number),
        }
    }

    /// Returns 20 decimal digits that depend on nothing but the record's identity, for keys that must differ between
    /// records and stay the same when one record is delivered again.
    pub(crate) fn digits(&self) -> String {
        // The bytes of `id`, without putting them together.
        let hash = match (self.own_id, self.sub_sequence_number) {
            (Some(own_id), _) => fnv1a_128(own_id.bytes()),
            (None, None) => fnv1a_128(self.shard_id.bytes().chain([b':']).chain(self.sequence_number.bytes())),
            (None, Some(_)) => fnv1a_128(self.place().bytes()),
        };
        format!("{:020}", hash % 10_u128.pow(20))
    }

    /// The event's millisecond with a fraction that tells records of the same millisecond apart, in DynamoDB's canonical form:
    /// a sort key.
    pub(crate) fn sort_key(&self, timestamp_ms: impl std::fmt::Display) -> String {
        let digits = self.digits();
        match digits.trim_end_matches('0') {
            "" => timestamp_ms.to_string(),
            fraction => format!("{timestamp_ms}.{fraction}"),
        }
    }
}

/// `<shard>:<sequence number>`.
pub(crate) fn place(shard_id: &str, sequence_number: &str) -> String {
    [shard_id, ":", sequence_number].concat()
}

/// FNV-1a with 128 bits: written out here because the standard library's hashers may change between releases, and
/// stored keys may not.
pub(crate) fn fnv1a_128(bytes: impl Iterator<Item = u8>) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
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
                let record = StreamRecord {
                    stream_arn: "",
                    shard_id: &shard_id,
                    sequence_number: &sequence_number,
                    partition_key: "p",
                    arrival_ms: 1,
                    data: b"",
                    own_id: None,
                    sub_sequence_number: None,
                };
                let later = StreamRecord { arrival_ms: 2, partition_key: "q", data: b"x", ..record };
                assert_eq!(record.digits(), later.digits());
                assert_eq!(record.digits().len(), 20);
                assert!(seen.insert(record.digits()));
                // An event that is in the stream twice.
                let twice = [record, StreamRecord { shard_id: "elsewhere", sequence_number: "1", ..record }];
                let [one, two] = twice.map(|record| StreamRecord { own_id: Some("e-1"), ..record }.digits());
                assert_eq!(one, two);
            }
        }
    }
}
