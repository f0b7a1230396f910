//! `PutRecord` and `PutRecords`.
//!
//! See <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>.

use ferrokinesis::sequence::{parse_sequence, partition_key_to_hash_key};
use ferrokinesis::store::SequenceAllocation;
use serde_json::{Value, json};
use streamkit_wire::input::{list, text};
use streamkit_wire::{CallError, clock};

use super::log::Record;
use crate::services::kinesis::service::{Kinesis, failed};

/// Data and keys of one `PutRecords`.
const MAX_CALL_BYTES: usize = 10 << 20;
/// A record that is no larger needs no look at what its stream allows.
const SMALL_BYTES: usize = 1 << 20;

/// What a call asks to put.
struct Entry<'a> {
    key: &'a str,
    data: &'a str,
    size: usize,
    hash: u128,
}

impl<'a> Entry<'a> {
    fn read(input: &'a Value) -> Result<Self, CallError> {
        let key = input["PartitionKey"].as_str().unwrap_or_default();
        let data = input["Data"].as_str().unwrap_or_default();
        let hash = match input["ExplicitHashKey"].as_str() {
            Some(given) => given.parse().map_err(|_| {
                let range = "ExplicitHashKey must be in the range: [0, 2^128-1].";
                invalid(format!("Invalid ExplicitHashKey. {range} Specified value was {given}"))
            })?,
            None => partition_key_to_hash_key(key),
        };
        Ok(Self { key, data, size: decoded_len(data) + key.len(), hash })
    }
}

impl Kinesis {
    pub(in crate::services::kinesis) async fn put_record(&self, input: &Value) -> Result<Value, CallError> {
        let stream = self.store.resolve_stream_name(input).map_err(failed)?;
        let entry = Entry::read(input)?;
        self.check_order(&stream, input)?;
        self.check_size(&stream, &entry).await?;
        let _in_order = self.order.write().await;
        let place = self.store.allocate_sequence(&stream, &entry.hash).await.map_err(failed)?;
        let now_ms = clock::now_ms();
        if !self.takes(&stream, &place.shard_id, entry.size, now_ms) {
            return Err(self.rate_exceeded(&stream, &place.shard_id));
        }
        let answer = put(&place);
        self.records.append(&stream, [record(&entry, place, now_ms)]);
        Ok(answer)
    }

    pub(in crate::services::kinesis) async fn put_records(&self, input: &Value) -> Result<Value, CallError> {
        let stream = self.store.resolve_stream_name(input).map_err(failed)?;
        let entries: Vec<Entry<'_>> = list(&input["Records"]).iter().map(Entry::read).collect::<Result<_, _>>()?;
        for entry in &entries {
            self.check_size(&stream, entry).await?;
        }
        if entries.iter().map(|entry| entry.size).sum::<usize>() > MAX_CALL_BYTES {
            return Err(invalid("Records size exceeds 10 MB limit"));
        }
        let hashes: Vec<u128> = entries.iter().map(|entry| entry.hash).collect();
        let _in_order = self.order.write().await;
        let places = self.store.allocate_sequences_batch(&stream, &hashes).await.map_err(failed)?;
        let now_ms = clock::now_ms();
        let (mut answers, mut taken, mut refused) = (Vec::with_capacity(entries.len()), Vec::new(), 0);
        for (entry, place) in entries.iter().zip(places) {
            if self.takes(&stream, &place.shard_id, entry.size, now_ms) {
                answers.push(put(&place));
                taken.push(record(entry, place, now_ms));
            } else {
                let CallError { code, message, .. } = self.rate_exceeded(&stream, &place.shard_id);
                answers.push(json!({"ErrorCode": code, "ErrorMessage": message}));
                refused += 1;
            }
        }
        self.records.append(&stream, taken);
        Ok(json!({"FailedRecordCount": refused, "Records": answers}))
    }

    /// A record may be as large as its stream says.
    async fn check_size(&self, stream: &str, entry: &Entry<'_>) -> Result<(), CallError> {
        if entry.size <= SMALL_BYTES {
            return Ok(());
        }
        let stream = self.store.get_stream(stream).await.map_err(failed)?;
        let most = usize::try_from(stream.max_record_size_kib).unwrap_or(usize::MAX).saturating_mul(1024);
        if entry.size <= most {
            return Ok(());
        }
        Err(CallError::bad(
            "ValidationException",
            format!(
                "1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim={0} cap={0}]' at 'data' failed to \
                 satisfy constraint: Member must have length less than or equal to {most}",
                entry.size - entry.key.len()
            ),
        ))
    }

    /// `SequenceNumberForOrdering` is a number that this stream gave earlier. Records are put in order without it.
    fn check_order(&self, stream: &str, input: &Value) -> Result<(), CallError> {
        let Some(number) = text(input, "SequenceNumberForOrdering") else { return Ok(()) };
        let given_ms = parse_sequence(number).map(|number| number.seq_time.unwrap_or_default());
        if given_ms.is_ok_and(|given_ms| i64::try_from(given_ms).is_ok_and(|given_ms| given_ms <= clock::now_ms())) {
            return Ok(());
        }
        let account = &self.account;
        Err(invalid(format!(
            "ExclusiveMinimumSequenceNumber {number} used in PutRecord on stream {stream} under account {account} is invalid."
        )))
    }

    /// Whether a shard has throughput left for a record.
    fn takes(&self, stream: &str, shard: &str, bytes: usize, now_ms: i64) -> bool {
        !self.strict_rates || self.throughput.write(stream, shard, bytes, now_ms)
    }

    pub(super) fn rate_exceeded(&self, stream: &str, shard: &str) -> CallError {
        let account = &self.account;
        CallError::bad(
            "ProvisionedThroughputExceededException",
            format!("Rate exceeded for shard {shard} in stream {stream} under account {account}."),
        )
    }
}

fn put(place: &SequenceAllocation) -> Value {
    json!({"ShardId": place.shard_id, "SequenceNumber": place.seq_num})
}

fn record(entry: &Entry<'_>, place: SequenceAllocation, arrived_ms: i64) -> (String, Record) {
    let record = Record {
        sequence: place.seq_num,
        partition_key: entry.key.to_owned(),
        data: entry.data.to_owned(),
        size: entry.size,
        arrived_ms,
    };
    (place.shard_id, record)
}

/// How many bytes a text in base64 stands for.
fn decoded_len(base64: &str) -> usize {
    let padding = base64.bytes().rev().take_while(|byte| *byte == b'=').count();
    (base64.len() / 4 * 3).saturating_sub(padding)
}

fn invalid(message: impl Into<String>) -> CallError {
    CallError::bad("InvalidArgumentException", message)
}
