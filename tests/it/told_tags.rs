//! Tags that the Resource Groups Tagging API tells in one call: good for seeing that nothing has to be done, and no more.

use aws_sdk_cloudwatch::types::{ComparisonOperator, Statistic};
use serde_json::{Value, json};

use crate::harness::{Home, pipeline, runtime, sdk};

/// A home with retail-events, whose tags have been told once, and are told as they were then for a minute.
fn told() -> Home {
    let home = Home::new();
    home.run(&["local", "start", "--strict=consistency", "--seed", "1"]).expect(0);
    home.local("up", &pipeline("retail-events.toml"), &["--yes"]);
    home.local("plan", &pipeline("retail-events.toml"), &[]);
    home
}

fn asked(calls: &[Value], operation: &str) -> usize {
    calls.iter().filter(|call| call["operation"] == operation).count()
}

#[test]
fn where_tags_are_not_told_each_resource_is_asked() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    home.local("up", &spec, &["--yes"]);
    let from = home.calls().len();
    home.fault_saying(
        "tagging",
        "GetResources",
        2,
        "AccessDeniedException",
        "not authorized to perform: tag:GetResources",
    );
    let plan = home.local("plan", &spec, &[]);
    assert_eq!(plan["summary"]["unchanged"], json!(13), "{plan:#}");
    let (from, calls) = home.calls_after(from);
    // Five alarms, the topic and the log group.
    assert_eq!(["ListTagsForResource", "ListTagsOfResource", "ListQueueTags"].map(|of| asked(&calls, of)), [7, 1, 1]);
    let down = home.local("down", &spec, &["--yes"]);
    assert_eq!(down["summary"]["delete"], json!(13), "{down:#}");
    let (_, calls) = home.calls_after(from);
    assert_eq!(asked(&calls, "ListTagsForResource"), 7);
}

#[test]
fn what_was_told_before_a_change_of_tags_is_not_taken_for_drift() {
    let home = told();
    let spec = home.retail(&[("RetailAnalytics", "Retail")]);
    let changed = home.local("up", &spec, &["--yes"]);
    assert_eq!(changed["summary"]["update"], json!(12), "{changed:#}");
    // The services themselves lag, too: each shows the new tags at the fourth look.
    for _ in 0..3 {
        home.local("plan", &spec, &[]);
    }
    let from = home.calls().len();
    let again = home.local("up", &spec, &["--yes"]);
    assert_eq!(again["summary"]["unchanged"], json!(13), "{again:#}");
    assert_eq!(home.mutating_calls(from), Vec::<String>::new());
}

#[test]
fn nothing_is_changed_by_what_was_told_before_it_became_somebody_elses() {
    let home = told();
    let cloudwatch = aws_sdk_cloudwatch::Client::new(&sdk(&home.endpoint()));
    runtime().block_on(async {
        cloudwatch.delete_alarms().alarm_names("retail-events-lag").send().await.unwrap();
        let alarm =
            cloudwatch.put_metric_alarm().alarm_name("retail-events-lag").namespace("Strangers").metric_name("M");
        let alarm = alarm.statistic(Statistic::Sum).period(60).evaluation_periods(1).threshold(1.0);
        alarm.comparison_operator(ComparisonOperator::GreaterThanThreshold).send().await.unwrap();
    });
    let refused = home.local_output("up", &pipeline("retail-events.toml"), &["--yes"]).expect(1).json();
    assert!(refused.to_string().contains("does not belong to this pipeline"), "{refused:#}");
    let alarm = runtime().block_on(cloudwatch.describe_alarms().alarm_names("retail-events-lag").send()).unwrap();
    assert_eq!(alarm.metric_alarms()[0].namespace(), Some("Strangers"));
}

#[test]
fn a_queue_that_became_somebody_elses_is_not_deleted_by_what_was_told_before() {
    let home = told();
    let sqs = aws_sdk_sqs::Client::new(&sdk(&home.endpoint()));
    let url = format!("{}/000000000000/retail-events-dlq", home.endpoint());
    let ours = ["streamkit:pipeline", "streamkit:node"].map(str::to_owned).to_vec();
    runtime().block_on(sqs.untag_queue().queue_url(&url).set_tag_keys(Some(ours)).send()).unwrap();
    let down = home.local("down", &pipeline("retail-events.toml"), &["--yes"]);
    assert_eq!(down["summary"]["delete"], json!(12), "{down:#}");
    runtime().block_on(sqs.list_queue_tags().queue_url(&url).send()).unwrap();
}

#[test]
fn a_function_that_became_somebody_elses_keeps_its_mapping_whatever_was_told_before() {
    let home = told();
    let lambda = aws_sdk_lambda::Client::new(&sdk(&home.endpoint()));
    let (name, arn) =
        ("retail-events-processor", "arn:aws:lambda:us-east-1:000000000000:function:retail-events-processor");
    let mappings = async || lambda.list_event_source_mappings().function_name(name).send().await.unwrap();
    runtime().block_on(async {
        let untagged = lambda.untag_resource().resource(arn).tag_keys("streamkit:pipeline").tag_keys("streamkit:node");
        untagged.send().await.unwrap();
        // Lambda itself shows the old tags to no more than three callers.
        for _ in 0..3 {
            lambda.get_function().function_name(name).send().await.unwrap();
        }
    });
    let down = home.local("down", &pipeline("retail-events.toml"), &["--yes"]);
    let kinds: Vec<&Value> = down["resources"].as_array().unwrap().iter().map(|resource| &resource["type"]).collect();
    assert!(!kinds.iter().any(|kind| *kind == "Lambda function" || *kind == "event source mapping"), "{down:#}");
    assert_eq!(runtime().block_on(mappings()).event_source_mappings().len(), 1);
}
