//! The analytics recipe: web and app events (views, purchases, sign-ups, clicks) become items with metrics by type and
//! device.

mod traffic;
mod window;

use std::borrow::Cow;

use crate::json::{Fields, text, too_long};
use crate::{
    Attribute, Count, Effects, Event, Generator, Item, KeyAttribute, KeyKind, Needs, Recipe, Record, Rejected, Sampled,
    Samples, SourceKind, StreamSamples, TableKey, Unit, Windowed,
};

/// Keeps an item below DynamoDB's 400 KB: what is longest in the payload appears in it twice, and every value of a nested
/// location costs some bytes more than in JSON.
const PAYLOAD_MAX_BYTES: usize = 128 * 1024;

/// How long an item is kept after its record has arrived.
const KEPT_SECONDS: i64 = 30 * 24 * 60 * 60;

/// A visit of one page that is shorter is a bounce.
const BOUNCE_SECONDS: u64 = 30;

const EVENTS: &str = "EventsProcessed";

/// Types that get metrics of their own; all others are counted as `other`.
const TYPES: [&str; 4] = ["page_view", "purchase", "user_signup", "click"];

/// Devices that get metrics of their own; all others are counted as `other`.
pub(crate) const DEVICES: [&str; 5] = ["desktop", "mobile", "tablet", "tv", "unknown"];

/// Currencies that get a metric of their own; all others are counted as `other`: each one is a metric to be paid.
pub(crate) const CURRENCIES: [&str; 20] = [
    "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "INR", "JPY", "KRW", "MXN", "NOK", "NZD",
    "PLN", "SEK", "SGD", "USD",
];

/// The recipe; it has no state.
#[derive(Debug)]
pub(crate) struct Analytics;

impl Recipe for Analytics {
    fn name(&self) -> &'static str {
        "analytics"
    }

    fn about(&self) -> &'static str {
        "Measures web and app events by type and device (Kinesis to DynamoDB and CloudWatch)"
    }

    fn source(&self) -> SourceKind {
        SourceKind::Stream
    }

    fn needs(&self) -> Needs {
        let key = TableKey {
            partition: KeyAttribute::new("eventId", KeyKind::S),
            sort: Some(KeyAttribute::new("timestamp", KeyKind::N)),
        };
        Needs { table: Some(key), ..Needs::default() }
    }

    fn namespace(&self) -> &'static str {
        "RealTimeAnalytics"
    }

    fn processed_metric(&self) -> &'static str {
        EVENTS
    }

    fn failed_metric(&self) -> &'static str {
        "EventsFailed"
    }

    fn retried_metric(&self) -> &'static str {
        "EventsRetried"
    }

    fn metrics(&self) -> &'static [(&'static str, &'static [&'static str])] {
        &[(EVENTS, &["EventType", "DeviceType"]), ("PurchaseAmount", &["Currency"])]
    }

    fn volatile(&self) -> &'static [&'static str] {
        &["processedAt"]
    }

    fn windowed(&self) -> Option<&dyn Windowed> {
        Some(self)
    }

    fn process(&self, record: &Record<'_>, now_ms: i64) -> Result<Effects, Rejected> {
        let record = record.stream()?;
        let payload = text(record.data)?;
        let fields = Fields::parse(payload)?;
        if payload.len() > PAYLOAD_MAX_BYTES {
            return Err(too_long("payload", payload.len(), PAYLOAD_MAX_BYTES));
        }
        let event_type = fields.required("eventType", PAYLOAD_MAX_BYTES)?;
        let device_type = optional(&fields, "deviceType", "unknown")?;
        let (metrics, purchase) = metrics(&event_type, &fields)?;
        let counted = Count::one(EVENTS).of("EventType", known(&TYPES, &event_type));
        let mut effects = Effects::new().count(counted.of("DeviceType", known(&DEVICES, &device_type)));
        if let Some((amount, currency)) = purchase {
            let sample = Count::sample("PurchaseAmount", amount, Unit::None);
            effects = effects.count(sample.of("Currency", known(&CURRENCIES, &currency)));
        }
        let user_id = optional(&fields, "userId", "anonymous")?;
        let session_id = optional(&fields, "sessionId", "")?;
        let location = fields.object("location")?.unwrap_or_default();
        Ok(effects.item(Item::from([
            ("deviceType", Attribute::S(device_type.into_owned())),
            ("eventId", Attribute::S(record.id())),
            ("eventType", Attribute::S(event_type.into_owned())),
            ("expiresAt", number(record.arrival_ms.div_euclid(1000) + KEPT_SECONDS)),
            ("location", Attribute::Map(location)),
            ("metrics", Attribute::Map(metrics)),
            ("processedAt", number(now_ms)),
            ("rawData", Attribute::S(payload.to_owned())),
            ("sessionId", Attribute::S(session_id.into_owned())),
            ("timestamp", number(record.arrival_ms)),
            ("userId", Attribute::S(user_id.into_owned())),
        ])))
    }
}

/// Amount and currency of a purchase.
type Purchase<'a> = (f64, Cow<'a, str>);

/// What is measured of an event of this type, and the amount and currency of a purchase.
fn metrics<'a>(event_type: &str, fields: &Fields<'a>) -> Result<(Item, Option<Purchase<'a>>), Rejected> {
    let mut purchase = None;
    let metrics = match event_type {
        "page_view" => {
            let seconds = fields.amount("sessionLength")?.map_or(Some(0), |length| length.whole_part());
            let pages = fields.whole("pagesViewed")?.unwrap_or(1);
            let bounced = pages == 1 && seconds.is_some_and(|seconds| seconds < BOUNCE_SECONDS);
            let load_time = fields.amount("loadTime")?.map_or_else(|| "0".to_owned(), |time| time.to_string());
            Item::from([
                ("bounceRate", number(i64::from(bounced))),
                ("loadTime", Attribute::N(load_time)),
                ("pageUrl", Attribute::S(optional(fields, "pageUrl", "")?.into_owned())),
            ])
        }
        "purchase" => {
            let amount = fields.amount("amount")?.ok_or_else(|| Rejected::new("missing_field", "amount: missing"))?;
            let currency = optional(fields, "currency", "USD")?;
            if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
                return Err(Rejected::new("out_of_range", "currency: not three capital letters, as ISO 4217 has them"));
            }
            purchase = Some((amount.to_f64(), currency.clone()));
            Item::from([
                ("amount", Attribute::N(amount.to_string())),
                ("currency", Attribute::S(currency.into_owned())),
                ("itemsCount", Attribute::N(fields.whole("itemsCount")?.unwrap_or(0).to_string())),
            ])
        }
        "user_signup" => {
            let method = optional(fields, "signupMethod", "email")?;
            let source = optional(fields, "campaignSource", "direct")?;
            Item::from([
                ("campaignSource", Attribute::S(source.into_owned())),
                ("signupMethod", Attribute::S(method.into_owned())),
            ])
        }
        _ => Item::new(),
    };
    Ok((metrics, purchase))
}

fn optional<'a>(fields: &Fields<'a>, name: &str, missing: &'static str) -> Result<Cow<'a, str>, Rejected> {
    Ok(fields.string(name, PAYLOAD_MAX_BYTES)?.unwrap_or(Cow::Borrowed(missing)))
}

/// The value itself if it is a known one. Producers choose it, and each value would be a metric of its own.
pub(crate) fn known(all: &[&'static str], value: &str) -> &'static str {
    all.iter().find(|known| **known == value).copied().unwrap_or("other")
}

fn number(number: i64) -> Attribute {
    Attribute::N(number.to_string())
}

impl Sampled for Analytics {
    fn samples(&self) -> Samples<'_> {
        Samples::Stream(self)
    }
}

impl StreamSamples for Analytics {
    fn partition_field(&self) -> &'static str {
        "userId"
    }

    fn arrival_attribute(&self) -> Option<&'static str> {
        Some("timestamp")
    }

    fn type_attribute(&self) -> Option<&'static str> {
        Some("eventType")
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
