//! Topics: what their queues and functions get, what filters keep back, and what becomes of what cannot be delivered.

use serde_json::{Value, json};

use crate::aws::{Aws, eventually, open_to_topics};

/// One SNS operation in the query protocol; gives back status and XML.
async fn sns(aws: &Aws, action: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", action).append_pair("Version", "2010-03-31").extend_pairs(fields);
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = aws.http("POST", "/", &headers, form.finish().as_bytes()).await;
    (answer.status, answer.text())
}

fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let start = xml.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {xml}")).1;
    start.split_once("</").unwrap().0
}

async fn topic(aws: &Aws, name: &str, attributes: &[(&str, &str)]) -> String {
    let (status, xml) = sns(aws, "CreateTopic", &[&[("Name", name)], attributes].concat()).await;
    assert_eq!(status, 200, "{xml}");
    element(&xml, "TopicArn").to_owned()
}

/// Subscribes with attributes; gives back the subscription's ARN.
async fn subscribe(aws: &Aws, topic: &str, endpoint: &str, attributes: &[(&str, &str)]) -> String {
    let protocol = endpoint.split(':').nth(2).unwrap();
    let mut fields = vec![
        ("TopicArn".to_owned(), topic.to_owned()),
        ("Protocol".to_owned(), protocol.to_owned()),
        ("Endpoint".to_owned(), endpoint.to_owned()),
    ];
    for (at, (name, value)) in (1..).zip(attributes) {
        fields.push((format!("Attributes.entry.{at}.key"), (*name).to_owned()));
        fields.push((format!("Attributes.entry.{at}.value"), (*value).to_owned()));
    }
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (status, xml) = sns(aws, "Subscribe", &fields).await;
    assert_eq!(status, 200, "{xml}");
    element(&xml, "SubscriptionArn").to_owned()
}

async fn publish(aws: &Aws, topic: &str, message: &str, more: &[(&str, &str)]) -> String {
    let fields = [&[("TopicArn", topic), ("Message", message)], more].concat();
    let (status, xml) = sns(aws, "Publish", &fields).await;
    assert_eq!(status, 200, "{xml}");
    element(&xml, "MessageId").to_owned()
}

/// Waits for so many messages; gives them back whole, and deletes them.
async fn receive(aws: &Aws, queue: &str, count: usize) -> Vec<Value> {
    let messages = std::cell::RefCell::new(Vec::new());
    eventually("the messages are there", async || {
        let body = json!({
            "QueueUrl": queue, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1,
            "AttributeNames": ["All"], "MessageAttributeNames": ["All"],
        });
        let received = aws.call("AmazonSQS.ReceiveMessage", body).await;
        for message in received["Messages"].as_array().into_iter().flatten() {
            let body = json!({ "QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"] });
            aws.call("AmazonSQS.DeleteMessage", body).await;
            messages.borrow_mut().push(message.clone());
        }
        (messages.borrow().len() >= count).then_some(())
    })
    .await;
    let messages = messages.into_inner();
    assert_eq!(messages.len(), count, "{messages:#?}");
    messages
}

const KIND_A: [(&str, &str); 3] = [
    ("MessageAttributes.entry.1.Name", "kind"),
    ("MessageAttributes.entry.1.Value.DataType", "String"),
    ("MessageAttributes.entry.1.Value.StringValue", "a"),
];

#[tokio::test(flavor = "multi_thread")]
async fn function_gets_the_message_as_an_event_of_sns() {
    let aws = Aws::start().await;
    let (done, done_arn) = aws.queue("done").await;
    let function = aws.function("f", json!({}), |_| {}).await;
    aws.open_function("f").await;
    let config = json!({ "DestinationConfig": { "OnSuccess": { "Destination": done_arn } } }).to_string();
    aws.http("PUT", "/2019-09-25/functions/f/event-invoke-config", &[], config.as_bytes()).await;
    let topic = topic(&aws, "t", &[]).await;
    let subscription = subscribe(&aws, &topic, function["FunctionArn"].as_str().unwrap(), &[]).await;
    let id = publish(&aws, &topic, "hello", &[&KIND_A[..], &[("Subject", "about")]].concat()).await;
    let record = aws.messages(&done, 1).await.remove(0);
    let mut event = record["requestPayload"].clone();
    for member in ["Timestamp", "Signature", "SigningCertUrl", "UnsubscribeUrl"] {
        assert!(event["Records"][0]["Sns"][member].take().is_string(), "{member} {record}");
    }
    let expected = json!({ "Records": [{
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": subscription,
        "Sns": {
            "Type": "Notification",
            "MessageId": id,
            "TopicArn": topic,
            "Subject": "about",
            "Message": "hello",
            "MessageAttributes": { "kind": { "Type": "String", "Value": "a" } },
            "SignatureVersion": "1",
            "Timestamp": null, "Signature": null, "SigningCertUrl": null, "UnsubscribeUrl": null,
        },
    }]});
    assert_eq!(event, expected);
    publish(&aws, &topic, "bare", &[]).await;
    let record = aws.messages(&done, 1).await.remove(0);
    let sns = &record["requestPayload"]["Records"][0]["Sns"];
    assert_eq!((&sns["Subject"], &sns["MessageAttributes"]), (&Value::Null, &json!({})));
    assert!(sns.as_object().unwrap().contains_key("Subject"));
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_get_raw_or_enveloped_messages_that_pass_their_filters() {
    let aws = Aws::start().await;
    let (raw, raw_arn) = aws.queue("raw").await;
    let (body, body_arn) = aws.queue("body").await;
    let topic = topic(&aws, "t", &[]).await;
    let filter = ("FilterPolicy", r#"{"kind":["a"]}"#);
    subscribe(&aws, &topic, &raw_arn, &[("RawMessageDelivery", "true"), filter]).await;
    let nested = ("FilterPolicy", r#"{"order":{"price":[{"numeric":[">",10]}]}}"#);
    subscribe(&aws, &topic, &body_arn, &[nested, ("FilterPolicyScope", "MessageBody")]).await;
    publish(&aws, &topic, "neither", &[]).await;
    publish(&aws, &topic, r#"{"order":{"price":5}}"#, &KIND_A).await;
    publish(&aws, &topic, r#"{"order":{"price":11}}"#, &[]).await;
    let message = receive(&aws, &raw, 1).await.remove(0);
    assert_eq!(message["Body"], r#"{"order":{"price":5}}"#);
    let attribute = &message["MessageAttributes"]["kind"];
    assert_eq!((&attribute["DataType"], &attribute["StringValue"]), (&json!("String"), &json!("a")));
    let message = receive(&aws, &body, 1).await.remove(0);
    let envelope: Value = serde_json::from_str(message["Body"].as_str().unwrap()).unwrap();
    assert_eq!((&envelope["Type"], &envelope["TopicArn"]), (&json!("Notification"), &json!(topic)));
    assert_eq!(envelope["Message"], r#"{"order":{"price":11}}"#);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_for_what_is_gone_go_to_the_dead_letter_queue_of_their_subscription() {
    let aws = Aws::start().await;
    let (dead, dead_arn) = aws.queue("dead").await;
    let (gone, gone_arn) = aws.queue("gone").await;
    let topic = topic(&aws, "t", &[]).await;
    let redrive = json!({ "deadLetterTargetArn": dead_arn }).to_string();
    let attributes = [("RedrivePolicy", redrive.as_str()), ("RawMessageDelivery", "true")];
    subscribe(&aws, &topic, &gone_arn, &attributes).await;
    let function = aws.function("f", json!({}), |_| {}).await["FunctionArn"].as_str().unwrap().to_owned();
    subscribe(&aws, &topic, &function, &attributes[..1]).await;
    aws.call("AmazonSQS.DeleteQueue", json!({ "QueueUrl": gone })).await;
    assert_eq!(aws.lambda("DELETE", "functions/f", Value::Null).await.status, 204);
    publish(&aws, &topic, "lost", &KIND_A).await;
    let mut bodies: Vec<_> = receive(&aws, &dead, 2).await.iter().map(|it| it["Body"].to_string()).collect();
    bodies.sort_by_key(String::len);
    assert_eq!(bodies[0], "\"lost\"");
    assert!(bodies[1].contains("Notification"), "{bodies:?}");
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_deliver_only_where_the_receiver_s_policy_lets_them() {
    let aws = Aws::start().await;
    let (dead, dead_arn) = aws.queue("dead").await;
    let (done, done_arn) = aws.queue("done").await;
    let closed = aws.call("AmazonSQS.CreateQueue", json!({ "QueueName": "closed" })).await["QueueUrl"].clone();
    let closed_arn = "arn:aws:sqs:us-east-1:000000000000:closed";
    let function = aws.function("f", json!({}), |_| {}).await["FunctionArn"].as_str().unwrap().to_owned();
    let config = json!({ "DestinationConfig": { "OnSuccess": { "Destination": done_arn } } }).to_string();
    aws.http("PUT", "/2019-09-25/functions/f/event-invoke-config", &[], config.as_bytes()).await;
    let topic = topic(&aws, "t", &[]).await;
    let redrive = json!({ "deadLetterTargetArn": dead_arn }).to_string();
    let attributes = [("RedrivePolicy", redrive.as_str())];
    for endpoint in [closed_arn, &function] {
        subscribe(&aws, &topic, endpoint, &attributes).await;
    }
    publish(&aws, &topic, "refused twice", &[]).await;
    receive(&aws, &dead, 2).await;

    // For this topic, and for no other.
    let policy = |source: &str| {
        json!({ "Statement": [{
            "Effect": "Allow", "Principal": { "Service": "sns.amazonaws.com" }, "Action": "sqs:SendMessage",
            "Resource": closed_arn, "Condition": { "ArnEquals": { "aws:SourceArn": source } },
        }] })
        .to_string()
    };
    let set = async |policy: String| {
        let set = json!({ "QueueUrl": closed, "Attributes": { "Policy": policy } });
        aws.call("AmazonSQS.SetQueueAttributes", set).await
    };
    set(policy("arn:aws:sns:us-east-1:000000000000:other")).await;
    publish(&aws, &topic, "refused twice more", &[]).await;
    receive(&aws, &dead, 2).await;
    set(policy(&topic)).await;
    aws.open_function("f").await;
    publish(&aws, &topic, "welcome", &[]).await;
    let message = receive(&aws, closed.as_str().unwrap(), 1).await.remove(0);
    assert!(message["Body"].as_str().unwrap().contains("welcome"), "{message}");
    let record = aws.messages(&done, 1).await.remove(0);
    assert_eq!(record["requestPayload"]["Records"][0]["Sns"]["Message"], "welcome");
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifo_topics_keep_the_order_of_each_group_and_drop_duplicates() {
    let aws = Aws::start().await;
    let made = json!({ "QueueName": "q.fifo", "Attributes": { "FifoQueue": "true", "Policy": open_to_topics() } });
    let queue = aws.call("AmazonSQS.CreateQueue", made).await["QueueUrl"].as_str().unwrap().to_owned();
    let attributes = [
        ("Attributes.entry.1.key", "FifoTopic"),
        ("Attributes.entry.1.value", "true"),
        ("Attributes.entry.2.key", "ContentBasedDeduplication"),
        ("Attributes.entry.2.value", "true"),
    ];
    let topic = topic(&aws, "t.fifo", &attributes).await;
    subscribe(&aws, &topic, "arn:aws:sqs:us-east-1:000000000000:q.fifo", &[("RawMessageDelivery", "true")]).await;
    for message in ["one", "two", "two", "three"] {
        publish(&aws, &topic, message, &[("MessageGroupId", "g")]).await;
    }
    let messages = receive(&aws, &queue, 3).await;
    let bodies: Vec<_> = messages.iter().map(|message| message["Body"].as_str().unwrap()).collect();
    assert_eq!(bodies, ["one", "two", "three"]);
    assert!(messages.iter().all(|message| message["Attributes"]["MessageGroupId"] == "g"));
    let (status, xml) = sns(&aws, "Publish", &[("TopicArn", &topic), ("Message", "m")]).await;
    assert_eq!((status, element(&xml, "Code")), (400, "InvalidParameter"));
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_are_read_back_and_bad_ones_refused() {
    let aws = Aws::start().await;
    let (_, queue_arn) = aws.queue("q").await;
    let topic = topic(&aws, "t", &[]).await;
    let subscription = subscribe(&aws, &topic, &queue_arn, &[("FilterPolicy", r#"{"a":["b"]}"#)]).await;
    let (_, xml) = sns(&aws, "GetSubscriptionAttributes", &[("SubscriptionArn", &subscription)]).await;
    for pair in [
        "<key>FilterPolicy</key><value>{&quot;a&quot;:[&quot;b&quot;]}</value>",
        "<key>FilterPolicyScope</key><value>MessageAttributes</value>",
        "<key>PendingConfirmation</key><value>false</value>",
    ] {
        assert!(xml.contains(pair), "{pair} {xml}");
    }
    let set = async |name, value| {
        let fields = [("SubscriptionArn", subscription.as_str()), ("AttributeName", name), ("AttributeValue", value)];
        let (status, xml) = sns(&aws, "SetSubscriptionAttributes", &fields).await;
        (status, if status == 200 { String::new() } else { element(&xml, "Message").replace("&quot;", "\"") })
    };
    let policy = r#"{"a":[{"ends":"b"}]}"#;
    let expected = format!(
        "Invalid parameter: FilterPolicy: Unrecognized match type ends\n at [Source: (String)\"{policy}\"; line: 1, column: 16]"
    );
    assert_eq!(set("FilterPolicy", policy).await, (400, expected));
    assert_eq!(set("FilterPolicy", "{}").await.0, 200);
    let (_, xml) = sns(&aws, "GetSubscriptionAttributes", &[("SubscriptionArn", &subscription)]).await;
    assert!(!xml.contains("FilterPolicy"), "{xml}");

    let policy = r#"{"http":{"defaultHealthyRetryPolicy":{"numRetries":7}}}"#;
    let fields = [("TopicArn", topic.as_str()), ("AttributeName", "DeliveryPolicy"), ("AttributeValue", policy)];
    assert_eq!(sns(&aws, "SetTopicAttributes", &fields).await.0, 200);
    let (_, xml) = sns(&aws, "GetTopicAttributes", &[("TopicArn", &topic)]).await;
    let xml = xml.replace("&quot;", "\"");
    for part in ["\"numRetries\":7", "\"minDelayTarget\":20", "SubscriptionsConfirmed</key><value>1</value>"] {
        assert!(xml.contains(part), "{part} {xml}");
    }
    aws.stop().await;
}
