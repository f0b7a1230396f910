//! How many calls each command makes: no more than today. `benches/README.md` has the table, and what there is to say of it.

use std::fs;

use crate::harness::{Home, pipeline};

/// The most calls of `up` in an empty account, of `up` and of `plan` where nothing changes, of `up` that changes a function's memory,
/// and of `down`. Those of reads alone are exact. The others leave room for a second look at a mapping that is just being made or
/// deleted, and for alarms that are not deleted in one call.
const MOST: [(&str, [usize; 5]); 7] = [
    ("archive", [90, 35, 35, 43, 65]),
    ("retail-events", [51, 24, 24, 28, 50]),
    ("clickstream", [60, 26, 26, 30, 53]),
    ("fan-out", [102, 40, 40, 40, 72]),
    ("change-capture", [74, 33, 33, 37, 56]),
    ("shop", [136, 51, 52, 63, 104]),
    ("streaming-analytics", [63, 26, 26, 26, 53]),
];

#[test]
fn no_command_makes_more_calls_than_it_did() {
    let mut others = Vec::new();
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
        if !(exact(1) && exact(2) && exact(3)) || counts.iter().zip(&most).any(|(count, most)| count > most) {
            others.push(format!("{name}: {counts:?}, and it was {most:?}"));
        }
    }
    assert!(others.is_empty(), "{others:#?}");
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
