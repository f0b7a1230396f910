//! How a record is shown: for people, and as JSON.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use crate::records::{Content, SourceRecord};
use crate::report::{Paint, escaped};

/// Where the payload of a change has its parts, in Lambda's event and here.
const IMAGES: [(&str, &str); 3] = [("Keys", "keys"), ("OldImage", "old_image"), ("NewImage", "new_image")];

/// A record as Lambda's event has it, with its payload decoded beside.
pub(super) fn document(record: &SourceRecord) -> Value {
    let mut document = record.event();
    document["payload"] = payload(record);
    document
}

/// JSON as such, else text, else base64; of a change its keys and images as plain JSON.
fn payload(record: &SourceRecord) -> Value {
    match &record.content {
        Content::Stream { data, .. } => serde_json::from_slice(data).unwrap_or_else(|_| {
            std::str::from_utf8(data).map_or_else(|_| json!(STANDARD.encode(data)), |text| json!(text))
        }),
        Content::Change { change, .. } => {
            let parts = IMAGES.iter().filter_map(|(name, shown)| {
                let image = change.get(name)?.as_object()?;
                Some(((*shown).to_owned(), plain_item(image)))
            });
            Value::Object(parts.collect())
        }
    }
}

/// An item of DynamoDB as plain JSON.
fn plain_item(item: &Map<String, Value>) -> Value {
    Value::Object(item.iter().map(|(name, value)| (name.clone(), plain(value))).collect())
}

/// A value of DynamoDB, such as `{"S": "text"}`, as plain JSON.
fn plain(value: &Value) -> Value {
    let Some((kind, inner)) = value.as_object().and_then(|object| object.iter().next()) else { return value.clone() };
    let each = || inner.as_array().into_iter().flatten();
    match kind.as_str() {
        "N" => number(inner),
        "NS" => each().map(number).collect(),
        "L" => each().map(plain).collect(),
        "M" => inner.as_object().map_or(Value::Null, plain_item),
        "NULL" => Value::Null,
        // Text, booleans, base64, and sets of such.
        _ => inner.clone(),
    }
}

/// A number, or its text where JSON's numbers here would lose some of it.
fn number(text: &Value) -> Value {
    let parsed = text.as_str().and_then(|text| serde_json::from_str::<serde_json::Number>(text).ok());
    match parsed {
        Some(number) if text == &json!(number.to_string()) => Value::Number(number),
        _ => text.clone(),
    }
}

/// Lays records out for people.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) paint: Paint,
    /// Records of this day say the time only.
    pub(super) today: Date,
}

impl Layout {
    /// A line that says which record it is, and below it what it carries.
    pub(super) fn text(&self, record: &SourceRecord) -> String {
        let paint = self.paint;
        let shard = record.shard_id.strip_prefix("shardId-").unwrap_or(&record.shard_id);
        // Of a stream's shard the number says all; a table's have the time of their making, too.
        let shard = shard.parse::<u64>().map_or_else(|_| shard.to_owned(), |number| number.to_string());
        let what = match &record.content {
            Content::Stream { partition_key: None, .. } => "no key".to_owned(),
            Content::Stream { .. } => escaped(&record.key()),
            Content::Change { event_name, .. } => match event_name.as_str() {
                "INSERT" => paint.good(event_name),
                "REMOVE" => paint.bad(event_name),
                other => paint.changed(other),
            },
        };
        let (time, shard) = (self.time(record.arrival_ms), format!("shard {shard}"));
        let mut text =
            format!("{}  {}  {what}  {}\n", paint.dim(&time), paint.dim(&shard), paint.dim(&record.sequence_number));
        // Writing to a String cannot fail.
        let _ = match (&record.content, payload(record)) {
            (Content::Stream { .. }, Value::String(shown)) => {
                shown.lines().try_for_each(|line| writeln!(text, "    {}", escaped(line)))
            }
            (Content::Stream { .. }, shown) => writeln!(text, "    {}", escaped(&shown.to_string())),
            (Content::Change { .. }, shown) => IMAGES.iter().try_for_each(|(_, name)| match shown.get(name) {
                Some(image) => {
                    writeln!(text, "    {} {}", paint.dim(&format!("{:<4}", short(name))), escaped(&image.to_string()))
                }
                None => Ok(()),
            }),
        };
        text
    }

    fn time(&self, time_ms: i64) -> String {
        let Ok(time) = Timestamp::from_millisecond(time_ms) else { return time_ms.to_string() };
        let is_today = time.to_zoned(TimeZone::UTC).date() == self.today;
        time.strftime(if is_today { "%H:%M:%S%.3fZ" } else { "%Y-%m-%dT%H:%M:%S%.3fZ" }).to_string()
    }
}

fn short(name: &str) -> &str {
    name.split('_').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(content: Content) -> SourceRecord {
        SourceRecord {
            source_arn: "arn:aws:kinesis:eu-west-1:123456789012:stream/s".to_owned(),
            shard_id: "shardId-000000000001".to_owned(),
            sequence_number: "42".to_owned(),
            arrival_ms: 1_700_000_000_123,
            content,
        }
    }

    fn of_stream(data: &[u8]) -> SourceRecord {
        let partition_key = Some("k".to_owned());
        record(Content::Stream { partition_key, data: data.to_vec(), sub_sequence_number: None })
    }

    fn change() -> SourceRecord {
        let change = json!({
            "Keys": { "id": { "S": "a" } },
            "NewImage": { "id": { "S": "a" }, "n": { "N": "1.50" }, "m": { "M": { "l": { "L": [{ "N": "2" }, { "NULL": true }] } } } },
            "OldImage": { "id": { "S": "a" }, "set": { "NS": ["1", "2"] }, "yes": { "BOOL": true } },
        });
        let (event_id, event_name) = ("e".to_owned(), "MODIFY".to_owned());
        record(Content::Change { event_id, event_name, change, user_identity: None })
    }

    #[test]
    fn payloads_are_decoded_as_far_as_they_can_be() {
        let payload = |data: &[u8]| document(&of_stream(data))["payload"].clone();
        assert_eq!(payload(br#"{"a": 1}"#), json!({ "a": 1 }));
        assert_eq!(payload(b"plain"), json!("plain"));
        assert_eq!(payload(&[0xff]), json!("/w=="));
        assert_eq!(document(&of_stream(b"1"))["eventID"], "shardId-000000000001:42");
        assert_eq!(
            document(&change())["payload"],
            json!({
                "keys": { "id": "a" },
                // JSON would say 1.5, which is another text.
                "new_image": { "id": "a", "n": "1.50", "m": { "l": [2, null] } },
                "old_image": { "id": "a", "set": [1, 2], "yes": true },
            })
        );
    }

    #[test]
    fn records_are_laid_out_below_what_says_which_they_are() {
        let layout = Layout { paint: Paint::NONE, today: jiff::civil::date(2023, 11, 14) };
        assert_eq!(layout.text(&of_stream(b"{\"a\":1}")), "22:13:20.123Z  shard 1  k  42\n    {\"a\":1}\n");
        assert_eq!(layout.text(&of_stream(b"a\n\x1b[2J")), "22:13:20.123Z  shard 1  k  42\n    a\n    \\u{1b}[2J\n");
        let text = layout.text(&change());
        assert!(text.starts_with("22:13:20.123Z  shard 1  MODIFY  42\n    keys {\"id\":\"a\"}\n    old  {"), "{text}");
    }
}
