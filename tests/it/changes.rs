//! Changes of the spec and of AWS behind our back: shown by `plan`, mended by `up`, silent afterwards.

use serde_json::{Value, json};

use crate::harness::{Home, Output, pipeline, runtime, sdk};

/// Each field of the retail pipeline that can be changed in place: what it is in the file, what it becomes, and the fields of
/// the plan that this shows in.
const CHANGES: [ChangeCase; 27] = [
    ("shards = 1  ", "shards = 3  ", "stream.events", &["shards"]),
    ("retention = \"24h\"", "retention = \"48h\"", "stream.events", &["retention"]),
    ("encryption = \"aws-managed\"", "encryption = \"none\"", "stream.events", &["encryption"]),
    ("billing = \"on-demand\"", "billing = { read = 5, write = 5 }", "table.results", &["billing"]),
    ("billing = \"on-demand\"", "billing = \"on-demand\"\nstream = \"new-image\"", "table.results", &["stream"]),
    (
        "billing = \"on-demand\"",
        "billing = \"on-demand\"\npoint_in_time_recovery = true",
        "table.results",
        &["point_in_time_recovery"],
    ),
    ("retention = \"14d\"\n\n[function", "retention = \"4d\"\n\n[function", "queue.dlq", &["retention"]),
    (
        "retention = \"14d\"\n\n[function",
        "retention = \"14d\"\nvisibility = \"2m\"\n\n[function",
        "queue.dlq",
        &["visibility"],
    ),
    ("memory = 256", "memory = 512", "function.processor", &["memory"]),
    ("timeout = \"2m\"", "timeout = \"3m\"", "function.processor", &["timeout"]),
    ("tracing = true", "tracing = false", "function.processor", &["tracing"]),
    (
        "tracing = true",
        "tracing = true\nenvironment = { LEVEL = \"debug\" }",
        "function.processor",
        &["environment.LEVEL"],
    ),
    ("log_retention = \"14d\"", "log_retention = \"30d\"", "function.processor.logs", &["retention"]),
    ("batch_size = 100", "batch_size = 200", "function.processor.source", &["batch_size"]),
    ("batch_window = \"5s\"", "batch_window = \"1s\"", "function.processor.source", &["batch_window"]),
    ("bisect_on_error = true", "bisect_on_error = false", "function.processor.source", &["bisect_on_error"]),
    ("max_retries = 3", "max_retries = 5", "function.processor.source", &["max_retries"]),
    // Leaving a setting out resets it.
    ("max_record_age = \"1h\"\n", "", "function.processor.source", &["max_record_age"]),
    (
        "on_failure = \"queue.dlq\"\n",
        "parallelization_factor = 4\n",
        "function.processor.source",
        &["on_failure", "parallelization_factor"],
    ),
    (
        "on_failure = \"queue.dlq\"\n",
        "on_failure = \"queue.dlq\"\nenabled = false\n",
        "function.processor.source",
        &["enabled"],
    ),
    (
        "threshold = 10",
        "threshold = 20\nevaluation_periods = 2",
        "alarm.failed-events",
        &["datapoints", "evaluation_periods", "threshold"],
    ),
    ("statistic = \"sum\"", "statistic = \"maximum\"", "alarm.failed-events", &["statistic"]),
    ("period = \"1m\"\nthreshold = 10", "period = \"5m\"\nthreshold = 10", "alarm.failed-events", &["period"]),
    (
        "threshold = 10\ncomparison = \">\"",
        "threshold = 10\ncomparison = \">=\"",
        "alarm.failed-events",
        &["comparison"],
    ),
    (
        "threshold = 10\n",
        "threshold = 10\nmissing_data = \"breaching\"\ndescription = \"too many\"\n",
        "alarm.failed-events",
        &["description", "missing_data"],
    ),
    (
        "threshold = 10\ncomparison = \">\"\nnotify = \"topic.alerts\"\n",
        "threshold = 10\n",
        "alarm.failed-events",
        &["notify"],
    ),
    ("Project = \"RetailAnalytics\"", "Team = \"shop\"", "stream.events", &["tags.Project", "tags.Team"]),
];

#[test]
fn every_setting_changes_in_place_and_back() {
    let text = std::fs::read_to_string(pipeline("retail-events.toml")).unwrap();
    changes_in_place_and_back(&Home::new(), &text, &CHANGES);
}

/// A change of a spec's text, and the node and fields of the plan that it shows in.
pub(crate) type ChangeCase = (&'static str, &'static str, &'static str, &'static [&'static str]);

/// Brings a pipeline up, makes each change there and back, and expects no mutating call of another `up` in between.
pub(crate) fn changes_in_place_and_back(home: &Home, text: &str, changes: &[ChangeCase]) {
    home.local("up", &home.changed(text, &[]), &["--yes"]);
    for (from, to, node, fields) in changes {
        for direction in ["there", "back"] {
            let spec = if direction == "there" { home.changed(text, &[(from, to)]) } else { home.changed(text, &[]) };
            let what = format!("`{from}` to `{to}`, {direction}");
            let planned = home.local_output("plan", &spec, &["--exit-code"]).expect(3).json();
            assert_eq!(changed_fields(&planned, node), *fields, "{what}: {planned:#}");
            let done = home.local("up", &spec, &["--yes"]);
            assert_eq!(
                (&done["summary"]["create"], &done["summary"]["replace"]),
                (&json!(0), &json!(0)),
                "{what}: {done:#}"
            );
            assert_eq!(changed_fields(&done, node), *fields, "{what}");
            let before = home.calls().len();
            let again = home.local("up", &spec, &["--yes"]);
            assert_eq!(again["summary"]["update"], 0, "{what}: {again:#}");
            assert_eq!(home.mutating_calls(before), Vec::<String>::new(), "{what}");
        }
    }
}

#[test]
fn subscribers_are_added_and_unconfirmed_ones_left_to_expire() {
    let home = Home::new();
    home.local("up", &home.retail(&[]), &["--yes"]);
    let with = home.retail(&[("subscribers = []", "subscribers = [\"email:ops@example.com\"]")]);
    let up = home.local("up", &with, &["--yes"]);
    assert_eq!(changed_fields(&up, "topic.alerts"), ["subscribers"]);
    // Nobody has followed the link yet: each command says so.
    for command in ["plan", "status"] {
        let report = home.local(command, &with, &[]);
        let warnings = report["warnings"].as_array().unwrap();
        let message = warnings.iter().find(|at| at["rule"] == "unconfirmed-subscriber").unwrap()["message"].as_str();
        assert!(message.unwrap().starts_with("email:ops@example.com of topic.alerts is not confirmed"), "{report:#}");
    }
    assert_eq!(home.local("plan", &with, &[])["summary"]["update"], 0);
    // AWS has no call that removes what was never confirmed, so there is nothing to plan.
    let before = home.calls().len();
    assert_eq!(home.local("up", &home.retail(&[]), &["--yes"])["summary"]["update"], 0);
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());
    home.local("down", &home.retail(&[]), &["--yes"]);
}

#[test]
fn what_was_deleted_behind_our_back_comes_again() {
    let home = Home::new();
    let spec = home.retail(&[]);
    home.local("up", &spec, &["--yes"]);
    let config = sdk(&home.endpoint());
    runtime().block_on(async {
        aws_sdk_dynamodb::Client::new(&config).delete_table().table_name("retail-events-results").send().await.unwrap();
        aws_sdk_cloudwatch::Client::new(&config).delete_alarms().alarm_names("retail-events-lag").send().await.unwrap();
        let iam = aws_sdk_iam::Client::new(&config);
        iam.delete_role_policy()
            .role_name("retail-events-processor-us-east-1")
            .policy_name("streamkit")
            .send()
            .await
            .unwrap();
    });
    let status = home.local_output("status", &spec, &[]).expect(1).json();
    let state = |node: &str| {
        status["resources"].as_array().unwrap().iter().find(|at| at["node"] == node).unwrap()["state"].clone()
    };
    assert_eq!(
        (state("table.results"), state("alarm.lag"), state("stream.events")),
        (json!("missing"), json!("missing"), json!("ok"))
    );
    assert_eq!(state("function.processor.role"), "different");
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!((&up["summary"]["create"], &up["summary"]["update"]), (&json!(2), &json!(1)), "{up:#}");
    assert_eq!(
        home.local("status", &spec, &[])["resources"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|at| at["state"] != "ok")
            .count(),
        0
    );
}

#[test]
fn what_left_the_spec_is_deleted() {
    let home = Home::new();
    home.local("up", &home.retail(&[("[alarm.lag]", "[queue.extra]\n\n[alarm.lag]")]), &["--yes"]);
    let spec = home.retail(&[]);
    let plan = home.local("plan", &spec, &["--allow-delete", "queue.extra"]);
    assert_eq!(plan["summary"]["delete"], 1, "{plan:#}");
    let up = home.local("up", &spec, &["--yes", "--allow-delete", "queue.extra"]);
    assert_eq!(up["summary"]["delete"], 1, "{up:#}");
    assert_eq!(home.local("plan", &spec, &[])["summary"]["delete"], 0);
}

#[test]
fn a_foreign_resource_is_refused_and_then_adopted() {
    let home = Home::new();
    let spec = home.retail(&[]);
    let config = sdk(&home.endpoint());
    runtime().block_on(async {
        aws_sdk_kinesis::Client::new(&config)
            .create_stream()
            .stream_name("retail-events-events")
            .shard_count(2)
            .send()
            .await
            .unwrap();
        aws_sdk_sqs::Client::new(&config).create_queue().queue_name("retail-events-dlq").send().await.unwrap();
    });
    let before = home.calls().len();
    let refused = home.local_output("up", &spec, &["--yes"]).expect(1);
    for name in ["Kinesis stream (retail-events-events)", "SQS queue (retail-events-dlq)", "--adopt"] {
        assert!(refused.stderr.contains(name), "{refused:#?}");
    }
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());
    // Not ours, so not ours to delete.
    assert_eq!(home.local("down", &spec, &["--yes"])["resources"], json!([]));
    let adopted = home.local("up", &spec, &["--yes", "--adopt"]);
    assert_eq!(adopted["summary"]["update"], 2, "{adopted:#}");
    let again = home.local("up", &spec, &["--yes"]);
    assert_eq!(again["summary"]["unchanged"], again["resources"].as_array().unwrap().len(), "{again:#}");
}

#[test]
fn a_replacement_that_loses_data_is_refused_until_allowed() {
    let home = Home::new();
    // A table that no recipe writes to: those of recipes have the keys that they need.
    let with = |key: &str| {
        let extra = format!("[table.extra]\npartition_key = {{ name = \"id\", type = \"{key}\" }}\n\n[queue.dlq]");
        home.retail(&[("[queue.dlq]", &extra)])
    };
    home.local("up", &with("S"), &["--yes"]);
    let spec = with("N");
    let refused = home.local_output("up", &spec, &["--yes"]).expect(1);
    assert!(
        refused.stderr.contains("loses all items") && refused.stderr.contains("--allow-replace table.extra"),
        "{refused:#?}"
    );
    let replaced = home.local("up", &spec, &["--yes", "--allow-replace", "table.extra"]);
    assert_eq!(replaced["summary"]["replace"], 1, "{replaced:#}");
}

#[test]
fn what_is_protected_is_not_deleted() {
    let home = Home::new();
    let spec = home.retail(&[("billing = \"on-demand\"", "billing = \"on-demand\"\nprotect = true")]);
    home.local("up", &spec, &["--yes"]);
    let refused: Output = home.run(&["down", "--name", "retail-events", "--local", "--yes"]).expect(1);
    assert!(refused.stderr.contains("DynamoDB table (retail-events-results) is protected"), "{refused:#?}");
    let spec = home.retail(&[]);
    home.local("up", &spec, &["--yes"]);
    home.local("down", &spec, &["--yes"]);
}

/// The changed fields of one node.
pub(crate) fn changed_fields(report: &Value, node: &str) -> Vec<String> {
    let nodes = report["resources"].as_array().expect("resources");
    let node = nodes.iter().find(|at| at["node"] == node).unwrap_or_else(|| panic!("no {node} in {report:#}"));
    let mut fields: Vec<_> = node["changes"]
        .as_array()
        .expect("changes")
        .iter()
        .map(|change| change["field"].as_str().expect("a field").to_owned())
        .collect();
    fields.sort();
    fields
}
