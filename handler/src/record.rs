//! The records of a batch, decoded from Lambda's JSON into what recipes process.

use serde::Deserialize;
use serde_json::value::RawValue;
use streamkit_recipes::{
    Change, ChangeKind, Item, Recipe, Record, Rejected, SourceKind, StreamRecord, UserIdentity, View,
};

use crate::aggregated::user_records;
use crate::encryption::Withheld;
use crate::event::{Event, EventError, EventRecord, Identity};

/// A record of a batch.
#[derive(Debug)]
pub struct IncomingRecord {
    /// The record's identity: the event's own id, or else the record's place.
    pub event_id: String,
    /// Unique in the shard.
    pub sequence_number: String,
    /// Its place among the records that the Kinesis Producer Library put into one of the stream's.
    pub sub_sequence_number: Option<u64>,
    /// The stream's ARN.
    pub source_arn: String,
    /// Its content.
    pub content: Content,
    /// What is known of a payload that is not kept, since its fields can't be encrypted.
    pub withheld: Option<Withheld>,
    /// Attributes for the items that follow from it: keyed hashes of encrypted fields.
    pub indexes: Vec<(String, String)>,
}

/// The content of a record.
#[derive(Debug)]
pub enum Content {
    /// A record of a Kinesis stream.
    Stream {
        /// The shard.
        shard_id: String,
        /// The producer's key, if it has one.
        partition_key: Option<String>,
        /// The event's own id, if it has one.
        own_id: Option<String>,
        /// When the stream took the record, in milliseconds since the epoch.
        arrival_ms: i64,
        /// The payload, or the text as it was received if that is not base64.
        data: Result<Vec<u8>, String>,
    },
    /// A change of a table's item.
    Change {
        /// The table.
        table: String,
        /// `INSERT`, `MODIFY` or `REMOVE`.
        event_name: String,
        /// The change as it was received: JSON.
        raw: Box<RawValue>,
        /// The change as recipes process it, or why it is invalid.
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

impl TableChange {
    /// About when the change was made, in milliseconds since the epoch.
    pub(crate) fn created_ms(&self) -> i64 {
        self.created_ms
    }

    /// The item's key, and its images.
    pub(crate) fn items_mut(&mut self) -> impl Iterator<Item = &mut Item> {
        std::iter::once(&mut self.keys).chain(&mut self.old).chain(&mut self.new)
    }

    /// The same, by the names that a stream has for them.
    pub(crate) fn images(&self) -> impl Iterator<Item = (&'static str, &Item)> {
        let images = [("Keys", Some(&self.keys)), ("OldImage", self.old.as_ref()), ("NewImage", self.new.as_ref())];
        images.into_iter().filter_map(|(name, item)| Some((name, item?)))
    }

    /// Who made the change, where that was a service.
    pub(crate) fn user(&self) -> Option<&Identity> {
        self.user.as_ref()
    }
}

impl IncomingRecord {
    /// Returns the record as recipes process it, or why it can't be decoded.
    pub fn record(&self) -> Result<Record<'_>, Rejected> {
        if let Some(withheld) = &self.withheld {
            return Err(withheld.rejected.clone());
        }
        match &self.content {
            Content::Stream { shard_id, partition_key, own_id, arrival_ms, data } => {
                let Ok(data) = data else { return Err(Rejected::new("not_base64", "data: not base64")) };
                Ok(Record::Stream(StreamRecord {
                    shard_id,
                    sequence_number: &self.sequence_number,
                    partition_key: partition_key.as_deref().unwrap_or_default(),
                    arrival_ms: *arrival_ms,
                    data,
                    own_id: own_id.as_deref(),
                    sub_sequence_number: self.sub_sequence_number,
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

/// The part of a change that is needed even if the rest is invalid.
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

/// Decodes a batch, takes aggregated records apart, sorts it into the shard's order, and drops duplicates of a record.
/// `identity` is the field in which an event has its own id.
pub fn decode(event: Event, recipe: &dyn Recipe, identity: &str) -> Result<Vec<IncomingRecord>, EventError> {
    let mut records = Vec::with_capacity(event.records.len());
    for record in event.records {
        let record = decode_record(record, recipe)?;
        take_apart(record, identity, &mut records);
    }
    records.sort_by(|a, b| place(a).cmp(&place(b)));
    records.dedup_by(|a, b| place(a) == place(b) && a.event_id == b.event_id);
    Ok(records)
}

/// What a record's place goes by. Sequence numbers are decimal: of two, the longer is the greater.
fn place(record: &IncomingRecord) -> (usize, &str, Option<u64>) {
    (record.sequence_number.len(), &record.sequence_number, record.sub_sequence_number)
}

/// The partition key and the payload of one of the records that a record of the stream was aggregated from; `None` where it has
/// no such one.
pub fn aggregated_record(payload: &[u8], sub_sequence_number: u64) -> Option<(String, Vec<u8>)> {
    let place = usize::try_from(sub_sequence_number).ok()?;
    let record = user_records(payload)?.into_iter().nth(place)?;
    Some((record.partition_key, record.data))
}

/// Adds the record to the others, or the records that it was aggregated from.
fn take_apart(mut record: IncomingRecord, identity: &str, into: &mut Vec<IncomingRecord>) {
    let Content::Stream { shard_id, arrival_ms, data: Ok(data), own_id, .. } = &mut record.content else {
        into.push(record);
        return;
    };
    let played = record.sub_sequence_number;
    let Some(user_records) = user_records(data).filter(|_| played.is_none()) else {
        *own_id = streamkit_recipes::own_id(data, identity);
        if let Some(own_id) = own_id {
            record.event_id.clone_from(own_id);
        } else if let Some(sub) = played {
            record.event_id = format!("{}:{sub}", record.event_id);
        }
        into.push(record);
        return;
    };
    into.extend(user_records.into_iter().zip(0..).map(|(user, sub)| {
        let own_id = streamkit_recipes::own_id(&user.data, identity);
        IncomingRecord {
            event_id: own_id.clone().unwrap_or_else(|| format!("{}:{sub}", record.event_id)),
            sequence_number: record.sequence_number.clone(),
            sub_sequence_number: Some(sub),
            source_arn: record.source_arn.clone(),
            content: Content::Stream {
                shard_id: shard_id.clone(),
                partition_key: Some(user.partition_key),
                own_id,
                arrival_ms: *arrival_ms,
                data: Ok(user.data),
            },
            withheld: None,
            indexes: Vec::new(),
        }
    }));
}

pub(crate) fn decode_record(record: EventRecord, recipe: &dyn Recipe) -> Result<IncomingRecord, EventError> {
    let source = record.event_source.kind(recipe)?;
    let incomplete = |part| EventError::Incomplete { id: record.event_id.clone(), part };
    if source == SourceKind::Stream {
        let kinesis = record.kinesis.ok_or_else(|| incomplete("kinesis"))?;
        let shard_id = record.event_id.split_once(':').map_or("", |(shard, _)| shard);
        return Ok(IncomingRecord {
            content: Content::Stream {
                shard_id: shard_id.to_owned(),
                partition_key: kinesis.partition_key,
                own_id: None,
                arrival_ms: millis(kinesis.approximate_arrival_timestamp),
                data: kinesis.data.0,
            },
            event_id: record.event_id,
            sequence_number: kinesis.sequence_number,
            sub_sequence_number: kinesis.sub_sequence_number,
            source_arn: record.source_arn,
            withheld: None,
            indexes: Vec::new(),
        });
    }
    let raw = record.dynamodb.ok_or_else(|| incomplete("dynamodb"))?;
    let head: ChangeHead = serde_json::from_str(raw.get()).map_err(|_| incomplete("dynamodb"))?;
    let table = table_name(&record.source_arn).to_owned();
    let change = decode_change(&record.event_name.0, record.aws_region, record.user_identity, &raw);
    Ok(IncomingRecord {
        event_id: record.event_id,
        sequence_number: head.sequence_number,
        sub_sequence_number: None,
        source_arn: record.source_arn,
        content: Content::Change {
            table,
            event_name: record.event_name.0.into_owned(),
            raw,
            change: change.map(Box::new),
        },
        withheld: None,
        indexes: Vec::new(),
    })
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
pub(crate) fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use streamkit_recipes::IDENTITY_FIELD;

    use super::*;
    use crate::aggregated::aggregate;

    fn parse(json: &str) -> Event {
        serde_json::from_str(json).unwrap()
    }

    fn kinesis(event: &str) -> Result<Vec<IncomingRecord>, EventError> {
        decode(parse(event), streamkit_recipes::find("retail").unwrap(), IDENTITY_FIELD)
    }

    fn dynamodb(event: &str) -> Result<Vec<IncomingRecord>, EventError> {
        decode(parse(event), streamkit_recipes::find("changes").unwrap(), IDENTITY_FIELD)
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

    fn stream_event(records: &[(&str, Option<&str>, &[u8])]) -> String {
        let record = |(sequence, key, data): &(&str, Option<&str>, &[u8])| {
            serde_json::json!({"eventSource": "aws:kinesis", "eventID": format!("shardId-000000000000:{sequence}"),
                "kinesis": {"sequenceNumber": sequence, "partitionKey": key, "data": STANDARD.encode(data)}})
        };
        serde_json::json!({ "Records": records.iter().map(record).collect::<Vec<_>>() }).to_string()
    }

    #[test]
    fn decode_takes_aggregated_records_apart() {
        let whole = aggregate(&[("a", b"one"), ("b", br#"{"eventId":"e-2"}"#), ("a", b"three")]);
        let records = kinesis(&stream_event(&[("9", Some("x"), b"after"), ("8", Some("y"), &whole)])).unwrap();
        let found: Vec<_> = records
            .iter()
            .map(|incoming| {
                let record = incoming.record().unwrap();
                let record = *record.stream().unwrap();
                assert_eq!(record.id(), incoming.event_id);
                (
                    record.sequence_number.to_owned(),
                    record.partition_key.to_owned(),
                    incoming.event_id.clone(),
                    record.data.to_vec(),
                )
            })
            .collect();
        let expected = |sequence: &str, key: &str, id: &str, data: &[u8]| {
            (sequence.to_owned(), key.to_owned(), id.to_owned(), data.to_vec())
        };
        assert_eq!(
            found,
            [
                expected("8", "a", "shardId-000000000000:8:0", b"one"),
                expected("8", "b", "e-2", br#"{"eventId":"e-2"}"#),
                expected("8", "a", "shardId-000000000000:8:2", b"three"),
                expected("9", "x", "shardId-000000000000:9", b"after"),
            ]
        );
    }

    #[test]
    fn decode_knows_an_event_by_its_own_id_wherever_it_lies() {
        let data = br#"{"eventId":"e-1","orderId":7}"#;
        let event = stream_event(&[("1", Some("k"), data), ("2", Some("k"), data)]);
        let ids = |field: &str| {
            let records = decode(parse(&event), streamkit_recipes::find("retail").unwrap(), field).unwrap();
            records.into_iter().map(|record| record.event_id).collect::<Vec<_>>()
        };
        assert_eq!(ids("eventId"), ["e-1", "e-1"]);
        assert_eq!(ids("orderId"), ["7", "7"]);
        assert_eq!(ids("customer"), ["shardId-000000000000:1", "shardId-000000000000:2"]);
    }

    #[test]
    fn decode_takes_records_without_a_partition_key() {
        let records = kinesis(&stream_event(&[("1", None, b"{}")])).unwrap();
        let record = records[0].record().unwrap();
        assert_eq!(record.stream().unwrap().partition_key, "");
        let Content::Stream { partition_key, .. } = &records[0].content else { panic!("a stream's record") };
        assert_eq!(*partition_key, None);
    }

    #[test]
    fn decode_keeps_a_record_that_is_not_base64() {
        let event = r#"{"Records":[{"eventSource":"aws:kinesis","kinesis":{"sequenceNumber":"1","data":"%%%"}}]}"#;
        assert_eq!(kinesis(event).unwrap()[0].record().unwrap_err().code, "not_base64");
    }

    const BAD: &str = "invalid_change";

    /// Every way in which a change's field can be wrong: the error is reported, and no record is dropped.
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
            EventError::Window => "window".to_owned(),
        };
        let sqs = r#"{"Records":[{"messageId":"m","body":"{}","eventSource":"aws:sqs"}]}"#;
        assert_eq!(found(kinesis(sqs)), "aws:sqs");
        assert_eq!(found(dynamodb(r#"{"Records":[{"eventSource":"aws:kinesis"}]}"#)), "aws:kinesis");
        assert_eq!(found(kinesis(r#"{"Records":[{"eventID":"x","eventSource":"aws:kinesis"}]}"#)), "kinesis");
        assert_eq!(found(dynamodb(r#"{"Records":[{"eventSource":"aws:dynamodb","dynamodb":{}}]}"#)), "dynamodb");
        assert!(serde_json::from_str::<Event>(r#"{"hello":1}"#).is_err());
    }
}
