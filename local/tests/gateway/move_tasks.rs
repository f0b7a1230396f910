//! Tasks that move dead letters back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Aws, DEADLINE};

const ARN: &str = "arn:aws:sqs:eu-west-1:000000000000";

async fn queue(aws: &Aws, name: &str, attributes: Value) -> Value {
    aws.ok("AmazonSQS.CreateQueue", json!({ "QueueName": name, "Attributes": attributes })).await["QueueUrl"].clone()
}

async fn receive(aws: &Aws, url: &Value) -> Vec<Value> {
    let request = json!({ "QueueUrl": url, "MaxNumberOfMessages": 10, "AttributeNames": ["All"] });
    aws.ok("AmazonSQS.ReceiveMessage", request).await["Messages"].as_array().cloned().unwrap_or_default()
}

/// A queue `q` and its dead letter queue `dead`, in which so many messages are; both URLs.
async fn dead_letters(aws: &Aws, count: usize) -> (Value, Value) {
    let dead = queue(aws, "dead", json!({})).await;
    let policy = json!({ "deadLetterTargetArn": format!("{ARN}:dead"), "maxReceiveCount": 1 }).to_string();
    let url = queue(aws, "q", json!({ "RedrivePolicy": policy, "VisibilityTimeout": "0" })).await;
    for at in 0..count {
        aws.ok("AmazonSQS.SendMessage", json!({ "QueueUrl": url, "MessageBody": at.to_string() })).await;
    }
    while !receive(aws, &url).await.is_empty() {}
    (url, dead)
}

async fn newest(aws: &Aws) -> Value {
    let tasks = aws.ok("AmazonSQS.ListMessageMoveTasks", json!({ "SourceArn": format!("{ARN}:dead") })).await;
    tasks["Results"][0].clone()
}

async fn start(aws: &Aws, more: Value) -> Value {
    let mut request = json!({ "SourceArn": format!("{ARN}:dead") });
    for (name, value) in more.as_object().expect("members") {
        request[name] = value.clone();
    }
    aws.ok("AmazonSQS.StartMessageMoveTask", request).await["TaskHandle"].clone()
}

#[tokio::test]
async fn dead_letters_are_moved_back_to_where_they_came_from_as_new_messages() {
    let aws = Aws::start().await;
    let (url, dead) = dead_letters(&aws, 2).await;
    start(&aws, json!({})).await;
    let task = newest(&aws).await;
    assert_eq!(
        task,
        json!({
            "Status": "COMPLETED", "SourceArn": format!("{ARN}:dead"), "StartedTimestamp": task["StartedTimestamp"],
            "ApproximateNumberOfMessagesMoved": 2, "ApproximateNumberOfMessagesToMove": 2,
        })
    );
    assert!(receive(&aws, &dead).await.is_empty());
    let back = receive(&aws, &url).await;
    assert_eq!(back.len(), 2);
    for message in back {
        let attributes = &message["Attributes"];
        assert_eq!(attributes["ApproximateReceiveCount"], "1");
        assert!(attributes["DeadLetterQueueSourceArn"].is_null(), "{attributes}");
    }
    // What was never a dead letter has nowhere to go back to.
    aws.ok("AmazonSQS.SendMessage", json!({ "QueueUrl": dead, "MessageBody": "m" })).await;
    start(&aws, json!({})).await;
    let task = newest(&aws).await;
    assert_eq!((&task["Status"], &task["FailureReason"]), (&json!("FAILED"), &json!("CouldNotDetermineMessageSource")));
    assert_eq!(receive(&aws, &dead).await.len(), 1);
    aws.stop().await;
}

#[tokio::test]
async fn task_with_a_rate_takes_its_time_and_can_be_cancelled() {
    let aws = Aws::start().await;
    let (_, dead) = dead_letters(&aws, 3).await;
    let other = queue(&aws, "other", json!({})).await;
    let slowly = json!({ "DestinationArn": format!("{ARN}:other"), "MaxNumberOfMessagesPerSecond": 1 });
    let handle = start(&aws, slowly).await;
    let task = newest(&aws).await;
    assert_eq!((&task["Status"], &task["TaskHandle"]), (&json!("RUNNING"), &handle));
    assert_eq!(task["MaxNumberOfMessagesPerSecond"], 1);
    let again = json!({ "SourceArn": format!("{ARN}:dead") });
    let refused = aws.target("AmazonSQS.StartMessageMoveTask", again).await.json();
    assert!(refused["message"].as_str().is_some_and(|text| text.contains("already a task running")), "{refused}");
    let started = Instant::now();
    while newest(&aws).await["ApproximateNumberOfMessagesMoved"] == 0 {
        assert!(started.elapsed() < DEADLINE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let cancelled = aws.ok("AmazonSQS.CancelMessageMoveTask", json!({ "TaskHandle": handle })).await;
    let moved = cancelled["ApproximateNumberOfMessagesMoved"].as_u64().expect("a number");
    assert_eq!(newest(&aws).await["Status"], "CANCELLED");
    let (there, left) = (receive(&aws, &other).await.len(), receive(&aws, &dead).await.len());
    assert_eq!((there as u64, there + left), (moved, 3));
    aws.stop().await;
}

#[tokio::test]
async fn wrong_tasks_are_refused() {
    let aws = Aws::start().await;
    let (_, _) = dead_letters(&aws, 0).await;
    let forged = "eyJ0YXNrSWQiOiJ4Iiwic291cmNlQXJuIjoiYXJuOmF3czpzcXM6ZXUtd2VzdC0xOjAwMDAwMDAwMDAwMDpkZWFkIn0=";
    for (operation, request, status, code, text) in [
        (
            "StartMessageMoveTask",
            json!({ "SourceArn": format!("{ARN}:q") }),
            400,
            "InvalidParameterValue",
            "Source queue must be configured as a Dead Letter Queue.",
        ),
        (
            "StartMessageMoveTask",
            json!({ "SourceArn": format!("{ARN}:none") }),
            404,
            "ResourceNotFoundException",
            "The resource that you specified for the SourceArn parameter doesn't exist.",
        ),
        (
            "StartMessageMoveTask",
            json!({ "SourceArn": format!("{ARN}:dead"), "DestinationArn": format!("{ARN}:none") }),
            404,
            "ResourceNotFoundException",
            "The resource that you specified for the DestinationArn parameter doesn't exist.",
        ),
        (
            "CancelMessageMoveTask",
            json!({ "TaskHandle": "x" }),
            400,
            "InvalidParameterValue",
            "Value for parameter TaskHandle is invalid.",
        ),
        (
            "CancelMessageMoveTask",
            json!({ "TaskHandle": forged }),
            404,
            "ResourceNotFoundException",
            "Task does not exist.",
        ),
    ] {
        let refused = aws.target(&format!("AmazonSQS.{operation}"), request).await;
        let error = refused.json();
        assert_eq!((refused.status, &error["__type"], &error["message"]), (status, &json!(code), &json!(text)));
    }
    aws.stop().await;
}
