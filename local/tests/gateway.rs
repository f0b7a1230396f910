//! The gateway over real HTTP: protocols, read-backs, delivery, alarms, the call log, faults, and what it refuses.

#[path = "gateway/access.rs"]
mod access;
#[path = "gateway/consistency.rs"]
mod consistency;
#[path = "gateway/global_tables.rs"]
mod global_tables;
#[path = "gateway/hostile.rs"]
mod hostile;
#[path = "gateway/keys_and_users.rs"]
mod keys_and_users;
#[path = "gateway/logs.rs"]
mod logs;
#[path = "gateway/move_tasks.rs"]
mod move_tasks;
#[path = "gateway/objects.rs"]
mod objects;
#[path = "gateway/options.rs"]
mod options;
#[path = "gateway/queue_rules.rs"]
mod queue_rules;
#[path = "gateway/queue_states.rs"]
mod queue_states;
#[path = "gateway/queues.rs"]
mod queues;
#[path = "gateway/regions.rs"]
mod regions;
#[path = "gateway/rehearsal.rs"]
mod rehearsal;
#[path = "gateway/stream_cbor.rs"]
mod stream_cbor;
#[path = "gateway/stream_limits.rs"]
mod stream_limits;
#[path = "gateway/streams.rs"]
mod streams;
#[path = "gateway/subscriptions.rs"]
mod subscriptions;
#[path = "gateway/table_rates.rs"]
mod table_rates;
#[path = "gateway/table_streams.rs"]
mod table_streams;
#[path = "gateway/tagging.rs"]
mod tagging;
#[path = "gateway/topics.rs"]
mod topics;
#[path = "gateway/watching.rs"]
mod watching;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use streamkit_local::{DEFAULT_ACCOUNT, Options, Rehearsal, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const DEADLINE: Duration = Duration::from_secs(20);

struct Aws {
    address: SocketAddr,
    state_dir: PathBuf,
    server: JoinHandle<anyhow::Result<()>>,
}

struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Aws {
    async fn start() -> Self {
        Self::rehearsing(Rehearsal::default()).await
    }

    async fn rehearsing(rehearsal: Rehearsal) -> Self {
        Self::with(Options { rehearsal, ..Options::default() }).await
    }

    /// With these options, but in the region and folder of these tests.
    async fn with(options: Options) -> Self {
        let state_dir = std::env::temp_dir().join(format!("streamkit-gateway-{}", uuid::Uuid::new_v4()));
        let options = Options { region: "eu-west-1".into(), state_dir: state_dir.clone(), ..options };
        let (ready, address) = oneshot::channel();
        let server = tokio::spawn(serve(options, ready, std::future::pending()));
        Self { address: address.await.expect("the server becomes ready"), state_dir, server }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let (status, body) = self.send_bytes(method, path, headers, body).await;
        Answer { status, body: String::from_utf8_lossy(&body).into_owned() }
    }

    /// Gives status and body.
    async fn send_bytes(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Vec<u8>) {
        let (head, body) = self.send_whole(method, path, headers, body).await;
        (head[9..12].parse().expect("a status"), body)
    }

    /// Gives status line and headers, and the body.
    async fn send_whole(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (String, Vec<u8>) {
        let host = self.address.to_string();
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| *name == "Host") {
            let _ = write!(head, "Host: {host}\r\n");
        }
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        let mut stream = TcpStream::connect(self.address).await.expect("connects");
        stream.write_all(head.as_bytes()).await.expect("writes the head");
        stream.write_all(body).await.expect("writes the body");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("reads the answer");
        let head = answer.windows(4).position(|part| part == b"\r\n\r\n").expect("a head and a body");
        let body = answer.split_off(head + 4);
        (String::from_utf8_lossy(&answer[..head]).into_owned(), body)
    }

    async fn target(&self, target: &str, body: Value) -> Answer {
        let headers = [("X-Amz-Target", target), ("Content-Type", "application/x-amz-json-1.1")];
        self.send("POST", "/", &headers, body.to_string().as_bytes()).await
    }

    async fn ok(&self, target: &str, body: Value) -> Value {
        let answer = self.target(target, body).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.body);
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    async fn query(&self, service: &str, form: &str) -> Answer {
        let signature = format!(
            "AWS4-HMAC-SHA256 Credential=x/20260101/eu-west-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        self.send("POST", "/", &[("Authorization", &signature)], form.as_bytes()).await
    }

    async fn stop(self) {
        assert_eq!(self.send("POST", "/_streamkit/stop", &[], b"").await.status, 202);
        self.server.await.expect("no panic").expect("a clean end");
        drop(std::fs::remove_dir_all(self.state_dir));
    }
}

/// The policy of a queue that any topic may send to.
fn open_to_topics() -> String {
    let sns = json!({"Service": "sns.amazonaws.com"});
    let statement = json!({"Effect": "Allow", "Principal": sns, "Action": "sqs:SendMessage", "Resource": "*"});
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

#[tokio::test]
async fn stream_has_tags_mode_and_records() {
    let aws = Aws::start().await;
    let create = json!({"StreamName": "s", "ShardCount": 2, "Tags": {"streamkit:pipeline": "p"}});
    aws.ok("Kinesis_20131202.CreateStream", create).await;
    let tags = aws.ok("Kinesis_20131202.ListTagsForStream", json!({"StreamName": "s"})).await;
    assert_eq!(tags["Tags"], json!([{"Key": "streamkit:pipeline", "Value": "p"}]));
    let on_demand = json!({"StreamName": "d", "StreamModeDetails": {"StreamMode": "ON_DEMAND"}});
    aws.ok("Kinesis_20131202.CreateStream", on_demand).await;
    let summary = aws.ok("Kinesis_20131202.DescribeStreamSummary", json!({"StreamName": "d"})).await;
    let summary = &summary["StreamDescriptionSummary"];
    assert_eq!(summary["StreamModeDetails"]["StreamMode"], "ON_DEMAND");
    assert_eq!(summary["StreamARN"], "arn:aws:kinesis:eu-west-1:000000000000:stream/d");

    let big = "QUJD".repeat(200_000);
    let records: Vec<Value> = (0..5).map(|key| json!({"Data": big, "PartitionKey": key.to_string()})).collect();
    let put = aws.ok("Kinesis_20131202.PutRecords", json!({"StreamName": "s", "Records": records})).await;
    assert_eq!(put["FailedRecordCount"], 0);
    let refused = aws.target("Kinesis_20131202.CreateStream", json!({"StreamName": "zero"})).await;
    assert_eq!((refused.status, refused.json()["__type"].clone()), (400, json!("InvalidArgumentException")));
    aws.stop().await;
}

#[tokio::test]
async fn table_settings_read_back_as_set() {
    let aws = Aws::start().await;
    let create = json!({
        "TableName": "abc",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_IMAGE"},
    });
    let table = aws.ok("DynamoDB_20120810.CreateTable", create).await["TableDescription"].clone();
    assert_eq!(table["TableArn"], "arn:aws:dynamodb:eu-west-1:000000000000:table/abc");
    let stream = table["LatestStreamArn"].clone();

    let recover = json!({"TableName": "abc", "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": true}});
    aws.ok("DynamoDB_20120810.UpdateContinuousBackups", recover).await;
    let backups = aws.ok("DynamoDB_20120810.DescribeContinuousBackups", json!({"TableName": "abc"})).await;
    let recovery = &backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"];
    assert_eq!(recovery["PointInTimeRecoveryStatus"], "ENABLED");
    aws.ok("DynamoDB_20120810.UpdateTable", json!({"TableName": "abc", "SSESpecification": {"Enabled": true}})).await;
    let table = aws.ok("DynamoDB_20120810.DescribeTable", json!({"TableName": "abc"})).await;
    assert_eq!(table["Table"]["SSEDescription"]["Status"], "ENABLED");

    let ours = json!({"S": "arn:aws:dynamodb:dynoxide:000000000000:table/x"});
    aws.ok("DynamoDB_20120810.PutItem", json!({"TableName": "abc", "Item": {"id": ours}})).await;
    let item = aws.ok("DynamoDB_20120810.GetItem", json!({"TableName": "abc", "Key": {"id": ours}})).await;
    assert_eq!(item["Item"]["id"], ours, "items are not translated");
    let shards = aws.ok("DynamoDBStreams_20120810.DescribeStream", json!({"StreamArn": stream})).await;
    let shard = shards["StreamDescription"]["Shards"][0]["ShardId"].clone();
    assert!(shard.as_str().is_some_and(|id| id.len() >= 28), "{shard}");
    let from = json!({"StreamArn": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
    let iterator = aws.ok("DynamoDBStreams_20120810.GetShardIterator", from).await["ShardIterator"].clone();
    let records = aws.ok("DynamoDBStreams_20120810.GetRecords", json!({"ShardIterator": iterator})).await;
    assert_eq!(records["Records"].as_array().map(Vec::len), Some(1));

    aws.ok("DynamoDB_20120810.DeleteTable", json!({"TableName": "abc"})).await;
    let gone = aws.target("DynamoDB_20120810.DescribeContinuousBackups", json!({"TableName": "abc"})).await;
    assert!(gone.body.contains("TableNotFoundException"), "{}", gone.body);
    let arn = json!({"ResourceArn": table["Table"]["TableArn"]});
    let gone = aws.target("DynamoDB_20120810.ListTagsOfResource", arn).await;
    assert!(gone.body.contains("ResourceNotFoundException"), "{}", gone.body);
    assert!(
        gone.body.contains("Requested resource not found: ResourcArn: arn:aws:dynamodb:eu-west-1"),
        "{}",
        gone.body
    );
    aws.stop().await;
}

#[tokio::test]
async fn a_stream_is_read_by_its_arn() {
    let aws = Aws::start().await;
    aws.ok("Kinesis_20131202.CreateStream", json!({"StreamName": "s", "ShardCount": 1})).await;
    aws.ok("Kinesis_20131202.PutRecord", json!({"StreamName": "s", "PartitionKey": "k", "Data": "eA=="})).await;
    let from = json!({
        "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/s",
        "ShardId": "shardId-000000000000",
        "ShardIteratorType": "TRIM_HORIZON",
    });
    let iterator = aws.ok("Kinesis_20131202.GetShardIterator", from).await["ShardIterator"].clone();
    let records = aws.ok("Kinesis_20131202.GetRecords", json!({"ShardIterator": iterator})).await;
    assert_eq!(records["Records"][0]["Data"], "eA==");
    aws.stop().await;
}

#[tokio::test]
async fn queue_counts_waits_and_moves_dead_letters() {
    let aws = Aws::start().await;
    aws.ok("AmazonSQS.CreateQueue", json!({"QueueName": "dead"})).await;
    let redrive =
        json!({"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:000000000000:dead", "maxReceiveCount": 1}).to_string();
    let attributes = json!({"VisibilityTimeout": "1", "SqsManagedSseEnabled": "false", "RedrivePolicy": redrive});
    let url =
        aws.ok("AmazonSQS.CreateQueue", json!({"QueueName": "q", "Attributes": attributes})).await["QueueUrl"].clone();
    assert_eq!(url, format!("http://{}/000000000000/q", aws.address));
    let read = aws.ok("AmazonSQS.GetQueueAttributes", json!({"QueueUrl": url, "AttributeNames": ["All"]})).await;
    assert_eq!(read["Attributes"]["SqsManagedSseEnabled"], "false");
    assert_eq!(read["Attributes"]["RedrivePolicy"], redrive);

    let any_host = "https://sqs.eu-west-1.amazonaws.com/000000000000/q";
    aws.ok("AmazonSQS.SendMessage", json!({"QueueUrl": any_host, "MessageBody": "caf\u{e9}"})).await;
    let taken = aws.ok("AmazonSQS.ReceiveMessage", json!({"QueueUrl": url})).await;
    assert_eq!(taken["Messages"][0]["Body"], "caf\u{e9}");
    // The message comes back after a second, has been received once, and so goes to the dead letter queue.
    let none = aws.ok("AmazonSQS.ReceiveMessage", json!({"QueueUrl": url, "WaitTimeSeconds": 2})).await;
    assert_eq!(none, json!({}));
    let dead = aws.ok("AmazonSQS.ReceiveMessage", json!({"QueueUrl": "dead"})).await;
    assert_eq!(dead["Messages"][0]["MessageId"], taken["Messages"][0]["MessageId"]);

    let missing = aws.target("AmazonSQS.GetQueueUrl", json!({"QueueName": "none"})).await;
    assert_eq!(missing.json()["__type"], "QueueDoesNotExist");
    let old = aws.query("sqs", "Action=GetQueueUrl&QueueName=q&Version=2012-11-05").await;
    assert!(old.body.contains(&format!("<QueueUrl>http://{}/000000000000/q</QueueUrl>", aws.address)), "{}", old.body);
    aws.stop().await;
}

#[tokio::test]
async fn alarm_on_queue_depth_reaches_a_subscribed_queue() {
    let aws = Aws::start().await;
    aws.ok("AmazonSQS.CreateQueue", json!({"QueueName": "work"})).await;
    let told = json!({"QueueName": "told", "Attributes": {"Policy": open_to_topics()}});
    aws.ok("AmazonSQS.CreateQueue", told).await;
    let topic = "arn:aws:sns:eu-west-1:000000000000:t";
    assert_eq!(aws.query("sns", "Action=CreateTopic&Name=t").await.status, 200);
    let subscribe =
        format!("Action=Subscribe&TopicArn={topic}&Protocol=sqs&Endpoint=arn:aws:sqs:eu-west-1:000000000000:told");
    assert_eq!(aws.query("sns", &subscribe).await.status, 200);
    let email =
        aws.query("sns", &format!("Action=Subscribe&TopicArn={topic}&Protocol=email&Endpoint=a@example.com")).await;
    assert!(email.body.contains("<SubscriptionArn>pending confirmation</SubscriptionArn>"), "{}", email.body);
    let alarm = json!({
        "AlarmName": "depth", "Namespace": "AWS/SQS", "MetricName": "ApproximateNumberOfMessagesVisible",
        "Dimensions": [{"Name": "QueueName", "Value": "work"}], "Statistic": "Maximum", "Period": 60,
        "EvaluationPeriods": 1, "Threshold": 0.0, "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching", "AlarmActions": [topic],
    });
    aws.ok("GraniteServiceVersion20100801.PutMetricAlarm", alarm).await;
    aws.ok("AmazonSQS.SendMessage", json!({"QueueUrl": "work", "MessageBody": "x"})).await;

    let told = aws.ok("AmazonSQS.ReceiveMessage", json!({"QueueUrl": "told", "WaitTimeSeconds": 20})).await;
    let envelope: Value = serde_json::from_str(told["Messages"][0]["Body"].as_str().expect("a body")).expect("JSON");
    assert_eq!(envelope["Subject"], "ALARM: \"depth\" in EU (Ireland)");
    let message: Value = serde_json::from_str(envelope["Message"].as_str().expect("a message")).expect("JSON");
    assert_eq!((&message["NewStateValue"], &message["AlarmName"]), (&json!("ALARM"), &json!("depth")));
    let shown = aws.ok("GraniteServiceVersion20100801.DescribeAlarms", json!({"AlarmNames": ["depth"]})).await;
    assert_eq!(shown["MetricAlarms"][0]["StateValue"], "ALARM");
    aws.stop().await;
}

#[tokio::test]
async fn metrics_speak_cbor_and_query() {
    let aws = Aws::start().await;
    let put = "Action=PutMetricData&Namespace=N&MetricData.member.1.MetricName=m&MetricData.member.1.Value=2.5";
    assert_eq!(aws.query("monitoring", put).await.status, 200);
    let mut body = Vec::new();
    ciborium::into_writer(&json!({"Namespace": "N"}), &mut body).expect("CBOR");
    let headers = [("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")];
    let path = "/service/GraniteServiceVersion20100801/operation/ListMetrics";
    let answer = aws.send("POST", path, &headers, &body).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("MetricName"), "{}", answer.body);
    let missing = aws.query("monitoring", "Action=GetDashboard&DashboardName=none").await;
    assert_eq!(missing.status, 404);
    assert!(missing.body.contains("<Code>ResourceNotFound</Code>"), "{}", missing.body);
    aws.stop().await;
}

#[tokio::test]
async fn role_keeps_what_it_was_given() {
    let aws = Aws::start().await;
    let trust = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%5D%7D";
    let create = format!(
        "Action=CreateRole&RoleName=r&Path=/streamkit/&Description=caf%C3%A9&AssumeRolePolicyDocument={trust}&Tags.member.1.Key=k&Tags.member.1.Value=v"
    );
    assert_eq!(aws.query("iam", &create).await.status, 200);
    let role = aws.query("iam", "Action=GetRole&RoleName=r").await.body;
    for wanted in [
        "<Arn>arn:aws:iam::000000000000:role/streamkit/r</Arn>",
        "<Description>caf\u{e9}</Description>",
        "<member><Key>k</Key><Value>v</Value></member>",
        trust,
    ] {
        assert!(role.contains(wanted), "{wanted} in {role}");
    }
    assert_eq!(
        aws.query("iam", &format!("Action=PutRolePolicy&RoleName=r&PolicyName=p&PolicyDocument={trust}")).await.status,
        200
    );
    let refused = aws.query("iam", "Action=DeleteRole&RoleName=r").await;
    assert!(refused.body.contains("<Code>DeleteConflict</Code>"), "{}", refused.body);
    let caller = aws.query("sts", "Action=GetCallerIdentity").await;
    assert!(caller.body.contains("<Account>000000000000</Account>"), "{}", caller.body);
    aws.stop().await;
}

#[tokio::test]
async fn bucket_objects_have_any_key() {
    let aws = Aws::start().await;
    assert_eq!(aws.send("PUT", "/bucket", &[], b"").await.status, 200);
    assert_eq!(aws.send("PUT", "/bucket/a%20%C3%A9%2B", &[], b"content").await.status, 200);
    assert_eq!(aws.send("GET", "/bucket/a%20%C3%A9%2B", &[], b"").await.body, "content");
    let listed = aws.send("GET", "/bucket?list-type=2&encoding-type=url", &[], b"").await.body;
    assert!(listed.contains("<Key>a%20%C3%A9%2B</Key>"), "{listed}");
    let listed = aws.send("GET", "/bucket?list-type=2", &[], b"").await.body;
    assert!(listed.contains("<Key>a \u{e9}+</Key>"), "{listed}");
    let delete = "<Delete><Object><Key>a \u{e9}+</Key></Object></Delete>";
    assert_eq!(aws.send("POST", "/bucket?delete", &[], delete.as_bytes()).await.status, 200);
    let deleted = aws.send("DELETE", "/bucket", &[], b"").await;
    assert_eq!(deleted.status, 204, "{}", deleted.body);
    aws.stop().await;
}

#[tokio::test]
async fn calls_are_logged_and_faults_strike_once() {
    let aws = Aws::start().await;
    let fault = json!({"service": "kinesis", "operation": "ListStreams", "status": 403, "code": "AccessDenied", "message": "no"});
    assert_eq!(aws.send("POST", "/_streamkit/faults", &[], fault.to_string().as_bytes()).await.status, 202);
    let denied = aws.target("Kinesis_20131202.ListStreams", json!({})).await;
    assert_eq!((denied.status, denied.json()["__type"].clone()), (403, json!("AccessDenied")));
    aws.ok("Kinesis_20131202.ListStreams", json!({})).await;
    aws.ok("AmazonSQS.CreateQueue", json!({"QueueName": "q"})).await;

    let log = aws.send("GET", "/_streamkit/calls?since=0", &[], b"").await.json();
    assert_eq!(log["next"], 3);
    let told: Vec<(&str, &str, bool)> = log["calls"]
        .as_array()
        .expect("calls")
        .iter()
        .map(|call| {
            let text = |name: &str| call[name].as_str().unwrap_or_default();
            (text("operation"), text("error_code"), call["mutating"].as_bool().unwrap_or_default())
        })
        .collect();
    assert_eq!(told, [("ListStreams", "AccessDenied", false), ("ListStreams", "", false), ("CreateQueue", "", true)]);
    let after = aws.send("GET", "/_streamkit/calls?since=3", &[], b"").await.json();
    assert_eq!(after["calls"], json!([]));
    aws.stop().await;
}

#[tokio::test]
async fn web_pages_are_refused_on_every_path() {
    let aws = Aws::start().await;
    assert_eq!(aws.send("GET", "/_streamkit/health", &[], b"").await.json()["status"], "ok");
    // What a page of any site can send without asking first: a form, plain text, an image's address.
    let form: &[u8] = b"Action=CreateQueue&QueueName=page&Version=2012-11-05";
    let function: &[u8] =
        br#"{"FunctionName":"page","Runtime":"provided.al2023","Role":"arn:aws:iam::000000000000:role/r"}"#;
    let calls: [(&str, &str, &str, &[u8]); 7] = [
        ("POST", "/", "application/x-www-form-urlencoded", form),
        ("POST", "/2015-03-31/functions", "text/plain", function),
        ("POST", "/2015-03-31/functions/page/invocations", "text/plain", b"{}"),
        ("PUT", "/bucket", "text/plain", b""),
        ("OPTIONS", "/", "text/plain", b""),
        ("GET", "/?Action=CreateTopic&Name=page&Version=2010-03-31", "text/plain", b""),
        ("POST", "/_streamkit/stop", "text/plain", b""),
    ];
    for (method, path, content_type, body) in calls {
        for (header, value) in [
            ("Origin", "https://example.com"),
            ("Origin", "null"),
            ("Sec-Fetch-Site", "cross-site"),
            ("Host", "example.com:4566"),
        ] {
            let headers = [("Content-Type", content_type), (header, value)];
            let answer = aws.send(method, path, &headers, body).await;
            assert_eq!(answer.status, 403, "{method} {path} with {header}: {value}");
        }
    }
    // Nothing was made, and nothing even reached a service.
    assert_eq!(aws.send("GET", "/_streamkit/calls?since=0", &[], b"").await.json()["calls"], json!([]));
    aws.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_an_error() {
    let aws = Aws::start().await;
    let options = Options {
        port: aws.address.port(),
        region: "eu-west-1".into(),
        account: DEFAULT_ACCOUNT.into(),
        state_dir: aws.state_dir.clone(),
        rehearsal: Rehearsal::default(),
        ..Options::default()
    };
    let (ready, _address) = oneshot::channel();
    let error = serve(options, ready, std::future::pending()).await.expect_err("the port is taken");
    assert!(error.to_string().contains(&format!("binding 127.0.0.1:{}", aws.address.port())), "{error}");
    aws.stop().await;
}

#[tokio::test]
async fn stop_ends_open_long_polls_in_time() {
    let aws = Aws::start().await;
    aws.ok("AmazonSQS.CreateQueue", json!({"QueueName": "q"})).await;
    let address = aws.address;
    let body = json!({"QueueUrl": "q", "WaitTimeSeconds": 20}).to_string();
    let mut poll = TcpStream::connect(address).await.expect("connects");
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nX-Amz-Target: AmazonSQS.ReceiveMessage\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    poll.write_all(head.as_bytes()).await.expect("writes");
    let started = Instant::now();
    aws.stop().await;
    assert!(started.elapsed() < DEADLINE, "stopping took {:?}", started.elapsed());
}
