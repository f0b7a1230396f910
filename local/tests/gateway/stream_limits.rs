//! How much a record, a call and a page of Kinesis have, and what a shard takes and gives in a second.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::future::join_all;
use serde_json::{Value, json};
use streamkit_local::{Options, Strictness};

use crate::Aws;

const MIB: usize = 1 << 20;

fn data(bytes: usize) -> String {
    BASE64.encode(vec![b'x'; bytes])
}

/// So many records of this size for one key of one byte.
fn records(count: usize, bytes: usize) -> Value {
    let data = data(bytes - 1);
    (0..count).map(|_| json!({"PartitionKey": "k", "Data": data})).collect()
}

async fn rates() -> Aws {
    Aws::with(Options { strict: Strictness { rates: true, ..Strictness::default() }, ..Options::default() }).await
}

impl Aws {
    async fn put_records(&self, records: Value) -> Value {
        self.kinesis("PutRecords", json!({"StreamName": "s", "Records": records})).await
    }

    async fn iterator(&self, kind: &str) -> Value {
        let input = json!({"StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": kind});
        self.kinesis("GetShardIterator", input).await["ShardIterator"].clone()
    }
}

fn count(answer: &Value) -> usize {
    answer["Records"].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn calls_have_ten_mebibytes_and_records_one_unless_their_stream_says_more() {
    let aws = Aws::start().await;
    let arn = aws.stream("s", 1).await;
    assert_eq!(aws.put_records(records(10, MIB)).await["FailedRecordCount"], 0);
    let more = aws.kinesis_refused("PutRecords", json!({"StreamName": "s", "Records": records(11, MIB)})).await.json();
    assert_eq!(
        (&more["__type"], &more["message"]),
        (&json!("InvalidArgumentException"), &json!("Records size exceeds 10 MB limit"))
    );

    let large = |bytes: usize| json!({"StreamName": "s", "PartitionKey": "k", "Data": data(bytes)});
    let refused = aws.kinesis_refused("PutRecord", large(MIB)).await.json();
    assert_eq!(
        (&refused["__type"], &refused["message"]),
        (
            &json!("ValidationException"),
            &json!(
                "1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=1048576 cap=1048576]' at 'data' \
                 failed to satisfy constraint: Member must have length less than or equal to 1048576"
            )
        ),
        "the key counts too"
    );
    let size = |kib: u32| json!({"StreamARN": arn, "MaxRecordSizeInKiB": kib});
    assert_eq!(aws.kinesis_refused("UpdateMaxRecordSize", size(1023)).await.json()["__type"], "ValidationException");
    aws.kinesis("UpdateMaxRecordSize", size(2048)).await;
    aws.active("s").await;
    aws.kinesis("PutRecord", large(2 * MIB - 1)).await;
    assert_eq!(aws.kinesis_refused("PutRecord", large(2 * MIB)).await.json()["__type"], "ValidationException");
    aws.kinesis("UpdateMaxRecordSize", size(10240)).await;
    aws.active("s").await;
    aws.kinesis("PutRecord", large(10 * MIB - 1)).await;

    let create = json!({"StreamName": "large", "ShardCount": 1, "MaxRecordSizeInKiB": 10240});
    aws.kinesis("CreateStream", create).await;
    let summary = aws.kinesis("DescribeStreamSummary", json!({"StreamName": "large"})).await;
    assert_eq!(summary["StreamDescriptionSummary"]["MaxRecordSizeInKiB"], 10240);
    aws.stop().await;
}

#[tokio::test]
async fn pages_have_ten_mebibytes_and_the_rest_comes_with_the_next_iterator() {
    let aws = Aws::start().await;
    let arn = aws.stream("s", 1).await;
    aws.kinesis("UpdateMaxRecordSize", json!({"StreamARN": arn, "MaxRecordSizeInKiB": 10240})).await;
    aws.active("s").await;
    for _ in 0..2 {
        aws.put_records(records(6, MIB)).await;
    }
    aws.put_records(records(1, 10 * MIB)).await;
    let (mut iterator, mut pages) = (aws.iterator("TRIM_HORIZON").await, Vec::new());
    for _ in 0..4 {
        let page = aws.kinesis("GetRecords", json!({"ShardIterator": iterator})).await;
        let behind = page["MillisBehindLatest"].as_i64().expect("a number");
        pages.push(count(&page));
        assert_eq!(behind == 0, pages.iter().sum::<usize>() == 13, "{behind} ms behind after {pages:?}");
        iterator = page["NextShardIterator"].clone();
    }
    assert_eq!(pages, [10, 2, 1, 0]);
    aws.stop().await;
}

#[tokio::test]
async fn arrival_times_have_milliseconds_and_can_be_read_from() {
    let aws = Aws::start().await;
    aws.stream("s", 1).await;
    let mut times = Vec::new();
    while times.len() < 20 {
        aws.put_records(records(1, 10)).await;
        let page = aws.kinesis("GetRecords", json!({"ShardIterator": aws.iterator("TRIM_HORIZON").await})).await;
        times = page["Records"].as_array().expect("records").clone();
    }
    let arrival = |record: &Value| record["ApproximateArrivalTimestamp"].as_f64().expect("a time");
    assert!(times.iter().any(|record| arrival(record).fract() > 0.0), "{times:?}");
    let from = |time: f64| {
        json!({
            "StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "AT_TIMESTAMP", "Timestamp": time,
        })
    };
    let middle = arrival(&times[10]);
    let iterator = aws.kinesis("GetShardIterator", from(middle)).await["ShardIterator"].clone();
    let page = aws.kinesis("GetRecords", json!({"ShardIterator": iterator})).await;
    assert_eq!(count(&page), times.iter().filter(|record| arrival(record) >= middle).count());
    // After the last of them, with what comes from then on.
    let after = arrival(&times[19]) + 0.001;
    let iterator = loop {
        let answer = aws.target("Kinesis_20131202.GetShardIterator", from(after)).await;
        if answer.status == 200 {
            break answer.json()["ShardIterator"].clone();
        }
    };
    assert_eq!(count(&aws.kinesis("GetRecords", json!({"ShardIterator": iterator})).await), 0);
    aws.put_records(records(3, 10)).await;
    assert_eq!(count(&aws.kinesis("GetRecords", json!({"ShardIterator": iterator})).await), 3);
    aws.stop().await;
}

#[tokio::test]
async fn closed_shard_ends_with_its_children() {
    let aws = Aws::start().await;
    aws.stream("s", 1).await;
    aws.put_records(records(1, 10)).await;
    let iterator = aws.iterator("TRIM_HORIZON").await;
    let split = json!({"StreamName": "s", "TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING"});
    aws.kinesis("UpdateShardCount", split).await;
    aws.active("s").await;
    let page = aws.kinesis("GetRecords", json!({"ShardIterator": iterator})).await;
    assert_eq!(count(&page), 1);
    let end = aws.kinesis("GetRecords", json!({"ShardIterator": page["NextShardIterator"]})).await;
    assert_eq!((count(&end), &end["NextShardIterator"]), (0, &Value::Null));
    let children: Vec<&Value> = end["ChildShards"].as_array().expect("children").iter().collect();
    assert_eq!(children.len(), 2);
    let listed = aws.kinesis("ListShards", json!({"StreamName": "s"})).await;
    for child in children {
        assert_eq!(child["ParentShards"], json!(["shardId-000000000000"]));
        let shards = listed["Shards"].as_array().expect("shards");
        let shard = shards.iter().find(|shard| shard["ShardId"] == child["ShardId"]).expect("it is listed");
        assert_eq!(shard["ParentShardId"], "shardId-000000000000");
    }
    aws.stop().await;
}

#[tokio::test]
async fn shard_takes_what_aws_takes_in_a_second_and_the_rest_fails_alone() {
    let aws = rates().await;
    aws.stream("s", 1).await;
    let put = aws.put_records(records(10, MIB / 4)).await;
    // The call is one moment, in which a shard takes 1 MiB.
    assert_eq!(put["FailedRecordCount"], 6);
    let answers = put["Records"].as_array().expect("answers");
    assert!(answers[..4].iter().all(|answer| answer["SequenceNumber"].is_string()), "{put}");
    for answer in &answers[4..] {
        let refused = json!({
            "ErrorCode": "ProvisionedThroughputExceededException",
            "ErrorMessage": "Rate exceeded for shard shardId-000000000000 in stream s under account 000000000000.",
        });
        assert_eq!(*answer, refused);
    }
    // A large record is paid off in the nine seconds after it.
    aws.kinesis("CreateStream", json!({"StreamName": "large", "ShardCount": 1, "MaxRecordSizeInKiB": 10240})).await;
    let put = |bytes: usize| json!({"StreamName": "large", "PartitionKey": "k", "Data": data(bytes)});
    aws.kinesis("PutRecord", put(10 * MIB - 1)).await;
    let refused = aws.kinesis_refused("PutRecord", put(1)).await.json();
    assert_eq!(
        (&refused["__type"], &refused["message"]),
        (
            &json!("ProvisionedThroughputExceededException"),
            &json!("Rate exceeded for shard shardId-000000000000 in stream large under account 000000000000.")
        )
    );
    let read = aws.kinesis("GetRecords", json!({"ShardIterator": aws.iterator("TRIM_HORIZON").await})).await;
    assert_eq!(count(&read), 4);

    for (stream, throttled) in [("s", 6.0), ("large", 1.0)] {
        let wanted = json!({
            "Namespace": "AWS/Kinesis", "MetricName": "WriteProvisionedThroughputExceeded",
            "Dimensions": [{"Name": "StreamName", "Value": stream}], "Statistics": ["Sum"], "Period": 2_592_000,
            "StartTime": "2020-01-01T00:00:00Z", "EndTime": "2100-01-01T00:00:00Z",
        });
        let sums = aws.ok("GraniteServiceVersion20100801.GetMetricStatistics", wanted).await;
        let points = sums["Datapoints"].as_array().expect("datapoints");
        let sum: f64 = points.iter().filter_map(|point| point["Sum"].as_f64()).sum();
        assert!((sum - throttled).abs() < f64::EPSILON, "{stream}: {sums}");
    }
    aws.stop().await;
}

#[tokio::test]
async fn shard_is_read_as_often_and_as_much_as_in_aws() {
    let aws = rates().await;
    aws.stream("s", 1).await;
    let iterator = json!({"ShardIterator": aws.iterator("TRIM_HORIZON").await});
    // Many at once, so that they come within a few seconds on a slow machine too.
    let answers = join_all((0..50).map(|_| aws.target("Kinesis_20131202.GetRecords", iterator.clone()))).await;
    let (read, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert!(read.len() >= 5, "{} of 50 were read", read.len());
    let refused = refused.first().expect("some come too soon").json();
    assert_eq!(
        (&refused["__type"], &refused["message"]),
        (
            &json!("ProvisionedThroughputExceededException"),
            &json!("Rate exceeded for shard shardId-000000000000 in stream s under account 000000000000.")
        )
    );
    aws.stop().await;
}

#[tokio::test]
async fn nothing_is_throttled_unless_asked_for() {
    let aws = Aws::start().await;
    aws.stream("s", 1).await;
    assert_eq!(aws.put_records(records(10, MIB)).await["FailedRecordCount"], 0);
    let iterator = aws.iterator("TRIM_HORIZON").await;
    for _ in 0..10 {
        aws.kinesis("GetRecords", json!({"ShardIterator": iterator, "Limit": 1})).await;
    }
    aws.stop().await;
}
