//! What becomes of messages: delayed, in flight, dead, moved back.

use serde_json::{Value, json};

use super::Aws;

const ARN: &str = "arn:aws:sqs:eu-west-1:000000000000";

async fn queue(aws: &Aws, name: &str, attributes: Value) -> Value {
    aws.ok("AmazonSQS.CreateQueue", json!({ "QueueName": name, "Attributes": attributes })).await["QueueUrl"].clone()
}

async fn send(aws: &Aws, url: &Value, body: &str) {
    aws.ok("AmazonSQS.SendMessage", json!({ "QueueUrl": url, "MessageBody": body, "MessageGroupId": "g" })).await;
}

async fn receive(aws: &Aws, url: &Value) -> Vec<Value> {
    let request = json!({ "QueueUrl": url, "MaxNumberOfMessages": 10, "AttributeNames": ["All"] });
    aws.ok("AmazonSQS.ReceiveMessage", request).await["Messages"].as_array().cloned().unwrap_or_default()
}

fn bodies(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["Body"].as_str().expect("a body")).collect()
}

/// A queue whose messages go to the queue `dead` after one receive; both URLs.
async fn with_dead_letters(aws: &Aws) -> (Value, Value) {
    let dead = queue(aws, "dead", json!({ "VisibilityTimeout": "0" })).await;
    let policy = json!({ "deadLetterTargetArn": format!("{ARN}:dead"), "maxReceiveCount": 1 }).to_string();
    (queue(aws, "q", json!({ "RedrivePolicy": policy, "VisibilityTimeout": "0" })).await, dead)
}

#[tokio::test]
async fn dead_letters_stay_where_they_are_when_their_queue_is_gone() {
    let aws = Aws::start().await;
    let (url, dead) = with_dead_letters(&aws).await;
    send(&aws, &url, "m").await;
    aws.ok("AmazonSQS.DeleteQueue", json!({ "QueueUrl": dead })).await;
    for count in ["1", "2", "3"] {
        let received = receive(&aws, &url).await;
        assert_eq!(received[0]["Attributes"]["ApproximateReceiveCount"], count);
    }
    queue(&aws, "dead", json!({})).await;
    assert!(receive(&aws, &url).await.is_empty());
    assert_eq!(bodies(&receive(&aws, &dead).await), ["m"]);
    aws.stop().await;
}

#[tokio::test]
async fn delayed_messages_are_not_in_flight_and_hold_up_no_group() {
    let aws = Aws::start().await;
    let fifo = json!({ "FifoQueue": "true", "ContentBasedDeduplication": "true", "DelaySeconds": "900" });
    let url = queue(&aws, "q.fifo", fifo).await;
    send(&aws, &url, "delayed").await;
    let now = json!({ "QueueUrl": url, "Attributes": { "DelaySeconds": "0" } });
    aws.ok("AmazonSQS.SetQueueAttributes", now).await;
    send(&aws, &url, "now").await;
    assert_eq!(bodies(&receive(&aws, &url).await), ["now"]);
    let counts = aws.ok("AmazonSQS.GetQueueAttributes", json!({ "QueueUrl": url, "AttributeNames": ["All"] })).await;
    for (name, count) in [
        ("ApproximateNumberOfMessages", "0"),
        ("ApproximateNumberOfMessagesNotVisible", "1"),
        ("ApproximateNumberOfMessagesDelayed", "1"),
    ] {
        assert_eq!(counts["Attributes"][name], count, "{name}");
    }
    aws.stop().await;
}

#[tokio::test]
async fn old_receipts_delete_nothing_from_a_fifo_queue_and_hide_nothing() {
    let aws = Aws::start().await;
    let url = queue(&aws, "q.fifo", json!({ "FifoQueue": "true", "ContentBasedDeduplication": "true" })).await;
    send(&aws, &url, "m").await;
    let receipt = receive(&aws, &url).await[0]["ReceiptHandle"].clone();
    let visible = json!({ "QueueUrl": url, "ReceiptHandle": receipt, "VisibilityTimeout": 0 });
    aws.ok("AmazonSQS.ChangeMessageVisibility", visible.clone()).await;
    for (operation, request, why) in [
        ("DeleteMessage", json!({ "QueueUrl": url, "ReceiptHandle": receipt }), "The receipt handle has expired."),
        (
            "ChangeMessageVisibility",
            visible,
            "Message does not exist or is not available for visibility timeout change.",
        ),
    ] {
        let refused = aws.target(&format!("AmazonSQS.{operation}"), request).await;
        let error = refused.json();
        assert_eq!((refused.status, &error["__type"]), (400, &json!("InvalidParameterValue")));
        assert!(error["message"].as_str().is_some_and(|text| text.ends_with(why)), "{error}");
    }
    assert_eq!(bodies(&receive(&aws, &url).await), ["m"]);
    aws.stop().await;
}
