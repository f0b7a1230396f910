//! A result of analytics, as far as it is judged.

use crate::analytics::{CURRENCIES, DEVICES, known};
use crate::decimal::Decimal;
use crate::time::iso_8601;
use crate::{Attribute, Change, ChangeKind, Item, Rejected};

/// The longest name that makes a series of its own, in bytes; longer ones are one series, `other`.
const NAME_MAX_BYTES: usize = 64;

/// The longest identity that fits into a key behind the time, in bytes: as long as an event's own id may be, and more than any place in
/// a stream.
const EVENT_ID_MAX_BYTES: usize = 512;

/// What was measured of an event.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) event_id: String,
    pub(super) event_type: String,
    pub(super) device: String,
    /// Of amounts only.
    pub(super) currency: Option<String>,
    pub(super) timestamp_ms: i64,
    /// `amount` or `loadTime`.
    pub(super) measure: &'static str,
    pub(super) value: Decimal,
    /// The key of its state, such as `purchase|mobile|EUR`.
    pub(super) series: String,
    /// The value of its dimension, of which there are not many: each one is a metric to be paid.
    pub(super) dimension: String,
}

impl Measured {
    /// What a change of the table tells; `None` if that is nothing to judge. A result is judged when it comes: what is changed or
    /// deleted later, or expires, was judged then.
    pub(super) fn of(change: &Change<'_>) -> Result<Option<Self>, Rejected> {
        if change.kind != ChangeKind::Insert {
            return Ok(None);
        }
        let new = change.new.ok_or_else(|| Rejected::new("missing_field", "NewImage: missing"))?;
        let event_id = required(new, "eventId")?;
        if event_id.len() > EVENT_ID_MAX_BYTES {
            return Err(crate::json::too_long("eventId", event_id.len(), EVENT_ID_MAX_BYTES));
        }
        let event_type = required(new, "eventType")?;
        let device = text(new, "deviceType")?.unwrap_or("unknown");
        let timestamp_ms = timestamp(new, change.created_ms)?;
        let metrics = match new.get("metrics") {
            None => return missing_unless(event_type != "purchase", "metrics"),
            Some(Attribute::Map(metrics)) => metrics,
            Some(_) => return Err(wrong_type("metrics", "a map")),
        };
        let (measure, value, currency) = match event_type {
            "purchase" => {
                let Some(value) = number(metrics, "amount")? else { return missing_unless(false, "metrics.amount") };
                ("amount", value, Some(text(metrics, "currency")?.unwrap_or("USD")))
            }
            // Analytics writes 0 where nothing was measured.
            "page_view" => match number(metrics, "loadTime")? {
                Some(value) if value.to_f64() > 0.0 => ("loadTime", value, None),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        let short = |name: &str| if name.len() > NAME_MAX_BYTES { "other" } else { name }.to_owned();
        let mut series = format!("{event_type}|{}", short(device));
        let mut dimension = format!("{event_type}-{}", known(&DEVICES, device));
        if let Some(currency) = currency {
            series = format!("{series}|{}", short(currency));
            dimension = format!("{dimension}-{}", known(&CURRENCIES, currency));
        }
        Ok(Some(Self {
            event_id: event_id.to_owned(),
            event_type: event_type.to_owned(),
            device: short(device),
            currency: currency.map(short),
            timestamp_ms,
            measure,
            value,
            series,
            dimension,
        }))
    }

    /// The sort key: in the order of time, and each event its own.
    pub(super) fn at(&self) -> String {
        format!("{}#{}", iso_8601(self.timestamp_ms).unwrap_or_default(), self.event_id)
    }
}

fn missing_unless<T>(is_fine: bool, name: &str) -> Result<Option<T>, Rejected> {
    if is_fine { Ok(None) } else { Err(Rejected::new("missing_field", format!("{name}: missing"))) }
}

fn wrong_type(name: &str, wanted: &str) -> Rejected {
    Rejected::new("wrong_type", format!("{name}: expected {wanted}"))
}

fn text<'i>(item: &'i Item, name: &str) -> Result<Option<&'i str>, Rejected> {
    match item.get(name) {
        None | Some(Attribute::Null) => Ok(None),
        Some(Attribute::S(text)) if text.is_empty() => Ok(None),
        Some(Attribute::S(text)) => Ok(Some(text)),
        Some(_) => Err(wrong_type(name, "a string")),
    }
}

fn required<'i>(item: &'i Item, name: &str) -> Result<&'i str, Rejected> {
    text(item, name)?.ok_or_else(|| Rejected::new("missing_field", format!("{name}: missing or empty")))
}

fn number(item: &Item, name: &str) -> Result<Option<Decimal>, Rejected> {
    match item.get(name) {
        None | Some(Attribute::Null) => Ok(None),
        Some(Attribute::N(number)) => {
            let out_of_range = |_| Rejected::new("out_of_range", format!("{name}: no number that DynamoDB holds"));
            let number = Decimal::parse(number).map_err(out_of_range)?;
            // What analytics takes, so that squares of it stay within what a floating-point number holds.
            if number.is_negative() || number.to_f64() > 1e15 {
                return Err(Rejected::new("out_of_range", format!("{name}: not within 0 to 1000000000000000")));
            }
            Ok(Some(number))
        }
        Some(_) => Err(wrong_type(name, "a number")),
    }
}

fn timestamp(item: &Item, created_ms: i64) -> Result<i64, Rejected> {
    match item.get("timestamp") {
        // Of a table that was written otherwise.
        None | Some(Attribute::Null) => Ok(created_ms),
        Some(Attribute::N(number)) => {
            let millis = number.parse().ok().filter(|millis| (0..=253_402_300_799_999_i64).contains(millis));
            millis.ok_or_else(|| Rejected::new("out_of_range", "timestamp: no time before the year 10000"))
        }
        Some(_) => Err(wrong_type("timestamp", "a number")),
    }
}
