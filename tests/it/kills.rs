//! Runs that are killed in each of their waits: the next one finishes what they began, and of everything there is one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::everything::everything;
use crate::harness::{Home, runtime, sdk, until};

/// States that last long enough to be killed in.
const TIMES: &str = r#"
    [changes]
    stream-create = "700ms"
    stream-update = "500ms"
    stream-delete = "700ms"
    table-create = "700ms"
    table-update = "500ms"
    table-delete = "1500ms"
    role-propagation = "900ms"
    function-create = "500ms"
    function-update = "500ms"
    mapping-create = "700ms"
    mapping-update = "500ms"
    mapping-delete = "2500ms"
    queue-name = "2s"
"#;

/// Something of each kind that AWS takes a while to make, to change after it is made, or to delete.
const SPEC: [(&str, &str); 5] = [
    ("from = \"stream.events\"\n", "from = \"stream.events\"\nconsumer = \"enhanced-fan-out\"\n"),
    (
        "billing = \"on-demand\"  ",
        "billing = { read = 5, write = 5, autoscaling = { max_read = 10, max_write = 10 } }\nttl = \"expiresAt\"\npoint_in_time_recovery = true  ",
    ),
    ("subscribers = []", "subscribers = [\"queue.dlq\"]"),
    ("tracing = true ", "reserved_concurrency = 5\ntracing = true "),
    ("[lint]\n", "[bucket.audit]\n\n[dashboard]\n\n[lint]\n"),
];

/// An embedded AWS with those times.
fn slow() -> Home {
    let home = Home::new();
    let times = home.write("times.toml", TIMES);
    home.run(&["local", "start", "--strict", "--latency", times.to_str().unwrap()]).expect(0);
    home
}

/// Every wait of a run, as it tells of them on stderr. With a wait to be killed in, it is killed there.
fn run(home: &Home, command: &str, spec: &Path, kill_in: Option<&str>) -> BTreeSet<String> {
    let mut child = home.command();
    child.args([command, spec.to_str().unwrap(), "--local", "--yes"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut waits = BTreeSet::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok) {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.contains("waiting ") || line.contains("trying for ") {
            waits.insert(line.clone());
        }
        if kill_in == Some(line.as_str()) {
            child.kill().unwrap();
            break;
        }
    }
    let status = child.wait().unwrap();
    assert!(status.success() || kill_in.is_some(), "{waits:#?}");
    waits
}

/// Brings the pipeline up, and once more without a mutating call.
fn converges(home: &Home, spec: &Path, wait: &str) {
    let up = home.local_output("up", spec, &["--yes"]);
    assert_eq!(up.code, 0, "{wait}: {up:#?}");
    let (before, _) = home.calls_after(usize::MAX);
    let again = home.local("up", spec, &["--yes"]);
    assert_eq!(again["summary"]["unchanged"], again["resources"].as_array().unwrap().len(), "{wait}: {again:#}");
    assert_eq!(home.mutating_calls(before), Vec::<String>::new(), "{wait}");
}

/// The same where AWS may show for a while what has just been deleted: what a run took for there, or failed on, the next one makes.
fn converges_soon(home: &Home, spec: &Path, wait: &str) {
    until(&format!("an `up` with nothing to do after {wait}"), Duration::from_secs(240), || {
        let up = home.local_output("up", spec, &["--yes"]);
        if up.code != 0 {
            return None;
        }
        let up = up.json();
        (up["summary"]["unchanged"] == up["resources"].as_array().unwrap().len()).then_some(())
    });
    converges(home, spec, wait);
}

/// How many there are of each kind.
fn counts(home: &Home) -> BTreeMap<String, usize> {
    let config = sdk(&home.endpoint());
    let mut counts = BTreeMap::new();
    for name in runtime().block_on(everything(&[config])).into_keys() {
        let kind = name.split(' ').nth(1).unwrap().to_owned();
        *counts.entry(kind).or_default() += 1;
    }
    counts
}

/// Takes the pipeline down. A mapping that is being deleted goes by itself where the killed run has deleted its function, too: then
/// its owner can no longer be told.
fn goes_away(home: &Home, spec: &Path, wait: &str) {
    let down = home.local_output("down", spec, &["--yes"]);
    assert_eq!(down.code, 0, "{wait}: {down:#?}");
    let left = || counts(home).into_iter().filter(|(kind, _)| kind != "mapping").collect::<BTreeMap<_, _>>();
    assert_eq!(left(), BTreeMap::new(), "{wait}: {down:#?}");
    until("the end of the mapping", Duration::from_secs(60), || counts(home).is_empty().then_some(()));
}

/// One after the other would take minutes, in which next to nothing is computed.
fn each_at_once(waits: &BTreeSet<String>, life: impl Fn(&Home, &Path, &str) + Sync) {
    std::thread::scope(|scope| {
        for wait in waits {
            let life = &life;
            scope.spawn(move || {
                let home = slow();
                let spec = home.retail(&SPEC);
                life(&home, &spec, wait);
                goes_away(&home, &spec, wait);
            });
        }
    });
}

/// The waits of `up` and of `down`, and what there is in between.
fn whole_life() -> (BTreeSet<String>, BTreeMap<String, usize>, BTreeSet<String>) {
    let home = slow();
    let spec = home.retail(&SPEC);
    let up = run(&home, "up", &spec, None);
    let there = counts(&home);
    let down = run(&home, "down", &spec, None);
    assert_eq!(counts(&home), BTreeMap::new());
    (up, there, down)
}

#[test]
fn an_up_or_down_that_is_killed_in_any_of_its_waits_is_finished_by_the_next_run() {
    let (up, there, down) = whole_life();
    assert!(up.len() >= 5 && !down.is_empty(), "{up:#?} {down:#?}");
    each_at_once(&up, |home, spec, wait| {
        run(home, "up", spec, Some(wait));
        converges(home, spec, wait);
        assert_eq!(counts(home), there, "{wait}");
    });
    each_at_once(&down, |home, spec, wait| {
        home.local("up", spec, &["--yes"]);
        run(home, "down", spec, Some(wait));
        // Who changes his mind has it all again, and who does not, gets rid of it.
        converges_soon(home, spec, wait);
        assert_eq!(counts(home), there, "{wait}");
        run(home, "down", spec, Some(wait));
    });
}

#[test]
fn a_change_that_is_killed_in_any_of_its_waits_is_finished_by_the_next_run() {
    let home = slow();
    let first = home.retail(&[]);
    let spec: PathBuf = home.write("first.toml", &std::fs::read_to_string(first).unwrap());
    let changed = home.retail(&[
        ("shards = 1 ", "shards = 2 "),
        ("retention = \"24h\"", "retention = \"48h\""),
        ("memory = 256 ", "memory = 512 "),
        ("max_retries = 3", "max_retries = 5"),
    ]);
    home.local("up", &spec, &["--yes"]);
    let waits = run(&home, "up", &changed, None);
    assert!(waits.len() >= 2, "{waits:#?}");
    for wait in waits {
        home.local("up", &spec, &["--yes", "--allow-replace", "stream.events"]);
        run(&home, "up", &changed, Some(&wait));
        converges(&home, &changed, &wait);
    }
}
