//! Batches: up to ten entries in one call, each of which succeeds or fails by itself.

use std::collections::HashSet;

use serde_json::{Value, json};
use streamkit_wire::CallError;
use streamkit_wire::input::list;

use super::message_attributes;
use super::service::{Answer, Sqs, missing, queue_name};

const MAX_ENTRIES: usize = 10;
const MAX_BYTES: usize = 1024 * 1024;
const MAX_ID: usize = 80;

impl Sqs {
    /// Runs an operation for each entry. What is wrong with the batch refuses all of it, what is wrong with an entry fails
    /// that entry.
    pub(super) fn batch(&self, input: &Value, act: impl Fn(&Self, &Value) -> Answer) -> Answer {
        let entries = list(&input["Entries"]);
        check(entries)?;
        let name = queue_name(input)?;
        if !self.queues().contains_key(&name) {
            return Err(missing());
        }
        let bytes: usize = entries.iter().map(bytes_of).sum();
        if bytes > MAX_BYTES {
            return Err(CallError::bad(
                "BatchRequestTooLong",
                format!("Batch requests cannot be longer than {MAX_BYTES} bytes. You have sent {bytes} bytes."),
            ));
        }
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for entry in entries {
            let mut entry = entry.clone();
            entry["QueueUrl"] = input["QueueUrl"].clone();
            match act(self, &entry) {
                Ok(mut answer) => {
                    answer["Id"] = entry["Id"].clone();
                    successful.push(answer);
                }
                Err(error) => failed.push(json!({
                    "Id": entry["Id"],
                    "SenderFault": error.status < 500,
                    "Code": error.code,
                    // In a batch SQS says this in other words than for a single message.
                    "Message": error.message.replace(
                        "One or more parameters are invalid.",
                        "One or more parameters cannot be validated.",
                    ),
                })),
            }
        }
        Ok(json!({"Successful": successful, "Failed": failed}))
    }
}

fn check(entries: &[Value]) -> Result<(), CallError> {
    if entries.is_empty() {
        return Err(CallError::bad("EmptyBatchRequest", "There should be at least one entry in the request."));
    }
    if entries.len() > MAX_ENTRIES {
        return Err(CallError::bad(
            "TooManyEntriesInBatchRequest",
            format!("Maximum number of entries per request are {MAX_ENTRIES}. You have sent {}.", entries.len()),
        ));
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let mut seen = HashSet::new();
    for entry in entries {
        let id = entry["Id"].as_str().unwrap_or_default();
        if id.is_empty() || id.len() > MAX_ID || !id.bytes().all(legal) {
            return Err(CallError::bad(
                "InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.",
            ));
        }
        if !seen.insert(id) {
            return Err(CallError::bad("BatchEntryIdsNotDistinct", format!("Id {id} repeated.")));
        }
    }
    Ok(())
}

fn bytes_of(entry: &Value) -> usize {
    let body = entry["MessageBody"].as_str().unwrap_or_default().len();
    body + entry["MessageAttributes"].as_object().map_or(0, message_attributes::bytes)
}
