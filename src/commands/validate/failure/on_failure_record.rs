//! The on-failure record of a discarded batch. It has the batch's position in the stream, not its records, which are read
//! from the stream again.
//!
//! Its form: <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodbstreams::types::AttributeValue;
use aws_sdk_kinesis::types::ShardIteratorType;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::sleep;

use crate::aws::{Clients, answered};
use crate::commands::validate::validation::CLOCK_SKEW;

/// A shard may answer that it has nothing although it has.
const LOOKS: usize = 10;
/// Five reads a second are a shard's limit, and others read too.
const PAUSE: Duration = Duration::from_millis(500);

/// The part of an on-failure record that matters here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OnFailureRecord {
    /// `RetryAttemptsExhausted` or `RecordAgeExceeded`.
    pub(super) condition: String,
    pub(super) invocations: usize,
    /// The first one of the batch.
    pub(super) sequence_number: String,
    last: String,
    function_arn: String,
    at: Timestamp,
    stream_arn: String,
    shard_id: String,
    of_table: bool,
}

impl OnFailureRecord {
    /// Parses a message; `None` if it is no on-failure record.
    pub(super) fn parse(body: &str) -> Option<Self> {
        let body: Value = serde_json::from_str(body).ok()?;
        let of_table = body.get("DDBStreamBatchInfo").is_some();
        let batch = body.get(if of_table { "DDBStreamBatchInfo" } else { "KinesisBatchInfo" })?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Some(Self {
            condition: text(&body["requestContext"]["condition"])?,
            invocations: usize::try_from(body["requestContext"]["approximateInvokeCount"].as_u64()?).ok()?,
            sequence_number: text(&batch["startSequenceNumber"])?,
            last: text(&batch["endSequenceNumber"])?,
            function_arn: text(&body["requestContext"]["functionArn"])?,
            at: body["timestamp"].as_str()?.parse().ok()?,
            stream_arn: text(&batch["streamArn"])?,
            shard_id: text(&batch["shardId"])?,
            of_table,
        })
    }

    /// True if this function discarded the batch, and not before `since`.
    pub(super) fn is_of(&self, function: &str, since: SystemTime) -> bool {
        let named = self.function_arn.split(':').nth(6) == Some(function);
        named && SystemTime::from(self.at) + CLOCK_SKEW >= since
    }

    /// Reads the batch from the stream, and counts its events whose key contains the text, and the others.
    pub(super) async fn count_events(&self, aws: &Clients, text: &str) -> anyhow::Result<(usize, usize)> {
        let what = || format!("reading {} again from {}", self.sequence_number, self.stream_arn);
        let keys = if self.of_table { self.changes(aws).await } else { self.records(aws).await }.with_context(what)?;
        let own = keys.iter().filter(|key| key.contains(text)).count();
        Ok((own, keys.len() - own))
    }

    /// The partition keys of the batch's records.
    async fn records(&self, clients: &Clients) -> anyhow::Result<Vec<String>> {
        // By its name, which every endpoint takes.
        let stream = self.stream_arn.rsplit('/').next().unwrap_or_default();
        let call = clients.kinesis.get_shard_iterator().stream_name(stream).shard_id(&self.shard_id);
        let call = call.shard_iterator_type(ShardIteratorType::AtSequenceNumber);
        let call = call.starting_sequence_number(&self.sequence_number);
        let first = answered(call.send().await)?.shard_iterator;
        self.read_keys(first, async |iterator| {
            let answer = answered(clients.kinesis.get_records().shard_iterator(iterator).send().await)?;
            let records = answer.records.into_iter();
            let keys = records.map(|record| (record.sequence_number, record.partition_key.unwrap_or_default()));
            Ok((keys.collect(), answer.next_shard_iterator))
        })
        .await
    }

    /// The keys of the batch's changes.
    async fn changes(&self, clients: &Clients) -> anyhow::Result<Vec<String>> {
        let streams = &clients.dynamodbstreams;
        let call = streams.get_shard_iterator().stream_arn(&self.stream_arn).shard_id(&self.shard_id);
        let call = call.shard_iterator_type(aws_sdk_dynamodbstreams::types::ShardIteratorType::AtSequenceNumber);
        let call = call.sequence_number(&self.sequence_number);
        let first = answered(call.send().await)?.shard_iterator;
        self.read_keys(first, async |iterator| {
            let answer = answered(streams.get_records().shard_iterator(iterator).send().await)?;
            let changes = answer.records.unwrap_or_default().into_iter().filter_map(|record| record.dynamodb);
            let keys = changes.map(|change| {
                let values = change.keys.unwrap_or_default();
                let key = values.values().map(key_text).collect::<Vec<_>>().join(" ");
                (change.sequence_number.unwrap_or_default(), key)
            });
            Ok((keys.collect(), answer.next_shard_iterator))
        })
        .await
    }

    /// Reads the shard from `first` to the batch's last record. `get` returns sequence numbers and keys, and the next iterator.
    async fn read_keys(
        &self,
        first: Option<String>,
        get: impl AsyncFn(String) -> anyhow::Result<(Vec<(String, String)>, Option<String>)>,
    ) -> anyhow::Result<Vec<String>> {
        let mut iterator = first;
        let mut keys = Vec::new();
        for _ in 0..LOOKS {
            let Some(from) = iterator else { break };
            let (records, next) = get(from).await?;
            for (sequence_number, key) in records {
                if order(&sequence_number) > order(&self.last) {
                    return Ok(keys);
                }
                let done = sequence_number == self.last;
                keys.push(key);
                if done {
                    return Ok(keys);
                }
            }
            iterator = next;
            sleep(PAUSE).await;
        }
        Ok(keys)
    }
}

/// Sequence numbers are numbers of many digits, without leading zeros once they are cut off.
fn order(sequence_number: &str) -> (usize, &str) {
    let digits = sequence_number.trim_start_matches('0');
    (digits.len(), digits)
}

/// A key attribute as it stands in the JSON that Lambda sends.
fn key_text(value: &AttributeValue) -> String {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.clone(),
        AttributeValue::B(bytes) => STANDARD.encode(Blob::as_ref(bytes)),
        _ => String::new(),
    }
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
    fn a_record_tells_whose_it_is() {
        let record = OnFailureRecord::parse(&body().to_string()).unwrap();
        assert_eq!((record.invocations, record.of_table, &*record.last), (4, false, "12"));
        let at = SystemTime::from("2026-11-14T22:13:21Z".parse::<Timestamp>().unwrap());
        assert!(record.is_of("p-f", at + CLOCK_SKEW) && !record.is_of("p-f", at + CLOCK_SKEW * 2));
        assert!(!record.is_of("p-g", at));
        let mut of_table = body();
        of_table["DDBStreamBatchInfo"] = of_table["KinesisBatchInfo"].take();
        assert!(OnFailureRecord::parse(&of_table.to_string()).unwrap().of_table);
    }

    #[test]
    fn what_is_no_on_failure_record_is_none() {
        for body in ["", "text", "{}", r#"{"requestContext":{},"payload":"x"}"#] {
            assert_eq!(OnFailureRecord::parse(body), None, "{body}");
        }
    }

    #[test]
    fn sequence_numbers_are_compared_as_numbers() {
        assert!(order("100") > order("99") && order("000099") < order("100") && order("0010") == order("10"));
    }
}
