//! Queues: what Terraform, the CLI and boto3 read back and are refused, order and deduplication of FIFO queues.

use serde_json::{Value, json};

use super::Aws;

const ARN: &str = "arn:aws:sqs:eu-west-1:000000000000";

async fn queue(aws: &Aws, name: &str, attributes: Value) -> Value {
    aws.ok("AmazonSQS.CreateQueue", json!({ "QueueName": name, "Attributes": attributes })).await["QueueUrl"].clone()
}

async fn send(aws: &Aws, url: &Value, body: &str, group: &str) -> Value {
    let message = json!({ "QueueUrl": url, "MessageBody": body, "MessageGroupId": group });
    aws.ok("AmazonSQS.SendMessage", message).await
}

async fn receive(aws: &Aws, url: &Value, more: &[(&str, Value)]) -> Vec<Value> {
    let mut request = json!({ "QueueUrl": url, "MaxNumberOfMessages": 10, "AttributeNames": ["All"] });
    for (name, value) in more {
        request[*name] = value.clone();
    }
    aws.ok("AmazonSQS.ReceiveMessage", request).await["Messages"].as_array().cloned().unwrap_or_default()
}

fn bodies(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["Body"].as_str().expect("a body")).collect()
}

#[tokio::test]
async fn fifo_queue_keeps_the_order_of_each_group_and_knows_duplicates() {
    let aws = Aws::start().await;
    let url = queue(&aws, "q.fifo", json!({ "FifoQueue": "true", "ContentBasedDeduplication": "true" })).await;
    let read = aws.ok("AmazonSQS.GetQueueAttributes", json!({ "QueueUrl": url, "AttributeNames": ["All"] })).await;
    for (name, value) in [
        ("FifoQueue", "true"),
        ("ContentBasedDeduplication", "true"),
        ("DeduplicationScope", "queue"),
        ("FifoThroughputLimit", "perQueue"),
    ] {
        assert_eq!(read["Attributes"][name], value, "{name}");
    }
    let first = send(&aws, &url, "a1", "a").await;
    send(&aws, &url, "b1", "b").await;
    let again = send(&aws, &url, "a1", "a").await;
    assert_eq!((&again["MessageId"], &again["SequenceNumber"]), (&first["MessageId"], &first["SequenceNumber"]));
    send(&aws, &url, "a2", "a").await;
    let all = receive(&aws, &url, &[]).await;
    assert_eq!(bodies(&all), ["a1", "b1", "a2"]);
    let numbers: Vec<_> = all.iter().map(|it| it["Attributes"]["SequenceNumber"].as_str().expect("a number")).collect();
    assert!(numbers.is_sorted() && numbers[0].len() == 20, "{numbers:?}");
    assert_eq!(all[0]["Attributes"]["MessageDeduplicationId"].as_str().map(str::len), Some(64));
    // Shown again, the messages stand where they stood.
    for message in [&all[2], &all[0]] {
        let shown = json!({ "QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0 });
        aws.ok("AmazonSQS.ChangeMessageVisibility", shown).await;
    }
    assert_eq!(bodies(&receive(&aws, &url, &[]).await), ["a1", "a2"]);
    // While a message of a group is in flight, the next one waits; another group's does not.
    send(&aws, &url, "a3", "a").await;
    send(&aws, &url, "c1", "c").await;
    assert_eq!(bodies(&receive(&aws, &url, &[]).await), ["c1"]);
    aws.stop().await;
}

#[tokio::test]
async fn dead_letters_say_where_they_come_from_and_their_queue_knows_its_sources() {
    let aws = Aws::start().await;
    let dead = queue(&aws, "dead", json!({})).await;
    let policy = json!({ "deadLetterTargetArn": format!("{ARN}:dead"), "maxReceiveCount": "1" }).to_string();
    let url = queue(&aws, "q", json!({ "RedrivePolicy": policy, "VisibilityTimeout": "0" })).await;
    send(&aws, &url, "m", "fair").await;
    assert_eq!(receive(&aws, &url, &[]).await.len(), 1);
    assert!(receive(&aws, &url, &[]).await.is_empty());
    let letters = receive(&aws, &dead, &[]).await;
    assert_eq!(letters[0]["Attributes"]["DeadLetterQueueSourceArn"], format!("{ARN}:q"));
    let sources = aws.ok("AmazonSQS.ListDeadLetterSourceQueues", json!({ "QueueUrl": dead })).await;
    assert_eq!(sources, json!({ "queueUrls": [url] }));
    let none = aws.ok("AmazonSQS.ListDeadLetterSourceQueues", json!({ "QueueUrl": url })).await;
    assert_eq!(none, json!({ "queueUrls": [] }));
    aws.stop().await;
}

#[tokio::test]
async fn queues_are_listed_in_pages() {
    let aws = Aws::start().await;
    for name in ["a1", "a2", "a3", "b1"] {
        queue(&aws, name, json!({})).await;
    }
    let first = aws.ok("AmazonSQS.ListQueues", json!({ "QueueNamePrefix": "a", "MaxResults": 2 })).await;
    assert_eq!(first["QueueUrls"].as_array().map(Vec::len), Some(2));
    let rest = json!({ "QueueNamePrefix": "a", "MaxResults": 2, "NextToken": first["NextToken"] });
    let rest = aws.ok("AmazonSQS.ListQueues", rest).await;
    assert_eq!(rest["QueueUrls"].as_array().map(Vec::len), Some(1));
    assert!(rest["NextToken"].is_null());
    // Without MaxResults there is one page of a thousand, and no way to the next.
    for at in 0..1000 {
        queue(&aws, &format!("c{at}"), json!({})).await;
    }
    let most = aws.ok("AmazonSQS.ListQueues", json!({})).await;
    assert_eq!((most["QueueUrls"].as_array().map(Vec::len), most["NextToken"].is_null()), (Some(1000), true));
    let first = aws.ok("AmazonSQS.ListQueues", json!({ "MaxResults": 1000 })).await;
    let rest = json!({ "MaxResults": 1000, "NextToken": first["NextToken"] });
    let rest = aws.ok("AmazonSQS.ListQueues", rest).await;
    assert_eq!(rest["QueueUrls"].as_array().map(Vec::len), Some(4));
    aws.stop().await;
}

#[tokio::test]
async fn bad_requests_get_the_errors_of_sqs() {
    let aws = Aws::start().await;
    let url = queue(&aws, "q", json!({})).await;
    let fifo = queue(&aws, "q.fifo", json!({ "FifoQueue": "true" })).await;
    let create = |name: &str, attributes: Value| json!({ "QueueName": name, "Attributes": attributes });
    let redrive = |policy: Value| json!({ "QueueUrl": url, "Attributes": { "RedrivePolicy": policy.to_string() } });
    let twice = json!({ "Id": "x", "MessageBody": "m" });
    for (operation, request, code) in [
        ("CreateQueue", create("n.fifo", json!({})), "InvalidParameterValue"),
        ("CreateQueue", create("n", json!({ "FifoQueue": "true" })), "InvalidParameterValue"),
        ("CreateQueue", create("n", json!({ "FifoQueue": "false" })), "InvalidAttributeName"),
        ("CreateQueue", create("n", json!({ "ContentBasedDeduplication": "true" })), "InvalidAttributeName"),
        ("CreateQueue", create("q", json!({ "DelaySeconds": "7" })), "QueueAlreadyExists"),
        ("SetQueueAttributes", redrive(json!({ "maxReceiveCount": 1 })), "InvalidParameterValue"),
        ("SetQueueAttributes", redrive(json!({ "deadLetterTargetArn": format!("{ARN}:q") })), "InvalidParameterValue"),
        (
            "SetQueueAttributes",
            redrive(json!({ "deadLetterTargetArn": format!("{ARN}:none"), "maxReceiveCount": 1 })),
            "InvalidParameterValue",
        ),
        (
            "SetQueueAttributes",
            redrive(json!({ "deadLetterTargetArn": format!("{ARN}:q.fifo"), "maxReceiveCount": 1 })),
            "InvalidParameterValue",
        ),
        (
            "SetQueueAttributes",
            redrive(json!({ "deadLetterTargetArn": format!("{ARN}:q"), "maxReceiveCount": 1001 })),
            "InvalidParameterValue",
        ),
        ("SendMessage", json!({ "QueueUrl": fifo, "MessageBody": "m" }), "MissingParameter"),
        (
            "SendMessage",
            json!({ "QueueUrl": fifo, "MessageBody": "m", "MessageGroupId": "g" }),
            "InvalidParameterValue",
        ),
        ("SendMessage", json!({ "QueueUrl": url, "MessageBody": "m", "DelaySeconds": 901 }), "InvalidParameterValue"),
        ("SendMessageBatch", json!({ "QueueUrl": url, "Entries": [twice, twice] }), "BatchEntryIdsNotDistinct"),
        ("ReceiveMessage", json!({ "QueueUrl": url, "VisibilityTimeout": 43_201 }), "InvalidParameterValue"),
        ("ReceiveMessage", json!({ "QueueUrl": url, "WaitTimeSeconds": 21 }), "InvalidParameterValue"),
        ("PurgeQueue", json!({ "QueueUrl": "none" }), "QueueDoesNotExist"),
    ] {
        let answer = aws.target(&format!("AmazonSQS.{operation}"), request.clone()).await;
        assert_eq!((answer.status, &answer.json()["__type"]), (400, &json!(code)), "{operation} {request}");
    }
    for (form, code) in [
        ("Action=PurgeQueue&QueueUrl=none", "AWS.SimpleQueueService.NonExistentQueue"),
        ("Action=SendMessageBatch&QueueUrl=q", "AWS.SimpleQueueService.EmptyBatchRequest"),
    ] {
        let answer = aws.query("sqs", &format!("{form}&Version=2012-11-05")).await;
        assert!(answer.body.contains(&format!("<Code>{code}</Code>")), "{}", answer.body);
    }
    aws.stop().await;
}
