//! Kinesis in CBOR, as the Java SDKs, and with them the KCL and Flink, speak it: data as bytes, times as tagged milliseconds.

use ciborium::Value;
use serde_json::json;

use crate::Aws;

const CBOR: &str = "application/x-amz-cbor-1.1";

fn map(members: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value::Map(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

fn time(ms: i64) -> Value {
    Value::Tag(1, Box::new(ms.into()))
}

fn get<'a>(value: &'a Value, name: &str) -> &'a Value {
    let members = value.as_map().unwrap_or_else(|| panic!("{name} of {value:?}"));
    &members.iter().find(|(key, _)| key.as_text() == Some(name)).unwrap_or_else(|| panic!("{name} in {value:?}")).1
}

/// Milliseconds.
fn ms(value: &Value) -> i64 {
    let Value::Tag(1, ms) = value else { panic!("{value:?} is no time") };
    i64::try_from(i128::from(ms.as_integer().expect("a whole number"))).expect("a time")
}

impl Aws {
    async fn cbor(&self, operation: &str, input: &Value) -> (u16, Value) {
        let mut body = Vec::new();
        ciborium::into_writer(input, &mut body).expect("CBOR");
        let target = format!("Kinesis_20131202.{operation}");
        let headers = [("X-Amz-Target", target.as_str()), ("Content-Type", CBOR)];
        let (status, body) = self.send_bytes("POST", "/", &headers, &body).await;
        (status, if body.is_empty() { Value::Null } else { ciborium::from_reader(&*body).expect("CBOR") })
    }

    async fn cbor_ok(&self, operation: &str, input: Value) -> Value {
        let (status, answer) = self.cbor(operation, &input).await;
        assert_eq!(status, 200, "{operation}: {answer:?}");
        answer
    }
}

#[tokio::test]
async fn records_are_bytes_and_times_are_milliseconds() {
    let aws = Aws::start().await;
    let create = map([("StreamName", "s".into()), ("ShardCount", 1.into())]);
    assert_eq!(aws.cbor_ok("CreateStream", create).await, Value::Null, "it answers with nothing");
    aws.active("s").await;
    let before_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_millis();
    let before_ms = i64::try_from(before_ms).expect("a time");

    let record = |data: &[u8]| map([("PartitionKey", "k".into()), ("Data", Value::Bytes(data.to_vec()))]);
    let entries = Value::Array(vec![record(b"\x00\xff\xfe"), record(b"")]);
    let put = aws.cbor_ok("PutRecords", map([("StreamName", "s".into()), ("Records", entries)])).await;
    assert_eq!(*get(&put, "FailedRecordCount"), 0.into());
    let results = get(&put, "Records").as_array().expect("a list");
    assert!(results.iter().all(|result| get(result, "SequenceNumber").is_text()), "{put:?}");

    let shard = ("ShardId", Value::from("shardId-000000000000"));
    let from = |kind: &str, more: Vec<(&'static str, Value)>| {
        let members = vec![("StreamName", "s".into()), shard.clone(), ("ShardIteratorType", kind.into())];
        map(members.into_iter().chain(more))
    };
    for (kind, more, expected) in
        [("TRIM_HORIZON", vec![], 2), ("AT_TIMESTAMP", vec![("Timestamp", time(before_ms))], 2), ("LATEST", vec![], 0)]
    {
        let iterator = aws.cbor_ok("GetShardIterator", from(kind, more)).await;
        let iterator = get(&iterator, "ShardIterator").clone();
        let page = aws.cbor_ok("GetRecords", map([("ShardIterator", iterator), ("Limit", 10.into())])).await;
        let records = get(&page, "Records").as_array().expect("a list");
        assert_eq!(records.len(), expected, "{kind}");
        if let Some(first) = records.first() {
            assert_eq!(*get(first, "Data"), Value::Bytes(b"\x00\xff\xfe".to_vec()));
            assert_eq!(*get(first, "PartitionKey"), "k".into());
            let arrived_ms = ms(get(first, "ApproximateArrivalTimestamp"));
            assert!((before_ms..before_ms + 60_000).contains(&arrived_ms), "{arrived_ms}");
        }
        assert!(get(&page, "NextShardIterator").is_text());
        assert_eq!(*get(&page, "MillisBehindLatest"), 0.into());
    }
    let summary = aws.cbor_ok("DescribeStreamSummary", map([("StreamName", "s".into())])).await;
    let made_ms = ms(get(get(&summary, "StreamDescriptionSummary"), "StreamCreationTimestamp"));
    assert!((before_ms - 60_000..before_ms + 1000).contains(&made_ms), "{made_ms}");
    // The metrics of streams read CBOR, too.
    let metrics = aws.ok("GraniteServiceVersion20100801.ListMetrics", json!({"MetricName": "IncomingRecords"})).await;
    assert_eq!(metrics["Metrics"][0]["Dimensions"][0]["Value"], "s");
    aws.stop().await;
}

#[tokio::test]
async fn errors_are_in_cbor_too() {
    let aws = Aws::start().await;
    let none = map([("StreamName", "none".into())]);
    let missing = "Stream none under account 000000000000 not found.";
    let data = ("Data", Value::Bytes(vec![1]));
    for (operation, input, code, message) in [
        ("DescribeStreamSummary", none.clone(), "ResourceNotFoundException", missing),
        (
            "PutRecord",
            map([("StreamName", "none".into()), ("PartitionKey", "k".into()), data.clone()]),
            "ResourceNotFoundException",
            missing,
        ),
        (
            "PutRecord",
            map([("StreamName", "none".into()), ("PartitionKey", "".into()), data]),
            "ValidationException",
            "1 validation error detected: Value '' at 'partitionKey' failed to satisfy constraint: \
             Member must have length greater than or equal to 1",
        ),
        ("GetRecords", map([("ShardIterator", "x".into())]), "InvalidArgumentException", "Invalid ShardIterator."),
    ] {
        let (status, error) = aws.cbor(operation, &input).await;
        assert_eq!(status, 400, "{operation}");
        assert_eq!(*get(&error, "__type"), code.into(), "{operation}");
        assert_eq!(*get(&error, "message"), message.into(), "{operation}");
    }
    let headers = [("X-Amz-Target", "Kinesis_20131202.ListStreams"), ("Content-Type", CBOR)];
    let (status, body) = aws.send_bytes("POST", "/", &headers, b"\xff").await;
    let error: Value = ciborium::from_reader(&*body).expect("CBOR");
    assert_eq!((status, get(&error, "__type").as_text()), (400, Some("SerializationException")));
    aws.stop().await;
}

#[tokio::test]
async fn faults_and_failed_entries_are_in_cbor_too() {
    let aws = Aws::start().await;
    aws.stream("s", 1).await;
    let fault = |fault: &str| json!({"service": "kinesis", "operation": "PutRecords", "fault": fault}).to_string();
    let record = map([("PartitionKey", "k".into()), ("Data", Value::Bytes(vec![0xff]))]);
    let put = map([("StreamName", "s".into()), ("Records", Value::Array(vec![record; 10]))]);
    assert_eq!(aws.send("POST", "/_streamkit/faults", &[], fault("throttle").as_bytes()).await.status, 202);
    let (status, error) = aws.cbor("PutRecords", &put).await;
    assert_eq!((status, get(&error, "__type").as_text()), (400, Some("ProvisionedThroughputExceededException")));
    assert_eq!(aws.send("POST", "/_streamkit/faults", &[], fault("failed-entries").as_bytes()).await.status, 202);
    let answer = aws.cbor_ok("PutRecords", put).await;
    let failed = i128::from(get(&answer, "FailedRecordCount").as_integer().expect("a number"));
    assert!((1..=10).contains(&failed), "{answer:?}");
    let calls = aws.send("GET", "/_streamkit/calls?since=0", &[], b"").await.json();
    let calls = calls["calls"].as_array().expect("calls");
    let puts: Vec<_> = calls.iter().filter(|call| call["operation"] == "PutRecords").collect();
    assert_eq!(puts.len(), 2);
    assert!(puts.iter().all(|call| call["resource"] == "s"), "{puts:?}");
    aws.stop().await;
}
