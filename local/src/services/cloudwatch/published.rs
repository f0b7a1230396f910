//! What AWS publishes about streams, tables and topics: a service that counts its calls as they pass, and hands them on.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::Response;
use ferrokinesis::shard_iterator::decode_shard_iterator;
use http::Request;
use serde_json::{Value, json};
use streamkit_wire::input::{list, text, time_ms};
use streamkit_wire::{Call, CallError, Service, clock, protocol};

use super::service::CloudWatch;
use crate::services::service::{AwsService, BoxFuture};

/// A service whose calls are counted.
pub(crate) struct Published {
    service: Arc<dyn AwsService>,
    counter: Arc<CallCounter>,
}

/// Turns calls into metrics.
pub(crate) struct CallCounter {
    cloudwatch: Arc<CloudWatch>,
}

/// What became of a `PutRecords` that its service read without a tree: it comes with the answer, so that nobody reads either again.
#[derive(Debug, Clone, Default)]
pub(crate) struct PutTraffic {
    pub(crate) stream: String,
    /// Records that were stored, and their bytes.
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    /// Records for which their shards had no throughput left.
    pub(crate) throttled: usize,
}

/// What a `GetRecords` gave.
pub(crate) struct GetTraffic {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    /// How long ago the last record arrived.
    pub(crate) age_ms: i64,
}

impl Published {
    pub(crate) fn new(service: Arc<dyn AwsService>, counter: Arc<CallCounter>) -> Self {
        Self { service, counter }
    }
}

impl AwsService for Published {
    fn run<'a>(&'a self, call: &'a Call, input: Value) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(async move {
            if !is_counted(call) {
                return self.service.run(call, input).await;
            }
            let asked = Asked::of(call, &input);
            let outcome = self.service.run(call, input).await;
            self.counter.count(call, &asked, outcome.as_ref());
            outcome
        })
    }

    fn answer<'a>(&'a self, call: &'a Call, request: Request<Bytes>) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            if !is_counted(call) {
                return self.service.answer(call, request).await;
            }
            let body = request.body().clone();
            let mut answer = self.service.answer(call, request).await;
            if let Some(traffic) = answer.extensions_mut().remove::<PutTraffic>() {
                self.counter.count_put("PutRecords", &traffic, true);
                return answer;
            }
            let Ok(asked) = protocol::decode(call, &body).map(|input| Asked::of(call, &input)) else { return answer };
            let (parts, body) = answer.into_parts();
            match protocol::body_of(Response::new(body)).await {
                Ok(body) => {
                    let outcome = if parts.status.is_success() {
                        protocol::decode(call, &body)
                    } else {
                        Err(protocol::error_of(parts.status.as_u16(), &parts.headers, &body))
                    };
                    self.counter.count(call, &asked, outcome.as_ref());
                    Response::from_parts(parts, Body::from(body))
                }
                Err(error) => protocol::error_response(call, &error),
            }
        })
    }

    fn housekeeping(&self) -> BoxFuture<'_, ()> {
        self.service.housekeeping()
    }
}

fn is_counted(call: &Call) -> bool {
    let operation = call.operation.as_str();
    match call.service {
        Service::Kinesis => matches!(operation, "PutRecord" | "PutRecords" | "GetRecords"),
        Service::DynamoDb => access(operation).is_some(),
        _ => false,
    }
}

/// What the metrics need of a request.
struct Asked {
    /// Streams and tables, by name.
    names: Vec<String>,
    iterator: Option<String>,
    /// Size of each record.
    records: Vec<usize>,
    /// Size of what is to be written to tables.
    written: usize,
}

impl Asked {
    fn of(call: &Call, input: &Value) -> Self {
        let last_part = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
        let mut names: Vec<String> = ["StreamName", "StreamARN", "TableName"]
            .iter()
            .find_map(|member| text(input, member))
            .map(last_part)
            .into_iter()
            .collect();
        names.extend(
            input["RequestItems"].as_object().into_iter().flat_map(|tables| tables.keys()).map(|it| last_part(it)),
        );
        for change in list(&input["TransactItems"]) {
            let parts = change.as_object().into_iter().flat_map(|change| change.values());
            names.extend(parts.filter_map(|part| text(part, "TableName")).map(last_part));
        }
        names.sort();
        names.dedup();
        let records = match call.operation.as_str() {
            "PutRecord" => vec![record_size(input)],
            "PutRecords" => list(&input["Records"]).iter().map(record_size).collect(),
            _ => Vec::new(),
        };
        let written = if access(&call.operation) == Some(Access::Write) { json_size(input) } else { 0 };
        Self { names, iterator: text(input, "ShardIterator").map(str::to_owned), records, written }
    }
}

/// A record's data and its partition key.
fn record_size(record: &Value) -> usize {
    let data = record["Data"].as_str().map_or(0, |data| data.trim_end_matches('=').len() * 3 / 4);
    data + record["PartitionKey"].as_str().map_or(0, str::len)
}

/// About what `DynamoDB` counts: names and values, without the types.
fn json_size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(json_size).sum(),
        Value::Object(members) => {
            // An attribute's type has one or two letters.
            members.iter().map(|(name, value)| if name.len() > 2 { name.len() } else { 0 } + json_size(value)).sum()
        }
        _ => 1,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

fn access(operation: &str) -> Option<Access> {
    Some(match operation {
        "GetItem" | "BatchGetItem" | "Query" | "Scan" | "TransactGetItems" => Access::Read,
        "PutItem" | "UpdateItem" | "DeleteItem" | "BatchWriteItem" | "TransactWriteItems" => Access::Write,
        _ => return None,
    })
}

fn is_throttle(error: &CallError) -> bool {
    ["ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded", "LimitExceededException"]
        .iter()
        .any(|code| error.code.ends_with(code))
}

#[expect(clippy::cast_precision_loss, reason = "sizes and counts of one call are far below 2^52")]
fn real(count: usize) -> f64 {
    count as f64
}

impl CallCounter {
    pub(crate) fn new(cloudwatch: Arc<CloudWatch>) -> Self {
        Self { cloudwatch }
    }

    /// A call that was refused before it reached its service, as a rehearsal's throttles are.
    pub(crate) fn refused(&self, call: &Call, body: &[u8], error: &CallError) {
        if is_counted(call)
            && let Ok(input) = protocol::decode(call, body)
        {
            self.count(call, &Asked::of(call, &input), Err(error));
        }
    }

    fn count(&self, call: &Call, asked: &Asked, outcome: Result<&Value, &CallError>) {
        if call.service == Service::DynamoDb {
            self.count_table(&call.operation, asked, outcome);
        } else {
            self.count_stream(&call.operation, asked, outcome);
        }
    }

    fn count_stream(&self, operation: &str, asked: &Asked, outcome: Result<&Value, &CallError>) {
        let of_iterator = || decode_shard_iterator(asked.iterator.as_ref()?).ok().map(|(_, stream, _, _)| stream);
        let Some(stream) = asked.names.first().cloned().or_else(of_iterator) else { return };
        if operation == "GetRecords" {
            let read = outcome.map(|answer| {
                let records = list(&answer["Records"]);
                let age = records.last().and_then(|record| time_ms(&record["ApproximateArrivalTimestamp"]));
                let age_ms = age.map_or(0, |arrived| (clock::now_ms() - arrived).max(0));
                GetTraffic { records: records.len(), bytes: records.iter().map(record_size).sum(), age_ms }
            });
            return self.count_get(&stream, read.as_ref().map_err(|error| *error));
        }
        let results = outcome.map(|answer| list(&answer["Records"])).unwrap_or_default();
        let throttled = match outcome {
            Ok(_) => results
                .iter()
                .filter(|result| result["ErrorCode"] == json!("ProvisionedThroughputExceededException"))
                .count(),
            Err(error) if is_throttle(error) => asked.records.len(),
            Err(_) => 0,
        };
        let failed = |at: usize| results.get(at).is_some_and(|result| result["ErrorCode"].is_string());
        let stored: Vec<usize> =
            asked.records.iter().enumerate().filter(|(at, _)| !failed(*at)).map(|(_, size)| *size).collect();
        let traffic = PutTraffic { stream, records: stored.len(), bytes: stored.iter().sum(), throttled };
        self.count_put(operation, &traffic, outcome.is_ok());
    }

    /// A `PutRecord` or `PutRecords`.
    fn count_put(&self, operation: &str, traffic: &PutTraffic, succeeded: bool) {
        let publish = |metric: &str, value: f64, unit: &str| {
            self.cloudwatch.observe("AWS/Kinesis", metric, ("StreamName", &traffic.stream), value, unit);
        };
        publish("WriteProvisionedThroughputExceeded", real(traffic.throttled), "Count");
        publish(&format!("{operation}.Success"), f64::from(u8::from(succeeded)), "Count");
        if succeeded {
            publish("IncomingRecords", real(traffic.records), "Count");
            publish("IncomingBytes", real(traffic.bytes), "Bytes");
        }
    }

    /// A `GetRecords`.
    pub(crate) fn count_get(&self, stream: &str, outcome: Result<&GetTraffic, &CallError>) {
        let publish = |metric: &str, value: f64, unit: &str| {
            self.cloudwatch.observe("AWS/Kinesis", metric, ("StreamName", stream), value, unit);
        };
        match outcome {
            Ok(GetTraffic { records, bytes, age_ms }) => {
                let age_ms = real(usize::try_from(*age_ms).unwrap_or(0));
                publish("GetRecords.IteratorAgeMilliseconds", age_ms, "Milliseconds");
                publish("GetRecords.Records", real(*records), "Count");
                publish("GetRecords.Bytes", real(*bytes), "Bytes");
                publish("GetRecords.Success", 1.0, "Count");
                publish("ReadProvisionedThroughputExceeded", 0.0, "Count");
            }
            Err(error) => {
                publish("GetRecords.Success", 0.0, "Count");
                publish("ReadProvisionedThroughputExceeded", f64::from(u8::from(is_throttle(error))), "Count");
            }
        }
    }

    /// Capacity is estimated from the size of what was written or read: units of 1 and of 4 KB.
    fn count_table(&self, operation: &str, asked: &Asked, outcome: Result<&Value, &CallError>) {
        const WRITE_UNIT: usize = 1024;
        const READ_UNIT: usize = 4096;
        let Some(access) = access(operation) else { return };
        for table in &asked.names {
            let publish = |metric: &str, value: f64| {
                self.cloudwatch.observe("AWS/DynamoDB", metric, ("TableName", table), value, "Count");
            };
            match outcome {
                Err(error) if is_throttle(error) => {
                    publish(if access == Access::Read { "ReadThrottleEvents" } else { "WriteThrottleEvents" }, 1.0);
                    let dimensions = [("TableName", table.as_str()), ("Operation", operation)];
                    self.cloudwatch.observe_of("AWS/DynamoDB", "ThrottledRequests", &dimensions, 1.0, "Count");
                }
                Err(error) if error.code.ends_with("ConditionalCheckFailedException") => {
                    publish("ConditionalCheckFailedRequests", 1.0);
                    publish("ConsumedWriteCapacityUnits", 1.0);
                }
                Ok(_) if access == Access::Write => {
                    publish(
                        "ConsumedWriteCapacityUnits",
                        real((asked.written / asked.names.len()).div_ceil(WRITE_UNIT)),
                    );
                }
                Ok(answer) => {
                    let size = (json_size(answer) / asked.names.len()).div_ceil(READ_UNIT).max(1);
                    publish("ConsumedReadCapacityUnits", real(size) / 2.0);
                }
                Err(_) => {}
            }
        }
    }
}
