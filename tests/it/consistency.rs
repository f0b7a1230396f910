//! Under eventual consistency: reads, lists and dependent calls that lag behind fail no run, and are taken neither for drift nor
//! for something that is left.

use serde_json::json;

use crate::harness::{Home, pipeline};

const PIPELINES: [&str; 11] = [
    "anomalies.toml",
    "archive.toml",
    "change-capture.toml",
    "clickstream.toml",
    "fan-out.toml",
    "global-changes.toml",
    "mirror.toml",
    "retail-events.toml",
    "shop.toml",
    "streaming-analytics.toml",
    "trends.toml",
];

fn lagging(seed: u64) -> Home {
    let home = Home::new();
    home.run(&["local", "start", "--strict=consistency", "--seed", &seed.to_string()]).expect(0);
    home
}

#[test]
fn every_pipeline_goes_up_is_silent_and_goes_away_while_reads_lag() {
    for seed in [1, 3] {
        for spec in PIPELINES {
            let home = lagging(seed);
            let spec = pipeline(spec);
            let up = home.local("up", &spec, &["--yes"]);
            assert_eq!(up["summary"]["failed"], 0, "seed {seed}: {up:#}");
            let before = home.calls().len();
            let again = home.local("up", &spec, &["--yes"]);
            assert_eq!(again["summary"]["unchanged"], up["summary"]["create"], "seed {seed}: {again:#}");
            assert_eq!(home.mutating_calls(before), Vec::<String>::new(), "seed {seed}");
            let down = home.local("down", &spec, &["--yes"]);
            assert_eq!(down["summary"]["delete"], up["summary"]["create"], "seed {seed}: {down:#}");
            assert_eq!(home.local("down", &spec, &["--yes"])["resources"], json!([]), "seed {seed}");
        }
    }
}

#[test]
fn what_was_changed_is_not_changed_again_while_reads_lag() {
    for seed in [4, 5] {
        let home = lagging(seed);
        home.local("up", &home.retail(&[]), &["--yes"]);
        let spec = home.retail(&[
            ("shards = 1 ", "shards = 4 "),
            ("retention = \"24h\"", "retention = \"48h\""),
            ("memory = 256 ", "memory = 512 "),
            ("timeout = \"2m\"", "timeout = \"1m\""),
            ("max_retries = 3", "max_retries = 5"),
        ]);
        let changed = home.local("up", &spec, &["--yes"]);
        assert_eq!(changed["summary"]["failed"], 0, "seed {seed}: {changed:#}");
        assert_ne!(changed["summary"]["update"], 0, "seed {seed}: {changed:#}");
        let before = home.calls().len();
        let again = home.local("up", &spec, &["--yes"]);
        assert_eq!(again["summary"]["update"], 0, "seed {seed}: {again:#}");
        assert_eq!(home.mutating_calls(before), Vec::<String>::new(), "seed {seed}");
        // What is made again by the same names starts anew, whatever reads still show of the old.
        for _ in 0..4 {
            home.local("down", &spec, &["--yes"]);
            let anew = home.local("up", &spec, &["--yes"]);
            assert_eq!(anew["summary"]["failed"], 0, "seed {seed}: {anew:#}");
        }
    }
}

#[test]
fn what_flows_is_found_while_reads_lag() {
    let home = lagging(7);
    let spec = pipeline("fan-out.toml");
    home.local("up", &spec, &["--yes"]);
    let validated = home.local("validate", &spec, &[]);
    assert_eq!(validated["ok"], true, "{validated:#}");
    home.local("down", &spec, &["--yes"]);
}
