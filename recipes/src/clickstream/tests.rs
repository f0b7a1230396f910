//! Tests of the clickstream recipe: routes, order, and every way a field can be right or wrong.

use super::*;
use crate::Aggregation;

const ARRIVAL_MS: i64 = 1_700_000_000_555;

fn record<'a>(sequence_number: &'a str, data: &'a [u8]) -> StreamRecord<'a> {
    StreamRecord {
        shard_id: "shardId-000000000001",
        sequence_number,
        partition_key: "p",
        arrival_ms: ARRIVAL_MS,
        data,
        ..StreamRecord::default()
    }
}

fn effects(data: impl AsRef<[u8]>) -> Result<Effects, Rejected> {
    Clickstream.process(&Record::Stream(record("42", data.as_ref())), 1_700_000_009_999)
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

fn with(more: &[(&str, Attribute)]) -> Item {
    let mut item: Item = [
        ("user_id", s("u")),
        ("sequence", s("002-42-shardId-000000000001")),
        ("occurred_at", n("1700000000250")),
        ("processed_at", n("1700000009999")),
        ("record_id", s("shardId-000000000001:42")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    item.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    item
}

#[test]
fn process_routes_each_type() {
    let data = |fields: &str| format!(r#"{{"user_id":"u","timestamp":1700000000.25,"page":"/p",{fields}}}"#);
    let routed = |route: &str| [("event_type", s(route)), ("route", s(route)), ("page", s("/p"))];
    let page_view = [routed("page_view").as_slice(), &[("url", s("https://x"))]].concat();
    assert_eq!(item(data(r#""event_type":"page_view","url":"https://x","element_id":7"#)), with(&page_view));
    let click = [routed("click").as_slice(), &[("element_id", s("pay"))]].concat();
    assert_eq!(item(data(r#""event_type":"click","element_id":"pay","url":null"#)), with(&click));
    let purchase = [routed("purchase").as_slice(), &[("amount", n("19.9"))]].concat();
    assert_eq!(item(data(r#""event_type":"purchase","amount":19.90"#)), with(&purchase));
    assert_eq!(item(data(r#""event_type":"purchase","amount":null"#)), with(&routed("purchase")));
    for event_type in ["scroll", "Click", "unknown", ""] {
        let raw = data(&format!(r#""event_type":"{event_type}""#));
        let kept = [("event_type", s(event_type)), ("route", s("unknown")), ("raw", s(&raw))];
        assert_eq!(item(&raw), with(&kept), "an unknown type is kept as a whole");
    }
    for missing in [r#""event_type":null"#, r#""other":1"#] {
        let raw = data(missing);
        assert_eq!(item(&raw), with(&[("event_type", s("unknown")), ("route", s("unknown")), ("raw", s(&raw))]));
    }
}

#[test]
fn events_are_counted_by_route() {
    for (event_type, route) in [("page_view", "page_view"), ("purchase", "purchase"), ("anything", "unknown")] {
        let counts =
            effects(format!(r#"{{"user_id":"u","event_type":"{event_type}","amount":"2.5"}}"#)).unwrap().counts;
        assert_eq!(counts[0], Count::one("Events").of("EventType", route));
        let samples: Vec<_> = counts.iter().filter(|count| count.aggregation == Aggregation::Samples).collect();
        assert_eq!(samples.len(), usize::from(event_type == "purchase"));
    }
}

#[test]
fn sort_keys_follow_the_stream() {
    let numbers = ["0", "9", "10", "99", "100", "49545115243490985018280067714973144582180062593244200961"];
    let keys: Vec<_> = numbers.iter().map(|number| sequence(&record(number, b""), 0)).collect();
    assert!(keys.is_sorted_by(|one, two| one < two), "{keys:?}");
    let elsewhere = StreamRecord { shard_id: "shardId-000000000002", ..record("9", b"") };
    assert_ne!(sequence(&elsewhere, 0), keys[1]);
}

#[test]
fn times_are_read_exactly() {
    for (timestamp, millis) in [
        ("null", "1700000000555"),
        ("0", "0"),
        ("1700000000", "1700000000000"),
        ("1700000000.1239", "1700000000123"),
        ("1.7e9", "1700000000000"),
        ("253402300799.999", "253402300799999"),
        ("\"2023-11-14T22:13:20Z\"", "1700000000000"),
        ("\"2023-11-14T23:13:20+01:00\"", "1700000000000"),
        ("\"2023-11-14T22:13:20.123456\"", "1700000000123"),
        ("\"2023-11-14 22:13:20\"", "1700000000000"),
    ] {
        let item = item(format!(r#"{{"user_id":"u","timestamp":{timestamp}}}"#));
        assert_eq!(item["occurred_at"], n(millis), "{timestamp}");
    }
}

#[test]
fn process_rejects_each_fault_with_its_code() {
    let long_user = format!(r#"{{"user_id":"{}"}}"#, "u".repeat(USER_ID_MAX_BYTES + 1));
    let long = format!(r#"{{"user_id":"u","note":"{}"}}"#, "x".repeat(PAYLOAD_MAX_BYTES));
    let table: &[(&str, &[u8])] = &[
        ("not_utf8", b"\xff"),
        ("not_utf8", b"{\"user_id\":\"\xc3\"}"),
        ("invalid_json", b""),
        ("invalid_json", b"{\"user_id\":\"u\""),
        ("invalid_json", b"{\"user_id\":\"u\",\"amount\":NaN}"),
        ("invalid_json", b"{\"user_id\":\"\\udc00\"}"),
        ("wrong_type", b"[]"),
        ("wrong_type", b"\"text\""),
        ("too_long", long.as_bytes()),
        ("too_long", long_user.as_bytes()),
        ("missing_field", b"{}"),
        ("missing_field", b"{\"event_type\":\"click\"}"),
        ("missing_field", b"{\"user_id\":null}"),
        ("empty_field", b"{\"user_id\":\"\"}"),
        ("wrong_type", b"{\"user_id\":7}"),
        ("wrong_type", b"{\"user_id\":[\"u\"]}"),
        ("wrong_type", b"{\"user_id\":\"u\",\"event_type\":7}"),
        ("wrong_type", b"{\"user_id\":\"u\",\"event_type\":\"page_view\",\"page\":7}"),
        ("wrong_type", b"{\"user_id\":\"u\",\"event_type\":\"page_view\",\"url\":{}}"),
        ("wrong_type", b"{\"user_id\":\"u\",\"event_type\":\"click\",\"element_id\":[]}"),
        ("wrong_type", b"{\"user_id\":\"u\",\"event_type\":\"purchase\",\"amount\":\"NaN\"}"),
        ("wrong_type", b"{\"user_id\":\"u\",\"event_type\":\"purchase\",\"amount\":false}"),
        ("out_of_range", b"{\"user_id\":\"u\",\"event_type\":\"purchase\",\"amount\":-0.01}"),
        ("out_of_range", b"{\"user_id\":\"u\",\"event_type\":\"purchase\",\"amount\":1e99}"),
        ("wrong_type", b"{\"user_id\":\"u\",\"timestamp\":true}"),
        ("wrong_type", b"{\"user_id\":\"u\",\"timestamp\":[1]}"),
        ("empty_field", b"{\"user_id\":\"u\",\"timestamp\":\"\"}"),
        ("wrong_type", b"{\"user_id\":\"u\",\"timestamp\":\"1700000000\"}"),
        ("wrong_type", b"{\"user_id\":\"u\",\"timestamp\":\"2023-13-01T00:00:00Z\"}"),
        ("out_of_range", b"{\"user_id\":\"u\",\"timestamp\":\"1969-12-31T23:59:59Z\"}"),
        ("out_of_range", b"{\"user_id\":\"u\",\"timestamp\":-0.001}"),
        ("out_of_range", b"{\"user_id\":\"u\",\"timestamp\":1700000000000}"),
        ("out_of_range", b"{\"user_id\":\"u\",\"timestamp\":1e400}"),
    ];
    for (code, payload) in table {
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(80)]);
        match effects(payload) {
            Err(rejected) => assert_eq!(rejected.code, *code, "{shown}: {rejected}"),
            Ok(effects) => panic!("{shown} gave {effects:?}"),
        }
    }
}
