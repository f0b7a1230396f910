//! How many calls each command makes: no more than today. `benches/README.md` has the table, and what there is to say of it.

use std::fs;

use crate::harness::{Home, pipeline};

/// The most calls of `up` in an empty account, of `up` and of `plan` where nothing changes, of `up` that changes a function's memory,
/// and of `down`. Those of reads alone are exact. The others leave room for a second look at a mapping that is just being made or
/// deleted, and for alarms that are not deleted in one call.
const MOST: [(&str, [usize; 5]); 7] = [
    ("archive", [90, 49, 49, 57, 81]),
    ("retail-events", [51, 32, 32, 36, 62]),
    ("clickstream", [60, 36, 36, 40, 65]),
    ("fan-out", [102, 57, 57, 57, 102]),
    ("change-capture", [74, 43, 43, 47, 75]),
    ("shop", [136, 75, 76, 87, 123]),
    ("streaming-analytics", [63, 35, 35, 35, 64]),
];

#[test]
fn no_command_makes_more_calls_than_it_did() {
    for (name, most) in MOST {
        let home = Home::new();
        home.endpoint();
        let spec = pipeline(&format!("{name}.toml"));
        let text = fs::read_to_string(&spec).unwrap();
        let changed = home.write("changed.toml", &text.replace("memory = 256", "memory = 512"));
        let mut from = home.calls().len();
        let mut calls = |command: &str, spec, more: &[&str]| {
            home.local(command, spec, more);
            let (last, calls) = home.calls_after(from);
            from = last;
            calls.len()
        };
        let yes: &[&str] = &["--yes"];
        let counts = [
            calls("up", &spec, yes),
            calls("up", &spec, yes),
            calls("plan", &spec, &[]),
            calls("up", &changed, yes),
            calls("down", &spec, yes),
        ];
        let exact = |at: usize| counts[at] == most[at];
        assert!(exact(1) && exact(2) && exact(3), "{name}: {counts:?}, and it was {most:?}");
        assert!(counts.iter().zip(&most).all(|(count, most)| count <= most), "{name}: {counts:?}, and it was {most:?}");
    }
}

#[test]
fn a_resource_is_read_once_and_together_with_others_where_aws_answers_for_several() {
    let home = Home::new();
    let spec = pipeline("fan-out.toml");
    home.local("up", &spec, &["--yes"]);
    let from = home.calls().len();
    home.local("plan", &spec, &[]);
    let (_, calls) = home.calls_after(from);
    let mut seen: Vec<_> =
        calls.iter().map(|call| format!("{} {} {}", call["service"], call["operation"], call["resource"])).collect();
    seen.sort();
    let all = seen.len();
    seen.dedup();
    assert_eq!(seen.len(), all, "{seen:#?}");
    for once in ["DescribeAlarms", "DescribeLogGroups", "ListEventSourceMappings"] {
        assert_eq!(calls.iter().filter(|call| call["operation"] == once).count(), 1, "{once}: {seen:#?}");
    }
}
