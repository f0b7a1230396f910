//! Tumbling windows: state from invocation to invocation, and the last invocation of a window.

use serde_json::{Value, json};

use crate::aws::Aws;
use crate::mappings::Trace;

/// The last invocations of windows: count and event of each.
fn closed(trace: &Trace) -> Vec<(u64, Value)> {
    let windows = trace.all().into_iter().filter(|seen| seen.data.starts_with('{'));
    windows.map(|seen| (seen.sequence.parse().unwrap(), serde_json::from_str(&seen.data).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_carry_their_state_and_close_by_themselves() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    aws.function("f", trace.environment(), |_| {}).await;
    aws.mapping("f", &stream, json!({ "TumblingWindowInSeconds": 2, "BatchSize": 2 })).await;
    aws.put("s", "k", &["a", "b", "c", "d", "e"]).await;
    trace
        .until("all windows closed", |data| {
            let counts = data.iter().filter(|data| data.starts_with('{'));
            // The five records may fall into two windows.
            counts.count() >= 1 && data.iter().filter(|data| data.len() == 1).count() == 5
        })
        .await;
    let total = async || {
        let counted: u64 = closed(&trace).iter().map(|(count, _)| count).sum();
        (counted == 5).then_some(())
    };
    crate::aws::eventually("the windows hold all five records", total).await;
    for (_, event) in closed(&trace) {
        assert_eq!((&event["Records"], &event["isFinalInvokeForWindow"]), (&json!([]), &json!(true)));
        assert_eq!((&event["isWindowTerminatedEarly"], &event["eventSourceARN"]), (&json!(false), &json!(stream)));
        let time = |name: &str| chrono::DateTime::parse_from_rfc3339(event["window"][name].as_str().unwrap()).unwrap();
        assert_eq!((time("start").timestamp() % 2, (time("end") - time("start")).num_seconds()), (0, 2));
    }
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_that_grows_too_large_ends_the_window_early() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    let mut environment = trace.environment();
    environment["STATE_BYTES"] = json!((1024 * 1024).to_string());
    aws.function("f", environment, |_| {}).await;
    aws.mapping("f", &stream, json!({ "TumblingWindowInSeconds": 900 })).await;
    aws.put("s", "k", &["a"]).await;
    trace.until("the window closed", |data| data.iter().any(|data| data.starts_with('{'))).await;
    let (count, event) = closed(&trace).remove(0);
    assert_eq!((count, &event["isWindowTerminatedEarly"], &event["state"]), (0, &json!(true), &json!({})));
    assert_eq!(event["isFinalInvokeForWindow"], false);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_batch_is_tried_again_with_the_same_state() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    aws.function("f", trace.environment(), |_| {}).await;
    let settings = json!({
        "TumblingWindowInSeconds": 4,
        "BatchSize": 1,
        "MaximumRetryAttempts": 1,
    });
    aws.mapping("f", &stream, settings).await;
    aws.put("s", "k", &["a", "poison", "b"]).await;
    let settled = async || {
        let counted: u64 = closed(&trace).iter().map(|(count, _)| count).sum();
        (counted == 2).then_some(())
    };
    crate::aws::eventually("the windows hold the two good records", settled).await;
    let poison = trace.data().into_iter().filter(|data| data == "poison").count();
    assert_eq!(poison, 2);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn window_is_closed_again_until_that_succeeds_whatever_limits_the_retries() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    let (queue, queue_arn) = aws.queue("failures").await;
    let mut environment = trace.environment();
    environment["FINAL_FAILURES"] = json!("3");
    aws.function("f", environment, |_| {}).await;
    let settings = json!({
        "TumblingWindowInSeconds": 1,
        "MaximumRetryAttempts": 1,
        "DestinationConfig": { "OnFailure": { "Destination": queue_arn } },
    });
    aws.mapping("f", &stream, settings).await;
    aws.put("s", "k", &["a"]).await;
    trace.until("the window closed", |data| data.iter().filter(|data| data.starts_with('{')).count() == 4).await;
    let closed = closed(&trace);
    assert!(closed.iter().all(|(count, event)| *count == 1 && event["state"] == closed[0].1["state"]), "{closed:?}");
    // The shard goes on behind it.
    aws.put("s", "k", &["b"]).await;
    trace.until("the next record came", |data| data.iter().any(|data| data == "b")).await;
    let received = aws.call("AmazonSQS.ReceiveMessage", json!({ "QueueUrl": queue })).await;
    assert_eq!(received["Messages"], Value::Null, "nothing was given up");
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_without_a_state_is_a_failure() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    let (queue, queue_arn) = aws.queue("failures").await;
    let mut environment = trace.environment();
    environment["ANSWER"] = json!({ "batchItemFailures": [] }).to_string().into();
    aws.function("f", environment, |_| {}).await;
    let settings = json!({
        "TumblingWindowInSeconds": 900,
        "MaximumRetryAttempts": 1,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "DestinationConfig": { "OnFailure": { "Destination": queue_arn } },
    });
    aws.mapping("f", &stream, settings).await;
    aws.put("s", "k", &["a"]).await;
    let given_up = aws.messages(&queue, 1).await.remove(0);
    assert_eq!(given_up["requestContext"]["condition"], "RetryAttemptsExhausted");
    assert_eq!(trace.data(), ["a", "a"]);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn end_of_a_shard_closes_its_window() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    aws.function("f", trace.environment(), |_| {}).await;
    aws.mapping("f", &stream, json!({ "TumblingWindowInSeconds": 900 })).await;
    aws.put("s", "k", &["a", "b"]).await;
    trace.until("the records came", |data| data.len() == 2).await;
    let split = json!({ "StreamName": "s", "TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING" });
    aws.kinesis("UpdateShardCount", split).await;
    trace.until("the window closed", |data| data.iter().any(|data| data.starts_with('{'))).await;
    let (count, event) = closed(&trace).remove(0);
    assert_eq!((count, &event["shardId"]), (2, &json!("shardId-000000000000")));
    assert_eq!((&event["isFinalInvokeForWindow"], &event["Records"]), (&json!(true), &json!([])));
    aws.stop().await;
}
