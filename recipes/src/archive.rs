//! The archive recipe: the records of any stream or table, as they came, as compressed objects by source, hour and shard, which
//! are never overwritten, and a notification for each object.
//!
//! Each line of an object is one entry of `Records` of Lambda's event, with all that is the record's identity, so that it can be
//! played again as the same one.

use std::io::Write as _;
use std::ops::Range;

use flate2::{Compression, GzBuilder};

use crate::time::{FOUR_DIGIT_YEARS, iso_8601};
use crate::{
    Aggregation, BatchPart, Batched, Count, Effects, Needs, Notification, Object, ReceivedRecord, Recipe, Record,
    Rejected, Sampled, Samples, SourceKind, Unit,
};

/// The key prefix of all objects.
const PREFIX: &str = "archive/";

/// In place of the shard, for changes of a table: their events don't name it.
const OF_TABLE: &str = "changes";

/// The digits of a Kinesis stream's sequence numbers, which are the longest: filled up to as many, numbers of texts are in order.
const DIGITS: usize = 56;

/// SNS's limit for a subject.
const SUBJECT_MAX_CHARS: usize = 100;

const HOUR_MS: i64 = 60 * 60 * 1000;

/// The quickest: records have most of their bytes in common, which any level finds.
const LEVEL: Compression = Compression::new(1);

/// The recipe; it has no state.
#[derive(Debug)]
pub(crate) struct Archive;

impl Recipe for Archive {
    fn name(&self) -> &'static str {
        "archive"
    }

    fn about(&self) -> &'static str {
        "Keeps all records of a stream or table as they came (Kinesis or DynamoDB to S3)"
    }

    fn source(&self) -> SourceKind {
        SourceKind::Any
    }

    fn needs(&self) -> Needs {
        Needs { bucket: Some(PREFIX), optional_topic: true, ..Needs::default() }
    }

    fn namespace(&self) -> &'static str {
        "Archive"
    }

    fn metrics(&self) -> &'static [(&'static str, &'static [&'static str])] {
        &[("ArchivedObjects", &[]), ("ArchivedBytes", &[])]
    }

    fn batched(&self) -> Option<&dyn Batched> {
        Some(self)
    }

    fn process(&self, _record: &Record<'_>, _now_ms: i64) -> Result<Effects, Rejected> {
        Ok(Effects::new())
    }
}

impl Sampled for Archive {
    fn samples(&self) -> Samples<'_> {
        Samples::OfOthers
    }
}

impl Batched for Archive {
    fn process(&self, records: &[ReceivedRecord<'_>], bucket: &str) -> Vec<BatchPart> {
        let part =
            |range: Range<usize>| BatchPart { effects: effects(&records[range.clone()], bucket), records: range };
        parts(records).into_iter().map(part).collect()
    }
}

/// The records that go into one object each: those of one shard and hour that follow each other.
fn parts(records: &[ReceivedRecord<'_>]) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let (mut start, mut hour) = (0, i64::MIN);
    for (place, record) in records.iter().enumerate() {
        let before = place.checked_sub(1).map(|before| &records[before]);
        let same_shard =
            before.is_some_and(|before| (before.source_arn, before.shard_id) == (record.source_arn, record.shard_id));
        let own = hour_of(record);
        // Times of arrival are approximate: one that goes back by a moment does not change the order of objects.
        if !same_shard || own > hour {
            if place > start {
                parts.push(start..place);
            }
            (start, hour) = (place, own);
        }
    }
    if start < records.len() {
        parts.push(start..records.len());
    }
    parts
}

/// Hours since the epoch.
fn hour_of(record: &ReceivedRecord<'_>) -> i64 {
    record.arrival_ms.clamp(*FOUR_DIGIT_YEARS.start(), *FOUR_DIGIT_YEARS.end()) / HOUR_MS
}

/// One object with these records, of which there is one at least, its notification, and what they count for.
fn effects(records: &[ReceivedRecord<'_>], bucket: &str) -> Effects {
    let (first, last) = (&records[0], &records[records.len() - 1]);
    let body = compressed(records);
    let key = key(first, last, records.len(), &body);
    let time = |ms: Option<i64>| ms.and_then(iso_8601);
    let arrivals = || records.iter().map(|record| record.arrival_ms);
    let (source, bytes) = (first.source_name(), body.len());
    let mut message = serde_json::json!({
        "bucket": bucket,
        "key": key,
        "source": source,
        "records": records.len(),
        "firstSequenceNumber": first.sequence_number,
        "lastSequenceNumber": last.sequence_number,
        "firstArrival": time(arrivals().min()),
        "lastArrival": time(arrivals().max()),
        "bytes": bytes,
    });
    if !first.shard_id.is_empty() {
        message["shard"] = first.shard_id.into();
    }
    let attributes = [
        ("source", source),
        ("shard", first.shard_id),
        ("key", &key),
        // A subscriber that is told of an object twice knows it by these.
        ("sequenceNumber", first.sequence_number),
    ];
    let attributes = attributes.into_iter().filter(|(_, value)| !value.is_empty());
    let mut subject = format!("{} of {source} archived", counted(records.len()));
    subject.truncate(SUBJECT_MAX_CHARS);
    let notification = Notification {
        subject,
        message: message.to_string(),
        attributes: attributes.map(|(name, value)| (name, value.to_owned())).collect(),
    };
    #[expect(clippy::cast_precision_loss, reason = "a batch has at most six megabytes")]
    let bytes = Count {
        metric: "ArchivedBytes",
        value: bytes as f64,
        unit: Unit::Bytes,
        aggregation: Aggregation::Sum,
        dimensions: Vec::new(),
    };
    Effects::new()
        .object(Object { key, body, content_type: "application/gzip", keep_existing: true })
        .notification(notification)
        .count(Count::one("ArchivedObjects"))
        .count(bytes)
}

fn counted(records: usize) -> String {
    if records == 1 { "1 record".to_owned() } else { format!("{records} records") }
}

/// `archive/<source>/<year>/<month>/<day>/<hour>/<shard>/<first>-<last>-<records>-<checksum>.ndjson.gz`. Within an hour and shard the
/// order of keys is that of the stream. The same key has the same content: another one has another checksum.
fn key(first: &ReceivedRecord<'_>, last: &ReceivedRecord<'_>, records: usize, body: &[u8]) -> String {
    let time = iso_8601(hour_of(first) * HOUR_MS).unwrap_or_default();
    // Years, months, days and hours of `2026-01-02T03:04:05.678Z`.
    let hour = time.get(..13).unwrap_or_default().replace(['-', 'T'], "/");
    let shard = if first.shard_id.is_empty() { OF_TABLE } else { first.shard_id };
    // The last eight bytes of the format are the CRC-32 of what was compressed, and its length.
    let checksum = body.len().checked_sub(8).and_then(|at| body[at..].first_chunk::<4>());
    let checksum = u32::from_le_bytes(checksum.copied().unwrap_or_default());
    format!(
        "{PREFIX}{}/{hour}/{shard}/{:0>DIGITS$}-{}-{records}-{checksum:08x}.ndjson.gz",
        first.source_name(),
        first.sequence_number,
        last.sequence_number,
    )
}

/// The records, each on a line of its own. The same records give the same bytes.
fn compressed(records: &[ReceivedRecord<'_>]) -> Vec<u8> {
    let bytes: usize = records.iter().map(|record| record.json.len() + 1).sum();
    let mut lines = String::with_capacity(bytes);
    for record in records {
        if record.json.contains(['\n', '\r']) {
            // Only between its parts: within a text of JSON they are escaped.
            lines.extend(record.json.split(['\n', '\r']));
        } else {
            lines.push_str(record.json);
        }
        lines.push('\n');
    }
    // Records of a stream are often half as long then; the others grow the buffer once.
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::with_capacity(bytes / 2 + 64), LEVEL);
    let written = encoder.write_all(lines.as_bytes()).and_then(|()| encoder.finish());
    written.expect("writing to memory never fails")
}

#[cfg(test)]
mod tests;
