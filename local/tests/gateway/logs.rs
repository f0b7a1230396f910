//! `CloudWatch` Logs: what it refuses, page tokens, and what metric and subscription filters make of events.

use std::io::Read as _;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::Aws;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("a time")
}

async fn ok(aws: &Aws, operation: &str, input: Value) -> Value {
    aws.ok(&format!("Logs_20140328.{operation}"), input).await
}

async fn refused(aws: &Aws, operation: &str, input: Value) -> (String, String) {
    let answer = aws.target(&format!("Logs_20140328.{operation}"), input).await;
    assert_eq!(answer.status, 400, "{operation}: {}", answer.body);
    let error = answer.json();
    let text = |member: &str| error[member].as_str().unwrap_or_default().to_owned();
    (text("__type"), text("message"))
}

/// A group `g` with a stream `s`.
async fn started() -> Aws {
    let aws = Aws::start().await;
    ok(&aws, "CreateLogGroup", json!({"logGroupName": "g"})).await;
    ok(&aws, "CreateLogStream", json!({"logGroupName": "g", "logStreamName": "s"})).await;
    aws
}

fn events(events: &[(i64, &str)]) -> Value {
    let events: Vec<Value> =
        events.iter().map(|(time_ms, message)| json!({"timestamp": time_ms, "message": message})).collect();
    json!({"logGroupName": "g", "logStreamName": "s", "logEvents": events})
}

#[tokio::test]
async fn events_that_aws_refuses_are_refused_or_left_out() {
    let aws = started().await;
    let now = now_ms();
    let disorder = refused(&aws, "PutLogEvents", events(&[(now, "b"), (now - 1, "a")])).await;
    assert_eq!(disorder.1, "Log events in a single PutLogEvents request must be in chronological order.");
    let long = refused(&aws, "PutLogEvents", events(&[(now - 2 * DAY_MS, "a"), (now, "b")])).await;
    assert_eq!(long.1, "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.");
    let old = ok(&aws, "PutLogEvents", events(&[(now - 30 * DAY_MS, "old")])).await;
    assert_eq!(old["rejectedLogEventsInfo"], json!({"tooOldLogEventEndIndex": 1}));
    let new = ok(&aws, "PutLogEvents", events(&[(now, "fine"), (now + DAY_MS / 2, "new")])).await;
    assert_eq!(new["rejectedLogEventsInfo"], json!({"tooNewLogEventStartIndex": 1}));
    let kept = ok(&aws, "FilterLogEvents", json!({"logGroupName": "g"})).await;
    assert_eq!(kept["events"].as_array().map(Vec::len), Some(1));

    let limit = "1 validation error detected: Value '10001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 10000";
    let token = "The specified nextToken is invalid.";
    let stream = |more: Value| {
        let mut input = json!({"logGroupName": "g", "logStreamName": "s"});
        input.as_object_mut().expect("members").extend(more.as_object().cloned().unwrap_or_default());
        input
    };
    for (operation, input, message) in [
        ("GetLogEvents", stream(json!({"limit": 10_001})), limit),
        ("GetLogEvents", stream(json!({"nextToken": "invalid-token"})), token),
        ("FilterLogEvents", json!({"logGroupName": "g", "limit": 10_001}), limit),
        ("FilterLogEvents", json!({"logGroupName": "g", "nextToken": "invalid-token"}), token),
        (
            "DescribeLogGroups",
            json!({"logGroupNamePrefix": "g", "logGroupNamePattern": "g"}),
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
        ),
        (
            "CreateLogGroup",
            json!({"logGroupName": "a".repeat(513)}),
            "Invalid LogGroup or LogStream, both must have length less than or equal to 512.",
        ),
    ] {
        let answer = refused(&aws, operation, input).await;
        assert_eq!(answer, ("InvalidParameterException".to_owned(), message.to_owned()), "{operation}");
    }
    aws.stop().await;
}

#[tokio::test]
async fn filtered_events_come_in_pages_without_gap_or_repetition() {
    let aws = started().await;
    let now = now_ms();
    ok(&aws, "PutLogEvents", events(&[(now, "0"), (now, "1"), (now + 1, "2")])).await;
    let first = ok(&aws, "FilterLogEvents", json!({"logGroupName": "g", "limit": 2})).await;
    // An event that comes late, before the place where the next page begins.
    ok(&aws, "PutLogEvents", events(&[(now - 1, "late")])).await;
    let second = ok(&aws, "FilterLogEvents", json!({"logGroupName": "g", "nextToken": first["nextToken"]})).await;
    assert_eq!(second["events"][0]["message"], "2");
    assert_eq!((second["events"].as_array().map(Vec::len), second.get("nextToken")), (Some(1), None));
    aws.stop().await;
}

#[tokio::test]
async fn metric_filter_publishes_what_matching_events_say() {
    let aws = started().await;
    let filter = json!({
        "logGroupName": "g", "filterName": "slow", "filterPattern": "{ $.ms > 100 }",
        "metricTransformations": [{"metricNamespace": "n", "metricName": "m", "metricValue": "$.ms", "dimensions": {"Way": "$.way"}}],
    });
    ok(&aws, "PutMetricFilter", filter).await;
    let shown = ok(&aws, "DescribeMetricFilters", json!({"logGroupName": "g", "filterNamePrefix": "s"})).await;
    assert_eq!(shown["metricFilters"][0]["metricTransformations"][0]["metricValue"], "$.ms");
    let groups = ok(&aws, "DescribeLogGroups", json!({})).await;
    assert_eq!(groups["logGroups"][0]["metricFilterCount"], 1);
    let now = now_ms();
    let lines = [(now, r#"{"ms":5,"way":"a"}"#), (now, r#"{"ms":250,"way":"a"}"#), (now, r#"{"ms":150,"way":"a"}"#)];
    ok(&aws, "PutLogEvents", events(&lines)).await;
    let statistics = json!({
        "Namespace": "n", "MetricName": "m", "Dimensions": [{"Name": "Way", "Value": "a"}],
        "StartTime": now / 1000 - 60, "EndTime": now / 1000 + 60, "Period": 60, "Statistics": ["Sum", "SampleCount"],
    });
    let read = aws.ok("GraniteServiceVersion20100801.GetMetricStatistics", statistics).await;
    assert_eq!((&read["Datapoints"][0]["Sum"], &read["Datapoints"][0]["SampleCount"]), (&json!(400.0), &json!(2.0)));
    ok(&aws, "DeleteMetricFilter", json!({"logGroupName": "g", "filterName": "slow"})).await;
    let gone = refused(&aws, "DeleteMetricFilter", json!({"logGroupName": "g", "filterName": "slow"})).await;
    assert_eq!(gone.0, "ResourceNotFoundException");
    aws.stop().await;
}

#[tokio::test]
async fn subscription_filter_delivers_to_a_stream() {
    let aws = started().await;
    let subscription = json!({
        "logGroupName": "g", "filterName": "f", "filterPattern": "ERROR", "roleArn": "arn:aws:iam::000000000000:role/r",
        "destinationArn": "arn:aws:kinesis:eu-west-1:000000000000:stream/logs",
    });
    let no_stream = refused(&aws, "PutSubscriptionFilter", subscription.clone()).await;
    assert!(no_stream.1.starts_with("Could not deliver test message to specified Kinesis stream."), "{}", no_stream.1);
    aws.ok("Kinesis_20131202.CreateStream", json!({"StreamName": "logs", "ShardCount": 1})).await;
    ok(&aws, "PutSubscriptionFilter", subscription).await;
    let now = now_ms();
    ok(&aws, "PutLogEvents", events(&[(now, "fine"), (now, "ERROR: not fine")])).await;

    let from = json!({"StreamName": "logs", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"});
    let iterator = aws.ok("Kinesis_20131202.GetShardIterator", from).await["ShardIterator"].clone();
    let records = aws.ok("Kinesis_20131202.GetRecords", json!({"ShardIterator": iterator})).await;
    let payloads: Vec<Value> = records["Records"]
        .as_array()
        .expect("records")
        .iter()
        .map(|record| {
            let packed = BASE64.decode(record["Data"].as_str().expect("data")).expect("Base64");
            let mut text = String::new();
            GzDecoder::new(&*packed).read_to_string(&mut text).expect("gzip");
            serde_json::from_str(&text).expect("JSON")
        })
        .collect();
    assert_eq!(payloads.len(), 2, "{payloads:?}");
    assert_eq!(payloads[0]["messageType"], "CONTROL_MESSAGE");
    assert_eq!(
        (&payloads[1]["logGroup"], &payloads[1]["logStream"], &payloads[1]["subscriptionFilters"]),
        (&json!("g"), &json!("s"), &json!(["f"]))
    );
    let delivered = payloads[1]["logEvents"].as_array().expect("events");
    assert_eq!((delivered.len(), &delivered[0]["message"]), (1, &json!("ERROR: not fine")));
    ok(&aws, "DeleteSubscriptionFilter", json!({"logGroupName": "g", "filterName": "f"})).await;
    let gone = refused(&aws, "DeleteSubscriptionFilter", json!({"logGroupName": "g", "filterName": "f"})).await;
    assert_eq!(gone.1, "The specified subscription filter does not exist.");
    aws.stop().await;
}
