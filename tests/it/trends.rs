//! Trends: what windows come to, by shard and as a whole, whatever becomes of the shards meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;

use crate::flow::assert_nothing_is_left;
use crate::harness::{Home, pipeline, runtime, sdk, until};
use crate::twice::counted;

const LIMIT: Duration = Duration::from_secs(60);

type StoredItem = std::collections::HashMap<String, AttributeValue>;

/// All items of the table: those of shards, and the merges.
fn items(home: &Home) -> (Vec<StoredItem>, Vec<StoredItem>) {
    let client = aws_sdk_dynamodb::Client::new(&sdk(&home.endpoint()));
    let scan = client.scan().table_name("trends-windows").consistent_read(true);
    let found = runtime().block_on(scan.send()).expect("a scan");
    assert!(found.last_evaluated_key.is_none());
    found.items.unwrap_or_default().into_iter().partition(|item| item["part"] != AttributeValue::S("all".to_owned()))
}

fn number(value: &AttributeValue) -> u64 {
    value.as_n().unwrap().parse().unwrap()
}

fn sum(items: &[StoredItem], name: &str) -> u64 {
    items.iter().map(|item| number(&item[name])).sum()
}

/// Waits until so many events are in merges, and in the items of shards.
fn until_counted(home: &Home, events: u64) -> (Vec<StoredItem>, Vec<StoredItem>) {
    until("all events in windows", LIMIT, || {
        let (parts, merges) = items(home);
        assert!(sum(&parts, "events") <= events && sum(&merges, "events") <= events);
        (sum(&parts, "events") == events && sum(&merges, "events") == events).then_some((parts, merges))
    })
}

#[test]
fn every_event_is_in_one_window_whatever_becomes_of_the_shards() {
    let home = Home::new();
    let text = std::fs::read_to_string(pipeline("trends.toml")).unwrap();
    let spec = home.changed(&text, &[("tumbling_window = \"10s\"", "tumbling_window = \"4s\"")]);
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!(up["summary"]["create"], up["resources"].as_array().unwrap().len(), "{up:#}");
    let before = home.calls().len();
    home.local("up", &spec, &["--yes"]);
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());

    let report = home.local("validate", &spec, &[]);
    assert_eq!(report["ok"], true, "{report:#}");
    let names: Vec<_> = report["checks"].as_array().unwrap().iter().map(|check| &check["name"]).collect();
    for name in ["flow", "windows", "merge", "poison", "metrics", "breakdown", "logs", "cleanup"] {
        assert!(names.contains(&&json!(name)), "{name}: {report:#}");
    }
    assert_eq!(items(&home), (Vec::new(), Vec::new()), "what validate sends it takes away again");

    let send = |count: &str, seed: &str| {
        let sent = home.local("send", &spec, &["--count", count, "--poison", "5", "--seed", seed]);
        sent["sent"].as_u64().unwrap() - sent["poison"].as_u64().unwrap()
    };
    let mut total = send("400", "1");
    let (parts, merges) = until_counted(&home, total);
    let steps: BTreeMap<String, u64> = merges.iter().fold(BTreeMap::new(), |mut sums, merge| {
        for (step, count) in merge["steps"].as_m().unwrap() {
            *sums.entry(step.clone()).or_default() += number(count);
        }
        sums
    });
    assert!(steps["view"] > steps["add_to_cart"] && steps["add_to_cart"] > 0, "{steps:?}");
    let top = merges[0]["products"].as_m().unwrap()["top"].as_l().unwrap();
    assert!(top.is_sorted_by_key(|entry| std::cmp::Reverse(number(&entry.as_m().unwrap()["events"]))), "{top:?}");
    assert!(parts.iter().all(|part| part.contains_key("expiresAt") && part.contains_key("shardId")));
    counted(&sdk(&home.endpoint()), "RetailTrends", "WindowEvents", "trends", {
        // Those of `validate`, too: it deletes items, and no metric.
        let events = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "windows").unwrap();
        let all = events["observed"].as_str().unwrap().split(' ').nth(1).unwrap().parse::<f64>().unwrap();
        #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
        let of_send = total as f64;
        all + of_send
    });

    // Shards are split and merged while events come.
    for (shards, seed) in [("4", "2"), ("3", "3")] {
        total += send("150", seed);
        let spec = home.changed(
            &text,
            &[
                ("tumbling_window = \"10s\"", "tumbling_window = \"4s\""),
                ("shards = 2 ", &format!("shards = {shards} ")),
            ],
        );
        home.local("up", &spec, &["--yes"]);
        total += send("150", seed);
    }
    let (parts, merges) = until_counted(&home, total);
    for merge in &merges {
        let of_window = parts.iter().filter(|part| part["window"] == merge["window"]).count();
        assert_eq!(number(&merge["parts"]), of_window as u64, "{merge:?}");
    }
    home.local("down", &spec, &["--yes"]);
    assert_nothing_is_left(&home);
}
