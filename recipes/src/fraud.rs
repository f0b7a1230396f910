//! The fraud recipe: what a shopper does is compared with what the same shopper did before, and what does not fit is scored.
//!
//! Five things are looked at, each with a score of its own: more purchases, and more money, within some minutes than people
//! spend; an amount far above the shopper's own; a place that nobody reaches so soon; a device that was not seen before. Their
//! sum is the event's score, and from a threshold on the event is flagged.

mod amounts;
mod cases;
mod device;
mod limits;
mod place;
mod reason;
mod shopper;
mod velocity;

use std::borrow::Cow;

use serde_json::Value;

use self::limits::Limits;
use self::place::Place;
use self::reason::Reason;
use self::shopper::{Judgement, Shopper};
use crate::decimal::Decimal;
use crate::json::{Fields, push_text, text, too_long};
use crate::{
    Attribute, Count, Detection, Effects, Event, Generator, Item, KeyAttribute, KeyKind, Needs, Notification, Recipe,
    Record, Rejected, Sampled, Samples, Setting, Settings, SourceKind, Stateful, StreamRecord, StreamSamples, TableKey,
    shop,
};

/// The most bytes that the key of a state has.
const USER_ID_MAX_BYTES: usize = 1024;

/// Keeps an item below DynamoDB's 400 KB: each text of the payload appears in it once.
const PAYLOAD_MAX_BYTES: usize = 128 * 1024;

/// The last millisecond of the year 9999: 15 digits, so that 20 more fit into DynamoDB's 38.
const TIMESTAMP_MAX: u64 = 253_402_300_799_999;

/// As many as any currency has; with them the largest amounts and all their sums have less than 38 digits.
const AMOUNT_DECIMALS: u32 = 18;

/// ISO 4217's code for a transaction without a currency.
const NO_CURRENCY: &str = "XXX";

/// The type of the events that move money.
const PURCHASE: &str = "purchase";

const FLAGGED: &str = "FlaggedEvents";

/// The recipe.
#[derive(Debug)]
pub(crate) struct Fraud;

impl Recipe for Fraud {
    fn name(&self) -> &'static str {
        "fraud"
    }

    fn about(&self) -> &'static str {
        "Flags shop events that do not fit what the shopper did before (Kinesis to DynamoDB and SNS)"
    }

    fn source(&self) -> SourceKind {
        SourceKind::Stream
    }

    fn needs(&self) -> Needs {
        let key = TableKey {
            partition: KeyAttribute::new("userId", KeyKind::S),
            sort: Some(KeyAttribute::new("eventTimestamp", KeyKind::N)),
        };
        Needs { table: Some(key), optional_topic: true, ..Needs::default() }
    }

    fn namespace(&self) -> &'static str {
        "FraudDetection"
    }

    fn metrics(&self) -> &'static [(&'static str, &'static [&'static str])] {
        &[(FLAGGED, &[]), (FLAGGED, &["Reason"])]
    }

    fn volatile(&self) -> &'static [&'static str] {
        &["processedAt"]
    }

    fn settings(&self) -> &'static [Setting] {
        &limits::SETTINGS
    }

    fn stateful(&self) -> Option<&dyn Stateful> {
        Some(self)
    }

    fn process(&self, record: &Record<'_>, now_ms: i64) -> Result<Effects, Rejected> {
        Stateful::process(self, &Settings::defaults(&limits::SETTINGS), &mut Value::Null, record, now_ms)
    }
}

impl Stateful for Fraud {
    fn key(&self, record: &Record<'_>) -> Result<String, Rejected> {
        Ok(ShopEvent::parse(record.stream()?)?.user_id.into_owned())
    }

    fn process(
        &self,
        settings: &Settings,
        state: &mut Value,
        record: &Record<'_>,
        now_ms: i64,
    ) -> Result<Effects, Rejected> {
        let record = record.stream()?;
        let event = ShopEvent::parse(record)?;
        let limits = Limits::of(settings);
        let mut shopper = Shopper::read(state);
        let judgement = shopper.judge(&limits, &event);
        *state = shopper.to_value();
        let mut effects = Effects::new();
        if judgement.flagged {
            effects = effects.notification(notification(&event, &judgement, record)).count(Count::one(FLAGGED));
            for reason in &judgement.reasons {
                effects = effects.count(Count::one(FLAGGED).of("Reason", reason.name));
            }
        }
        Ok(effects.item(item(event, judgement, record, now_ms)))
    }

    fn keeps_seconds(&self, settings: &Settings) -> i64 {
        Limits::of(settings).remembered_seconds
    }
}

/// An event that passed every check.
struct ShopEvent<'a> {
    user_id: Cow<'a, str>,
    event_type: Cow<'a, str>,
    product_id: Option<Cow<'a, str>>,
    device_id: Option<Cow<'a, str>>,
    country: Option<Cow<'a, str>>,
    city: Option<Cow<'a, str>>,
    timestamp_ms: i64,
    amount: Option<Amount>,
    currency: Cow<'a, str>,
    position: Option<(Decimal, Decimal)>,
}

/// An amount of money.
#[derive(Clone, Copy)]
struct Amount {
    exact: Decimal,
    /// The same in units of 10^-18, to be added up.
    units: u128,
}

impl<'a> ShopEvent<'a> {
    /// Fields that are not listed here are ignored, and a field that is null counts as absent.
    fn parse(record: &StreamRecord<'a>) -> Result<Self, Rejected> {
        let payload = text(record.data)?;
        let fields = Fields::parse(payload)?;
        if payload.len() > PAYLOAD_MAX_BYTES {
            return Err(too_long("payload", payload.len(), PAYLOAD_MAX_BYTES));
        }
        let optional = |name| fields.string(name, PAYLOAD_MAX_BYTES).map(|text| text.filter(|text| !text.is_empty()));
        let degrees = (fields.degrees("latitude", 90)?, fields.degrees("longitude", 180)?);
        Ok(Self {
            user_id: fields.required("userId", USER_ID_MAX_BYTES)?,
            event_type: fields.required("eventType", PAYLOAD_MAX_BYTES)?,
            product_id: optional("productId")?,
            device_id: optional("deviceId")?,
            country: optional("country")?,
            city: optional("city")?,
            timestamp_ms: timestamp(&fields, record)?,
            amount: amount(&fields)?,
            currency: currency(&fields)?,
            // One of them alone is no place.
            position: degrees.0.zip(degrees.1),
        })
    }

    /// The amount, if it was spent.
    fn spent(&self) -> Option<Amount> {
        self.amount.filter(|_| self.is_purchase())
    }

    fn is_purchase(&self) -> bool {
        self.event_type == PURCHASE
    }

    fn place(&self) -> Option<Place> {
        let (latitude, longitude) = self.position?;
        Some(Place::new(latitude.to_f64(), longitude.to_f64(), self.timestamp_ms))
    }
}

fn timestamp(fields: &Fields<'_>, record: &StreamRecord<'_>) -> Result<i64, Rejected> {
    match fields.whole("timestamp")? {
        // The record's own arrival, not the clock: the item must be the same when the record is delivered again.
        None => Ok(record.arrival_ms.max(0)),
        Some(millis) => i64::try_from(millis).ok().filter(|_| millis <= TIMESTAMP_MAX).ok_or_else(|| {
            let message = format!("timestamp: not within 0 to {TIMESTAMP_MAX} (the end of the year 9999)");
            Rejected::new("out_of_range", message)
        }),
    }
}

fn amount(fields: &Fields<'_>) -> Result<Option<Amount>, Rejected> {
    let Some(exact) = fields.amount("amount")? else { return Ok(None) };
    let units = exact.units(AMOUNT_DECIMALS).ok_or_else(|| {
        Rejected::new("out_of_range", format!("amount: more than {AMOUNT_DECIMALS} digits behind the point"))
    })?;
    Ok(Some(Amount { exact, units }))
}

fn currency<'a>(fields: &Fields<'a>) -> Result<Cow<'a, str>, Rejected> {
    match fields.string("currency", PAYLOAD_MAX_BYTES)? {
        None => Ok(Cow::Borrowed(NO_CURRENCY)),
        Some(code) if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()) => Ok(code),
        Some(_) => Err(Rejected::new("out_of_range", "currency: not three capital letters, as ISO 4217 has them")),
    }
}

fn item(event: ShopEvent<'_>, judgement: Judgement, record: &StreamRecord<'_>, now_ms: i64) -> Item {
    let mut item = Item::from([
        ("eventTimestamp", Attribute::N(record.sort_key(event.timestamp_ms))),
        ("eventType", Attribute::S(event.event_type.into_owned())),
        ("flagged", Attribute::Bool(judgement.flagged)),
        ("processedAt", Attribute::N(now_ms.to_string())),
        ("reasons", Attribute::List(judgement.reasons.into_iter().map(Reason::into_attribute).collect())),
        ("recordId", Attribute::S(record.id())),
        ("score", Attribute::N(judgement.score.to_string())),
        ("userId", Attribute::S(event.user_id.into_owned())),
    ]);
    if let Some(amount) = event.amount {
        item.insert("amount", Attribute::N(amount.exact.to_string()));
        item.insert("currency", Attribute::S(event.currency.into_owned()));
    }
    if let Some((latitude, longitude)) = event.position {
        item.insert("latitude", Attribute::N(latitude.to_string()));
        item.insert("longitude", Attribute::N(longitude.to_string()));
    }
    let texts = [
        ("city", event.city),
        ("country", event.country),
        ("deviceId", event.device_id),
        ("productId", event.product_id),
    ];
    item.extend(texts.into_iter().filter_map(|(name, text)| Some((name, Attribute::S(text?.into_owned())))));
    item
}

/// What the topic's subscribers read: enough to find the item, and why it was flagged. Texts of any length stay in the item.
fn notification(event: &ShopEvent<'_>, judgement: &Judgement, record: &StreamRecord<'_>) -> Notification {
    use std::fmt::Write as _;
    let mut message = "{\"eventId\":".to_owned();
    push_text(&mut message, &record.id());
    message.push_str(",\"userId\":");
    push_text(&mut message, &event.user_id);
    let _ = write!(message, ",\"eventTimestamp\":{}", record.sort_key(event.timestamp_ms));
    let _ = write!(message, ",\"score\":{}", judgement.score);
    if let Some(amount) = event.amount {
        // As a text: many readers of JSON take numbers for floating-point ones.
        let _ = write!(message, ",\"amount\":\"{}\",\"currency\":\"{}\"", amount.exact, event.currency);
    }
    message.push_str(",\"reasons\":[");
    for (place, reason) in judgement.reasons.iter().enumerate() {
        message.push_str(if place > 0 { "," } else { "" });
        reason.push_json(&mut message);
    }
    message.push_str("]}");
    let strongest = judgement.reasons.iter().rev().max_by_key(|reason| reason.score).map_or("", |reason| reason.name);
    let attributes = [("eventId", record.id()), ("reason", strongest.to_owned())];
    Notification {
        subject: format!("Suspicious shopper: {strongest}, score {}", judgement.score),
        message,
        attributes: attributes.into_iter().collect(),
    }
}

impl Sampled for Fraud {
    fn samples(&self) -> Samples<'_> {
        Samples::Stream(self)
    }
}

impl StreamSamples for Fraud {
    fn partition_field(&self) -> &'static str {
        "userId"
    }

    fn detection(&self) -> Option<&dyn Detection> {
        Some(self)
    }

    fn generator(&self, seed: u64) -> Box<dyn Generator + Send> {
        Box::new(shop::Traffic::new(seed, cases::poisons))
    }

    fn marked(&self, run: &str, now_ms: i64) -> Vec<Event> {
        cases::marked(run, now_ms)
    }

    fn marked_poison(&self, run: &str) -> Vec<Event> {
        cases::marked_poison(run)
    }

    fn canary(&self, run: &str, n: usize, now_ms: i64) -> Event {
        cases::canary(run, n, now_ms)
    }
}

impl Detection for Fraud {
    fn checks(&self) -> (&'static str, &'static str) {
        ("fraud-recall", "fraud-precision")
    }

    fn kind_of(&self, event: &Event) -> Option<&'static str> {
        cases::kind_of(event)
    }

    fn found_by(&self) -> (&'static str, Attribute) {
        ("flagged", Attribute::Bool(true))
    }
}

#[cfg(test)]
mod tests;
