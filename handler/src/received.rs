//! The records of a batch as they came, for recipes that look at a batch as a whole: of each no more is read than its place.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use streamkit_recipes::{ReceivedRecord, Recipe, SourceKind};

use crate::event::{Event, EventError, EventRecord, source_kind};
use crate::record::{IncomingRecord, decode_record, millis};

/// The records of a batch, in the order of their shards, each once.
#[derive(Debug)]
pub struct ReceivedBatch<'a>(Vec<Head<'a>>);

/// What has to be known of a record.
#[derive(Debug)]
struct Head<'a> {
    source_arn: Cow<'a, str>,
    shard_id: Cow<'a, str>,
    sequence_number: Cow<'a, str>,
    arrival_ms: i64,
    json: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordHead<'a> {
    #[serde(borrow)]
    event_source: Cow<'a, str>,
    #[serde(borrow, rename = "eventID", default)]
    event_id: Cow<'a, str>,
    #[serde(borrow, rename = "eventSourceARN", default)]
    source_arn: Cow<'a, str>,
    #[serde(borrow)]
    kinesis: Option<KinesisHead<'a>>,
    #[serde(borrow)]
    dynamodb: Option<ChangeHead<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KinesisHead<'a> {
    #[serde(borrow)]
    sequence_number: Cow<'a, str>,
    /// Seconds since the epoch, with milliseconds as a fraction.
    #[serde(default)]
    approximate_arrival_timestamp: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ChangeHead<'a> {
    #[serde(borrow)]
    sequence_number: Cow<'a, str>,
    /// Seconds since the epoch.
    #[serde(default)]
    approximate_creation_date_time: f64,
}

impl<'a> ReceivedBatch<'a> {
    /// Finds the places of an event's records.
    pub fn of(event: &Event<&'a RawValue>, recipe: &dyn Recipe) -> Result<Self, EventError> {
        let heads: Result<Vec<_>, _> = event.records.iter().map(|json| head(json.get(), recipe)).collect();
        let mut heads = heads?;
        heads.sort_by(|a, b| a.place().cmp(&b.place()));
        heads.dedup_by(|a, b| a.place() == b.place());
        Ok(Self(heads))
    }

    /// The records as recipes take them.
    pub fn records(&self) -> Vec<ReceivedRecord<'_>> {
        let records = self.0.iter().map(|head| ReceivedRecord {
            source_arn: &head.source_arn,
            shard_id: &head.shard_id,
            sequence_number: &head.sequence_number,
            arrival_ms: head.arrival_ms,
            json: head.json,
        });
        records.collect()
    }
}

impl Head<'_> {
    /// Sequence numbers are decimal: of two, the longer is the greater.
    fn place(&self) -> (&str, &str, usize, &str) {
        (&self.source_arn, &self.shard_id, self.sequence_number.len(), &self.sequence_number)
    }
}

fn head<'a>(json: &'a str, recipe: &dyn Recipe) -> Result<Head<'a>, EventError> {
    let Ok(RecordHead { event_source, event_id, source_arn, kinesis, dynamodb }) = serde_json::from_str(json) else {
        // The whole record says what it lacks.
        whole(json, recipe)?;
        return Err(EventError::Incomplete { id: String::new(), part: "readable" });
    };
    let kind = source_kind(&event_source, recipe)?;
    let (place, part) = if kind == SourceKind::Stream {
        (kinesis.map(|of| (of.sequence_number, of.approximate_arrival_timestamp)), "kinesis")
    } else {
        (dynamodb.map(|of| (of.sequence_number, of.approximate_creation_date_time)), "dynamodb")
    };
    let (sequence_number, arrival) =
        place.ok_or_else(|| EventError::Incomplete { id: event_id.clone().into_owned(), part })?;
    // `<shard>:<sequence number>`; the identity of a table's change does not say its shard.
    let shard_id = match (kind, event_id) {
        (SourceKind::Stream, Cow::Borrowed(id)) => Cow::Borrowed(id.split_once(':').map_or("", |(shard, _)| shard)),
        (SourceKind::Stream, Cow::Owned(id)) => {
            Cow::Owned(id.split_once(':').map_or("", |(shard, _)| shard).to_owned())
        }
        _ => Cow::Borrowed(""),
    };
    Ok(Head { source_arn, shard_id, sequence_number, arrival_ms: millis(arrival), json })
}

/// A record with all that it says, for messages about it.
pub(crate) fn whole(json: &str, recipe: &dyn Recipe) -> Result<IncomingRecord, EventError> {
    let unreadable = |_| EventError::Incomplete { id: String::new(), part: "readable" };
    let record: EventRecord = serde_json::from_str(json).map_err(unreadable)?;
    decode_record(record, recipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(event: &str) -> Result<Vec<(String, String, i64)>, EventError> {
        let event: Event<&RawValue> = serde_json::from_str(event).unwrap();
        let batch = ReceivedBatch::of(&event, streamkit_recipes::find("archive").unwrap())?;
        let place = |record: ReceivedRecord<'_>| {
            (record.shard_id.to_owned(), record.sequence_number.to_owned(), record.arrival_ms)
        };
        Ok(batch.records().into_iter().map(place).collect())
    }

    fn place(shard: &str, number: &str, arrival_ms: i64) -> (String, String, i64) {
        (shard.to_owned(), number.to_owned(), arrival_ms)
    }

    #[test]
    fn records_are_put_in_order_and_each_is_there_once() {
        let record = |number: &str| {
            format!(
                r#"{{"eventSource":"aws:kinesis","eventID":"s:{number}","kinesis":{{"sequenceNumber":"{number}",
                "data":"%%%","approximateArrivalTimestamp":1545084650.987}}}}"#
            )
        };
        let event = format!(r#"{{"Records":[{}]}}"#, ["10", "9", "100", "9"].map(record).join(","));
        let expected = ["9", "10", "100"].map(|number| place("s", number, 1_545_084_650_987));
        assert_eq!(batch(&event).unwrap(), expected);
    }

    #[test]
    fn changes_of_a_table_are_taken_too_whatever_their_images() {
        let event = r#"{"Records":[{"eventSource":"aws:dynamodb","eventID":"e:1","eventName":"NEW",
            "dynamodb":{"SequenceNumber":"7","ApproximateCreationDateTime":1.7E9,"NewImage":7}}]}"#;
        assert_eq!(batch(event).unwrap(), [place("", "7", 1_700_000_000_000)]);
    }

    #[test]
    fn what_comes_from_elsewhere_or_has_no_place_is_refused() {
        let message = |event: &str| batch(event).unwrap_err().to_string();
        let sqs = r#"{"Records":[{"messageId":"m","body":"{}","eventSource":"aws:sqs"}]}"#;
        assert_eq!(
            message(sqs),
            "unsupported event source aws:sqs: the recipe archive reads Kinesis streams and DynamoDB streams"
        );
        let incomplete = r#"{"Records":[{"eventID":"x","eventSource":"aws:kinesis"}]}"#;
        assert_eq!(message(incomplete), "the record x has no kinesis part with a sequence number");
        assert!(batch(r#"{"Records":[{"eventSource":7}]}"#).is_err());
        assert!(batch(r#"{"Records":[{"eventSource":"aws:dynamodb","dynamodb":{}}]}"#).is_err());
    }
}
