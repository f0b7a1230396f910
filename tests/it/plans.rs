//! What a plan says before anything is done, saved plans, and what others have attached.

use serde_json::{Value, json};

use crate::harness::Home;

/// A node of a report.
fn node<'a>(report: &'a Value, node: &str) -> &'a Value {
    let nodes = report["resources"].as_array().expect("resources");
    nodes.iter().find(|at| at["node"] == node).unwrap_or_else(|| panic!("no {node} in {report:#}"))
}

/// What a field of a node becomes.
fn to<'a>(report: &'a Value, at: &str, field: &str) -> &'a Value {
    let changes = node(report, at)["changes"].as_array().expect("changes");
    &changes.iter().find(|change| change["field"] == field).unwrap_or_else(|| panic!("no {field} in {changes:#?}"))["to"]
}

#[test]
fn a_creation_can_be_reviewed() {
    let home = Home::new();
    let spec = home.retail(&[
        ("shards = 1  ", "shards = 8  "),
        ("subscribers = []", "subscribers = [\"email:ops@example.com\"]"),
        ("tracing = true", "tracing = true\nenvironment = { DB_PASSWORD = \"hunter2\" }"),
    ]);
    let output = home.run(&["plan", spec.to_str().unwrap(), "--local", "--stage", "dev"]).expect(0);
    let text = &output.stdout;
    assert!(text.starts_with("pipeline retail-events, stage dev, account 000000000000, region us-east-1\n"), "{text}");
    for line in [
        "    shards: 8\n",
        "    subscribers: email:ops@example.com\n",
        "    timeout: 2m\n",
        "    environment.DB_PASSWORD: set\n",
        "    + dynamodb:PutItem on table/retail-events-dev-results\n",
        "tags of all of them: Project = RetailAnalytics\n",
    ] {
        assert!(text.contains(line), "no `{line}` in {text}");
    }
    // Defaults go without saying, and so does what streamkit itself sets.
    for word in ["memory", "encryption: aws-managed", "STREAMKIT_", "sqs-managed", "runtime", "hunter2"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
    let plan = home.local("plan", &spec, &["--stage", "dev"]);
    assert_eq!(
        json!([plan["version"], plan["pipeline"], plan["stage"], plan["account"], plan["region"]]),
        json!([1, "retail-events", "dev", "000000000000", "us-east-1"])
    );
    assert_eq!(to(&plan, "stream.events", "shards"), 8);
    assert_eq!(to(&plan, "stream.events", "retention"), "24h");
    assert_eq!(to(&plan, "function.processor", "memory"), 256);
    assert_eq!(to(&plan, "function.processor", "environment.DB_PASSWORD"), "(hidden)");
    assert_eq!(to(&plan, "stream.events", "tags.Project"), "RetailAnalytics");
    assert!(!plan.to_string().contains("hunter2"));
}

#[test]
fn policies_and_lists_change_statement_by_statement() {
    let home = Home::new();
    home.local("up", &home.retail(&[]), &["--yes"]);
    let spec =
        home.retail(&[("tracing = true", "tracing = false"), ("subscribers = []", "subscribers = [\"queue.dlq\"]")]);
    let text = home.run(&["plan", spec.to_str().unwrap(), "--local"]).expect(0).stdout;
    for line in
        ["  - xray:PutTelemetryRecords on *\n", "  + sqs:arn:aws:sqs:us-east-1:000000000000:retail-events-dlq\n"]
    {
        assert!(text.contains(line), "no `{line}` in {text}");
    }
    assert!(!text.contains("Statement") && !text.contains("kinesis:GetRecords"), "{text}");
    let plan = home.local("plan", &spec, &[]);
    let policy = &node(&plan, "function.processor.role")["changes"][0];
    assert_eq!(policy["diff"], json!(["- xray:PutTelemetryRecords on *", "- xray:PutTraceSegments on *"]));
    assert!(policy["from"]["Statement"].is_array(), "{policy:#}");
}
