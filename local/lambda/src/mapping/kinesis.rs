//! Kinesis data streams as a source.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use streamkit_wire::{CallError, clock};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::filters::Filters;
use super::kinesis_event::KinesisEvents;
use super::source::{Page, Part, Position, Reader, Shard, Source, missing};
use crate::ports::{KinesisRecord, Ports};

/// Iterators live for five minutes; one is made anew in good time.
const ITERATOR_LIFE: Duration = Duration::from_mins(4);
/// How old the list of shards may be when a reader that finds nothing asks whether its shard was closed.
const SHARDS_AGE: Duration = Duration::from_millis(500);
/// Most records of one `GetRecords`.
const MAX_RECORDS: usize = 10_000;

struct Stream {
    ports: Arc<Ports>,
    region: String,
    arn: String,
    name: String,
    /// Role of the function, which its events name.
    role: String,
    filters: Filters,
    shards: Mutex<Option<(Instant, Vec<Shard>)>>,
}

/// One Kinesis data stream.
#[derive(Clone)]
pub(crate) struct Kinesis(Arc<Stream>);

impl Kinesis {
    /// `arn` is that of the stream or of one of its consumers; a consumer's records come the same way.
    pub(crate) fn new(ports: Arc<Ports>, region: &str, arn: &str, role: &str, filters: Filters) -> Self {
        let name = arn.rsplit_once("stream/").map_or(arn, |(_, name)| name);
        let name = name.split('/').next().unwrap_or(name).to_owned();
        let (region, arn, role) = (region.to_owned(), arn.to_owned(), role.to_owned());
        Self(Arc::new(Stream { ports, region, arn, name, role, filters, shards: Mutex::default() }))
    }
}

impl Stream {
    async fn call(&self, operation: &str, body: Value) -> Result<Value, CallError> {
        self.check_role(operation)?;
        self.ports.streams.kinesis(operation, body).await
    }

    /// Whether the function's role may read like this. Through a consumer, reading is `SubscribeToShard`.
    fn check_role(&self, operation: &str) -> Result<(), CallError> {
        let stream = self.arn.split("/consumer/").next().unwrap_or_default();
        let (action, resource) = match operation {
            "GetRecords" | "GetShardIterator" if self.arn.len() > stream.len() => {
                ("kinesis:SubscribeToShard", &*self.arn)
            }
            "GetRecords" => ("kinesis:GetRecords", stream),
            "GetShardIterator" => ("kinesis:GetShardIterator", stream),
            "ListShards" => ("kinesis:ListShards", stream),
            // What AWS asks for on its own behalf.
            _ => return Ok(()),
        };
        self.ports.roles.check(&self.role, action, resource)
    }

    async fn list_shards(&self) -> Result<Vec<Shard>, CallError> {
        self.check_consumer().await?;
        let mut all = Vec::new();
        let mut body = json!({ "StreamName": self.name });
        loop {
            let mut listed = self.call("ListShards", body).await?;
            if let Value::Array(part) = listed["Shards"].take() {
                all.extend(part);
            }
            match listed["NextToken"].as_str() {
                Some(token) => body = json!({ "NextToken": token }),
                None => return Ok(shards(&all)),
            }
        }
    }

    /// Errors unless the consumer is active, where the ARN is that of one.
    async fn check_consumer(&self) -> Result<(), CallError> {
        if !self.arn.contains("/consumer/") {
            return Ok(());
        }
        let described = self.call("DescribeStreamConsumer", json!({ "ConsumerARN": self.arn })).await?;
        match described["ConsumerDescription"]["ConsumerStatus"].as_str().unwrap_or_default() {
            "ACTIVE" => Ok(()),
            status => Err(CallError::bad("ResourceInUseException", format!("Consumer {} is {status}", self.arn))),
        }
    }

    async fn closed(&self, id: &str) -> Result<bool, CallError> {
        let mut cache = self.shards.lock().await;
        let fresh = cache.as_ref().is_some_and(|(at, _)| at.elapsed() < SHARDS_AGE);
        if !fresh {
            *cache = Some((Instant::now(), self.list_shards().await?));
        }
        Ok(cache.iter().flat_map(|(_, shards)| shards).any(|shard| shard.id == id && shard.closed))
    }

    async fn iterator(&self, shard: &str, at: &Position) -> Result<String, CallError> {
        let mut body = json!({ "StreamName": self.name, "ShardId": shard });
        match at {
            Position::TrimHorizon => body["ShardIteratorType"] = json!("TRIM_HORIZON"),
            Position::After(sequence) => {
                body["ShardIteratorType"] = json!("AFTER_SEQUENCE_NUMBER");
                body["StartingSequenceNumber"] = json!(sequence);
            }
            Position::AtTimestamp(ms) | Position::End { made_ms: ms, .. } => {
                body["ShardIteratorType"] = json!("AT_TIMESTAMP");
                body["Timestamp"] = json!(clock::seconds(*ms));
            }
        }
        let made = self.call("GetShardIterator", body).await?;
        made["ShardIterator"].as_str().map(str::to_owned).ok_or_else(|| missing("ShardIterator"))
    }
}

impl Source for Kinesis {
    type Reader = ShardReader;

    async fn shards(&self) -> Result<Vec<Shard>, CallError> {
        let shards = self.0.list_shards().await?;
        *self.0.shards.lock().await = Some((Instant::now(), shards.clone()));
        Ok(shards)
    }

    async fn end(&self, shard: &str) -> Result<Position, CallError> {
        let made_ms = clock::now_ms();
        let body = json!({ "StreamName": self.0.name, "ShardId": shard, "ShardIteratorType": "LATEST" });
        let made = self.0.call("GetShardIterator", body).await?;
        let iterator = made["ShardIterator"].as_str().ok_or_else(|| missing("ShardIterator"))?.to_owned();
        Ok(Position::End { iterator, made_ms })
    }

    async fn retention_ms(&self) -> Result<i64, CallError> {
        let described = self.0.call("DescribeStreamSummary", json!({ "StreamName": self.0.name })).await?;
        let hours = described["StreamDescriptionSummary"]["RetentionPeriodHours"].as_i64();
        hours.map(|hours| hours * 3_600_000).ok_or_else(|| missing("RetentionPeriodHours"))
    }

    fn reader(&self, shard: &str, part: Part, from: Position) -> ShardReader {
        let iterator = match &from {
            Position::End { iterator, .. } => Some((iterator.clone(), Instant::now())),
            _ => None,
        };
        let events = KinesisEvents::new(shard, &self.0.role, &self.0.region, &self.0.arn);
        ShardReader { stream: Arc::clone(&self.0), shard: shard.to_owned(), part, position: from, iterator, events }
    }
}

/// Reads one shard.
///
/// After a read that gave nothing the same iterator is used again, not the next one: a next iterator stands for "now", and a
/// record that was being written at that moment could lie before it.
pub(crate) struct ShardReader {
    stream: Arc<Stream>,
    shard: String,
    part: Part,
    position: Position,
    iterator: Option<(String, Instant)>,
    events: KinesisEvents,
}

impl Reader for ShardReader {
    async fn read(&mut self, limit: usize) -> Result<Page, CallError> {
        // Asked before reading: what was written before the shard was closed is in what is read after.
        let closed = self.stream.closed(&self.shard).await?;
        let iterator = match &self.iterator {
            Some((iterator, made)) if made.elapsed() < ITERATOR_LIFE => iterator.clone(),
            _ => {
                let iterator = self.stream.iterator(&self.shard, &self.position).await?;
                self.iterator = Some((iterator.clone(), Instant::now()));
                iterator
            }
        };
        let (mut records, mut last) = (Vec::new(), String::new());
        let mut see = |given: KinesisRecord<'_>| {
            given.sequence_number.clone_into(&mut last);
            if self.part.has(given.partition_key) {
                records.push(self.events.record(&self.stream.filters, &given));
            }
        };
        let limit = limit.clamp(1, MAX_RECORDS);
        let read = match self.stream.check_role("GetRecords") {
            Ok(()) => self.stream.ports.streams.kinesis_records(&iterator, limit, &mut see).await,
            Err(error) => Err(error),
        };
        let next = match read {
            Ok(next) => next,
            Err(error) => {
                // An iterator that expired or became invalid is made anew from the position.
                self.iterator = None;
                return Err(error);
            }
        };
        if last.is_empty() {
            return Ok(Page { finished: next.is_none() || closed, ..Page::default() });
        }
        self.position = Position::After(last.clone());
        self.iterator = next.map(|next| (next, Instant::now()));
        Ok(Page { records, through: Some(last), ..Page::default() })
    }
}

/// Reads the list of shards.
///
/// The engine does not tell the parents of shards that `UpdateShardCount` made, so lineage is read from what it does tell: a
/// shard follows each older one that is closed and shares hash keys with it.
fn shards(listed: &[Value]) -> Vec<Shard> {
    struct Range<'a> {
        id: &'a str,
        first: u128,
        last: u128,
        closed: bool,
    }
    let number = |value: &Value| value.as_str().and_then(|text| text.parse::<u128>().ok());
    let ranges: Vec<Range<'_>> = listed
        .iter()
        .filter_map(|shard| {
            Some(Range {
                id: shard["ShardId"].as_str()?,
                first: number(&shard["HashKeyRange"]["StartingHashKey"])?,
                last: number(&shard["HashKeyRange"]["EndingHashKey"])?,
                closed: shard["SequenceNumberRange"]["EndingSequenceNumber"].is_string(),
            })
        })
        .collect();
    ranges
        .iter()
        .map(|shard| Shard {
            id: shard.id.to_owned(),
            // Identifiers grow with time.
            parents: ranges
                .iter()
                .filter(|other| {
                    other.closed && other.id < shard.id && other.first <= shard.last && shard.first <= other.last
                })
                .map(|other| other.id.to_owned())
                .collect(),
            closed: shard.closed,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: &str, first: u32, last: u32, closed: bool) -> Value {
        let mut shard = json!({
            "ShardId": id,
            "HashKeyRange": { "StartingHashKey": first.to_string(), "EndingHashKey": last.to_string() },
            "SequenceNumberRange": { "StartingSequenceNumber": "1" },
        });
        if closed {
            shard["SequenceNumberRange"]["EndingSequenceNumber"] = json!("2");
        }
        shard
    }

    #[test]
    fn shards_follow_the_closed_ones_whose_keys_they_took_over() {
        let shards = shards(&[
            listed("shard-0", 0, 49, true),
            listed("shard-1", 50, 99, true),
            listed("shard-2", 0, 99, true),
            listed("shard-3", 0, 29, false),
            listed("shard-4", 30, 99, false),
        ]);
        let parents: Vec<&[String]> = shards.iter().map(|shard| shard.parents.as_slice()).collect();
        let none: &[String] = &[];
        assert_eq!(parents[..2], [none, none]);
        assert_eq!(parents[2], ["shard-0", "shard-1"]);
        assert_eq!(parents[3], ["shard-0", "shard-2"]);
        assert_eq!(parents[4], ["shard-0", "shard-1", "shard-2"]);
    }
}
