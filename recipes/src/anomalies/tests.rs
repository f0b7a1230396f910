use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::{ChangeKind, KeyKind, View};

const NOW_MS: i64 = 1_767_571_200_123;

/// The change that a result's coming, changing or going is.
fn change<'a>(kind: ChangeKind, keys: &'a Item, item: &'a Item) -> Record<'a> {
    Record::Change(Change {
        event_id: "c",
        sequence_number: "1",
        kind,
        table: "results",
        region: "eu-west-1",
        created_ms: NOW_MS + 5,
        size_bytes: 1,
        view: View::NewAndOldImages,
        keys,
        old: (kind != ChangeKind::Insert).then_some(item),
        new: (kind != ChangeKind::Remove).then_some(item),
        user: None,
    })
}

fn process(state: &mut Value, item: &Item, settings: &Settings) -> Result<Effects, Rejected> {
    let keys = Item::new();
    let record = change(ChangeKind::Insert, &keys, item);
    let key = Anomalies.key(&record);
    let before = state.clone();
    let result = Stateful::process(&Anomalies, settings, state, &record, 7);
    assert_eq!(key.err(), result.as_ref().err().cloned(), "the key's verdict is that on the record");
    if result.is_err() {
        assert_eq!(*state, before);
    }
    result
}

fn settings(given: &Value) -> Settings {
    Settings::read(&SETTINGS, given.as_object().unwrap()).unwrap()
}

fn item_of(write: &Write) -> Item {
    write.apply(None).unwrap()
}

/// What `validate` relies on: with whatever settings, unusual examples are found, and no others.
#[test]
fn examples_are_found_as_what_they_are() {
    for given in [
        json!({}),
        json!({"threshold": 1.0}),
        json!({"threshold": 3.5, "learn": 5}),
        json!({"threshold": 8.5, "learn": 100}),
        json!({"threshold": 100.0, "smoothing": 0.5}),
        json!({"smoothing": 0.001}),
    ] {
        let settings = settings(&given);
        let mut states = BTreeMap::<String, Value>::new();
        let (mut found, mut sought) = (0, 0);
        for (step, examples) in Anomalies.examples("run-7", NOW_MS, &settings).into_iter().enumerate() {
            for example in examples {
                let item = item_of(&example.write);
                let keys = Item::new();
                let key = Anomalies.key(&change(ChangeKind::Insert, &keys, &item)).unwrap();
                assert!(key.contains("run-7"), "a series of the run's own");
                let effects = process(states.entry(key).or_insert(Value::Null), &item, &settings).unwrap();
                let is_found = effects.items[0]["isAnomaly"] == Attribute::Bool(true);
                // From a threshold of one deviation on, regular values are found, too.
                if given["threshold"] != 1.0 || example.kind.is_some() {
                    assert_eq!(is_found, example.kind.is_some(), "{given}, step {step}: {:?}", effects.items[0]);
                }
                assert_eq!(effects.notifications.len(), usize::from(is_found));
                sought += usize::from(example.kind.is_some());
                found += usize::from(is_found);
            }
        }
        assert!(sought >= 2 && found >= sought);
    }
}

#[test]
fn a_result_is_scored_and_an_unusual_one_is_announced() {
    let settings = settings(&json!({"learn": 5, "keep": 3600}));
    let mut state = Value::Null;
    let purchase = |id: &str, amount: &str| {
        let metrics = [("amount", Attribute::N(amount.to_owned())), ("currency", Attribute::S("EUR".to_owned()))];
        cases::result(id, "purchase", "mobile", NOW_MS, Item::from(metrics))
    };
    for (id, amount) in [("a", "98"), ("b", "99"), ("c", "100"), ("d", "101"), ("e", "102")] {
        let effects = process(&mut state, &purchase(id, amount), &settings).unwrap();
        assert!(!effects.items[0].contains_key("score") && effects.counts.is_empty());
    }
    let effects = process(&mut state, &purchase("f", "130.10"), &settings).unwrap();
    let item = &effects.items[0];
    let plain: BTreeMap<&str, String> =
        item.iter().map(|(name, value)| (name, serde_json::to_string(value).unwrap())).collect();
    let expected = [
        ("at", r#"{"S":"2026-01-05T00:00:00.123Z#f"}"#),
        ("baseline", r#"{"S":"hour"}"#),
        ("currency", r#"{"S":"EUR"}"#),
        ("deviation", r#"{"N":"1.4826"}"#),
        ("deviceType", r#"{"S":"mobile"}"#),
        ("eventId", r#"{"S":"f"}"#),
        ("eventType", r#"{"S":"purchase"}"#),
        ("expected", r#"{"N":"100"}"#),
        ("expiresAt", r#"{"N":"1767574800"}"#),
        ("isAnomaly", r#"{"BOOL":true}"#),
        ("measure", r#"{"S":"amount"}"#),
        ("processedAt", r#"{"N":"7"}"#),
        ("score", r#"{"N":"20.3"}"#),
        ("series", r#"{"S":"purchase|mobile|EUR"}"#),
        ("value", r#"{"N":"130.1"}"#),
    ];
    assert_eq!(plain, expected.map(|(name, value)| (name, value.to_owned())).into_iter().collect());
    let message: Value = serde_json::from_str(&effects.notifications[0].message).unwrap();
    assert_eq!(
        (&message["value"], &message["expected"], &message["score"]),
        (&json!("130.1"), &json!("100"), &json!("20.3"))
    );
    assert_eq!(effects.notifications[0].subject, "Unusually high: amount of purchase-mobile-EUR");
    let counted: Vec<_> = effects.counts.iter().map(|count| (count.metric, count.dimensions.len())).collect();
    assert_eq!(counted, [("AnomalyScore", 1), ("Anomalies", 0), ("Anomalies", 1)]);
    let effects = process(&mut state, &purchase("g", "1"), &settings).unwrap();
    assert_eq!(effects.notifications[0].attributes["direction"], "low");
}

#[test]
fn only_what_comes_and_is_measured_is_judged() {
    let settings = Settings::defaults(&SETTINGS);
    let keys = Item::new();
    let view = |load_time: &str| {
        let metrics = Item::from([("loadTime", Attribute::N(load_time.to_owned()))]);
        cases::result("e", "page_view", "desktop", NOW_MS, metrics)
    };
    let item = view("812");
    for (kind, items) in [(ChangeKind::Insert, 1), (ChangeKind::Modify, 0), (ChangeKind::Remove, 0)] {
        let effects =
            Stateful::process(&Anomalies, &settings, &mut Value::Null, &change(kind, &keys, &item), 0).unwrap();
        assert_eq!(effects.items.len(), items, "{kind:?}");
    }
    for unmeasured in [view("0"), cases::result("e", "click", "mobile", NOW_MS, Item::new())] {
        let mut state = json!({"any": 1});
        assert_eq!(process(&mut state, &unmeasured, &settings), Ok(Effects::new()));
        assert_eq!(state, json!({"any": 1}));
    }
    let stream = Record::Stream(crate::StreamRecord::default());
    assert_eq!(Anomalies.key(&stream).unwrap_err().code, "wrong_source");
}

/// Every way in which an attribute of a result can be wrong, and what becomes of the result then.
#[test]
fn every_wrong_attribute_has_its_verdict() {
    const FINE: &str = "";
    let n = |number: &str| Some(Attribute::N(number.to_owned()));
    let s = |text: &str| Some(Attribute::S(text.to_owned()));
    let values: Vec<(Option<Attribute>, [&str; 6])> = vec![
        // eventId and eventType; deviceType and currency; timestamp; metrics; amount; loadTime.
        (None, ["missing_field", FINE, FINE, "missing_field", "missing_field", FINE]),
        (Some(Attribute::Null), ["missing_field", FINE, FINE, "wrong_type", "missing_field", FINE]),
        (s(""), ["missing_field", FINE, "wrong_type", "wrong_type", "wrong_type", "wrong_type"]),
        (s("7"), [FINE, FINE, "wrong_type", "wrong_type", "wrong_type", "wrong_type"]),
        (n("7"), ["wrong_type", "wrong_type", FINE, "wrong_type", FINE, FINE]),
        (n("1.5"), ["wrong_type", "wrong_type", "out_of_range", "wrong_type", FINE, FINE]),
        (n("-1"), ["wrong_type", "wrong_type", "out_of_range", "wrong_type", "out_of_range", "out_of_range"]),
        (n("1e100"), ["wrong_type", "wrong_type", "out_of_range", "wrong_type", "out_of_range", "out_of_range"]),
        (n("x"), ["wrong_type", "wrong_type", "out_of_range", "wrong_type", "out_of_range", "out_of_range"]),
        (Some(Attribute::Bool(true)), ["wrong_type"; 6]),
        (Some(Attribute::List(Vec::new())), ["wrong_type"; 6]),
        (Some(Attribute::B(vec![0])), ["wrong_type"; 6]),
    ];
    let settings = Settings::defaults(&SETTINGS);
    let mut seen = 0;
    for (event_type, fields) in [
        (
            "purchase",
            &[
                ("eventId", 0),
                ("eventType", 0),
                ("deviceType", 1),
                ("currency", 1),
                ("timestamp", 2),
                ("metrics", 3),
                ("amount", 4),
            ][..],
        ),
        ("page_view", &[("eventId", 0), ("eventType", 0), ("deviceType", 1), ("timestamp", 2), ("loadTime", 5)][..]),
    ] {
        for (field, column) in fields {
            for (value, expected) in &values {
                let metrics = Item::from([
                    ("amount", Attribute::N("19.9".to_owned())),
                    ("currency", Attribute::S("EUR".to_owned())),
                    ("loadTime", Attribute::N("812.5".to_owned())),
                ]);
                let mut item = cases::result("e", event_type, "mobile", NOW_MS, metrics);
                let mut metrics = match item.remove("metrics") {
                    Some(Attribute::Map(metrics)) => metrics,
                    other => panic!("{other:?}"),
                };
                let place = if metrics.contains_key(field) { &mut metrics } else { &mut item };
                match value {
                    Some(value) => drop(place.insert((*field).to_owned(), value.clone())),
                    None => drop(place.remove(field)),
                }
                if *field != "metrics" {
                    item.insert("metrics", Attribute::Map(metrics));
                }
                let verdict = process(&mut Value::Null, &item, &settings);
                let code = verdict.as_ref().err().map_or(FINE, |rejected| rejected.code);
                assert_eq!(code, expected[*column], "{event_type}: {field} = {value:?}: {verdict:?}");
                if let Err(rejected) = verdict {
                    assert!(rejected.message.contains(field), "{rejected}");
                }
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 12 * values.len());
    let mut item = cases::result("e", "page_view", "mobile", NOW_MS, Item::new());
    item.insert("metrics", Attribute::Map(Item::new()));
    assert_eq!(process(&mut Value::Null, &item, &settings), Ok(Effects::new()));
    item.insert("eventId", Attribute::S("x".repeat(513)));
    assert_eq!(process(&mut Value::Null, &item, &settings).unwrap_err().code, "too_long");
}

#[test]
fn names_of_any_length_make_keys_that_dynamodb_takes_and_few_metrics() {
    let settings = settings(&json!({"learn": 5}));
    let mut dimensions = std::collections::BTreeSet::new();
    let mut state = Value::Null;
    for n in 0..200 {
        let long = "x".repeat(n);
        let metrics = [("amount", Attribute::N("1".to_owned())), ("currency", Attribute::S(format!("{n}{long}")))];
        let item = cases::result(&"e".repeat(512), "purchase", &format!("{n}{long}"), NOW_MS, Item::from(metrics));
        let keys = Item::new();
        let key = Anomalies.key(&change(ChangeKind::Insert, &keys, &item)).unwrap();
        assert!(key.len() <= 150);
        let effects = process(&mut state, &item, &settings).unwrap();
        for (name, kind) in [("series", KeyKind::S), ("at", KeyKind::S)] {
            let Attribute::S(text) = &effects.items[0][name] else { panic!("{kind:?}") };
            assert!((1..=1024).contains(&text.len()));
        }
        dimensions.extend(effects.counts.iter().flat_map(|count| count.dimensions.clone()));
    }
    assert_eq!(dimensions.len(), 1, "{dimensions:?}");
}
