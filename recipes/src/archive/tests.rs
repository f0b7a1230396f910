//! What becomes of batches: objects, their keys and lines, and notifications.

use std::io::Read as _;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::*;

const STREAM: &str = "arn:aws:kinesis:eu-west-1:123456789012:stream/events";
const TABLE: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/my.table/stream/2026-01-02T03:04:05.678";
/// 2023-11-14T22:13:20.123Z
const NOW_MS: i64 = 1_700_000_000_123;

fn received<'a>(sequence_number: &'a str, arrival_ms: i64, json: &'a str) -> ReceivedRecord<'a> {
    ReceivedRecord { source_arn: STREAM, shard_id: "shardId-000000000001", sequence_number, arrival_ms, json }
}

fn process(records: &[ReceivedRecord<'_>]) -> Vec<BatchPart> {
    Batched::process(&Archive, records, "bucket-7")
}

fn lines(part: &BatchPart) -> Vec<String> {
    let mut text = String::new();
    GzDecoder::new(part.effects.objects[0].body.as_slice()).read_to_string(&mut text).unwrap();
    assert!(text.ends_with('\n'));
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_batch_is_one_object_of_its_records_as_they_came() {
    let records = [
        received("41", NOW_MS, r#"{"eventID":"shardId-000000000001:41","kinesis":{"data":"/wA="}}"#),
        received("107", NOW_MS + 7, "{\"eventID\":\r\n \"shardId-000000000001:107\"\n}"),
    ];
    let parts = process(&records);
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].records, 0..2);
    assert_eq!(lines(&parts[0]), [records[0].json, r#"{"eventID": "shardId-000000000001:107"}"#]);
    let object = &parts[0].effects.objects[0];
    let checksum = u32::from_le_bytes(*object.body[object.body.len() - 8..].first_chunk().unwrap());
    let first = format!("{:0>56}", 41);
    assert_eq!(
        object.key,
        format!("archive/events/2023/11/14/22/shardId-000000000001/{first}-107-2-{checksum:08x}.ndjson.gz")
    );
    assert!(object.keep_existing);
    // The time of the compression is not in it.
    assert_eq!(object.body[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
    assert_eq!(process(&records), parts, "the same for every delivery");

    let notification = &parts[0].effects.notifications[0];
    let message: Value = serde_json::from_str(&notification.message).unwrap();
    assert_eq!(
        message,
        json!({"bucket": "bucket-7", "key": object.key, "source": "events", "shard": "shardId-000000000001", "records": 2,
            "firstSequenceNumber": "41", "lastSequenceNumber": "107", "firstArrival": "2023-11-14T22:13:20.123Z",
            "lastArrival": "2023-11-14T22:13:20.130Z", "bytes": object.body.len()})
    );
    assert_eq!(notification.subject, "2 records of events archived");
    assert_eq!(notification.attributes["key"], object.key);
    let counts: Vec<_> = parts[0].effects.counts.iter().map(|count| (count.metric, count.unit)).collect();
    assert_eq!(counts, [("ArchivedObjects", Unit::Count), ("ArchivedBytes", Unit::Bytes)]);
}

#[test]
fn another_content_has_another_key() {
    let key = |json: &str| process(&[received("41", NOW_MS, json)])[0].effects.objects[0].key.clone();
    assert_eq!(key("{}"), key("{}"));
    assert_ne!(key("{}"), key("{ }"));
}

#[test]
fn each_hour_and_shard_of_a_batch_is_an_object_of_its_own_in_the_order_of_the_stream() {
    let hour = 60 * 60 * 1000;
    let of = |shard_id, number, arrival_ms| ReceivedRecord { shard_id, ..received(number, arrival_ms, "{}") };
    let records = [
        of("s-1", "7", NOW_MS),
        of("s-1", "8", NOW_MS + hour),
        // The clock of the stream went back by a moment.
        of("s-1", "9", NOW_MS + hour / 2),
        of("s-1", "10", NOW_MS + hour + 1),
        of("s-1", "11", NOW_MS + 3 * hour),
        of("s-2", "5", NOW_MS),
        of("s-2", "6", i64::MAX),
        of("s-3", "1", i64::MIN),
    ];
    let parts = process(&records);
    let ranges: Vec<_> = parts.iter().map(|part| part.records.clone()).collect();
    assert_eq!(ranges, [0..1, 1..4, 4..5, 5..6, 6..7, 7..8]);
    let keys: Vec<_> = parts.iter().map(|part| part.effects.objects[0].key.as_str()).collect();
    assert!(keys[..3].is_sorted(), "{keys:#?}");
    let hours: Vec<_> = keys.iter().map(|key| &key["archive/events/".len()..][..13]).collect();
    assert_eq!(
        hours,
        ["2023/11/14/22", "2023/11/14/23", "2023/11/15/01", "2023/11/14/22", "9999/12/30/22", "1970/01/01/00"]
    );
    assert!(process(&[]).is_empty());
}

#[test]
fn keys_of_an_hour_are_in_the_order_of_numbers_of_any_length() {
    let numbers = ["9", "10", "100", "49590338271490256608559692538361571095921575989136588898"];
    let key = |number: &&str| process(&[received(number, NOW_MS, "{}")])[0].effects.objects[0].key.clone();
    let keys: Vec<_> = numbers.iter().map(key).collect();
    assert!(keys.is_sorted(), "{keys:#?}");
}

#[test]
fn changes_of_a_table_are_archived_without_a_shard() {
    let change = ReceivedRecord { source_arn: TABLE, shard_id: "", ..received("4421", NOW_MS, "{}") };
    let part = &process(&[change])[0];
    assert!(part.effects.objects[0].key.starts_with("archive/my.table/2023/11/14/22/changes/0000"));
    let notification = &part.effects.notifications[0];
    let message: Value = serde_json::from_str(&notification.message).unwrap();
    assert_eq!((&message["shard"], notification.attributes.get("shard")), (&Value::Null, None));
    assert_eq!(notification.subject, "1 record of my.table archived");
}
