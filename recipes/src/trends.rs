//! The trends recipe: what a shop's events come to in each tumbling window. Which products are looked at, how many views lead
//! to a purchase, where the shoppers are.

mod item;
mod sketch;
mod traffic;
mod window;

use crate::json::{self, ShallowFields};
use crate::{
    Count, Effects, Event, Generator, KeyAttribute, KeyKind, Needs, Recipe, Record, Rejected, Sampled, Samples,
    Setting, SettingKind, SourceKind, StreamRecord, StreamSamples, TableKey, Windowed, retail, shop,
};

/// The longest names that are counted, in bytes. A state has hundreds of them, and may have a megabyte.
const PRODUCT_MAX_BYTES: usize = 128;
const COUNTRY_MAX_BYTES: usize = 64;
const CITY_MAX_BYTES: usize = 128;

/// The steps from a look to a purchase; all other events are counted as `other`.
const STEPS: [&str; 3] = ["view", "add_to_cart", "purchase"];

/// Countries that get a metric of their own, by their codes in ISO 3166; all others are counted as `other`: each one is a
/// metric to be paid.
const COUNTRIES: [&str; 20] = [
    "AU", "BR", "CA", "CN", "DE", "ES", "FR", "GB", "IN", "IT", "JP", "KR", "MX", "NL", "NO", "PL", "SE", "SG", "US",
    "ZA",
];

/// An event without a place.
const UNKNOWN: &str = "unknown";

/// The setting of how many products a window keeps.
const PRODUCTS: &str = "products";

/// The setting of how many cities a window keeps.
const CITIES: &str = "cities";

/// The setting of how long a window is kept.
const KEEP: &str = "keep";

/// The recipe; it has no state but that of windows.
#[derive(Debug)]
pub(crate) struct Trends;

impl Recipe for Trends {
    fn name(&self) -> &'static str {
        "trends"
    }

    fn about(&self) -> &'static str {
        "Counts a shop's events by windows of time: trending products, conversion, places (Kinesis to DynamoDB)"
    }

    fn source(&self) -> SourceKind {
        SourceKind::Stream
    }

    fn needs(&self) -> Needs {
        let key = TableKey {
            partition: KeyAttribute::new(item::WINDOW, KeyKind::S),
            sort: Some(KeyAttribute::new(item::PART, KeyKind::S)),
        };
        Needs { table: Some(key), window: true, ..Needs::default() }
    }

    fn namespace(&self) -> &'static str {
        "RetailTrends"
    }

    fn metrics(&self) -> &'static [(&'static str, &'static [&'static str])] {
        &[("StepEvents", &["Step"]), ("CountryEvents", &["Country"])]
    }

    fn settings(&self) -> &'static [Setting] {
        // As many as the state of a window has room for, see `window.rs`.
        const SETTINGS: [Setting; 3] = [
            Setting {
                name: PRODUCTS,
                about: "how many products a window keeps; counts are exact up to as many different ones",
                kind: SettingKind::Integer(200, 10, 300),
            },
            Setting {
                name: CITIES,
                about: "how many cities a window keeps; counts are exact up to as many different ones",
                kind: SettingKind::Integer(200, 10, 300),
            },
            Setting {
                name: KEEP,
                about: "how long a window is kept after its end",
                kind: SettingKind::Seconds(30 * 24 * 60 * 60, 60 * 60, 10 * 366 * 24 * 60 * 60),
            },
        ];
        &SETTINGS
    }

    fn windowed(&self) -> Option<&dyn Windowed> {
        Some(self)
    }

    fn process(&self, record: &Record<'_>, _now_ms: i64) -> Result<Effects, Rejected> {
        let record = record.stream()?;
        let fields = ShallowFields::parse(json::text(record.data)?)?;
        let event = parse(&fields, record)?;
        let step = STEPS.iter().find(|step| **step == event.step).copied().unwrap_or("other");
        let country = match event.country {
            None => UNKNOWN,
            Some(country) => COUNTRIES.iter().find(|known| **known == country).copied().unwrap_or("other"),
        };
        let of_country = Count::one("CountryEvents").of("Country", country);
        Ok(Effects::new().count(Count::one("StepEvents").of("Step", step)).count(of_country))
    }
}

/// An event that passed every check.
struct ShopEvent<'a> {
    step: &'a str,
    product: Option<&'a str>,
    country: Option<&'a str>,
    city: Option<&'a str>,
    timestamp_ms: i64,
}

/// The events are those of retail, with a place: what is wrong for one of the two recipes is wrong for the other.
fn parse<'a>(fields: &'a ShallowFields<'_>, record: &StreamRecord<'_>) -> Result<ShopEvent<'a>, Rejected> {
    let event = retail::parse(fields, record)?;
    let name = |name, most| Ok(retail::string(fields, name, most)?.filter(|text| !text.is_empty()));
    Ok(ShopEvent {
        step: event.event_type,
        product: name("productId", PRODUCT_MAX_BYTES)?,
        country: name("country", COUNTRY_MAX_BYTES)?,
        city: name("city", CITY_MAX_BYTES)?,
        timestamp_ms: i64::try_from(event.timestamp_ms).unwrap_or(i64::MAX),
    })
}

impl Sampled for Trends {
    fn samples(&self) -> Samples<'_> {
        Samples::Stream(self)
    }
}

impl StreamSamples for Trends {
    fn partition_field(&self) -> &'static str {
        "userId"
    }

    fn generator(&self, seed: u64) -> Box<dyn Generator + Send> {
        Box::new(shop::Traffic::new(seed, retail::traffic::poisons))
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
