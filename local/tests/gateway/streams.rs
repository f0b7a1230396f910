//! Kinesis streams: lists of more than a page, streams named by their ARN, and how far and how often they may be changed.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Answer, Aws};

impl Aws {
    pub(super) async fn kinesis(&self, operation: &str, input: Value) -> Value {
        self.ok(&format!("Kinesis_20131202.{operation}"), input).await
    }

    pub(super) async fn kinesis_refused(&self, operation: &str, input: Value) -> Answer {
        let answer = self.target(&format!("Kinesis_20131202.{operation}"), input).await;
        assert_eq!(answer.status, 400, "{operation}: {}", answer.body);
        answer
    }

    /// Creates a stream, and returns its ARN.
    pub(super) async fn stream(&self, name: &str, shards: u32) -> String {
        self.kinesis("CreateStream", json!({"StreamName": name, "ShardCount": shards})).await;
        self.active(name).await["StreamARN"].as_str().expect("an ARN").to_owned()
    }

    /// The summary of a stream, once it is active.
    pub(super) async fn active(&self, name: &str) -> Value {
        let described = async {
            loop {
                let mut seen = self.kinesis("DescribeStreamSummary", json!({"StreamName": name})).await;
                if seen["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE" {
                    return seen["StreamDescriptionSummary"].take();
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), described).await.expect("the stream becomes active")
    }
}

fn names(listed: &Value) -> Vec<&str> {
    listed["StreamNames"].as_array().expect("names").iter().filter_map(Value::as_str).collect()
}

#[tokio::test]
async fn streams_are_listed_in_pages_by_name_and_by_token() {
    let aws = Aws::start().await;
    let all: Vec<String> = (0..12).map(|number| format!("s-{number:02}")).collect();
    for name in &all {
        aws.stream(name, 1).await;
    }
    let listed = aws.kinesis("ListStreams", json!({})).await;
    assert_eq!(
        (names(&listed), listed["HasMoreStreams"].as_bool()),
        (all.iter().map(String::as_str).collect(), Some(false))
    );
    assert!(listed["NextToken"].is_null(), "{listed}");
    let summary = &listed["StreamSummaries"][11];
    assert_eq!(summary["StreamARN"], "arn:aws:kinesis:eu-west-1:000000000000:stream/s-11");
    assert_eq!(summary["StreamStatus"], "ACTIVE");

    let first = aws.kinesis("ListStreams", json!({"Limit": 5})).await;
    let by_token = aws.kinesis("ListStreams", json!({"Limit": 5, "NextToken": first["NextToken"]})).await;
    let by_name = aws.kinesis("ListStreams", json!({"Limit": 5, "ExclusiveStartStreamName": "s-04"})).await;
    assert_eq!(names(&by_token), all[5..10].iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(names(&by_token), names(&by_name));
    let last = aws.kinesis("ListStreams", json!({"NextToken": by_token["NextToken"]})).await;
    assert_eq!((names(&last), last["HasMoreStreams"].as_bool()), (vec!["s-10", "s-11"], Some(false)));
    let refused = aws.kinesis_refused("ListStreams", json!({"NextToken": "?"})).await;
    assert_eq!(refused.json()["__type"], "InvalidArgumentException");
    aws.stop().await;
}

#[tokio::test]
async fn shards_are_listed_in_pages_by_arn_and_by_token_alone() {
    let aws = Aws::start().await;
    let arn = aws.stream("s", 5).await;
    let mut seen = Vec::new();
    let mut input = json!({"StreamARN": arn, "MaxResults": 2});
    loop {
        let page = aws.kinesis("ListShards", input).await;
        let shards = page["Shards"].as_array().expect("shards");
        seen.extend(shards.iter().filter_map(|shard| shard["ShardId"].as_str()).map(str::to_owned));
        if page["NextToken"].is_null() {
            break;
        }
        input = json!({"NextToken": page["NextToken"], "MaxResults": 2});
    }
    assert_eq!(seen, (0..5).map(|number| format!("shardId-{number:012}")).collect::<Vec<_>>());

    let split = json!({"StreamARN": arn, "ShardToSplit": seen[4], "NewStartingHashKey": (u128::MAX - 7).to_string()});
    aws.kinesis("SplitShard", split).await;
    aws.active("s").await;
    let open = aws.kinesis("ListShards", json!({"StreamName": "s", "ShardFilter": {"Type": "AT_LATEST"}})).await;
    assert_eq!(open["Shards"].as_array().map(Vec::len), Some(6));
    let all = aws.kinesis("ListShards", json!({"StreamName": "s"})).await;
    assert_eq!(all["Shards"].as_array().map(Vec::len), Some(7));
    aws.stop().await;
}

#[tokio::test]
async fn stream_is_named_by_its_arn_in_every_operation() {
    let aws = Aws::start().await;
    let arn = aws.stream("s", 2).await;
    for (operation, more) in [
        ("DescribeStream", json!({})),
        ("DescribeStreamSummary", json!({})),
        ("ListShards", json!({})),
        ("GetShardIterator", json!({"ShardId": "shardId-000000000000", "ShardIteratorType": "LATEST"})),
        ("PutRecord", json!({"Data": "QQ==", "PartitionKey": "k"})),
        ("AddTagsToStream", json!({"Tags": {"team": "data"}})),
        ("ListTagsForStream", json!({})),
        ("RemoveTagsFromStream", json!({"TagKeys": ["team"]})),
        ("IncreaseStreamRetentionPeriod", json!({"RetentionPeriodHours": 48})),
        ("DecreaseStreamRetentionPeriod", json!({"RetentionPeriodHours": 24})),
        ("StartStreamEncryption", json!({"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"})),
        ("StopStreamEncryption", json!({"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"})),
        ("EnableEnhancedMonitoring", json!({"ShardLevelMetrics": ["IncomingBytes"]})),
        ("UpdateShardCount", json!({"TargetShardCount": 4, "ScalingType": "UNIFORM_SCALING"})),
        (
            "MergeShards",
            json!({"ShardToMerge": "shardId-000000000002", "AdjacentShardToMerge": "shardId-000000000003"}),
        ),
        ("DeleteStream", json!({})),
    ] {
        aws.active("s").await;
        let mut input = more;
        input["StreamARN"] = json!(arn);
        aws.kinesis(operation, input).await;
    }
    let gone = async {
        while !names(&aws.kinesis("ListStreams", json!({})).await).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), gone).await.is_ok(), "the stream is deleted");
    aws.stop().await;
}

#[tokio::test]
async fn shards_are_at_most_doubled_or_halved_and_modes_switched_twice_a_day() {
    let aws = Aws::start().await;
    let arn = aws.stream("s", 2).await;
    let to = |shards: u32| json!({"StreamName": "s", "TargetShardCount": shards, "ScalingType": "UNIFORM_SCALING"});
    let refused = aws.kinesis_refused("UpdateShardCount", to(5)).await.json();
    assert_eq!(
        (&refused["__type"], &refused["message"]),
        (
            &json!("LimitExceededException"),
            &json!(
                "UpdateShardCount cannot scale up over double your current open shard count. \
             Current open shard count: 2 Target shard count: 5"
            ),
        )
    );
    // Ten in a day, and no more.
    for shards in [4, 2, 4, 2, 4, 2, 4, 2, 4, 2] {
        aws.kinesis("UpdateShardCount", to(shards)).await;
        aws.active("s").await;
    }
    assert_eq!(aws.kinesis_refused("UpdateShardCount", to(3)).await.json()["__type"], "LimitExceededException");
    for mode in ["ON_DEMAND", "PROVISIONED"] {
        aws.kinesis("UpdateStreamMode", json!({"StreamARN": arn, "StreamModeDetails": {"StreamMode": mode}})).await;
        aws.active("s").await;
    }
    let third = json!({"StreamARN": arn, "StreamModeDetails": {"StreamMode": "ON_DEMAND"}});
    assert_eq!(aws.kinesis_refused("UpdateStreamMode", third).await.json()["__type"], "LimitExceededException");
    aws.stop().await;
}
