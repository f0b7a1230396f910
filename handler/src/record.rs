//! The records of a batch, decoded from Lambda's JSON into what recipes process.

use serde::Deserialize;
use serde_json::value::RawValue;
use streamkit_recipes::{
    Change, ChangeKind, CopyOf, Item, Recipe, Record, Rejected, SourceKind, StreamRecord, UserIdentity, View,
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
        /// What it is a copy of, if it is one: recipes get that record in its place.
        copy_of: Option<CopyOf>,
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
            Content::Stream { shard_id, partition_key, own_id, copy_of, arrival_ms, data } => {
                let Ok(data) = data else { return Err(Rejected::new("not_base64", "data: not base64")) };
                let record = StreamRecord {
                    stream_arn: &self.source_arn,
                    shard_id,
                    sequence_number: &self.sequence_number,
                    partition_key: partition_key.as_deref().unwrap_or_default(),
                    arrival_ms: *arrival_ms,
                    data,
                    own_id: own_id.as_deref(),
                    sub_sequence_number: self.sub_sequence_number,
                };
                Ok(Record::Stream(match copy_of {
                    None => record,
                    Some(of) => StreamRecord {
                        stream_arn: &of.stream_arn,
                        shard_id: &of.shard_id,
                        sequence_number: &of.sequence_number,
                        arrival_ms: of.approximate_arrival_timestamp,
                        ..record
                    },
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
        if recipe.takes_records_as_they_lie() {
            records.push(as_it_lies(record, identity));
        } else {
            take_apart(record, identity, &mut records);
        }
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
/// no such one. Of a copy the payload says what it is a copy of, as the whole record does.
pub fn aggregated_record(payload: &[u8], sub_sequence_number: u64) -> Option<(String, Vec<u8>)> {
    let place = usize::try_from(sub_sequence_number).ok()?;
    let copied = CopyOf::read(payload);
    let payload = copied.as_ref().map_or(payload, |(_, original)| original);
    let record = user_records(payload)?.into_iter().nth(place)?;
    let data = copied.as_ref().map(|(of, _)| of.copy(&record.data));
    Some((record.partition_key, data.unwrap_or(record.data)))
}

/// The record with the identity that its payload says, and nothing of it taken apart.
fn as_it_lies(mut record: IncomingRecord, identity: &str) -> IncomingRecord {
    if let Content::Stream { data: Ok(data), own_id, .. } = &mut record.content {
        *own_id = streamkit_recipes::own_id(data, identity);
        if let Some(own_id) = own_id {
            record.event_id.clone_from(own_id);
        }
    }
    record
}

/// Adds the record to the others, or the records that it was aggregated from; of a copy, what it is a copy of.
fn take_apart(mut record: IncomingRecord, identity: &str, into: &mut Vec<IncomingRecord>) {
    let Content::Stream { shard_id, arrival_ms, data: Ok(data), own_id, copy_of, .. } = &mut record.content else {
        into.push(record);
        return;
    };
    if let Some((of, original)) = CopyOf::read(data) {
        // The same in all copies of the record, wherever they lie.
        record.event_id = of.place();
        (*copy_of, *data) = (Some(of), original);
    }
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
                copy_of: copy_of.clone(),
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
                copy_of: None,
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
mod tests;
