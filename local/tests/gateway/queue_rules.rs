//! What SQS refuses and in which words: attributes of messages, sizes, batches, purges.

use serde_json::{Value, json};

use super::Aws;

async fn queue(aws: &Aws, name: &str, attributes: Value) -> Value {
    aws.ok("AmazonSQS.CreateQueue", json!({ "QueueName": name, "Attributes": attributes })).await["QueueUrl"].clone()
}

async fn refusal(aws: &Aws, operation: &str, request: Value) -> (u16, String, String) {
    let answer = aws.target(&format!("AmazonSQS.{operation}"), request).await;
    let error = answer.json();
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    (answer.status, text("__type"), text("message"))
}

#[tokio::test]
async fn attributes_count_towards_the_size_of_a_message_and_have_digests() {
    let aws = Aws::start().await;
    let url = queue(&aws, "q", json!({ "MaximumMessageSize": "1024" })).await;
    let message = |body: usize| {
        json!({ "QueueUrl": url, "MessageBody": "x".repeat(body), "MessageAttributes": {
            "Foo": { "DataType": "String", "StringValue": "Bar" },
        }})
    };
    // Name, type and value are 12 bytes.
    let (status, code, text) = refusal(&aws, "SendMessage", message(1013)).await;
    assert_eq!((status, code.as_str()), (400, "InvalidParameterValue"));
    assert_eq!(text, "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes.");
    let mut largest = message(1012);
    largest["MessageSystemAttributes"] = json!({ "AWSTraceHeader": { "DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793" } });
    let sent = aws.ok("AmazonSQS.SendMessage", largest).await;
    assert_eq!(sent["MD5OfMessageAttributes"], "ae7155c6026991b6d54b11589678bf9c");
    assert_eq!(sent["MD5OfMessageSystemAttributes"].as_str().map(str::len), Some(32));
    let empty = json!({ "QueueUrl": url, "MessageBody": "m", "MessageAttributes": {
        "Foo": { "DataType": "String", "StringValue": "" },
    }});
    let (_, _, text) = refusal(&aws, "SendMessage", empty).await;
    assert_eq!(text, "Message (user) attribute 'Foo' must contain a non-empty value of type 'String'.");
    let control = json!({ "QueueUrl": url, "MessageBody": "a\u{8}" });
    let (_, code, text) = refusal(&aws, "SendMessage", control).await;
    assert_eq!(code, "InvalidMessageContents");
    assert!(text.starts_with("Invalid binary character '#x8' was found in the message body"), "{text}");
    aws.stop().await;
}

#[tokio::test]
async fn wrong_entries_of_a_batch_fail_alone_and_wrong_batches_as_a_whole() {
    let aws = Aws::start().await;
    let url = queue(&aws, "q", json!({ "MaximumMessageSize": "1024" })).await;
    let entry = |id: &str, bytes: usize| json!({ "Id": id, "MessageBody": "a".repeat(bytes) });
    let batch = |entries: Value| json!({ "QueueUrl": url, "Entries": entries });
    let sent = aws
        .ok("AmazonSQS.SendMessageBatch", batch(json!([entry("fits", 1024), entry("large", 1025), { "Id": "none" }])));
    let sent = sent.await;
    assert_eq!(sent["Successful"].as_array().map(Vec::len), Some(1));
    assert_eq!(sent["Successful"][0]["Id"], "fits");
    assert_eq!(
        sent["Failed"][0],
        json!({
            "Id": "large", "SenderFault": true, "Code": "InvalidParameterValue",
            "Message": "One or more parameters cannot be validated. Reason: Message must be shorter than 1024 bytes.",
        })
    );
    assert_eq!((&sent["Failed"][1]["Id"], &sent["Failed"][1]["Code"]), (&json!("none"), &json!("MissingParameter")));
    let received = aws.ok("AmazonSQS.ReceiveMessage", json!({ "QueueUrl": url })).await;
    let receipt = &received["Messages"][0]["ReceiptHandle"];
    let deleted = batch(json!([
        { "Id": "right", "ReceiptHandle": receipt }, { "Id": "wrong", "ReceiptHandle": "garbage" },
    ]));
    let deleted = aws.ok("AmazonSQS.DeleteMessageBatch", deleted).await;
    assert_eq!(deleted["Successful"], json!([{ "Id": "right" }]));
    assert_eq!(
        (&deleted["Failed"][0]["Id"], &deleted["Failed"][0]["Code"]),
        (&json!("wrong"), &json!("ReceiptHandleIsInvalid"))
    );

    for id in ["", "a:b", &"x".repeat(81)] {
        let (status, code, text) = refusal(&aws, "SendMessageBatch", batch(json!([entry(id, 1)]))).await;
        assert_eq!((status, code.as_str()), (400, "InvalidBatchEntryId"), "{id}");
        assert!(text.ends_with("It can be at most 80 letters long."), "{text}");
    }
    let half = 600 * 1024;
    let (_, code, text) = refusal(&aws, "SendMessageBatch", batch(json!([entry("a", half), entry("b", half)]))).await;
    assert_eq!(code, "BatchRequestTooLong");
    assert_eq!(text, "Batch requests cannot be longer than 1048576 bytes. You have sent 1228800 bytes.");
    aws.stop().await;
}

#[tokio::test]
async fn queue_is_purged_once_a_minute_and_stays_what_it_was_created_as() {
    let aws = Aws::start().await;
    let url = queue(&aws, "q", json!({})).await;
    aws.ok("AmazonSQS.SendMessage", json!({ "QueueUrl": url, "MessageBody": "m" })).await;
    aws.ok("AmazonSQS.PurgeQueue", json!({ "QueueUrl": url })).await;
    assert_eq!(aws.ok("AmazonSQS.ReceiveMessage", json!({ "QueueUrl": url })).await, json!({}));
    let again = refusal(&aws, "PurgeQueue", json!({ "QueueUrl": url })).await;
    let text = "Only one PurgeQueue operation on q is allowed every 60 seconds.";
    assert_eq!(again, (403, "PurgeQueueInProgress".to_owned(), text.to_owned()));

    let set = |attributes: Value| json!({ "QueueUrl": url, "Attributes": attributes });
    let fifo = refusal(&aws, "SetQueueAttributes", set(json!({ "FifoQueue": "true" }))).await;
    assert_eq!(fifo, (400, "InvalidAttributeName".to_owned(), "Unknown Attribute FifoQueue.".to_owned()));
    let both = set(json!({ "KmsMasterKeyId": "k", "SqsManagedSseEnabled": "true" }));
    let (_, code, text) = refusal(&aws, "SetQueueAttributes", both).await;
    assert!(code == "InvalidAttributeName" && text.contains("one type of server-side encryption"), "{text}");
    assert_eq!(aws.ok("AmazonSQS.ListQueueTags", json!({ "QueueUrl": url })).await, json!({}));
    aws.stop().await;
}

#[tokio::test]
async fn dead_letters_go_on_counting_their_receives() {
    let aws = Aws::start().await;
    let dead = queue(&aws, "dead", json!({ "VisibilityTimeout": "0" })).await;
    let policy = json!({ "deadLetterTargetArn": "arn:aws:sqs:eu-west-1:000000000000:dead", "maxReceiveCount": 2 });
    let url = queue(&aws, "q", json!({ "RedrivePolicy": policy.to_string(), "VisibilityTimeout": "0" })).await;
    aws.ok("AmazonSQS.SendMessage", json!({ "QueueUrl": url, "MessageBody": "m" })).await;
    let receive = |url: &Value| json!({ "QueueUrl": url, "AttributeNames": ["All"] });
    for expected in ["1", "2"] {
        let received = aws.ok("AmazonSQS.ReceiveMessage", receive(&url)).await;
        assert_eq!(received["Messages"][0]["Attributes"]["ApproximateReceiveCount"], expected);
    }
    assert_eq!(aws.ok("AmazonSQS.ReceiveMessage", receive(&url)).await, json!({}));
    let letter = aws.ok("AmazonSQS.ReceiveMessage", receive(&dead)).await;
    assert_eq!(letter["Messages"][0]["Attributes"]["ApproximateReceiveCount"], "3");
    aws.stop().await;
}
