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
        let filters = RecordFilters::new(filter).map_err(anyhow::Error::msg)?;
        let mut batch = BatchRecords::new(self, &filters);
        let ends = (&*self.first, &*self.last);
        let read = read_range(aws, &source, &self.shard_id, ends, self.records, |record| batch.add(record)).await;
        match read {
            Ok(()) => Ok(batch.finished()),
            Err(error) if is_expired(&error) => Ok(Reread { records: Vec::new(), expired: self.records.max(1) }),
            Err(error) => Err(error).with_context(what),
        }
    }
}

/// The records of a batch, as they are read again.
struct BatchRecords<'a> {
    batch: &'a FailedBatch,
    filters: &'a RecordFilters,
    /// All of them, as long as they are no more than the batch had: then all were in it, whatever the filter says now.
    all: Vec<SourceRecord>,
    /// Those that the filter passes, when they are more.
    passed: Option<Vec<SourceRecord>>,
    /// Whether the batch's first and last record are there. Both were for the function, so neither is filtered out.
    has_ends: (bool, bool),
}

impl<'a> BatchRecords<'a> {
    fn new(batch: &'a FailedBatch, filters: &'a RecordFilters) -> Self {
        Self { batch, filters, all: Vec::new(), passed: None, has_ends: (false, false) }
    }

    fn add(&mut self, record: SourceRecord) {
        let is_at = |number: &str| order(number) == order(&record.sequence_number);
        self.has_ends.0 |= is_at(&self.batch.first);
        self.has_ends.1 |= is_at(&self.batch.last);
        let most = usize::try_from(self.batch.records).unwrap_or(usize::MAX);
        match &mut self.passed {
            None if self.all.len() < most => self.all.push(record),
            passed => {
                let filters = self.filters;
                let earlier = std::mem::take(&mut self.all).into_iter().chain([record]);
                passed.get_or_insert_default().extend(earlier.filter(|record| filters.pass(|| record.event())));
            }
        }
    }

    /// What is not there although it should be counts as expired, so that nobody takes the batch for played.
    fn finished(self) -> Reread {
        let records = self.passed.unwrap_or(self.all);
        let missing = self.batch.records.saturating_sub(u64::try_from(records.len()).unwrap_or(u64::MAX));
        let expired = if self.has_ends == (true, true) { missing } else { missing.max(1) };
        Reread { records, expired }
    }
}

/// Reads the records from the first sequence number to the last, of which there are about so many.
pub(super) async fn read_range(
    aws: &Clients,
    source: &Source,
    shard: &str,
    (first, last): (&str, &str),
    records: u64,
    mut found: impl FnMut(SourceRecord),
) -> Result<(), AwsError> {
    let mut reader = ShardReader::new(aws, source, shard, Start::At(first.to_owned())).by(records);
    loop {
        let page = reader.next().await?;
        let over = page.records.last().is_some_and(|record| order(&record.sequence_number) >= order(last));
        let within = page
            .records
            .into_iter()
            .filter(|record| (order(first)..=order(last)).contains(&order(&record.sequence_number)));
        within.for_each(&mut found);
        if over || page.finished || page.caught_up {
            return Ok(());
        }
    }
}

/// True where the stream or shard is gone, or has forgotten the place. A stream that was made anew under its old name says that
/// the place is not one of its own.
pub(super) fn is_expired(error: &AwsError) -> bool {
    error.is_missing() || error.is(&["TrimmedDataAccessException", "InvalidArgumentException"])
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
    fn a_batch_is_whole_with_all_that_it_had() {
        let filter = [json!({ "partitionKey": ["in"] })];
        let reread = |numbers: &[(u32, &str)], filter: &[Value]| {
            let batch = FailedBatch { records: 3, first: "11".to_owned(), last: "14".to_owned(), ..parsed() };
            let filters = RecordFilters::new(filter).unwrap();
            let mut records = BatchRecords::new(&batch, &filters);
            for (number, key) in numbers {
                let event = json!({"eventSource": "aws:kinesis", "eventID": format!("shardId-0:{number}"),
                    "eventSourceARN": "arn:aws:kinesis:r:1:stream/s", "kinesis": {"sequenceNumber": number.to_string(),
                        "partitionKey": key, "data": "e30=", "approximateArrivalTimestamp": 1.0}});
                records.add(SourceRecord::from_event(&event).unwrap());
            }
            let Reread { records, expired } = records.finished();
            (records.iter().map(|record| record.sequence_number.clone()).collect::<Vec<_>>().join(" "), expired)
        };
        let all = [(11, "in"), (12, "in"), (14, "in")];
        let told = |text: &str, expired| (text.to_owned(), expired);
        assert_eq!(reread(&all, &[]), told("11 12 14", 0));
        assert_eq!(reread(&all[1..], &[]), told("12 14", 1));
        assert_eq!(reread(&all[..2], &[]), told("11 12", 1), "a shard that told less than all");
        // Others lay between them, which the filter kept from the function.
        assert_eq!(reread(&[(11, "in"), (12, "out"), (13, "in"), (14, "in")], &filter), told("11 13 14", 0));
        // The filter has changed since: all of them were in the batch.
        assert_eq!(reread(&[(11, "in"), (12, "out"), (14, "in")], &filter), told("11 12 14", 0));
    }

    fn parsed() -> FailedBatch {
        FailedBatch::parse(&body()).unwrap()
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
