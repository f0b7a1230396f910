//! DynamoDB streams as a source.

use std::sync::Arc;

use serde_json::{Value, json};
use streamkit_wire::{CallError, clock};

use super::filters::Filters;
use super::source::{Page, Part, Position, Reader, Record, Shard, Source, missing};
use crate::ports::Ports;

/// Most records of one `GetRecords`.
const MAX_RECORDS: usize = 1000;
/// A stream keeps its records for a day; that cannot be changed.
const RETENTION_MS: i64 = 24 * 3_600_000;

/// One stream of a table.
#[derive(Clone)]
pub(crate) struct DynamoDb {
    ports: Arc<Ports>,
    arn: String,
    role: String,
    filters: Filters,
}

impl DynamoDb {
    pub(crate) fn new(ports: Arc<Ports>, arn: &str, role: &str, filters: Filters) -> Self {
        Self { ports, arn: arn.to_owned(), role: role.to_owned(), filters }
    }

    async fn call(&self, operation: &str, body: Value) -> Result<Value, CallError> {
        self.ports.roles.check(&self.role, &format!("dynamodb:{operation}"), &self.arn)?;
        self.ports.streams.dynamodb(operation, body).await
    }

    async fn iterator(&self, shard: &str, kind: &str, after: Option<&str>) -> Result<String, CallError> {
        let mut body = json!({ "StreamArn": self.arn, "ShardId": shard, "ShardIteratorType": kind });
        if let Some(sequence) = after {
            body["SequenceNumber"] = json!(sequence);
        }
        let made = self.call("GetShardIterator", body).await?;
        made["ShardIterator"].as_str().map(str::to_owned).ok_or_else(|| missing("ShardIterator"))
    }
}

impl Source for DynamoDb {
    type Reader = ShardReader;

    async fn shards(&self) -> Result<Vec<Shard>, CallError> {
        let mut all = Vec::new();
        let mut last: Option<String> = None;
        loop {
            let mut body = json!({ "StreamArn": self.arn });
            if let Some(shard) = last {
                body["ExclusiveStartShardId"] = json!(shard);
            }
            let stream = self.call("DescribeStream", body).await?["StreamDescription"].take();
            all.extend(stream["Shards"].as_array().into_iter().flatten().filter_map(|shard| {
                Some(Shard {
                    id: shard["ShardId"].as_str()?.to_owned(),
                    parents: shard["ParentShardId"].as_str().map(str::to_owned).into_iter().collect(),
                    closed: shard["SequenceNumberRange"]["EndingSequenceNumber"].is_string(),
                })
            }));
            last = stream["LastEvaluatedShardId"].as_str().map(str::to_owned);
            if last.is_none() {
                return Ok(all);
            }
        }
    }

    async fn end(&self, shard: &str) -> Result<Position, CallError> {
        let made_ms = clock::now_ms();
        Ok(Position::End { iterator: self.iterator(shard, "LATEST", None).await?, made_ms })
    }

    async fn retention_ms(&self) -> Result<i64, CallError> {
        Ok(RETENTION_MS)
    }

    fn reader(&self, shard: &str, part: Part, from: Position) -> ShardReader {
        ShardReader { stream: self.clone(), shard: shard.to_owned(), part, position: from, iterator: None }
    }
}

/// Reads one shard.
pub(crate) struct ShardReader {
    stream: DynamoDb,
    shard: String,
    part: Part,
    position: Position,
    iterator: Option<String>,
}

impl ShardReader {
    /// What the stream has forgotten cannot be read any more: the next read begins with the oldest record that is left.
    fn forgotten(&mut self, error: &CallError) {
        if error.code == "TrimmedDataAccessException" {
            self.position = Position::TrimHorizon;
        }
    }
}

impl Reader for ShardReader {
    async fn read(&mut self, limit: usize) -> Result<Page, CallError> {
        let iterator = match self.iterator.take() {
            Some(iterator) => iterator,
            None => match &self.position {
                Position::After(sequence) => {
                    let made = self.stream.iterator(&self.shard, "AFTER_SEQUENCE_NUMBER", Some(sequence)).await;
                    if let Err(error) = &made {
                        self.forgotten(error);
                    }
                    made?
                }
                // The engine's iterators stand for a place and do not grow old.
                Position::End { iterator, .. } => iterator.clone(),
                // No mapping of a DynamoDB stream begins at a time: its settings were checked.
                Position::TrimHorizon | Position::AtTimestamp(_) => {
                    self.stream.iterator(&self.shard, "TRIM_HORIZON", None).await?
                }
            },
        };
        let body = json!({ "ShardIterator": iterator, "Limit": limit.clamp(1, MAX_RECORDS) });
        let mut read = match self.stream.call("GetRecords", body).await {
            Ok(read) => read,
            Err(error) => {
                self.forgotten(&error);
                return Err(error);
            }
        };
        let next = read["NextShardIterator"].as_str().map(str::to_owned);
        let given = match read["Records"].take() {
            Value::Array(records) => records,
            _ => Vec::new(),
        };
        let last = given.last().and_then(|record| record["dynamodb"]["SequenceNumber"].as_str()).map(str::to_owned);
        if let Some(last) = &last {
            self.position = Position::After(last.clone());
        }
        let finished = next.is_none();
        self.iterator = next;
        let records = given.into_iter().filter_map(|record| event(&self.stream, self.part, record)).collect();
        Ok(Page { records, through: last, finished, ..Page::default() })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a conversion from float saturates, and no arrival time is near")]
fn to_ms(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

/// A change as the function sees it, if it is of this part: the record of `GetRecords`, with times in seconds and the stream's ARN.
///
/// See <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>.
fn event(stream: &DynamoDb, part: Part, mut record: Value) -> Option<Record> {
    let change = &record["dynamodb"];
    let sequence = change["SequenceNumber"].as_str()?.to_owned();
    let arrival_ms = to_ms(change["ApproximateCreationDateTime"].as_f64()?);
    // Members of an object come in the order of their names, so one item always has the same text.
    if !part.has(change["Keys"].to_string()) {
        return None;
    }
    record["eventSourceARN"] = json!(stream.arn);
    let passes = stream.filters.pass(|| record.clone());
    let json = if passes { record.to_string() } else { String::new() };
    Some(Record { sequence, arrival_ms, json, filtered: !passes })
}
