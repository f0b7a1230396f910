//! Tests of decoding: records as Lambda sends them, aggregated ones, and changes that are not as they should be.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use streamkit_recipes::IDENTITY_FIELD;

use super::*;
use crate::aggregated::aggregate;

fn parse(json: &str) -> Event {
    serde_json::from_str(json).unwrap()
}

fn kinesis(event: &str) -> Result<Vec<IncomingRecord>, EventError> {
    decode(parse(event), streamkit_recipes::find("retail").unwrap(), IDENTITY_FIELD)
}

fn dynamodb(event: &str) -> Result<Vec<IncomingRecord>, EventError> {
    decode(parse(event), streamkit_recipes::find("changes").unwrap(), IDENTITY_FIELD)
}

#[test]
fn decode_reads_a_kinesis_event_as_lambda_sends_it() {
    let records = kinesis(
        r#"{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"k","sequenceNumber":"4959033827149",
        "data":"SGVsbG8=","approximateArrivalTimestamp":1545084650.987},"eventSource":"aws:kinesis","eventVersion":"1.0",
        "eventID":"shardId-000000000006:4959033827149","eventName":"aws:kinesis:record","awsRegion":"us-east-2",
        "invokeIdentityArn":"arn:aws:iam::123456789012:role/r",
        "eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/s"}]}"#,
    );
    let records = records.unwrap();
    let record = records[0].record().unwrap();
    let record = record.stream().unwrap();
    assert_eq!((record.shard_id, record.sequence_number), ("shardId-000000000006", "4959033827149"));
    assert_eq!((record.partition_key, record.arrival_ms, record.data), ("k", 1_545_084_650_987, &b"Hello"[..]));
    assert_eq!(record.id(), records[0].event_id);
    assert_eq!(records[0].source_arn, "arn:aws:kinesis:us-east-2:123456789012:stream/s");
}

#[test]
fn decode_reads_a_dynamodb_event_as_lambda_sends_it() {
    let records = dynamodb(
        r#"{"Records":[{"eventID":"c4ca4238a0b923820dcc509a6f75849b","eventName":"REMOVE","eventVersion":"1.1",
        "eventSource":"aws:dynamodb","awsRegion":"us-east-2","dynamodb":{"ApproximateCreationDateTime":1.7E9,
        "Keys":{"Id":{"N":"101"}},"OldImage":{"Id":{"N":"101"},"B":{"B":"/w=="}},"SequenceNumber":"4421584500000000017450439091",
        "SizeBytes":26,"StreamViewType":"NEW_AND_OLD_IMAGES"},
        "userIdentity":{"type":"Service","principalId":"dynamodb.amazonaws.com"},
        "eventSourceARN":"arn:aws:dynamodb:us-east-2:123456789012:table/my.table/stream/2024-06-10T19:26:16.525"}]}"#,
    );
    let records = records.unwrap();
    let record = records[0].record().unwrap();
    let change = record.change().unwrap();
    assert_eq!((change.event_id, change.kind), ("c4ca4238a0b923820dcc509a6f75849b", ChangeKind::Remove));
    assert_eq!((change.sequence_number, change.created_ms), ("4421584500000000017450439091", 1_700_000_000_000));
    assert_eq!((change.table, change.region, change.size_bytes), ("my.table", "us-east-2", 26));
    assert_eq!((change.view, change.new.is_none(), change.old.map(Item::len)), (View::NewAndOldImages, true, Some(2)));
    assert!(change.is_expiry());
}

#[test]
fn decode_orders_by_number_and_drops_repetitions() {
    let record = |sequence: &str| {
        format!(
            r#"{{"eventSource":"aws:kinesis","eventID":"s:{sequence}","kinesis":{{"sequenceNumber":"{sequence}"}}}}"#
        )
    };
    let event = format!(r#"{{"Records":[{}]}}"#, ["10", "9", "100", "9"].map(record).join(","));
    let sequences: Vec<_> = kinesis(&event).unwrap().into_iter().map(|r| r.sequence_number).collect();
    assert_eq!(sequences, ["9", "10", "100"]);
}

fn stream_event(records: &[(&str, Option<&str>, &[u8])]) -> String {
    let record = |(sequence, key, data): &(&str, Option<&str>, &[u8])| {
        serde_json::json!({"eventSource": "aws:kinesis", "eventID": format!("shardId-000000000000:{sequence}"),
            "kinesis": {"sequenceNumber": sequence, "partitionKey": key, "data": STANDARD.encode(data)}})
    };
    serde_json::json!({ "Records": records.iter().map(record).collect::<Vec<_>>() }).to_string()
}

#[test]
fn decode_takes_aggregated_records_apart() {
    let whole = aggregate(&[("a", b"one"), ("b", br#"{"eventId":"e-2"}"#), ("a", b"three")]);
    let records = kinesis(&stream_event(&[("9", Some("x"), b"after"), ("8", Some("y"), &whole)])).unwrap();
    let found: Vec<_> = records
        .iter()
        .map(|incoming| {
            let record = incoming.record().unwrap();
            let record = *record.stream().unwrap();
            assert_eq!(record.id(), incoming.event_id);
            (
                record.sequence_number.to_owned(),
                record.partition_key.to_owned(),
                incoming.event_id.clone(),
                record.data.to_vec(),
            )
        })
        .collect();
    let expected = |sequence: &str, key: &str, id: &str, data: &[u8]| {
        (sequence.to_owned(), key.to_owned(), id.to_owned(), data.to_vec())
    };
    assert_eq!(
        found,
        [
            expected("8", "a", "shardId-000000000000:8:0", b"one"),
            expected("8", "b", "e-2", br#"{"eventId":"e-2"}"#),
            expected("8", "a", "shardId-000000000000:8:2", b"three"),
            expected("9", "x", "shardId-000000000000:9", b"after"),
        ]
    );
}

#[test]
fn decode_knows_an_event_by_its_own_id_wherever_it_lies() {
    let data = br#"{"eventId":"e-1","orderId":7}"#;
    let event = stream_event(&[("1", Some("k"), data), ("2", Some("k"), data)]);
    let ids = |field: &str| {
        let records = decode(parse(&event), streamkit_recipes::find("retail").unwrap(), field).unwrap();
        records.into_iter().map(|record| record.event_id).collect::<Vec<_>>()
    };
    assert_eq!(ids("eventId"), ["e-1", "e-1"]);
    assert_eq!(ids("orderId"), ["7", "7"]);
    assert_eq!(ids("customer"), ["shardId-000000000000:1", "shardId-000000000000:2"]);
}

#[test]
fn decode_takes_records_without_a_partition_key() {
    let records = kinesis(&stream_event(&[("1", None, b"{}")])).unwrap();
    let record = records[0].record().unwrap();
    assert_eq!(record.stream().unwrap().partition_key, "");
    let Content::Stream { partition_key, .. } = &records[0].content else { panic!("a stream's record") };
    assert_eq!(*partition_key, None);
}

#[test]
fn decode_keeps_a_record_that_is_not_base64() {
    let event = r#"{"Records":[{"eventSource":"aws:kinesis","kinesis":{"sequenceNumber":"1","data":"%%%"}}]}"#;
    assert_eq!(kinesis(event).unwrap()[0].record().unwrap_err().code, "not_base64");
}

const BAD: &str = "invalid_change";

/// Every way in which a change's field can be wrong: the error is reported, and no record is dropped.
#[test]
fn decode_keeps_a_change_that_is_not_as_it_should_be() {
    let usual = [
        ("ApproximateCreationDateTime", "1700000000.5"),
        ("Keys", r#"{"a":{"S":"x"}}"#),
        ("NewImage", r#"{"a":{"S":"x"},"n":{"N":"1"}}"#),
        ("OldImage", r#"{"a":{"S":"x"}}"#),
        ("SizeBytes", "26"),
        ("StreamViewType", "\"NEW_AND_OLD_IMAGES\""),
    ];
    let verdict = |name: &str, changed: &str, value: &str| {
        let of = |(field, usual): (&str, &str)| match (field == changed, value) {
            (true, "") => String::new(),
            (true, value) => format!(r#","{field}":{value}"#),
            (false, _) => format!(r#","{field}":{usual}"#),
        };
        let fields: String = usual.map(of).concat();
        let event = format!(
            r#"{{"Records":[{{"eventSource":"aws:dynamodb","eventID":"e","eventName":{name},"dynamodb":{{"SequenceNumber":"1"{fields}}}}}]}}"#
        );
        let records = dynamodb(&event).unwrap();
        assert_eq!(records.len(), 1, "nothing is dropped");
        let process = |record: Record<'_>| streamkit_recipes::find("changes").unwrap().process(&record, 0);
        records[0].record().and_then(process).err().map_or("", |rejected| rejected.code)
    };
    for name in ["INSERT", "MODIFY", "REMOVE"] {
        assert_eq!(verdict(&format!("\"{name}\""), "", ""), "");
    }
    assert_eq!(verdict("\"UPSERT\"", "", ""), "invalid_change");
    assert_eq!(verdict("\"modify\"", "", ""), "invalid_change");
    for (field, values) in [
        (
            "ApproximateCreationDateTime",
            &[("", BAD), ("null", BAD), ("\"1\"", BAD), ("-1", ""), ("1e300", "out_of_range")][..],
        ),
        (
            "Keys",
            &[
                ("", BAD),
                ("null", BAD),
                ("[]", BAD),
                ("{}", "missing_field"),
                (r#"{"a":"x"}"#, BAD),
                (r#"{"a":{"S":7}}"#, BAD),
                (r#"{"a":{"S":null}}"#, BAD),
                (r#"{"a":{"N":1}}"#, BAD),
                (r#"{"a":{"Z":"x"}}"#, BAD),
                (r#"{"a":{"S":"x","N":"1"}}"#, BAD),
                (r#"{"a":{"S":"\ud800"}}"#, BAD),
                (r#"{"a":{"B":"%"}}"#, BAD),
            ],
        ),
        (
            "NewImage",
            &[
                ("", "missing_field"),
                ("null", "missing_field"),
                ("7", BAD),
                ("{}", ""),
                (r#"{"n":{"N":"-1e125"}}"#, ""),
                (r#"{"n":{"NS":["1",2]}}"#, BAD),
                (r#"{"n":{"L":[{"M":{"deep":{"NULL":"yes"}}}]}}"#, BAD),
            ],
        ),
        ("OldImage", &[("", "missing_field"), ("null", "missing_field"), ("\"x\"", BAD)]),
        ("SizeBytes", &[("", ""), ("null", BAD), ("-1", BAD), ("1.5", BAD), ("\"26\"", BAD)]),
        (
            "StreamViewType",
            &[("", BAD), ("null", BAD), ("7", BAD), ("\"ALL\"", BAD), ("\"KEYS_ONLY\"", ""), ("\"NEW_IMAGE\"", "")],
        ),
    ] {
        for (value, expected) in values {
            assert_eq!(verdict("\"MODIFY\"", field, value), *expected, "{field}: {value}");
        }
    }
}

#[test]
fn decode_refuses_other_sources() {
    let found = |result: Result<_, EventError>| match result.unwrap_err() {
        EventError::Source { found, .. } => found,
        EventError::Incomplete { part, .. } => part.to_owned(),
        EventError::Window => "window".to_owned(),
    };
    let sqs = r#"{"Records":[{"messageId":"m","body":"{}","eventSource":"aws:sqs"}]}"#;
    assert_eq!(found(kinesis(sqs)), "aws:sqs");
    assert_eq!(found(dynamodb(r#"{"Records":[{"eventSource":"aws:kinesis"}]}"#)), "aws:kinesis");
    assert_eq!(found(kinesis(r#"{"Records":[{"eventID":"x","eventSource":"aws:kinesis"}]}"#)), "kinesis");
    assert_eq!(found(dynamodb(r#"{"Records":[{"eventSource":"aws:dynamodb","dynamodb":{}}]}"#)), "dynamodb");
    assert!(serde_json::from_str::<Event>(r#"{"hello":1}"#).is_err());
}
