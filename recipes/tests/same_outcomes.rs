//! What becomes of arbitrary payloads, to the letter: thousands of them, made from a few by cutting, repeating and replacing.
//!
//! Parsing is written for speed. These hashes were taken when it was written for nothing but simplicity, so they say that
//! quicker is not different. Who changes what a recipe means on purpose takes the new ones from the failure; with
//! `STREAMKIT_OUTCOMES=FILE` the outcomes themselves are written to that file, to be compared with those of the commit before.
#![expect(clippy::unwrap_used, reason = "a test, in which clippy does not count the functions below")]

use std::fmt::Write as _;

use streamkit_recipes::{Change, ChangeKind, Effects, Item, Record, Rejected, StreamRecord, UserIdentity, View, find};

const ROUNDS: usize = 6_000;

const EXPECTED: [(&str, u64); 4] = [
    ("retail", 10_924_293_553_471_253_179),
    ("analytics", 10_834_232_446_584_081_950),
    ("clickstream", 2_101_842_674_118_042_439),
    ("changes", 17_224_968_080_175_884_478),
];

const RETAIL: [&str; 7] = [
    r#"{"userId":"user-0001","eventType":"view","productId":"P0001","timestamp":1700000000123,"sessionId":"0f","userAgent":"Mozilla/5.0 (X11; Linux)"}"#,
    r#"{"userId":"ünïcödé-🛒","eventType":"purchase","productId":"P \"quoted\" \\ \n\t\u0001\u20ac\ud83d\ude00","timestamp":"1700000000123"}"#,
    r#" { "userId" : "a" , "eventType" : "add_to_cart" , "productId" : null , "timestamp" : 0 } "#,
    r#"{"userId":"a","eventType":"wishlist","nested":{"a":[1,null,{"b":true}],"c":-1.5e-3},"timestamp":1.7e12}"#,
    r#"{"userId":"first","userId":"last","eventType":"view","timestamp":253402300799999}"#,
    r#"{"user\u0049d":"u","eventType":"view","timestamp":18446744073709551616}"#,
    r#"[{"userId":"u","eventType":"view"}]"#,
];

const ANALYTICS: [&str; 6] = [
    r#"{"eventType":"page_view","userId":"u","sessionId":"s","deviceType":"mobile","location":{"country":"DE","at":[1.10,-0.30000000000000004,true,null,{"b":"c\u00e9"}]},"pageUrl":"/a?b=\"c\"","loadTime":812.50,"sessionLength":29,"pagesViewed":1}"#,
    r#"{"eventType":"purchase","amount":"19.90","currency":"EUR","itemsCount":2.0,"deviceType":"fridge"}"#,
    r#"{"eventType":"purchase","amount":1e-7,"currency":"XYZ","itemsCount":"3","eventType":"purchase"}"#,
    r#" {"eventType":"user_signup","signupMethod":"phone","campaignSource":"ad \ud83d\ude00"} "#,
    r#"{"eventType":"click","location":{"a":{"b":{"c":{}}}},"amount":12345678901234567890.123456789012345678}"#,
    r#"{"eventType":"page_view","loadTime":99999999999999.9999,"sessionLength":"1e2","pagesViewed":"0"}"#,
];

const CLICKSTREAM: [&str; 6] = [
    r#"{"user_id":"u1","event_type":"page_view","page":"/home","url":"https://x.test/?a=b&c=%20","timestamp":1700000000.123,"session_id":"s"}"#,
    r#"{"user_id":"u1","event_type":"click","page":"/home","element_id":"buy \"now\"","timestamp":"2026-01-02T03:04:05.678Z"}"#,
    r#"{"user_id":"ü","event_type":"purchase","page":"/cart","amount":"1234.500","timestamp":"2026-01-02T03:04:05+01:00"}"#,
    r#"{"user_id":"u","event_type":"scroll","depth":[0.5,{"x":1e3}],"timestamp":1.7e9}"#,
    r#"{"user_id":"u","event_type":null,"timestamp":"2026-01-02 03:04:05"}"#,
    r#" {"user_id":"\ud83d\ude00","timestamp":253402300799.999,"timestamp":null} "#,
];

const IMAGES: [&str; 4] = [
    r#"{"ActivityId":{"S":"a-1"},"Amount":{"N":"99.99"},"Flag":{"BOOL":true},"Nothing":{"NULL":true},"UserId":{"S":"u \"1\" \\ \n\u0001é🛒"}}"#,
    r#"{"UserId":{"S":"u"},"List":{"L":[{"S":""},{"M":{"g":{"N":"-1"},"e":{"BS":["/wA="]}}}]},"Set":{"SS":["x","y"]},"Numbers":{"NS":["1"]},"Blob":{"B":"/wA="}}"#,
    r#" { "UserId" : { "S" : "u" } , "aws:rep:updateregion" : { "S" : "eu-west-1" } , "UserId" : { "S" : "v" } } "#,
    r#"{"UserId":{"N":"7"},"aws:rep:updateregion":{"S":"us-east-1"},"aws:rep:deleting":{"BOOL":false},"Z":{"S":"\ud83d\ude00"}}"#,
];

/// What is put into payloads: what is on the edge of JSON, of numbers and of texts.
const PIECES: [&str; 48] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\\",
    " ",
    "\n",
    "0",
    "1",
    "-",
    ".",
    "e",
    "E+9",
    "null",
    "true",
    "false",
    "NaN",
    "1e400",
    "-0",
    "1.50",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "1e-131",
    "1e125",
    "0.00000000000000000000000000000000000000123456789012345678901234567890",
    "\\u0000",
    "\\ud800",
    "\\ud83d\\ude00",
    "\\u00",
    "\\x",
    "\u{1}",
    "é",
    "🦀",
    "\u{ffff}",
    "{}",
    "[]",
    "[[[[]]]]",
    "\"\"",
    "\"timestamp\":",
    "\"eventType\":",
    "\"event_type\":",
    ",\"amount\":",
    "{\"\":1}",
    "\"2026-02-30T00:00:00Z\"",
];

/// What a field's value is replaced with: JSON, whatever it means.
const VALUES: [&str; 20] = [
    "null",
    "true",
    "{}",
    "[1,\"a\"]",
    "\"\"",
    "\"text\"",
    "\"1\"",
    "\"12.50\"",
    "\"-3e2\"",
    "\"\\ud83d\\ude00\\n\"",
    "\"purchase\"",
    "\"page_view\"",
    "7",
    "-0.0",
    "1.50",
    "1e15",
    "0.1e-9",
    "1700000000",
    "\"2026-01-02T03:04:05.6789+02:00\"",
    "{\"a\":{\"b\":[1.0,{\"c\":\"\\u0000\"}]}}",
];

/// Numbers that are the same on every machine and for ever.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        // Knuth's MMIX; the low bits of such a generator are poor.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
    }
}

/// Changes a payload in one or two places.
fn mutated(numbers: &mut Numbers, payload: &str) -> Vec<u8> {
    let mut bytes = payload.as_bytes().to_vec();
    for _ in 0..=numbers.below(2) {
        let (one, two) = (numbers.below(bytes.len() + 1), numbers.below(bytes.len() + 1));
        let (from, to) = (one.min(two), one.max(two).min(one.min(two) + 12));
        let piece = PIECES[numbers.below(PIECES.len())];
        match numbers.below(14) {
            0 => bytes.truncate(to),
            1 => drop(bytes.drain(from..to)),
            2 => {
                let copied = bytes[from..to].to_vec();
                bytes.splice(from..from, copied);
            }
            3 => drop(bytes.splice(from..to, piece.bytes())),
            4 => {
                if let Some(byte) = bytes.get_mut(from) {
                    *byte = u8::try_from(numbers.below(256)).unwrap();
                }
            }
            5 | 6 => {
                if let Some(byte) = bytes.get_mut(from).filter(|byte| byte.is_ascii_alphanumeric()) {
                    *byte = b"aZ09"[numbers.below(4)];
                }
            }
            // The value of a field, or what looks like one.
            7..13 => {
                let colons = bytes.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(place, _)| place + 1);
                let colons: Vec<usize> = colons.collect();
                if let Some(&at) = colons.get(numbers.below(colons.len())) {
                    let end = bytes[at..].iter().position(|byte| b",}".contains(byte)).map_or(bytes.len(), |n| at + n);
                    bytes.splice(at..end, VALUES[numbers.below(VALUES.len())].bytes());
                }
            }
            _ => drop(bytes.splice(from..from, piece.bytes())),
        }
    }
    bytes
}

fn told(outcome: Result<Effects, Rejected>) -> String {
    let mut text = String::new();
    match outcome {
        Err(rejected) => write!(text, "{}: {}", rejected.code, rejected.message).unwrap(),
        Ok(effects) => {
            for item in &effects.items {
                writeln!(text, "{}", serde_json::to_string(item).unwrap()).unwrap();
            }
            for object in &effects.objects {
                let body = std::str::from_utf8(&object.body).unwrap();
                writeln!(text, "{} {} {body}", object.key, object.content_type).unwrap();
            }
            writeln!(text, "{:?} {:?}", effects.notifications, effects.counts).unwrap();
        }
    }
    text
}

fn of_stream(recipe: &str, numbers: &mut Numbers, payloads: &[&str]) -> String {
    let payload = payloads[numbers.below(payloads.len())];
    let data = if numbers.below(40) == 0 { payload.as_bytes().to_vec() } else { mutated(numbers, payload) };
    let record = StreamRecord {
        stream_arn: "",
        shard_id: "shardId-000000000007",
        sequence_number: "49545115243490985018280067714973144582180062593244200961",
        partition_key: "k",
        arrival_ms: 1_700_000_000_123,
        data: &data,
        own_id: [None, Some("e-1")][numbers.below(2)],
        sub_sequence_number: [None, Some(17)][numbers.below(2)],
    };
    told(find(recipe).unwrap().process(&Record::Stream(record), 1_700_000_000_999))
}

fn of_table(numbers: &mut Numbers) -> String {
    let mut image = || {
        let text = IMAGES[numbers.below(IMAGES.len())];
        let bytes = if numbers.below(3) == 0 { text.as_bytes().to_vec() } else { mutated(numbers, text) };
        serde_json::from_slice::<Item>(&bytes).map_err(|error| error.to_string())
    };
    let (old, new) = match (image(), image()) {
        (Ok(old), Ok(new)) => (old, new),
        (old, new) => return format!("{:?} {:?}", old.err(), new.err()),
    };
    let keys = [&old, &new][numbers.below(2)].clone();
    let kind = ChangeKind::ALL[numbers.below(3)];
    let there = numbers.below(10);
    let change = Change {
        event_id: "c4ca4238a0b923820dcc509a6f75849b",
        sequence_number: "4421584500000000017450439091",
        kind,
        table: "activities",
        region: "eu-west-1",
        created_ms: [0, -1, 1_700_000_000_000, 1_700_000_000_123, 253_402_300_799_999, i64::MAX][numbers.below(6)],
        size_bytes: 112,
        view: View::ALL[[3, 3, 3, 0, 1, 2][numbers.below(6)]],
        keys: &keys,
        old: (kind != ChangeKind::Insert || there == 0).then_some(&old),
        new: (kind != ChangeKind::Remove || there == 0).then_some(&new),
        user: [None, Some(UserIdentity { kind: "Service", principal_id: "dynamodb.amazonaws.com" })][numbers.below(2)],
    };
    told(find("changes").unwrap().process(&Record::Change(change), 1))
}

#[test]
fn arbitrary_payloads_have_the_outcomes_that_they_always_had() {
    let mut numbers = Numbers(7);
    let mut all = String::new();
    let mut found = Vec::new();
    for (recipe, _) in EXPECTED {
        let (mut hash, mut fine) = (0xcbf2_9ce4_8422_2325_u64, 0);
        for round in 0..ROUNDS {
            let outcome = match recipe {
                "retail" => of_stream(recipe, &mut numbers, &RETAIL),
                "analytics" => of_stream(recipe, &mut numbers, &ANALYTICS),
                "clickstream" => of_stream(recipe, &mut numbers, &CLICKSTREAM),
                _ => of_table(&mut numbers),
            };
            // FNV-1a.
            hash = outcome.bytes().fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
            fine += usize::from(outcome.contains('\n'));
            writeln!(all, "{recipe} {round}: {outcome}").unwrap();
        }
        assert!(
            (ROUNDS / 8..ROUNDS * 7 / 8).contains(&fine),
            "{recipe}: {fine} of {ROUNDS} are fine, which tests little"
        );
        found.push((recipe, hash));
    }
    if let Ok(file) = std::env::var("STREAMKIT_OUTCOMES") {
        std::fs::write(file, all).unwrap();
    }
    assert_eq!(found, EXPECTED);
}

/// Long texts, deep nesting and many fields, which mutations do not reach.
#[test]
fn large_payloads_have_the_outcomes_that_they_always_had() {
    let deep = |levels: usize, open: &str, close: &str| format!("{}1{}", open.repeat(levels), close.repeat(levels));
    let field = |recipe: &str| match recipe {
        "retail" => r#""userId":"u","eventType":"view""#,
        "analytics" => r#""userId":"u","eventType":"click""#,
        _ => r#""user_id":"u","event_type":"click""#,
    };
    let code = |recipe: &str, payload: &str| {
        let record =
            StreamRecord { shard_id: "s", sequence_number: "1", data: payload.as_bytes(), ..StreamRecord::default() };
        let outcome = find(recipe).unwrap().process(&Record::Stream(record), 1);
        outcome.map_or_else(|rejected| rejected.to_string(), |_| String::new())
    };
    for recipe in ["retail", "analytics", "clickstream"] {
        let with = |extra: &str| code(recipe, &format!("{{{},\"x\":{extra}}}", field(recipe)));
        let is_retail = recipe == "retail";
        assert_eq!(with(&deep(126, "[", "]")), "", "{recipe}");
        assert_eq!(with(&deep(60, "{\"a\":[", "]}")), "", "{recipe}");
        let too_deep = with(&deep(127, "[", "]"));
        assert_eq!(too_deep.is_empty(), !is_retail, "{recipe}: {too_deep}");
        let number = with("1e400");
        assert_eq!(number.is_empty(), !is_retail, "{recipe}: {number}");
        let half = with(r#"{"y":"\ud800"}"#);
        assert_eq!(half.is_empty(), !is_retail, "{recipe}: {half}");
        let many = (0..5_000).map(|n| format!(",\"field{n}\":{n}")).collect::<Vec<_>>().concat();
        assert_eq!(with(&format!("1{many}")), "", "{recipe}");
        assert!(code(recipe, &format!("{{{}}} x", field(recipe))).contains("line 1 column"), "{recipe}");
    }
}
