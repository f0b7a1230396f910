//! `streamkit tail`: records of streams and changes of tables, decoded and filtered, over reshards, and ended quietly.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ScalingType};
use serde_json::{Value, json};

use crate::harness::{Home, finish, runtime, sdk, until};
use crate::schema::valid_lines;

const LIMIT: Duration = Duration::from_secs(60);

const SPEC: &str = r#"
name = "tailed"

[stream.events]
shards = 2

[stream.other]

[table.clicks]
partition_key = { name = "user_id", type = "S" }
sort_key = { name = "sequence", type = "S" }
stream = "new-and-old-images"

[function.f]
recipe = "clickstream"
writes = ["table.clicks"]
source = { from = "stream.events", filter = [{ data = { kind = ["a"] } }] }
"#;

fn spec(home: &Home) -> std::path::PathBuf {
    let spec = home.write("tailed.toml", SPEC);
    home.local("up", &spec, &["--yes"]);
    spec
}

/// Puts records with these numbers, of ten keys.
fn put(home: &Home, stream: &str, numbers: std::ops::Range<u64>) {
    let client = aws_sdk_kinesis::Client::new(&sdk(&home.endpoint()));
    let entries = numbers.map(|number| {
        let kind = ["a", "b"][usize::try_from(number % 2).unwrap()];
        let data = json!({ "kind": kind, "number": number }).to_string();
        PutRecordsRequestEntry::builder()
            .partition_key(format!("key-{}", number % 10))
            .data(Blob::new(data))
            .build()
            .unwrap()
    });
    let call = client.put_records().stream_name(stream).set_records(Some(entries.collect()));
    assert_eq!(runtime().block_on(call.send()).unwrap().failed_record_count, Some(0));
}

#[track_caller]
fn records(home: &Home, spec: &Path, more: &[&str]) -> Vec<Value> {
    let output = home.local_output("tail", spec, more).expect(0);
    assert_eq!(output.stderr, "");
    valid_lines("tail", &output)
}

fn numbers(records: &[Value]) -> Vec<u64> {
    records.iter().map(|record| record["payload"]["number"].as_u64().unwrap()).collect()
}

#[test]
fn records_come_in_lambdas_shape_with_their_payload() {
    let home = Home::new();
    let spec = spec(&home);
    put(&home, "tailed-events", 0..40);
    let all = records(&home, &spec, &["--since", "10m", "--count", "40"]);
    assert_eq!(numbers(&all).into_iter().collect::<BTreeSet<_>>(), (0..40).collect());
    let first = &all[0];
    let shard = first["eventID"].as_str().unwrap().split(':').next().unwrap();
    assert_eq!(first["eventSource"], "aws:kinesis");
    assert_eq!(first["eventID"], format!("{shard}:{}", first["kinesis"]["sequenceNumber"].as_str().unwrap()));
    let shards: BTreeSet<_> = all.iter().map(|record| record["eventID"].as_str().unwrap().split(':').next()).collect();
    assert_eq!(shards.len(), 2, "{shards:?}");

    // The mapping's own filter, a given one, both, and one that says the same of the key.
    let a = |number: &u64| number.is_multiple_of(2);
    let of_function = records(&home, &spec, &["--since", "10m", "--count", "20", "--function", "f"]);
    assert!(numbers(&of_function).iter().all(a));
    let filter = r#"{"data": {"number": [{"numeric": [">=", 30]}]}}"#;
    let both = records(&home, &spec, &["--since", "10m", "--count", "5", "--function", "f", "--filter", filter]);
    assert_eq!(numbers(&both).into_iter().collect::<BTreeSet<_>>(), [30, 32, 34, 36, 38].into());
    let (of_key, of_number) = (r#"{"partitionKey": ["key-3"]}"#, r#"{"data": {"number": [4]}}"#);
    let either = records(&home, &spec, &["--since", "10m", "--count", "5", "--filter", of_key, "--filter", of_number]);
    assert_eq!(numbers(&either).into_iter().collect::<BTreeSet<_>>(), [3, 4, 13, 23, 33].into());
    let number = shard.rsplit('-').next().unwrap().parse::<u64>().unwrap().to_string();
    let of_shard = records(&home, &spec, &["--since", "10m", "--count", "4", "--shards", &number]);
    assert!(of_shard.iter().all(|record| record["eventID"].as_str().unwrap().starts_with(shard)), "{of_shard:#?}");

    let text = home
        .run(&["tail", spec.to_str().unwrap(), "stream.events", "--local", "--since", "10m", "--count", "1"])
        .expect(0);
    let lines: Vec<_> = text.stdout.lines().collect();
    assert!(lines[0].contains("Z  shard ") && lines[0].contains("  key-"), "{text:#?}");
    assert!(lines[1].starts_with("    {\"kind\":"), "{text:#?}");

    for (args, says) in [
        (&["stream.nosuch"][..], "there is no stream.nosuch in this pipeline; there is stream.events"),
        (&["function.f"], "function.f has no records to read"),
        (&["--filter", "{"], "this filter pattern is not JSON"),
        (&["--filter", r#"{"a": 1}"#], "this is not a filter pattern"),
    ] {
        let output = home.local_output("tail", &spec, args).expect(2);
        assert!(output.stderr.contains(says), "{output:#?}");
    }
    let output = home.local_output("tail", &spec, &["--shards", "77"]).expect(1);
    assert!(output.stderr.contains("tailed-events has no such shard"), "{output:#?}");
}

#[test]
fn changes_of_a_table_are_plain_json() {
    let home = Home::new();
    let spec = spec(&home);
    let client = aws_sdk_dynamodb::Client::new(&sdk(&home.endpoint()));
    let text = |text: &str| AttributeValue::S(text.to_owned());
    runtime().block_on(async {
        for amount in ["1", "2.5"] {
            let put =
                client.put_item().table_name("tailed-clicks").item("user_id", text("u")).item("sequence", text("1"));
            put.item("amount", AttributeValue::N(amount.to_owned())).send().await.unwrap();
        }
        let delete = client.delete_item().table_name("tailed-clicks").key("user_id", text("u"));
        delete.key("sequence", text("1")).send().await.unwrap();
    });
    let changes = records(&home, &spec, &["table.clicks", "--since", "10m", "--count", "3"]);
    let names: Vec<_> = changes.iter().map(|change| change["eventName"].as_str().unwrap()).collect();
    assert_eq!(names, ["INSERT", "MODIFY", "REMOVE"]);
    let key = json!({ "user_id": "u", "sequence": "1" });
    let image = |amount: f64| json!({ "user_id": "u", "sequence": "1", "amount": amount });
    assert_eq!(changes[1]["payload"]["keys"], key);
    assert_eq!(changes[1]["payload"]["new_image"], image(2.5));
    assert_eq!(changes[1]["payload"]["old_image"]["amount"], 1);
    assert_eq!(changes[1]["dynamodb"]["Keys"]["user_id"], json!({ "S": "u" }));
    assert!(changes[2]["payload"].get("new_image").is_none());
    let removed = records(
        &home,
        &spec,
        &["table.clicks", "--since", "10m", "--count", "1", "--filter", r#"{"eventName": ["REMOVE"]}"#],
    );
    assert_eq!(removed[0]["eventName"], "REMOVE");
}

#[test]
fn after_a_reshard_each_key_keeps_its_order() {
    let home = Home::new();
    let spec = spec(&home);
    let client = aws_sdk_kinesis::Client::new(&sdk(&home.endpoint()));
    put(&home, "tailed-events", 0..100);
    let scale = client.update_shard_count().stream_name("tailed-events").target_shard_count(4);
    runtime().block_on(scale.scaling_type(ScalingType::UniformScaling).send()).unwrap();
    until("the new shards", LIMIT, || {
        let summary = client.describe_stream_summary().stream_name("tailed-events").send();
        let summary = runtime().block_on(summary).unwrap().stream_description_summary.unwrap();
        (summary.stream_status.as_str() == "ACTIVE" && summary.open_shard_count == 4).then_some(())
    });
    put(&home, "tailed-events", 100..200);
    let all = records(&home, &spec, &["--since", "10m", "--count", "200"]);
    let mut by_key: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (record, number) in all.iter().zip(numbers(&all)) {
        by_key.entry(record["kinesis"]["partitionKey"].as_str().unwrap()).or_default().push(number);
    }
    assert_eq!(by_key.len(), 10);
    for (key, numbers) in by_key {
        assert!(numbers.is_sorted() && numbers.len() == 20, "{key}: {numbers:?}");
    }
}

#[test]
#[cfg(unix)]
fn live_records_come_from_new_shards_too_and_the_end_is_quiet() {
    let home = Home::new();
    let spec = spec(&home);
    put(&home, "tailed-other", 0..5);
    let before = home.calls().len();
    let args = ["tail", spec.to_str().unwrap(), "stream.other", "--local", "--json"];
    let start = || home.command().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // From then on it is live: only this stream's other shards can come later.
    let begun = |from: usize| {
        let (_, calls) = home.calls_after(from);
        let begins = |call: &Value| call["operation"] == "GetShardIterator" && call["resource"] == "tailed-other";
        calls.iter().any(|call| begins(call) && call["status"] == 200).then_some(())
    };
    let mut child = start();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    until("the reading", LIMIT, || begun(before));
    put(&home, "tailed-other", 5..8);
    let mut next = |count: usize| -> BTreeSet<u64> {
        let records: Vec<Value> =
            lines.by_ref().take(count).map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        numbers(&records).into_iter().collect()
    };
    // What was there before is not live.
    assert_eq!(next(3), (5..8).collect());

    let client = aws_sdk_kinesis::Client::new(&sdk(&home.endpoint()));
    let scale = client.update_shard_count().stream_name("tailed-other").target_shard_count(2);
    runtime().block_on(scale.scaling_type(ScalingType::UniformScaling).send()).unwrap();
    until("the new shards", LIMIT, || {
        let summary = client.describe_stream_summary().stream_name("tailed-other").send();
        let summary = runtime().block_on(summary).unwrap().stream_description_summary.unwrap();
        (summary.stream_status.as_str() == "ACTIVE" && summary.open_shard_count == 2).then_some(())
    });
    put(&home, "tailed-other", 8..28);
    assert_eq!(next(20), (8..28).collect());
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(finish(child).expect(0).stderr, "");

    // A reader that leaves ends it too, although nothing comes any more.
    let from = home.calls().len();
    let mut child = start();
    until("the reading", LIMIT, || begun(from));
    drop(child.stdout.take());
    assert_eq!(finish(child).expect(0).stderr, "");
}
