//! What mappings read besides plain Kinesis streams: DynamoDB streams and enhanced fan-out consumers; and what filters let
//! through of it.

use serde_json::{Value, json};
use streamkit_local::{Options, Strictness};

use crate::aws::{Aws, eventually};
use crate::mappings::Trace;

impl Aws {
    async fn dynamodb(&self, operation: &str, body: Value) -> Value {
        self.call(&format!("DynamoDB_20120810.{operation}"), body).await
    }

    /// Makes a table with a stream, and gives back the stream's ARN.
    async fn table(&self, name: &str, view: &str) -> String {
        let body = json!({
            "TableName": name,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{ "AttributeName": "id", "AttributeType": "S" }],
            "KeySchema": [{ "AttributeName": "id", "KeyType": "HASH" }],
            "StreamSpecification": { "StreamEnabled": true, "StreamViewType": view },
        });
        let made = self.dynamodb("CreateTable", body).await;
        made["TableDescription"]["LatestStreamArn"].as_str().unwrap().to_owned()
    }

    async fn put_item(&self, table: &str, id: &str, n: u32) {
        let item = json!({ "id": { "S": id }, "n": { "N": n.to_string() } });
        self.dynamodb("PutItem", json!({ "TableName": table, "Item": item })).await;
    }

    async fn delete_item(&self, table: &str, id: &str) {
        self.dynamodb("DeleteItem", json!({ "TableName": table, "Key": { "id": { "S": id } } })).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_table_arrive_in_the_form_of_aws() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.table("activities", "NEW_AND_OLD_IMAGES").await;
    aws.function("f", trace.environment(), |_| {}).await;
    aws.put_item("activities", "a", 1).await;
    aws.mapping("f", &stream, json!({})).await;
    aws.put_item("activities", "a", 2).await;
    aws.delete_item("activities", "a").await;
    let seen = trace.until("all changes arrived", |data| data.len() == 3).await;
    let seen: Vec<Value> = seen.iter().map(|change| serde_json::from_str(change).unwrap()).collect();
    let names: Vec<_> = seen.iter().map(|change| change["eventName"].as_str().unwrap()).collect();
    assert_eq!(names, ["INSERT", "MODIFY", "REMOVE"]);
    let change = &seen[1];
    assert_eq!(
        (&change["eventSource"], &change["awsRegion"], &change["eventSourceARN"], &change["eventVersion"]),
        (&json!("aws:dynamodb"), &json!("us-east-1"), &json!(stream), &json!("1.1"))
    );
    let image = |n: &str| json!({ "id": { "S": "a" }, "n": { "N": n } });
    assert_eq!((&change["dynamodb"]["OldImage"], &change["dynamodb"]["NewImage"]), (&image("1"), &image("2")));
    assert_eq!(change["dynamodb"]["Keys"], json!({ "id": { "S": "a" } }));
    assert_eq!(change["dynamodb"]["StreamViewType"], "NEW_AND_OLD_IMAGES");
    assert!(change["dynamodb"]["ApproximateCreationDateTime"].as_f64().unwrap() > 1.7e9);
    assert!(change["dynamodb"]["SizeBytes"].as_u64().unwrap() > 0 && change["userIdentity"].is_null());
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_begins_after_what_the_table_has_seen() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.table("activities", "KEYS_ONLY").await;
    aws.function("f", trace.environment(), |_| {}).await;
    aws.put_item("activities", "before", 1).await;
    let uuid = aws.mapping("f", &stream, json!({ "StartingPosition": "LATEST" })).await;
    aws.put_item("activities", "after", 1).await;
    let seen = trace.until("a change arrived", |data| !data.is_empty()).await;
    assert!(seen.len() == 1 && seen[0].contains("after"), "{seen:?}");
    aws.update_mapping(&uuid, json!({ "Enabled": false }), "Disabled").await;
    aws.put_item("activities", "meanwhile", 1).await;
    aws.update_mapping(&uuid, json!({ "Enabled": true }), "Enabled").await;
    let seen = trace.until("the change of meanwhile arrived", |data| data.len() > 1).await;
    assert!(seen.len() == 2 && seen[1].contains("meanwhile"), "{seen:?}");
    let time = json!({
        "FunctionName": "f",
        "EventSourceArn": aws.table("others", "KEYS_ONLY").await,
        "StartingPosition": "AT_TIMESTAMP",
        "StartingPositionTimestamp": 1_700_000_000,
    });
    let refused = aws.lambda("POST", "event-source-mappings", time).await;
    assert_eq!((refused.status, refused.code()), (400, "InvalidParameterValueException"));
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_that_roll_over_are_read_parents_first() {
    const ITEMS: usize = 25;
    const ROUNDS: usize = 180;
    let strict = Strictness { rates: true, ..Strictness::default() };
    let aws = Aws::with(Options { strict, ..Options::default() }).await;
    let trace = Trace::new(&aws);
    let stream = aws.table("activities", "NEW_IMAGE").await;
    aws.function("f", trace.environment(), |_| {}).await;
    aws.mapping("f", &stream, json!({ "BatchSize": 1000 })).await;
    for round in 0..ROUNDS {
        let put = |item: usize| json!({ "id": { "S": item.to_string() }, "n": { "N": round.to_string() } });
        let puts: Vec<Value> = (0..ITEMS).map(|item| json!({ "PutRequest": { "Item": put(item) } })).collect();
        aws.dynamodb("BatchWriteItem", json!({ "RequestItems": { "activities": puts } })).await;
    }
    let described = aws.call("DynamoDBStreams_20120810.DescribeStream", json!({ "StreamArn": stream })).await;
    assert_eq!(described["StreamDescription"]["Shards"].as_array().map(Vec::len), Some(3), "one takes 2,000 changes");
    let seen = trace.until("all changes arrived", |data| data.len() >= ITEMS * ROUNDS).await;
    let mut rounds = vec![Vec::new(); ITEMS];
    for change in &seen {
        let change: Value = serde_json::from_str(change).unwrap();
        let image = &change["dynamodb"]["NewImage"];
        let number = |name: &str, kind: &str| image[name][kind].as_str().unwrap().parse::<usize>().unwrap();
        rounds[number("id", "S")].push(number("n", "N"));
    }
    let in_order: Vec<usize> = (0..ROUNDS).collect();
    assert!(rounds.iter().all(|of_item| *of_item == in_order), "each item's changes in their order, none twice");
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_change_goes_to_the_on_failure_queue_and_holds_up_no_other() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.table("activities", "NEW_IMAGE").await;
    let (queue, queue_arn) = aws.queue("failures").await;
    let mut environment = trace.environment();
    environment["ON_POISON"] = json!("report");
    aws.function("f", environment, |_| {}).await;
    for id in ["one", "poison", "two"] {
        aws.put_item("activities", id, 1).await;
    }
    let settings = json!({
        "MaximumRetryAttempts": 1,
        "BisectBatchOnFunctionError": true,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "DestinationConfig": { "OnFailure": { "Destination": queue_arn } },
    });
    aws.mapping("f", &stream, settings).await;
    let failures = aws.messages(&queue, 1).await;
    let info = &failures[0]["DDBStreamBatchInfo"];
    assert_eq!((&info["batchSize"], &info["streamArn"]), (&json!(1), &json!(stream)));
    assert_eq!(failures[0]["requestContext"]["condition"], "RetryAttemptsExhausted");
    let poison = trace.all().into_iter().find(|seen| seen.data.contains("poison")).unwrap();
    assert_eq!(info["startSequenceNumber"], json!(poison.sequence));
    trace.until("the change behind arrived", |data| data.iter().any(|data| data.contains("two"))).await;
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_items_say_that_dynamodb_deleted_them() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.table("activities", "OLD_IMAGE").await;
    aws.function("f", trace.environment(), |_| {}).await;
    let expiry = json!({ "Enabled": true, "AttributeName": "expiresAt" });
    aws.dynamodb("UpdateTimeToLive", json!({ "TableName": "activities", "TimeToLiveSpecification": expiry })).await;
    let filter = json!({ "eventName": ["REMOVE"], "userIdentity": { "principalId": ["dynamodb.amazonaws.com"] } });
    let settings = json!({ "FilterCriteria": { "Filters": [{ "Pattern": filter.to_string() }] } });
    aws.mapping("f", &stream, settings).await;
    aws.put_item("activities", "by-hand", 1).await;
    aws.delete_item("activities", "by-hand").await;
    let past = (chrono::Utc::now() - chrono::TimeDelta::hours(1)).timestamp().to_string();
    let item = json!({ "id": { "S": "expired" }, "expiresAt": { "N": past } });
    aws.dynamodb("PutItem", json!({ "TableName": "activities", "Item": item })).await;
    let seen = trace.until("the expiry arrived", |data| !data.is_empty()).await;
    let seen: Value = serde_json::from_str(&seen[0]).unwrap();
    assert_eq!(seen["userIdentity"], json!({ "type": "Service", "principalId": "dynamodb.amazonaws.com" }));
    assert_eq!(seen["dynamodb"]["Keys"]["id"]["S"], "expired");
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_drop_records_and_the_checkpoint_moves_past_them() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    aws.function("f", trace.environment(), |_| {}).await;
    let good = r#"{"data":{"kind":["sale"],"amount":[{"numeric":[">",10]}]}}"#;
    let other = r#"{"data":{"kind":[{"prefix":"vip"}]}}"#;
    let settings = json!({
        "FilterCriteria": { "Filters": [{ "Pattern": good }, { "Pattern": other }] },
        "MetricsConfig": { "Metrics": ["EventCount"] },
    });
    let sale = |amount: u32| json!({ "kind": "sale", "amount": amount }).to_string();
    let (small, large) = (sale(5), sale(50));
    let vip = r#"{"kind":"vip-visit"}"#;
    aws.put("s", "k", &[&small, &large, "not json", vip, &small]).await;
    let uuid = aws.mapping("f", &stream, settings).await;
    trace.until("what passes arrived", |data| data.len() == 2).await;
    assert_eq!(trace.data(), [large.as_str(), vip]);
    let seen = aws.lambda("GET", &format!("event-source-mappings/{uuid}"), Value::Null).await.json();
    assert_eq!(seen["FilterCriteria"], json!({ "Filters": [{ "Pattern": good }, { "Pattern": other }] }));
    for (name, expected) in [("PolledEventCount", 5.0), ("FilteredOutEventCount", 3.0), ("InvokedEventCount", 2.0)] {
        eventually(&format!("{name} is {expected}"), async || {
            let seen = aws.metric("AWS/Lambda", name, Some(("EventSourceMappingUUID", &uuid))).await;
            ((seen - expected).abs() < 0.5).then_some(())
        })
        .await;
    }
    // Without the filters the mapping goes on behind what they dropped.
    let seen = aws.update_mapping(&uuid, json!({ "FilterCriteria": {} }), "Enabled").await;
    assert!(seen["FilterCriteria"].is_null());
    aws.put("s", "k", &[&small]).await;
    trace.until("the next arrived", |data| data.len() == 3).await;
    assert_eq!(trace.data()[2], small);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consumer_and_stream_are_two_sources() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    aws.function("f", trace.environment(), |_| {}).await;
    let registered =
        aws.kinesis("RegisterStreamConsumer", json!({ "StreamARN": stream, "ConsumerName": "fan-out" })).await;
    let consumer = registered["Consumer"]["ConsumerARN"].as_str().unwrap().to_owned();
    eventually("the consumer is active", async || {
        let seen = aws.kinesis("DescribeStreamConsumer", json!({ "ConsumerARN": consumer })).await;
        (seen["ConsumerDescription"]["ConsumerStatus"] == "ACTIVE").then_some(())
    })
    .await;
    aws.mapping("f", &stream, json!({})).await;
    // The same to a function that fails, so that the event is kept.
    assert_eq!(aws.http("PUT", "/failures", &[], b"").await.status, 200);
    aws.function("failing", json!({}), |_| {}).await;
    let failures = json!({ "OnFailure": { "Destination": "arn:aws:s3:::failures" } });
    let settings = json!({ "MaximumRetryAttempts": 0, "DestinationConfig": failures });
    aws.mapping("failing", &consumer, settings).await;
    let uuid = aws.mapping("f", &consumer, json!({})).await;
    let seen = aws.lambda("GET", &format!("event-source-mappings/{uuid}"), Value::Null).await.json();
    assert_eq!(seen["EventSourceArn"], json!(consumer));
    aws.put("s", "k", &["both"]).await;
    let seen = trace.until("both mappings delivered", |data| data.len() >= 2).await;
    assert_eq!(seen, ["both", "both"]);
    aws.put("s", "k", &["poison"]).await;
    let key = eventually("an object is there", async || {
        let listed = aws.http("GET", "/failures?list-type=2", &[], b"").await.text();
        Some(listed.split_once("<Key>")?.1.split_once("</Key>")?.0.to_owned())
    })
    .await;
    let object = aws.http("GET", &format!("/failures/{key}"), &[], b"").await.json();
    let event: Value = serde_json::from_str(object["payload"].as_str().unwrap()).unwrap();
    assert_eq!(event["Records"][0]["eventSourceARN"], json!(consumer));
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn source_that_is_gone_is_a_problem_and_not_read_any_more() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    aws.function("f", trace.environment(), |_| {}).await;
    let stream = aws.stream("s", 1).await;
    let consumer = json!({ "StreamARN": stream, "ConsumerName": "fan-out" });
    let registered = aws.kinesis("RegisterStreamConsumer", consumer).await;
    let consumer = registered["Consumer"]["ConsumerARN"].as_str().unwrap().to_owned();
    eventually("the consumer is active", async || {
        let seen = aws.kinesis("DescribeStreamConsumer", json!({ "ConsumerARN": consumer })).await;
        (seen["ConsumerDescription"]["ConsumerStatus"] == "ACTIVE").then_some(())
    })
    .await;
    let of_consumer = aws.mapping("f", &consumer, json!({})).await;
    let of_table = aws.mapping("f", &aws.table("gone", "NEW_IMAGE").await, json!({})).await;

    aws.kinesis("DeregisterStreamConsumer", json!({ "ConsumerARN": consumer })).await;
    aws.dynamodb("DeleteTable", json!({ "TableName": "gone" })).await;
    // The streams of another table of the same name are not those of the first.
    let again = aws.table("gone", "NEW_IMAGE").await;
    for uuid in [of_consumer, of_table] {
        eventually("the source is a problem", async || {
            let seen = aws.lambda("GET", &format!("event-source-mappings/{uuid}"), Value::Null).await.json();
            seen["LastProcessingResult"].as_str().unwrap().starts_with("PROBLEM: ResourceNotFound").then_some(())
        })
        .await;
    }
    aws.put("s", "k", &["unread"]).await;
    aws.put_item("gone", "a", 1).await;
    aws.function("other", Trace::named(&aws, "other").environment(), |_| {}).await;
    aws.mapping("other", &again, json!({})).await;
    aws.mapping("other", &stream, json!({})).await;
    Trace::named(&aws, "other").until("others read on", |data| data.len() == 2).await;
    assert_eq!(trace.data(), Vec::<String>::new());
    aws.stop().await;
}
