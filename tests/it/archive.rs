//! The archive: everything that was in a stream or table, as it came, in objects that nobody overwrites.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use crate::flow::assert_nothing_is_left;
use crate::harness::{Home, pipeline, runtime, sdk, until};

const LIMIT: Duration = Duration::from_secs(60);

fn without_waiting(home: &Home) -> PathBuf {
    let text = std::fs::read_to_string(pipeline("archive.toml")).unwrap();
    home.changed(&text, &[("batch_window = \"5s\"", "batch_window = \"0s\"")])
}

/// Keys and lines of all objects of a bucket, in the order of the keys.
fn objects(home: &Home, bucket: &str) -> Vec<(String, Vec<Value>)> {
    let s3 = aws_sdk_s3::config::Builder::from(&sdk(&home.endpoint())).force_path_style(true).build();
    let s3 = aws_sdk_s3::Client::from_conf(s3);
    runtime().block_on(async {
        let list = s3.list_objects_v2().bucket(bucket).prefix("archive/").send().await.unwrap();
        assert_ne!(list.is_truncated(), Some(true));
        let mut objects = Vec::new();
        for key in list.contents.unwrap_or_default().into_iter().filter_map(|object| object.key) {
            let object = s3.get_object().bucket(bucket).key(&key).send().await.unwrap();
            let body = object.body.collect().await.unwrap().into_bytes();
            let mut text = String::new();
            flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
            objects.push((key, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()));
        }
        objects
    })
}

fn checks(report: &Value) -> Vec<&str> {
    report["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect()
}

#[test]
fn everything_that_was_in_the_stream_is_in_the_archive_good_or_bad() {
    let home = Home::new();
    let spec = without_waiting(&home);
    let bucket = "archive-archive-000000000000-us-east-1";
    home.local("up", &spec, &["--yes"]);

    // Both functions by the events of one run, and the archive by itself.
    let report = home.local("validate", &spec, &[]);
    assert_eq!(report["ok"], true, "{report:#}");
    assert!(checks(&report).contains(&"items") && checks(&report).contains(&"archive"), "{report:#}");
    let report = home.local("validate", &spec, &["--function", "archive"]);
    assert_eq!(report["ok"], true, "{report:#}");
    for check in ["archive", "poison", "metrics", "logs", "cleanup"] {
        assert!(checks(&report).contains(&check), "{check}: {report:#}");
    }
    assert_eq!(objects(&home, bucket).len(), 0, "what validate sends it takes away again");

    let sent = home.local("send", &spec, &["--count", "500", "--poison", "4", "--seed", "7"]);
    assert_eq!((&sent["sent"], &sent["poison"]), (&json!(500), &json!(20)), "{sent:#}");
    let objects = until("all records in the archive", LIMIT, || {
        let objects = objects(&home, bucket);
        (objects.iter().map(|(_, lines)| lines.len()).sum::<usize>() >= 500).then_some(objects)
    });
    let records: Vec<&Value> = objects.iter().flat_map(|(_, lines)| lines).collect();
    let ids: BTreeSet<&str> = records.iter().map(|record| record["eventID"].as_str().unwrap()).collect();
    assert_eq!((records.len(), ids.len()), (500, 500));
    // One shard and one hour, or two: the order of the keys is the order of the stream.
    let numbers: Vec<&str> =
        records.iter().map(|record| record["kinesis"]["sequenceNumber"].as_str().unwrap()).collect();
    assert!(numbers.is_sorted_by_key(|number| (number.len(), *number)), "{numbers:?}");
    for record in records {
        assert_eq!(record["eventSource"], "aws:kinesis");
        assert_eq!(record["eventSourceARN"], "arn:aws:kinesis:us-east-1:000000000000:stream/archive-events");
        assert!(record["kinesis"]["approximateArrivalTimestamp"].as_f64().unwrap() > 1e9, "{record}");
        assert!(record["kinesis"]["data"].is_string() && record["kinesis"]["partitionKey"].is_string(), "{record}");
    }
    home.local("down", &spec, &["--yes"]);
    assert_nothing_is_left(&home);
}

#[test]
fn changes_of_a_table_are_archived_beside_what_reads_them_already() {
    let home = Home::new();
    let text = std::fs::read_to_string(pipeline("change-capture.toml")).unwrap();
    let archive = "[bucket.archive]\n[function.archive]\nrecipe = \"archive\"\nwrites = [\"bucket.archive\"]\n\
                   [function.archive.source]\nfrom = \"table.activities\"\nbatch_window = \"0s\"\n\n[dashboard]";
    let spec = home.changed(&text, &[("[dashboard]", archive), ("batch_window = \"5s\"", "batch_window = \"0s\"")]);
    home.local("up", &spec, &["--yes"]);
    let dynamodb = aws_sdk_dynamodb::Client::new(&sdk(&home.endpoint()));
    runtime().block_on(async {
        for n in 0..3 {
            let put = dynamodb.put_item().table_name("change-capture-activities");
            let put = put.item("UserId", AttributeValue::S("u".to_owned()));
            let put = put.item("ActivityId", AttributeValue::S("a".to_owned()));
            put.item("n", AttributeValue::N(n.to_string())).send().await.unwrap();
        }
    });
    let lines = until("three changes in the archive", LIMIT, || {
        let objects = objects(&home, "change-capture-archive-000000000000-us-east-1");
        assert!(objects.iter().all(|(key, _)| key.starts_with("archive/change-capture-activities/")), "{objects:?}");
        let lines: Vec<Value> = objects.into_iter().flat_map(|(_, lines)| lines).collect();
        (lines.len() >= 3).then_some(lines)
    });
    let names: Vec<_> = lines.iter().map(|line| line["eventName"].as_str().unwrap()).collect();
    assert_eq!(names, ["INSERT", "MODIFY", "MODIFY"]);
    assert_eq!(lines[2]["dynamodb"]["OldImage"]["n"], json!({"N": "1"}));
    assert_eq!(lines[2]["dynamodb"]["NewImage"]["n"], json!({"N": "2"}));
    let refused = home.local_output("validate", &spec, &["--function", "archive"]).expect(2);
    assert!(refused.stderr.contains("does not look into the archive of a table"), "{refused:#?}");
    // The recipe that the table is there for is chosen without being named.
    let report = home.local("validate", &spec, &[]);
    assert_eq!(report["ok"], true, "{report:#}");
}
