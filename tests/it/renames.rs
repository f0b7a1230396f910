//! Sections that get another name: with `renamed_from` nothing is lost, without it nothing is done.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::changes::changed_fields;
use crate::flow::{assert_nothing_is_left, count_items};
use crate::harness::{Home, pipeline, runtime, sdk, until};

#[test]
fn what_holds_data_keeps_it_and_its_name_in_aws() {
    let home = Home::new();
    let spec = |names: [&str; 5], from: [&str; 5]| {
        let [stream, table, queue, bucket, topic] = names;
        let [of_stream, of_table, of_queue, of_bucket, of_topic] = from;
        let text = format!(
            "name = \"shop\"\n[stream.{stream}]\n{of_stream}\n[table.{table}]\npartition_key = {{ name = \"id\", type = \"S\" }}\n{of_table}\n\
             [queue.{queue}]\n{of_queue}\n[bucket.{bucket}]\n{of_bucket}\n[topic.{topic}]\nsubscribers = [\"queue.{queue}\"]\n{of_topic}\n\
             [alarm.full]\nwatch = \"queue.{queue}.depth\"\nthreshold = 5\n"
        );
        home.write("shop.toml", &text)
    };
    let old = spec(["events", "results", "work", "kept", "news"], [""; 5]);
    home.local("up", &old, &["--yes"]);
    let tables = aws_sdk_dynamodb::Client::new(&sdk(&home.endpoint()));
    let put = tables.put_item().table_name("shop-results");
    let put = put.item("id", aws_sdk_dynamodb::types::AttributeValue::S("1".to_owned()));
    runtime().block_on(put.send()).unwrap();

    let from = [
        "renamed_from = \"stream.events\"",
        "renamed_from = \"table.results\"",
        "renamed_from = \"queue.work\"",
        "renamed_from = \"bucket.kept\"",
        "renamed_from = \"topic.news\"",
    ];
    let new = spec(["event", "result", "works", "keep", "tidings"], from);
    let up = home.local("up", &new, &["--yes"]);
    let summary = &up["summary"];
    assert_eq!(
        (&summary["create"], &summary["delete"], &summary["update"]),
        (&json!(0), &json!(0), &json!(5)),
        "{up:#}"
    );
    for node in ["stream.event", "table.result", "queue.works", "bucket.keep", "topic.tidings"] {
        assert_eq!(changed_fields(&up, node), ["tags.streamkit:node"], "{up:#}");
    }
    assert_eq!(runtime().block_on(tables.scan().table_name("shop-results").send()).unwrap().count, 1);
    let before = home.calls().len();
    assert_eq!(home.local("up", &new, &["--yes"])["summary"]["unchanged"], 6);
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());
    home.run(&["down", "--name", "shop", "--local", "--yes"]).expect(0);
    assert_nothing_is_left(&home);

    for (wrong, says) in [
        ("[queue.b]\nrenamed_from = \"table.a\"\n", "a queue was no table before it got another name"),
        ("[queue.a]\n[queue.b]\nrenamed_from = \"queue.a\"\n", "[queue.a] is still in this file"),
        (
            "[queue.b]\nrenamed_from = \"queue.a\"\n[queue.c]\nrenamed_from = \"queue.a\"\n",
            "another section was [queue.a], too",
        ),
    ] {
        home.write("wrong.toml", &format!("name = \"shop\"\n{wrong}"));
        let output = home.run(&["check", "wrong.toml"]).expect(2);
        assert!(output.stderr.contains(says), "{output:#?}");
    }
}

/// The retail pipeline with its function called `worker`.
fn renamed(home: &Home, more: &str) -> PathBuf {
    let text = std::fs::read_to_string(pipeline("retail-events.toml"))
        .unwrap()
        .replace("function.processor", "function.worker");
    home.changed(&text, &[("recipe = \"retail\"\n", &format!("recipe = \"retail\"\n{more}"))])
}

#[test]
fn a_function_goes_on_where_it_was_under_its_old_name() {
    let home = Home::new();
    home.local("up", &home.retail(&[]), &["--yes"]);
    let config = sdk(&home.endpoint());
    let items =
        |count: i32| until("the items", Duration::from_secs(60), || (count_items(&config) == count).then_some(()));
    let send = |count: &str| home.local("send", &home.retail(&[]), &["--count", count, "--poison", "0"]);
    send("20");
    items(20);
    let stopped = home.retail(&[("on_failure = \"queue.dlq\"\n", "on_failure = \"queue.dlq\"\nenabled = false\n")]);
    home.local("up", &stopped, &["--yes"]);
    send("300");

    // A backlog is not left behind without a word.
    let before = home.calls().len();
    let refused = home.local_output("up", &renamed(&home, ""), &["--yes"]).expect(1);
    for part in [
        "what function.processor has not processed yet is lost",
        "write renamed_from = \"function.processor\"",
        "--allow-delete function.processor.source",
    ] {
        assert!(refused.stderr.contains(part), "no `{part}` in {refused:#?}");
    }
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());

    let spec = renamed(&home, "renamed_from = \"function.processor\"\n");
    let plan = home.local("plan", &spec, &[]);
    let nodes = plan["resources"].as_array().unwrap();
    let source = nodes.iter().find(|at| at["node"] == "function.worker.source").unwrap();
    assert!(source["goes_on"].as_str().unwrap().contains("old name"), "{source:#}");
    // A run that can't make the new mapping loses the place neither.
    home.fault("lambda", "CreateEventSourceMapping", 5, 500, "ServiceException");
    home.local_output("up", &spec, &["--yes"]).expect(1);
    home.disarm();
    home.local("up", &spec, &["--yes"]);
    items(320);
    let before = home.calls().len();
    let again = home.local("up", &spec, &["--yes"]);
    assert_eq!(again["summary"]["unchanged"], 13, "{again:#}");
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());
    home.local("down", &spec, &["--yes"]);
    assert_nothing_is_left(&home);
}
