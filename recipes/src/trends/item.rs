//! The items of windows: one of each shard, and the merge of those of all shards.

use super::sketch::{Counter, Sketch};
use super::window::{COUNTRIES_MOST, Counts, Most};
use super::{KEEP, STEPS};
use crate::{Attribute, Count, Item, Merge, Settings, Tally, TumblingWindow, Unit};

/// The partition key: when the window begins.
pub(super) const WINDOW: &str = "window";

/// The sort key: the shard, with the number of the first record; or, of the merge, [`ALL`].
pub(super) const PART: &str = "part";

/// The merge's sort key. It comes before those of shards.
const ALL: &str = "all";

/// The merge's number of parts, which never becomes less.
const PARTS: &str = "parts";

/// The first products of a window that get a metric each.
const RANKS: usize = 5;

/// The rates of conversion, each with the places of its two steps.
const RATES: [(&str, usize, usize); 3] =
    [("view-to-cart", 0, 1), ("cart-to-purchase", 1, 2), ("view-to-purchase", 0, 2)];

/// A point in time as keys have it, such as `2026-01-02T03:04:00Z`.
pub(super) fn time(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).unwrap_or_default().to_string()
}

/// The item of a shard's window. Its key says where the records lie that it is of: should Lambda open a window of a shard once
/// more, for records that came out of order, say, then those are a part of their own.
pub(super) fn part(window: &TumblingWindow<'_>, counts: &Counts) -> Item {
    let expires = window.end_ms.div_euclid(1000) + window.settings.integer(KEEP);
    let mut item = counted(counts);
    item.extend([
        (WINDOW, Attribute::S(time(window.start_ms))),
        (PART, Attribute::S(format!("{}#{}", window.shard_id, counts.first))),
        ("windowEnd", Attribute::S(time(window.end_ms))),
        ("shardId", Attribute::S(window.shard_id.to_owned())),
        ("firstSequenceNumber", Attribute::S(counts.first.clone())),
        ("lastSequenceNumber", Attribute::S(counts.last.clone())),
        ("expiresAt", Attribute::N(expires.to_string())),
    ]);
    item
}

/// What every item says of its window.
fn counted(counts: &Counts) -> Item {
    let steps = STEPS.iter().zip(counts.steps).map(|(name, count)| (*name, number(count)));
    let rates = RATES.iter().filter_map(|(name, from, to)| {
        let rate = ten_thousandths(counts.steps[*to], counts.steps[*from])?;
        Some((*name, Attribute::N(decimal(rate))))
    });
    let mut item = Item::from([
        ("events", number(counts.events)),
        ("lateEvents", number(counts.late)),
        ("steps", Attribute::Map(steps.collect())),
        ("conversion", Attribute::Map(rates.collect())),
    ]);
    for (name, sketch) in [("products", &counts.products), ("countries", &counts.countries), ("cities", &counts.cities)]
    {
        item.insert(name, ranking(sketch));
    }
    item
}

/// The counters of a sketch, the highest first; and what has no counter.
fn ranking(sketch: &Sketch) -> Attribute {
    let entry = |(name, counter): (&str, Counter)| {
        let mut entry = Item::from([("name", Attribute::S(name.to_owned())), ("events", number(counter.count))]);
        if counter.excess > 0 {
            entry.insert("excess", number(counter.excess));
        }
        Attribute::Map(entry)
    };
    Attribute::Map(Item::from([
        ("exact", Attribute::Bool(sketch.is_exact())),
        ("others", number(sketch.uncounted)),
        ("top", Attribute::List(sketch.ranked().into_iter().map(entry).collect())),
    ]))
}

fn number(number: u64) -> Attribute {
    Attribute::N(number.to_string())
}

/// A share in ten thousandths, rounded; `None` of nothing.
fn ten_thousandths(part: u64, whole: u64) -> Option<u64> {
    (whole > 0).then(|| {
        let (part, whole) = (u128::from(part), u128::from(whole));
        u64::try_from((part * 20_000 + whole) / (2 * whole)).unwrap_or(u64::MAX)
    })
}

/// Ten thousandths as DynamoDB writes them, such as `0.125`.
fn decimal(ten_thousandths: u64) -> String {
    let (whole, rest) = (ten_thousandths / 10_000, ten_thousandths % 10_000);
    match format!("{rest:04}").trim_end_matches('0') {
        "" => whole.to_string(),
        fraction => format!("{whole}.{fraction}"),
    }
}

/// What an item of a shard says; `None` for any other.
struct Part {
    shard: String,
    counts: Counts,
    item: Item,
}

impl Part {
    fn of(item: &Item) -> Option<Self> {
        let text = |name: &str| match item.get(name)? {
            Attribute::S(text) => Some(text.clone()),
            _ => None,
        };
        let steps = of_map(item.get("steps")?)?;
        let counts = Counts {
            first: text("firstSequenceNumber")?,
            last: text("lastSequenceNumber")?,
            events: of_number(item.get("events")?)?,
            late: of_number(item.get("lateEvents")?)?,
            steps: STEPS.map(|step| steps.get(step).and_then(of_number).unwrap_or_default()),
            products: of_ranking(item.get("products")?)?,
            countries: of_ranking(item.get("countries")?)?,
            cities: of_ranking(item.get("cities")?)?,
        };
        Some(Self { shard: text("shardId")?, counts, item: item.clone() })
    }

    /// Whether no record of the other can be one of these: sequence numbers rise, and of two the longer is the greater.
    fn is_before(&self, other: &Self) -> bool {
        let key = |number: &String| (number.len(), number.clone());
        key(&self.counts.last) < key(&other.counts.first)
    }
}

fn of_map(attribute: &Attribute) -> Option<&Item> {
    if let Attribute::Map(map) = attribute { Some(map) } else { None }
}

fn of_number(attribute: &Attribute) -> Option<u64> {
    if let Attribute::N(number) = attribute { number.parse().ok() } else { None }
}

fn of_ranking(attribute: &Attribute) -> Option<Sketch> {
    let ranking = of_map(attribute)?;
    let Some(Attribute::List(top)) = ranking.get("top") else { return None };
    let entry = |entry: &Attribute| {
        let entry = of_map(entry)?;
        let Some(Attribute::S(name)) = entry.get("name") else { return None };
        let excess = entry.get("excess").and_then(of_number).unwrap_or_default();
        Some((name.clone(), Counter { count: of_number(entry.get("events")?)?, excess }))
    };
    let counters = top.iter().map(entry).collect::<Option<_>>()?;
    Some(Sketch { counters, uncounted: of_number(ranking.get("others")?)? })
}

/// Those parts that have no record in common. A mapping that is made anew begins some minutes earlier, and so may close the rest
/// of a window that was closed before: of two parts of a shard with the same records the one with more of them counts.
fn disjoint(mut parts: Vec<Part>) -> Vec<Part> {
    parts.sort_by_cached_key(|part| (part.shard.clone(), part.counts.first.len(), part.counts.first.clone()));
    let mut kept: Vec<Part> = Vec::new();
    for part in parts {
        match kept.last_mut() {
            Some(last) if last.shard == part.shard && !last.is_before(&part) => {
                if part.counts.events > last.counts.events {
                    *last = part;
                }
            }
            _ => kept.push(part),
        }
    }
    kept
}

pub(super) fn merge(settings: &Settings, items: &[Item]) -> Option<Merge> {
    let parts: Vec<Part> = items.iter().filter_map(Part::of).collect();
    let all = parts.len();
    let parts = disjoint(parts);
    let first = parts.first()?;
    let counts = || parts.iter().map(|part| &part.counts);
    let most = Most::of(settings);
    let merged = Counts {
        first: String::new(),
        last: String::new(),
        events: counts().map(|counts| counts.events).sum(),
        late: counts().map(|counts| counts.late).sum(),
        steps: std::array::from_fn(|step| counts().map(|counts| counts.steps[step]).sum()),
        products: Sketch::merge(counts().map(|counts| &counts.products), most.products),
        countries: Sketch::merge(counts().map(|counts| &counts.countries), COUNTRIES_MOST),
        cities: Sketch::merge(counts().map(|counts| &counts.cities), most.cities),
    };
    let mut item = counted(&merged);
    for name in [WINDOW, "windowEnd", "expiresAt"] {
        item.insert(name, first.item.get(name)?.clone());
    }
    item.insert(PART, Attribute::S(ALL.to_owned()));
    item.insert(PARTS, Attribute::N(all.to_string()));
    Some(Merge { item, grows: PARTS, counts: metrics(&merged) })
}

/// What is counted of a merge. A window of several shards is merged once for each that closes, so the highest value of these is
/// that of the whole.
#[expect(clippy::cast_precision_loss, reason = "no window has 2^53 events")]
fn metrics(counts: &Counts) -> Vec<Count> {
    let rates = RATES.iter().filter_map(|(name, from, to)| {
        let rate = ten_thousandths(counts.steps[*to], counts.steps[*from])?;
        Some(Count::sample("ConversionRate", rate as f64 / 100.0, Unit::Percent).of("Step", *name))
    });
    let ranked = counts.products.ranked();
    let ranks = ranked.iter().take(RANKS).enumerate().map(|(place, (_, counter))| {
        Count::sample("TopProductEvents", counter.count as f64, Unit::Count).of("Rank", (place + 1).to_string())
    });
    rates.chain(ranks).collect()
}

/// What is counted by name, and the word for one.
const NAMED: [(&str, &str); 3] = [("products", "product"), ("countries", "country"), ("cities", "city")];

pub(super) fn tallies(item: &Item) -> Vec<Tally> {
    let exactly = |name: String, count: u64| Tally { name, least: count, most: count };
    let mut all = Vec::new();
    all.extend(item.get("events").and_then(of_number).map(|events| exactly("events".to_owned(), events)));
    let steps = item.get("steps").and_then(of_map);
    let steps = steps.into_iter().flat_map(Item::iter);
    all.extend(steps.filter_map(|(name, count)| Some(exactly(format!("step {name}"), of_number(count)?))));
    for (attribute, word) in NAMED {
        let sketch = item.get(attribute).and_then(of_ranking).unwrap_or_default();
        all.extend(sketch.counters.into_iter().map(|(name, Counter { count, excess })| Tally {
            name: format!("{word} {name}"),
            least: count - excess,
            most: count,
        }));
    }
    all
}

pub(super) fn tally(item: &Item, name: &str) -> Tally {
    if let Some(tally) = tallies(item).into_iter().find(|tally| tally.name == name) {
        return tally;
    }
    let of_kind = NAMED.iter().find(|(_, word)| name.split_once(' ').is_some_and(|(kind, _)| kind == *word));
    let sketch = of_kind.and_then(|(attribute, _)| of_ranking(item.get(attribute)?)).unwrap_or_default();
    Tally { name: name.to_owned(), least: 0, most: sketch.uncounted }
}

pub(super) fn is_of_run(item: &Item, run: &str) -> bool {
    let products = item.get("products").and_then(of_ranking).unwrap_or_default();
    let of_run = products.counters.iter().filter(|(name, _)| name.contains(run));
    // Each sample event has a product.
    products.is_exact()
        && item.get("events").and_then(of_number) == Some(of_run.map(|(_, counter)| counter.count).sum())
}
