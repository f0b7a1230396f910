//! Every way in which a field can be wrong, for each field of each recipe that reads a stream: whether the record is
//! processed, or rejected with which code. A rejected record goes to the dead letter queue; none is dropped.
#![expect(clippy::unwrap_used, reason = "a test, in which clippy does not count the functions below")]

use std::collections::BTreeMap;

use streamkit_recipes::{Effects, Record, Rejected, StreamRecord, find};

/// What a field may hold, and so what is wrong in it: one column of the table below for each.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A text that has to be there.
    Text,
    /// A text that may be missing.
    OptionalText,
    /// A number, or a text that holds one, that has to be there.
    Amount,
    OptionalAmount,
    /// A whole number, or a text that holds one.
    Count,
    Object,
    /// Three capital letters.
    Currency,
    /// Whole milliseconds since the epoch, or a text that holds them.
    Millis,
    /// Seconds since the epoch, or a date and time.
    Time,
    /// A number that may be negative, or a text that holds one.
    Degrees,
}

use Kind::{Amount, Count, Currency, Degrees, Millis, Object, OptionalAmount, OptionalText, Text, Time};

const FINE: &str = "";
const MISSING: &str = "missing_field";
const EMPTY: &str = "empty_field";
const TYPE: &str = "wrong_type";
const RANGE: &str = "out_of_range";
const JSON: &str = "invalid_json";

/// What stands in the place of a field, and what becomes of the record; the columns are the kinds in their order.
const VALUES: [(&str, [&str; 10]); 23] = [
    ("", [MISSING, FINE, MISSING, FINE, FINE, FINE, FINE, FINE, FINE, FINE]),
    ("null", [MISSING, FINE, MISSING, FINE, FINE, FINE, FINE, FINE, FINE, FINE]),
    ("true", [TYPE; 10]),
    ("[1]", [TYPE; 10]),
    ("{}", [TYPE, TYPE, TYPE, TYPE, TYPE, FINE, TYPE, TYPE, TYPE, TYPE]),
    ("7", [TYPE, TYPE, FINE, FINE, FINE, TYPE, TYPE, FINE, FINE, FINE]),
    ("1.5", [TYPE, TYPE, FINE, FINE, TYPE, TYPE, TYPE, TYPE, FINE, FINE]),
    ("-1", [TYPE, TYPE, RANGE, RANGE, RANGE, TYPE, TYPE, RANGE, RANGE, FINE]),
    ("-0.5", [TYPE, TYPE, RANGE, RANGE, RANGE, TYPE, TYPE, RANGE, RANGE, FINE]),
    ("1e18", [TYPE, TYPE, RANGE, RANGE, RANGE, TYPE, TYPE, RANGE, RANGE, RANGE]),
    ("99999999999999999999", [TYPE, TYPE, RANGE, RANGE, RANGE, TYPE, TYPE, RANGE, RANGE, RANGE]),
    ("NaN", [JSON; 10]),
    ("Infinity", [JSON; 10]),
    ("-Infinity", [JSON; 10]),
    ("\"NaN\"", [FINE, FINE, TYPE, TYPE, TYPE, TYPE, RANGE, TYPE, TYPE, TYPE]),
    ("\"Infinity\"", [FINE, FINE, TYPE, TYPE, TYPE, TYPE, RANGE, TYPE, TYPE, TYPE]),
    ("\"-1\"", [FINE, FINE, RANGE, RANGE, RANGE, TYPE, RANGE, TYPE, TYPE, FINE]),
    ("\"no such type\"", [FINE, FINE, TYPE, TYPE, TYPE, TYPE, RANGE, TYPE, TYPE, TYPE]),
    ("\"\"", [EMPTY, FINE, TYPE, TYPE, TYPE, TYPE, RANGE, TYPE, EMPTY, TYPE]),
    ("\"\\u0000\u{1f980}\"", [FINE, FINE, TYPE, TYPE, TYPE, TYPE, RANGE, TYPE, TYPE, TYPE]),
    // Half of a pair: a text that UTF-8 can't hold.
    ("\"\\ud800\"", [JSON, JSON, TYPE, TYPE, TYPE, TYPE, JSON, JSON, JSON, TYPE]),
    // Cut off.
    ("\"", [JSON; 10]),
    ("\"a\" \"b\"", [JSON; 10]),
];

/// A field's name, what it usually holds, and what it may hold.
type Field = (&'static str, &'static str, Kind);

/// Each recipe's events by their types, with all fields that it reads.
const EVENTS: [(&str, &[Field]); 9] = [
    (
        "retail",
        &[
            ("userId", "\"u\"", Text),
            ("eventType", "\"view\"", Text),
            ("productId", "\"P\"", OptionalText),
            ("timestamp", "1700000000123", Millis),
        ],
    ),
    (
        "analytics",
        &[
            ("eventType", "\"page_view\"", Text),
            ("userId", "\"u\"", OptionalText),
            ("sessionId", "\"s\"", OptionalText),
            ("deviceType", "\"mobile\"", OptionalText),
            ("location", "{\"country\":\"DE\"}", Object),
            ("pageUrl", "\"/\"", OptionalText),
            ("loadTime", "812.5", OptionalAmount),
            ("sessionLength", "30", OptionalAmount),
            ("pagesViewed", "2", Count),
        ],
    ),
    (
        "analytics",
        &[
            ("eventType", "\"purchase\"", Text),
            ("amount", "19.90", Amount),
            ("currency", "\"EUR\"", Currency),
            ("itemsCount", "2", Count),
        ],
    ),
    (
        "analytics",
        &[
            ("eventType", "\"user_signup\"", Text),
            ("signupMethod", "\"phone\"", OptionalText),
            ("campaignSource", "\"ad\"", OptionalText),
        ],
    ),
    (
        "clickstream",
        &[
            ("user_id", "\"u\"", Text),
            ("event_type", "\"page_view\"", OptionalText),
            ("timestamp", "1700000000.25", Time),
            ("page", "\"/\"", OptionalText),
            ("url", "\"https://example.com/\"", OptionalText),
        ],
    ),
    (
        "clickstream",
        &[
            ("user_id", "\"u\"", Text),
            ("event_type", "\"click\"", OptionalText),
            ("page", "\"/\"", OptionalText),
            ("element_id", "\"pay\"", OptionalText),
        ],
    ),
    (
        "clickstream",
        &[
            ("user_id", "\"u\"", Text),
            ("event_type", "\"purchase\"", OptionalText),
            ("page", "\"/\"", OptionalText),
            ("amount", "19.90", OptionalAmount),
        ],
    ),
    (
        "trends",
        &[
            ("userId", "\"u\"", Text),
            ("eventType", "\"view\"", Text),
            ("productId", "\"P\"", OptionalText),
            ("timestamp", "1700000000123", Millis),
            ("country", "\"DE\"", OptionalText),
            ("city", "\"Ulm\"", OptionalText),
        ],
    ),
    (
        "fraud",
        &[
            ("userId", "\"u\"", Text),
            ("eventType", "\"purchase\"", Text),
            ("productId", "\"P\"", OptionalText),
            ("timestamp", "1700000000123", Count),
            ("amount", "19.90", OptionalAmount),
            ("currency", "\"EUR\"", Currency),
            ("deviceId", "\"d\"", OptionalText),
            ("country", "\"DE\"", OptionalText),
            ("city", "\"Hamburg\"", OptionalText),
            ("latitude", "53.55", Degrees),
            ("longitude", "9.99", Degrees),
        ],
    ),
];

/// Whether a record becomes an item: those of some recipes become part of their window's.
fn has_items(recipe: &str) -> bool {
    find(recipe).unwrap().windowed().is_none_or(|windowed| windowed.stored().is_none())
}

fn process(recipe: &str, data: &[u8]) -> Result<Effects, Rejected> {
    let record = StreamRecord {
        shard_id: "shardId-000000000000",
        sequence_number: "42",
        partition_key: "p",
        arrival_ms: 1_700_000_000_555,
        data,
        ..StreamRecord::default()
    };
    find(recipe).unwrap().process(&Record::Stream(record), 1_700_000_009_999)
}

/// An event in which one field holds something else, or is not there at all.
fn payload(fields: &[Field], place: usize, value: &[u8]) -> Vec<u8> {
    let mut parts = Vec::new();
    for (at, (name, usual, _)) in fields.iter().enumerate() {
        let value = if at == place { value } else { usual.as_bytes() };
        if !value.is_empty() {
            parts.push([b"\"", name.as_bytes(), b"\":", value].concat());
        }
    }
    [b"{".as_slice(), &parts.join(b",".as_slice()), b"}"].concat()
}

/// Asks for the verdict on one field; a rejection names the field, unless the whole payload can't be read.
fn code(recipe: &str, field: &str, data: &[u8]) -> &'static str {
    match process(recipe, data) {
        Ok(effects) => {
            let items = usize::from(has_items(recipe));
            assert_eq!(effects.items.len(), items, "a record that is processed is an item: {recipe} {field}");
            FINE
        }
        Err(Rejected { code, message }) => {
            let place = message.split(':').next().unwrap();
            assert!(place == field || place == "payload", "{recipe} {field}: {message}");
            code
        }
    }
}

#[test]
fn every_wrong_value_of_every_field_has_its_verdict() {
    let mut verdicts = BTreeMap::<&str, usize>::new();
    for (recipe, fields) in EVENTS {
        assert_eq!(code(recipe, "none", &payload(fields, usize::MAX, b"")), FINE);
        for (place, (field, _, kind)) in fields.iter().enumerate() {
            for (value, expected) in VALUES {
                let expected = expected[*kind as usize];
                let found = code(recipe, field, &payload(fields, place, value.as_bytes()));
                assert_eq!(found, expected, "{recipe}: {field} = {value}");
                *verdicts.entry(expected).or_default() += 1;
            }
        }
    }
    assert_eq!(verdicts.values().sum::<usize>(), 50 * VALUES.len(), "{verdicts:?}");
}

#[test]
fn bytes_that_are_no_text_are_rejected_wherever_they_are() {
    for (recipe, fields) in EVENTS {
        for (place, (field, ..)) in fields.iter().enumerate() {
            for bytes in [b"\"\xff\"".as_slice(), b"\"\xc3\x28\"", b"\"\xed\xa0\x80\"", b"\xfe"] {
                assert_eq!(code(recipe, field, &payload(fields, place, bytes)), "not_utf8", "{recipe} {field}");
            }
        }
    }
}

#[test]
fn numbers_that_no_machine_holds_are_rejected() {
    for (recipe, fields) in EVENTS {
        for (place, (field, _, kind)) in fields.iter().enumerate() {
            let expected = match kind {
                // It reads the whole payload at once, as far as floating-point numbers go.
                _ if recipe == "retail" || recipe == "trends" => JSON,
                Amount | OptionalAmount | Count | Time | Degrees => RANGE,
                _ => TYPE,
            };
            assert_eq!(code(recipe, field, &payload(fields, place, b"1e400")), expected, "{recipe} {field}");
        }
    }
}

/// DynamoDB takes partition keys of 2,048 bytes, sort keys of 1,024, and items of 400 KB. The key of a recipe's memory may have
/// 1,024 bytes.
#[test]
fn texts_are_taken_as_far_as_dynamodb_takes_them() {
    for (recipe, fields) in EVENTS {
        for (place, (field, _, kind)) in fields.iter().enumerate() {
            if !matches!(kind, Text | OptionalText) {
                continue;
            }
            let is_key = find(recipe).unwrap().needs().table.unwrap().partition.name == *field;
            // An event as a whole may be this long, and for retail each of its texts; what trends counts by is short.
            let longest = match (*field, find(recipe).unwrap().stateful()) {
                ("userId", None) if recipe == "trends" => 2048,
                ("country", None) => 64,
                ("city" | "productId", None) if recipe == "trends" => 128,
                (_, None) if is_key => 2048,
                (_, Some(_)) if is_key => 1024,
                _ => 128 * 1024,
            };
            let spare = if longest < 128 * 1024 || recipe == "retail" || recipe == "trends" { 0 } else { 512 };
            let of = |bytes: usize| {
                let data = payload(fields, place, format!("\"{}\"", "x".repeat(bytes)).as_bytes());
                process(recipe, &data)
            };
            assert_eq!(of(longest + 1).unwrap_err().code, "too_long", "{recipe} {field}");
            let mut items = of(longest - spare).unwrap_or_else(|error| panic!("{recipe} {field}: {error}")).items;
            assert_eq!(items.len(), usize::from(has_items(recipe)), "{recipe} {field}");
            let Some(item) = items.pop() else { continue };
            let item_bytes = serde_json::to_string(&item).unwrap().len();
            assert!(item_bytes < 400 * 1024, "{recipe} {field}: {item_bytes}, which in DynamoDB is less");
            let key = find(recipe).unwrap().needs().table.unwrap();
            for (name, most) in key.names().zip([2048, 1024]) {
                let bytes = serde_json::to_value(&item[name]).unwrap();
                let bytes = bytes.as_object().unwrap().values().next().unwrap().as_str().unwrap().len();
                assert!((1..=most).contains(&bytes), "{recipe} {field}: {name} has {bytes} bytes");
            }
        }
    }
}
