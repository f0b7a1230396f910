//! Topics: what SNS refuses and in which words, pages, FIFO topics, and subscriptions that nobody has confirmed.

use serde_json::{Value, json};

use super::{Aws, open_to_topics};

const TOPIC: &str = "arn:aws:sns:eu-west-1:000000000000:t";
const QUEUE: &str = "arn:aws:sqs:eu-west-1:000000000000:q";

/// One operation in the query protocol; gives back status and XML.
async fn sns(aws: &Aws, action: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", action).append_pair("Version", "2010-03-31").extend_pairs(fields);
    let answer = aws.query("sns", &form.finish()).await;
    (answer.status, answer.body)
}

async fn done(aws: &Aws, action: &str, fields: &[(&str, &str)]) -> String {
    let (status, xml) = sns(aws, action, fields).await;
    assert_eq!(status, 200, "{action}: {xml}");
    xml
}

/// The code and message of a refusal.
async fn refusal(aws: &Aws, action: &str, fields: &[(&str, &str)]) -> (String, String) {
    let (status, xml) = sns(aws, action, fields).await;
    assert!(status >= 400, "{action}: {xml}");
    (element(&xml, "Code"), element(&xml, "Message"))
}

/// The text of the first element of that name, without its escapes.
fn element(xml: &str, name: &str) -> String {
    let start = xml.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {xml}")).1;
    start.split_once("</").expect("an end").0.replace("&quot;", "\"").replace("&amp;", "&")
}

#[tokio::test]
async fn bad_requests_get_the_errors_of_sns() {
    let aws = Aws::start().await;
    done(&aws, "CreateTopic", &[("Name", "t")]).await;
    aws.ok("AmazonSQS.CreateQueue", json!({ "QueueName": "q" })).await;
    let subscribe = [("TopicArn", TOPIC), ("Protocol", "sqs"), ("Endpoint", QUEUE)];
    let subscription = element(&done(&aws, "Subscribe", &subscribe).await, "SubscriptionArn");
    let elements = |member: &str, count: u32| {
        format!("Invalid parameter: {member} Reason: An ARN must have at least 6 elements, not {count}")
    };
    let parted = r#"{"a":[{"exists":"no"}]}"#;
    for (action, fields, message) in [
        ("GetTopicAttributes", vec![("TopicArn", "test-topic")], elements("TopicArn", 1)),
        ("Publish", vec![("TopicArn", "a:b"), ("Message", "m")], elements("TopicArn", 2)),
        ("Unsubscribe", vec![("SubscriptionArn", "arn:aws:sns:eu-west-1:t")], elements("SubscriptionArn", 5)),
        ("Unsubscribe", vec![("SubscriptionArn", TOPIC)], "Invalid parameter: SubscriptionId".to_owned()),
        (
            "SetSubscriptionAttributes",
            vec![
                ("SubscriptionArn", &subscription),
                ("AttributeName", "FilterPolicy"),
                ("AttributeValue", r#"{"a":{"b":["c"]}}"#),
            ],
            "Invalid parameter: Filter policy scope MessageAttributes does not support nested filter policy".to_owned(),
        ),
        (
            "SetSubscriptionAttributes",
            vec![("SubscriptionArn", &subscription), ("AttributeName", "FilterPolicy"), ("AttributeValue", parted)],
            format!(
                "Invalid parameter: FilterPolicy: exists match pattern must be either true or false.\n at [Source: (String)\"{parted}\"; line: 1, column: 18]"
            ),
        ),
        (
            "TagResource",
            vec![
                ("ResourceArn", TOPIC),
                ("Tags.member.1.Key", "k"),
                ("Tags.member.1.Value", "1"),
                ("Tags.member.2.Key", "k"),
                ("Tags.member.2.Value", "2"),
            ],
            "Invalid parameter: Duplicated keys are not allowed.".to_owned(),
        ),
        (
            "CreateTopic",
            vec![("Name", "t"), ("Attributes.entry.1.key", "DisplayName"), ("Attributes.entry.1.value", "other")],
            "Invalid parameter: Attributes Reason: Topic already exists with different attributes".to_owned(),
        ),
    ] {
        assert_eq!(
            refusal(&aws, action, &fields).await,
            ("InvalidParameter".to_owned(), message),
            "{action} {fields:?}"
        );
    }
    let entry = |id| {
        [
            ("TopicArn", TOPIC),
            ("PublishBatchRequestEntries.member.1.Id", id),
            ("PublishBatchRequestEntries.member.1.Message", "m"),
        ]
    };
    assert_eq!(refusal(&aws, "PublishBatch", &entry("a:b")).await.0, "InvalidBatchEntryId");
    aws.stop().await;
}

#[tokio::test]
async fn fifo_topic_delivers_a_message_once_and_in_the_order_of_its_group() {
    let aws = Aws::start().await;
    let fifo = [("Attributes.entry.1.key", "FifoTopic"), ("Attributes.entry.1.value", "true")];
    let by_content = [("Attributes.entry.2.key", "ContentBasedDeduplication"), ("Attributes.entry.2.value", "true")];
    done(&aws, "CreateTopic", &[&[("Name", "t.fifo")], &fifo[..], &by_content[..]].concat()).await;
    let topic = format!("{TOPIC}.fifo");
    for (name, mut attributes) in [("q.fifo", json!({ "FifoQueue": "true" })), ("q", json!({}))] {
        attributes["Policy"] = json!(open_to_topics());
        aws.ok("AmazonSQS.CreateQueue", json!({ "QueueName": name, "Attributes": attributes })).await;
        let endpoint = format!("arn:aws:sqs:eu-west-1:000000000000:{name}");
        done(&aws, "Subscribe", &[("TopicArn", &topic), ("Protocol", "sqs"), ("Endpoint", &endpoint)]).await;
    }
    let publish = async |message: &str, more: &[(&str, &str)]| {
        let fields = [&[("TopicArn", topic.as_str()), ("Message", message), ("MessageGroupId", "g")], more].concat();
        let xml = done(&aws, "Publish", &fields).await;
        (element(&xml, "MessageId"), element(&xml, "SequenceNumber"))
    };
    let first = publish("one", &[]).await;
    assert_eq!(publish("one", &[]).await, first);
    let second = publish("two", &[("MessageDeduplicationId", "x")]).await;
    assert_eq!(publish("three", &[("MessageDeduplicationId", "x")]).await, second);
    assert!(second.1 > first.1);
    let group = [("TopicArn", topic.as_str()), ("Message", "m")];
    let (_, why) = refusal(&aws, "Publish", &group).await;
    assert_eq!(why, "Invalid parameter: The MessageGroupId parameter is required for FIFO topics");
    for queue in ["q.fifo", "q"] {
        let request = json!({ "QueueUrl": queue, "MaxNumberOfMessages": 10, "AttributeNames": ["All"] });
        let received = aws.ok("AmazonSQS.ReceiveMessage", request).await;
        let messages = received["Messages"].as_array().expect("messages");
        let envelopes: Vec<Value> = messages
            .iter()
            .map(|message| serde_json::from_str(message["Body"].as_str().expect("a body")).expect("JSON"))
            .collect();
        let texts: Vec<&Value> = envelopes.iter().map(|envelope| &envelope["Message"]).collect();
        assert_eq!(texts, ["one", "two"], "{queue}");
        assert_eq!(envelopes[0]["SequenceNumber"], first.1);
        assert_eq!(messages[0]["Attributes"]["MessageGroupId"], "g");
    }
    aws.stop().await;
}

#[tokio::test]
async fn sizes_of_messages_and_batches_are_limited() {
    let aws = Aws::start().await;
    done(&aws, "CreateTopic", &[("Name", "t")]).await;
    let large = "x".repeat(262_145);
    let publish = [("TopicArn", TOPIC), ("Message", large.as_str())];
    assert_eq!(refusal(&aws, "Publish", &publish).await.1, "Invalid parameter: Message too long");
    let half = "x".repeat(140_000);
    let batch = [
        ("TopicArn", TOPIC),
        ("PublishBatchRequestEntries.member.1.Id", "1"),
        ("PublishBatchRequestEntries.member.1.Message", &half),
        ("PublishBatchRequestEntries.member.2.Id", "2"),
        ("PublishBatchRequestEntries.member.2.Message", &half),
    ];
    assert_eq!(refusal(&aws, "PublishBatch", &batch).await.0, "BatchRequestTooLong");
    let set = |size| [("TopicArn", TOPIC), ("AttributeName", "MaximumMessageSize"), ("AttributeValue", size)];
    assert_eq!(refusal(&aws, "SetTopicAttributes", &set("1048577")).await.0, "InvalidParameter");
    done(&aws, "SetTopicAttributes", &set("1048576")).await;
    done(&aws, "Publish", &publish).await;
    done(&aws, "PublishBatch", &batch).await;
    // An entry that is wrong fails alone.
    let mixed = [
        ("TopicArn", TOPIC),
        ("PublishBatchRequestEntries.member.1.Id", "1"),
        ("PublishBatchRequestEntries.member.1.Message", "m"),
        ("PublishBatchRequestEntries.member.2.Id", "2"),
        ("PublishBatchRequestEntries.member.2.Message", ""),
    ];
    let xml = done(&aws, "PublishBatch", &mixed).await;
    let failed = xml.split_once("<Failed>").expect("failures").1;
    assert_eq!((element(failed, "Id"), element(failed, "Code")), ("2".to_owned(), "InvalidParameter".to_owned()));
    aws.stop().await;
}

#[tokio::test]
async fn subscription_that_nobody_confirmed_cannot_be_unsubscribed_and_goes_with_its_topic() {
    let aws = Aws::start().await;
    done(&aws, "CreateTopic", &[("Name", "t")]).await;
    let subscribe =
        [("TopicArn", TOPIC), ("Protocol", "email"), ("Endpoint", "a@example.com"), ("ReturnSubscriptionArn", "true")];
    let arn = element(&done(&aws, "Subscribe", &subscribe).await, "SubscriptionArn");
    // Terraform's provider goes on when it reads these words.
    let (code, why) = refusal(&aws, "Unsubscribe", &[("SubscriptionArn", &arn)]).await;
    assert_eq!(code, "InvalidParameter");
    assert!(why.contains("Cannot unsubscribe a subscription that is pending confirmation"), "{why}");
    done(&aws, "DeleteTopic", &[("TopicArn", TOPIC)]).await;
    let (code, _) = refusal(&aws, "GetSubscriptionAttributes", &[("SubscriptionArn", &arn)]).await;
    assert_eq!(code, "NotFound");
    aws.stop().await;
}

#[tokio::test]
async fn topics_and_subscriptions_are_listed_in_pages_of_a_hundred() {
    let aws = Aws::start().await;
    for at in 0..101 {
        done(&aws, "CreateTopic", &[("Name", &format!("t{at:03}"))]).await;
        let endpoint = format!("arn:aws:sqs:eu-west-1:000000000000:q{at}");
        let topic = format!("{TOPIC}000");
        done(&aws, "Subscribe", &[("TopicArn", &topic), ("Protocol", "sqs"), ("Endpoint", &endpoint)]).await;
    }
    let topic = format!("{TOPIC}000");
    for (action, of, item) in [
        ("ListTopics", vec![], "<TopicArn>"),
        ("ListSubscriptions", vec![], "<SubscriptionArn>"),
        ("ListSubscriptionsByTopic", vec![("TopicArn", topic.as_str())], "<SubscriptionArn>"),
    ] {
        let first = done(&aws, action, &of).await;
        let token = element(&first, "NextToken");
        let second = done(&aws, action, &[&of[..], &[("NextToken", token.as_str())]].concat()).await;
        let counts = (first.matches(item).count(), second.matches(item).count());
        assert_eq!((counts, second.contains("NextToken")), ((100, 1), false), "{action}");
        let wrong = refusal(&aws, action, &[&of[..], &[("NextToken", "x")]].concat()).await;
        assert_eq!(wrong, ("InvalidParameter".to_owned(), "Invalid parameter: NextToken".to_owned()), "{action}");
    }
    aws.stop().await;
}
