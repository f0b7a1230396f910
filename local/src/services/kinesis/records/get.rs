//! `GetRecords` and `GetShardIterator`.
//!
//! See <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>.

use chrono::{DateTime, Utc};
use ferrokinesis::sequence::{SeqObj, increment_sequence, parse_sequence, stringify_sequence};
use ferrokinesis::shard_iterator::{create_shard_iterator, decode_shard_iterator};
use ferrokinesis::types::Stream;
use serde_json::{Value, json};
use streamkit_lambda::ports::KinesisRecord;
use streamkit_wire::input::{integer, text, time_ms};
use streamkit_wire::{CallError, clock};

use super::log::{PageLimit, Record};
use super::number::Number;
use crate::services::cloudwatch::GetTraffic;
use crate::services::kinesis::lineage::{self, is_closed};
use crate::services::kinesis::service::{Caller, Kinesis};

const ITERATOR_LIFE_MS: i64 = 5 * 60_000;
const HOUR_MS: i64 = 3_600_000;
/// Records and bytes of one page.
const MAX_RECORDS: usize = 10_000;
pub(in crate::services::kinesis) const MAX_PAGE_BYTES: usize = 10 << 20;

/// A place in a shard, and when the caller got it.
struct Place {
    made_ms: i64,
    stream: String,
    shard: String,
    /// The least number of the records that come next.
    from: Number,
    /// The same as a text.
    text: String,
}

impl Place {
    fn read(text: &str) -> Result<Self, CallError> {
        let refused = || invalid("Invalid ShardIterator.");
        let (made_ms, stream, shard, text) = decode_shard_iterator(text).map_err(|_| refused())?;
        let made_ms = i64::try_from(made_ms).unwrap_or(i64::MAX);
        if !(1..=clock::now_ms()).contains(&made_ms) || parse_sequence(&text).is_err() {
            return Err(refused());
        }
        let from = Number::parse(&text).ok_or_else(refused)?;
        Ok(Self { made_ms, stream, shard, from, text })
    }

    fn check_age(&self, now_ms: i64) -> Result<(), CallError> {
        if now_ms - self.made_ms <= ITERATOR_LIFE_MS {
            return Ok(());
        }
        let message = format!(
            "Iterator expired. The iterator was created at time {} while right now it is {} which is further in the future \
             than the tolerated delay of {ITERATOR_LIFE_MS} milliseconds.",
            date(self.made_ms),
            date(now_ms)
        );
        Err(CallError::bad("ExpiredIteratorException", message))
    }

    fn made_at(&self, now_ms: i64) -> String {
        create_shard_iterator(&self.stream, &self.shard, &self.text, u64::try_from(now_ms).unwrap_or_default())
    }
}

/// What one `GetRecords` gives.
pub(crate) struct Read {
    stream: String,
    records: Vec<Record>,
    /// How long ago the last of these arrived.
    age_ms: i64,
    behind_ms: i64,
    /// None at the end of a shard that is closed.
    next: Option<String>,
    children: Option<Value>,
}

impl Read {
    /// Shows the records, one after the other, and gives the iterator to go on with; none at the end of a shard that is closed.
    pub(crate) fn each(self, see: &mut (dyn FnMut(KinesisRecord<'_>) + Send)) -> Option<String> {
        let mut sequence_number = String::new();
        for record in &self.records {
            sequence_number.clear();
            record.number.write(&mut sequence_number);
            see(KinesisRecord {
                sequence_number: &sequence_number,
                partition_key: Some(record.partition_key()),
                data: record.data(),
                arrived_ms: record.arrived_ms,
            });
        }
        self.next
    }

    /// The stream, and what of it was read.
    pub(crate) fn traffic(&self) -> (&str, GetTraffic) {
        let bytes = self.records.iter().map(Record::size).sum();
        (&self.stream, GetTraffic { records: self.records.len(), bytes, age_ms: self.age_ms })
    }
}

impl Kinesis {
    pub(in crate::services::kinesis) async fn get_records(
        &self,
        input: &Value,
        caller: Caller,
    ) -> Result<Value, CallError> {
        let limit = integer(&input["Limit"]).and_then(|limit| usize::try_from(limit).ok()).unwrap_or(MAX_RECORDS);
        let read = self.read(text(input, "ShardIterator").unwrap_or_default(), limit, caller).await?;
        let records: Vec<Value> = read.records.iter().map(Record::to_json).collect();
        let mut answer = json!({"MillisBehindLatest": read.behind_ms, "Records": records});
        if let Some(children) = read.children {
            answer["ChildShards"] = children;
        }
        if let Some(next) = read.next {
            answer["NextShardIterator"] = json!(next);
        }
        Ok(answer)
    }

    /// The records from an iterator on, at most so many.
    pub(in crate::services::kinesis) async fn read(
        &self,
        iterator: &str,
        limit: usize,
        caller: Caller,
    ) -> Result<Read, CallError> {
        let now_ms = clock::now_ms();
        let mut place = Place::read(iterator)?;
        place.check_age(now_ms)?;
        let layout = self.layouts.of(&self.store, &place.stream).await?;
        let Some(shard) = layout.stream.shards.iter().find(|shard| shard.shard_id == place.shard) else {
            return Err(self.no_shard(&place));
        };
        if is_closed(shard) {
            // Who began to put before it was closed has put by then.
            self.records.puts_ended().await;
        }
        // What mappings read is read for them by AWS, at a pace of its own.
        let limited = self.strict_rates && caller == Caller::Outside;
        if limited && !self.throughput.read(&place.stream, &place.shard, now_ms) {
            return Err(self.rate_exceeded(&place.stream, &place.shard));
        }
        let limit = PageLimit { records: limit.min(MAX_RECORDS), bytes: MAX_PAGE_BYTES };
        let page = self.records.page(&place.stream, &place.shard, place.from, kept_since(&layout.stream), limit);
        if limited {
            let bytes = page.records.iter().map(Record::size).sum();
            self.throughput.was_read(&place.stream, &place.shard, bytes, now_ms);
        }
        let last = page.records.last();
        let age_ms = last.map_or(0, |last| (now_ms - last.arrived_ms).max(0));
        let behind_ms = if page.at_end { 0 } else { age_ms };
        // The end of a closed shard: there is nothing to go on with but its children.
        let children = (last.is_none() && is_closed(shard)).then(|| lineage::children(&layout.stream.shards, shard));
        if let Some(last) = last {
            place.text = after(last.number)?;
        }
        let next = children.is_none().then(|| place.made_at(now_ms));
        Ok(Read { stream: place.stream, records: page.records, age_ms, behind_ms, next, children })
    }

    pub(in crate::services::kinesis) async fn shard_iterator(&self, input: Value) -> Result<Value, CallError> {
        let kind = text(&input, "ShardIteratorType").unwrap_or_default().to_owned();
        let since_ms = time_ms(&input["Timestamp"]);
        // The engine checks the request; it has no records, so it can't say where a time lies.
        let mut answer = self.engine("GetShardIterator", input).await?;
        if kind != "LATEST" && kind != "AT_TIMESTAMP" {
            return Ok(answer);
        }
        let mut place = Place::read(text(&answer, "ShardIterator").unwrap_or_default())?;
        let first = || self.records.first_since(&place.stream, &place.shard, since_ms.unwrap_or_default());
        let found = if kind == "AT_TIMESTAMP" { first() } else { None };
        place.text = match found {
            Some(first) => first.to_string(),
            None => self.end(&place)?,
        };
        answer["ShardIterator"] = json!(place.made_at(clock::now_ms()));
        Ok(answer)
    }

    /// A number between that of a shard's newest record and that of the next.
    fn end(&self, place: &Place) -> Result<String, CallError> {
        let shard = parse_sequence(&place.text).map_err(CallError::internal)?;
        // The first record has the index 1.
        let newest = self.records.count(&place.stream, &place.shard);
        let now_ms = u64::try_from(clock::now_ms()).unwrap_or_default().max(shard.shard_create_time);
        Ok(stringify_sequence(&SeqObj { seq_ix: Some(newest), seq_time: Some(now_ms + 1000), version: 2, ..shard }))
    }

    fn no_shard(&self, place: &Place) -> CallError {
        let Place { stream, shard, .. } = place;
        let account = &self.account;
        CallError::bad(
            "ResourceNotFoundException",
            format!("Shard {shard} in stream {stream} under account {account} does not exist"),
        )
    }
}

/// A number between that of this record and that of the next.
pub(in crate::services::kinesis) fn after(number: Number) -> Result<String, CallError> {
    parse_sequence(&number.to_string()).map(|number| increment_sequence(&number, None)).map_err(CallError::internal)
}

/// Records that arrived before this time are not given any more.
pub(in crate::services::kinesis) fn kept_since(stream: &Stream) -> i64 {
    clock::now_ms() - i64::from(stream.retention_period_hours) * HOUR_MS
}

/// `Thu Jan 22 01:22:02 UTC 2015`.
fn date(ms: i64) -> impl std::fmt::Display {
    DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default().format("%a %b %d %H:%M:%S UTC %Y")
}

fn invalid(message: &str) -> CallError {
    CallError::bad("InvalidArgumentException", message)
}
