//! Rehearsals over real HTTP: calls that fail as AWS's do, connections that break, changes that take their time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use streamkit_local::rehearsal::{FaultRates, Latency, Rehearsal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Aws, DEADLINE};

fn faults(text: &str) -> Rehearsal {
    Rehearsal { faults: FaultRates::parse(text).expect("a correct file"), seed: 1, ..Rehearsal::default() }
}

impl Aws {
    /// Sends a JSON call and gives the bytes that came back, or the kind of the error instead.
    async fn raw(&self, target: &str, body: &Value) -> Result<Vec<u8>, std::io::ErrorKind> {
        let body = body.to_string();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nX-Amz-Target: {target}\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).await.expect("connects");
        stream.write_all(head.as_bytes()).await.expect("writes");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.map(|_| answer).map_err(|error| error.kind())
    }

    async fn last_call(&self) -> Value {
        let calls = self.send("GET", "/_streamkit/calls", &[], b"").await.json();
        calls["calls"].as_array().and_then(|calls| calls.last()).cloned().expect("a call")
    }

    /// Asks until the answer is as wanted, and says how long that took.
    async fn until(&self, target: &str, body: Value, wanted: impl Fn(u16, &Value) -> bool) -> Duration {
        let started = Instant::now();
        loop {
            let answer = self.target(target, body.clone()).await;
            if wanted(answer.status, &answer.json()) {
                return started.elapsed();
            }
            assert!(started.elapsed() < DEADLINE, "{target}: {}", answer.body);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn lost_answers_break_the_connection_after_the_call_and_lost_requests_before_it() {
    let text = r#"
        [sqs.CreateQueue]
        percent = 100
        kinds = ["lost-answer"]
        [sqs.DeleteQueue]
        percent = 100
        kinds = ["lost-request"]
    "#;
    let aws = Aws::rehearsing(faults(text)).await;
    let reset = Err(std::io::ErrorKind::ConnectionReset);
    assert_eq!(aws.raw("AmazonSQS.CreateQueue", &json!({"QueueName": "q"})).await, reset);
    let call = aws.last_call().await;
    assert_eq!((&call["resource"], &call["status"], &call["fault"]), (&json!("q"), &json!(200), &json!("lost-answer")));
    let queues = aws.ok("AmazonSQS.ListQueues", json!({})).await;
    assert_eq!(queues["QueueUrls"].as_array().map(Vec::len), Some(1));
    let url = queues["QueueUrls"][0].clone();
    assert_eq!(aws.raw("AmazonSQS.DeleteQueue", &json!({"QueueUrl": url})).await, reset);
    let call = aws.last_call().await;
    assert_eq!((&call["status"], &call["fault"]), (&Value::Null, &json!("lost-request")));
    assert_eq!(aws.ok("AmazonSQS.ListQueues", json!({})).await, queues);
    aws.stop().await;
}

#[tokio::test]
async fn throttles_and_failures_have_each_service_s_own_code() {
    let aws = Aws::rehearsing(faults("percent = 100\nkinds = [\"throttle\"]")).await;
    for (target, body, code) in [
        ("Kinesis_20131202.PutRecord", json!({"StreamName": "s"}), "ProvisionedThroughputExceededException"),
        ("Kinesis_20131202.CreateStream", json!({"StreamName": "s"}), "LimitExceededException"),
        ("DynamoDB_20120810.PutItem", json!({"TableName": "t"}), "ProvisionedThroughputExceededException"),
        ("DynamoDB_20120810.CreateTable", json!({"TableName": "t"}), "ThrottlingException"),
        ("AmazonSQS.SendMessage", json!({}), "RequestThrottled"),
        ("Logs_20140328.PutLogEvents", json!({}), "ThrottlingException"),
    ] {
        let answer = aws.target(target, body).await;
        assert_eq!((answer.status, answer.json()["__type"].clone()), (400, json!(code)), "{target}");
    }
    let iam = aws.query("iam", "Action=GetRole&Version=2010-05-08&RoleName=r").await;
    assert!(iam.status == 400 && iam.body.contains("<Code>Throttling</Code>"), "{}", iam.body);
    let lambda = aws.send("GET", "/2015-03-31/functions/f", &[], b"").await;
    assert_eq!((lambda.status, lambda.json()["__type"].clone()), (429, json!("TooManyRequestsException")));
    let s3 = aws.send("GET", "/bucket/key", &[], b"").await;
    assert!(s3.status == 503 && s3.body.contains("<Code>SlowDown</Code>"), "{}", s3.body);
    assert_eq!(aws.send("GET", "/_streamkit/health", &[], b"").await.status, 200, "control paths never fail");
    aws.stop().await;
}

#[tokio::test]
async fn streams_and_tables_pass_through_their_states() {
    let text = r#"
        changes.stream-create = "300ms"
        changes.stream-update = "300ms"
        changes.stream-delete = "300ms"
        changes.table-create = "300ms"
        changes.table-update = "300ms"
        changes.table-delete = "300ms"
    "#;
    let latency = Latency::parse(text).expect("a correct file");
    let aws = Aws::rehearsing(Rehearsal { latency, seed: 1, ..Rehearsal::default() }).await;
    let long = Duration::from_millis(250);

    let name = json!({"StreamName": "s"});
    let describe = "Kinesis_20131202.DescribeStreamSummary";
    let state = |wanted: &'static str| {
        move |_: u16, answer: &Value| answer["StreamDescriptionSummary"]["StreamStatus"] == wanted
    };
    let gone = |status: u16, _: &Value| status == 400;
    let create = json!({"StreamName": "s", "StreamModeDetails": {"StreamMode": "ON_DEMAND"}, "Tags": {"a": "b"}});
    aws.ok("Kinesis_20131202.CreateStream", create).await;
    let encrypt = json!({"StreamName": "s", "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"});
    let early = aws.target("Kinesis_20131202.StartStreamEncryption", encrypt.clone()).await;
    assert_eq!(early.json()["message"], "Stream s under account 000000000000 not ACTIVE, instead in state CREATING");
    let put = json!({"StreamName": "s", "PartitionKey": "k", "Data": "eA=="});
    let early = aws.target("Kinesis_20131202.PutRecord", put.clone()).await;
    assert_eq!(early.json()["__type"], "ResourceNotFoundException");
    assert!(aws.until(describe, name.clone(), state("ACTIVE")).await > long);
    aws.ok("Kinesis_20131202.StartStreamEncryption", encrypt).await;
    aws.until(describe, name.clone(), state("UPDATING")).await;
    aws.ok("Kinesis_20131202.PutRecord", put).await;
    aws.until(describe, name.clone(), state("ACTIVE")).await;
    aws.ok("Kinesis_20131202.DeleteStream", name.clone()).await;
    aws.until(describe, name.clone(), state("DELETING")).await;
    let again = aws.target("Kinesis_20131202.CreateStream", json!({"StreamName": "s", "ShardCount": 1})).await;
    assert_eq!(again.json()["__type"], "ResourceInUseException");
    assert!(aws.until(describe, name, gone).await > long / 2);

    let name = json!({"TableName": "abc"});
    let describe = "DynamoDB_20120810.DescribeTable";
    let state = |wanted: &'static str| move |_: u16, answer: &Value| answer["Table"]["TableStatus"] == wanted;
    let create = json!({
        "TableName": "abc", "BillingMode": "PAY_PER_REQUEST", "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
    });
    let created = aws.ok("DynamoDB_20120810.CreateTable", create.clone()).await;
    assert_eq!(created["TableDescription"]["TableStatus"], "CREATING");
    let item = json!({"TableName": "abc", "Item": {"k": {"S": "x"}}});
    let early = aws.target("DynamoDB_20120810.PutItem", item.clone()).await;
    assert_eq!(early.json()["message"], "Requested resource not found");
    assert!(aws.until(describe, name.clone(), state("ACTIVE")).await > long);
    aws.ok("DynamoDB_20120810.PutItem", item).await;
    let deleted = aws.ok("DynamoDB_20120810.DeleteTable", name.clone()).await;
    assert_eq!(deleted["TableDescription"]["TableStatus"], "DELETING");
    let again = aws.target("DynamoDB_20120810.CreateTable", create).await;
    assert_eq!(again.json()["message"], "Table already exists: abc");
    assert!(aws.until(describe, name, gone).await > long / 2);
    aws.stop().await;
}

#[tokio::test]
async fn calls_take_their_time_and_a_deleted_queue_s_name_is_not_free_at_once() {
    let text = "[sqs]\ncall = \"50ms\"\n[changes]\nqueue-name = \"400ms\"";
    let latency = Latency::parse(text).expect("a correct file");
    let aws = Aws::rehearsing(Rehearsal { latency, seed: 1, ..Rehearsal::default() }).await;
    let queue = json!({"QueueName": "q"});
    let started = Instant::now();
    let url = aws.ok("AmazonSQS.CreateQueue", queue.clone()).await["QueueUrl"].clone();
    assert!(started.elapsed() >= Duration::from_millis(50));
    let ms = aws.last_call().await["ms"].as_f64();
    assert!(ms.is_some_and(|ms| ms >= 50.0), "{ms:?}");
    aws.ok("AmazonSQS.DeleteQueue", json!({"QueueUrl": url})).await;
    let refused = aws.target("AmazonSQS.CreateQueue", queue.clone()).await;
    assert_eq!((refused.status, refused.json()["__type"].clone()), (400, json!("QueueDeletedRecently")));
    aws.until("AmazonSQS.CreateQueue", queue, |status, _| status == 200).await;
    aws.stop().await;
}

#[tokio::test]
async fn entries_of_a_batch_fail_and_what_is_sent_again_takes_effect() {
    let aws = Aws::rehearsing(faults("percent = 100\nkinds = [\"failed-entries\"]")).await;
    let url = aws.ok("AmazonSQS.CreateQueue", json!({"QueueName": "q"})).await["QueueUrl"].clone();
    let mut left: Vec<Value> = (0..10).map(|at| json!({"Id": at.to_string(), "MessageBody": at.to_string()})).collect();
    // A single entry always fails here, so the last one is not waited for.
    while left.len() > 1 {
        let sent = aws.ok("AmazonSQS.SendMessageBatch", json!({"QueueUrl": url, "Entries": left})).await;
        let failed = sent["Failed"].as_array().expect("failures");
        assert!(failed.iter().all(|entry| entry["SenderFault"] == false && entry["Code"] == "InternalError"));
        assert_eq!(sent["Successful"].as_array().map_or(0, Vec::len) + failed.len(), left.len());
        assert!((1..left.len()).contains(&failed.len()), "{sent}");
        left.retain(|entry| failed.iter().any(|failed| failed["Id"] == entry["Id"]));
    }
    let call = aws.last_call().await;
    assert_eq!((&call["status"], &call["fault"]), (&json!(200), &json!("failed-entries")));
    let counts = json!({"QueueUrl": url, "AttributeNames": ["ApproximateNumberOfMessages"]});
    let counts = aws.ok("AmazonSQS.GetQueueAttributes", counts).await;
    assert_eq!(counts["Attributes"]["ApproximateNumberOfMessages"], "9");

    aws.ok("Kinesis_20131202.CreateStream", json!({"StreamName": "s", "ShardCount": 1})).await;
    let records: Vec<Value> = (0..10).map(|at| json!({"Data": "QQ==", "PartitionKey": at.to_string()})).collect();
    let put = aws.ok("Kinesis_20131202.PutRecords", json!({"StreamName": "s", "Records": records})).await;
    let failed = put["Records"].as_array().expect("records").iter().filter(|it| it["ErrorCode"].is_string()).count();
    assert_eq!(
        (put["Records"].as_array().map(Vec::len), put["FailedRecordCount"].as_u64()),
        (Some(10), Some(failed as u64))
    );
    assert!((1..10).contains(&failed), "{put}");

    let topic = "arn:aws:sns:eu-west-1:000000000000:t";
    assert_eq!(aws.query("sns", "Action=CreateTopic&Name=t").await.status, 200);
    let entry = |at: u32| {
        format!("&PublishBatchRequestEntries.member.{at}.Id=i{at}&PublishBatchRequestEntries.member.{at}.Message=m")
    };
    let batch = format!("Action=PublishBatch&TopicArn={topic}{}{}", entry(1), entry(2));
    let sent = aws.query("sns", &batch).await.body;
    assert_eq!(
        (sent.matches("<MessageId>").count(), sent.matches("<Code>InternalError</Code>").count()),
        (1, 1),
        "{sent}"
    );
    aws.stop().await;
}
