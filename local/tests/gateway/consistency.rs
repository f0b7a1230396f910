//! Under strict consistency, reads, lists and dependent calls lag behind what was made, changed or deleted.

use serde_json::{Value, json};
use streamkit_local::{Options, Rehearsal, Strictness};

use super::{Answer, Aws};

/// So many of each, that the seed hides some of them at first and shows others at once.
const NAMES: [&str; 6] = ["red", "blue", "green", "black", "white", "orange"];
/// Reads after which everything is known.
const READS: usize = 4;
const ACCOUNT: &str = "eu-west-1:000000000000";

async fn strict(seed: u64) -> Aws {
    let strict = Strictness { consistency: true, ..Strictness::default() };
    Aws::with(Options { strict, rehearsal: Rehearsal { seed, ..Rehearsal::default() }, ..Options::default() }).await
}

/// A call of whatever protocol: a target with its body, or a service with a form.
#[derive(Clone)]
enum Asked {
    Target(&'static str, Value),
    Form(&'static str, String),
    Http(&'static str, String, &'static str),
}

impl Asked {
    async fn send(&self, aws: &Aws) -> Answer {
        match self {
            Self::Target(target, body) => aws.target(target, body.clone()).await,
            Self::Form(service, form) => aws.query(service, form).await,
            Self::Http(method, path, body) => aws.send(method, path, &[], body.as_bytes()).await,
        }
    }

    async fn ok(&self, aws: &Aws) -> Answer {
        let answer = self.send(aws).await;
        assert!(answer.status < 300, "{}", answer.body);
        answer
    }

    /// Asked as often as it takes to know everything.
    async fn often(&self, aws: &Aws) -> Vec<Answer> {
        let mut answers = Vec::new();
        for _ in 0..READS {
            answers.push(self.send(aws).await);
        }
        answers
    }
}

fn target(target: &'static str, body: Value) -> Asked {
    Asked::Target(target, body)
}

fn form(service: &'static str, form: String) -> Asked {
    Asked::Form(service, form)
}

fn role(name: &str) -> Asked {
    let trust = r#"{"Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
    let trust: String = form_urlencoded::byte_serialize(trust.as_bytes()).collect();
    form("iam", format!("Action=CreateRole&Version=2010-05-08&RoleName={name}&AssumeRolePolicyDocument={trust}"))
}

fn table(name: &str) -> Asked {
    let create = json!({
        "TableName": name,
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    });
    target("DynamoDB_20120810.CreateTable", create)
}

/// What makes a thing of each kind, what reads it, and the code of not finding it.
fn kinds(name: &str) -> Vec<(Asked, Asked, &'static str)> {
    let arn = |service: &str| format!("arn:aws:{service}:{ACCOUNT}:{name}");
    let alarm = json!({
        "AlarmName": name, "Namespace": "n", "MetricName": "m", "Statistic": "Sum", "Period": 60,
        "EvaluationPeriods": 1, "Threshold": 0.0, "ComparisonOperator": "GreaterThanThreshold",
    });
    let alarm_arn = format!("arn:aws:cloudwatch:{ACCOUNT}:alarm:{name}");
    vec![
        (role(name), form("iam", format!("Action=GetRole&Version=2010-05-08&RoleName={name}")), "NoSuchEntity"),
        (
            target("AmazonSQS.CreateQueue", json!({"QueueName": name})),
            target("AmazonSQS.GetQueueUrl", json!({"QueueName": name})),
            "QueueDoesNotExist",
        ),
        (
            form("sns", format!("Action=CreateTopic&Version=2010-03-31&Name={name}")),
            form("sns", format!("Action=GetTopicAttributes&Version=2010-03-31&TopicArn={}", arn("sns"))),
            "NotFound",
        ),
        (
            table(name),
            target("DynamoDB_20120810.DescribeTable", json!({"TableName": name})),
            "ResourceNotFoundException",
        ),
        (
            target("Kinesis_20131202.CreateStream", json!({"StreamName": name, "ShardCount": 1})),
            target("Kinesis_20131202.DescribeStreamSummary", json!({"StreamName": name})),
            "ResourceNotFoundException",
        ),
        (
            target("GraniteServiceVersion20100801.PutMetricAlarm", alarm),
            target("GraniteServiceVersion20100801.ListTagsForResource", json!({"ResourceARN": alarm_arn})),
            "ResourceNotFoundException",
        ),
        (
            target("Logs_20140328.CreateLogGroup", json!({"logGroupName": name})),
            target("Logs_20140328.ListTagsLogGroup", json!({"logGroupName": name})),
            "ResourceNotFoundException",
        ),
        (
            Asked::Http("PUT", format!("/bucket-{name}"), ""),
            Asked::Http("GET", format!("/bucket-{name}?location"), ""),
            "NoSuchBucket",
        ),
    ]
}

/// The call about a thing of this name.
type OfName = fn(&str) -> Asked;

/// For each kind and name: the status of each read after creation.
async fn statuses_after_creation(seed: u64) -> Vec<Vec<Vec<u16>>> {
    let aws = strict(seed).await;
    let mut all = vec![Vec::new(); kinds("").len()];
    for name in NAMES {
        for (seen, (create, read, code)) in all.iter_mut().zip(kinds(name)) {
            create.ok(&aws).await;
            let answers = read.often(&aws).await;
            for answer in answers.iter().filter(|answer| answer.status >= 300) {
                assert!(answer.body.contains(code), "{code}: {}", answer.body);
            }
            seen.push(answers.iter().map(|answer| answer.status).collect());
        }
    }
    aws.stop().await;
    all
}

#[tokio::test]
async fn what_was_just_made_is_not_found_at_first_as_the_seed_says() {
    let all = statuses_after_creation(1).await;
    for (kind, seen) in all.iter().enumerate() {
        assert!(seen.iter().any(|statuses| statuses[0] >= 400), "kind {kind} is known at once: {seen:?}");
        for statuses in seen {
            assert_eq!(statuses[READS - 1], 200, "kind {kind} is never known: {seen:?}");
            assert!(statuses.is_sorted_by_key(|status| *status == 200), "what was known is forgotten: {seen:?}");
        }
    }
    assert_eq!(all, statuses_after_creation(1).await);
    assert_ne!(all, statuses_after_creation(2).await);
}

#[tokio::test]
async fn changes_are_read_back_late() {
    let aws = strict(3).await;
    let (mut late, mut reads) = (0, 0);
    for name in NAMES {
        let url = target("AmazonSQS.CreateQueue", json!({"QueueName": name})).ok(&aws).await.json()["QueueUrl"].clone();
        let get = target("AmazonSQS.GetQueueAttributes", json!({"QueueUrl": url, "AttributeNames": ["All"]}));
        get.often(&aws).await;
        let set = json!({"QueueUrl": url, "Attributes": {"VisibilityTimeout": "77"}});
        let set = target("AmazonSQS.SetQueueAttributes", set);
        // The queue itself may not be known to this operation yet.
        while set.send(&aws).await.status != 200 {}
        let seen = get.often(&aws).await;
        let seen: Vec<Value> = seen.iter().map(|it| it.json()["Attributes"]["VisibilityTimeout"].clone()).collect();
        reads += 1;
        late += usize::from(seen[0] == "30");
        assert!(seen.iter().all(|timeout| timeout == "30" || timeout == "77"), "{seen:?}");
        assert_eq!(seen[READS - 1], "77");
    }
    assert!(0 < late && late < reads, "{late} of {reads}");
    aws.stop().await;
}

#[tokio::test]
async fn lists_leave_out_the_new_and_still_have_the_deleted() {
    let lists: [(Asked, OfName, OfName); 3] = [
        (
            target("Kinesis_20131202.ListStreams", json!({})),
            |name| target("Kinesis_20131202.CreateStream", json!({"StreamName": name, "ShardCount": 1})),
            |name| target("Kinesis_20131202.DeleteStream", json!({"StreamName": name})),
        ),
        (form("iam", "Action=ListRoles&Version=2010-05-08".to_owned()), role, |name| {
            form("iam", format!("Action=DeleteRole&Version=2010-05-08&RoleName={name}"))
        }),
        (
            form("sns", "Action=ListTopics&Version=2010-03-31".to_owned()),
            |name| form("sns", format!("Action=CreateTopic&Version=2010-03-31&Name={name}")),
            |name| {
                let arn = format!("arn:aws:sns:{ACCOUNT}:{name}");
                form("sns", format!("Action=DeleteTopic&Version=2010-03-31&TopicArn={arn}"))
            },
        ),
    ];
    let aws = strict(4).await;
    for (list, create, delete) in lists {
        let (mut left_out, mut still_there) = (0, 0);
        for name in NAMES.map(|name| format!("thing-{name}")) {
            create(&name).ok(&aws).await;
            let seen = list.often(&aws).await;
            left_out += usize::from(!seen[0].body.contains(&name));
            assert!(seen[READS - 1].body.contains(&name), "{}", seen[READS - 1].body);
            delete(&name).ok(&aws).await;
            let seen = list.often(&aws).await;
            still_there += usize::from(seen[0].body.contains(&name));
            assert!(!seen[READS - 1].body.contains(&name), "{}", seen[READS - 1].body);
        }
        assert!(left_out > 0 && still_there > 0, "{left_out} left out, {still_there} still there");
    }
    aws.stop().await;
}

#[tokio::test]
async fn calls_that_need_what_is_new_are_refused_until_it_is_known() {
    let aws = strict(5).await;
    let mut refused = [0, 0];
    for name in NAMES {
        role(name).ok(&aws).await;
        let policy =
            "Action=PutRolePolicy&Version=2010-05-08&PolicyName=p&PolicyDocument=%7B%22Statement%22%3A%5B%5D%7D";
        let put = form("iam", format!("{policy}&RoleName={name}"));
        let url = target("AmazonSQS.CreateQueue", json!({"QueueName": name})).ok(&aws).await.json()["QueueUrl"].clone();
        let send = target("AmazonSQS.SendMessage", json!({"QueueUrl": url, "MessageBody": "m"}));
        for (refused, (call, code)) in refused.iter_mut().zip([(put, "NoSuchEntity"), (send, "QueueDoesNotExist")]) {
            let seen = call.often(&aws).await;
            *refused += usize::from(seen[0].status >= 400);
            assert!(seen.iter().all(|answer| answer.status == 200 || answer.body.contains(code)));
            assert_eq!(seen[READS - 1].status, 200, "{}", seen[READS - 1].body);
        }
    }
    assert!(refused.iter().all(|refused| *refused > 0), "{refused:?}");
    aws.stop().await;
}

#[tokio::test]
async fn items_are_read_late_unless_the_read_is_consistent() {
    let aws = strict(6).await;
    table("items").ok(&aws).await;
    let (mut late, mut known) = (0, false);
    for name in NAMES {
        let key = json!({"id": {"S": name}});
        let get = target("DynamoDB_20120810.GetItem", json!({"TableName": "items", "Key": key}));
        let consistent = json!({"TableName": "items", "Key": key, "ConsistentRead": true});
        let consistent = target("DynamoDB_20120810.GetItem", consistent);
        get.often(&aws).await;
        target("DynamoDB_20120810.PutItem", json!({"TableName": "items", "Item": key})).ok(&aws).await;
        assert_eq!(consistent.ok(&aws).await.json()["Item"], key);
        let seen = get.often(&aws).await;
        late += usize::from(seen[0].json()["Item"].is_null());
        known |= seen[READS - 1].json()["Item"] == key;
    }
    assert!(late > 0 && known, "{late}");
    aws.stop().await;
}

#[tokio::test]
async fn a_region_does_not_lag_for_another() {
    let aws = strict(1).await;
    let create = json!({"QueueName": "q"}).to_string();
    for name in NAMES {
        target("AmazonSQS.CreateQueue", json!({"QueueName": name})).ok(&aws).await;
    }
    let signed = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-2/sqs/aws4_request, Signature=0";
    let headers = [("Authorization", signed), ("X-Amz-Target", "AmazonSQS.ListQueues")];
    assert!(!aws.send("POST", "/", &headers, b"{}").await.body.contains("QueueUrl\""));
    let headers = [("Authorization", signed), ("X-Amz-Target", "AmazonSQS.CreateQueue")];
    assert_eq!(aws.send("POST", "/", &headers, create.as_bytes()).await.status, 200);
    let seen = target("AmazonSQS.ListQueues", json!({})).often(&aws).await;
    assert_eq!(seen[READS - 1].json()["QueueUrls"].as_array().map(Vec::len), Some(NAMES.len()));
    aws.stop().await;
}
