//! Streams are read, end, forget and stay within their bounds.

use super::*;

const SCOPE: &str = ":eu-west-1:000000000000:";

fn table(name: &str) -> Value {
    json!({"TableName": name, "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]})
}

fn change(table: &str, number: usize, time_ms: i64) -> Change {
    let keys = json!({"id": {"S": number.to_string()}});
    Change {
        table: table.to_owned(),
        event: "INSERT".to_owned(),
        keys: keys.clone(),
        new_image: Some(keys),
        time_ms,
        ..Change::default()
    }
}

fn arn(streams: &ChangeStreams, name: &str) -> String {
    let mut description = table(name);
    streams.describe(&mut description);
    description["LatestStreamArn"].as_str().expect("a stream").to_owned()
}

fn iterator(streams: &ChangeStreams, arn: &str, kind: &str, sequence: Option<&str>) -> Result<Value, CallError> {
    let described = streams.answer("DescribeStream", &json!({"StreamArn": arn}))?;
    let shard = &described["StreamDescription"]["Shards"][0]["ShardId"];
    let input = json!({"StreamArn": arn, "ShardId": shard, "ShardIteratorType": kind, "SequenceNumber": sequence});
    Ok(streams.answer("GetShardIterator", &input)?["ShardIterator"].take())
}

fn keys(page: &Value) -> Vec<&str> {
    let records = page["Records"].as_array().expect("records");
    records.iter().map(|record| record["dynamodb"]["Keys"]["id"]["S"].as_str().expect("a key")).collect()
}

#[test]
fn stream_is_read_from_every_place_and_ends_when_it_is_turned_off() {
    let streams = ChangeStreams::new(SCOPE);
    streams.open(&table("t"), "NEW_IMAGE");
    let arn = arn(&streams, "t");
    let latest = iterator(&streams, &arn, "LATEST", None).unwrap();
    streams.append((0..3).map(|number| change("t", number, clock::now_ms())).collect());
    let read = |iterator: &Value, limit: i64| {
        streams.answer("GetRecords", &json!({"ShardIterator": iterator, "Limit": limit})).unwrap()
    };
    let all = read(&iterator(&streams, &arn, "TRIM_HORIZON", None).unwrap(), 1000);
    assert_eq!(keys(&all), ["0", "1", "2"]);
    assert_eq!(keys(&read(&latest, 2)), ["0", "1"]);
    let second = all["Records"][1]["dynamodb"]["SequenceNumber"].as_str();
    assert_eq!(keys(&read(&iterator(&streams, &arn, "AT_SEQUENCE_NUMBER", second).unwrap(), 10)), ["1", "2"]);
    assert_eq!(keys(&read(&iterator(&streams, &arn, "AFTER_SEQUENCE_NUMBER", second).unwrap(), 10)), ["2"]);

    streams.close("t");
    streams.append(vec![change("t", 3, clock::now_ms())]);
    let rest = read(&all["NextShardIterator"], 10);
    assert_eq!((keys(&rest), rest["NextShardIterator"].is_null()), (vec![], true));
    let described = streams.answer("DescribeStream", &json!({"StreamArn": arn})).unwrap();
    let range = &described["StreamDescription"]["Shards"][0]["SequenceNumberRange"];
    assert_eq!(range["EndingSequenceNumber"], all["Records"][2]["dynamodb"]["SequenceNumber"]);
    assert_eq!(described["StreamDescription"]["StreamStatus"], "DISABLED");
}

#[test]
fn records_older_than_a_day_are_gone_and_said_to_be() {
    let streams = ChangeStreams::new(SCOPE);
    streams.open(&table("t"), "KEYS_ONLY");
    let arn = arn(&streams, "t");
    let from_start = iterator(&streams, &arn, "LATEST", None).unwrap();
    let old_ms = clock::now_ms() - RETENTION_MS - 1000;
    streams.append(vec![change("t", 0, old_ms), change("t", 1, old_ms), change("t", 2, clock::now_ms())]);
    let page = streams.answer("GetRecords", &json!({"ShardIterator": from_start})).unwrap();
    let first = page["Records"][0]["dynamodb"]["SequenceNumber"].as_str();
    streams.expire();
    for refused in [
        streams.answer("GetRecords", &json!({"ShardIterator": from_start})),
        iterator(&streams, &arn, "AT_SEQUENCE_NUMBER", first),
    ] {
        assert_eq!(refused.unwrap_err().code, "TrimmedDataAccessException");
    }
    let horizon = iterator(&streams, &arn, "TRIM_HORIZON", None).unwrap();
    assert_eq!(keys(&streams.answer("GetRecords", &json!({"ShardIterator": horizon})).unwrap()), ["2"]);
}

#[test]
fn streams_stay_within_their_bytes_and_the_largest_gives_way() {
    let streams = ChangeStreams::bounded(SCOPE, 100_000);
    for name in ["large", "small"] {
        streams.open(&table(name), "NEW_IMAGE");
    }
    streams.append(vec![change("small", 0, clock::now_ms())]);
    for number in 0..1000 {
        streams.append(vec![change("large", number, clock::now_ms())]);
        assert!(streams.state().bytes <= 100_000);
    }
    let kept = |name| {
        let horizon = iterator(&streams, &arn(&streams, name), "TRIM_HORIZON", None).unwrap();
        keys(&streams.answer("GetRecords", &json!({"ShardIterator": horizon})).unwrap()).join(" ")
    };
    assert_eq!(kept("small"), "0");
    assert!(kept("large").ends_with(" 998 999") && !kept("large").starts_with("0 "));
}

#[test]
fn pages_of_streams_and_of_records_are_bounded() {
    let streams = ChangeStreams::new(SCOPE);
    for name in ["a", "b", "c"] {
        streams.open(&table(name), "NEW_IMAGE");
    }
    let first = streams.answer("ListStreams", &json!({"Limit": 2})).unwrap();
    let next = json!({"Limit": 2, "ExclusiveStartStreamArn": first["LastEvaluatedStreamArn"]});
    let rest = streams.answer("ListStreams", &next).unwrap();
    assert_eq!((first["Streams"].as_array().unwrap().len(), &rest["Streams"][0]["TableName"]), (2, &json!("c")));
    assert!(rest["LastEvaluatedStreamArn"].is_null());

    let mut large = change("a", 0, clock::now_ms());
    large.new_image = Some(json!({"id": {"S": "x".repeat(400_000)}}));
    streams
        .append((1..4).map(|number| Change { new_image: large.new_image.clone(), ..change("a", number, 0) }).collect());
    let horizon = iterator(&streams, &arn(&streams, "a"), "TRIM_HORIZON", None).unwrap();
    let page = streams.answer("GetRecords", &json!({"ShardIterator": horizon})).unwrap();
    assert_eq!(keys(&page), ["1", "2"]);
    assert_eq!(
        keys(&streams.answer("GetRecords", &json!({"ShardIterator": page["NextShardIterator"]})).unwrap()),
        ["3"]
    );
    for (limit, code) in [(0, "ValidationException"), (1001, "ValidationException")] {
        let input = json!({"ShardIterator": horizon, "Limit": limit});
        assert_eq!(streams.answer("GetRecords", &input).unwrap_err().code, code);
    }
}
