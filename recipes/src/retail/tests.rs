//! Tests of the retail recipe: every way a field can be right or wrong, and what must hold of items and traffic.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const SHARD: &str = "shardId-000000000000";

fn record<'a>(sequence_number: &'a str, data: &'a [u8]) -> StreamRecord<'a> {
    StreamRecord {
        shard_id: SHARD,
        sequence_number,
        partition_key: "p",
        arrival_ms: 1_700_000_000_555,
        data,
        ..StreamRecord::default()
    }
}

fn process(data: impl AsRef<[u8]>) -> Result<Item, Rejected> {
    let mut effects = Retail.process(&Record::Stream(record("1", data.as_ref())), 1_700_000_009_999)?;
    assert_eq!(effects.items.len(), 1);
    Ok(effects.items.remove(0))
}

fn text<'a>(item: &'a Item, name: &str) -> &'a str {
    match &item[name] {
        Attribute::S(text) | Attribute::N(text) => text,
        other => panic!("{name} is {other:?}"),
    }
}

#[test]
fn process_gives_the_whole_item() {
    let item =
        process(r#"{"userId":"u1","eventType":"purchase","productId":"P0007","timestamp":1700000000123}"#).unwrap();
    let digits = record("1", b"").digits();
    let expected = Item::from(
        [
            ("userId", Attribute::S("u1".into())),
            ("eventTimestamp", Attribute::N(format!("1700000000123.{}", digits.trim_end_matches('0')))),
            ("eventType", Attribute::S("purchase".into())),
            ("productId", Attribute::S("P0007".into())),
            ("eventScore", Attribute::N("10".into())),
            ("insight", Attribute::S("User u1 purchased product P0007".into())),
            ("processedAt", Attribute::N("1700000009999".into())),
            ("recordId", Attribute::S("shardId-000000000000:1".into())),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    assert_eq!(item, expected);
}

#[test]
fn process_scores_each_type() {
    for (event_type, score, insight) in [
        ("view", "1", "User u viewed product P"),
        ("add_to_cart", "5", "User u added to cart product P"),
        ("purchase", "10", "User u purchased product P"),
        ("View", "1", "User u interacted with product P"),
        ("wishlist", "1", "User u interacted with product P"),
    ] {
        let item = process(format!(r#"{{"userId":"u","eventType":"{event_type}","productId":"P"}}"#)).unwrap();
        assert_eq!(text(&item, "eventScore"), score, "{event_type}");
        assert_eq!(text(&item, "insight"), insight);
        assert_eq!(text(&item, "eventType"), event_type);
    }
}

#[test]
fn process_accepts_what_optional_fields_may_be() {
    for (fields, product, millis) in [
        ("", "unknown", "1700000000555"),
        (r#","productId":null,"timestamp":null"#, "unknown", "1700000000555"),
        (r#","productId":"","timestamp":0"#, "", "0"),
        (r#","timestamp":"0017""#, "unknown", "17"),
        (r#","timestamp":253402300799999"#, "unknown", "253402300799999"),
        (r#","timestamp":"253402300799999","extra":{"timestamp":-1}"#, "unknown", "253402300799999"),
        (r#","productId":"a","productId":"b""#, "b", "1700000000555"),
    ] {
        let item = process(format!(r#"{{"userId":"u","eventType":"view"{fields}}}"#)).unwrap();
        assert_eq!(text(&item, "productId"), product, "{fields}");
        assert_eq!(text(&item, "eventTimestamp").split('.').next().unwrap(), millis, "{fields}");
    }
}

#[test]
fn process_rejects_every_wrong_payload() {
    let long_user = format!(r#"{{"userId":"{}","eventType":"view"}}"#, "u".repeat(USER_ID_MAX_BYTES + 1));
    let long_type = format!(r#"{{"userId":"u","eventType":"{}"}}"#, "t".repeat(TEXT_MAX_BYTES + 1));
    let long_product =
        format!(r#"{{"userId":"u","eventType":"view","productId":"{}"}}"#, "p".repeat(TEXT_MAX_BYTES + 1));
    let deep = "[".repeat(100_000);
    let table: &[(&str, &[u8])] = &[
        ("not_utf8", b"\xff\xfe"),
        ("not_utf8", b"{\"userId\":\"\xc3\x28\",\"eventType\":\"view\"}"),
        ("invalid_json", b""),
        ("invalid_json", b"hello"),
        ("invalid_json", b"{\"userId\":\"u\",\"eventType\":\"view\""),
        ("invalid_json", b"{\"userId\":\"u\",\"eventType\":\"view\"} x"),
        ("invalid_json", b"{\"userId\":\"u\",\"eventType\":\"view\",\"timestamp\":NaN}"),
        ("invalid_json", b"{\"userId\":\"u\",\"eventType\":\"view\",\"timestamp\":1e999}"),
        ("invalid_json", b"{\"userId\":\"\\ud800\",\"eventType\":\"view\"}"),
        ("invalid_json", b"\xef\xbb\xbf{}"),
        ("invalid_json", deep.as_bytes()),
        ("wrong_type", b"null"),
        ("wrong_type", b"true"),
        ("wrong_type", b"7"),
        ("wrong_type", b"\"text\""),
        ("wrong_type", b"[\"u\",\"view\"]"),
        ("missing_field", b"{}"),
        ("missing_field", b"{\"invalid_format\": true}"),
        ("missing_field", b"{\"eventType\":\"view\"}"),
        ("missing_field", b"{\"userId\":null,\"eventType\":\"view\"}"),
        ("missing_field", b"{\"userid\":\"u\",\"eventType\":\"view\"}"),
        ("missing_field", b"{\"userId\":\"u\"}"),
        ("missing_field", b"{\"userId\":\"u\",\"eventType\":null}"),
        ("wrong_type", b"{\"userId\":1,\"eventType\":\"view\"}"),
        ("wrong_type", b"{\"userId\":[\"u\"],\"eventType\":\"view\"}"),
        ("wrong_type", b"{\"userId\":\"u\",\"eventType\":false}"),
        ("wrong_type", b"{\"userId\":\"u\",\"eventType\":{}}"),
        ("wrong_type", b"{\"userId\":\"u\",\"eventType\":\"view\",\"productId\":7}"),
        ("wrong_type", b"{\"userId\":\"u\",\"eventType\":\"view\",\"productId\":{}}"),
        ("empty_field", b"{\"userId\":\"\",\"eventType\":\"view\"}"),
        ("empty_field", b"{\"userId\":\"u\",\"eventType\":\"\"}"),
        ("too_long", long_user.as_bytes()),
        ("too_long", long_type.as_bytes()),
        ("too_long", long_product.as_bytes()),
        ("wrong_type", b"{\"userId\":\"u\",\"eventType\":\"view\",\"timestamp\":true}"),
        ("wrong_type", b"{\"userId\":\"u\",\"eventType\":\"view\",\"timestamp\":[1]}"),
        ("wrong_type", b"{\"userId\":\"u\",\"eventType\":\"view\",\"timestamp\":1.5}"),
        ("wrong_type", b"{\"userId\":\"u\",\"eventType\":\"view\",\"timestamp\":1700000000000.0}"),
        ("wrong_type", b"{\"userId\":\"u\",\"eventType\":\"view\",\"timestamp\":\"\"}"),
        ("wrong_type", b"{\"userId\":\"u\",\"eventType\":\"view\",\"timestamp\":\"-5\"}"),
        ("wrong_type", b"{\"userId\":\"u\",\"eventType\":\"view\",\"timestamp\":\"+5\"}"),
        ("wrong_type", b"{\"userId\":\"u\",\"eventType\":\"view\",\"timestamp\":\"1.5\"}"),
        ("wrong_type", b"{\"userId\":\"u\",\"eventType\":\"view\",\"timestamp\":\"NaN\"}"),
        ("wrong_type", "{\"userId\":\"u\",\"eventType\":\"view\",\"timestamp\":\"١٢٣\"}".as_bytes()),
        ("wrong_type", b"{\"userId\":\"u\",\"eventType\":\"view\",\"timestamp\":\"2024-01-01T00:00:00Z\"}"),
        ("out_of_range", b"{\"userId\":\"u\",\"eventType\":\"view\",\"timestamp\":-1}"),
        ("out_of_range", b"{\"userId\":\"u\",\"eventType\":\"view\",\"timestamp\":-1.5}"),
        ("out_of_range", b"{\"userId\":\"u\",\"eventType\":\"view\",\"timestamp\":253402300800000}"),
        ("out_of_range", b"{\"userId\":\"u\",\"eventType\":\"view\",\"timestamp\":99999999999999999999999}"),
        ("out_of_range", b"{\"userId\":\"u\",\"eventType\":\"view\",\"timestamp\":1e300}"),
        ("out_of_range", b"{\"userId\":\"u\",\"eventType\":\"view\",\"timestamp\":\"99999999999999999999999\"}"),
    ];
    for (code, payload) in table {
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(80)]);
        match process(payload) {
            Err(rejected) => assert_eq!(rejected.code, *code, "{shown}: {rejected}"),
            Ok(item) => panic!("{shown} gave {item:?}"),
        }
    }
}

#[test]
fn process_accepts_the_longest_fields_within_an_item() {
    let user = "u".repeat(USER_ID_MAX_BYTES);
    let long = "x".repeat(TEXT_MAX_BYTES);
    let item = process(format!(r#"{{"userId":"{user}","eventType":"{long}","productId":"{long}"}}"#)).unwrap();
    let bytes: usize = item.keys().map(|name| name.len() + text(&item, name).len()).sum();
    assert!(bytes < 400 * 1024, "{bytes}");
}

#[test]
fn process_gives_one_key_per_record_and_the_same_on_redelivery() {
    let data = br#"{"userId":"u","eventType":"view","timestamp":1700000000123}"#;
    let mut keys = BTreeSet::new();
    for sequence in 0..2_000 {
        let sequence = format!("49545839686592{sequence:042}");
        let at = |now_ms| Retail.process(&Record::Stream(record(&sequence, data)), now_ms).unwrap().items.remove(0);
        let (mut first, mut second) = (at(1), at(2));
        for name in Retail.volatile() {
            assert_ne!(first.remove(name), second.remove(name));
        }
        assert_eq!(first, second);
        let key = text(&first, "eventTimestamp").to_owned();
        assert!(key.starts_with("1700000000123.") && !key.ends_with('0'), "{key}");
        assert!(key.len() - 1 <= 38, "{key}");
        assert!(keys.insert(key));
    }
}

#[test]
fn traffic_is_accepted_repeatable_and_shaped_like_a_shop() {
    let (mut one, mut two) = (Retail.generator(7), Retail.generator(7));
    let mut types = BTreeMap::<String, u32>::new();
    let mut users = BTreeMap::<String, u32>::new();
    for n in 0..50_000 {
        // An hour of the shop has some two thousand events.
        let at = 1_700_000_000_000 + n * 2_000;
        let event = one.next(at);
        assert_eq!(event, two.next(at));
        let item = process(&event.data).unwrap();
        assert_eq!(text(&item, "userId"), event.partition_key);
        *types.entry(text(&item, "eventType").to_owned()).or_default() += 1;
        *users.entry(event.partition_key).or_default() += 1;
    }
    assert!(types["view"] > 4 * types["add_to_cart"], "{types:?}");
    assert!(types["add_to_cart"] > 2 * types["purchase"], "{types:?}");
    assert!(types["purchase"] > 500, "{types:?}");
    let victims = users.keys().filter(|user| user.as_str() > "user-9").count();
    assert_eq!((users.len() - victims, victims), (200, 125), "shoppers, and those in whose names others buy");
    assert!(users["user-0001"] > 20 * users["user-0200"], "{users:?}");
    assert_ne!(Retail.generator(7).next(0), Retail.generator(8).next(0));
}

#[test]
fn poison_is_rejected_whatever_its_kind() {
    let mut traffic = Retail.generator(3);
    let mut codes = BTreeSet::new();
    for _ in 0..100 {
        let event = traffic.poison();
        codes.insert(process(&event.data).unwrap_err().code);
        assert!(!event.partition_key.is_empty());
    }
    assert_eq!(
        codes.into_iter().collect::<Vec<_>>(),
        ["empty_field", "invalid_json", "missing_field", "not_utf8", "out_of_range", "wrong_type"]
    );
}

#[test]
fn marked_events_carry_the_run_and_their_own_time() {
    let events = Retail.marked("run\"7", 1_700_000_000_123);
    let mut seen = BTreeSet::new();
    for event in events.iter().chain([&Retail.canary("run\"7", 4, 1_700_000_000_123)]) {
        assert!(event.partition_key.contains("run\"7"));
        let at = |arrival_ms| Record::Stream(StreamRecord { arrival_ms, ..record("1", &event.data) });
        assert_eq!(Retail.process(&at(1), 0).unwrap(), Retail.process(&at(2), 0).unwrap());
        seen.insert(text(&process(&event.data).unwrap(), "insight").split(' ').nth(2).unwrap().to_owned());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["added", "interacted", "purchased", "viewed"]);
    let twins = events.iter().filter(|event| event.partition_key.ends_with("twin")).collect::<Vec<_>>();
    assert!(twins.len() == 2 && twins[0] == twins[1]);
}

#[test]
fn marked_poison_is_rejected_and_carries_the_run() {
    let events = Retail.marked_poison("run-7");
    let keys: BTreeSet<_> = events.iter().map(|event| &event.partition_key).collect();
    assert_eq!(keys.len(), events.len());
    for event in &events {
        assert!(event.partition_key.contains("run-7"));
        assert!(String::from_utf8_lossy(&event.data).contains("run-7"));
        process(&event.data).unwrap_err();
    }
    assert!(events.iter().any(|event| event.data.starts_with(b"{\"invalid_format\":true")));
}
