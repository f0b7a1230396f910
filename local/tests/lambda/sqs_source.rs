//! SQS queues as a source, continued: size, order of FIFO queues, fan-out from a topic, and mappings that are switched off.

use serde_json::{Value, json};

use crate::aws::{Aws, eventually, open_to_topics};
use crate::mappings::Trace;

/// Makes a queue with these attributes; gives back its URL and ARN.
async fn queue(aws: &Aws, name: &str, attributes: Value) -> (String, String) {
    let body = json!({ "QueueName": name, "Attributes": attributes });
    let made = aws.call("AmazonSQS.CreateQueue", body).await;
    (made["QueueUrl"].as_str().unwrap().to_owned(), format!("arn:aws:sqs:us-east-1:000000000000:{name}"))
}

/// Makes a mapping of the function `f`, and waits until it is in this state.
async fn mapping(aws: &Aws, source: &str, mut settings: Value, state: &str) -> String {
    settings["FunctionName"] = json!("f");
    settings["EventSourceArn"] = json!(source);
    let made = aws.lambda("POST", "event-source-mappings/", settings).await;
    assert_eq!(made.status, 202, "{}", made.text());
    let uuid = made.json()["UUID"].as_str().unwrap().to_owned();
    aws.mapping_state(&uuid, state).await;
    uuid
}

async fn until_empty(aws: &Aws, queue: &str) {
    eventually("the queue is empty", async || {
        let body = json!({ "QueueUrl": queue, "AttributeNames": ["All"] });
        let seen = aws.call("AmazonSQS.GetQueueAttributes", body).await;
        let none = |name: &str| seen["Attributes"][name] == "0";
        (none("ApproximateNumberOfMessages") && none("ApproximateNumberOfMessagesNotVisible")).then_some(())
    })
    .await;
}

fn body_of(record: &str) -> String {
    serde_json::from_str::<Value>(record).unwrap()["body"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_come_in_batches_that_an_invocation_can_take() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let (url, arn) = queue(&aws, "q", json!({ "VisibilityTimeout": "600" })).await;
    aws.function("f", trace.environment(), |_| {}).await;
    for letter in 'a'..='h' {
        let body = letter.to_string().repeat(1_000_000);
        aws.call("AmazonSQS.SendMessage", json!({ "QueueUrl": url, "MessageBody": body })).await;
    }
    mapping(&aws, &arn, json!({ "BatchSize": 10 }), "Enabled").await;
    until_empty(&aws, &url).await;
    let sizes: Vec<usize> = trace.batches().iter().map(Vec::len).collect();
    assert_eq!(sizes, [6, 2]);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifo_groups_wait_for_their_failed_message_and_no_other_group_does() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let (dead, dead_arn) = queue(&aws, "dead.fifo", json!({ "FifoQueue": "true" })).await;
    let redrive = json!({ "deadLetterTargetArn": dead_arn, "maxReceiveCount": 2 }).to_string();
    let attributes = json!({
        "FifoQueue": "true",
        "ContentBasedDeduplication": "true",
        "VisibilityTimeout": "2",
        "RedrivePolicy": redrive,
    });
    let (url, arn) = queue(&aws, "q.fifo", attributes).await;
    aws.function("f", trace.environment(), |body| body["Timeout"] = json!(2)).await;
    for (group, bodies) in [("a", ["a1", "a2-poison", "a3"]), ("b", ["b1", "b2", "b3"])] {
        for body in bodies {
            let message = json!({ "QueueUrl": url, "MessageBody": body, "MessageGroupId": group });
            aws.call("AmazonSQS.SendMessage", message).await;
        }
    }
    mapping(&aws, &arn, json!({ "BatchSize": 1 }), "Enabled").await;
    until_empty(&aws, &url).await;
    let all: Vec<String> = trace.data().iter().map(|record| body_of(record)).collect();
    let of = |group: &str| all.iter().filter(|body| body.starts_with(group)).cloned().collect::<Vec<_>>();
    assert_eq!(of("a"), ["a1", "a2-poison", "a2-poison", "a3"]);
    assert_eq!(of("b"), ["b1", "b2", "b3"]);
    let place = |body: &str| all.iter().rposition(|other| other == body);
    assert!(place("b3") < place("a3"), "{all:?}");
    let letters = aws.call("AmazonSQS.ReceiveMessage", json!({ "QueueUrl": dead })).await;
    assert_eq!(letters["Messages"][0]["Body"], "a2-poison");
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topic_reaches_a_function_through_a_queue_with_its_attributes() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let (url, arn) = queue(&aws, "q", json!({ "Policy": open_to_topics() })).await;
    aws.function("f", trace.environment(), |_| {}).await;
    let topic = "arn:aws:sns:us-east-1:000000000000:t";
    aws.query("Action=CreateTopic&Version=2010-03-31&Name=t").await;
    let raw = "Attributes.entry.1.key=RawMessageDelivery&Attributes.entry.1.value=true";
    aws.query(&format!("Action=Subscribe&Version=2010-03-31&TopicArn={topic}&Protocol=sqs&Endpoint={arn}&{raw}")).await;
    mapping(&aws, &arn, json!({}), "Enabled").await;
    let attribute = "MessageAttributes.entry.1.Name=kind&MessageAttributes.entry.1.Value.DataType=Number&MessageAttributes.entry.1.Value.StringValue=5";
    aws.query(&format!("Action=Publish&Version=2010-03-31&TopicArn={topic}&Message=news&{attribute}")).await;
    let seen = trace.until("the message arrived", |data| data.len() == 1).await;
    let record: Value = serde_json::from_str(&seen[0]).unwrap();
    assert_eq!(record["body"], "news");
    assert_eq!(record["messageAttributes"]["kind"]["stringValue"], "5");
    assert_eq!(record["messageAttributes"]["kind"]["dataType"], "Number");
    until_empty(&aws, &url).await;
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disabled_mapping_leaves_messages_in_the_queue() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let (url, arn) = queue(&aws, "q", json!({})).await;
    aws.function("f", trace.environment(), |_| {}).await;
    let uuid = mapping(&aws, &arn, json!({ "Enabled": false }), "Disabled").await;
    aws.call("AmazonSQS.SendMessage", json!({ "QueueUrl": url, "MessageBody": "one" })).await;
    aws.update_mapping(&uuid, json!({ "Enabled": true }), "Enabled").await;
    trace.until("it arrived", |data| data.len() == 1).await;
    aws.update_mapping(&uuid, json!({ "Enabled": false }), "Disabled").await;
    aws.call("AmazonSQS.SendMessage", json!({ "QueueUrl": url, "MessageBody": "two" })).await;
    // Nobody else takes it.
    let left = aws.call("AmazonSQS.ReceiveMessage", json!({ "QueueUrl": url, "WaitTimeSeconds": 5 })).await;
    assert_eq!(left["Messages"][0]["Body"], "two");
    assert_eq!(left["Messages"].as_array().map(Vec::len), Some(1));
    assert_eq!(trace.data().len(), 1);
    aws.stop().await;
}
