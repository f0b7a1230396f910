//! The clickstream recipe: page views, clicks and purchases, each on its own route, kept per user in the order of the
//! stream; events of unknown types are kept and counted as such.

mod traffic;

use std::borrow::Cow;

use crate::json::{Fields, text, too_long};
use crate::{
    Attribute, Count, Effects, Event, Generator, Item, KeyAttribute, KeyKind, Needs, Recipe, Record, Rejected, Sampled,
    Samples, SourceKind, StreamRecord, StreamSamples, TableKey, Unit,
};

/// DynamoDB's limit for a partition key.
const USER_ID_MAX_BYTES: usize = 2048;

/// Keeps an item below DynamoDB's 400 KB: an event of an unknown type is in it as a whole and by its fields.
const PAYLOAD_MAX_BYTES: usize = 128 * 1024;

/// The last millisecond of the year 9999.
const TIME_MAX_MS: i64 = 253_402_300_799_999;

/// The recipe; it has no state.
#[derive(Debug)]
pub(crate) struct Clickstream;

impl Recipe for Clickstream {
    fn name(&self) -> &'static str {
        "clickstream"
    }

    fn about(&self) -> &'static str {
        "Routes page views, clicks and purchases, in order for each user (Kinesis to DynamoDB)"
    }

    fn source(&self) -> SourceKind {
        SourceKind::Stream
    }

    fn needs(&self) -> Needs {
        let key = TableKey {
            partition: KeyAttribute::new("user_id", KeyKind::S),
            sort: Some(KeyAttribute::new("sequence", KeyKind::S)),
        };
        Needs { table: Some(key), ..Needs::default() }
    }

    fn namespace(&self) -> &'static str {
        "ClickstreamProcessing"
    }

    fn metrics(&self) -> &'static [(&'static str, &'static [&'static str])] {
        &[("Events", &["EventType"]), ("PurchaseAmount", &[])]
    }

    fn volatile(&self) -> &'static [&'static str] {
        &["processed_at"]
    }

    fn process(&self, record: &Record<'_>, now_ms: i64) -> Result<Effects, Rejected> {
        let record = record.stream()?;
        let payload = text(record.data)?;
        let fields = Fields::parse(payload)?;
        if payload.len() > PAYLOAD_MAX_BYTES {
            return Err(too_long("payload", payload.len(), PAYLOAD_MAX_BYTES));
        }
        let user_id = fields.required("user_id", USER_ID_MAX_BYTES)?;
        let event_type = optional(&fields, "event_type")?;
        let occurred_ms = occurred_ms(&fields, record)?;
        let route = Route::of(event_type.as_deref());
        let mut item = Item::with_capacity(9);
        item.insert("event_type", Attribute::S(event_type.unwrap_or(Cow::Borrowed("unknown")).into_owned()));
        item.insert("occurred_at", Attribute::N(occurred_ms.to_string()));
        item.insert("processed_at", Attribute::N(now_ms.to_string()));
        item.insert("record_id", Attribute::S(record.id()));
        item.insert("route", Attribute::S(route.name().to_owned()));
        item.insert("sequence", Attribute::S(sequence(record, occurred_ms)));
        item.insert("user_id", Attribute::S(user_id.into_owned()));
        let mut effects = Effects::new().count(Count::one("Events").of("EventType", route.name()));
        let texts: &[&'static str] = match route {
            Route::PageView => &["page", "url"],
            Route::Click => &["page", "element_id"],
            Route::Purchase => &["page"],
            Route::Unknown => {
                item.insert("raw", Attribute::S(payload.to_owned()));
                &[]
            }
        };
        for &name in texts {
            if let Some(text) = optional(&fields, name)? {
                item.insert(name, Attribute::S(text.into_owned()));
            }
        }
        if route == Route::Purchase
            && let Some(amount) = fields.amount("amount")?
        {
            effects = effects.count(Count::sample("PurchaseAmount", amount.to_f64(), Unit::None));
            item.insert("amount", Attribute::N(amount.to_string()));
        }
        Ok(effects.item(item))
    }
}

/// Where an event goes by its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    PageView,
    Click,
    Purchase,
    Unknown,
}

impl Route {
    fn of(event_type: Option<&str>) -> Self {
        match event_type {
            Some("page_view") => Self::PageView,
            Some("click") => Self::Click,
            Some("purchase") => Self::Purchase,
            _ => Self::Unknown,
        }
    }

    /// Its name in items and metrics: a closed list, whatever producers send.
    fn name(self) -> &'static str {
        match self {
            Self::PageView => "page_view",
            Self::Click => "click",
            Self::Purchase => "purchase",
            Self::Unknown => "unknown",
        }
    }
}

/// The record's place in the stream as a text that sorts like its sequence number, and that no other record has: sequence
/// numbers have no fixed length, and are unique only in their shard. An event with an id of its own may be in several places:
/// its time and its id stand for it, so that it sorts like its time.
fn sequence(record: &StreamRecord<'_>, occurred_ms: i64) -> String {
    if record.own_id.is_some() {
        return format!("at-{occurred_ms:015}-{}", record.digits());
    }
    let length = format!("{:03}", record.sequence_number.len());
    let place = [&length, "-", record.sequence_number, "-", record.shard_id].concat();
    match record.sub_sequence_number {
        None => place,
        // Behind the number of the stream's record, before the next one's.
        Some(sub) => format!("{place}-{sub:06}"),
    }
}

/// When the event happened: seconds since the epoch, or a date and time as ISO 8601 has them, in UTC unless they say
/// otherwise. The record's arrival if the event does not say.
fn occurred_ms(fields: &Fields<'_>, record: &StreamRecord<'_>) -> Result<i64, Rejected> {
    let out_of_range =
        || Rejected::new("out_of_range", "timestamp: not within the years 1970 to 9999, in seconds since the epoch");
    let time = if fields.is_string("timestamp") {
        let text = fields.required("timestamp", PAYLOAD_MAX_BYTES)?;
        let time = text.parse::<jiff::Timestamp>().or_else(|_| {
            let local: jiff::civil::DateTime = text.parse()?;
            local.to_zoned(jiff::tz::TimeZone::UTC).map(|zoned| zoned.timestamp())
        });
        let mistake = |_| Rejected::new("wrong_type", "timestamp: expected seconds or a date and time (ISO 8601)");
        time.map_err(mistake)?.as_millisecond()
    } else {
        let Some(seconds) = fields.amount("timestamp")? else { return Ok(record.arrival_ms) };
        seconds.thousandths().ok_or_else(out_of_range)?
    };
    if (0..=TIME_MAX_MS).contains(&time) { Ok(time) } else { Err(out_of_range()) }
}

fn optional<'a>(fields: &Fields<'a>, name: &str) -> Result<Option<Cow<'a, str>>, Rejected> {
    fields.string(name, PAYLOAD_MAX_BYTES)
}

impl Sampled for Clickstream {
    fn samples(&self) -> Samples<'_> {
        Samples::Stream(self)
    }
}

impl StreamSamples for Clickstream {
    fn partition_field(&self) -> &'static str {
        "user_id"
    }

    fn type_attribute(&self) -> Option<&'static str> {
        Some("event_type")
    }

    fn ordered_by(&self) -> Option<&'static str> {
        Some("processed_at")
    }

    fn generator(&self, seed: u64) -> Box<dyn Generator + Send> {
        Box::new(traffic::Traffic::new(seed))
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

#[cfg(test)]
mod tests;
