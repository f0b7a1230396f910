//! A table's changes as a source: the mapping follows the table's latest stream, whatever happens to the table.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;

use crate::changes::{ChangeCase, changed_fields, changes_in_place_and_back};
use crate::flow::assert_nothing_is_left;
use crate::harness::{Home, pipeline, runtime, sdk, until};

const CHANGES: [ChangeCase; 5] = [
    ("batch_size = 10\n", "batch_size = 20\n", "function.processor.source", &["batch_size"]),
    ("on_failure = \"queue.dlq\"\n", "", "function.processor.source", &["on_failure"]),
    ("on_failure = \"queue.dlq\"\n", "on_failure = \"bucket.audit\"\n", "function.processor.source", &["on_failure"]),
    (
        "publishes = \"topic.changes\"",
        "publishes = \"topic.alerts\"",
        "function.processor",
        &["environment.STREAMKIT_TOPIC_ARN"],
    ),
    ("billing = { read = 5, write = 5 }", "billing = \"on-demand\"", "table.activities", &["billing"]),
];

fn text() -> String {
    std::fs::read_to_string(pipeline("change-capture.toml")).unwrap()
}

fn put(home: &Home, activity: &str) {
    let put = aws_sdk_dynamodb::Client::new(&sdk(&home.endpoint()))
        .put_item()
        .table_name("change-capture-activities")
        .item("UserId", AttributeValue::S("user-1".to_owned()))
        .item("ActivityId", AttributeValue::S(activity.to_owned()));
    runtime().block_on(put.send()).unwrap();
}

/// Puts an item, and waits until there are this many audit objects.
fn put_and_wait(home: &Home, activity: &str, objects: usize) {
    put(home, activity);
    let s3 = aws_sdk_s3::config::Builder::from(&sdk(&home.endpoint())).force_path_style(true).build();
    let s3 = aws_sdk_s3::Client::from_conf(s3);
    let runtime = runtime();
    until("an audit object", Duration::from_secs(60), || {
        let list = s3.list_objects_v2().bucket("change-capture-audit-000000000000-us-east-1").prefix("audit-logs/");
        let count = runtime.block_on(list.send()).unwrap().contents().len();
        (count >= objects).then_some(())
    });
}

#[test]
fn a_table_is_captured_and_goes_away() {
    let home = Home::new();
    let spec = pipeline("change-capture.toml");
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!(up["summary"]["create"], up["resources"].as_array().unwrap().len(), "{up:#}");
    put_and_wait(&home, "a", 1);
    let before = home.calls().len();
    let again = home.local("up", &spec, &["--yes"]);
    assert_eq!(again["summary"]["unchanged"], up["summary"]["create"], "{again:#}");
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());
    let down = home.local("down", &spec, &["--yes"]);
    assert_eq!(down["summary"]["delete"], up["summary"]["create"], "{down:#}");
    assert_nothing_is_left(&home);
}

#[test]
fn every_setting_of_a_capture_changes_in_place_and_back() {
    changes_in_place_and_back(&Home::new(), &text(), &CHANGES);
}

#[test]
fn the_mapping_follows_the_stream_of_its_table() {
    let home = Home::new();
    let spec = home.changed(&text(), &[]);
    home.local("up", &spec, &["--yes"]);
    put_and_wait(&home, "a", 1);
    let source = "function.processor.source";
    let stopped = ("recipe = \"changes\"", "recipe = \"changes\"\nreserved_concurrency = 0");

    // Another view type is another stream. What the old one still holds is read all the same.
    home.local("up", &home.changed(&text(), &[stopped]), &["--yes"]);
    put(&home, "unread");
    let spec = home.changed(&text(), &[("new-and-old-images", "new-image")]);
    let plan = home.run(&["plan", spec.to_str().unwrap(), "--local"]).expect(0);
    assert!(plan.stdout.contains("reads the new stream from its beginning; the old mapping stays"), "{plan:#?}");
    assert!(plan.stderr.contains("warning[stream-switch]"), "{plan:#?}");
    let plan = home.local("plan", &spec, &[]);
    assert_eq!(changed_fields(&plan, "table.activities"), ["stream"]);
    assert_eq!(changed_fields(&plan, source), ["source"]);
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!((&up["summary"]["update"], &up["summary"]["replace"]), (&json!(2), &json!(1)), "{up:#}");
    let before = home.calls().len();
    home.local("up", &spec, &["--yes"]);
    // The function may just be writing what it read from the old stream.
    let of_the_function = ["\"s3\" \"PutObject\"", "\"sns\" \"PublishBatch\""];
    let mut mutating = home.mutating_calls(before);
    mutating.retain(|call| !of_the_function.contains(&call.as_str()));
    assert_eq!(mutating, Vec::<String>::new());
    put_and_wait(&home, "b", 3);

    // A table that is gone took its stream along: there is nothing to lose.
    let client = aws_sdk_dynamodb::Client::new(&sdk(&home.endpoint()));
    runtime().block_on(async {
        client.delete_table().table_name("change-capture-activities").send().await.unwrap();
    });
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!((&up["summary"]["create"], &up["summary"]["replace"]), (&json!(1), &json!(1)), "{up:#}");
    let again = home.local("up", &spec, &["--yes"]);
    assert_eq!(again["summary"]["unchanged"], again["resources"].as_array().unwrap().len(), "{again:#}");
    put_and_wait(&home, "c", 4);
}

#[test]
fn every_view_type_works_and_a_poor_one_is_hinted_at() {
    let home = Home::new();
    for (view, lacking) in [
        ("keys-only", Some("the item before and after the change")),
        ("new-image", Some("the item before the change")),
        ("old-image", Some("the item after the change")),
        ("new-and-old-images", None),
    ] {
        let spec = home.changed(&text(), &[("\"new-and-old-images\"", &format!("\"{view}\""))]);
        let up = home.local_output("up", &spec, &["--yes"]).expect(0);
        let hint = lacking.map(|lacking| {
            format!("warning[image-not-carried]: the recipe `changes` uses {lacking} to tell which attributes a change touches")
        });
        assert_eq!(up.stderr.contains("image-not-carried"), hint.is_some(), "{view}: {up:#?}");
        assert!(up.stderr.contains(&hint.unwrap_or_default()), "{view}: {up:#?}");
        let validate = home.local("validate", &spec, &[]);
        assert_eq!(validate["ok"], true, "{view}: {validate:#}");
        home.local("down", &spec, &["--yes"]);
    }
}
