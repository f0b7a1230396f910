//! The streams of all tables, and the four operations of their API.

use std::collections::BTreeMap;

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use streamkit_wire::input::{integer, text};
use streamkit_wire::{CallError, clock};

use super::change::Change;
use super::iterator::Iterator;
use super::log::Log;
use super::shards::{RollOver, Shard, Shards, trimmed};

/// A stream keeps its records for a day, and is itself kept for a day after it was turned off.
const RETENTION_MS: i64 = 24 * 3_600_000;
/// What all streams together may take; then the oldest records of the largest go before their day is over.
const MAX_BYTES: usize = 512 << 20;
/// Records and bytes of one `GetRecords`.
const MAX_RECORDS: i64 = 1000;
const MAX_PAGE_BYTES: usize = 1 << 20;
/// Streams of one `ListStreams`.
const MAX_STREAMS: i64 = 100;
/// Shards of one `DescribeStream`.
const MAX_SHARDS: i64 = 100;
/// Sequence numbers have 21 digits and more.
const FIRST_SEQUENCE: u128 = 100_000_000_000_000_000_000;
/// Room for so many records of a stream before the numbers of one that is made a millisecond later.
const SEQUENCES_PER_MS: u128 = 1_000_000;

/// The streams of all tables.
pub(in crate::services::dynamodb) struct ChangeStreams {
    /// `:region:account:` of the ARNs.
    scope: String,
    region: String,
    max_bytes: usize,
    /// When shards roll over; a stream has one shard otherwise.
    roll_over: Option<RollOver>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By ARN.
    streams: BTreeMap<String, Stream>,
    /// The stream that each table writes to, by the table's name.
    open: BTreeMap<String, String>,
    bytes: usize,
}

struct Stream {
    table: String,
    label: String,
    view: String,
    key_schema: Value,
    made_ms: i64,
    ended_ms: Option<i64>,
    shards: Shards,
    log: Log,
}

impl ChangeStreams {
    pub(in crate::services::dynamodb) fn new(scope: &str, roll_over: Option<RollOver>) -> Self {
        Self::bounded(scope, MAX_BYTES, roll_over)
    }

    fn bounded(scope: &str, max_bytes: usize, roll_over: Option<RollOver>) -> Self {
        let region = scope.split(':').nth(1).unwrap_or_default().to_owned();
        Self { scope: scope.to_owned(), region, max_bytes, roll_over, state: Mutex::default() }
    }

    /// Turns the stream of a table on; the description is the table's.
    pub(in crate::services::dynamodb) fn open(&self, description: &Value, view: &str) {
        let table = description["TableName"].as_str().unwrap_or_default();
        let mut state = self.state();
        let mut made_ms = clock::now_ms();
        // A label is the time at which the stream was made; no table has two of the same.
        let mut arn = self.arn(table, made_ms);
        while state.streams.contains_key(&arn) {
            made_ms += 1;
            arn = self.arn(table, made_ms);
        }
        let starting = FIRST_SEQUENCE + u128::try_from(made_ms).unwrap_or_default() * SEQUENCES_PER_MS;
        let stream = Stream {
            table: table.to_owned(),
            label: label(made_ms),
            view: view.to_owned(),
            key_schema: description["KeySchema"].clone(),
            made_ms,
            ended_ms: None,
            shards: Shards::new(crc32fast::hash(arn.as_bytes()), made_ms, starting),
            log: Log::new(starting),
        };
        state.streams.insert(arn.clone(), stream);
        state.open.insert(table.to_owned(), arn);
    }

    /// Turns the stream of a table off. It can be read for another day.
    pub(in crate::services::dynamodb) fn close(&self, table: &str) {
        let state = &mut *self.state();
        if let Some(stream) = state.open.remove(table).and_then(|arn| state.streams.get_mut(&arn)) {
            let now_ms = clock::now_ms();
            stream.ended_ms = Some(now_ms);
            stream.shards.close(&stream.log, now_ms);
        }
    }

    /// Forgets all streams of a table.
    pub(in crate::services::dynamodb) fn forget(&self, table: &str) {
        let state = &mut *self.state();
        state.open.remove(table);
        state.streams.retain(|_, stream| stream.table != table);
        state.bytes = state.streams.values().map(|stream| stream.log.bytes).sum();
    }

    /// Puts what a table has of streams into its description.
    pub(in crate::services::dynamodb) fn describe(&self, description: &mut Value) {
        let Some(name) = description["TableName"].as_str().map(str::to_owned) else { return };
        let Some(members) = description.as_object_mut() else { return };
        for member in ["StreamSpecification", "LatestStreamArn", "LatestStreamLabel"] {
            members.remove(member);
        }
        let state = self.state();
        // The latest comes last: labels are times.
        let Some((arn, stream)) = state.streams.iter().rfind(|(_, stream)| stream.table == name) else { return };
        members.insert("LatestStreamArn".into(), json!(arn));
        members.insert("LatestStreamLabel".into(), json!(stream.label));
        if stream.ended_ms.is_none() {
            let specification = json!({"StreamEnabled": true, "StreamViewType": stream.view});
            members.insert("StreamSpecification".into(), specification);
        }
    }

    /// Notes changes, in the order in which they were made.
    pub(in crate::services::dynamodb) fn append(&self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        let mut guard = self.state();
        let state = &mut *guard;
        for change in changes.into_iter().filter(|change| !change.is_none()) {
            let Some(stream) = state.open.get(&change.table).and_then(|arn| state.streams.get_mut(arn)) else {
                continue;
            };
            if let Some(roll_over) = self.roll_over {
                stream.shards.roll_over(&mut stream.log, roll_over, clock::now_ms());
            }
            let (sequence, time_ms, before) = (stream.log.last + 1, change.time_ms, stream.log.bytes);
            let record = change.record(sequence, &stream.view, &self.region).to_string();
            stream.log.append(sequence, time_ms, record.into());
            state.bytes += stream.log.bytes - before;
        }
        if state.bytes > self.max_bytes {
            state.shrink(self.max_bytes);
        }
    }

    /// Forgets what is older than a day.
    pub(in crate::services::dynamodb) fn expire(&self) {
        let now_ms = clock::now_ms();
        let mut state = self.state();
        if let Some(roll_over) = self.roll_over {
            for stream in state.streams.values_mut() {
                stream.shards.roll_over(&mut stream.log, roll_over, now_ms);
            }
        }
        state.expire(now_ms - RETENTION_MS);
    }

    /// Runs `ListStreams`, `DescribeStream`, `GetShardIterator` or `GetRecords`.
    pub(in crate::services::dynamodb) fn answer(&self, operation: &str, input: &Value) -> Result<Value, CallError> {
        match operation {
            "ListStreams" => self.list(input),
            "DescribeStream" => self.describe_stream(input),
            "GetShardIterator" => self.iterator(input),
            _ => self.records(input),
        }
    }

    fn list(&self, input: &Value) -> Result<Value, CallError> {
        let limit = limit(input, MAX_STREAMS)?;
        let table = text(input, "TableName");
        let after = text(input, "ExclusiveStartStreamArn");
        let state = self.state();
        let mut wanted = state
            .streams
            .iter()
            .filter(|(arn, stream)| {
                table.is_none_or(|table| stream.table == table) && after.is_none_or(|after| arn.as_str() > after)
            })
            .map(|(arn, stream)| json!({"StreamArn": arn, "TableName": stream.table, "StreamLabel": stream.label}));
        let streams: Vec<Value> = wanted.by_ref().take(limit).collect();
        let mut answer = json!({});
        if wanted.next().is_some() {
            answer["LastEvaluatedStreamArn"] = streams[limit - 1]["StreamArn"].clone();
        }
        answer["Streams"] = Value::Array(streams);
        Ok(answer)
    }

    fn describe_stream(&self, input: &Value) -> Result<Value, CallError> {
        let limit = limit(input, MAX_SHARDS)?;
        let state = self.state();
        let arn = required(input, "StreamArn", "streamArn")?;
        let stream = state.stream(arn)?;
        let filter = &input["ShardFilter"];
        let parent = if filter["Type"] == "CHILD_SHARDS" { text(filter, "ShardId") } else { None };
        let (shards, last) = stream.shards.page(text(input, "ExclusiveStartShardId"), parent, limit);
        let made = clock::seconds(stream.made_ms);
        let mut description = json!({
            "StreamArn": arn,
            "StreamLabel": stream.label,
            "StreamStatus": if stream.ended_ms.is_some() { "DISABLED" } else { "ENABLED" },
            "StreamViewType": stream.view,
            "TableName": stream.table,
            "KeySchema": stream.key_schema,
            "Shards": shards,
            "CreationRequestDateTime": made,
        });
        if let Some(last) = last {
            description["LastEvaluatedShardId"] = json!(last);
        }
        Ok(json!({"StreamDescription": description}))
    }

    fn iterator(&self, input: &Value) -> Result<Value, CallError> {
        let state = self.state();
        let arn = required(input, "StreamArn", "streamArn")?;
        let stream = state.stream(arn)?;
        let shard = stream.shard(arn, required(input, "ShardId", "shardId")?)?;
        let log = &stream.log;
        let after = match required(input, "ShardIteratorType", "shardIteratorType")? {
            "TRIM_HORIZON" => shard.horizon(log),
            "LATEST" => shard.last(log),
            "AT_SEQUENCE_NUMBER" => shard.at(sequence(input)?, log)?,
            "AFTER_SEQUENCE_NUMBER" => shard.after(sequence(input)?, log)?,
            kind => {
                return Err(CallError::bad(
                    "ValidationException",
                    format!(
                        "1 validation error detected: Value '{kind}' at 'shardIteratorType' failed to satisfy constraint: \
                         Member must satisfy enum value set: \
                         [AFTER_SEQUENCE_NUMBER, LATEST, AT_SEQUENCE_NUMBER, TRIM_HORIZON]"
                    ),
                ));
            }
        };
        let iterator = Iterator { stream_arn: arn.to_owned(), shard: shard.id.clone(), after };
        Ok(json!({"ShardIterator": iterator.to_text()}))
    }

    fn records(&self, input: &Value) -> Result<Value, CallError> {
        let limit = limit(input, MAX_RECORDS)?;
        let given = required(input, "ShardIterator", "shardIterator")?;
        let mut iterator =
            Iterator::parse(given).ok_or_else(|| CallError::bad("ValidationException", "Invalid ShardIterator"))?;
        let state = self.state();
        let stream = state.stream(&iterator.stream_arn)?;
        let shard = stream.shard(&iterator.stream_arn, &iterator.shard)?;
        if iterator.after < shard.horizon(&stream.log) {
            return Err(trimmed());
        }
        let last = shard.last(&stream.log);
        let (mut texts, mut bytes) = (Vec::new(), 0);
        for entry in stream.log.after(iterator.after).take_while(|entry| entry.sequence <= last).take(limit) {
            bytes += entry.json.len();
            if bytes > MAX_PAGE_BYTES && !texts.is_empty() {
                break;
            }
            iterator.after = entry.sequence;
            texts.push(entry.json.clone());
        }
        let finished = shard.is_over(iterator.after);
        // Reading them takes longer than finding them, and holds up no writer.
        drop(state);
        let records: Result<Vec<Value>, _> = texts.iter().map(|text| serde_json::from_str(text)).collect();
        let mut answer = json!({"Records": records.map_err(CallError::internal)?});
        if !finished {
            answer["NextShardIterator"] = json!(iterator.to_text());
        }
        Ok(answer)
    }

    fn arn(&self, table: &str, made_ms: i64) -> String {
        format!("arn:aws:dynamodb{}table/{table}/stream/{}", self.scope, label(made_ms))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Stream {
    fn shard(&self, arn: &str, id: &str) -> Result<&Shard, CallError> {
        self.shards.find(id).ok_or_else(|| {
            let message = format!("Requested resource not found: Shard: {id} in Stream: {arn} not found");
            CallError::bad("ResourceNotFoundException", message)
        })
    }
}

impl State {
    fn stream(&self, arn: &str) -> Result<&Stream, CallError> {
        self.streams.get(arn).ok_or_else(|| {
            let message = format!("Requested resource not found: Stream: {arn} not found");
            CallError::bad("ResourceNotFoundException", message)
        })
    }

    fn expire(&mut self, before_ms: i64) {
        self.streams.retain(|_, stream| stream.ended_ms.is_none_or(|ended_ms| ended_ms >= before_ms));
        for stream in self.streams.values_mut() {
            stream.log.trim_before(before_ms);
            stream.shards.expire(before_ms);
        }
        self.bytes = self.streams.values().map(|stream| stream.log.bytes).sum();
    }

    /// Forgets the oldest records of the largest stream until there is some room again.
    fn shrink(&mut self, max_bytes: usize) {
        let Some((arn, stream)) = self.streams.iter_mut().max_by_key(|(_, stream)| stream.log.bytes) else { return };
        // A tenth at once, so that the next record need not look for the largest again.
        let (before, mut dropped) = (stream.log.bytes, 0_u64);
        let target = before.saturating_sub(max_bytes / 10);
        while stream.log.bytes > target && stream.log.trim_one() {
            dropped += 1;
        }
        self.bytes -= before - stream.log.bytes;
        tracing::warn!(
            "{arn}: dropped its {dropped} oldest records before their day was over: streams take {max_bytes} bytes at most"
        );
    }
}

/// `2026-11-21T02:03:04.567`.
fn label(made_ms: i64) -> String {
    clock::iso(made_ms).trim_end_matches('Z').to_owned()
}

/// The sequence number that an iterator is to begin at.
fn sequence(input: &Value) -> Result<u128, CallError> {
    let given = text(input, "SequenceNumber").ok_or_else(|| {
        CallError::bad(
            "ValidationException",
            "One or more parameter values were invalid: SequenceNumber cannot be null",
        )
    })?;
    given.parse().map_err(|_| CallError::bad("ValidationException", "Invalid SequenceNumber for the shard"))
}

fn required<'a>(input: &'a Value, name: &str, path: &str) -> Result<&'a str, CallError> {
    text(input, name).ok_or_else(|| {
        CallError::bad(
            "ValidationException",
            format!("1 validation error detected: Value null at '{path}' failed to satisfy constraint: Member must not be null"),
        )
    })
}

/// How many elements an answer may have.
fn limit(input: &Value, most: i64) -> Result<usize, CallError> {
    let given = integer(&input["Limit"]).unwrap_or(most);
    let constraint = match given {
        ..1 => "greater than or equal to 1".to_owned(),
        _ if given > most => format!("less than or equal to {most}"),
        _ => return usize::try_from(given).map_err(CallError::internal),
    };
    Err(CallError::bad(
        "ValidationException",
        format!(
            "1 validation error detected: Value '{given}' at 'limit' failed to satisfy constraint: \
             Member must have value {constraint}"
        ),
    ))
}

#[cfg(test)]
#[path = "change_streams_tests.rs"]
mod tests;
