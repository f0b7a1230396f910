//! Tests of the recipe: each reason and its limits, what fraud and honest shoppers come to, and that nothing makes a state grow.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::*;

const NOW_MS: i64 = 1_700_000_000_000;
const MINUTE_MS: i64 = 60_000;

/// One function with its memory: a state for each key.
struct Function {
    settings: Settings,
    states: BTreeMap<String, Value>,
    records: usize,
}

impl Function {
    fn new(given: &Value) -> Self {
        let settings = Settings::read(&limits::SETTINGS, given.as_object().unwrap()).unwrap();
        Self { settings, states: BTreeMap::new(), records: 0 }
    }

    fn play(&mut self, data: &[u8]) -> Result<Effects, Rejected> {
        self.records += 1;
        let sequence_number = self.records.to_string();
        let record = StreamRecord {
            shard_id: "shardId-000000000000",
            sequence_number: &sequence_number,
            partition_key: "p",
            arrival_ms: NOW_MS,
            data,
            ..StreamRecord::default()
        };
        let record = Record::Stream(record);
        let state = self.states.entry(Fraud.key(&record)?).or_default();
        Stateful::process(&Fraud, &self.settings, state, &record, NOW_MS)
    }

    /// Plays a purchase of the user `u` with these fields, and gives its score and the names of its reasons.
    fn purchase(&mut self, at_ms: i64, fields: &Value) -> (i64, Vec<String>) {
        let mut payload = json!({"userId": "u", "eventType": "purchase", "timestamp": at_ms});
        payload.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let effects = self.play(payload.to_string().as_bytes()).unwrap();
        let item = &effects.items[0];
        let Attribute::N(score) = &item["score"] else { panic!("{item:?}") };
        (score.parse().unwrap(), reasons(item))
    }
}

fn reasons(item: &Item) -> Vec<String> {
    let Attribute::List(reasons) = &item["reasons"] else { panic!("{item:?}") };
    let name = |reason: &Attribute| match reason {
        Attribute::Map(reason) => match &reason["reason"] {
            Attribute::S(name) => name.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    reasons.iter().map(name).collect()
}

fn is_found(item: &Item) -> bool {
    let (name, value) = Fraud.found_by();
    item[name] == value
}

fn plain() -> Function {
    Function::new(&json!({}))
}

#[test]
fn a_flagged_purchase_has_an_item_a_notification_and_counts() {
    let mut function = plain();
    let at_home = json!({"latitude": 53.55, "longitude": "9.990", "deviceId": "phone"});
    assert_eq!(function.purchase(NOW_MS - 10 * MINUTE_MS, &at_home), (0, Vec::new()));
    let event = format!(
        r#"{{"userId":"u","eventType":"purchase","productId":"P1","timestamp":{NOW_MS},"amount":19.90,"currency":"EUR",
            "deviceId":"other","country":"US","city":"Chicago","latitude":41.88,"longitude":-87.63}}"#
    );
    let effects = function.play(event.as_bytes()).unwrap();
    let n = |text: &str| Attribute::N(text.to_owned());
    let s = |text: &str| Attribute::S(text.to_owned());
    let hop = Item::from([
        ("reason", s("impossible-hop")),
        ("score", n("60")),
        ("kilometers", n("6830.06")),
        ("seconds", n("600")),
        ("kilometersPerHour", n("40980.34")),
        ("limit", n("1000")),
        ("fromLatitude", n("53.55")),
        ("fromLongitude", n("9.99")),
    ]);
    let device = Item::from([("reason", s("new-device")), ("score", n("25")), ("knownDevices", n("1"))]);
    let mut item = effects.items[0].clone();
    let Some(Attribute::N(sort_key)) = item.remove("eventTimestamp") else { panic!("{item:?}") };
    assert!(sort_key.starts_with("1700000000000."), "{sort_key}");
    let expected = Item::from([
        ("userId", s("u")),
        ("eventType", s("purchase")),
        ("productId", s("P1")),
        ("recordId", s("shardId-000000000000:2")),
        ("processedAt", n("1700000000000")),
        ("amount", n("19.9")),
        ("currency", s("EUR")),
        ("deviceId", s("other")),
        ("country", s("US")),
        ("city", s("Chicago")),
        ("latitude", n("41.88")),
        ("longitude", n("-87.63")),
        ("score", n("85")),
        ("flagged", Attribute::Bool(true)),
        ("reasons", Attribute::List(vec![Attribute::Map(hop), Attribute::Map(device)])),
    ]);
    assert_eq!(item, expected);
    let notification = &effects.notifications[0];
    assert_eq!(notification.subject, "Suspicious shopper: impossible-hop, score 85");
    let attributes = [("eventId", "shardId-000000000000:2"), ("reason", "impossible-hop")];
    assert_eq!(notification.attributes, attributes.map(|(name, value)| (name, value.to_owned())).into());
    let message: Value = serde_json::from_str(&notification.message).unwrap();
    assert_eq!(message["amount"], "19.9");
    assert_eq!(message["reasons"][0]["kilometers"], json!(6830.06));
    assert_eq!(
        (&message["userId"], &message["score"], &message["reasons"][1]["score"]),
        (&json!("u"), &json!(85), &json!(25))
    );
    let counts = [
        Count::one("FlaggedEvents"),
        Count::one("FlaggedEvents").of("Reason", "impossible-hop"),
        Count::one("FlaggedEvents").of("Reason", "new-device"),
    ];
    assert_eq!(effects.counts, counts);
}

#[test]
fn what_is_not_flagged_is_an_item_and_nothing_else() {
    let effects = plain().play(br#"{"userId":"u","eventType":"view"}"#).unwrap();
    assert_eq!((effects.items.len(), effects.notifications.len(), effects.counts.len()), (1, 0, 0));
    assert_eq!(effects.items[0]["flagged"], Attribute::Bool(false));
    assert_eq!(effects.items[0]["reasons"], Attribute::List(Vec::new()));
    assert!(!effects.items[0].contains_key("currency"), "a currency without an amount says nothing");
}

#[test]
fn purchases_are_counted_in_the_fullest_window_whatever_their_order() {
    let limit = 10 * MINUTE_MS;
    for order in [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 0, 5, 1, 4, 2]] {
        for (apart, expected) in [(limit / 5 - 1, 60), (limit / 5, 0)] {
            let mut function = plain();
            let scores = order.map(|n| function.purchase(NOW_MS + n * apart, &json!({})).0);
            assert_eq!(scores, [0, 0, 0, 0, 0, expected], "{apart} ms apart, in the order {order:?}");
        }
    }
    // Views are no purchases.
    let mut function = plain();
    for _ in 0..20 {
        assert_eq!(function.purchase(NOW_MS, &json!({"eventType": "view"})).0, 0);
    }
}

#[test]
fn a_window_starts_after_a_pause_and_an_event_from_the_future_hides_nothing() {
    let mut function = plain();
    for n in 0..5 {
        assert_eq!(function.purchase(NOW_MS + n, &json!({})).0, 0);
    }
    for far in [253_402_300_799_999, 0] {
        assert_eq!(function.purchase(far, &json!({})).0, 0);
    }
    assert_eq!(function.purchase(NOW_MS + 11 * MINUTE_MS, &json!({})).0, 0, "eleven minutes later");
    assert_eq!(function.purchase(NOW_MS + 5, &json!({})), (60, vec!["velocity-purchases".to_owned()]));
}

#[test]
fn money_is_added_up_exactly_and_by_currency() {
    let mut function = plain();
    let spend = |amount: &str, currency: &str| json!({"amount": amount, "currency": currency});
    assert_eq!(function.purchase(NOW_MS, &spend("1999.90", "EUR")).0, 0);
    assert_eq!(function.purchase(NOW_MS, &spend("1999.90", "USD")).0, 0, "another currency");
    assert_eq!(function.purchase(NOW_MS, &spend("0.1", "EUR")).0, 0, "just the limit");
    let (score, reasons) = function.purchase(NOW_MS, &spend("0.000000000000000001", "EUR"));
    assert_eq!((score, reasons), (60, vec!["velocity-amount".to_owned()]));
    let mut function = Function::new(&json!({"velocity_amount": 0.3, "velocity_purchases": 100}));
    for _ in 0..3 {
        assert_eq!(function.purchase(NOW_MS, &spend("0.1", "EUR")).0, 0, "three times 0.1 are 0.3");
    }
    // What was computed is in the item to the last digit.
    let huge = json!({"userId": "u", "eventType": "purchase", "timestamp": NOW_MS, "currency": "EUR",
        "amount": "999999999999999.999999999999999999"});
    let item = function.play(huge.to_string().as_bytes()).unwrap().items.remove(0);
    let Attribute::List(reasons) = &item["reasons"] else { panic!("{item:?}") };
    let Attribute::Map(reason) = &reasons[0] else { panic!("{reasons:?}") };
    assert_eq!(reason["amount"], Attribute::N("1000000000000000.299999999999999999".to_owned()));
    assert_eq!(reason["limit"], Attribute::N("0.3".to_owned()));
}

#[test]
fn an_amount_scores_in_proportion_to_how_unusual_it_is() {
    let mut function = plain();
    let spend = |amount: u32| json!({"amount": amount, "currency": "EUR", "deviceId": "phone"});
    for day in 0..6 {
        assert_eq!(function.purchase(NOW_MS + day * 1_440 * MINUTE_MS, &spend(20)).0, 0);
    }
    let at = NOW_MS + 7 * 1_440 * MINUTE_MS;
    let mut scored = Vec::new();
    for amount in [30, 50, 100, 1_000] {
        let mut copy = Function { states: function.states.clone(), ..plain() };
        scored.push(copy.purchase(at, &spend(amount)).0);
    }
    assert!(scored[0] == 0 && (25..50).contains(&scored[1]) && scored[2] == 50 && scored[3] == 50, "{scored:?}");
    let mut new_device = spend(50);
    new_device["deviceId"] = json!("tablet");
    let (score, reasons) = function.purchase(at, &new_device);
    assert!(score >= 50, "an amount that is merely high, with a new device: {score}");
    assert_eq!(reasons, ["unusual-amount", "new-device"]);
}

#[test]
fn nobody_is_in_two_places_and_the_place_of_a_thief_is_not_remembered() {
    let hamburg = json!({"latitude": 53.55, "longitude": 9.99});
    let lyon = json!({"latitude": 45.76, "longitude": 4.84});
    let leeds = json!({"latitude": 53.80, "longitude": -1.55});
    let mut function = plain();
    assert_eq!(function.purchase(NOW_MS, &hamburg).0, 0);
    // 943 km in an hour, and then in a minute less than it takes.
    assert_eq!(function.purchase(NOW_MS + 60 * MINUTE_MS, &lyon).0, 0);
    assert_eq!(function.purchase(NOW_MS + 115 * MINUTE_MS, &hamburg).0, 60);
    assert_eq!(function.purchase(NOW_MS + 116 * MINUTE_MS, &lyon).0, 0, "the shopper never left");
    // Whatever time an event claims, the next ones are compared with each other.
    assert_eq!(function.purchase(253_402_300_799_999, &leeds).0, 0);
    assert_eq!(function.purchase(NOW_MS + 117 * MINUTE_MS, &hamburg).0, 0);
    assert_eq!(function.purchase(NOW_MS + 117 * MINUTE_MS, &lyon).0, 60, "in the same millisecond");
    // Less than the least distance, at any speed.
    let suburb = json!({"latitude": 53.0, "longitude": 9.0});
    assert_eq!(function.purchase(NOW_MS + 117 * MINUTE_MS, &suburb).0, 0);
}

#[test]
fn a_new_device_alone_is_not_flagged_and_known_then() {
    let on = |device: &str| json!({"eventType": "view", "deviceId": device});
    let mut function = plain();
    assert_eq!(function.purchase(NOW_MS, &on("phone")).0, 0);
    assert_eq!(function.purchase(NOW_MS, &on("tablet")), (25, vec!["new-device".to_owned()]));
    assert_eq!(function.purchase(NOW_MS, &on("tablet")).0, 0);
    let mut strict = Function::new(&json!({"flag_score": 25}));
    assert_eq!(strict.purchase(NOW_MS, &on("phone")).0, 0);
    for _ in 0..2 {
        assert_eq!(strict.purchase(NOW_MS, &on("stolen")).0, 25, "what is flagged is not learned");
    }
}

#[test]
fn a_score_of_nothing_switches_a_reason_off() {
    let off = json!({"velocity_purchases_score": 0, "velocity_amount_score": 0, "unusual_amount_score": 0,
        "impossible_hop_score": 0, "new_device_score": 0});
    let mut function = Function::new(&off);
    for event in Fraud.marked("run-7", NOW_MS) {
        let item = function.play(&event.data).unwrap().items.remove(0);
        assert!(reasons(&item).is_empty(), "{item:?}");
    }
}

#[test]
fn settings_are_within_their_ranges_and_each_is_used() {
    for setting in limits::SETTINGS {
        let given = json!({setting.name: setting.default()});
        assert_eq!(
            Settings::read(&limits::SETTINGS, given.as_object().unwrap()),
            Ok(Settings::defaults(&limits::SETTINGS))
        );
        let read = |value: Value| Settings::read(&limits::SETTINGS, json!({setting.name: value}).as_object().unwrap());
        assert!(read(json!(-1)).is_err() && read(json!(1e300)).is_err(), "{}", setting.name);
        let changed = match setting.kind {
            crate::SettingKind::Number(default, ..) => json!(default / 2.0),
            crate::SettingKind::Integer(default, ..) | crate::SettingKind::Seconds(default, ..) => json!(default - 1),
        };
        let [usual, other] =
            [read(json!(setting.default())), read(changed)].map(|read| format!("{:?}", Limits::of(&read.unwrap())));
        assert_ne!(usual, other, "{}", setting.name);
    }
    assert_eq!(Fraud.keeps_seconds(&Settings::defaults(&limits::SETTINGS)), 90 * 86_400);
}

#[test]
fn a_rejected_record_changes_nothing() {
    let mut function = plain();
    for event in Fraud.marked("run-7", NOW_MS) {
        function.play(&event.data).unwrap();
    }
    let before = function.states.clone();
    for data in cases::poisons("streamkit-run-7-honest-0", "tag") {
        function.play(&data).unwrap_err();
    }
    assert_eq!(function.states, before);
}

/// The marked events, by shoppers in another order, have each their own effects: a shopper's state is that shopper's alone.
#[test]
fn every_kind_of_fraud_is_found_and_nothing_else() {
    for seed in 0..30 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut by_user: BTreeMap<String, std::collections::VecDeque<Event>> = BTreeMap::new();
        for event in Fraud.marked(&format!("run-{seed}"), NOW_MS) {
            by_user.entry(event.partition_key.clone()).or_default().push_back(event);
        }
        let mut function = plain();
        let (mut there, mut found) = (BTreeSet::new(), BTreeSet::new());
        while !by_user.is_empty() {
            let user = by_user.keys().nth(rng.usize(..by_user.len())).unwrap().clone();
            let events = by_user.get_mut(&user).unwrap();
            let event = events.pop_front().unwrap();
            if events.is_empty() {
                by_user.remove(&user);
            }
            let item = function.play(&event.data).unwrap().items.remove(0);
            let is_found = is_found(&item);
            match Fraud.kind_of(&event) {
                Some(kind) => {
                    there.insert((kind, user.clone()));
                    if is_found {
                        found.insert((kind, user));
                    }
                }
                None => assert!(!is_found, "seed {seed}: honest, and flagged: {item:?}"),
            }
        }
        assert_eq!(found, there, "seed {seed}");
        let kinds: BTreeSet<_> = there.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(
            kinds.into_iter().collect::<Vec<_>>(),
            ["card-testing", "elsewhere", "large-amount", "spree", "takeover"]
        );
    }
}

/// Whatever `send` sends, at any rate and several times in a row: the victims, who have numbers of their own, are flagged, and
/// the other shoppers are not.
#[test]
fn of_the_traffic_the_victims_are_flagged_and_nobody_else() {
    for (apart_ms, runs) in [(0, 3), (7, 2), (2_000, 1), (60_000, 1)] {
        let mut function = plain();
        let (mut victims, mut flagged) = (BTreeSet::new(), BTreeSet::new());
        let mut now_ms = NOW_MS;
        for run in 0..runs {
            let mut generator = Fraud.generator(run);
            for _ in 0..4_000 {
                now_ms += apart_ms;
                let event = generator.next(now_ms);
                let item = function.play(&event.data).unwrap().items.remove(0);
                let is_victim = event.partition_key.as_str() > "user-9";
                if is_victim {
                    victims.insert(event.partition_key.clone());
                }
                if is_found(&item) {
                    assert!(is_victim, "{apart_ms} ms apart: {item:?}");
                    flagged.insert(event.partition_key);
                }
            }
        }
        assert_eq!(flagged, victims, "{apart_ms} ms apart");
        assert_eq!(victims.len(), 10);
    }
}

#[test]
fn states_are_small_whatever_comes_and_the_same_when_they_were_stored() {
    let odd = ["0", "5", "19.9", "999999999999999.999999999999999999", "0.000000000000000001", "1e14"];
    for seed in 0..10 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut function = Function::new(&json!({"velocity_purchases": rng.i64(1..=100)}));
        let mut stored = Function::new(&json!({}));
        stored.settings = function.settings.clone();
        for _ in 0..600 {
            let at_ms = match rng.u32(..4) {
                0 => rng.i64(0..=253_402_300_799_999),
                1 => NOW_MS - rng.i64(0..100_000_000),
                _ => NOW_MS + rng.i64(0..1_000_000),
            };
            let payload = json!({
                "userId": "u", "eventType": if rng.u32(..5) == 0 { "view" } else { "purchase" },
                "timestamp": at_ms, "amount": odd[rng.usize(..odd.len())],
                "currency": format!("{}{}{}", rng.uppercase(), rng.uppercase(), rng.uppercase()),
                "deviceId": "d".repeat(rng.usize(..5_000)),
                "latitude": rng.f64() * 180.0 - 90.0, "longitude": rng.f64() * 360.0 - 180.0,
            });
            let data = payload.to_string();
            let one = function.play(data.as_bytes()).unwrap();
            let two = stored.play(data.as_bytes()).unwrap();
            assert_eq!(one, two, "seed {seed}");
            // As it is stored between two batches: as text.
            for state in stored.states.values_mut() {
                let text = state.to_string();
                assert!(text.len() < 32 * 1024, "{} bytes", text.len());
                *state = serde_json::from_str(&text).unwrap();
            }
        }
        assert_eq!(function.states, stored.states);
    }
}

#[test]
fn a_state_that_is_none_is_begun_anew() {
    for state in [json!("text"), json!([1]), json!({"purchases": 7}), json!({"amounts": [{"currency": "EUR"}]})] {
        assert_eq!(Shopper::read(&state), Shopper::default(), "{state}");
    }
    assert_eq!(Shopper::read(&json!({"more": 1, "devices": ["ff"]})).to_value()["devices"], json!(["ff"]));
}
