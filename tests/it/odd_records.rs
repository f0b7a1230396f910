//! Records that AWS delivers and few producers make: huge poison, several in one, and without a partition key.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_kinesis::primitives::Blob;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::flow::count_items;
use crate::harness::{Home, pipeline, runtime, sdk, until};

const STREAM: &str = "retail-events-events";

/// Two events and what is none, as the Kinesis Producer Library aggregates them.
const AGGREGATED: &str = concat!(
    "84mawgoFa3BsLTEKBWtwbC0yCgVrcGwtMxpDCAAaP3sidXNlcklkIjoia3BsLTEiLCJldmVudFR5cGUiOiJ2aWV3IiwidGltZXN0",
    "YW1wIjoxNzY3MjI1NjAwMDAwfRpHCAEaQ3sidXNlcklkIjoia3BsLTIiLCJldmVudFR5cGUiOiJwdXJjaGFzZSIsInRpbWVzdGFt",
    "cCI6MTc2NzIyNTYwMDAwMX0aDAgCGghub3QganNvboqs6BeHErpnjc8FwBmkYoM=",
);

fn start() -> (Home, SdkConfig) {
    let home = Home::new();
    home.run(&["local", "start", "--strict"]).expect(0);
    home.local("up", &pipeline("retail-events.toml"), &["--yes"]);
    let config = sdk(&home.endpoint());
    (home, config)
}

fn put(config: &SdkConfig, key: &str, data: impl Into<Vec<u8>>) {
    let put = aws_sdk_kinesis::Client::new(config).put_record().stream_name(STREAM).partition_key(key);
    runtime().block_on(put.data(Blob::new(data)).send()).unwrap();
}

/// All dead letters, of which there must come so many.
fn dead_letters(config: &SdkConfig, count: usize) -> Vec<Value> {
    let sqs = aws_sdk_sqs::Client::new(config);
    let mut letters = Vec::new();
    until("dead letters", Duration::from_secs(60), || {
        let answer = runtime().block_on(async {
            let url = sqs.get_queue_url().queue_name("retail-events-dlq").send().await.unwrap().queue_url.unwrap();
            sqs.receive_message().queue_url(url).max_number_of_messages(10).visibility_timeout(600).send().await
        });
        let messages = answer.unwrap().messages.unwrap_or_default();
        letters.extend(messages.iter().map(|letter| serde_json::from_str(letter.body().unwrap()).unwrap()));
        (letters.len() >= count).then_some(())
    });
    letters
}

#[test]
fn a_record_of_900_kb_that_is_poison_is_put_aside_and_blocks_nobody() {
    let (_home, config) = start();
    put(&config, "a", vec![0xFF; 900_000]);
    put(&config, "a", r#"{"userId": "after", "eventType": "view", "timestamp": 1767225600000}"#);
    until("the item behind it", Duration::from_secs(60), || (count_items(&config) == 1).then_some(()));
    let letters = dead_letters(&config, 1);
    assert_eq!(letters[0]["payloadBytes"], 900_000, "{:#}", letters[0]);
    assert!(letters[0]["payloadAt"]["sequenceNumber"].is_string(), "{:#}", letters[0]);
    assert!(letters[0].to_string().len() < 10_000);
}

#[test]
fn records_that_were_aggregated_are_processed_one_by_one() {
    let (_home, config) = start();
    put(&config, "a", STANDARD.decode(AGGREGATED).unwrap());
    until("two items", Duration::from_secs(60), || (count_items(&config) == 2).then_some(()));
    let letters = dead_letters(&config, 1);
    assert_eq!((letters.len(), &letters[0]["payload"]), (1, &json!("not json")), "{letters:#?}");
}

#[test]
fn a_record_without_a_partition_key_is_an_item_like_any_other() {
    let (_home, config) = start();
    let data = STANDARD.encode(r#"{"userId": "keyless", "eventType": "view", "timestamp": 1767225600000}"#);
    let arn = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{STREAM}");
    // As Lambda hands it over where Kinesis chose the shard.
    let event = json!({ "Records": [{
        "kinesis": {
            "kinesisSchemaVersion": "1.0", "partitionKey": null, "data": data, "approximateArrivalTimestamp": 1_767_225_600.5,
            "sequenceNumber": "49590338271490256608559692538361571095921575989136588898",
        },
        "eventSource": "aws:kinesis", "eventVersion": "1.0", "eventName": "aws:kinesis:record", "awsRegion": "us-east-1",
        "eventID": "shardId-000000000000:49590338271490256608559692538361571095921575989136588898",
        "eventSourceARN": arn, "invokeIdentityArn": "arn:aws:iam::000000000000:role/r",
    }] });
    let lambda = aws_sdk_lambda::Client::new(&config).invoke().function_name("retail-events-processor");
    let answer = runtime().block_on(lambda.payload(aws_sdk_lambda::primitives::Blob::new(event.to_string())).send());
    let answer = answer.unwrap();
    assert_eq!(answer.function_error, None);
    let payload: Value = serde_json::from_slice(answer.payload.unwrap().as_ref()).unwrap();
    assert_eq!(payload["batchItemFailures"], json!([]), "{payload:#}");
    assert_eq!(count_items(&config), 1);
}
