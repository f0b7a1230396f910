//! Kinesis mappings: what is delivered, in which order, and what becomes of records that fail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::aws::{Aws, ROLE, eventually};

/// One record as the function saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) request: String,
    pub(crate) shard: String,
    pub(crate) sequence: String,
    pub(crate) data: String,
}

/// The file in which a function writes down what it gets.
pub(crate) struct Trace(pub(crate) PathBuf);

impl Trace {
    pub(crate) fn new(aws: &Aws) -> Self {
        Self::named(aws, "trace")
    }

    pub(crate) fn named(aws: &Aws, name: &str) -> Self {
        Self(aws.dir.join(name))
    }

    pub(crate) fn environment(&self) -> Value {
        json!({ "TRACE": self.0 })
    }

    pub(crate) fn all(&self) -> Vec<Seen> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        // A line that is being written has no end yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| {
                let mut parts = line.splitn(4, ' ').map(str::to_owned);
                let mut part = || parts.next().unwrap();
                let (request, event) = (part(), part());
                let shard = event.split_once(':').unwrap().0.to_owned();
                Seen { request, shard, sequence: part(), data: part() }
            })
            .collect()
    }

    pub(crate) fn data(&self) -> Vec<String> {
        self.all().into_iter().map(|seen| seen.data).collect()
    }

    /// The deliveries: request by request, the data of its records.
    pub(crate) fn batches(&self) -> Vec<Vec<String>> {
        let mut batches: Vec<(String, Vec<String>)> = Vec::new();
        for seen in self.all() {
            match batches.last_mut().filter(|(request, _)| *request == seen.request) {
                Some((_, batch)) => batch.push(seen.data),
                None => batches.push((seen.request, vec![seen.data])),
            }
        }
        batches.into_iter().map(|(_, batch)| batch).collect()
    }

    pub(crate) async fn until(&self, what: &str, there: impl Fn(&[String]) -> bool) -> Vec<String> {
        eventually(what, async || Some(self.data()).filter(|data| there(data))).await
    }
}

pub(crate) fn with(mut environment: Value, more: &Value) -> Value {
    environment.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    environment
}

#[tokio::test(flavor = "multi_thread")]
async fn records_arrive_in_the_form_of_aws_and_on_failure_objects_hold_the_whole_event() {
    let aws = Aws::start().await;
    let stream = aws.stream("s", 1).await;
    aws.function("f", json!({}), |_| {}).await;
    assert_eq!(aws.http("PUT", "/failures", &[], b"").await.status, 200);
    let settings = json!({ "MaximumRetryAttempts": 1, "DestinationConfig": { "OnFailure": { "Destination": "arn:aws:s3:::failures" } } });
    let uuid = aws.mapping("f", &stream, settings).await;
    let put = aws.put("s", "k", &["poison"]).await;
    let key = eventually("an object is there", async || {
        let listed = aws.http("GET", "/failures?list-type=2", &[], b"").await.text();
        Some(listed.split_once("<Key>")?.1.split_once("</Key>")?.0.to_owned())
    })
    .await;
    assert!(key.starts_with(&format!("aws/lambda/{uuid}/shardId-000000000000/20")), "{key}");
    let object = aws.http("GET", &format!("/failures/{key}"), &[], b"").await.json();
    assert_eq!(object["requestContext"]["condition"], "RetryAttemptsExhausted");
    assert_eq!(object["requestContext"]["approximateInvokeCount"], 2);
    assert_eq!(
        object["responseContext"],
        json!({ "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" })
    );
    assert_eq!(object["KinesisBatchInfo"]["startSequenceNumber"], put[0].1);

    let event: Value = serde_json::from_str(object["payload"].as_str().unwrap()).unwrap();
    let mut record = event["Records"][0].clone();
    let arrival = record["kinesis"]["approximateArrivalTimestamp"].take().as_f64().unwrap();
    let age = chrono::Utc::now()
        - chrono::DateTime::UNIX_EPOCH
        - chrono::TimeDelta::from_std(Duration::from_secs_f64(arrival)).unwrap();
    assert!(age.abs() < chrono::TimeDelta::minutes(2), "{arrival}");
    let (shard, sequence) = &put[0];
    let expected = json!({
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "k",
            "sequenceNumber": sequence,
            "data": "cG9pc29u",
            "approximateArrivalTimestamp": null,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": format!("{shard}:{sequence}"),
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": ROLE,
        "awsRegion": "us-east-1",
        "eventSourceARN": stream,
    });
    assert_eq!(record, expected);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bisecting_gives_up_each_poison_record_once_and_delivers_all_others_in_order() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    let (queue, queue_arn) = aws.queue("dlq").await;
    aws.function("f", trace.environment(), |_| {}).await;
    let data: Vec<String> = (0..40)
        .map(|at| if [0, 17, 18, 39].contains(&at) { format!("poison{at:02}") } else { format!("good{at:02}") })
        .collect();
    let put = aws.put("s", "k", &data.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let settings = json!({
        "BatchSize": 40,
        "BisectBatchOnFunctionError": true,
        "MaximumRetryAttempts": 1,
        "DestinationConfig": { "OnFailure": { "Destination": queue_arn } },
    });
    let uuid = aws.mapping("f", &stream, settings).await;
    let given_up = aws.messages(&queue, 4).await;
    let sequences: BTreeSet<_> = given_up
        .iter()
        .map(|record| {
            let info = &record["KinesisBatchInfo"];
            assert_eq!((&info["batchSize"], &info["streamArn"]), (&json!(1), &json!(stream)));
            assert_eq!(info["startSequenceNumber"], info["endSequenceNumber"]);
            info["startSequenceNumber"].as_str().unwrap().to_owned()
        })
        .collect();
    let poison: BTreeSet<_> = [0, 17, 18, 39].map(|at: usize| put[at].1.clone()).into();
    assert_eq!(sequences, poison);

    let batches = trace.batches();
    assert_eq!(batches[0].len(), 40);
    for (at, data) in data.iter().enumerate() {
        let alone = batches.iter().filter(|batch| batch.len() == 1 && batch[0] == *data).count();
        assert!(if data.starts_with("poison") { alone == 2 } else { alone <= 1 }, "{at} came {alone} times alone");
    }
    // The first delivery without poison of each good record, in order.
    let good: Vec<_> =
        batches.iter().filter(|batch| batch.iter().all(|data| data.starts_with("good"))).flatten().collect();
    assert_eq!(good, data.iter().filter(|data| data.starts_with("good")).collect::<Vec<_>>());
    aws.put("s", "k", &["after"]).await;
    trace.until("the shard goes on", |data| data.last().is_some_and(|last| last == "after")).await;
    eventually("the last result is OK", async || {
        let seen = aws.lambda("GET", &format!("event-source-mappings/{uuid}"), Value::Null).await.json();
        (seen["LastProcessingResult"] == "OK").then_some(())
    })
    .await;
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_response_is_the_checkpoint_and_attempts_run_out() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    let (queue, queue_arn) = aws.queue("dlq").await;
    aws.function("f", with(trace.environment(), &json!({ "ON_POISON": "report" })), |_| {}).await;
    let put = aws.put("s", "k", &["a", "b", "poison", "c", "poison", "d"]).await;
    let settings = json!({
        "MaximumRetryAttempts": 2,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "DestinationConfig": { "OnFailure": { "Destination": queue_arn } },
    });
    aws.mapping("f", &stream, settings).await;
    let given_up = aws.messages(&queue, 1).await.remove(0);
    assert_eq!(given_up["requestContext"]["approximateInvokeCount"], 3);
    assert_eq!(given_up["responseContext"]["functionError"], Value::Null);
    let info = &given_up["KinesisBatchInfo"];
    assert_eq!((&info["startSequenceNumber"], &info["endSequenceNumber"]), (&json!(put[2].1), &json!(put[5].1)));
    assert_eq!(info["batchSize"], 4);
    let rest = vec!["poison", "c", "poison", "d"];
    assert_eq!(trace.batches(), [vec!["a", "b", "poison", "c", "poison", "d"], rest.clone(), rest]);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn response_is_ignored_unless_the_mapping_asks_for_it() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    aws.function("f", with(trace.environment(), &json!({ "ON_POISON": "report" })), |_| {}).await;
    aws.mapping("f", &stream, json!({})).await;
    aws.put("s", "k", &["poison"]).await;
    trace.until("the first record came", |data| !data.is_empty()).await;
    aws.put("s", "k", &["next"]).await;
    let seen = trace.until("the next record came", |data| data.iter().any(|data| data == "next")).await;
    assert_eq!(seen, ["poison", "next"]);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_response_fails_the_whole_batch() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    let (queue, queue_arn) = aws.queue("dlq").await;
    let answer = r#"{"batchItemFailures":[{"itemIdentifier":"1"}]}"#;
    aws.function("f", with(trace.environment(), &json!({ "ANSWER": answer })), |_| {}).await;
    aws.put("s", "k", &["a", "b"]).await;
    let settings = json!({
        "MaximumRetryAttempts": 0,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "DestinationConfig": { "OnFailure": { "Destination": queue_arn } },
    });
    aws.mapping("f", &stream, settings).await;
    let given_up = aws.messages(&queue, 1).await.remove(0);
    assert_eq!(given_up["KinesisBatchInfo"]["batchSize"], 2);
    assert_eq!(trace.data(), ["a", "b"]);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_shard_holds_up_no_other() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 2).await;
    aws.function("f", trace.environment(), |_| {}).await;
    aws.mapping("f", &stream, json!({})).await;
    // Keys of both shards.
    let mut keys = BTreeMap::new();
    for key in 0..20 {
        let shard = aws.put("s", &key.to_string(), &["first"]).await.remove(0).0;
        keys.insert(shard, key.to_string());
    }
    assert_eq!(keys.len(), 2);
    trace.until("all first records came", |data| data.len() >= 20).await;
    let mut keys = keys.into_values();
    let (bad, good) = (keys.next().unwrap(), keys.next().unwrap());
    aws.put("s", &bad, &["poison", "behind"]).await;
    trace.until("the poison was tried twice", |data| data.iter().filter(|data| *data == "poison").count() > 1).await;
    for at in 0..5 {
        let next = format!("good{at}");
        aws.put("s", &good, &[&next]).await;
        trace.until("the other shard goes on", |data| data.contains(&next)).await;
    }
    assert!(trace.batches().iter().all(|batch| !batch.contains(&"behind".to_owned()) || batch[0] == "poison"));
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starting_positions_are_kept() {
    let aws = Aws::start().await;
    let stream = aws.stream("s", 1).await;
    aws.put("s", "k", &["old"]).await;
    // Arrival times have whole seconds.
    let second = chrono::Utc::now().timestamp();
    eventually("the next second", async || (chrono::Utc::now().timestamp() > second).then_some(())).await;
    let between = chrono::Utc::now().timestamp();
    aws.put("s", "k", &["young"]).await;
    for (name, settings, expected) in [
        ("latest", json!({ "StartingPosition": "LATEST" }), vec!["new"]),
        ("horizon", json!({ "StartingPosition": "TRIM_HORIZON" }), vec!["old", "young", "new"]),
        (
            "time",
            json!({ "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": between }),
            vec!["young", "new"],
        ),
    ] {
        let trace = Trace::named(&aws, name);
        aws.function(name, trace.environment(), |_| {}).await;
        let uuid = aws.mapping(name, &stream, settings).await;
        let seen = aws.lambda("GET", &format!("event-source-mappings/{uuid}"), Value::Null).await.json();
        assert_eq!(seen["StartingPositionTimestamp"].as_f64().is_some(), name == "time");
        let expected: Vec<_> = expected.into_iter().map(str::to_owned).collect();
        if name == "latest" {
            aws.put("s", "k", &["new"]).await;
        }
        trace.until(&format!("{name} has all"), |data| data.contains(&"new".to_owned())).await;
        assert_eq!(trace.data(), expected, "{name}");
    }
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn children_of_a_reshard_start_when_their_parent_is_drained() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    aws.function("f", with(trace.environment(), &json!({ "SLOW_MS": "300" })), |_| {}).await;
    let keys: Vec<String> = (0..8).map(|key| format!("key{key}")).collect();
    for key in &keys {
        aws.put("s", key, &[&format!("slow {key} 1")]).await;
    }
    let settings = json!({ "BatchSize": 1, "StartingPosition": "TRIM_HORIZON" });
    aws.mapping("f", &stream, settings).await;
    aws.kinesis(
        "UpdateShardCount",
        json!({ "StreamName": "s", "TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING" }),
    )
    .await;
    eventually("the stream is split", async || {
        let seen = aws.kinesis("DescribeStreamSummary", json!({ "StreamName": "s" })).await;
        let seen = &seen["StreamDescriptionSummary"];
        (seen["StreamStatus"] == "ACTIVE" && seen["OpenShardCount"] == 2).then_some(())
    })
    .await;
    for key in &keys {
        aws.put("s", key, &[&format!("fast {key} 2")]).await;
    }
    trace.until("all came", |data| data.len() == 16).await;
    let seen = trace.all();
    assert!(seen[..8].iter().all(|seen| seen.shard == "shardId-000000000000"), "{seen:#?}");
    let shards: BTreeSet<_> = seen[8..].iter().map(|seen| &seen.shard).collect();
    assert_eq!(shards.len(), 2, "{seen:#?}");
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parallelization_keeps_the_order_of_each_key() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    aws.function("f", trace.environment(), |_| {}).await;
    aws.mapping("f", &stream, json!({ "ParallelizationFactor": 4, "BatchSize": 5 })).await;
    let keys: Vec<String> = (0..10).map(|key| format!("key{key}")).collect();
    for round in 0..10 {
        for key in &keys {
            aws.put("s", key, &[&format!("{key} {round}")]).await;
        }
    }
    // One key blocks its lane only.
    aws.put("s", "key0", &["poison key0 x"]).await;
    for key in &keys {
        aws.put("s", key, &[&format!("{key} last")]).await;
    }
    let lasts = |data: &[String]| data.iter().filter(|data| data.ends_with("last") && !data.contains("poison")).count();
    trace.until("other lanes go on", |data| lasts(data) >= 5).await;
    for key in &keys[1..] {
        let of_key: Vec<_> = trace.data().into_iter().filter(|data| data.starts_with(key.as_str())).collect();
        let mut unique = of_key.clone();
        unique.dedup();
        let rounds: Vec<_> = (0..10).map(|round| format!("{key} {round}")).collect();
        assert_eq!(unique[..10], rounds, "{of_key:?}");
    }
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn window_gathers_records_into_one_batch() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    aws.function("f", trace.environment(), |_| {}).await;
    aws.mapping("f", &stream, json!({ "MaximumBatchingWindowInSeconds": 2, "BatchSize": 4 })).await;
    for data in ["a", "b", "c", "d"] {
        aws.put("s", "k", &[data]).await;
    }
    trace.until("the full batch came", |data| data.len() == 4).await;
    aws.put("s", "k", &["e"]).await;
    trace.until("the window closed", |data| data.len() == 5).await;
    assert_eq!(trace.batches(), [vec!["a", "b", "c", "d"], vec!["e"]]);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn throttled_batches_use_up_no_attempts() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    let (queue, queue_arn) = aws.queue("dlq").await;
    aws.function("f", trace.environment(), |_| {}).await;
    let path = "/2017-10-31/functions/f/concurrency";
    assert_eq!(aws.http("PUT", path, &[], br#"{"ReservedConcurrentExecutions":0}"#).await.status, 200);
    let settings =
        json!({ "MaximumRetryAttempts": 0, "DestinationConfig": { "OnFailure": { "Destination": queue_arn } } });
    aws.mapping("f", &stream, settings).await;
    aws.put("s", "k", &["good"]).await;
    eventually("deliveries were throttled", async || {
        (aws.metric("AWS/Lambda", "Throttles", Some(("FunctionName", "f"))).await >= 3.0).then_some(())
    })
    .await;
    assert_eq!(trace.data(), Vec::<String>::new());
    assert_eq!(aws.http("DELETE", path, &[], b"").await.status, 204);
    trace.until("the record came", |data| data == ["good"]).await;
    aws.messages(&queue, 0).await;
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disabled_mapping_goes_on_where_it_was() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    aws.function("f", trace.environment(), |_| {}).await;
    let uuid = aws.mapping("f", &stream, json!({ "StartingPosition": "LATEST" })).await;
    aws.update_mapping(&uuid, json!({ "Enabled": false }), "Disabled").await;
    aws.put("s", "k", &["while disabled, before any"]).await;
    aws.update_mapping(&uuid, json!({ "Enabled": true }), "Enabled").await;
    trace.until("the first came", |data| data.len() == 1).await;
    aws.update_mapping(&uuid, json!({ "Enabled": false }), "Disabled").await;
    aws.put("s", "k", &["one", "two"]).await;
    aws.update_mapping(&uuid, json!({ "BatchSize": 1 }), "Disabled").await;
    aws.update_mapping(&uuid, json!({ "Enabled": true, "ParallelizationFactor": 2 }), "Enabled").await;
    trace.until("the rest came", |data| data.len() >= 3).await;
    assert_eq!(trace.data(), ["while disabled, before any", "one", "two"]);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_failure_records_reach_a_topic() {
    let aws = Aws::start().await;
    let stream = aws.stream("s", 1).await;
    let (queue, queue_arn) = aws.queue("listener").await;
    let made = aws.query("Action=CreateTopic&Version=2010-03-31&Name=failures").await;
    let topic = made.split_once("<TopicArn>").unwrap().1.split_once("</TopicArn>").unwrap().0.to_owned();
    let subscribe = format!("Action=Subscribe&Version=2010-03-31&TopicArn={topic}&Protocol=sqs&Endpoint={queue_arn}");
    aws.query(&subscribe).await;
    aws.function("f", json!({}), |_| {}).await;
    let settings = json!({ "MaximumRetryAttempts": 0, "DestinationConfig": { "OnFailure": { "Destination": topic } } });
    aws.mapping("f", &stream, settings).await;
    aws.put("s", "k", &["poison"]).await;
    let envelope = aws.messages(&queue, 1).await.remove(0);
    let record: Value = serde_json::from_str(envelope["Message"].as_str().unwrap()).unwrap();
    assert_eq!(record["requestContext"]["condition"], "RetryAttemptsExhausted");
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn event_counts_are_published_when_asked_for() {
    let aws = Aws::start().await;
    let stream = aws.stream("s", 1).await;
    aws.function("f", json!({}), |_| {}).await;
    let settings = json!({ "MaximumRetryAttempts": 0, "MetricsConfig": { "Metrics": ["EventCount"] } });
    let uuid = aws.mapping("f", &stream, settings).await;
    aws.put("s", "k", &["a", "poison"]).await;
    for (name, expected) in [
        ("PolledEventCount", 2.0),
        ("InvokedEventCount", 2.0),
        ("FailedInvokeEventCount", 2.0),
        ("DroppedEventCount", 2.0),
    ] {
        eventually(&format!("{name} is {expected}"), async || {
            let seen = aws.metric("AWS/Lambda", name, Some(("EventSourceMappingUUID", &uuid))).await;
            ((seen - expected).abs() < 0.01).then_some(())
        })
        .await;
    }
    assert!(aws.metric("AWS/Lambda", "IteratorAge", Some(("FunctionName", "f"))).await >= 0.0);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_many_write_while_the_mapping_reads() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    aws.function("f", trace.environment(), |body| body["Timeout"] = json!(60)).await;
    aws.mapping("f", &stream, json!({ "BatchSize": 1000 })).await;
    let records: Vec<String> = (0..100).map(|at| at.to_string()).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let write = async || {
        for _ in 0..20 {
            aws.put("s", "k", &records).await;
        }
    };
    tokio::join!(write(), write(), write(), write());
    let seen = trace.until("all records came", |data| data.len() >= 8000).await;
    assert_eq!(seen.len(), 8000);
    aws.stop().await;
}
