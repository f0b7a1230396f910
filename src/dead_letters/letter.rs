//! A dead letter of the handler: one record that was rejected, with its payload. `handler/src/dead_letter.rs` writes it.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use streamkit_handler::record::aggregated_record;

use super::batch::{is_expired, read_range};
use crate::aws::Clients;
use crate::records::{Content, Shard, Source, SourceRecord, order, source_arn};

/// A record that the recipe rejected.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Letter {
    /// The function's name in AWS.
    pub(crate) function: String,
    /// The record's identity: the event's own id, or its place.
    pub(crate) event_id: String,
    pub(crate) code: String,
    pub(crate) message: String,
    /// The record; with an empty payload if `payload_at` says so.
    pub(crate) record: SourceRecord,
    /// The letter was too large to have the payload: it is to be read where the record lies.
    pub(crate) without_payload: bool,
}

impl Letter {
    /// Reads a message's body; `None` if it is no letter of the handler's.
    pub(super) fn parse(body: &Value) -> Option<Self> {
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        let (function, event_id, arn) = (text("function")?, text("eventId")?, text("streamArn")?);
        let sequence_number = text("sequenceNumber")?;
        let without_payload = body.get("payloadAt").is_some();
        let payload = match (text("payload"), text("payloadBase64")) {
            (Some(text), _) => text.into_bytes(),
            (None, Some(base64)) => STANDARD.decode(base64).ok()?,
            (None, None) if without_payload => Vec::new(),
            (None, None) => return None,
        };
        let shard_id = text("shardId").unwrap_or_default();
        let (content, arrival_ms) = if let Some(event_name) = text("eventName") {
            let change: Value = if without_payload { Value::Null } else { serde_json::from_slice(&payload).ok()? };
            let seconds = change["ApproximateCreationDateTime"].as_f64().unwrap_or_default();
            let user_identity = body.get("userIdentity").cloned();
            let content = Content::Change { event_id: event_id.clone(), event_name, change, user_identity };
            #[expect(clippy::cast_possible_truncation, reason = "a conversion from float saturates")]
            let arrival_ms = (seconds * 1_000.0).round() as i64;
            (content, arrival_ms)
        } else {
            let content = Content::Stream {
                partition_key: text("partitionKey"),
                data: payload,
                sub_sequence_number: body["subSequenceNumber"].as_u64(),
            };
            (content, body["approximateArrivalTimestamp"].as_i64().unwrap_or_default())
        };
        Some(Self {
            function,
            event_id,
            code: body["error"]["code"].as_str()?.to_owned(),
            message: body["error"]["message"].as_str().unwrap_or_default().to_owned(),
            record: SourceRecord {
                source_arn: source_arn(&arn).to_owned(),
                shard_id,
                sequence_number,
                arrival_ms,
                content,
            },
            without_payload,
        })
    }
}

/// The record of a letter that has no payload, as the stream has it; `None` if it has expired.
///
/// # Errors
/// AWS's.
pub(crate) async fn reread_letter(aws: &Clients, letter: &Letter) -> anyhow::Result<Option<SourceRecord>> {
    let SourceRecord { source_arn, sequence_number: number, .. } = &letter.record;
    let source = Source::new(source_arn);
    let mut shards = vec![letter.record.shard_id.clone()];
    if source.is_table() {
        // A change does not name its shard.
        let holds = |shard: &Shard| {
            shard.first.as_ref().is_none_or(|first| order(first) <= order(number))
                && shard.last.as_ref().is_none_or(|last| order(number) <= order(last))
        };
        let all = source.shards(aws).await.with_context(|| format!("listing the shards of {}", source.name()))?;
        shards = all.into_iter().filter(holds).map(|shard| shard.id).collect();
    }
    for shard in shards {
        let mut found = None;
        match read_range(aws, &source, &shard, (number, number), 1, |record| found = Some(record)).await {
            Ok(()) => {
                if let Some(record) = found {
                    return Ok(part_of(record, &letter.record));
                }
            }
            Err(error) if is_expired(&error) => {}
            Err(error) => return Err(error).with_context(|| format!("reading {} again", source.name())),
        }
    }
    Ok(None)
}

/// The letter's part of the stream's record: others that were aggregated with it have not failed with it.
fn part_of(mut record: SourceRecord, rejected: &SourceRecord) -> Option<SourceRecord> {
    if let Content::Stream { sub_sequence_number: Some(sub), .. } = rejected.content
        && let Content::Stream { partition_key, data, sub_sequence_number } = &mut record.content
    {
        let (key, payload) = aggregated_record(data, sub)?;
        (*partition_key, *data, *sub_sequence_number) = (Some(key), payload, Some(sub));
    }
    Some(record)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use streamkit_handler::dead_letter::DeadLetter;
    use streamkit_handler::record::{Content as Incoming, IncomingRecord};
    use streamkit_recipes::Rejected;

    use super::*;

    fn record(data: &[u8]) -> IncomingRecord {
        IncomingRecord {
            event_id: "e-1".to_owned(),
            sequence_number: "42".to_owned(),
            sub_sequence_number: Some(3),
            source_arn: "arn:aws:kinesis:eu-west-1:123456789012:stream/s/consumer/c:17".to_owned(),
            content: Incoming::Stream {
                shard_id: "shardId-000000000001".to_owned(),
                partition_key: Some("k".to_owned()),
                own_id: Some("e-1".to_owned()),
                copy_of: None,
                arrival_ms: 1_700_000_000_123,
                data: Ok(data.to_vec()),
            },
            withheld: None,
            indexes: Vec::new(),
        }
    }

    #[test]
    fn what_the_handler_writes_is_read() {
        let rejected = Rejected::new("missing_field", "userId: missing");
        for data in [&b"{}"[..], b"\xff\x00"] {
            let body = DeadLetter::new("p", "p-f", &record(data), &rejected).body;
            let letter = Letter::parse(&serde_json::from_str(&body).unwrap()).unwrap();
            assert_eq!((&*letter.function, &*letter.code, &*letter.event_id), ("p-f", "missing_field", "e-1"));
            assert_eq!((letter.without_payload, letter.record.arrival_ms), (false, 1_700_000_000_123));
            assert_eq!(letter.record.source_arn, "arn:aws:kinesis:eu-west-1:123456789012:stream/s");
            let Content::Stream { data: read, sub_sequence_number, .. } = letter.record.content else { panic!() };
            assert_eq!((&read[..], sub_sequence_number), (data, Some(3)));
        }
        let body = DeadLetter::without_payload("p", "p-f", &record(b"{}"), &rejected).body;
        assert!(Letter::parse(&serde_json::from_str(&body).unwrap()).unwrap().without_payload);
    }

    #[test]
    fn a_letter_of_an_aggregated_record_is_its_part_alone() {
        // Two records with the key `k`, as the Kinesis Producer Library puts them.
        let message = b"\x0a\x01k\x1a\x07\x08\x00\x1a\x03one\x1a\x07\x08\x00\x1a\x03two";
        let digest = "4b3cbd0c236eeab538ceb004bc801de0";
        let data = [&[0xF3, 0x89, 0x9A, 0xC2], &message[..], &hex::decode(digest).unwrap()].concat();
        let of = |sub_sequence_number, data: &[u8]| SourceRecord {
            source_arn: "arn:aws:kinesis:r:1:stream/s".to_owned(),
            shard_id: "shardId-0".to_owned(),
            sequence_number: "1".to_owned(),
            arrival_ms: 0,
            content: Content::Stream { partition_key: Some("k".to_owned()), data: data.to_vec(), sub_sequence_number },
        };
        assert_eq!(part_of(of(None, &data), &of(Some(1), b"")), Some(of(Some(1), b"two")));
        assert_eq!(part_of(of(None, &data), &of(Some(2), b"")), None);
        assert_eq!(part_of(of(None, b"{}"), &of(None, b"")), Some(of(None, b"{}")));
    }

    #[test]
    fn what_is_no_letter_is_none() {
        for body in [json!({}), json!("text"), json!({ "function": "f", "eventId": "e", "streamArn": "a" })] {
            assert_eq!(Letter::parse(&body), None, "{body}");
        }
    }
}
