//! `GetRecords` and `GetShardIterator`.
//!
//! See <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>.

use chrono::{DateTime, Utc};
use ferrokinesis::sequence::{SeqObj, increment_sequence, parse_sequence, stringify_sequence};
use ferrokinesis::shard_iterator::{create_shard_iterator, decode_shard_iterator};
use ferrokinesis::types::Stream;
use serde_json::{Value, json};
use streamkit_wire::input::{integer, text, time_ms};
use streamkit_wire::{CallError, clock};

use super::log::PageLimit;
use crate::services::kinesis::lineage::{self, is_closed};
use crate::services::kinesis::service::{Caller, Kinesis, failed};

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
    from: String,
}

impl Place {
    fn read(text: &str) -> Result<Self, CallError> {
        let (made_ms, stream, shard, from) =
            decode_shard_iterator(text).map_err(|_| invalid("Invalid ShardIterator."))?;
        let made_ms = i64::try_from(made_ms).unwrap_or(i64::MAX);
        if !(1..=clock::now_ms()).contains(&made_ms) || parse_sequence(&from).is_err() {
            return Err(invalid("Invalid ShardIterator."));
        }
        Ok(Self { made_ms, stream, shard, from })
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
        create_shard_iterator(&self.stream, &self.shard, &self.from, u64::try_from(now_ms).unwrap_or_default())
    }
}

impl Kinesis {
    pub(in crate::services::kinesis) async fn get_records(
        &self,
        input: &Value,
        caller: Caller,
    ) -> Result<Value, CallError> {
        let now_ms = clock::now_ms();
        let mut place = Place::read(text(input, "ShardIterator").unwrap_or_default())?;
        place.check_age(now_ms)?;
        // Nothing is numbered and not yet stored now.
        let _in_order = self.order.read().await;
        let stream = self.store.get_stream(&place.stream).await.map_err(failed)?;
        let Some(shard) = stream.shards.iter().find(|shard| shard.shard_id == place.shard) else {
            return Err(self.no_shard(&place));
        };
        // What mappings read is read for them by AWS, at a pace of its own.
        let limited = self.strict_rates && caller == Caller::Outside;
        if limited && !self.throughput.read(&place.stream, &place.shard, now_ms) {
            return Err(self.rate_exceeded(&place.stream, &place.shard));
        }
        let limit = integer(&input["Limit"]).and_then(|limit| usize::try_from(limit).ok()).unwrap_or(MAX_RECORDS);
        let limit = PageLimit { records: limit.min(MAX_RECORDS), bytes: MAX_PAGE_BYTES };
        let page = self.records.page(&place.stream, &place.shard, &place.from, kept_since(&stream), limit);
        if limited {
            let bytes = page.records.iter().map(|record| record.size).sum();
            self.throughput.was_read(&place.stream, &place.shard, bytes, now_ms);
        }
        let last = page.records.last();
        let behind_ms = last.filter(|_| !page.at_end).map_or(0, |last| (now_ms - last.arrived_ms).max(0));
        let records: Vec<Value> = page.records.iter().map(|record| record.to_json()).collect();
        let mut answer = json!({"MillisBehindLatest": behind_ms, "Records": records});
        if last.is_none() && is_closed(shard) {
            // The end of a closed shard: there is nothing to go on with but its children.
            answer["ChildShards"] = lineage::children(&stream.shards, shard);
            return Ok(answer);
        }
        if let Some(last) = last {
            place.from = after(&last.sequence)?;
        }
        answer["NextShardIterator"] = json!(place.made_at(now_ms));
        Ok(answer)
    }

    pub(in crate::services::kinesis) async fn shard_iterator(&self, input: Value) -> Result<Value, CallError> {
        let kind = text(&input, "ShardIteratorType").unwrap_or_default().to_owned();
        let since_ms = time_ms(&input["Timestamp"]);
        let _in_order = self.order.read().await;
        // The engine checks the request; it has no records, so it can't say where a time lies.
        let mut answer = self.engine("GetShardIterator", input).await?;
        if kind != "LATEST" && kind != "AT_TIMESTAMP" {
            return Ok(answer);
        }
        let mut place = Place::read(text(&answer, "ShardIterator").unwrap_or_default())?;
        let first = || self.records.first_since(&place.stream, &place.shard, since_ms.unwrap_or_default());
        let found = if kind == "AT_TIMESTAMP" { first() } else { None };
        place.from = match found {
            Some(first) => first,
            None => self.end(&place.stream, &place.from).await?,
        };
        answer["ShardIterator"] = json!(place.made_at(clock::now_ms()));
        Ok(answer)
    }

    /// A number between that of a shard's newest record and that of the next; `number` is any of the shard.
    async fn end(&self, stream: &str, number: &str) -> Result<String, CallError> {
        let shard = parse_sequence(number).map_err(CallError::internal)?;
        // The first record has the index 1.
        let newest = self.store.current_shard_seq(stream, shard.shard_ix).await.saturating_sub(1);
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
pub(in crate::services::kinesis) fn after(number: &str) -> Result<String, CallError> {
    parse_sequence(number).map(|number| increment_sequence(&number, None)).map_err(CallError::internal)
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
