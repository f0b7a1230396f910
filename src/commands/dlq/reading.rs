//! What a message says, for conditions and for people.

use serde_json::{Value, json};

use crate::dead_letters::{Facts, Kind, Message};
use crate::pipeline::Flow;
use crate::records::{Content, Source, SourceRecord};

/// The place of a message's record or batch.
pub(super) struct Location {
    /// The name of the stream or table.
    pub(super) stream: String,
    pub(super) shard: String,
    /// The record's; of a batch the first and the last.
    pub(super) sequence_numbers: Vec<String>,
}

/// `None` of what is no failed record.
pub(super) fn location(kind: &Kind) -> Option<Location> {
    let name = |arn: &str| Source::new(arn).name();
    match kind {
        Kind::Letter(letter) => Some(Location {
            stream: name(&letter.record.source_arn),
            shard: letter.record.shard_id.clone(),
            sequence_numbers: vec![letter.record.sequence_number.clone()],
        }),
        Kind::OnFailure(batch) => {
            let mut sequence_numbers = vec![batch.first.clone(), batch.last.clone()];
            sequence_numbers.dedup();
            Some(Location { stream: name(&batch.source_arn), shard: batch.shard_id.clone(), sequence_numbers })
        }
        Kind::Other => None,
    }
}

/// When it failed, in milliseconds since the epoch.
pub(super) fn failed_ms(message: &Message) -> i64 {
    match &message.kind {
        Kind::OnFailure(batch) => batch.failed_ms,
        Kind::Letter(_) | Kind::Other => message.sent_ms,
    }
}

/// The record of a message that has one.
fn record(kind: &Kind) -> Option<&SourceRecord> {
    match kind {
        Kind::Letter(letter) if !letter.without_payload => Some(&letter.record),
        _ => None,
    }
}

/// A record's payload: JSON if it is that, else text, else base64.
pub(super) fn payload(record: &SourceRecord) -> Value {
    use base64::Engine as _;
    match &record.content {
        Content::Change { change, .. } => change.clone(),
        Content::Stream { data, .. } => match (serde_json::from_slice(data), std::str::from_utf8(data)) {
            (Ok(value), _) => value,
            (_, Ok(text)) => json!(text),
            _ => json!({ "base64": base64::engine::general_purpose::STANDARD.encode(data) }),
        },
    }
}

/// Asks a question about a message.
pub(super) fn with_facts<T>(
    message: &Message,
    flow: Option<&Flow>,
    now_ms: i64,
    ask: impl FnOnce(&Facts<'_>) -> T,
) -> T {
    facts_of(message, flow, record(&message.kind), now_ms, ask)
}

/// The same about one of the records of a message's batch.
pub(super) fn facts_of<T>(
    message: &Message,
    flow: Option<&Flow>,
    record: Option<&SourceRecord>,
    now_ms: i64,
    ask: impl FnOnce(&Facts<'_>) -> T,
) -> T {
    let (text, place) = (message.kind.message(), location(&message.kind));
    let (key, payload) = (record.map(SourceRecord::key), record.map(payload));
    let event_id = match (&message.kind, record) {
        (Kind::Letter(letter), _) => letter.event_id.clone(),
        (_, Some(record)) => record.event_id(),
        _ => String::new(),
    };
    let first = place.as_ref().and_then(|place| place.sequence_numbers.first()).map_or("", String::as_str);
    ask(&Facts {
        kind: message.kind.name(),
        code: message.kind.code(),
        message: &text,
        function: [flow.map_or("", |flow| &flow.key), message.kind.function().unwrap_or_default()],
        stream: place.as_ref().map_or("", |place| &place.stream),
        shard: place.as_ref().map_or("", |place| &place.shard),
        sequence: record.map_or(first, |record| &record.sequence_number),
        event_id: &event_id,
        key: key.as_deref(),
        payload: payload.as_ref(),
        failed_ms: failed_ms(message),
        now_ms,
    })
}

/// Asks a question about a record that has not failed; `functions` are the names of the one that it is for.
pub(in crate::commands) fn facts_of_record<T>(
    record: &SourceRecord,
    functions: [&str; 2],
    now_ms: i64,
    ask: impl FnOnce(&Facts<'_>) -> T,
) -> T {
    let (key, payload) = (record.key(), payload(record));
    ask(&Facts {
        kind: "record",
        function: functions,
        stream: &Source::new(&record.source_arn).name(),
        shard: &record.shard_id,
        sequence: &record.sequence_number,
        event_id: &record.event_id(),
        key: Some(&key),
        payload: Some(&payload),
        failed_ms: record.arrival_ms,
        now_ms,
        ..Facts::default()
    })
}

/// Seconds from then to now.
#[expect(clippy::cast_precision_loss, reason = "ages of messages are far below 2^52 ms")]
pub(super) fn age_seconds(then_ms: i64, now_ms: i64) -> f64 {
    (now_ms - then_ms).max(0) as f64 / 1_000.0
}
