//! The retail recipe: shop events (views, baskets, purchases) become scored items with an insight sentence.

pub(crate) mod traffic;

use crate::json::{self, Shallow, ShallowFields};
use crate::{
    Attribute, Effects, Event, Generator, Item, KeyAttribute, KeyKind, Needs, Recipe, Record, Rejected, Sampled,
    Samples, SourceKind, StreamRecord, StreamSamples, TableKey, shop,
};

/// DynamoDB's limit for a partition key.
const USER_ID_MAX_BYTES: usize = 2048;

/// Keeps an item below DynamoDB's 400 KB: the product appears twice in it (once in the insight), the user at most
/// twice with 2 KB each, and the rest is small.
const TEXT_MAX_BYTES: usize = 128 * 1024;

/// The last millisecond of the year 9999: 15 digits, so that 20 more fit into DynamoDB's 38.
const TIMESTAMP_MAX: u64 = 253_402_300_799_999;

/// The recipe; it has no state.
#[derive(Debug)]
pub(crate) struct Retail;

impl Recipe for Retail {
    fn name(&self) -> &'static str {
        "retail"
    }

    fn about(&self) -> &'static str {
        "Scores shop events per user: views, baskets and purchases (Kinesis to DynamoDB)"
    }

    fn source(&self) -> SourceKind {
        SourceKind::Stream
    }

    fn needs(&self) -> Needs {
        let key = TableKey {
            partition: KeyAttribute::new("userId", KeyKind::S),
            sort: Some(KeyAttribute::new("eventTimestamp", KeyKind::N)),
        };
        Needs { table: Some(key), ..Needs::default() }
    }

    fn namespace(&self) -> &'static str {
        "RetailEventProcessing"
    }

    fn volatile(&self) -> &'static [&'static str] {
        &["processedAt"]
    }

    fn process(&self, record: &Record<'_>, now_ms: i64) -> Result<Effects, Rejected> {
        let record = record.stream()?;
        let fields = ShallowFields::parse(json::text(record.data)?)?;
        let event = parse(&fields, record)?;
        Ok(Effects::new().item(item(&event, record, now_ms)))
    }
}

impl Sampled for Retail {
    fn samples(&self) -> Samples<'_> {
        Samples::Stream(self)
    }
}

impl StreamSamples for Retail {
    fn partition_field(&self) -> &'static str {
        "userId"
    }

    fn generator(&self, seed: u64) -> Box<dyn Generator + Send> {
        Box::new(shop::Traffic::new(seed, traffic::poisons))
    }

    fn marked(&self, run: &str, now_ms: i64) -> Vec<Event> {
        traffic::marked(run, now_ms)
    }

    fn marked_poison(&self, run: &str) -> Vec<Event> {
        traffic::marked_poison(run)
    }

    fn canary(&self, run: &str, n: usize, now_ms: i64) -> Event {
        traffic::canary(run, n, now_ms)
    }
}

/// An event that passed every check.
pub(crate) struct RetailEvent<'a> {
    user_id: &'a str,
    pub(crate) event_type: &'a str,
    product_id: &'a str,
    pub(crate) timestamp_ms: u64,
}

/// Fields that are not listed here are ignored, and a field that is null counts as absent.
pub(crate) fn parse<'a>(fields: &'a ShallowFields<'_>, record: &StreamRecord<'_>) -> Result<RetailEvent<'a>, Rejected> {
    Ok(RetailEvent {
        user_id: required(fields, "userId", USER_ID_MAX_BYTES)?,
        event_type: required(fields, "eventType", TEXT_MAX_BYTES)?,
        product_id: string(fields, "productId", TEXT_MAX_BYTES)?.unwrap_or("unknown"),
        timestamp_ms: match fields.get("timestamp") {
            // The record's own arrival, not the clock: the item must be the same when the record is delivered again.
            None => u64::try_from(record.arrival_ms).unwrap_or(0),
            Some(value) => timestamp(value)?,
        },
    })
}

fn required<'a>(fields: &'a ShallowFields<'_>, name: &str, max_bytes: usize) -> Result<&'a str, Rejected> {
    match string(fields, name, max_bytes)? {
        None => Err(Rejected::new("missing_field", format!("{name}: missing"))),
        Some("") => Err(Rejected::new("empty_field", format!("{name}: empty"))),
        Some(text) => Ok(text),
    }
}

/// A text that may be missing.
pub(crate) fn string<'a>(
    fields: &'a ShallowFields<'_>,
    name: &str,
    max_bytes: usize,
) -> Result<Option<&'a str>, Rejected> {
    match fields.get(name) {
        None => Ok(None),
        Some(Shallow::Text(text)) if text.len() > max_bytes => Err(json::too_long(name, text.len(), max_bytes)),
        Some(Shallow::Text(text)) => Ok(Some(text)),
        Some(other) => Err(Rejected::new("wrong_type", format!("{name}: expected a string, got {}", other.kind()))),
    }
}

/// Reads milliseconds since the epoch from an integer or from a string of digits.
fn timestamp(value: &Shallow<'_>) -> Result<u64, Rejected> {
    let wrong_type = |got: &str| {
        let message = format!("timestamp: expected whole milliseconds since the epoch, got {got}");
        Err(Rejected::new("wrong_type", message))
    };
    let millis = match value {
        Shallow::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(millis), _) => Some(millis),
            // Negative integers, and integers that are too large for u64 (serde_json makes those floats).
            (None, Some(float)) if !(0.0..1e18).contains(&float) => None,
            (None, _) => return wrong_type("a fraction"),
        },
        Shallow::Text(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        Shallow::Text(_) => return wrong_type("a string that is not all digits"),
        other => return wrong_type(other.kind()),
    };
    millis.filter(|&millis| millis <= TIMESTAMP_MAX).ok_or_else(|| {
        Rejected::new("out_of_range", format!("timestamp: not within 0 to {TIMESTAMP_MAX} (the end of the year 9999)"))
    })
}

fn item(event: &RetailEvent<'_>, record: &StreamRecord<'_>, now_ms: i64) -> Item {
    let RetailEvent { user_id, event_type, product_id, timestamp_ms } = *event;
    let (action, score) = match event_type {
        "view" => ("viewed", 1),
        "add_to_cart" => ("added to cart", 5),
        "purchase" => ("purchased", 10),
        _ => ("interacted with", 1),
    };
    let insight = ["User ", user_id, " ", action, " product ", product_id].concat();
    Item::from([
        ("eventScore", Attribute::N(score.to_string())),
        ("eventTimestamp", Attribute::N(record.sort_key(timestamp_ms))),
        ("eventType", Attribute::S(event_type.to_owned())),
        ("insight", Attribute::S(insight)),
        ("processedAt", Attribute::N(now_ms.to_string())),
        ("productId", Attribute::S(product_id.to_owned())),
        ("recordId", Attribute::S(record.id())),
        ("userId", Attribute::S(user_id.to_owned())),
    ])
}

#[cfg(test)]
mod tests;
