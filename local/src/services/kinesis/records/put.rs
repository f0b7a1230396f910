//! `PutRecord` and `PutRecords`.
//!
//! See <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>.

use std::borrow::Cow;
use std::sync::Arc;

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ferrokinesis::error::KinesisErrorResponse;
use ferrokinesis::sequence::{parse_sequence, partition_key_to_hash_key};
use serde::Deserialize;
use serde_json::{Value, json};
use streamkit_wire::input::{list, text};
use streamkit_wire::protocol;
use streamkit_wire::{Call, CallError, Protocol, clock};

use super::log::{NewRecord, decoded_len};
use super::number::Number;
use crate::services::cloudwatch::PutTraffic;
use crate::services::kinesis::service::{Kinesis, failed};

/// Data and keys of one `PutRecords`.
const MAX_CALL_BYTES: usize = 10 << 20;
/// A record that is no larger needs no look at what its stream allows.
const SMALL_BYTES: usize = 1 << 20;
/// Records of one `PutRecords`, letters of a key, and of a stream's name.
const MAX_RECORDS: usize = 500;
const MAX_KEY: usize = 256;
const MAX_NAME: usize = 128;

/// What a call asks to put.
struct Entry<'a> {
    key: &'a str,
    /// In base64.
    data: &'a str,
    size: usize,
    hash: u128,
}

impl<'a> Entry<'a> {
    fn new(key: &'a str, data: &'a str, explicit_hash: Option<&str>) -> Result<Self, CallError> {
        let hash = match explicit_hash {
            Some(given) => given.parse().map_err(|_| {
                let range = "ExplicitHashKey must be in the range: [0, 2^128-1].";
                invalid(format!("Invalid ExplicitHashKey. {range} Specified value was {given}"))
            })?,
            None => partition_key_to_hash_key(key),
        };
        Ok(Self { key, data, size: decoded_len(data) + key.len(), hash })
    }

    fn read(input: &'a Value) -> Result<Self, CallError> {
        let member = |name: &str| input[name].as_str();
        Self::new(
            member("PartitionKey").unwrap_or_default(),
            member("Data").unwrap_or_default(),
            member("ExplicitHashKey"),
        )
    }
}

/// A `PutRecords` whose form is beyond doubt, read without a tree. What else is in order is read the long way, and so is all that is not,
/// which then says what is wrong.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PlainRequest<'a> {
    #[serde(borrow)]
    stream_name: Cow<'a, str>,
    #[serde(borrow)]
    records: Vec<PlainEntry<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PlainEntry<'a> {
    #[serde(borrow)]
    partition_key: Cow<'a, str>,
    #[serde(borrow)]
    data: Cow<'a, str>,
}

impl<'a> PlainRequest<'a> {
    fn read(body: &'a [u8]) -> Option<Self> {
        let request: Self = serde_json::from_slice(body).ok()?;
        let name = request.stream_name.as_bytes();
        let is_named = (1..=MAX_NAME).contains(&name.len())
            && name.iter().all(|letter| letter.is_ascii_alphanumeric() || b"_.-".contains(letter));
        let mut decoded = Vec::new();
        let plain = is_named
            && (1..=MAX_RECORDS).contains(&request.records.len())
            && request.records.iter().all(|entry| {
                decoded.clear();
                (1..=MAX_KEY).contains(&entry.partition_key.len())
                    && entry.data.len() <= SMALL_BYTES
                    && BASE64.decode_vec(&*entry.data, &mut decoded).is_ok()
            });
        plain.then_some(request)
    }
}

/// What became of an entry.
struct Placed {
    shard: Arc<str>,
    /// None where the shard has no throughput left.
    number: Option<Number>,
}

/// What became of the entries of a call.
struct Put {
    stream: String,
    /// In the order of the call.
    placed: Vec<Placed>,
    traffic: PutTraffic,
}

impl Kinesis {
    pub(in crate::services::kinesis) async fn put_record(&self, input: &Value) -> Result<Value, CallError> {
        let stream = self.store.resolve_stream_name(input).map_err(failed)?;
        let entry = Entry::read(input)?;
        self.check_order(&stream, input)?;
        let put = self.put(stream, &[entry]).await?;
        match put.placed.first() {
            Some(Placed { shard, number: Some(number) }) => Ok(position(shard, *number)),
            Some(Placed { shard, number: None }) => Err(self.rate_exceeded(&put.stream, shard)),
            None => Err(CallError::internal("the record was not put")),
        }
    }

    pub(in crate::services::kinesis) async fn put_records(&self, input: &Value) -> Result<Value, CallError> {
        let stream = self.store.resolve_stream_name(input).map_err(failed)?;
        let entries: Vec<Entry<'_>> = list(&input["Records"]).iter().map(Entry::read).collect::<Result<_, _>>()?;
        let put = self.put(stream, &entries).await?;
        let answers: Vec<Value> = put
            .placed
            .iter()
            .map(|Placed { shard, number }| {
                let refused = || {
                    let CallError { code, message, .. } = self.rate_exceeded(&put.stream, shard);
                    json!({"ErrorCode": code, "ErrorMessage": message})
                };
                number.map_or_else(refused, |number| position(shard, number))
            })
            .collect();
        Ok(json!({"FailedRecordCount": put.traffic.throttled, "Records": answers}))
    }

    /// Answers a client's `PutRecords` in JSON, which is how SDKs put many; `None` for what is to be read the long way.
    pub(in crate::services::kinesis) async fn put_records_plainly(&self, call: &Call, body: &[u8]) -> Option<Response> {
        if call.operation != "PutRecords" || call.protocol != Protocol::Json || self.has_states(&call.operation) {
            return None;
        }
        let PlainRequest { stream_name, records } = PlainRequest::read(body)?;
        let entries: Vec<Entry<'_>> = records
            .iter()
            .map(|entry| Entry::new(&entry.partition_key, &entry.data, None))
            .collect::<Result<_, _>>()
            .ok()?;
        Some(match self.put(stream_name.into_owned(), &entries).await {
            Ok(put) => {
                let mut response = protocol::json_response(call, self.answer_text(&put).into_bytes());
                response.extensions_mut().insert(put.traffic);
                response
            }
            Err(error) => protocol::error_response(call, &error),
        })
    }

    /// The answer of `PutRecords`, written without a tree. Names of shards and numbers need no escapes.
    fn answer_text(&self, put: &Put) -> String {
        const ENTRY: usize = r#"{"SequenceNumber":"","ShardId":"shardId-000000000000"},"#.len() + 56;
        let mut text = String::with_capacity(64 + put.placed.len() * ENTRY);
        text.push_str(r#"{"FailedRecordCount":"#);
        text.push_str(&put.traffic.throttled.to_string());
        text.push_str(r#","Records":["#);
        for (at, Placed { shard, number }) in put.placed.iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            if let Some(number) = number {
                text.push_str(r#"{"SequenceNumber":""#);
                number.write(&mut text);
                text.push_str(r#"","ShardId":""#);
                text.push_str(shard);
                text.push_str(r#""}"#);
            } else {
                let CallError { code, message, .. } = self.rate_exceeded(&put.stream, shard);
                text.push_str(&json!({"ErrorCode": code, "ErrorMessage": message}).to_string());
            }
        }
        text.push_str("]}");
        text
    }

    /// Puts the entries for which their shards have throughput left.
    async fn put(&self, stream: String, entries: &[Entry<'_>]) -> Result<Put, CallError> {
        // Until the records are there, nobody may find out that a shard they go to was closed.
        let _not_yet_closed = self.records.puts.read().await;
        let bytes = entries.iter().map(|entry| entry.size).sum::<usize>();
        let too_many =
            || if bytes > MAX_CALL_BYTES { Err(invalid("Records size exceeds 10 MB limit")) } else { Ok(()) };
        if entries.iter().all(|entry| entry.size <= SMALL_BYTES) {
            too_many()?;
        }
        let layout = self.layouts.of(&self.store, &stream).await?;
        let most = usize::try_from(layout.stream.max_record_size_kib).unwrap_or(usize::MAX).saturating_mul(1024);
        if let Some(entry) = entries.iter().find(|entry| entry.size > most.max(SMALL_BYTES)) {
            return Err(too_large(entry, most));
        }
        too_many()?;
        if !layout.takes_records() {
            return Err(failed(KinesisErrorResponse::stream_not_found(&stream, &self.account)));
        }
        let now_ms = clock::now_ms();
        let mut placed = Vec::with_capacity(entries.len());
        let mut records = Vec::with_capacity(entries.len());
        let mut taken = Vec::with_capacity(entries.len());
        let mut traffic = PutTraffic::default();
        for entry in entries {
            let place = layout.place_of(entry.hash).ok_or_else(|| CallError::internal("no shard has this hash key"))?;
            let shard = &layout.open[place].id;
            if self.takes(&stream, shard, entry.size, now_ms) {
                taken.push(placed.len());
                records.push(NewRecord::new(place, entry.key, entry.data));
                traffic.records += 1;
                traffic.bytes += entry.size;
            } else {
                traffic.throttled += 1;
            }
            placed.push(Placed { shard: Arc::clone(shard), number: None });
        }
        let numbers = self.records.append(&stream, &layout, records, now_ms);
        for (at, number) in taken.into_iter().zip(numbers) {
            placed[at].number = Some(number);
        }
        traffic.stream.clone_from(&stream);
        Ok(Put { stream, placed, traffic })
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

fn position(shard: &str, number: Number) -> Value {
    json!({"ShardId": shard, "SequenceNumber": number.to_string()})
}

/// A record may be as large as its stream says.
fn too_large(entry: &Entry<'_>, most: usize) -> CallError {
    CallError::bad(
        "ValidationException",
        format!(
            "1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim={0} cap={0}]' at 'data' failed to \
             satisfy constraint: Member must have length less than or equal to {most}",
            entry.size - entry.key.len()
        ),
    )
}

fn invalid(message: impl Into<String>) -> CallError {
    CallError::bad("InvalidArgumentException", message)
}

#[cfg(test)]
mod tests {
    use ferrokinesis::actions::Operation;
    use proptest::prelude::*;

    use super::*;
    use crate::services::kinesis::validation;

    #[test]
    fn requests_out_of_the_ordinary_are_read_the_long_way() {
        let plain = |body: &str| PlainRequest::read(body.as_bytes()).is_some();
        let request = |entry: &str| format!(r#"{{"StreamName":"s","Records":[{entry}]}}"#);
        assert!(plain(&request(r#"{"Data":"eA==","PartitionKey":"\u006b\""}"#)));
        assert!(plain(&request(r#"{"Data":"","PartitionKey":"k"}"#)));
        for entry in [
            r#"{"Data":"eA=","PartitionKey":"k"}"#,
            r#"{"Data":"eB==","PartitionKey":"k"}"#,
            r#"{"Data":"e*==","PartitionKey":"k"}"#,
            r#"{"Data":"eA==","PartitionKey":""}"#,
            r#"{"Data":"eA==","PartitionKey":null}"#,
            r#"{"Data":"eA==","PartitionKey":"k","ExplicitHashKey":"1"}"#,
            r#"{"Data":"eA==","Data":"eA==","PartitionKey":"k"}"#,
            r#"{"PartitionKey":"k"}"#,
            "",
        ] {
            assert!(!plain(&request(entry)), "{entry}");
        }
        for body in
            ["", "[]", r#"{"StreamName":"s"}"#, r#"{"StreamName":"a b","Records":[{"Data":"","PartitionKey":"k"}]}"#]
        {
            assert!(!plain(body), "{body}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_plainly_is_valid(
            name in "[a-zA-Z0-9_. -]{0,130}",
            entries in prop::collection::vec(("[A-Za-z0-9+/]{0,9}={0,3}", ".{0,3}|[a-zé]{250,260}"), 0..4),
        ) {
            let records: Vec<Value> =
                entries.iter().map(|(data, key)| json!({"Data": data, "PartitionKey": key})).collect();
            let input = json!({"StreamName": name, "Records": records});
            let body = input.to_string();
            if let Some(read) = PlainRequest::read(body.as_bytes()) {
                prop_assert!(validation::check(Operation::PutRecords, &input).is_ok(), "{body}");
                let again: Vec<Value> = read
                    .records
                    .iter()
                    .map(|entry| json!({"Data": entry.data, "PartitionKey": entry.partition_key}))
                    .collect();
                prop_assert_eq!(json!({"StreamName": read.stream_name, "Records": again}), input);
            }
        }
    }
}
