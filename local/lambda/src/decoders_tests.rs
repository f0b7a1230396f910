//! Whatever functions, mappings and packages hold: it is read or refused, in no time.

use std::fs;
use std::io::{Cursor, Write as _};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::Value;
use uuid::Uuid;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::event_pattern::EventPattern;
use crate::runtime::code::extract;
use crate::telemetry::emf;

/// Far more than any of them takes, on a machine that has other things to do.
const LONG: Duration = Duration::from_secs(10);

fn pieces(of: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(of), 0..60).prop_map(|pieces| pieces.concat())
}

fn pattern_text() -> impl Strategy<Value = String> {
    pieces(&[
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"a\"",
        "\"$or\"",
        "\"prefix\"",
        "\"suffix\"",
        "\"anything-but\"",
        "\"numeric\"",
        "\">=\"",
        "\"wildcard\"",
        "\"*\"",
        "\"cidr\"",
        "\"10.0.0.0/99\"",
        "\"exists\"",
        "true",
        "null",
        "1e999",
        "-5",
        "\"equals-ignore-case\"",
    ])
}

fn package(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        // Two of one name are one too many.
        if zip.start_file(name.as_str(), SimpleFileOptions::default().unix_permissions(0o755)).is_ok() {
            zip.write_all(content).expect("it is in memory");
        }
    }
    zip.finish().expect("it is in memory").into_inner()
}

/// Unpacks into a folder of its own; nothing may be beside it.
fn unpack(zip: &[u8]) -> bool {
    let all = std::env::temp_dir().join(format!("streamkit-packages-{}", Uuid::new_v4()));
    let unpacked = extract(zip, &all.join("code"));
    let beside = fs::read_dir(&all).into_iter().flatten().flatten().filter(|entry| entry.file_name() != "code").count();
    assert_eq!(beside, 0, "something is beside the folder of the package");
    // What was refused at once has made no folder.
    drop(fs::remove_dir_all(&all));
    unpacked.is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_is_a_pattern_or_none(text in prop_oneof![".{0,200}", pattern_text()], event in prop_oneof![".{0,100}", pattern_text()]) {
        if let Ok(pattern) = EventPattern::parse(&text) {
            let event: Value = serde_json::from_str(&event).unwrap_or_default();
            prop_assert!(pattern.size().depth > 0);
            // An event is as good as a list of it.
            let list = Value::from(vec![event.clone()]);
            prop_assert_eq!(pattern.matches(&event), pattern.matches(&list));
        }
    }

    #[test]
    fn any_line_has_metrics_or_none(line in prop_oneof![
        ".{0,200}",
        pieces(&["{", "}", "[", "]", ":", ",", "\"_aws\"", "\"Timestamp\"", "\"CloudWatchMetrics\"", "\"Namespace\"", "\"Dimensions\"",
            "\"Metrics\"", "\"Name\"", "\"Unit\"", "\"Values\"", "\"Counts\"", "9223372036854775807", "-1e308", "null"]),
    ]) {
        for (series, value) in emf::metrics(&line, i64::MAX) {
            prop_assert!(value.is_finite() && !series.name.is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_package_is_unpacked_inside_its_folder_or_refused(
        entries in prop::collection::vec((pieces(&["a", "b", "/", "..", "./", "\\", "\0", "C:", "é"]), prop::collection::vec(any::<u8>(), 0..200)), 1..5),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let whole = package(&entries);
        unpack(&whole);
        let mut changed = whole.clone();
        for (at, byte) in changes {
            let at = at.index(changed.len());
            changed[at] = byte;
        }
        unpack(&changed);
        prop_assert!(!unpack(&whole[..cut.index(whole.len())]), "a part of a package is none");
    }

    #[test]
    fn any_bytes_are_no_package(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(!unpack(&bytes));
    }
}

#[test]
fn patterns_of_any_size_take_no_time() {
    let began = Instant::now();
    let nested = |depth: usize| format!("{}[\"x\"]{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    for depth in [100, 1_000, 1_000_000] {
        drop(EventPattern::parse(&nested(depth)));
    }
    let wildcards = format!("{{\"a\":[{{\"wildcard\":\"{}b\"}}]}}", "*a".repeat(200));
    let choices = format!("{{\"$or\":[{}]}}", vec!["{\"a\":[{\"exists\":false}]}"; 2_000].join(","));
    let event: Value = serde_json::json!({ "a": "a".repeat(100_000) });
    for text in [wildcards, choices, nested(100)] {
        if let Ok(pattern) = EventPattern::parse(&text) {
            assert!(!pattern.matches(&event), "{}", &text[..40]);
        }
    }
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
}
