//! What Lambda sends and expects back: a batch of a Kinesis or a DynamoDB stream, and the partial batch response.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use streamkit_recipes::{Change, ChangeKind, Item, Record, Rejected, SourceKind, StreamRecord, UserIdentity, View};

/// An invocation's payload.
///
/// See <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html> and
/// <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// The batch, in the shard's order.
    #[serde(rename = "Records")]
    pub records: Vec<EventRecord>,
    /// Present if the mapping has a tumbling window.
    pub window: Option<IgnoredAny>,
    /// What the last invocation of the window gave back.
    pub state: Option<Value>,
    /// Whether the window is over; there are no records then.
    #[serde(default)]
    pub is_final_invoke_for_window: bool,
    /// Whether the window is over because its state grew too large.
    #[serde(default)]
    pub is_window_terminated_early: bool,
}

/// One record of an event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventRecord {
    /// `aws:kinesis` or `aws:dynamodb` for the records that this function understands.
    pub event_source: String,
    /// `<shard>:<sequence number>` for Kinesis, digits of DynamoDB's own otherwise.
    #[serde(rename = "eventID", default)]
    pub event_id: String,
    /// `INSERT`, `MODIFY` or `REMOVE` for DynamoDB.
    #[serde(default)]
    pub event_name: String,
    /// The region of the source.
    #[serde(default)]
    pub aws_region: String,
    /// The stream.
    #[serde(rename = "eventSourceARN", default)]
    pub source_arn: String,
    /// Present if the source is Kinesis.
    pub kinesis: Option<Kinesis>,
    /// Present if the source is DynamoDB. It is kept as it came, so that one that is not as it should be becomes one dead
    /// letter and not a failed batch.
    pub dynamodb: Option<Box<RawValue>>,
    /// Present if a service made the change.
    pub user_identity: Option<Identity>,
}

impl EventRecord {
    /// True when the text stands in the producer's key, or anywhere in a change.
    pub fn mentions(&self, text: &str) -> bool {
        self.kinesis.as_ref().is_some_and(|kinesis| kinesis.partition_key.contains(text))
            || self.dynamodb.as_ref().is_some_and(|change| change.get().contains(text))
    }
}

/// The part of a record that comes from Kinesis.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kinesis {
    /// The producer's key.
    #[serde(default)]
    pub partition_key: String,
    /// Unique in the shard.
    pub sequence_number: String,
    /// The payload in base64.
    #[serde(default)]
    pub data: String,
    /// Seconds since the epoch, with milliseconds as a fraction.
    #[serde(default)]
    pub approximate_arrival_timestamp: f64,
}

/// Who made a change.
#[derive(Debug, Deserialize)]
pub struct Identity {
    /// `Service`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The service.
    #[serde(rename = "principalId", default)]
    pub principal_id: String,
}

/// What of a change is needed even if the rest is not as it should be.
#[derive(Deserialize)]
struct ChangeHead {
    #[serde(rename = "SequenceNumber")]
    sequence_number: String,
}

/// The part of a record that comes from DynamoDB.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ChangeBody {
    /// Seconds since the epoch.
    approximate_creation_date_time: f64,
    keys: Item,
    new_image: Option<Item>,
    old_image: Option<Item>,
    #[serde(default)]
    size_bytes: u64,
    stream_view_type: String,
}

/// Which records to deliver again: Lambda starts at the lowest sequence number.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// The state of a tumbling window; none if the mapping has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Value>,
    /// Lowest first; empty if the whole batch is done.
    pub batch_item_failures: Vec<BatchItemFailure>,
}

/// One record that failed.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// The record's sequence number.
    pub item_identifier: String,
}

/// An event that this function cannot serve at all; Lambda retries the whole batch.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Not from the kind of source that the recipe reads.
    #[error("unsupported event source {found}: the recipe {recipe} reads {wanted}")]
    Source {
        /// What the event says.
        found: String,
        /// The recipe's name.
        recipe: &'static str,
        /// What the recipe reads.
        wanted: &'static str,
    },
    /// Says that it is from Kinesis or DynamoDB, and is not.
    #[error("the record {id} has no {part} part with a sequence number")]
    Incomplete {
        /// The record's identity.
        id: String,
        /// What is missing.
        part: &'static str,
    },
}

/// A record taken out of its event.
#[derive(Debug)]
pub struct Incoming {
    /// Lambda's identity of the record.
    pub event_id: String,
    /// Unique in the shard.
    pub sequence_number: String,
    /// The stream's ARN.
    pub source_arn: String,
    /// What is in it.
    pub content: Content,
}

/// What is in a record.
#[derive(Debug)]
pub enum Content {
    /// A record of a Kinesis stream.
    Stream {
        /// The shard.
        shard_id: String,
        /// The producer's key.
        partition_key: String,
        /// When the stream took the record, in milliseconds since the epoch.
        arrival_ms: i64,
        /// The payload; if it was not base64, what came instead.
        data: Result<Vec<u8>, String>,
    },
    /// A change of a table's item.
    Change {
        /// The table.
        table: String,
        /// `INSERT`, `MODIFY` or `REMOVE`.
        event_name: String,
        /// The change as it came: JSON.
        raw: Box<RawValue>,
        /// The change as recipes see it, or what is wrong with it.
        change: Result<Box<TableChange>, Rejected>,
    },
}

/// A change of a table's item.
#[derive(Debug)]
pub struct TableChange {
    kind: ChangeKind,
    region: String,
    created_ms: i64,
    size_bytes: u64,
    view: View,
    keys: Item,
    old: Option<Item>,
    new: Option<Item>,
    user: Option<Identity>,
}

impl Incoming {
    /// Returns the record as recipes see it, or the verdict on one that does not come so far.
    pub fn record(&self) -> Result<Record<'_>, Rejected> {
        match &self.content {
            Content::Stream { shard_id, partition_key, arrival_ms, data } => {
                let Ok(data) = data else { return Err(Rejected::new("not_base64", "data: not base64")) };
                Ok(Record::Stream(StreamRecord {
                    shard_id,
                    sequence_number: &self.sequence_number,
                    partition_key,
                    arrival_ms: *arrival_ms,
                    data,
                }))
            }
            Content::Change { table, change, .. } => {
                let change = change.as_ref().map_err(Clone::clone)?;
                let user = change.user.as_ref();
                Ok(Record::Change(Change {
                    event_id: &self.event_id,
                    sequence_number: &self.sequence_number,
                    kind: change.kind,
                    table,
                    region: &change.region,
                    created_ms: change.created_ms,
                    size_bytes: change.size_bytes,
                    view: change.view,
                    keys: &change.keys,
                    old: change.old.as_ref(),
                    new: change.new.as_ref(),
                    user: user.map(|user| UserIdentity { kind: &user.kind, principal_id: &user.principal_id }),
                }))
            }
        }
    }
}

/// Decodes a batch, brings it into the shard's order, and drops repetitions of a record.
pub fn decode(event: Event, recipe: &dyn streamkit_recipes::Recipe) -> Result<Vec<Incoming>, EventError> {
    let decode = |record| decode_record(record, recipe);
    let mut records = event.records.into_iter().map(decode).collect::<Result<Vec<_>, _>>()?;
    // Sequence numbers are decimal: of two, the longer is the greater.
    records.sort_by(|a, b| {
        let key = |record: &Incoming| (record.sequence_number.len(), record.sequence_number.clone());
        key(a).cmp(&key(b))
    });
    records.dedup_by(|a, b| a.sequence_number == b.sequence_number && a.event_id == b.event_id);
    Ok(records)
}

fn decode_record(record: EventRecord, recipe: &dyn streamkit_recipes::Recipe) -> Result<Incoming, EventError> {
    let (source, wanted) = match recipe.source() {
        SourceKind::Stream => ("aws:kinesis", "Kinesis streams"),
        SourceKind::Table => ("aws:dynamodb", "DynamoDB streams"),
    };
    if record.event_source != source {
        return Err(EventError::Source { found: record.event_source, recipe: recipe.name(), wanted });
    }
    let incomplete = |part| EventError::Incomplete { id: record.event_id.clone(), part };
    match recipe.source() {
        SourceKind::Stream => {
            let kinesis = record.kinesis.ok_or_else(|| incomplete("kinesis"))?;
            let shard_id = record.event_id.split_once(':').map_or("", |(shard, _)| shard);
            Ok(Incoming {
                content: Content::Stream {
                    shard_id: shard_id.to_owned(),
                    partition_key: kinesis.partition_key,
                    arrival_ms: millis(kinesis.approximate_arrival_timestamp),
                    data: STANDARD.decode(&kinesis.data).map_err(|_| kinesis.data),
                },
                event_id: record.event_id,
                sequence_number: kinesis.sequence_number,
                source_arn: record.source_arn,
            })
        }
        SourceKind::Table => {
            let raw = record.dynamodb.ok_or_else(|| incomplete("dynamodb"))?;
            let head: ChangeHead = serde_json::from_str(raw.get()).map_err(|_| incomplete("dynamodb"))?;
            let table = table_name(&record.source_arn).to_owned();
            let change = decode_change(&record.event_name, record.aws_region, record.user_identity, &raw);
            Ok(Incoming {
                event_id: record.event_id,
                sequence_number: head.sequence_number,
                source_arn: record.source_arn,
                content: Content::Change { table, event_name: record.event_name, raw, change: change.map(Box::new) },
            })
        }
    }
}

fn decode_change(
    event_name: &str,
    region: String,
    user: Option<Identity>,
    raw: &RawValue,
) -> Result<TableChange, Rejected> {
    let kind = ChangeKind::from_name(event_name)
        .ok_or_else(|| Rejected::new("invalid_change", "eventName: neither INSERT nor MODIFY nor REMOVE"))?;
    let body: ChangeBody = serde_json::from_str(raw.get()).map_err(|error| {
        // Only the place: serde_json's own sentence can quote the item.
        let message = format!("dynamodb: not as a table's stream has it, at column {}", error.column());
        Rejected::new("invalid_change", message)
    })?;
    let view = View::from_name(&body.stream_view_type)
        .ok_or_else(|| Rejected::new("invalid_change", "StreamViewType: none that DynamoDB has"))?;
    Ok(TableChange {
        kind,
        region,
        created_ms: millis(body.approximate_creation_date_time),
        size_bytes: body.size_bytes,
        view,
        keys: body.keys,
        old: body.old_image,
        new: body.new_image,
        user,
    })
}

/// The table's name in `arn:aws:dynamodb:<region>:<account>:table/<name>/stream/<label>`.
fn table_name(arn: &str) -> &str {
    arn.split_once(":table/").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default())
}

#[expect(clippy::cast_possible_truncation, reason = "saturates, and real times are far from the limits")]
fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Event {
        serde_json::from_str(json).unwrap()
    }

    fn kinesis(event: &str) -> Result<Vec<Incoming>, EventError> {
        decode(parse(event), streamkit_recipes::find("retail").unwrap())
    }

    fn dynamodb(event: &str) -> Result<Vec<Incoming>, EventError> {
        decode(parse(event), streamkit_recipes::find("changes").unwrap())
    }

    #[test]
    fn decode_reads_a_kinesis_event_as_lambda_sends_it() {
        let records = kinesis(
            r#"{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"k","sequenceNumber":"4959033827149",
            "data":"SGVsbG8=","approximateArrivalTimestamp":1545084650.987},"eventSource":"aws:kinesis","eventVersion":"1.0",
            "eventID":"shardId-000000000006:4959033827149","eventName":"aws:kinesis:record","awsRegion":"us-east-2",
            "invokeIdentityArn":"arn:aws:iam::123456789012:role/r",
            "eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/s"}]}"#,
        );
        let records = records.unwrap();
        let record = records[0].record().unwrap();
        let record = record.stream().unwrap();
        assert_eq!((record.shard_id, record.sequence_number), ("shardId-000000000006", "4959033827149"));
        assert_eq!((record.partition_key, record.arrival_ms, record.data), ("k", 1_545_084_650_987, &b"Hello"[..]));
        assert_eq!(record.id(), records[0].event_id);
        assert_eq!(records[0].source_arn, "arn:aws:kinesis:us-east-2:123456789012:stream/s");
    }

    #[test]
    fn decode_reads_a_dynamodb_event_as_lambda_sends_it() {
        let records = dynamodb(
            r#"{"Records":[{"eventID":"c4ca4238a0b923820dcc509a6f75849b","eventName":"REMOVE","eventVersion":"1.1",
            "eventSource":"aws:dynamodb","awsRegion":"us-east-2","dynamodb":{"ApproximateCreationDateTime":1.7E9,
            "Keys":{"Id":{"N":"101"}},"OldImage":{"Id":{"N":"101"},"B":{"B":"/w=="}},"SequenceNumber":"4421584500000000017450439091",
            "SizeBytes":26,"StreamViewType":"NEW_AND_OLD_IMAGES"},
            "userIdentity":{"type":"Service","principalId":"dynamodb.amazonaws.com"},
            "eventSourceARN":"arn:aws:dynamodb:us-east-2:123456789012:table/my.table/stream/2024-06-10T19:26:16.525"}]}"#,
        );
        let records = records.unwrap();
        let record = records[0].record().unwrap();
        let change = record.change().unwrap();
        assert_eq!((change.event_id, change.kind), ("c4ca4238a0b923820dcc509a6f75849b", ChangeKind::Remove));
        assert_eq!((change.sequence_number, change.created_ms), ("4421584500000000017450439091", 1_700_000_000_000));
        assert_eq!((change.table, change.region, change.size_bytes), ("my.table", "us-east-2", 26));
        assert_eq!(
            (change.view, change.new.is_none(), change.old.map(Item::len)),
            (View::NewAndOldImages, true, Some(2))
        );
        assert!(change.is_expiry());
    }

    #[test]
    fn decode_orders_by_number_and_drops_repetitions() {
        let record = |sequence: &str| {
            format!(
                r#"{{"eventSource":"aws:kinesis","eventID":"s:{sequence}","kinesis":{{"sequenceNumber":"{sequence}"}}}}"#
            )
        };
        let event = format!(r#"{{"Records":[{}]}}"#, ["10", "9", "100", "9"].map(record).join(","));
        let sequences: Vec<_> = kinesis(&event).unwrap().into_iter().map(|r| r.sequence_number).collect();
        assert_eq!(sequences, ["9", "10", "100"]);
    }

    #[test]
    fn decode_keeps_a_record_that_is_not_base64() {
        let event = r#"{"Records":[{"eventSource":"aws:kinesis","kinesis":{"sequenceNumber":"1","data":"%%%"}}]}"#;
        assert_eq!(kinesis(event).unwrap()[0].record().unwrap_err().code, "not_base64");
    }

    const BAD: &str = "invalid_change";

    /// Every way in which a change's field can be wrong: what is there is told, and nothing is dropped.
    #[test]
    fn decode_keeps_a_change_that_is_not_as_it_should_be() {
        let usual = [
            ("ApproximateCreationDateTime", "1700000000.5"),
            ("Keys", r#"{"a":{"S":"x"}}"#),
            ("NewImage", r#"{"a":{"S":"x"},"n":{"N":"1"}}"#),
            ("OldImage", r#"{"a":{"S":"x"}}"#),
            ("SizeBytes", "26"),
            ("StreamViewType", "\"NEW_AND_OLD_IMAGES\""),
        ];
        let verdict = |name: &str, changed: &str, value: &str| {
            let of = |(field, usual): (&str, &str)| match (field == changed, value) {
                (true, "") => String::new(),
                (true, value) => format!(r#","{field}":{value}"#),
                (false, _) => format!(r#","{field}":{usual}"#),
            };
            let fields: String = usual.map(of).concat();
            let event = format!(
                r#"{{"Records":[{{"eventSource":"aws:dynamodb","eventID":"e","eventName":{name},"dynamodb":{{"SequenceNumber":"1"{fields}}}}}]}}"#
            );
            let records = dynamodb(&event).unwrap();
            assert_eq!(records.len(), 1, "nothing is dropped");
            let process = |record: Record<'_>| streamkit_recipes::find("changes").unwrap().process(&record, 0);
            records[0].record().and_then(process).err().map_or("", |rejected| rejected.code)
        };
        for name in ["INSERT", "MODIFY", "REMOVE"] {
            assert_eq!(verdict(&format!("\"{name}\""), "", ""), "");
        }
        assert_eq!(verdict("\"UPSERT\"", "", ""), "invalid_change");
        assert_eq!(verdict("\"modify\"", "", ""), "invalid_change");
        for (field, values) in [
            (
                "ApproximateCreationDateTime",
                &[("", BAD), ("null", BAD), ("\"1\"", BAD), ("-1", ""), ("1e300", "out_of_range")][..],
            ),
            (
                "Keys",
                &[
                    ("", BAD),
                    ("null", BAD),
                    ("[]", BAD),
                    ("{}", "missing_field"),
                    (r#"{"a":"x"}"#, BAD),
                    (r#"{"a":{"S":7}}"#, BAD),
                    (r#"{"a":{"S":null}}"#, BAD),
                    (r#"{"a":{"N":1}}"#, BAD),
                    (r#"{"a":{"Z":"x"}}"#, BAD),
                    (r#"{"a":{"S":"x","N":"1"}}"#, BAD),
                    (r#"{"a":{"S":"\ud800"}}"#, BAD),
                    (r#"{"a":{"B":"%"}}"#, BAD),
                ],
            ),
            (
                "NewImage",
                &[
                    ("", "missing_field"),
                    ("null", "missing_field"),
                    ("7", BAD),
                    ("{}", ""),
                    (r#"{"n":{"N":"-1e125"}}"#, ""),
                    (r#"{"n":{"NS":["1",2]}}"#, BAD),
                    (r#"{"n":{"L":[{"M":{"deep":{"NULL":"yes"}}}]}}"#, BAD),
                ],
            ),
            ("OldImage", &[("", "missing_field"), ("null", "missing_field"), ("\"x\"", BAD)]),
            ("SizeBytes", &[("", ""), ("null", BAD), ("-1", BAD), ("1.5", BAD), ("\"26\"", BAD)]),
            (
                "StreamViewType",
                &[("", BAD), ("null", BAD), ("7", BAD), ("\"ALL\"", BAD), ("\"KEYS_ONLY\"", ""), ("\"NEW_IMAGE\"", "")],
            ),
        ] {
            for (value, expected) in values {
                assert_eq!(verdict("\"MODIFY\"", field, value), *expected, "{field}: {value}");
            }
        }
    }

    #[test]
    fn decode_refuses_other_sources() {
        let found = |result: Result<_, EventError>| match result.unwrap_err() {
            EventError::Source { found, .. } => found,
            EventError::Incomplete { part, .. } => part.to_owned(),
        };
        let sqs = r#"{"Records":[{"messageId":"m","body":"{}","eventSource":"aws:sqs"}]}"#;
        assert_eq!(found(kinesis(sqs)), "aws:sqs");
        assert_eq!(found(dynamodb(r#"{"Records":[{"eventSource":"aws:kinesis"}]}"#)), "aws:kinesis");
        assert_eq!(found(kinesis(r#"{"Records":[{"eventID":"x","eventSource":"aws:kinesis"}]}"#)), "kinesis");
        assert_eq!(found(dynamodb(r#"{"Records":[{"eventSource":"aws:dynamodb","dynamodb":{}}]}"#)), "dynamodb");
        assert!(serde_json::from_str::<Event>(r#"{"hello":1}"#).is_err());
    }
}
