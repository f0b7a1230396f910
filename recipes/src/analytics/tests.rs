//! Tests of the analytics recipe: every way a field can be right or wrong, and what is measured.

use super::*;
use crate::{Aggregation, StreamRecord};

const ARRIVAL_MS: i64 = 1_700_000_000_555;

fn effects(data: impl AsRef<[u8]>) -> Result<Effects, Rejected> {
    let record = StreamRecord {
        shard_id: "shardId-000000000001",
        sequence_number: "42",
        partition_key: "p",
        arrival_ms: ARRIVAL_MS,
        data: data.as_ref(),
        ..StreamRecord::default()
    };
    Analytics.process(&Record::Stream(record), 1_700_000_009_999)
}

fn item(data: impl AsRef<[u8]>) -> Item {
    effects(data).unwrap().items.remove(0)
}

fn s(text: &str) -> Attribute {
    Attribute::S(text.to_owned())
}

fn n(text: &str) -> Attribute {
    Attribute::N(text.to_owned())
}

fn map(pairs: &[(&str, Attribute)]) -> Item {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn measured(fields: &str) -> Attribute {
    item(format!(r#"{{"eventType":{fields}}}"#)).remove("metrics").unwrap()
}

#[test]
fn process_gives_the_whole_item() {
    let data = r#"{"eventType":"purchase","userId":"u","sessionId":"s","deviceType":"mobile","amount":19.90,
        "itemsCount":2,"location":{"country":"DE","at":[50.10,8.68]},"timestamp":"2023-11-14T22:13:20Z"}"#;
    let location = map(&[("country", s("DE")), ("at", Attribute::List(vec![n("50.1"), n("8.68")]))]);
    let expected = map(&[
        ("eventId", s("shardId-000000000001:42")),
        ("timestamp", n("1700000000555")),
        ("processedAt", n("1700000009999")),
        ("expiresAt", n("1702592000")),
        ("eventType", s("purchase")),
        ("userId", s("u")),
        ("sessionId", s("s")),
        ("deviceType", s("mobile")),
        ("location", Attribute::Map(location)),
        ("metrics", Attribute::Map(map(&[("amount", n("19.9")), ("currency", s("USD")), ("itemsCount", n("2"))]))),
        ("rawData", s(data)),
    ]);
    assert_eq!(item(data), expected);
}

#[test]
fn process_fills_in_what_may_be_missing() {
    for data in [
        r#"{"eventType":"click"}"#,
        r#"{"eventType":"click","userId":null,"sessionId":null,"deviceType":null,"location":null}"#,
    ] {
        let item = item(data);
        for (name, value) in [
            ("userId", s("anonymous")),
            ("sessionId", s("")),
            ("deviceType", s("unknown")),
            ("location", Attribute::Map(Item::new())),
            ("metrics", Attribute::Map(Item::new())),
        ] {
            assert_eq!(item[name], value, "{name} of {data}");
        }
    }
}

#[test]
fn process_measures_each_type() {
    let view = |url: &str, time: &str, bounce: &str| {
        Attribute::Map(map(&[("pageUrl", s(url)), ("loadTime", n(time)), ("bounceRate", n(bounce))]))
    };
    for (fields, url, time, bounce) in [
        (r#""page_view""#, "", "0", "1"),
        (r#""page_view","pageUrl":"/a","loadTime":812.50,"sessionLength":29,"pagesViewed":1"#, "/a", "812.5", "1"),
        (r#""page_view","sessionLength":29.999999999999999999999"#, "", "0", "1"),
        (r#""page_view","sessionLength":30"#, "", "0", "0"),
        (r#""page_view","sessionLength":30.0,"pagesViewed":1"#, "", "0", "0"),
        (r#""page_view","sessionLength":"10","pagesViewed":"2""#, "", "0", "0"),
        (r#""page_view","pagesViewed":0"#, "", "0", "0"),
    ] {
        assert_eq!(measured(fields), view(url, time, bounce), "{fields}");
    }
    let signup =
        |method: &str, source: &str| Attribute::Map(map(&[("signupMethod", s(method)), ("campaignSource", s(source))]));
    assert_eq!(measured(r#""user_signup""#), signup("email", "direct"));
    assert_eq!(measured(r#""user_signup","signupMethod":"phone","campaignSource":"""#), signup("phone", ""));
    assert_eq!(measured(r#""click","amount":"not looked at""#), Attribute::Map(Item::new()));
    assert_eq!(measured(r#""scroll""#), Attribute::Map(Item::new()));
}

#[test]
fn money_is_exact() {
    for (amount, kept) in [
        ("0.1", "0.1"),
        ("0.30", "0.3"),
        ("\"19.90\"", "19.9"),
        ("0", "0"),
        ("-0", "0"),
        ("1e2", "100"),
        ("123456789012.123456789012345678", "123456789012.123456789012345678"),
        ("999999999999999.99", "999999999999999.99"),
    ] {
        let Attribute::Map(metrics) = measured(&format!(r#""purchase","amount":{amount}"#)) else { panic!("no map") };
        assert_eq!(metrics["amount"], n(kept), "{amount}");
    }
}

#[test]
fn events_are_counted_by_type_and_device_and_purchases_by_currency() {
    let counts = |fields: &str| effects(format!("{{{fields}}}")).unwrap().counts;
    for (fields, event_type, device) in [
        (r#""eventType":"click","deviceType":"tablet""#, "click", "tablet"),
        (r#""eventType":"click""#, "click", "unknown"),
        (r#""eventType":"scroll","deviceType":"fridge""#, "other", "other"),
        (r#""eventType":"Click","deviceType":"""#, "other", "other"),
    ] {
        let counts = counts(fields);
        assert_eq!(counts.len(), 1);
        assert_eq!((counts[0].metric, counts[0].aggregation), ("EventsProcessed", Aggregation::Sum));
        assert_eq!(
            counts[0].dimensions,
            [("EventType", event_type.to_owned()), ("DeviceType", device.to_owned())],
            "{fields}"
        );
    }
    for (currency, counted) in [(r#","currency":"EUR""#, "EUR"), ("", "USD"), (r#","currency":"XTS""#, "other")] {
        let sample = counts(&format!(r#""eventType":"purchase","amount":"12.5"{currency}"#)).remove(1);
        assert_eq!(
            (sample.metric, sample.aggregation, sample.unit),
            ("PurchaseAmount", Aggregation::Samples, Unit::None)
        );
        assert!((sample.value - 12.5).abs() < f64::EPSILON);
        assert_eq!(sample.dimensions, [("Currency", counted.to_owned())]);
    }
}

#[test]
fn process_rejects_each_fault_with_its_code() {
    let long = format!(r#"{{"eventType":"click","note":"{}"}}"#, "x".repeat(PAYLOAD_MAX_BYTES));
    let table: &[(&str, &[u8])] = &[
        ("not_utf8", b"\xff"),
        ("not_utf8", b"{\"eventType\":\"\xc3\"}"),
        ("invalid_json", b""),
        ("invalid_json", b"text"),
        ("invalid_json", b"{\"eventType\":\"click\""),
        ("invalid_json", b"{\"eventType\":\"purchase\",\"amount\":NaN}"),
        ("invalid_json", b"{\"eventType\":\"purchase\",\"amount\":Infinity}"),
        ("invalid_json", b"{\"eventType\":\"\\ud800\"}"),
        ("invalid_json", b"{\"eventType\":\"click\",\"location\":{\"city\":\"\\ud800\"}}"),
        ("wrong_type", b"[]"),
        ("wrong_type", b"null"),
        ("wrong_type", b"7"),
        ("too_long", long.as_bytes()),
        ("missing_field", b"{}"),
        ("missing_field", b"{\"eventType\":null}"),
        ("missing_field", b"{\"event_type\":\"click\"}"),
        ("empty_field", b"{\"eventType\":\"\"}"),
        ("wrong_type", b"{\"eventType\":7}"),
        ("wrong_type", b"{\"eventType\":[\"click\"]}"),
        ("wrong_type", b"{\"eventType\":\"click\",\"userId\":7}"),
        ("wrong_type", b"{\"eventType\":\"click\",\"sessionId\":false}"),
        ("wrong_type", b"{\"eventType\":\"click\",\"deviceType\":{}}"),
        ("wrong_type", b"{\"eventType\":\"click\",\"location\":\"Paris\"}"),
        ("wrong_type", b"{\"eventType\":\"click\",\"location\":[]}"),
        ("out_of_range", b"{\"eventType\":\"click\",\"location\":{\"lat\":1e200}}"),
        ("empty_field", b"{\"eventType\":\"click\",\"location\":{\"\":1}}"),
        ("wrong_type", b"{\"eventType\":\"page_view\",\"pageUrl\":7}"),
        ("wrong_type", b"{\"eventType\":\"page_view\",\"loadTime\":\"fast\"}"),
        ("wrong_type", b"{\"eventType\":\"page_view\",\"loadTime\":true}"),
        ("out_of_range", b"{\"eventType\":\"page_view\",\"loadTime\":-1}"),
        ("out_of_range", b"{\"eventType\":\"page_view\",\"sessionLength\":1e15}"),
        ("out_of_range", b"{\"eventType\":\"page_view\",\"sessionLength\":\"-0.5\"}"),
        ("wrong_type", b"{\"eventType\":\"page_view\",\"pagesViewed\":1.5}"),
        ("wrong_type", b"{\"eventType\":\"page_view\",\"pagesViewed\":[1]}"),
        ("missing_field", b"{\"eventType\":\"purchase\"}"),
        ("missing_field", b"{\"eventType\":\"purchase\",\"amount\":null}"),
        ("wrong_type", b"{\"eventType\":\"purchase\",\"amount\":\"NaN\"}"),
        ("wrong_type", b"{\"eventType\":\"purchase\",\"amount\":\"\"}"),
        ("wrong_type", b"{\"eventType\":\"purchase\",\"amount\":\"1,50\"}"),
        ("wrong_type", b"{\"eventType\":\"purchase\",\"amount\":true}"),
        ("wrong_type", b"{\"eventType\":\"purchase\",\"amount\":{}}"),
        ("out_of_range", b"{\"eventType\":\"purchase\",\"amount\":-0.01}"),
        ("out_of_range", b"{\"eventType\":\"purchase\",\"amount\":1e400}"),
        ("out_of_range", b"{\"eventType\":\"purchase\",\"amount\":1000000000000000}"),
        ("out_of_range", b"{\"eventType\":\"purchase\",\"amount\":0.123456789012345678901234567890123456789}"),
        ("wrong_type", b"{\"eventType\":\"purchase\",\"amount\":1,\"currency\":978}"),
        ("out_of_range", b"{\"eventType\":\"purchase\",\"amount\":1,\"currency\":\"\"}"),
        ("out_of_range", b"{\"eventType\":\"purchase\",\"amount\":1,\"currency\":\"usd\"}"),
        ("out_of_range", b"{\"eventType\":\"purchase\",\"amount\":1,\"currency\":\"DOLLAR\"}"),
        ("wrong_type", b"{\"eventType\":\"purchase\",\"amount\":1,\"itemsCount\":0.5}"),
        ("out_of_range", b"{\"eventType\":\"purchase\",\"amount\":1,\"itemsCount\":-1}"),
        ("wrong_type", b"{\"eventType\":\"user_signup\",\"signupMethod\":7}"),
        ("wrong_type", b"{\"eventType\":\"user_signup\",\"campaignSource\":[]}"),
    ];
    for (code, payload) in table {
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(80)]);
        match effects(payload) {
            Err(rejected) => assert_eq!(rejected.code, *code, "{shown}: {rejected}"),
            Ok(effects) => panic!("{shown} gave {effects:?}"),
        }
    }
}

#[test]
fn the_largest_payloads_fit_an_item() {
    let head = r#"{"eventType":"click","location":{"a":["#;
    let room = PAYLOAD_MAX_BYTES - head.len() - 3;
    // What grows most on its way into an item: a small number costs two bytes in JSON, and four in DynamoDB.
    let numbers = vec!["1"; room / 2].join(",");
    let item = item(format!("{head}{numbers}]}}}}"));
    let Attribute::Map(location) = &item["location"] else { panic!("no map") };
    let Attribute::List(list) = &location["a"] else { panic!("no list") };
    assert!(list.len() * 4 + PAYLOAD_MAX_BYTES + 1024 < 400 * 1024, "{}", list.len());
}
