//! A batch that a mapping gave up: the on-failure record has its place in the stream, from which its records are read again.
//!
//! Its form: <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>.

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::Value;
use streamkit_local::RecordFilters;

use crate::aws::{AwsError, Clients};
use crate::records::{ShardReader, Source, SourceRecord, Start, order, source_arn};

/// The part of an on-failure record that matters here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FailedBatch {
    /// The function's name in AWS.
    pub(crate) function: String,
    /// `RetryAttemptsExhausted` or `RecordAgeExceeded`.
    pub(crate) condition: String,
    pub(crate) invocations: u64,
    /// `Unhandled` where the function failed; none where it reported its records as failed.
    pub(crate) function_error: Option<String>,
    /// When it was given up, in milliseconds since the epoch.
    pub(crate) failed_ms: i64,
    pub(crate) source_arn: String,
    pub(crate) shard_id: String,
    pub(crate) first: String,
    pub(crate) last: String,
    pub(crate) records: u64,
    /// The records themselves, where the destination is a bucket.
    pub(crate) event: Option<Vec<SourceRecord>>,
}

/// The records of a batch, as far as the stream still has them.
#[derive(Debug, Default)]
pub(crate) struct Reread {
    pub(crate) records: Vec<SourceRecord>,
    /// How many the stream has forgotten.
    pub(crate) expired: u64,
}

impl FailedBatch {
    /// Reads a message's body; `None` if it is no on-failure record.
    pub(super) fn parse(body: &Value) -> Option<Self> {
        let batch = ["KinesisBatchInfo", "DDBStreamBatchInfo"].iter().find_map(|name| body.get(name))?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let context = &body["requestContext"];
        // `arn:aws:lambda:<region>:<account>:function:<name>:<version>`
        let function = context["functionArn"].as_str()?.split(':').nth(6)?.to_owned();
        let failed: Timestamp = body["timestamp"].as_str()?.parse().ok()?;
        let payload = body["payload"].as_str().and_then(|payload| serde_json::from_str::<Value>(payload).ok());
        let event = payload
            .as_ref()
            .and_then(|event| event["Records"].as_array())
            .and_then(|records| records.iter().map(SourceRecord::from_event).collect::<anyhow::Result<Vec<_>>>().ok());
        Some(Self {
            function,
            condition: text(&context["condition"])?,
            invocations: context["approximateInvokeCount"].as_u64().unwrap_or_default(),
            function_error: text(&body["responseContext"]["functionError"]),
            failed_ms: failed.as_millisecond(),
            source_arn: source_arn(batch["streamArn"].as_str()?).to_owned(),
            shard_id: text(&batch["shardId"])?,
            first: text(&batch["startSequenceNumber"])?,
            last: text(&batch["endSequenceNumber"])?,
            records: batch["batchSize"].as_u64().unwrap_or_default(),
            event,
        })
    }

    /// What happened, for people.
    pub(crate) fn message(&self) -> String {
        let how = match (&self.function_error, self.invocations) {
            (_, 0) => "never reached the function".to_owned(),
            (Some(_), n) => format!("the function failed, at last after {n} invocations"),
            (None, n) => format!("the function reported failed records, at last after {n} invocations"),
        };
        let records = if self.records == 1 { "record" } else { "records" };
        format!("a batch of {} {records}: {how}", self.records)
    }

    /// The batch's records: those that came with it, or read again from its shard. Those that the mapping's `filter` keeps
    /// from the function were not in the batch.
    ///
    /// # Errors
    /// AWS's; a stream or shard that is gone, and a place that it has forgotten, are none.
    pub(crate) async fn reread(&self, aws: &Clients, filter: &[Value]) -> anyhow::Result<Reread> {
        if let Some(records) = &self.event {
            return Ok(Reread { records: records.clone(), expired: 0 });
        }
        let source = Source::new(&self.source_arn);
        let what = || format!("reading shard {} of {} again", self.shard_id, source.name());
        let read = match read_range(aws, &source, &self.shard_id, (&self.first, &self.last), self.records).await {
            Ok(read) => read,
            Err(error) if is_expired(&error) => return Ok(Reread { records: Vec::new(), expired: self.records }),
            Err(error) => return Err(error).with_context(what),
        };
        // A batch begins with a record that the function was to get. If that is there, so are the others.
        let whole = read.first().is_some_and(|first| order(&first.sequence_number) == order(&self.first));
        let filters = RecordFilters::new(filter).map_err(anyhow::Error::msg)?;
        let records: Vec<_> = read.into_iter().filter(|record| filters.pass(&record.event())).collect();
        let found = u64::try_from(records.len()).unwrap_or(u64::MAX);
        let expired = if whole { 0 } else { self.records.saturating_sub(found).max(1) };
        Ok(Reread { records, expired })
    }
}

/// Reads the records from the first sequence number to the last, of which there are about so many.
pub(super) async fn read_range(
    aws: &Clients,
    source: &Source,
    shard: &str,
    (first, last): (&str, &str),
    records: u64,
) -> Result<Vec<SourceRecord>, AwsError> {
    let mut reader = ShardReader::new(aws, source, shard, Start::At(first.to_owned())).by(records);
    let mut found = Vec::new();
    loop {
        let page = reader.next().await?;
        let over = page.records.last().is_some_and(|record| order(&record.sequence_number) >= order(last));
        let within = page
            .records
            .into_iter()
            .filter(|record| (order(first)..=order(last)).contains(&order(&record.sequence_number)));
        found.extend(within);
        if over || page.finished || page.caught_up {
            return Ok(found);
        }
    }
}

/// True where the stream or shard is gone, or has forgotten the place.
pub(super) fn is_expired(error: &AwsError) -> bool {
    error.is_missing() || error.is(&["TrimmedDataAccessException"])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body() -> Value {
        json!({
            "requestContext": {
                "requestId": "id", "functionArn": "arn:aws:lambda:eu-west-1:123456789012:function:p-f:$LATEST",
                "condition": "RetryAttemptsExhausted", "approximateInvokeCount": 4,
            },
            "responseContext": { "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" },
            "version": "1.0",
            "timestamp": "2026-11-14T22:13:21.000Z",
            "KinesisBatchInfo": {
                "shardId": "shardId-000000000000", "startSequenceNumber": "11", "endSequenceNumber": "12",
                "batchSize": 2, "streamArn": "arn:aws:kinesis:eu-west-1:123456789012:stream/s",
            },
        })
    }

    #[test]
    fn a_record_tells_which_batch_failed_how() {
        let batch = FailedBatch::parse(&body()).unwrap();
        assert_eq!((&*batch.function, batch.records, batch.invocations), ("p-f", 2, 4));
        assert_eq!((&*batch.first, &*batch.last, batch.event.is_none()), ("11", "12", true));
        assert_eq!(batch.message(), "a batch of 2 records: the function failed, at last after 4 invocations");
        let mut of_table = body();
        of_table["DDBStreamBatchInfo"] = of_table["KinesisBatchInfo"].take();
        of_table.as_object_mut().unwrap().remove("KinesisBatchInfo");
        assert_eq!(FailedBatch::parse(&of_table).unwrap().shard_id, "shardId-000000000000");
    }

    #[test]
    fn an_object_brings_its_records_along() {
        let mut body = body();
        let record = json!({"eventSource": "aws:kinesis", "eventID": "shardId-0:11", "eventSourceARN": "arn:aws:kinesis:r:1:stream/s",
            "kinesis": {"sequenceNumber": "11", "partitionKey": "k", "data": "e30=", "approximateArrivalTimestamp": 1.0}});
        body["payload"] = json!(json!({ "Records": [record] }).to_string());
        let records = FailedBatch::parse(&body).unwrap().event.unwrap();
        assert_eq!((records.len(), records[0].event_id()), (1, "shardId-0:11".to_owned()));
    }
}
