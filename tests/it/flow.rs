//! The main job: up, up again, validate, send, status, down.

use std::time::Duration;

use aws_sdk_dynamodb::types::Select;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::json;

use crate::harness::{Home, pipeline, runtime, sdk, until};

#[test]
fn retail_goes_up_flows_and_goes_away() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");

    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!(up["summary"]["failed"], 0, "{up:#}");
    assert_eq!(up["summary"]["create"], up["resources"].as_array().unwrap().len(), "{up:#}");

    // A second run changes nothing and sends no mutating call.
    let before = home.calls().len();
    let again = home.local("up", &spec, &["--yes"]);
    assert_eq!(
        again["summary"],
        json!({"create":0,"update":0,"replace":0,"delete":0,"unchanged":up["summary"]["create"],"failed":0,"skipped":0})
    );
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());

    let validate = home.local("validate", &spec, &[]);
    assert_eq!(validate["ok"], true, "{validate:#}");
    assert!(validate["latency_ms"]["p99"].as_f64().unwrap() > 0.0, "{validate:#}");

    // Exactly the good events become items, and exactly the poison goes to the queue.
    let sent = home.local("send", &spec, &["--count", "1000", "--poison", "2", "--seed", "7"]);
    assert_eq!((&sent["sent"], &sent["failed"], &sent["poison"]), (&json!(1000), &json!(0), &json!(20)), "{sent:#}");
    let config = sdk(&home.endpoint());
    let limit = Duration::from_secs(60);
    until("980 items", limit, || (count_items(&config) >= 980).then_some(()));
    until("20 dead letters", limit, || (queue_depth(&config) >= 20).then_some(()));
    // The alarm on dead letters is what tells that all that was sent has been seen: it comes after both.
    let status = until("the dead letter alarm", limit, || {
        let status = home.local("status", &spec, &[]);
        let alarms = status["alarms"].as_array().unwrap().clone();
        alarms
            .iter()
            .any(|alarm| alarm["name"] == "retail-events-dead-letters" && alarm["state"] == "ALARM")
            .then_some(status)
    });
    assert_eq!(status["functions"][0]["queue_depth"], 20, "{status:#}");
    assert_eq!((count_items(&config), queue_depth(&config)), (980, 20));
    assert!(status["resources"].as_array().unwrap().iter().all(|node| node["state"] == "ok"), "{status:#}");

    let down = home.local("down", &spec, &["--yes"]);
    assert_eq!(down["summary"]["delete"], up["summary"]["create"], "{down:#}");
    assert_nothing_is_left(&home);
    // Nothing there is fine too.
    assert_eq!(home.local("cleanup", &spec, &["--yes"])["resources"], json!([]));
}

#[test]
fn every_pipeline_goes_up_stays_as_it_is_and_goes_away() {
    let home = Home::new();
    for name in [
        "streaming-analytics",
        "clickstream",
        "change-capture",
        "fan-out",
        "archive",
        "fraud",
        "shop",
        "trends",
        "anomalies",
        "private-events",
        "mirror",
    ] {
        let spec = pipeline(&format!("{name}.toml"));
        let up = home.local("up", &spec, &["--yes"]);
        assert_eq!(up["summary"]["create"], up["resources"].as_array().unwrap().len(), "{name}: {up:#}");
        let before = home.calls().len();
        let again = home.local("up", &spec, &["--yes"]);
        assert_eq!(again["summary"]["unchanged"], up["summary"]["create"], "{name}: {again:#}");
        assert_eq!(home.mutating_calls(before), Vec::<String>::new(), "{name}");
        let down = home.local("down", &spec, &["--yes"]);
        assert_eq!(down["summary"]["delete"], up["summary"]["create"], "{name}: {down:#}");
        assert_nothing_is_left(&home);
    }
}

#[test]
fn plan_says_how_many_invocations_run_at_a_time() {
    let home = Home::new();
    let plan = home.run(&["plan", pipeline("clickstream.toml").to_str().unwrap(), "--local"]).expect(0);
    let line = "function.processor: 2 shards × factor 2 = up to 4 invocations at a time, of 10 reserved";
    assert!(plan.stdout.contains(line), "{plan:#?}");
    let plan = home.run(&["plan", pipeline("retail-events.toml").to_str().unwrap(), "--local"]).expect(0);
    let line = "function.processor: 1 shard × factor 1 = up to 1 invocation at a time\n";
    assert!(plan.stdout.contains(line), "{plan:#?}");
}

#[test]
fn two_stages_stand_side_by_side() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    home.local("up", &spec, &["--yes"]);
    let dev = home.local("up", &spec, &["--yes", "--stage", "dev"]);
    assert!(
        dev["resources"]
            .as_array()
            .unwrap()
            .iter()
            .all(|node| node["name"].as_str().unwrap().contains("retail-events-dev-")),
        "{dev:#}"
    );
    home.local("down", &spec, &["--yes"]);
    let left = home.local("plan", &spec, &["--stage", "dev"]);
    assert_eq!(left["summary"]["unchanged"], dev["summary"]["create"], "{left:#}");
    // By name alone, without the file.
    let down =
        home.run(&["down", "--name", "retail-events", "--stage", "dev", "--local", "--yes", "--json"]).expect(0).json();
    assert_eq!(down["summary"]["delete"], dev["summary"]["create"], "{down:#}");
    assert_nothing_is_left(&home);
}

/// Asks each service for anything at all: nothing else lives in this embedded AWS.
pub(crate) fn assert_nothing_is_left(home: &Home) {
    let config = sdk(&home.endpoint());
    runtime().block_on(async {
        let streams = aws_sdk_kinesis::Client::new(&config).list_streams().send().await.unwrap().stream_names;
        let tables = aws_sdk_dynamodb::Client::new(&config).list_tables().send().await.unwrap().table_names;
        let queues = aws_sdk_sqs::Client::new(&config).list_queues().send().await.unwrap().queue_urls;
        let roles =
            aws_sdk_iam::Client::new(&config).list_roles().path_prefix("/streamkit/").send().await.unwrap().roles;
        let lambda = aws_sdk_lambda::Client::new(&config);
        let functions = lambda.list_functions().send().await.unwrap().functions;
        let mappings = lambda.list_event_source_mappings().send().await.unwrap().event_source_mappings;
        let groups =
            aws_sdk_cloudwatchlogs::Client::new(&config).describe_log_groups().send().await.unwrap().log_groups;
        let topics = aws_sdk_sns::Client::new(&config).list_topics().send().await.unwrap().topics;
        let alarms = aws_sdk_cloudwatch::Client::new(&config).describe_alarms().send().await.unwrap().metric_alarms;
        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        let buckets = aws_sdk_s3::Client::from_conf(s3).list_buckets().send().await.unwrap().buckets;
        assert!(buckets.unwrap_or_default().is_empty());
        let dashboards = aws_sdk_cloudwatch::Client::new(&config).list_dashboards().send().await.unwrap();
        assert!(dashboards.dashboard_entries().is_empty());
        assert_eq!((streams, tables, queues), (vec![], Some(vec![]), None));
        assert!(roles.is_empty(), "{roles:?}");
        assert!(functions.unwrap_or_default().is_empty() && mappings.unwrap_or_default().is_empty());
        assert!(
            groups.unwrap_or_default().is_empty()
                && topics.unwrap_or_default().is_empty()
                && alarms.unwrap_or_default().is_empty()
        );
    });
}

pub(crate) fn count_items(config: &aws_config::SdkConfig) -> i32 {
    let client = aws_sdk_dynamodb::Client::new(config);
    let scan = client.scan().table_name("retail-events-results").select(Select::Count).consistent_read(true);
    runtime().block_on(scan.send()).expect("a scan").count
}

fn queue_depth(config: &aws_config::SdkConfig) -> u64 {
    let client = aws_sdk_sqs::Client::new(config);
    let name = QueueAttributeName::ApproximateNumberOfMessages;
    runtime().block_on(async {
        let url = client
            .get_queue_url()
            .queue_name("retail-events-dlq")
            .send()
            .await
            .expect("the queue")
            .queue_url
            .expect("its URL");
        let answer = client
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(name.clone())
            .send()
            .await
            .expect("its attributes");
        answer.attributes.expect("attributes")[&name].parse().expect("a number")
    })
}
