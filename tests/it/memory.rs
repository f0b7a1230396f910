//! A function with a memory: each record changes its state once, whatever fails, is delivered again, or is played again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ScalingType};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{Home, runtime, sdk, until};
use crate::own_code::example;

const LIMIT: Duration = Duration::from_secs(120);

const SPEC: &str = r#"
name = "readings"

[stream.events]
shards = 2

[table.readings]
partition_key = { name = "sensor", type = "S" }
sort_key = { name = "reading", type = "S" }

[table.memory]
partition_key = { name = "key", type = "S" }
ttl = "expiresAt"

[topic.hot]

[queue.dlq]

[function.f]
code = "CRATE"
timeout = "15s"
state = "table.memory"
writes = ["table.readings"]
publishes = "topic.hot"
dead_letters = "queue.dlq"
source = { from = "stream.events", batch_size = 10, parallelization_factor = 3, bisect_on_error = true, max_retries = 50, on_failure = "queue.dlq" }
"#;

const SENSORS: [&str; 3] = ["a", "b", "c"];

struct Case {
    home: Home,
    spec: PathBuf,
    config: aws_config::SdkConfig,
    runtime: tokio::runtime::Runtime,
    /// How many readings of each sensor are in the stream.
    put: usize,
}

impl Case {
    fn new() -> Self {
        let home = Home::new();
        let spec = home.write("readings.toml", &SPEC.replace("CRATE", example(&home).to_str().unwrap()));
        home.local("up", &spec, &["--yes"]);
        let config = sdk(&home.endpoint());
        Self { home, spec, config, runtime: runtime(), put: 0 }
    }

    /// Puts so many readings of each sensor, some with the sensor as partition key, some with another.
    fn put(&mut self, count: usize) {
        let kinesis = aws_sdk_kinesis::Client::new(&self.config);
        let entries = (0..count).flat_map(|n| {
            SENSORS.map(|sensor| {
                let partition_key = if n % 2 == 0 { sensor.to_owned() } else { format!("gateway-{}", n % 7) };
                let data = Blob::new(json!({ "sensor": sensor, "celsius": n }).to_string());
                PutRecordsRequestEntry::builder().partition_key(partition_key).data(data).build().unwrap()
            })
        });
        let call = kinesis.put_records().stream_name("readings-events").set_records(Some(entries.collect()));
        assert_eq!(self.runtime.block_on(call.send()).unwrap().failed_record_count, Some(0));
        self.put += count;
    }

    fn scan(&self, table: &str) -> Vec<std::collections::HashMap<String, aws_sdk_dynamodb::types::AttributeValue>> {
        let dynamodb = aws_sdk_dynamodb::Client::new(&self.config);
        let pages = dynamodb.scan().table_name(table).consistent_read(true).into_paginator().items().send();
        self.runtime.block_on(pages.collect::<Result<_, _>>()).unwrap()
    }

    /// How many readings each sensor's state has counted.
    fn counted(&self) -> BTreeMap<String, u64> {
        let state = |item: &std::collections::HashMap<String, aws_sdk_dynamodb::types::AttributeValue>| {
            let state: Value = serde_json::from_str(item["state"].as_s().unwrap()).unwrap();
            (item["key"].as_s().unwrap().clone(), state["readings"].as_u64().unwrap())
        };
        self.scan("readings-memory").iter().map(state).collect()
    }

    /// Waits until each reading has an item, and looks whether each has been counted once.
    fn until_counted(&self, more: &[(&str, u64)]) {
        let extra: u64 = more.iter().map(|(_, count)| count).sum();
        let all = SENSORS.len() * self.put + usize::try_from(extra).unwrap();
        until(&format!("{all} readings"), LIMIT, || (self.scan("readings-readings").len() == all).then_some(()));
        let mut wanted: BTreeMap<String, u64> =
            SENSORS.iter().map(|sensor| ((*sensor).to_owned(), u64::try_from(self.put).unwrap())).collect();
        for (sensor, count) in more {
            *wanted.entry((*sensor).to_owned()).or_default() += count;
        }
        assert_eq!(self.counted(), wanted);
    }
}

#[test]
fn each_reading_changes_its_sensors_state_once() {
    let mut case = Case::new();
    let home = &case.home;
    // States that are written, and nobody learns of it; items that are not stored, so that batches come again.
    home.lose_answer("dynamodb", "PutItem");
    home.lose_answer("dynamodb", "PutItem");
    home.fault("dynamodb", "BatchWriteItem", 9, 500, "InternalServerError");
    case.put(40);
    case.until_counted(&[]);

    // Shards are split, and merged again, while more comes.
    let kinesis = aws_sdk_kinesis::Client::new(&case.config);
    for shards in [4, 2] {
        case.put(20);
        let scale = || {
            kinesis
                .update_shard_count()
                .stream_name("readings-events")
                .target_shard_count(shards)
                .scaling_type(ScalingType::UniformScaling)
        };
        // The stream may still be at the reshard before.
        until("a reshard", LIMIT, || case.runtime.block_on(scale().send()).ok());
        case.home.lose_answer("dynamodb", "PutItem");
        case.put(20);
    }
    case.until_counted(&[]);

    // All of it once more: what is there stays as it is.
    let spec = case.spec.to_str().unwrap();
    let replay = case.home.run(&["replay", spec, "--local", "--json", "--yes", "--since", "1h"]).expect(0).json();
    assert_eq!(replay["duplicates"], SENSORS.len() * case.put, "{replay:#}");
    case.until_counted(&[]);
}

#[test]
fn what_failed_changes_a_state_once_when_it_is_played() {
    let mut case = Case::new();
    let kinesis = aws_sdk_kinesis::Client::new(&case.config);
    let put = |data: &str| {
        let put = kinesis.put_record().stream_name("readings-events").partition_key("a").data(Blob::new(data));
        case.runtime.block_on(put.send()).unwrap();
    };
    put(r#"{"sensor":"a","celsius":"broken"}"#);
    // Far more than a state remembers one by one.
    for _ in 0..4 {
        case.put(100);
    }
    case.until_counted(&[]);
    let spec = case.spec.to_str().unwrap();
    let redrive = |more: &[&str]| {
        let arguments = [&["dlq", "redrive", spec, "--local", "--json", "--yes"], more].concat();
        case.home.run(&arguments).expect(0).json()
    };
    let told = redrive(&["--edit", ".celsius = 777"]);
    assert_eq!((&told["delivered"], &told["failed"]), (&json!(1), &json!(0)), "{told:#}");
    case.until_counted(&[("a", 1)]);

    // The letter once more, as SQS may deliver it, and the record once more, as Lambda may.
    let lambda = aws_sdk_lambda::Client::new(&case.config);
    let item = case.scan("readings-readings").into_iter().find(|item| item["celsius"].as_n().unwrap() == "777");
    let item = item.unwrap();
    let place = item["reading"].as_s().unwrap();
    let (shard, number) = place.split_once(':').unwrap();
    assert!(shard.starts_with("shardId-"), "{place}");
    let event = |streamkit: Value| {
        let mut record = json!({
            "kinesis": {
                "kinesisSchemaVersion": "1.0", "partitionKey": "a", "sequenceNumber": number,
                "data": STANDARD.encode(r#"{"sensor":"a","celsius":777}"#), "approximateArrivalTimestamp": 1_700_000_000.25,
            },
            "eventSource": "aws:kinesis", "eventVersion": "1.0", "eventID": place, "eventName": "aws:kinesis:record",
            "awsRegion": "us-east-1",
            "eventSourceARN": "arn:aws:kinesis:us-east-1:000000000000:stream/readings-events",
        });
        if !streamkit.is_null() {
            record["streamkit"] = streamkit;
        }
        json!({ "Records": [record] }).to_string()
    };
    let again = json!({ "failedAt": 1_700_000_000_000_i64, "rejected": true });
    let context = json!({ "custom": { "streamkit-replay": "{\"history\":false,\"deadLetters\":false}" } });
    for (payload, context) in [(event(again), Some(STANDARD.encode(context.to_string()))), (event(Value::Null), None)] {
        let call = lambda
            .invoke()
            .function_name("readings-f")
            .set_client_context(context)
            .payload(aws_sdk_lambda::primitives::Blob::new(payload));
        let answer = case.runtime.block_on(call.send()).unwrap();
        assert_eq!(answer.function_error, None, "{answer:?}");
    }
    case.until_counted(&[("a", 1)]);
}
