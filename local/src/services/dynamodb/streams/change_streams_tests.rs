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
    let streams = ChangeStreams::new(SCOPE, None);
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
    let streams = ChangeStreams::new(SCOPE, None);
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
    let streams = ChangeStreams::bounded(SCOPE, 100_000, None);
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
    let streams = ChangeStreams::new(SCOPE, None);
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

#[test]
fn shards_roll_over_and_are_read_one_after_the_other() {
    let roll_over = RollOver { age_ms: RETENTION_MS, changes: 3 };
    let streams = ChangeStreams::new(SCOPE, Some(roll_over));
    streams.open(&table("t"), "NEW_IMAGE");
    let arn = arn(&streams, "t");
    let latest = iterator(&streams, &arn, "LATEST", None).unwrap();
    streams.append((0..7).map(|number| change("t", number, clock::now_ms())).collect());
    let describe = |more: Value| {
        let mut input = json!({"StreamArn": arn});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        streams.answer("DescribeStream", &input).unwrap()["StreamDescription"].take()
    };
    let shards = describe(json!({}))["Shards"].as_array().unwrap().clone();
    assert_eq!(shards.len(), 3);
    let mut read = Vec::new();
    for (at, shard) in shards.iter().enumerate() {
        let input = json!({"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"});
        let horizon = streams.answer("GetShardIterator", &input).unwrap()["ShardIterator"].take();
        let page = streams.answer("GetRecords", &json!({"ShardIterator": horizon})).unwrap();
        read.push(keys(&page).join(" "));
        let (range, is_last) = (&shard["SequenceNumberRange"], at == 2);
        assert_eq!(range["EndingSequenceNumber"].is_null(), is_last);
        assert_eq!(page["NextShardIterator"].is_string(), is_last, "closed shards end");
        let number = |value: &Value| value.as_str().unwrap().parse::<u128>().unwrap();
        if let Some(parent) = at.checked_sub(1) {
            let parent = &shards[parent];
            assert_eq!(shard["ParentShardId"], parent["ShardId"]);
            let ending = number(&parent["SequenceNumberRange"]["EndingSequenceNumber"]);
            assert!(number(&range["StartingSequenceNumber"]) > ending);
        }
    }
    assert_eq!(read, ["0 1 2", "3 4 5", "6"]);
    // An iterator of the first shard ends with it.
    let page = streams.answer("GetRecords", &json!({"ShardIterator": latest})).unwrap();
    assert_eq!((keys(&page).len(), page["NextShardIterator"].is_null()), (3, true));

    let first = describe(json!({"Limit": 2}));
    assert_eq!((first["Shards"].as_array().unwrap().len(), &first["LastEvaluatedShardId"]), (2, &shards[1]["ShardId"]));
    let rest = describe(json!({"ExclusiveStartShardId": first["LastEvaluatedShardId"]}));
    assert_eq!((&rest["Shards"], rest["LastEvaluatedShardId"].is_null()), (&json!([shards[2]]), true));
    let children = describe(json!({"ShardFilter": {"Type": "CHILD_SHARDS", "ShardId": shards[0]["ShardId"]}}));
    assert_eq!(children["Shards"], json!([shards[1]]));
}

#[test]
fn shards_roll_over_with_their_age_and_go_a_day_after_they_were_closed() {
    let streams = ChangeStreams::new(SCOPE, Some(RollOver { age_ms: 0, changes: u128::MAX }));
    streams.open(&table("t"), "NEW_IMAGE");
    let arn = arn(&streams, "t");
    let shards = || {
        let described = streams.answer("DescribeStream", &json!({"StreamArn": arn})).unwrap();
        described["StreamDescription"]["Shards"].as_array().unwrap().clone()
    };
    streams.expire();
    let before = shards();
    assert_eq!(before.len(), 2, "also those that nothing was written to");
    streams.state().expire(clock::now_ms() + 1000);
    assert_eq!(shards(), before[1..]);
}
