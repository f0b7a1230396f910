//! What a user relies on with an account at stake: going back, keeping data, and knowing what took the time.

use std::time::Duration;

use serde_json::{Value, json};

use crate::flow::{assert_nothing_is_left, count_items};
use crate::harness::{Home, pipeline, sdk, until};

#[test]
fn a_first_creation_that_fails_is_rolled_back() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    home.fault("lambda", "CreateEventSourceMapping", 1, 400, "AccessDeniedException");
    let output = home.local_output("up", &spec, &["--yes", "--rollback"]).expect(1);
    let report = output.json();
    assert_eq!(report["summary"]["failed"], 1, "{output:#?}");
    assert_eq!(report["rolled_back"].as_array().unwrap().len(), 11, "{output:#?}");
    assert!(output.stderr.contains("AccessDeniedException"), "{output:#?}");
    assert_nothing_is_left(&home);
}

#[test]
fn rolling_back_leaves_what_was_there_before() {
    let home = Home::new();
    let first = home.write(
        "first.toml",
        "name = \"retail-events\"\n[tags]\nProject = \"RetailAnalytics\"\n[queue.dlq]\nretention = \"14d\"\n",
    );
    home.local("up", &first, &["--yes"]);
    home.fault("dynamodb", "CreateTable", 1, 400, "AccessDeniedException");
    let spec = home.retail(&[]);
    let report = home.local_output("up", &spec, &["--yes", "--rollback"]).expect(1).json();
    let undone: Vec<&str> =
        report["rolled_back"].as_array().unwrap().iter().map(|node| node.as_str().unwrap()).collect();
    assert!(undone.contains(&"stream.events") && undone.contains(&"function.processor"), "{report:#}");
    assert!(!undone.contains(&"queue.dlq") && !undone.contains(&"table.results"), "{report:#}");
    let plan = home.local("plan", &first, &[]);
    assert_eq!(plan["summary"]["unchanged"], plan["resources"].as_array().unwrap().len(), "{plan:#}");
    home.local("down", &first, &["--yes"]);
    assert_nothing_is_left(&home);
}

#[test]
fn down_says_how_much_is_lost_and_keeps_data_when_asked() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    home.local("up", &spec, &["--yes"]);
    home.local("send", &spec, &["--count", "200", "--poison", "5", "--seed", "7"]);
    let config = sdk(&home.endpoint());
    until("the items of all good events", Duration::from_secs(60), || (count_items(&config) == 190).then_some(()));
    let dead = || home.local("status", &spec, &[])["functions"][0]["queue_depth"].as_u64().unwrap();
    until("the dead letters", Duration::from_secs(60), || (dead() == 10).then_some(()));

    let refused = home.run(&["down", spec.to_str().unwrap(), "--local"]).expect(2);
    for held in
        ["its items (190 when DynamoDB last counted", "its messages (about 10)", "its records (those of the last 24h)"]
    {
        assert!(refused.stdout.contains(held), "{held}: {refused:#?}");
        assert!(refused.stderr.contains(held), "{held}: {refused:#?}");
    }

    let down = home.local("down", &spec, &["--yes", "--keep-data"]);
    let kept: Vec<&Value> = down["resources"].as_array().unwrap().iter().map(|at| &at["node"]).collect();
    assert!(!kept.contains(&&json!("table.results")) && !kept.contains(&&json!("queue.dlq")), "{down:#}");
    let again = home.local("down", &spec, &["--yes", "--keep-data"]);
    assert_eq!(again["resources"], json!([]), "{again:#}");
    assert_eq!(count_items(&config), 190);

    // The next `up` goes on with what was kept.
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!(up["summary"]["unchanged"], 2, "{up:#}");
    assert_eq!((count_items(&config), dead()), (190, 10));
    home.local("down", &spec, &["--yes"]);
    assert_nothing_is_left(&home);
}

#[test]
fn up_ends_with_what_it_waited_for() {
    let home = Home::new();
    let times = home.write(
        "times.toml",
        "[changes]\nstream-create = \"3s\"\nstream-update = \"1s\"\nrole-propagation = \"0s\"\nmapping-create = \"2s\"\n",
    );
    home.run(&["local", "start", "--latency", times.to_str().unwrap()]).expect(0);
    // Without encryption the stream changes only once; the function's package is built before the clock matters.
    let spec = home.retail(&[("encryption = \"aws-managed\"", "encryption = \"none\"")]);
    home.local("up", &spec, &["--yes"]);
    home.local("down", &spec, &["--yes"]);
    let up = home.local("up", &spec, &["--yes"]);
    let path = up["critical_path"].as_array().unwrap();
    let nodes: Vec<&str> = path.iter().map(|link| link["node"].as_str().unwrap()).collect();
    assert_eq!(nodes, ["stream.events", "function.processor.source"], "{up:#}");
    let seconds: f64 = path.iter().map(|link| link["seconds"].as_f64().unwrap()).sum();
    let total = up["seconds"].as_f64().unwrap();
    assert!(seconds >= 5.0 && seconds <= total, "{up:#}");
    let unchanged = home.local("up", &spec, &["--yes"]);
    assert!(unchanged.get("critical_path").is_none(), "{unchanged:#}");
}
