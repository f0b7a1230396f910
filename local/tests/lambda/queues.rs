//! SQS queues as a source: what is delivered, deleted, kept, and moved to the dead letter queue.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::aws::{Aws, eventually};
use crate::mappings::Trace;

impl Aws {
    /// Makes a queue with these attributes; gives back its URL and ARN.
    async fn queue_with(&self, name: &str, attributes: Value) -> (String, String) {
        let body = json!({ "QueueName": name, "Attributes": attributes });
        let made = self.call("AmazonSQS.CreateQueue", body).await;
        (made["QueueUrl"].as_str().unwrap().to_owned(), format!("arn:aws:sqs:us-east-1:000000000000:{name}"))
    }

    async fn send(&self, queue: &str, bodies: &[&str]) {
        for body in bodies {
            let attributes = json!({ "kind": { "DataType": "String", "StringValue": "test" } });
            let message = json!({ "QueueUrl": queue, "MessageBody": body, "MessageAttributes": attributes });
            self.call("AmazonSQS.SendMessage", message).await;
        }
    }

    /// Messages in a queue, hidden ones too.
    async fn depth(&self, queue: &str) -> u32 {
        let body = json!({ "QueueUrl": queue, "AttributeNames": ["All"] });
        let seen = self.call("AmazonSQS.GetQueueAttributes", body).await;
        let count = |name: &str| seen["Attributes"][name].as_str().unwrap().parse::<u32>().unwrap();
        count("ApproximateNumberOfMessages") + count("ApproximateNumberOfMessagesNotVisible")
    }

    async fn queue_mapping(&self, source: &str, mut settings: Value) -> String {
        settings["FunctionName"] = json!("f");
        settings["EventSourceArn"] = json!(source);
        let made = self.lambda("POST", "event-source-mappings/", settings).await;
        assert_eq!(made.status, 202, "{}", made.text());
        let uuid = made.json()["UUID"].as_str().unwrap().to_owned();
        self.mapping_state(&uuid, "Enabled").await;
        uuid
    }
}

fn body_of(record: &str) -> String {
    serde_json::from_str::<Value>(record).unwrap()["body"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_arrive_in_the_form_of_aws_and_are_deleted() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let (queue, arn) = aws.queue_with("q", json!({})).await;
    aws.function("f", trace.environment(), |_| {}).await;
    let settings = json!({ "BatchSize": 5, "MetricsConfig": { "Metrics": ["EventCount"] } });
    let uuid = aws.queue_mapping(&arn, settings).await;
    aws.send(&queue, &["one", "two", "three"]).await;
    let seen = trace.until("all messages arrived", |data| data.len() == 3).await;
    let record: Value = serde_json::from_str(&seen[0]).unwrap();
    assert_eq!((&record["eventSource"], &record["eventSourceARN"]), (&json!("aws:sqs"), &json!(arn)));
    assert_eq!(record["awsRegion"], "us-east-1");
    assert_eq!(record["attributes"]["ApproximateReceiveCount"], "1");
    let attribute =
        json!({ "stringValue": "test", "stringListValues": [], "binaryListValues": [], "dataType": "String" });
    assert_eq!(record["messageAttributes"]["kind"], attribute);
    assert_eq!(record["md5OfBody"].as_str().unwrap().len(), 32);
    eventually("the queue is empty", async || (aws.depth(&queue).await == 0).then_some(())).await;
    eventually("the deletions are counted", async || {
        let deleted = aws.metric("AWS/Lambda", "DeletedEventCount", Some(("EventSourceMappingUUID", &uuid))).await;
        ((deleted - 3.0).abs() < 0.5).then_some(())
    })
    .await;
    let seen = aws.lambda("GET", &format!("event-source-mappings/{uuid}"), Value::Null).await.json();
    assert!(seen["StartingPosition"].is_null() && seen["MaximumRetryAttempts"].is_null());
    assert_eq!((&seen["BatchSize"], &seen["StateTransitionReason"]), (&json!(5), &json!("USER_INITIATED")));
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_failed_messages_stay_and_end_in_the_dead_letter_queue() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let (dead, dead_arn) = aws.queue("dead").await;
    let redrive = json!({ "deadLetterTargetArn": dead_arn, "maxReceiveCount": 2 }).to_string();
    let (queue, arn) = aws.queue_with("q", json!({ "VisibilityTimeout": "3", "RedrivePolicy": redrive })).await;
    let mut environment = trace.environment();
    environment["ON_POISON"] = json!("report");
    aws.function("f", environment, |_| {}).await;
    let settings = json!({
        "BatchSize": 10,
        "MaximumBatchingWindowInSeconds": 1,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    });
    aws.send(&queue, &["good", "poison", "fine"]).await;
    aws.queue_mapping(&arn, settings).await;
    let letter = eventually("the poison is a dead letter", async || {
        let body = json!({ "QueueUrl": dead, "WaitTimeSeconds": 1 });
        let received = aws.call("AmazonSQS.ReceiveMessage", body).await;
        received["Messages"].as_array().and_then(|messages| messages.first().cloned())
    })
    .await;
    assert_eq!(letter["Body"], "poison");
    let mut bodies: Vec<String> = trace.data().iter().map(|record| body_of(record)).collect();
    bodies.sort();
    assert_eq!(bodies, ["fine", "good", "poison", "poison"]);
    assert_eq!(aws.depth(&queue).await, 0);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_reports_and_errors_keep_the_whole_batch() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let (queue, arn) = aws.queue_with("q", json!({ "VisibilityTimeout": "3" })).await;
    let mut environment = trace.environment();
    environment["ANSWER"] = json!(r#"{"batchItemFailures":[{"itemIdentifier":"unknown"}]}"#);
    aws.function("f", environment, |_| {}).await;
    aws.send(&queue, &["a", "b"]).await;
    aws.queue_mapping(&arn, json!({ "FunctionResponseTypes": ["ReportBatchItemFailures"] })).await;
    // Each comes again after the visibility timeout, and nothing was deleted.
    trace.until("each came twice", |data| data.len() >= 4).await;
    assert_eq!(aws.depth(&queue).await, 2);
    let bodies: BTreeSet<String> = trace.data().iter().map(|record| body_of(record)).collect();
    assert_eq!(bodies.len(), 2);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn window_gathers_more_than_one_receive_gives() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let (queue, arn) = aws.queue_with("q", json!({})).await;
    aws.function("f", trace.environment(), |_| {}).await;
    let numbers: Vec<String> = (0..25).map(|number| number.to_string()).collect();
    aws.send(&queue, &numbers.iter().map(String::as_str).collect::<Vec<_>>()).await;
    aws.queue_mapping(&arn, json!({ "BatchSize": 25, "MaximumBatchingWindowInSeconds": 60 })).await;
    trace.until("all messages arrived", |data| data.len() == 25).await;
    assert_eq!(trace.batches().len(), 1);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filtered_messages_are_deleted_unseen() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let (queue, arn) = aws.queue_with("q", json!({})).await;
    aws.function("f", trace.environment(), |_| {}).await;
    let pattern = r#"{"body":{"kind":["a"]}}"#;
    aws.queue_mapping(&arn, json!({ "FilterCriteria": { "Filters": [{ "Pattern": pattern }] } })).await;
    aws.send(&queue, &[r#"{"kind":"b"}"#, "text", r#"{"kind":"a"}"#]).await;
    trace.until("what passes arrived", |data| data.len() == 1).await;
    eventually("the queue is empty", async || (aws.depth(&queue).await == 0).then_some(())).await;
    assert_eq!(body_of(&trace.data()[0]), r#"{"kind":"a"}"#);
    assert_eq!(trace.data().len(), 1);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrency_is_kept_below_its_maximum() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let (queue, arn) = aws.queue_with("q", json!({})).await;
    let mut environment = trace.environment();
    environment["SLOW_MS"] = json!("300");
    aws.function("f", environment, |_| {}).await;
    let bodies: Vec<String> = (0..8).map(|number| format!("slow {number}")).collect();
    aws.send(&queue, &bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
    aws.queue_mapping(&arn, json!({ "BatchSize": 1, "ScalingConfig": { "MaximumConcurrency": 2 } })).await;
    trace.until("all messages arrived", |data| data.len() == 8).await;
    let lines = aws.log("/aws/lambda/f").await;
    // A process that ran alone would have logged all eight: two worked side by side, and never a third.
    let cold = lines.iter().filter(|line| line.contains("Init Duration")).count();
    assert!((1..=2).contains(&cold), "{cold} processes");
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_queues_do_not_have_are_refused() {
    let aws = Aws::start().await;
    let (_, arn) = aws.queue_with("q", json!({})).await;
    let (_, fifo) = aws.queue_with("q.fifo", json!({ "FifoQueue": "true" })).await;
    let (_, short) = aws.queue_with("short", json!({ "VisibilityTimeout": "2" })).await;
    aws.function("f", json!({}), |_| {}).await;
    for (source, settings, says) in [
        (&arn, json!({ "TumblingWindowInSeconds": 60 }), "tumblingWindowInSeconds"),
        (&arn, json!({ "BisectBatchOnFunctionError": true }), "bisectBatchOnFunctionError"),
        (&arn, json!({ "BatchSize": 11 }), "batch window"),
        (&arn, json!({ "ScalingConfig": { "MaximumConcurrency": 1 } }), "maximumConcurrency"),
        (&fifo, json!({ "MaximumBatchingWindowInSeconds": 1 }), "FIFO"),
        (&short, json!({}), "Queue visibility timeout: 2 seconds is less than Function timeout: 3 seconds"),
        (&"arn:aws:sqs:us-east-1:000000000000:none".to_owned(), json!({}), "does not exist"),
    ] {
        let mut body = json!({ "FunctionName": "f", "EventSourceArn": source });
        body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let answer = aws.lambda("POST", "event-source-mappings", body).await;
        assert_eq!(answer.status, 400, "{source} {settings}");
        assert!(answer.text().contains(says), "{says}: {}", answer.text());
    }
    aws.stop().await;
}
