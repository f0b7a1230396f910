//! Records that the Kinesis Producer Library has aggregated: several of a producer's in one of the stream's.
//!
//! Lambda hands them over as they are. A magic number is followed by a message of Protocol Buffers and its MD5 digest.
//! <https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>

use md5::{Digest as _, Md5};

const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
const DIGEST_BYTES: usize = 16;
/// Fields of the message: partition keys, and records.
const KEYS: u64 = 1;
const HASH_KEYS: u64 = 2;
const RECORDS: u64 = 3;
/// Fields of a record in it: the place of its partition key, that of its explicit hash key if it has one, and its payload.
const KEY_INDEX: u64 = 1;
const HASH_KEY_INDEX: u64 = 2;
const DATA: u64 = 3;

/// One of the producer's records.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UserRecord {
    pub(crate) partition_key: String,
    pub(crate) data: Vec<u8>,
}

/// The hash key by which the library chose the shard: all of its records belong there, whatever the partition key of the aggregated
/// record is. `None` for a payload that is not aggregated.
pub(crate) fn hash_key(payload: &[u8]) -> Option<String> {
    // Whether it is whole.
    let first = user_records(payload)?.into_iter().next()?;
    let message = payload.strip_prefix(&MAGIC)?;
    let (message, _) = message.split_at_checked(message.len().checked_sub(DIGEST_BYTES)?)?;
    let fields: Vec<_> = Fields(message).flatten().collect();
    let record = fields.iter().find_map(|field| match field {
        (RECORDS, Value::Bytes(record)) => Some(*record),
        _ => None,
    })?;
    let index = Fields(record).flatten().find_map(|field| match field {
        (HASH_KEY_INDEX, Value::Number(index)) => usize::try_from(index).ok(),
        _ => None,
    });
    let explicit = index.and_then(|index| {
        let mut keys = fields.iter().filter_map(|field| match field {
            (HASH_KEYS, Value::Bytes(key)) => std::str::from_utf8(key).ok(),
            _ => None,
        });
        keys.nth(index)
    });
    Some(explicit.map_or_else(|| hash_of(&first.partition_key), str::to_owned))
}

/// Kinesis's own hash of a partition key.
fn hash_of(partition_key: &str) -> String {
    u128::from_be_bytes(Md5::digest(partition_key).into()).to_string()
}

/// The producer's records, in order; `None` for a payload that is not aggregated, or not whole.
pub(crate) fn user_records(payload: &[u8]) -> Option<Vec<UserRecord>> {
    let body = payload.strip_prefix(&MAGIC)?;
    let (message, digest) = body.split_at_checked(body.len().checked_sub(DIGEST_BYTES)?)?;
    if Md5::digest(message).as_slice() != digest {
        return None;
    }
    let (mut keys, mut records) = (Vec::new(), Vec::new());
    for field in Fields(message) {
        match field? {
            (KEYS, Value::Bytes(key)) => keys.push(std::str::from_utf8(key).ok()?),
            (RECORDS, Value::Bytes(record)) => records.push(record),
            _ => {}
        }
    }
    let records: Option<Vec<_>> = records.into_iter().map(|record| user_record(record, &keys)).collect();
    records.filter(|records| !records.is_empty())
}

fn user_record(message: &[u8], keys: &[&str]) -> Option<UserRecord> {
    let (mut key, mut data) = (None, None);
    for field in Fields(message) {
        match field? {
            (KEY_INDEX, Value::Number(index)) => key = keys.get(usize::try_from(index).ok()?),
            (DATA, Value::Bytes(bytes)) => data = Some(bytes),
            _ => {}
        }
    }
    Some(UserRecord { partition_key: (*key?).to_owned(), data: data?.to_vec() })
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a type that these messages don't use.
    Other,
}

/// The fields of a message: number and value of each. `None` stands for a message that ends too early.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Value::Number(self.number()?),
            1 => self.bytes(8).map(|_| Value::Other)?,
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                Value::Bytes(self.bytes(length)?)
            }
            5 => self.bytes(4).map(|_| Value::Other)?,
            _ => return None,
        };
        Some((tag >> 3, value))
    }

    /// Seven bits in each byte, the lowest first; the highest bit says that more follow.
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }
}

/// Aggregates records as the library does.
#[cfg(test)]
pub(crate) fn aggregate(records: &[(&str, &[u8])]) -> Vec<u8> {
    fn number(mut number: usize, into: &mut Vec<u8>) {
        while number >= 0x80 {
            into.push(u8::try_from(number & 0x7F).unwrap() | 0x80);
            number >>= 7;
        }
        into.push(u8::try_from(number).unwrap());
    }
    fn bytes(field: usize, value: &[u8], into: &mut Vec<u8>) {
        number(field << 3 | 2, into);
        number(value.len(), into);
        into.extend(value);
    }
    let mut message = Vec::new();
    for (key, _) in records {
        bytes(1, key.as_bytes(), &mut message);
    }
    for (index, (_, data)) in records.iter().enumerate() {
        let mut record = Vec::new();
        number(1 << 3, &mut record);
        number(index, &mut record);
        bytes(3, data, &mut record);
        bytes(3, &record, &mut message);
    }
    let digest = Md5::digest(&message);
    [&MAGIC[..], &message, &digest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_out_as_they_went_in() {
        let long = vec![b'x'; 300];
        let records = [("a", &b"one"[..]), ("b", &long), ("a", b"")];
        let found = user_records(&aggregate(&records)).unwrap();
        let found: Vec<_> = found.iter().map(|record| (record.partition_key.as_str(), &*record.data)).collect();
        assert_eq!(found, records);
    }

    /// Written with the library's own format by hand: one key, one record with the text `hi`.
    #[test]
    fn a_message_that_the_library_wrote_is_read() {
        let message = [0x0A, 1, b'k', 0x1A, 6, 0x08, 0, 0x1A, 2, b'h', b'i'];
        let payload = [&MAGIC[..], &message, &Md5::digest(message)].concat();
        let record = UserRecord { partition_key: "k".to_owned(), data: b"hi".to_vec() };
        assert_eq!(user_records(&payload), Some(vec![record]));
    }

    #[test]
    fn the_shard_is_that_of_the_first_record() {
        // The hash of "a", as `md5sum` has it.
        let hash = 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661_u128.to_string();
        assert_eq!(hash_key(&aggregate(&[("a", b"one"), ("b", b"two")])), Some(hash));
        assert_eq!(hash_key(b"{}"), None);
        // One key, one explicit hash key, and a record with both.
        let message = [0x0A, 1, b'k', 0x12, 2, b'4', b'2', 0x1A, 7, 0x08, 0, 0x10, 0, 0x1A, 1, b'h'];
        let payload = [&MAGIC[..], &message, &Md5::digest(message)].concat();
        assert_eq!(hash_key(&payload).as_deref(), Some("42"));
    }

    #[test]
    fn what_is_not_aggregated_or_not_whole_is_left_as_it_is() {
        let whole = aggregate(&[("a", b"one"), ("b", b"two")]);
        assert!(user_records(b"{}").is_none() && user_records(&MAGIC).is_none() && user_records(b"").is_none());
        assert!(user_records(&aggregate(&[])).is_none());
        for place in MAGIC.len()..whole.len() {
            let mut broken = whole.clone();
            broken[place] ^= 1;
            assert!(user_records(&broken).is_none(), "{place}");
            assert!(user_records(&whole[..place]).is_none(), "{place}");
        }
        // A message whose digest is right and that ends within a field.
        let message = [0x0A, 9, b'k'];
        assert!(user_records(&[&MAGIC[..], &message, &Md5::digest(message)].concat()).is_none());
    }
}
