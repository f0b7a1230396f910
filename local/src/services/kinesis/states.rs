//! Streams that take their time: CREATING, UPDATING and DELETING, on top of an engine that does everything at once.

use serde_json::{Value, json};
use streamkit_wire::CallError;
use streamkit_wire::input::text;

use super::service::{Caller, Kinesis};
use crate::rehearsal::StateChange;
use crate::services::passing_states::{CREATING, DELETING, UPDATING};

/// Operations that need an ACTIVE stream and leave it UPDATING for a while.
const CHANGES: [&str; 11] = [
    "UpdateShardCount",
    "SplitShard",
    "MergeShards",
    "IncreaseStreamRetentionPeriod",
    "DecreaseStreamRetentionPeriod",
    "StartStreamEncryption",
    "StopStreamEncryption",
    "UpdateStreamMode",
    "UpdateMaxRecordSize",
    "UpdateStreamWarmThroughput",
    "EnableEnhancedMonitoring",
];
/// Operations on records, of which a stream that is not there yet, or not much longer, knows nothing.
const ON_RECORDS: [&str; 5] = ["PutRecord", "PutRecords", "GetShardIterator", "ListShards", "SubscribeToShard"];

impl Kinesis {
    /// Whether an operation may meet or make a passing state.
    pub(super) fn has_states(&self, operation: &str) -> bool {
        // Records come often: only when a stream is on its way must anyone look at them.
        let seldom = !matches!(operation, "PutRecord" | "PutRecords" | "GetRecords");
        !self.times.is_none() && (seldom || self.changing.any())
    }

    /// Deletes the streams whose time has come.
    pub(super) async fn settle(&self) {
        if self.changing.overdue().is_empty() {
            return;
        }
        let _one = self.changing.deleting.lock().await;
        for name in self.changing.overdue() {
            let input = json!({"StreamName": name, "EnforceConsumerDeletion": true});
            // A stream that the engine does not have is as gone as it can be.
            let _ = self.at_once("DeleteStream", input, Caller::Service).await;
            self.changing.end(&name);
        }
    }

    /// The error of an operation that the stream's passing state does not allow.
    pub(super) fn refused(&self, operation: &str, name: &str) -> Result<(), CallError> {
        let Some(state) = self.changing.state(name) else { return Ok(()) };
        if ON_RECORDS.contains(&operation) && state != UPDATING {
            return Err(CallError::bad(
                "ResourceNotFoundException",
                format!("Stream {name} under account {} not found.", self.account),
            ));
        }
        if CHANGES.contains(&operation) || matches!(operation, "DeleteStream" | "RegisterStreamConsumer") {
            return Err(CallError::bad(
                "ResourceInUseException",
                format!("Stream {name} under account {} not ACTIVE, instead in state {state}", self.account),
            ));
        }
        Ok(())
    }

    /// Starts the deletion of a stream, if deletions take time: the engine's own follows when that has passed.
    pub(super) async fn delete_later(&self, name: &str, input: &Value) -> Result<bool, CallError> {
        let time = self.times.time(StateChange::StreamDelete, name);
        if time.is_zero() {
            return Ok(false);
        }
        let answer = self.engine("DescribeStreamSummary", json!({"StreamName": name})).await?;
        let consumers = answer["StreamDescriptionSummary"]["ConsumerCount"].as_i64().unwrap_or_default();
        // The engine refuses that as AWS does.
        if consumers > 0 && input["EnforceConsumerDeletion"] != true {
            return Ok(false);
        }
        self.changing.begin(name, DELETING, time);
        Ok(true)
    }

    /// Notes that an operation has set something in motion.
    pub(super) fn began(&self, operation: &str, name: &str) {
        if operation == "CreateStream" {
            self.changing.begin(name, CREATING, self.times.time(StateChange::StreamCreate, name));
        } else if CHANGES.contains(&operation) {
            self.changing.begin(name, UPDATING, self.times.time(StateChange::StreamUpdate, name));
        }
    }

    /// Puts passing states into an answer.
    pub(super) fn show(&self, operation: &str, answer: &mut Value) {
        match operation {
            "DescribeStream" => self.show_in(&mut answer["StreamDescription"]),
            "DescribeStreamSummary" => self.show_in(&mut answer["StreamDescriptionSummary"]),
            "ListStreams" => {
                for stream in answer["StreamSummaries"].as_array_mut().into_iter().flatten() {
                    self.show_in(stream);
                }
            }
            _ => {}
        }
    }

    fn show_in(&self, description: &mut Value) {
        let Some(state) = description["StreamName"].as_str().and_then(|name| self.changing.state(name)) else {
            return;
        };
        description["StreamStatus"] = state.into();
        if state == CREATING && description["Shards"].is_array() {
            description["Shards"] = json!([]);
        }
    }
}

/// The stream that an operation is about, by name or by its own or its consumer's ARN.
pub(super) fn stream(input: &Value) -> String {
    let arn = ["StreamARN", "ConsumerARN"].iter().find_map(|member| text(input, member));
    let from_arn = || Some(arn?.split_once(":stream/")?.1.split('/').next()?.to_owned());
    text(input, "StreamName").map(str::to_owned).or_else(from_arn).unwrap_or_default()
}
