//! Requests and answers in AWS's form where the engine has another: streams named by ARN, and lists that go on by token.

use base64::engine::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use streamkit_wire::CallError;
use streamkit_wire::input::{integer, text};

use super::service::Kinesis;
use super::{lineage, states};

/// What AWS starts an on-demand stream with.
const ON_DEMAND_SHARDS: i64 = 4;
/// Names of one `ListStreams`, and shards of one `ListShards`, when the caller does not say.
const STREAMS_PAGE: i64 = 100;
const SHARDS_PAGE: i64 = 1000;
/// Between the parts of a token.
const SEPARATOR: char = '|';

/// Operations on records come often, and take an ARN or an iterator by themselves.
fn is_on_records(operation: &str) -> bool {
    matches!(operation, "PutRecord" | "PutRecords" | "GetRecords")
}

/// Puts a request into the engine's form.
pub(super) fn prepare(operation: &str, input: &mut Value) -> Result<(), CallError> {
    if !input.is_object() || is_on_records(operation) {
        return Ok(());
    }
    if operation == "CreateStream" {
        return prepare_creation(input);
    }
    if operation == "ListStreams" {
        if let Some(token) = text(input, "NextToken") {
            input["ExclusiveStartStreamName"] = json!(read_token(token).ok_or_else(invalid_token)?);
        }
        if input["Limit"].is_null() {
            input["Limit"] = json!(STREAMS_PAGE);
        }
        return Ok(());
    }
    if operation == "ListShards" {
        prepare_shards(input)?;
    }
    if input["StreamName"].is_null() && input["StreamARN"].is_string() {
        input["StreamName"] = states::stream(input).into();
    }
    Ok(())
}

/// The engine divides by the shard count that on-demand streams lack.
fn prepare_creation(input: &mut Value) -> Result<(), CallError> {
    let shards = if is_on_demand(input) { ON_DEMAND_SHARDS } else { integer(&input["ShardCount"]).unwrap_or_default() };
    if shards < 1 {
        let message = "ShardCount is required and must be at least 1";
        return Err(CallError::bad("InvalidArgumentException", message));
    }
    input["ShardCount"] = json!(shards);
    Ok(())
}

pub(super) fn is_on_demand(input: &Value) -> bool {
    input["StreamModeDetails"]["StreamMode"] == "ON_DEMAND"
}

fn prepare_shards(input: &mut Value) -> Result<(), CallError> {
    if let Some(token) = text(input, "NextToken") {
        if input["StreamName"].is_string() || input["StreamARN"].is_string() {
            let message = "NextToken and StreamName cannot be provided together.";
            return Err(CallError::bad("InvalidArgumentException", message));
        }
        let place = read_token(token).ok_or_else(invalid_token)?;
        let (stream, rest) = place.split_once(SEPARATOR).ok_or_else(invalid_token)?;
        let (filter, shard) = rest.split_once(SEPARATOR).ok_or_else(invalid_token)?;
        let next = json!({
            "StreamName": stream,
            "ExclusiveStartShardId": shard,
            "ShardFilter": {"Type": filter},
            "MaxResults": input["MaxResults"],
        });
        *input = next;
    } else if input["ShardFilter"]["Type"] == "AFTER_SHARD_ID" {
        input["ExclusiveStartShardId"] = input["ShardFilter"]["ShardId"].clone();
    }
    if input["MaxResults"].is_null() {
        input["MaxResults"] = json!(SHARDS_PAGE);
    }
    // The engine's validation takes no null for what is absent.
    if let Some(members) = input.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    Ok(())
}

impl Kinesis {
    /// Puts into an answer what the engine leaves out.
    pub(super) async fn complete(&self, operation: &str, input: &Value, answer: &mut Value) {
        match operation {
            "ListStreams" => self.complete_streams(answer).await,
            "ListShards" => {
                complete_shards(input, answer);
                self.complete_lineage(input, &mut answer["Shards"]).await;
            }
            "DescribeStream" => self.complete_lineage(input, &mut answer["StreamDescription"]["Shards"]).await,
            "DescribeStreamSummary" => {
                let summary = &mut answer["StreamDescriptionSummary"];
                let name = text(summary, "StreamName").unwrap_or_default();
                if let Ok(stream) = self.store.get_stream(name).await {
                    summary["MaxRecordSizeInKiB"] = json!(stream.max_record_size_kib);
                }
            }
            "GetResourcePolicy" if answer["Policy"] == "" => answer["Policy"] = json!("{}"),
            _ => {}
        }
    }

    async fn complete_lineage(&self, input: &Value, shards: &mut Value) {
        if let Ok(stream) = self.store.get_stream(&states::stream(input)).await {
            lineage::complete(&stream.shards, shards);
        }
    }

    async fn complete_streams(&self, answer: &mut Value) {
        let names: Vec<String> = streamkit_wire::input::texts(&answer["StreamNames"]);
        if answer["HasMoreStreams"] == true
            && let Some(last) = names.last()
        {
            answer["NextToken"] = json!(BASE64.encode(last));
        }
        let mut summaries = Vec::with_capacity(names.len());
        for name in &names {
            // One that was deleted meanwhile has no summary.
            if let Ok(stream) = self.store.get_stream(name).await {
                summaries.push(json!({
                    "StreamName": stream.stream_name,
                    "StreamARN": stream.stream_arn,
                    "StreamStatus": stream.stream_status,
                    "StreamModeDetails": stream.stream_mode_details,
                    "StreamCreationTimestamp": stream.stream_creation_timestamp,
                }));
            }
        }
        answer["StreamSummaries"] = Value::Array(summaries);
    }
}

/// `ShardFilter` takes out closed shards; the token says where and how to go on.
fn complete_shards(input: &Value, answer: &mut Value) {
    let filter = text(&input["ShardFilter"], "Type").unwrap_or_default();
    if let Some(last) = text(answer, "NextToken") {
        let stream = text(input, "StreamName").unwrap_or_default();
        answer["NextToken"] = json!(BASE64.encode(format!("{stream}{SEPARATOR}{filter}{SEPARATOR}{last}")));
    }
    if filter == "AT_LATEST"
        && let Some(shards) = answer["Shards"].as_array_mut()
    {
        shards.retain(|shard| shard["SequenceNumberRange"]["EndingSequenceNumber"].is_null());
    }
}

fn read_token(token: &str) -> Option<String> {
    String::from_utf8(BASE64.decode(token).ok()?).ok()
}

fn invalid_token() -> CallError {
    CallError::bad("InvalidArgumentException", "NextToken is invalid.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_of_shards_names_the_stream_and_the_place() {
        let input = json!({"StreamName": "s", "ShardFilter": {"Type": "AT_LATEST"}});
        let mut answer = json!({"NextToken": "shardId-000000000001", "Shards": []});
        complete_shards(&input, &mut answer);
        let mut next = json!({"NextToken": answer["NextToken"], "MaxResults": 7});
        prepare("ListShards", &mut next).unwrap();
        assert_eq!(
            next,
            json!({
                "StreamName": "s", "ExclusiveStartShardId": "shardId-000000000001", "MaxResults": 7,
                "ShardFilter": {"Type": "AT_LATEST"},
            })
        );
        for refused in [json!({"NextToken": "?"}), json!({"NextToken": answer["NextToken"], "StreamName": "s"})] {
            assert_eq!(prepare("ListShards", &mut refused.clone()).unwrap_err().code, "InvalidArgumentException");
        }
    }
}
