//! Runs in two regions at the same time, and a change that is killed in each of its waits.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::json;

use crate::harness::{Home, finish, pipeline};

/// States that last long enough to be killed in.
const TIMES: &str = r#"
    [changes]
    stream-create = "700ms"
    stream-update = "500ms"
    stream-delete = "700ms"
    table-create = "700ms"
    table-update = "500ms"
    table-delete = "700ms"
    role-propagation = "900ms"
    function-create = "500ms"
    function-update = "500ms"
    mapping-create = "700ms"
    mapping-update = "500ms"
    mapping-delete = "700ms"
"#;

const MARK: &str = "waiting for ";

/// Every wait of an `up`, as it tells of them on stderr. With a wait to be killed in, it is killed there.
fn run(home: &Home, spec: &Path, kill_in: Option<&str>) -> BTreeSet<String> {
    let mut child = home.command();
    child.args(["up", spec.to_str().unwrap(), "--local", "--yes"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut waits = BTreeSet::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if line.contains(MARK) {
            waits.insert(words.join(" "));
        }
        if kill_in.is_some_and(|wait| wait == words.join(" ")) {
            child.kill().unwrap();
            break;
        }
    }
    let status = child.wait().unwrap();
    assert!(status.success() || kill_in.is_some(), "{waits:#?}");
    waits
}

#[test]
fn a_change_that_is_killed_in_any_of_its_waits_is_finished_by_the_next_run() {
    let home = Home::new();
    let times = home.write("times.toml", TIMES);
    home.run(&["local", "start", "--strict", "--latency", times.to_str().unwrap()]).expect(0);
    let first = home.retail(&[]);
    let spec: PathBuf = home.write("first.toml", &std::fs::read_to_string(first).unwrap());
    let changed = home.retail(&[
        ("shards = 1 ", "shards = 2 "),
        ("retention = \"24h\"", "retention = \"48h\""),
        ("memory = 256 ", "memory = 512 "),
        ("max_retries = 3", "max_retries = 5"),
    ]);
    home.local("up", &spec, &["--yes"]);
    let waits = run(&home, &changed, None);
    assert!(waits.len() >= 2, "{waits:#?}");
    for wait in waits {
        home.local("up", &spec, &["--yes", "--allow-replace", "stream.events"]);
        run(&home, &changed, Some(&wait));
        home.local("up", &changed, &["--yes"]);
        let (before, _) = home.calls_after(usize::MAX);
        let again = home.local("up", &changed, &["--yes"]);
        assert_eq!(again["summary"]["unchanged"], again["resources"].as_array().unwrap().len(), "{wait}: {again:#}");
        assert_eq!(home.mutating_calls(before), Vec::<String>::new(), "{wait}");
    }
}

#[test]
fn two_regions_at_once_do_not_meet() {
    let home = Home::new();
    home.run(&["local", "start", "--strict"]).expect(0);
    let spec = pipeline("retail-events.toml");
    let regions = ["us-east-1", "eu-west-1"];
    let both = |command: &str| {
        let start = |region: &str| {
            let mut child = home.command();
            child.args([command, spec.to_str().unwrap(), "--local", "--json", "--region", region]);
            if command != "validate" {
                child.arg("--yes");
            }
            child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        regions.map(start).map(|child| finish(child).expect(0).json())
    };
    for up in both("up") {
        assert_eq!((&up["summary"]["create"], &up["summary"]["failed"]), (&json!(13), &json!(0)), "{up:#}");
    }
    for up in both("up") {
        assert_eq!(up["summary"]["unchanged"], 13, "{up:#}");
    }
    for validated in both("validate") {
        assert_eq!(validated["ok"], true, "{validated:#}");
    }
    // One goes, the other still works.
    home.local("down", &spec, &["--yes", "--region", "eu-west-1"]);
    assert_eq!(home.local("up", &spec, &["--yes"])["summary"]["unchanged"], 13);
    for down in both("down") {
        assert_eq!(down["summary"]["failed"], 0, "{down:#}");
    }
}
