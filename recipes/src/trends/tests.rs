use serde_json::{Value, json};

use super::*;
use crate::{Attribute, Item, Merge, Settings, StoredWindows, TumblingWindow};

const START_MS: i64 = 1_700_000_040_000;

fn settings(given: &Value) -> Settings {
    Settings::read(Trends.settings(), given.as_object().unwrap()).unwrap()
}

fn window<'a>(shard_id: &'a str, settings: &'a Settings) -> TumblingWindow<'a> {
    TumblingWindow { start_ms: START_MS, end_ms: START_MS + 60_000, shard_id, settings }
}

fn event(step: &str, product: &str, country: &str, city: &str) -> Vec<u8> {
    json!({"userId": "u", "eventType": step, "productId": product, "country": country, "city": city,
        "timestamp": START_MS + 1})
    .to_string()
    .into_bytes()
}

/// Adds events to a state, the first with this sequence number.
fn add(window: &TumblingWindow<'_>, state: &mut Value, first: usize, events: &[Vec<u8>]) {
    let numbers: Vec<String> = (first..first + events.len()).map(|n| n.to_string()).collect();
    let records = events.iter().zip(&numbers).map(|(data, sequence_number)| {
        Record::Stream(StreamRecord {
            shard_id: window.shard_id,
            sequence_number,
            arrival_ms: START_MS + 5,
            data,
            ..StreamRecord::default()
        })
    });
    let counts = Trends.add(window, state, &records.collect::<Vec<_>>());
    assert!(counts.is_empty());
}

fn part(window: &TumblingWindow<'_>, first: usize, events: &[Vec<u8>]) -> Option<Item> {
    let mut state = json!({});
    add(window, &mut state, first, events);
    Trends.part(window, &state)
}

fn plain(item: &Item) -> Value {
    fn value(attribute: &Attribute) -> Value {
        match attribute {
            Attribute::S(text) | Attribute::N(text) => json!(text),
            Attribute::Bool(yes) => json!(yes),
            Attribute::List(all) => all.iter().map(value).collect(),
            Attribute::Map(item) => plain(item),
            other => json!(format!("{other:?}")),
        }
    }
    Value::Object(item.iter().map(|(name, attribute)| (name.to_owned(), value(attribute))).collect())
}

#[test]
fn a_window_says_what_came_and_where_from() {
    let settings = settings(&json!({"keep": 3600}));
    let window = window("shardId-000000000001", &settings);
    let events = [
        event("view", "P1", "DE", "Ulm"),
        event("view", "P2", "DE", "Köln"),
        event("view", "P1", "", "Ulm"),
        event("add_to_cart", "P1", "FR", ""),
        json!({"userId": "u", "eventType": "search", "timestamp": 1}).to_string().into_bytes(),
    ];
    let item = part(&window, 7, &events).unwrap();
    assert_eq!(
        plain(&item),
        json!({
            "window": "2023-11-14T22:14:00Z", "part": "shardId-000000000001#7", "windowEnd": "2023-11-14T22:15:00Z",
            "shardId": "shardId-000000000001", "firstSequenceNumber": "7", "lastSequenceNumber": "11",
            "expiresAt": "1700003700", "events": "5", "lateEvents": "1",
            "steps": {"view": "3", "add_to_cart": "1", "purchase": "0"},
            "conversion": {"view-to-cart": "0.3333", "view-to-purchase": "0", "cart-to-purchase": "0"},
            "products": {"exact": true, "others": "0", "top": [{"name": "P1", "events": "3"}, {"name": "P2", "events": "1"}]},
            "countries": {"exact": true, "others": "0", "top": [{"name": "DE", "events": "2"}, {"name": "FR", "events": "1"}]},
            "cities": {"exact": true, "others": "0", "top": [
                {"name": "DE/Köln", "events": "1"}, {"name": "DE/Ulm", "events": "1"}, {"name": "unknown/Ulm", "events": "1"}]},
        })
    );
    let mut state = json!({});
    add(&window, &mut state, 7, &events);
    let counts = Trends.close(&window, &state);
    let counted: Vec<_> = counts.iter().map(|count| (count.metric, count.value.to_string())).collect();
    assert_eq!(counted, [("WindowEvents", "5".to_owned()), ("LateEvents", "1".to_owned())]);
}

#[test]
fn a_window_without_events_leaves_nothing() {
    let settings = settings(&json!({}));
    let window = window("s", &settings);
    for state in [json!({}), json!(null), json!("another version's")] {
        assert_eq!(Trends.part(&window, &state), None);
        assert!(Trends.close(&window, &state).iter().all(|count| count.value.abs() < f64::EPSILON));
    }
    assert_eq!(Trends.merge(&settings, &[]), None);
    // What is in the table besides is no part of it.
    assert_eq!(Trends.merge(&settings, &[Item::from([("window", Attribute::S("x".to_owned()))])]), None);
}

/// The table as the function writes it: an item for each key, and a merge only over one of fewer parts.
#[derive(Default)]
struct Table(std::collections::BTreeMap<Attribute, Item>);

impl Table {
    fn put(&mut self, item: Item) {
        self.0.insert(item["part"].clone(), item);
    }

    fn items(&self) -> Vec<Item> {
        self.0.values().cloned().collect()
    }

    fn put_merge(&mut self, merge: &Merge) {
        let parts = |item: &Item| match &item[merge.grows] {
            Attribute::N(number) => number.parse::<u64>().unwrap(),
            other => panic!("{other:?}"),
        };
        let all = Attribute::S("all".to_owned());
        if self.0.get(&all).is_none_or(|there| parts(there) <= parts(&merge.item)) {
            self.put(merge.item.clone());
        }
    }
}

/// Whatever the order in which shards close, however often, and whatever they have read when they write: the merge in the
/// end is that of all.
#[test]
fn the_last_merge_is_of_all_shards_in_whatever_order_they_close() {
    let mut rng = fastrand::Rng::with_seed(11);
    let settings = settings(&json!({}));
    for round in 0..200 {
        let shards: Vec<String> = (0..rng.usize(1..6)).map(|n| format!("shardId-{n:012}")).collect();
        let mut parts = Vec::new();
        let mut total = 0;
        for shard in &shards {
            let window = window(shard, &settings);
            let mut first = 0;
            // More than one part where a window is opened again.
            for _ in 0..rng.usize(0..3) {
                let events: Vec<_> = (0..rng.usize(1..20))
                    .map(|_| event(STEPS[rng.usize(..3)], &format!("P{}", rng.u32(..9)), "DE", "Ulm"))
                    .collect();
                total += events.len();
                parts.push(part(&window, first, &events).unwrap());
                first += events.len();
            }
        }
        let expected = Trends.merge(&settings, &parts);
        let mut table = Table::default();
        // Each closing puts its part, reads, and writes the merge; what it does is mixed with what others do, and some closings
        // are delivered again.
        let mut closings: Vec<(usize, Option<Vec<Item>>)> = (0..parts.len()).map(|part| (part, None)).collect();
        closings.extend((0..parts.len()).filter(|_| rng.bool()).map(|part| (part, None)).collect::<Vec<_>>());
        while !closings.is_empty() {
            let at = rng.usize(..closings.len());
            match closings[at].1.take() {
                None => {
                    table.put(parts[closings[at].0].clone());
                    closings[at].1 = Some(table.items());
                }
                Some(read) => {
                    table.put_merge(&Trends.merge(&settings, &read).unwrap());
                    closings.swap_remove(at);
                }
            }
        }
        let merged = table.0.get(&Attribute::S("all".to_owned()));
        assert_eq!(merged, expected.as_ref().map(|merge| &merge.item), "round {round}");
        if let Some(merged) = merged {
            assert_eq!(plain(merged)["events"], total.to_string(), "round {round}");
        }
    }
}

#[test]
fn records_that_were_read_twice_count_once() {
    let settings = settings(&json!({}));
    let window = window("s", &settings);
    let events: Vec<_> = (0..10).map(|n| event("view", &format!("P{n}"), "DE", "Ulm")).collect();
    let whole = part(&window, 995, &events).unwrap();
    // A mapping that was made anew began in the middle; later records of the window came out of order.
    let rest = part(&window, 1000, &events[5..]).unwrap();
    let late = part(&window, 1005, &events[..2]).unwrap();
    let merged = |items: &[&Item]| {
        let items: Vec<Item> = items.iter().map(|item| (*item).clone()).collect();
        plain(&Trends.merge(&settings, &items).unwrap().item)["events"].clone()
    };
    assert_eq!(merged(&[&whole]), "10");
    assert_eq!(merged(&[&rest, &whole]), "10");
    assert_eq!(merged(&[&whole, &rest, &late]), "12");
    assert_eq!(merged(&[&late, &rest]), "7");
}

#[test]
fn a_merge_counts_its_rates_and_ranks() {
    let settings = settings(&json!({}));
    let window = window("s", &settings);
    let mut events: Vec<_> = (0..8).map(|_| event("view", "P1", "DE", "Ulm")).collect();
    events.extend([event("add_to_cart", "P2", "DE", "Ulm"), event("purchase", "P2", "DE", "Ulm")]);
    let merge = Trends.merge(&settings, &[part(&window, 1, &events).unwrap()]).unwrap();
    let counted: Vec<_> = merge
        .counts
        .iter()
        .map(|count| format!("{} {} {}", count.metric, count.dimensions[0].1, count.value))
        .collect();
    assert_eq!(
        counted,
        [
            "ConversionRate view-to-cart 12.5",
            "ConversionRate cart-to-purchase 100",
            "ConversionRate view-to-purchase 12.5",
            "TopProductEvents 1 8",
            "TopProductEvents 2 2"
        ]
    );
    let tallies = Trends.tallies(&merge.item);
    let named = |name: &str| tallies.iter().find(|tally| tally.name == name).map(|tally| (tally.least, tally.most));
    assert_eq!(
        (named("events"), named("step view"), named("product P2")),
        (Some((10, 10)), Some((8, 8)), Some((2, 2)))
    );
    assert_eq!((named("country DE"), named("city DE/Ulm"), named("city")), (Some((10, 10)), Some((10, 10)), None));
    let absent = Trends.tally(&merge.item, "product P3");
    assert_eq!((absent.least, absent.most), (0, 0));
    assert_eq!(Trends.tally(&merge.item, "step purchase").most, 1);
    assert!(Trends.is_of_run(&merge.item, "P") && !Trends.is_of_run(&merge.item, "P1"));
    // A merge is no part of another one.
    assert_eq!(Trends.merge(&settings, &[merge.item]), None);
}

#[test]
fn state_and_items_stay_within_their_limits_whatever_comes() {
    let settings = settings(&json!({"products": 300, "cities": 300}));
    let window = window("shardId-000000000000", &settings);
    let mut state = json!({});
    // The names that take the most room in JSON: each byte is written as six.
    let name = |n: usize, bytes: usize| {
        format!("{}{}", format!("{n:010b}").replace('0', "\u{1}").replace('1', "\u{2}"), "\u{1}".repeat(bytes - 10))
    };
    let events: Vec<_> = (0..900).map(|n| event("view", &name(n, 128), &name(n, 64), &name(n, 128))).collect();
    add(&window, &mut state, 1, &events);
    let bytes = state.to_string().len();
    assert!((500_000..1_000_000).contains(&bytes), "{bytes}");
    let part = Trends.part(&window, &state).unwrap();
    let merge = Trends.merge(&settings, std::slice::from_ref(&part)).unwrap().item;
    for item in [&part, &merge] {
        // DynamoDB counts a byte for each of a text, and some for each value of a list or map.
        let bytes = plain(item).to_string().replace("\\u000", "").len();
        assert!(bytes < 300_000, "{bytes}");
        assert_eq!(plain(item)["products"]["exact"], false);
        let absent = Trends.tally(item, "product P3");
        assert_eq!((absent.least, absent.most), (0, 2), "three names shared each counter, one after the other");
        assert!(!Trends.is_of_run(item, "\u{1}"));
    }
    assert_eq!(plain(&part)["events"], "900");
}

#[test]
fn events_are_counted_by_step_and_by_known_countries() {
    let of = |data: &[u8]| {
        let record = StreamRecord { sequence_number: "1", data, ..StreamRecord::default() };
        let effects = Trends.process(&Record::Stream(record), 0).unwrap();
        assert!(effects.items.is_empty());
        effects.counts.into_iter().map(|count| count.dimensions[0].1.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of(&event("view", "P", "DE", "Ulm")), ["view", "DE"]);
    assert_eq!(of(&event("wishlist", "P", "Atlantis", "")), ["other", "other"]);
    assert_eq!(of(&event("purchase", "P", "", "")), ["purchase", "unknown"]);
}
