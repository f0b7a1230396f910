//! Asynchronous invocations: retries, destinations and dead letters.

use serde_json::{Value, json};

use crate::aws::{Aws, eventually};

async fn send(aws: &Aws, payload: Value) {
    send_to(aws, "f", payload).await;
}

async fn send_to(aws: &Aws, function: &str, payload: Value) {
    let headers = [("X-Amz-Invocation-Type", "Event")];
    assert_eq!(aws.invoke_with(function, &headers, payload).await.status, 202);
}

async fn configure(aws: &Aws, body: Value) -> Value {
    let answer = aws.http("PUT", "/2019-09-25/functions/f/event-invoke-config", &[], body.to_string().as_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn results_go_to_their_destinations() {
    let aws = Aws::start().await;
    let (done, done_arn) = aws.queue("done").await;
    let (failed, failed_arn) = aws.queue("failed").await;
    aws.function("f", json!({}), |_| {}).await;
    let seen = configure(
        &aws,
        json!({
            "MaximumRetryAttempts": 1,
            "DestinationConfig": {
                "OnSuccess": { "Destination": done_arn },
                "OnFailure": { "Destination": failed_arn },
            },
        }),
    )
    .await;
    assert_eq!((&seen["MaximumRetryAttempts"], &seen["MaximumEventAgeInSeconds"]), (&json!(1), &Value::Null));
    send(&aws, json!({ "n": 1 })).await;
    let record = aws.messages(&done, 1).await.remove(0);
    assert_eq!(
        (&record["requestContext"]["condition"], &record["requestContext"]["approximateInvokeCount"]),
        (&json!("Success"), &json!(1))
    );
    assert_eq!((&record["requestPayload"], &record["responsePayload"]), (&json!({ "n": 1 }), &json!({ "n": 1 })));
    assert_eq!(record["requestContext"]["functionArn"], "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST");
    assert!(record["responseContext"]["functionError"].is_null());
    send(&aws, json!({ "do": "fail" })).await;
    let record = aws.messages(&failed, 1).await.remove(0);
    assert_eq!(
        (&record["requestContext"]["condition"], &record["requestContext"]["approximateInvokeCount"]),
        (&json!("RetriesExhausted"), &json!(2))
    );
    assert_eq!(record["responseContext"]["functionError"], "Unhandled");
    assert_eq!(record["responsePayload"]["errorMessage"], "told to fail");
    eventually("the metrics say so", async || {
        let count = async |name| aws.metric("AWS/Lambda", name, Some(("FunctionName", "f"))).await;
        let seen = (count("AsyncEventsReceived").await, count("AsyncEventsDropped").await, count("Errors").await);
        (seen == (2.0, 1.0, 2.0)).then_some(())
    })
    .await;
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn function_has_a_dead_letter_queue_of_its_own() {
    let aws = Aws::start().await;
    let (queue, arn) = aws.queue("dead").await;
    aws.function("f", json!({}), |body| body["DeadLetterConfig"] = json!({ "TargetArn": arn })).await;
    configure(&aws, json!({ "MaximumRetryAttempts": 0 })).await;
    send(&aws, json!({ "do": "fail", "n": 7 })).await;
    let message = eventually("the dead letter came", async || {
        let body = json!({ "QueueUrl": queue, "WaitTimeSeconds": 1, "MessageAttributeNames": ["All"] });
        let received = aws.call("AmazonSQS.ReceiveMessage", body).await;
        received["Messages"].as_array().and_then(|messages| messages.first().cloned())
    })
    .await;
    let body: Value = serde_json::from_str(message["Body"].as_str().unwrap()).unwrap();
    assert_eq!(body, json!({ "do": "fail", "n": 7 }));
    let attributes = &message["MessageAttributes"];
    assert_eq!(attributes["ErrorCode"]["StringValue"], "200");
    assert_eq!(attributes["ErrorMessage"]["StringValue"], "told to fail");
    assert_eq!(attributes["RequestID"]["StringValue"].as_str().unwrap().len(), 36);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn function_can_be_a_destination() {
    let aws = Aws::start().await;
    let (queue, queue_arn) = aws.queue("end").await;
    aws.function("f", json!({}), |_| {}).await;
    aws.function("next", json!({}), |_| {}).await;
    configure(&aws, json!({ "DestinationConfig": { "OnSuccess": { "Destination": "arn:aws:lambda:us-east-1:000000000000:function:next" } } })).await;
    let to_queue = json!({ "DestinationConfig": { "OnSuccess": { "Destination": queue_arn } } }).to_string();
    aws.http("PUT", "/2019-09-25/functions/next/event-invoke-config", &[], to_queue.as_bytes()).await;
    send(&aws, json!({ "n": 1 })).await;
    let record = aws.messages(&queue, 1).await.remove(0);
    assert_eq!(record["requestPayload"]["requestPayload"], json!({ "n": 1 }));
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_is_read_back_changed_refused_and_deleted() {
    let aws = Aws::start().await;
    aws.function("f", json!({}), |_| {}).await;
    let path = "/2019-09-25/functions/f/event-invoke-config";
    let call = async |method: &str, body: Value| aws.http(method, path, &[], body.to_string().as_bytes()).await;
    assert_eq!(call("GET", Value::Null).await.code(), "ResourceNotFoundException");
    assert_eq!(call("POST", json!({ "MaximumRetryAttempts": 0 })).await.status, 404);
    configure(&aws, json!({ "MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 60 })).await;
    assert_eq!(call("POST", json!({ "MaximumRetryAttempts": 0 })).await.status, 200);
    let seen = call("GET", Value::Null).await.json();
    assert_eq!((&seen["MaximumRetryAttempts"], &seen["MaximumEventAgeInSeconds"]), (&json!(0), &json!(60)));
    for (body, code) in [
        (json!({ "MaximumRetryAttempts": 3 }), "ValidationException"),
        (json!({ "MaximumEventAgeInSeconds": 59 }), "ValidationException"),
        (
            json!({ "DestinationConfig": { "OnFailure": { "Destination": "nowhere" } } }),
            "InvalidParameterValueException",
        ),
        (
            json!({ "DestinationConfig": { "OnSuccess": { "Destination": "arn:aws:s3:::b" } } }),
            "InvalidParameterValueException",
        ),
    ] {
        assert_eq!(call("PUT", body.clone()).await.code(), code, "{body}");
    }
    assert_eq!(call("DELETE", Value::Null).await.status, 204);
    assert_eq!(call("DELETE", Value::Null).await.status, 404);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_function_holds_up_no_other_and_keeps_to_its_concurrency() {
    let aws = Aws::start().await;
    let (queue, queue_arn) = aws.queue("end").await;
    aws.function("f", json!({}), |_| {}).await;
    aws.function("slow", json!({}), |body| body["Timeout"] = json!(900)).await;
    configure(&aws, json!({ "DestinationConfig": { "OnSuccess": { "Destination": queue_arn } } })).await;
    let reserve = json!({ "ReservedConcurrentExecutions": 2 }).to_string();
    let path = "/2017-10-31/functions/slow/concurrency";
    assert_eq!(aws.http("PUT", path, &[], reserve.as_bytes()).await.status, 200);
    for _ in 0..30 {
        send_to(&aws, "slow", json!({ "do": "hang" })).await;
    }
    eventually("two of the slow ones run", async || {
        let log = aws.log("/aws/lambda/slow").await;
        (log.iter().filter(|line| line.starts_with("START")).count() == 2).then_some(())
    })
    .await;
    for number in 0..20 {
        send(&aws, json!({ "n": number })).await;
    }
    aws.messages(&queue, 20).await;
    let throttles = aws.metric("AWS/Lambda", "Throttles", Some(("FunctionName", "slow"))).await;
    assert!(throttles.abs() < f64::EPSILON, "{throttles}");
    // What all functions together reserve leaves a hundred for the others.
    let path = "/2017-10-31/functions/f/concurrency";
    for (reserved, status) in [(899, 400), (898, 200), (898, 200)] {
        let body = json!({ "ReservedConcurrentExecutions": reserved }).to_string();
        assert_eq!(aws.http("PUT", path, &[], body.as_bytes()).await.status, status, "{reserved}");
    }
    aws.stop().await;
}
