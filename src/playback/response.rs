//! What a function answers to a batch: Lambda's partial batch response, and what streamkit's handler says of a replay.

use serde::Deserialize;

/// The answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Response {
    pub(super) batch_item_failures: Vec<Item>,
    /// Only from streamkit's handler.
    pub(super) replay: Option<Replayed>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Item {
    pub(super) item_identifier: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Replayed {
    pub(super) duplicates: u64,
    pub(super) failed: Vec<ReplayedFailure>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ReplayedFailure {
    pub(super) sequence_number: String,
    pub(super) sub_sequence_number: Option<u64>,
    pub(super) code: String,
    pub(super) message: Option<String>,
    pub(super) rejected: bool,
}

impl Response {
    /// Reads the payload of an answer. A function may answer with nothing: then all is well.
    ///
    /// # Errors
    /// It is neither.
    pub(super) fn read(payload: &[u8]) -> serde_json::Result<Self> {
        let answer: Option<Self> = if payload.is_empty() { None } else { serde_json::from_slice(payload)? };
        Ok(answer.unwrap_or_default())
    }
}

/// An error that the function ended with.
/// <https://docs.aws.amazon.com/lambda/latest/dg/rust-handler.html>
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct FunctionError {
    pub(super) error_type: String,
    pub(super) error_message: String,
}
