//! Requests that nobody sends in good faith: each is answered, and the next one is, too.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::{Answer, Aws};

const DEEP: usize = 200_000;

async fn signed(aws: &Aws, service: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let scope = format!("AWS4-HMAC-SHA256 Credential=x/20260101/eu-west-1/{service}/aws4_request, Signature=0");
    let headers = [&[("Authorization", scope.as_str())], headers].concat();
    aws.send("POST", path, &headers, body).await
}

#[tokio::test]
async fn names_and_documents_of_any_depth_are_answered() {
    let aws = Aws::start().await;
    for name in ["a.".repeat(DEEP), ".".repeat(DEEP), format!("a{}", ".member.1".repeat(DEEP))] {
        let answer = aws.query("sns", &format!("Action=ListTopics&{name}=1")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let document = format!("{}1{}", open.repeat(DEEP), close.repeat(DEEP));
        for target in ["AmazonSQS.CreateQueue", "DynamoDB_20120810.PutItem", "Kinesis_20131202.PutRecord"] {
            let headers = [("X-Amz-Target", target), ("Content-Type", "application/x-amz-json-1.1")];
            let answer = aws.send("POST", "/", &headers, document.as_bytes()).await;
            assert_eq!(answer.status, 400, "{target}: {}", answer.body);
        }
    }
    let path = "/service/GraniteServiceVersion20100801/operation/PutMetricData";
    for head in [0x81, 0xc1, 0xa1] {
        let answer = aws.send("POST", path, &[("smithy-protocol", "rpc-v2-cbor")], &vec![head; DEEP]).await;
        assert_eq!(answer.status, 400);
    }
    assert_eq!(aws.send("PUT", "/bucket", &[], b"").await.status, 200);
    let answer = aws.send("PUT", "/bucket?tagging", &[], "<Tagging>".repeat(DEEP).as_bytes()).await;
    assert_eq!(answer.status, 400, "{}", answer.body);
    aws.stop().await;
}

#[tokio::test]
async fn expressions_of_three_hundred_operators_are_worked_through_and_longer_ones_refused() {
    let aws = Aws::start().await;
    let create = json!({
        "TableName": "abc",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    });
    aws.ok("DynamoDB_20120810.CreateTable", create).await;
    aws.ok("DynamoDB_20120810.PutItem", json!({"TableName": "abc", "Item": {"id": {"S": "a"}}})).await;
    let scan = |expression: String| json!({"TableName": "abc", "FilterExpression": expression, "ExpressionAttributeValues": {":v": {"S": "a"}}});
    let nested = |nots: usize, parentheses: bool| {
        let (open, close) = if parentheses { ("NOT (", ")") } else { ("NOT ", "") };
        scan(format!("{}id = :v{}", open.repeat(nots), close.repeat(nots)))
    };
    for parentheses in [false, true] {
        let found = aws.ok("DynamoDB_20120810.Scan", nested(298, parentheses)).await;
        assert_eq!(found["Count"], 1);
        let refused = aws.target("DynamoDB_20120810.Scan", nested(300, parentheses)).await;
        assert_eq!(refused.status, 400);
        let said = "Invalid FilterExpression: The expression contains too many operators; operator count: 301";
        assert_eq!(refused.json()["message"], said);
    }
    for size in [1_000, DEEP] {
        let answer = aws.target("DynamoDB_20120810.Scan", scan("(".repeat(size))).await;
        assert_eq!(answer.status, 400, "{}", answer.body);
        let statement = format!("SELECT * FROM abc WHERE {}id='a'{}", "(".repeat(size), ")".repeat(size));
        let answer = aws.target("DynamoDB_20120810.ExecuteStatement", json!({"Statement": statement})).await;
        assert_eq!(answer.status, 400, "{}", answer.body);
    }
    aws.stop().await;
}

#[tokio::test]
async fn numbers_and_tokens_at_the_ends_of_their_types_are_answered() {
    let aws = Aws::start().await;
    aws.ok("Logs_20140328.CreateLogGroup", json!({"logGroupName": "g"})).await;
    aws.ok("Logs_20140328.CreateLogStream", json!({"logGroupName": "g", "logStreamName": "s"})).await;
    aws.ok("Kinesis_20131202.CreateStream", json!({"StreamName": "s", "ShardCount": 1})).await;
    let largest: Value = json!(u64::MAX.to_string());
    let shard = json!({
        "StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "AT_TIMESTAMP", "Timestamp": -9e300,
    });
    let metric = json!({
        "Namespace": "N", "MetricName": "m", "Statistics": ["Sum"], "Period": i64::MAX - 7, "StartTime": -9e300, "EndTime": 9e300,
    });
    for (target, body) in [
        ("GraniteServiceVersion20100801.DescribeAlarms", json!({"NextToken": largest})),
        ("GraniteServiceVersion20100801.DescribeAlarmHistory", json!({"NextToken": largest, "StartDate": 9e300})),
        ("GraniteServiceVersion20100801.GetMetricStatistics", metric),
        ("Logs_20140328.DescribeLogStreams", json!({"logGroupName": "g", "nextToken": largest})),
        ("Logs_20140328.DescribeMetricFilters", json!({"logGroupName": "g", "nextToken": largest})),
        ("Kinesis_20131202.GetShardIterator", shard),
        ("AmazonSQS.ListQueues", json!({"MaxResults": i64::MAX, "NextToken": largest})),
    ] {
        let answer = aws.target(target, body).await;
        assert!(matches!(answer.status, 200 | 400), "{target}: {} {}", answer.status, answer.body);
    }
    aws.stop().await;
}

#[tokio::test]
async fn bodies_are_as_large_as_their_service_takes_packed_and_unpacked() {
    const MIB: usize = 1024 * 1024;
    let aws = Aws::start().await;
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..64 {
        packed.write_all(&vec![b' '; MIB]).expect("packs");
    }
    let packed = packed.finish().expect("packs");
    let gzip = [("Content-Encoding", "gzip")];
    assert_eq!(signed(&aws, "monitoring", "/", &gzip, &packed).await.status, 413);
    let spaces = vec![b' '; 17 * MIB];
    // The answer may come before all has been sent; what matters is that it is one.
    for target in ["AmazonSQS.SendMessage", "Kinesis_20131202.PutRecords"] {
        let head = [("X-Amz-Target", target)];
        let gzip = [head[0], gzip[0]];
        assert_eq!(aws.send("POST", "/", &gzip, &packed).await.status, 413, "{target}");
    }
    let answer = aws.send("PUT", "/bucket/key", &[], &spaces).await;
    assert_eq!(answer.status, 404, "objects may be larger: {}", answer.body);
    aws.stop().await;
}

#[tokio::test]
async fn objects_sent_in_chunks_are_kept_in_one_piece() {
    let aws = Aws::start().await;
    assert_eq!(aws.send("PUT", "/bucket", &[], b"").await.status, 200);
    let headers = [("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"), ("Content-Encoding", "aws-chunked")];
    let put = aws.send("PUT", "/bucket/key", &headers, b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n").await;
    assert_eq!(put.status, 200, "{}", put.body);
    assert_eq!(aws.send("GET", "/bucket/key", &[], b"").await.body, "hello!");
    let refused = aws.send("PUT", "/bucket/key", &headers, b"5\r\nhel").await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("<Code>IncompleteBody</Code>"), "{}", refused.body);
    assert_eq!(aws.send("GET", "/bucket/key", &[], b"").await.body, "hello!");
    aws.stop().await;
}
