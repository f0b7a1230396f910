//! What the recipe archives is read back, whole and in order, from the embedded AWS.

use streamkit_recipes::ReceivedRecord;
use tokio::sync::oneshot;

use super::*;
use crate::aws::{Connection, Credentials};
use crate::records::Content;

const BUCKET: &str = "archived";
const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/s";
/// 2023-11-14T22:00:00Z
const HOUR: i64 = 1_699_999_200_000;
const MINUTE: i64 = 60_000;

fn key(hour: &str, shard: &str, first: &str) -> ObjectKey {
    ObjectKey::parse(&format!("archive/s/2026/01/02/{hour}/{shard}/{first}-{first}-1-00000000.ndjson.gz")).unwrap()
}

#[test]
fn objects_that_a_clock_put_into_the_next_hour_come_in_their_turn() {
    let mut keys = vec![key("10", "a", "7"), key("10", "a", "100"), key("10", "b", "3")];
    let mut following = vec![key("11", "a", "20"), key("11", "a", "101"), key("11", "b", "4"), key("11", "c", "1")];
    merge(&mut keys, &mut following);
    assert_eq!(keys.last(), Some(&key("11", "a", "20")));
    assert_eq!(following, [key("11", "a", "101"), key("11", "b", "4"), key("11", "c", "1")]);
}

/// Clients of an embedded AWS of their own, which ends with the test, and an empty bucket.
async fn embedded(state: &std::path::Path) -> Clients {
    let options = streamkit_local::Options { state_dir: state.to_owned(), ..streamkit_local::Options::default() };
    let (ready, address) = oneshot::channel();
    tokio::spawn(streamkit_local::serve(options, ready, std::future::pending()));
    let connection = Connection {
        region: Some("us-east-1".to_owned()),
        endpoint: Some(format!("http://{}", address.await.unwrap())),
        credentials: Credentials::Local,
        account: Some("000000000000".to_owned()),
        embedded: true,
        ..Connection::default()
    };
    let aws = Clients::connect(&connection).await.unwrap();
    aws.s3.create_bucket().bucket(BUCKET).send().await.unwrap();
    aws
}

fn line(shard: &str, number: u64, arrival_ms: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "as Lambda writes times")]
    let seconds = arrival_ms as f64 / 1000.0;
    serde_json::json!({"eventSource": "aws:kinesis", "eventSourceARN": ARN, "eventID": format!("{shard}:{number}"),
        "kinesis": {"sequenceNumber": number.to_string(), "partitionKey": "k", "data": "aGk=",
            "approximateArrivalTimestamp": seconds}})
    .to_string()
}

/// Archives a batch, given as the numbers of its records and the times of their arrival.
async fn archive(aws: &Clients, shard: &str, records: &[(u64, i64)]) {
    let made: Vec<_> =
        records.iter().map(|(number, at)| (number.to_string(), *at, line(shard, *number, *at))).collect();
    let records: Vec<_> = made
        .iter()
        .map(|(number, at, json)| ReceivedRecord {
            source_arn: ARN,
            shard_id: shard,
            sequence_number: number,
            arrival_ms: *at,
            json,
        })
        .collect();
    let recipe = streamkit_recipes::find("archive").unwrap();
    for part in recipe.batched().unwrap().process(&records, BUCKET) {
        for object in part.effects.objects {
            let put = aws.s3.put_object().bucket(BUCKET).key(object.key).body(object.body.into());
            put.send().await.unwrap();
        }
    }
}

/// Numbers by shard, in the order in which they were read, and how many came twice.
async fn read(aws: &Clients, since_ms: i64, until_ms: i64) -> (BTreeMap<String, Vec<u64>>, u64) {
    let mut reader = ArchiveReader::new(aws, BUCKET, "s", since_ms, until_ms);
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    while let Some(records) = reader.next().await.unwrap() {
        for record in records {
            assert!(matches!(&record.content, Content::Stream { data, .. } if data == b"hi"));
            assert!((since_ms..until_ms).contains(&record.arrival_ms));
            found.entry(record.shard_id).or_default().push(record.sequence_number.parse().unwrap());
        }
    }
    (found, reader.duplicates())
}

#[tokio::test]
async fn archived_records_are_read_back_in_order_each_once() {
    let state = tempfile::tempdir().unwrap();
    let aws = embedded(state.path()).await;
    // The end of an hour, beyond which the clock of the shard goes back once.
    archive(&aws, "shard-a", &[(8, HOUR - 2), (9, HOUR - 1), (10, HOUR)]).await;
    archive(&aws, "shard-a", &[(11, HOUR - 1), (100, HOUR + 1)]).await;
    // A batch that was delivered again, cut in another place.
    archive(&aws, "shard-a", &[(10, HOUR), (11, HOUR - 1)]).await;
    archive(&aws, "shard-b", &[(50, HOUR), (51, HOUR + 90 * MINUTE)]).await;
    // Others' objects, and those of a stream with a longer name.
    for key in ["archive/s/2023/11/14/22/notes.txt", "archive/s2/2023/11/14/22/shard-a/1-1-1-00000000.ndjson.gz"] {
        aws.s3.put_object().bucket(BUCKET).key(key).body(b"?".to_vec().into()).send().await.unwrap();
    }

    let (all, duplicates) = read(&aws, i64::MIN, i64::MAX).await;
    assert_eq!(all["shard-a"], [8, 9, 10, 11, 100]);
    assert_eq!((all["shard-b"].as_slice(), duplicates), ([50, 51].as_slice(), 2));
    // By arrival, not by the hour of the object.
    let (some, _) = read(&aws, HOUR - 1, HOUR + 1).await;
    assert_eq!((some["shard-a"].as_slice(), some["shard-b"].as_slice()), ([9, 10, 11].as_slice(), [50].as_slice()));
    assert!(read(&aws, HOUR + 2 * 60 * MINUTE, i64::MAX).await.0.is_empty());
    assert!(read(&aws, 0, HOUR - 60 * MINUTE).await.0.is_empty());
}

#[tokio::test]
async fn more_objects_than_a_page_has_are_all_read() {
    let state = tempfile::tempdir().unwrap();
    let aws = embedded(state.path()).await;
    for number in 0..1_100 {
        archive(&aws, "shard-a", &[(number, HOUR + i64::try_from(number).unwrap() * MINUTE)]).await;
    }
    let (all, duplicates) = read(&aws, HOUR, i64::MAX).await;
    assert_eq!((&all["shard-a"], duplicates), (&(0..1_100).collect::<Vec<_>>(), 0));
}

#[tokio::test]
async fn an_object_that_is_none_is_named() {
    let state = tempfile::tempdir().unwrap();
    let aws = embedded(state.path()).await;
    let key = "archive/s/2023/11/14/22/shard-a/1-1-1-00000000.ndjson.gz";
    aws.s3.put_object().bucket(BUCKET).key(key).body(b"{}".to_vec().into()).send().await.unwrap();
    let mut reader = ArchiveReader::new(&aws, BUCKET, "s", 0, i64::MAX);
    let error = format!("{:#}", reader.next().await.unwrap_err());
    assert!(error.contains(key), "{error}");
}
