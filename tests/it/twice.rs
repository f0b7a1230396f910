//! At-least-once delivery: a function is invoked twice with one and the same batch, and what it leaves is looked at.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::QueueAttributeName;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{Home, pipeline, runtime, sdk, until};

const LIMIT: Duration = Duration::from_secs(60);

/// Invokes a function twice with the same event, and expects each time that nothing is to be delivered again.
fn invoke_twice(config: &aws_config::SdkConfig, function: &str, event: &Value) {
    let lambda = aws_sdk_lambda::Client::new(config);
    for _ in 0..2 {
        let payload = aws_sdk_lambda::primitives::Blob::new(event.to_string());
        let output = runtime().block_on(lambda.invoke().function_name(function).payload(payload).send()).unwrap();
        assert_eq!(output.function_error, None, "{output:?}");
        let answer: Value = serde_json::from_slice(output.payload.unwrap().as_ref()).unwrap();
        assert_eq!(answer["batchItemFailures"], json!([]), "{answer}");
    }
}

/// The messages of a queue, as soon as there are so many; the queue keeps them.
fn messages(config: &aws_config::SdkConfig, queue: &str, count: usize) -> Vec<Value> {
    let sqs = aws_sdk_sqs::Client::new(config);
    let url = runtime().block_on(sqs.get_queue_url().queue_name(queue).send()).unwrap().queue_url.unwrap();
    until(&format!("{count} messages in {queue}"), LIMIT, || {
        let receive = sqs.receive_message().queue_url(&url).max_number_of_messages(10).visibility_timeout(0);
        let messages = runtime().block_on(receive.send()).unwrap().messages.unwrap_or_default();
        let bodies = messages.iter().map(|message| serde_json::from_str(message.body().unwrap()).unwrap());
        Some(bodies.collect::<Vec<Value>>()).filter(|bodies| bodies.len() == count)
    })
}

/// The sum of a metric of this pipeline, as soon as it is so much.
pub(crate) fn counted(config: &aws_config::SdkConfig, namespace: &str, metric: &str, pipeline: &str, sum: f64) {
    let client = aws_sdk_cloudwatch::Client::new(config);
    let now = std::time::SystemTime::now();
    let dimension = aws_sdk_cloudwatch::types::Dimension::builder().name("Pipeline").value(pipeline).build();
    until(&format!("{metric} of {sum}"), LIMIT, || {
        let hour = Duration::from_secs(3600);
        let statistics = client
            .get_metric_statistics()
            .namespace(namespace)
            .metric_name(metric)
            .dimensions(dimension.clone())
            .start_time((now - hour).into())
            .end_time((now + hour).into())
            .period(60)
            .statistics(aws_sdk_cloudwatch::types::Statistic::Sum);
        let points = runtime().block_on(statistics.send()).unwrap().datapoints.unwrap_or_default();
        let seen: f64 = points.iter().filter_map(aws_sdk_cloudwatch::types::Datapoint::sum).sum();
        ((seen - sum).abs() < f64::EPSILON).then_some(())
    });
}

#[test]
fn a_batch_of_a_stream_delivered_twice_leaves_each_item_once() {
    let home = Home::new();
    home.local("up", &pipeline("retail-events.toml"), &["--yes"]);
    let config = sdk(&home.endpoint());
    let record = |sequence: u32, data: &str| {
        json!({
            "kinesis": {
                "kinesisSchemaVersion": "1.0", "partitionKey": "u", "sequenceNumber": format!("4959033827149{sequence:043}"),
                "data": STANDARD.encode(data), "approximateArrivalTimestamp": 1_700_000_000.25,
            },
            "eventSource": "aws:kinesis", "eventVersion": "1.0",
            "eventID": format!("shardId-000000000000:4959033827149{sequence:043}"),
            "eventName": "aws:kinesis:record", "awsRegion": "us-east-1",
            "invokeIdentityArn": "arn:aws:iam::000000000000:role/streamkit/retail-events-processor-us-east-1",
            "eventSourceARN": "arn:aws:kinesis:us-east-1:000000000000:stream/retail-events-events",
        })
    };
    // The first two are alike in all but their place in the stream, and so are two items.
    let event = json!({"Records": [
        record(1, r#"{"userId":"u","eventType":"view","productId":"P1","timestamp":1700000000000}"#),
        record(2, r#"{"userId":"u","eventType":"view","productId":"P1","timestamp":1700000000000}"#),
        record(3, r#"{"userId":"u","eventType":"purchase","productId":"P1"}"#),
        record(4, "poison"),
    ]});
    invoke_twice(&config, "retail-events-processor", &event);

    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    let scan = dynamodb.scan().table_name("retail-events-results").consistent_read(true);
    let items = runtime().block_on(scan.send()).unwrap().items.unwrap();
    let mut records: Vec<_> = items.iter().map(|item| item["recordId"].as_s().unwrap().clone()).collect();
    records.sort();
    let of = |sequence: u32| format!("shardId-000000000000:4959033827149{sequence:043}");
    assert_eq!(records, [of(1), of(2), of(3)]);

    // What can't be taken back is there for each delivery, and says which record it is about.
    let letters = messages(&config, "retail-events-dlq", 2);
    assert!(letters.iter().all(|letter| letter["eventId"] == of(4)), "{letters:#?}");
    counted(&config, "RetailEventProcessing", "ProcessedEvents", "retail-events", 6.0);
    counted(&config, "RetailEventProcessing", "FailedEvents", "retail-events", 2.0);
}

/// Changes as Lambda delivers them: a user's change, a delete by time to live, and a write that a global table of
/// version 2017.11.29 brought from another region.
fn changes() -> Value {
    let record = |id: &str, name: &str, sequence: &str, change: Value, more: Value| {
        let mut record = json!({
            "eventID": id, "eventName": name, "eventVersion": "1.1", "eventSource": "aws:dynamodb", "awsRegion": "us-east-1",
            "dynamodb": {
                "ApproximateCreationDateTime": 1_700_000_000.0, "SequenceNumber": sequence, "SizeBytes": 112,
                "Keys": {"UserId": {"S": "u"}, "ActivityId": {"S": id}}, "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
            "eventSourceARN": "arn:aws:dynamodb:us-east-1:000000000000:table/change-capture-activities/stream/2026-01-02T03:04:05.678",
        });
        let merge = |into: &mut Value, from: Value| {
            let Value::Object(from) = from else { panic!("an object") };
            into.as_object_mut().unwrap().extend(from);
        };
        merge(&mut record["dynamodb"], change);
        merge(&mut record, more);
        record
    };
    let image = |id: &str, more: Value| {
        let mut image = json!({"UserId": {"S": "u"}, "ActivityId": {"S": id}});
        image.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        image
    };
    let expired = json!({"OldImage": image("expired", json!({"expiresAt": {"N": "1699999000"}}))});
    let replicated = json!({"NewImage": image("replicated", json!({
        "aws:rep:deleting": {"BOOL": false}, "aws:rep:updateregion": {"S": "eu-west-1"},
        "aws:rep:updatetime": {"N": "1700000000.000001"},
    }))});
    json!({"Records": [
        record("made", "INSERT", "111", json!({"NewImage": image("made", json!({}))}), json!({})),
        record("expired", "REMOVE", "112", expired, json!({"userIdentity":
            {"type": "Service", "principalId": "dynamodb.amazonaws.com"}})),
        record("replicated", "INSERT", "113", replicated, json!({})),
    ]})
}

#[test]
fn a_batch_of_changes_delivered_twice_leaves_each_audit_object_once() {
    let home = Home::new();
    home.local("up", &pipeline("change-capture.toml"), &["--yes"]);
    let config = sdk(&home.endpoint());
    let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
    let s3 = aws_sdk_s3::Client::from_conf(s3);
    let bucket = "change-capture-audit-000000000000-us-east-1";
    runtime().block_on(async {
        let open = json!({ "Statement": [{
            "Effect": "Allow", "Principal": { "Service": "sns.amazonaws.com" }, "Action": "sqs:SendMessage", "Resource": "*",
        }] });
        let queue = aws_sdk_sqs::Client::new(&config).create_queue().queue_name("mailbox");
        queue.attributes(QueueAttributeName::Policy, open.to_string()).send().await.unwrap();
        let subscribe = aws_sdk_sns::Client::new(&config)
            .subscribe()
            .topic_arn("arn:aws:sns:us-east-1:000000000000:change-capture-changes")
            .protocol("sqs")
            .endpoint("arn:aws:sqs:us-east-1:000000000000:mailbox")
            .attributes("RawMessageDelivery", "true");
        subscribe.send().await.unwrap();
    });
    invoke_twice(&config, "change-capture-processor", &changes());

    let objects: Vec<Value> = runtime().block_on(async {
        let list = s3.list_objects_v2().bucket(bucket).send().await.unwrap();
        let mut objects = Vec::new();
        for object in list.contents() {
            let body = s3.get_object().bucket(bucket).key(object.key().unwrap()).send().await.unwrap().body;
            objects.push(serde_json::from_slice(&body.collect().await.unwrap().into_bytes()).unwrap());
        }
        objects
    });
    let told = |objects: &[Value]| {
        let one = |object: &Value| {
            let text = |name: &str| object[name].as_str().unwrap_or("-").to_owned();
            [text("sequenceNumber"), text("origin"), text("deletedBy")].join(" ")
        };
        objects.iter().map(one).collect::<Vec<_>>()
    };
    assert_eq!(told(&objects), ["111 unmarked -", "112 unmarked ttl", "113 replicated -"]);

    // A message can't be taken back: it comes for each delivery, with the identity of its change.
    let heard: Vec<Value> = messages(&config, "mailbox", 6).iter().map(|message| message["change"].clone()).collect();
    for object in &objects {
        assert_eq!(heard.iter().filter(|change| *change == object).count(), 2, "{object:#}");
    }
    counted(&config, "ChangeCapture", "ProcessedEvents", "change-capture", 6.0);
    counted(&config, "ChangeCapture", "Expiries", "change-capture", 2.0);
    counted(&config, "ChangeCapture", "ReplicatedChanges", "change-capture", 2.0);
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    let key = [("UserId", "u"), ("ActivityId", "made")];
    let key = key.map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned()))).into();
    let get = dynamodb.get_item().table_name("change-capture-activities").set_key(Some(key));
    assert!(runtime().block_on(get.send()).unwrap().item.is_none(), "the function never writes to its source");
}

#[test]
fn an_answer_that_is_lost_leaves_no_event_twice() {
    let home = Home::new();
    let spec = home.retail(&[("batch_window = \"5s\"", "batch_window = \"0s\"")]);
    home.local("up", &spec, &["--yes"]);
    let config = sdk(&home.endpoint());
    home.lose_answer("kinesis", "PutRecords");
    let sent = home.local("send", &spec, &["--count", "100", "--seed", "3"]);
    assert_eq!((&sent["sent"], sent["retried"].as_u64().unwrap() > 0), (&json!(100), true), "{sent:#}");
    until("all items", LIMIT, || (crate::flow::count_items(&config) == 100).then_some(()));
    // Every record has been read when the function has counted them: more than there are events.
    let records = 100 + sent["retried"].as_u64().unwrap();
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    counted(&config, "RetailEventProcessing", "ProcessedEvents", "retail-events", records as f64);
    assert_eq!(crate::flow::count_items(&config), 100);

    // The same events without ids of their own are told apart by their places.
    let twice = "{\"userId\":\"u-1\",\"eventType\":\"view\",\"timestamp\":1}\n".repeat(2);
    let with_id = "{\"eventId\":\"e-1\",\"userId\":\"u-1\",\"eventType\":\"view\",\"timestamp\":1}\n".repeat(2);
    let file = home.write("events.jsonl", &format!("{twice}{with_id}"));
    home.local("send", &spec, &["--from", file.to_str().unwrap()]);
    until("three items more", LIMIT, || (crate::flow::count_items(&config) == 103).then_some(()));
}
