//! A stream that is copied into another region: every record arrives there with what it is a copy of, the same follows from it there as
//! here, copies are not copied again, and nothing of it is left in either region.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::types::{Record, ShardIteratorType};
use serde_json::{Value, json};

use crate::global_changes::left_in;
use crate::harness::{Home, pipeline, runtime, until};
use crate::replicas::sdk_in;

const HOME: &str = "us-east-1";
const AWAY: &str = "eu-west-1";
const EVENTS: &str = "mirror-events";
const COPY: &str = "mirror-copy";
const LIMIT: Duration = Duration::from_secs(60);

/// All records of a stream with one shard.
fn records(endpoint: &str, region: &str, stream: &str) -> Vec<Record> {
    let client = aws_sdk_kinesis::Client::new(&sdk_in(endpoint, region));
    runtime().block_on(async {
        let iterator = client.get_shard_iterator().stream_name(stream).shard_id("shardId-000000000000");
        let iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap();
        let mut next = iterator.shard_iterator;
        let mut all = Vec::new();
        while let Some(iterator) = next {
            let page = client.get_records().shard_iterator(iterator).send().await.unwrap();
            next = page.next_shard_iterator.filter(|_| !page.records.is_empty());
            all.extend(page.records);
        }
        all
    })
}

/// What a record says that it is a copy of: stream, shard and sequence number.
fn copy_of(record: &Record) -> Option<(String, String, String)> {
    let payload: Value = serde_json::from_slice(record.data.as_ref()).ok()?;
    let text = |name: &str| payload["streamkitCopyOf"][name].as_str().map(str::to_owned);
    Some((text("streamArn")?, text("shardId")?, text("sequenceNumber")?))
}

fn streams_in(endpoint: &str, region: &str) -> Vec<String> {
    let client = aws_sdk_kinesis::Client::new(&sdk_in(endpoint, region));
    runtime().block_on(client.list_streams().send()).unwrap().stream_names
}

#[track_caller]
fn assert_nothing_is_left(endpoint: &str) {
    for region in [HOME, AWAY] {
        assert_eq!(left_in(endpoint, region), Vec::<String>::new(), "{region}");
        assert_eq!(streams_in(endpoint, region), Vec::<String>::new(), "{region}");
    }
}

/// The pipeline, whose events wait for no company.
fn mirror(home: &Home, more: &str) -> PathBuf {
    let text = std::fs::read_to_string(pipeline("mirror.toml")).unwrap();
    let text = text.replace("[lint]\n", &format!("{more}\n[lint]\n"));
    home.changed(&text, &[("batch_window = \"5s\"", "batch_window = \"0s\"")])
}

#[test]
fn records_are_copied_into_the_other_region_and_nothing_of_it_is_left() {
    let home = Home::new();
    let endpoint = home.endpoint();
    let spec = mirror(&home, "");
    let up = home.local("up", &spec, &["--yes"]);
    let nodes: BTreeSet<&str> =
        up["resources"].as_array().unwrap().iter().map(|node| node["node"].as_str().unwrap()).collect();
    assert!(nodes.contains("stream.copy@eu-west-1") && !nodes.contains("stream.copy"), "{nodes:?}");
    let before = home.calls().len();
    let again = home.local("up", &spec, &["--yes"]);
    assert_eq!(again["summary"]["unchanged"], up["summary"]["create"], "{again:#}");
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());

    let report = home.local("validate", &spec, &[]);
    assert_eq!(report["ok"], true, "{report:#}");
    let checks = report["checks"].as_array().unwrap().iter();
    let of_mirror = checks.filter(|check| check["function"] == "mirror").map(|check| check["name"].as_str().unwrap());
    let of_mirror: BTreeSet<&str> = of_mirror.collect();
    for name in ["flow", "copies", "poison", "metrics", "logs", "cleanup"] {
        assert!(of_mirror.contains(name), "{name} in {of_mirror:?}");
    }

    let before_sending = records(&endpoint, AWAY, COPY).len();
    home.local("send", &spec, &["--count", "200", "--poison", "5", "--seed", "7"]);
    until("the copies", LIMIT, || (records(&endpoint, AWAY, COPY).len() >= before_sending + 200).then_some(()));
    let (originals, copies) = (records(&endpoint, HOME, EVENTS), records(&endpoint, AWAY, COPY));
    let arn = format!("arn:aws:kinesis:{HOME}:000000000000:stream/{EVENTS}");
    let place = |record: &Record| (arn.clone(), "shardId-000000000000".to_owned(), record.sequence_number.clone());
    let by_place: BTreeMap<_, _> = copies.iter().map(|copy| (copy_of(copy).expect("a copy"), copy)).collect();
    assert_eq!(by_place.len(), originals.len());
    for original in &originals {
        assert_eq!(by_place[&place(original)].partition_key, original.partition_key);
    }
    let seen = home.local_output("tail", &spec, &["stream.copy", "--in", AWAY, "--since", "10m", "--count", "1"]);
    assert!(seen.expect(0).stdout.contains("streamkitCopyOf"));
    let outputs = home.local("outputs", &spec, &[]);
    let arns: Vec<_> = outputs["outputs"].as_array().unwrap().iter().map(|output| &output["arn"]).collect();
    assert!(arns.contains(&&json!(format!("arn:aws:kinesis:{AWAY}:000000000000:stream/{COPY}"))), "{outputs:#}");
    let picture = home.run(&["graph", spec.to_str().unwrap()]).expect(0).stdout;
    assert!(picture.contains("PutRecords"), "{picture}");
    let status = home.local("status", &spec, &[]);
    assert!(status["resources"].as_array().unwrap().iter().all(|node| node["state"] == "ok"), "{status:#}");

    // By the name alone: the tags of the stream at home tell where else to look.
    home.run(&["down", "--name", "mirror", "--local", "--yes"]).expect(0);
    assert_nothing_is_left(&endpoint);
    // The pipeline's own region must be another one.
    let there = home.run(&["up", spec.to_str().unwrap(), "--local", "--yes", "--region", AWAY]).expect(2);
    assert!(there.stderr.contains("stream.copy has `region = \"eu-west-1\"`"), "{there:#?}");
}

#[test]
fn whatever_fails_on_the_way_every_record_is_copied_and_the_first_copies_of_a_key_are_in_order() {
    let home = Home::new();
    home.write(
        "faults.toml",
        "[kinesis]\nPutRecords = { percent = 30, kinds = [\"failed-entries\", \"lost-answer\"] }\n",
    );
    home.run(&["local", "start", "--faults", "faults.toml", "--seed", "3"]).expect(0);
    let endpoint = home.endpoint();
    let spec = mirror(&home, "");
    home.local("up", &spec, &["--yes"]);
    home.local("send", &spec, &["--count", "1000", "--rate", "500", "--poison", "3", "--seed", "7"]);
    let originals: BTreeSet<String> =
        records(&endpoint, HOME, EVENTS).into_iter().map(|record| record.sequence_number).collect();
    assert!(originals.len() >= 1000);
    let copies = until("all copies", LIMIT, || {
        let copies = records(&endpoint, AWAY, COPY);
        let of: BTreeSet<String> = copies.iter().map(|copy| copy_of(copy).expect("a copy").2).collect();
        (of == originals).then_some(copies)
    });
    let (mut seen, mut last) = (BTreeSet::new(), BTreeMap::new());
    for copy in copies {
        let (_, _, number) = copy_of(&copy).unwrap();
        if seen.insert(number.clone()) {
            let before = last.insert(copy.partition_key.clone(), number.clone());
            assert!(before.is_none_or(|before| before < number), "{:?}", copy.partition_key);
        }
    }
}

#[test]
fn a_copy_that_leaves_the_spec_is_deleted_only_when_it_is_named() {
    let home = Home::new();
    let endpoint = home.endpoint();
    let spec = mirror(&home, "");
    home.local("up", &spec, &["--yes"]);
    let without = home.retail(&[("name = \"retail-events\"", "name = \"mirror\"")]);
    let refused = home.local_output("up", &without, &["--yes"]).expect(1);
    assert!(refused.stderr.contains("--allow-delete stream.copy@eu-west-1"), "{refused:#?}");
    assert_eq!(streams_in(&endpoint, AWAY), [COPY]);
    home.local("up", &without, &["--yes", "--allow-delete", "stream.copy@eu-west-1"]);
    assert_eq!(streams_in(&endpoint, AWAY), Vec::<String>::new());
    home.local("down", &without, &["--yes"]);
    assert_nothing_is_left(&endpoint);
}

/// What processes the copies over there, and copies back what is put into the stream there.
const THERE: &str = r#"
[table.standby]
partition_key = { name = "userId", type = "S" }
sort_key = { name = "eventTimestamp", type = "N" }
stream = "new-and-old-images"
replicas = ["eu-west-1"]

[function.standby]
recipe = "retail"
writes = ["table.standby"]
dead_letters = "queue.dlq"
source = { from = "stream.copy", bisect_on_error = true, max_retries = 3, on_failure = "queue.dlq" }

[function.back]
recipe = "mirror"
writes = ["stream.events"]
dead_letters = "queue.dlq"
source = { from = "stream.copy", bisect_on_error = true, max_retries = 3, on_failure = "queue.dlq" }

[alarm.standby-errors]
watch = "function.standby.errors"
threshold = 0
notify = "topic.alerts"
"#;

type Item = BTreeMap<String, String>;

/// The items of a table, but for when each was processed.
fn items(endpoint: &str, region: &str, table: &str) -> BTreeSet<Item> {
    let client = aws_sdk_dynamodb::Client::new(&sdk_in(endpoint, region));
    let all = runtime().block_on(client.scan().table_name(table).send()).unwrap().items.unwrap_or_default();
    let text = |value: &AttributeValue| format!("{value:?}");
    let item = |item: std::collections::HashMap<String, AttributeValue>| {
        let fields = item.iter().filter(|(name, _)| *name != "processedAt");
        fields.map(|(name, value)| (name.clone(), text(value))).collect()
    };
    all.into_iter().map(item).collect()
}

#[test]
fn the_same_follows_from_copies_there_and_what_is_copied_both_ways_does_not_go_round() {
    let home = Home::new();
    let endpoint = home.endpoint();
    let spec = mirror(&home, THERE);
    let up = home.local("up", &spec, &["--yes"]);
    let nodes: BTreeSet<&str> =
        up["resources"].as_array().unwrap().iter().map(|node| node["node"].as_str().unwrap()).collect();
    for node in ["function.standby.source@eu-west-1", "queue.dlq@eu-west-1", "alarm.standby-errors@eu-west-1"] {
        assert!(nodes.contains(node), "{node} in {nodes:?}");
    }
    assert!(!nodes.contains("function.standby") && !nodes.contains("alarm.standby-errors"), "{nodes:?}");
    let before = home.calls().len();
    home.local("up", &spec, &["--yes"]);
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());

    let here = || items(&endpoint, HOME, "mirror-results");
    let there = || items(&endpoint, AWAY, "mirror-standby");
    // Some have ids of their own, and the others are known by their places.
    home.local("send", &spec, &["--count", "60", "--seed", "7"]);
    let lines: String =
        (0..20).map(|n| json!({"userId": format!("u-{n}"), "eventType": "view"}).to_string() + "\n").collect();
    let file = home.write("lines.ndjson", &lines);
    home.local("send", &spec, &["--from", file.to_str().unwrap()]);
    until("the items in both regions", LIMIT, || (here().len() == 80 && there().len() == 80).then_some(()));
    assert_eq!(here(), there());

    // What is put into the stream there comes here, and stays where it is.
    home.local("send", &spec, &["--count", "10", "--seed", "8", "--in", AWAY]);
    until("the items of what was put there", LIMIT, || (here().len() == 90 && there().len() == 90).then_some(()));
    assert_eq!(here(), there());
    assert_eq!(records(&endpoint, HOME, EVENTS).len(), 90);
    assert_eq!(records(&endpoint, AWAY, COPY).len(), 90);

    // Poison is judged where it is processed; mended there, it is known by the same identity.
    home.local("send", &spec, &["--from", home.write("bad.ndjson", "{\"eventType\":\"view\"}\n").to_str().unwrap()]);
    let file = spec.to_str().unwrap();
    let dlq =
        |what: &str, more: &[&str]| home.run(&[&["dlq", what, file, "--local", "--json"], more].concat()).expect(0);
    let listed = |region: &[&str]| dlq("list", region).stdout;
    until("a letter in both regions", LIMIT, || {
        let has = |text: String| text.contains("missing_field");
        (has(listed(&[])) && has(listed(&["--in", AWAY]))).then_some(())
    });
    for region in [&[][..], &["--in", AWAY]] {
        let played = dlq("redrive", &[&["--yes", "--edit", ".userId = \"mended\""], region].concat()).json();
        assert_eq!(played["delivered"], 1, "{played:#}");
    }
    assert_eq!(here().len(), 91);
    assert_eq!(here(), there());

    let report = home.local("validate", &spec, &["--function", "standby"]);
    assert_eq!(report["ok"], true, "{report:#}");
    home.local("down", &spec, &["--yes"]);
    assert_nothing_is_left(&endpoint);
}
