//! Topics: what SNS refuses and in which words, pages, FIFO topics, and subscriptions that nobody has confirmed.

use serde_json::json;

use super::Aws;

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
