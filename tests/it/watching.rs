//! What watches a pipeline: the dashboard, alarms on what is close to its limit, and the limit itself.

use serde_json::{Value, json};

use crate::changes::{ChangeCase, changed_fields, changes_in_place_and_back};
use crate::flow::assert_nothing_is_left;
use crate::harness::{Home, runtime, sdk};

const SPEC: &str = r#"
name = "watched"

[stream.events]

[table.clicks]
partition_key = { name = "user_id", type = "S" }
sort_key = { name = "sequence", type = "S" }

[function.f]
recipe = "clickstream"
reserved_concurrency = 20
writes = ["table.clicks"]
source = { from = "stream.events" }

[alarm.busy]
watch = "function.f.concurrent-executions"
threshold = "80%"

[dashboard]
"#;

const CHANGES: [ChangeCase; 5] = [
    ("reserved_concurrency = 20", "reserved_concurrency = 10", "function.f", &["reserved_concurrency"]),
    ("reserved_concurrency = 20", "reserved_concurrency = 10", "alarm.busy", &["threshold"]),
    ("threshold = \"80%\"", "threshold = \"90%\"", "alarm.busy", &["threshold"]),
    ("[dashboard]\n", "[dashboard]\nperiod = \"5m\"\n", "dashboard", &["body"]),
    ("name = \"watched\"\n", "name = \"watched\"\ntags = { Team = \"a\" }\n", "dashboard", &["tags.Team"]),
];

#[test]
fn every_setting_of_what_watches_changes_in_place_and_back() {
    let home = Home::new();
    changes_in_place_and_back(&home, SPEC, &CHANGES);
    let spec = home.changed(SPEC, &[]);
    let cloudwatch = aws_sdk_cloudwatch::Client::new(&sdk(&home.endpoint()));
    let body = runtime().block_on(cloudwatch.get_dashboard().dashboard_name("watched-us-east-1").send()).unwrap();
    let body: Value = serde_json::from_str(&body.dashboard_body.unwrap()).unwrap();
    let titles: Vec<_> =
        body["widgets"].as_array().unwrap().iter().map(|at| at["properties"]["title"].clone()).collect();
    for title in
        ["alarms", "stream.events: records", "table.clicks: capacity", "function.f: duration", "function.f: events"]
    {
        assert!(titles.contains(&json!(title)), "{title} is not in {titles:?}");
    }
    let alarms = runtime().block_on(cloudwatch.describe_alarms().alarm_names("watched-busy").send()).unwrap();
    assert_eq!(alarms.metric_alarms()[0].threshold, Some(16.0));

    // Somebody edits it in the console; somebody deletes it.
    let put = cloudwatch.put_dashboard().dashboard_name("watched-us-east-1").dashboard_body("{\"widgets\":[]}");
    runtime().block_on(put.send()).unwrap();
    let lambda = aws_sdk_lambda::Client::new(&sdk(&home.endpoint()));
    runtime().block_on(lambda.delete_function_concurrency().function_name("watched-f").send()).unwrap();
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!(changed_fields(&up, "dashboard"), ["body"]);
    assert_eq!(changed_fields(&up, "function.f"), ["reserved_concurrency"]);
    runtime().block_on(cloudwatch.delete_dashboards().dashboard_names("watched-us-east-1").send()).unwrap();
    assert_eq!(home.local("up", &spec, &["--yes"])["summary"]["create"], 1);

    // Without its section it goes.
    let without = home.changed(SPEC, &[("[dashboard]\n", "")]);
    assert_eq!(home.local("up", &without, &["--yes"])["summary"]["delete"], 1);
    home.local("up", &home.changed(SPEC, &[]), &["--yes"]);
    home.local("down", &home.changed(SPEC, &[]), &["--yes"]);
    assert_nothing_is_left(&home);
}

#[test]
fn a_foreign_dashboard_is_refused_and_then_adopted() {
    let home = Home::new();
    let spec = home.write("board.toml", "name = \"watched\"\n[queue.q]\n[dashboard]\n");
    let cloudwatch = aws_sdk_cloudwatch::Client::new(&sdk(&home.endpoint()));
    let put = cloudwatch.put_dashboard().dashboard_name("watched-us-east-1").dashboard_body("{\"widgets\":[]}");
    runtime().block_on(put.send()).unwrap();
    let refused = home.local_output("up", &spec, &["--yes"]).expect(1);
    assert!(refused.stderr.contains("CloudWatch dashboard (watched-us-east-1) exists already"), "{refused:#?}");
    assert_eq!(home.local("down", &spec, &["--yes"])["resources"], json!([]));
    home.local("up", &spec, &["--yes", "--adopt"]);
    assert_eq!(home.local("up", &spec, &["--yes"])["summary"]["unchanged"], 2);
    home.local("down", &spec, &["--yes"]);
    assert_nothing_is_left(&home);
}
