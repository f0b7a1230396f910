//! The state of a window: counts of events, and of products and places in bounded memory.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::sketch::Sketch;
use super::{CITIES, PRODUCTS, ShopEvent, Trends, UNKNOWN, item, parse};
use crate::json::{ShallowFields, text};
use crate::{
    Attribute, Count, Item, Merge, Record, Rejected, Settings, StoredWindows, StreamRecord, Tally, TumblingWindow,
    Unit, Windowed,
};

/// As many countries as there are codes of ISO 3166, and some more: what stands in `country` is the producers' business.
pub(super) const COUNTRIES_MOST: usize = 300;

/// A window of a shard so far.
///
/// It stays below Lambda's megabyte whatever comes. A name takes six bytes of JSON for each of its own at the most, and a
/// counter 64 besides: 300 products with 128 bytes, 300 countries with 64, and 300 cities with 128 and a country come to 0.75 MB.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Counts {
    /// The sequence numbers of the first and the last record; empty without one.
    pub(super) first: String,
    pub(super) last: String,
    pub(super) events: u64,
    /// Those that happened before the window began, by their own time.
    pub(super) late: u64,
    /// Of the three steps, in their order.
    pub(super) steps: [u64; 3],
    pub(super) products: Sketch,
    pub(super) countries: Sketch,
    /// `country/city`: there is a Paris in more than one.
    pub(super) cities: Sketch,
}

/// How many different products and cities are counted.
#[derive(Clone, Copy)]
pub(super) struct Most {
    pub(super) products: usize,
    pub(super) cities: usize,
}

impl Most {
    pub(super) fn of(settings: &Settings) -> Self {
        let number = |name| usize::try_from(settings.integer(name)).unwrap_or(1);
        Self { products: number(PRODUCTS), cities: number(CITIES) }
    }
}

impl Counts {
    /// A state that is none of ours can only be one of an earlier version, and lasts for minutes.
    pub(super) fn of(state: &Value) -> Self {
        Self::deserialize(state).unwrap_or_default()
    }

    fn add(&mut self, window: &TumblingWindow<'_>, record: &StreamRecord<'_>) -> Result<(), Rejected> {
        let fields = ShallowFields::parse(text(record.data)?)?;
        let ShopEvent { step, product, country, city, timestamp_ms } = parse(&fields, record)?;
        let most = Most::of(window.settings);
        if self.events == 0 {
            record.sequence_number.clone_into(&mut self.first);
        }
        record.sequence_number.clone_into(&mut self.last);
        self.events += 1;
        self.late += u64::from(timestamp_ms < window.start_ms);
        if let Some(at) = super::STEPS.iter().position(|known| *known == step) {
            self.steps[at] += 1;
        }
        if let Some(product) = product {
            self.products.add(product, most.products);
        }
        if let Some(country) = country {
            self.countries.add(country, COUNTRIES_MOST);
        }
        if let Some(city) = city {
            self.cities.add(&format!("{}/{city}", country.unwrap_or(UNKNOWN)), most.cities);
        }
        Ok(())
    }
}

impl Windowed for Trends {
    fn metrics(&self) -> &'static [(&'static str, &'static [&'static str])] {
        &[("WindowEvents", &[]), ("LateEvents", &[]), ("ConversionRate", &["Step"]), ("TopProductEvents", &["Rank"])]
    }

    fn add(&self, window: &TumblingWindow<'_>, state: &mut Value, records: &[Record<'_>]) -> Vec<Count> {
        let mut counts = Counts::of(state);
        for record in records.iter().filter_map(|record| record.stream().ok()) {
            // Only records that were processed come here, so none is rejected now.
            let _ = counts.add(window, record);
        }
        *state = serde_json::to_value(counts).expect("texts and numbers always serialize");
        Vec::new()
    }

    #[expect(clippy::cast_precision_loss, reason = "no window has 2^53 events")]
    fn close(&self, _window: &TumblingWindow<'_>, state: &Value) -> Vec<Count> {
        let counts = Counts::of(state);
        let late = Count { value: counts.late as f64, ..Count::one("LateEvents") };
        vec![Count::sample("WindowEvents", counts.events as f64, Unit::Count), late]
    }

    fn stored(&self) -> Option<&dyn StoredWindows> {
        Some(self)
    }
}

impl StoredWindows for Trends {
    fn part(&self, window: &TumblingWindow<'_>, state: &Value) -> Option<Item> {
        let counts = Counts::of(state);
        (counts.events > 0).then(|| item::part(window, &counts))
    }

    fn merge(&self, settings: &Settings, items: &[Item]) -> Option<Merge> {
        item::merge(settings, items)
    }

    fn partition(&self, start_ms: i64) -> Attribute {
        Attribute::S(item::time(start_ms))
    }

    fn tallies(&self, item: &Item) -> Vec<Tally> {
        item::tallies(item)
    }

    fn tally(&self, item: &Item, name: &str) -> Tally {
        item::tally(item, name)
    }

    fn is_of_run(&self, item: &Item, run: &str) -> bool {
        item::is_of_run(item, run)
    }
}
