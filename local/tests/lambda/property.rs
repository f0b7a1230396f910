//! Random mappings with real handler processes: whatever fails, nothing is lost, reordered, tried too often or reported twice.
//!
//! Cases follow from seeds, 0 and up. `STREAMKIT_PROPERTY_CASES=500` plays more of them, `STREAMKIT_PROPERTY_SEED=4711` begins
//! with another; what fails names its seed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::aws::{Aws, eventually};
use crate::mappings::Trace;
use crate::property_case::{Case, Times};
use crate::property_check::{GivenUp, Put, Seen};

/// Cases that are played at the same time, in the same embedded AWS.
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn random_mappings_lose_nothing_and_keep_to_their_settings() {
    let number = |name: &str, default| {
        std::env::var(name).map_or(default, |text| text.parse::<u64>().unwrap_or_else(|_| panic!("{name}={text}")))
    };
    let first = number("STREAMKIT_PROPERTY_SEED", 0);
    let mut seeds = first..first + number("STREAMKIT_PROPERTY_CASES", 24);
    let aws = Arc::new(Aws::start().await);
    let (mut playing, mut failed) = (JoinSet::new(), Vec::new());
    let mut running = HashMap::new();
    loop {
        while playing.len() < AT_ONCE
            && let Some(seed) = seeds.next()
        {
            let aws = Arc::clone(&aws);
            let handle = playing.spawn(async move { play(&aws, &format!("case-{seed}"), &Case::new(seed)).await });
            running.insert(handle.id(), seed);
        }
        match playing.join_next_with_id().await {
            None => break,
            Some(Ok((id, ()))) => drop(running.remove(&id)),
            Some(Err(error)) => failed.extend(running.remove(&error.id()).map(|seed| (seed, error.to_string()))),
        }
    }
    let told: Vec<String> = failed
        .iter()
        .map(|(seed, error)| format!("STREAMKIT_PROPERTY_SEED={seed}: {error}\n{:?}\n", Case::new(*seed)))
        .collect();
    assert!(
        told.is_empty(),
        "{} cases failed; each by itself with STREAMKIT_PROPERTY_CASES=1 and\n{}",
        told.len(),
        told.concat()
    );
    Arc::into_inner(aws).unwrap().stop().await;
}

/// Plays one case until every record is processed or given up, and checks what was seen.
async fn play(aws: &Aws, name: &str, case: &Case) {
    let trace = Trace(aws.dir.join(format!("trace-{name}")));
    let stream = aws.stream(name, case.shards).await;
    let destination = Destination::make(aws, name, case.bucket).await;
    aws.function(name, trace.environment(), |body| body["Timeout"] = json!(60)).await;
    if let Some(concurrency) = case.concurrency {
        let path = format!("/2017-10-31/functions/{name}/concurrency");
        let body = json!({ "ReservedConcurrentExecutions": concurrency }).to_string();
        assert_eq!(aws.http("PUT", &path, &[], body.as_bytes()).await.status, 200);
    }

    let mut put = Vec::new();
    put_records(aws, name, case, 0..case.early, &mut put).await;
    let uuid = aws.mapping(name, &stream, case.settings(&destination.arn)).await;
    let middle = case.early + (case.records.len() - case.early) / 2;
    put_records(aws, name, case, case.early..middle, &mut put).await;
    if let Some(target) = case.reshard {
        let body = json!({ "StreamName": name, "TargetShardCount": target, "ScalingType": "UNIFORM_SCALING" });
        aws.kinesis("UpdateShardCount", body).await;
        eventually("the stream has its new shards", async || {
            let seen = aws.kinesis("DescribeStreamSummary", json!({ "StreamName": name })).await;
            let seen = &seen["StreamDescriptionSummary"];
            (seen["StreamStatus"] == "ACTIVE" && seen["OpenShardCount"] == target).then_some(())
        })
        .await;
    }
    put_records(aws, name, case, middle..case.records.len(), &mut put).await;

    if let Some(held) = case.records.iter().position(|record| record.times == Times::Held) {
        let others: BTreeSet<usize> = (0..put.len()).filter(|at| put[*at].shard != put[held].shard).collect();
        eventually(&format!("{name}: other shards than that of the held record are done"), async || {
            Seen::new(case, &put, &trace.all()).processed().is_superset(&others).then_some(())
        })
        .await;
        std::fs::write(trace.0.with_extension("released"), "").unwrap();
    }
    let given_up = Mutex::new(Vec::new());
    eventually(&format!("{name}: every record is processed or given up"), async || {
        let mut given_up = given_up.lock().await;
        destination.collect(aws, &mut given_up).await;
        let processed = Seen::new(case, &put, &trace.all()).processed().len();
        let dropped: usize = given_up.iter().map(|record: &GivenUp| record.size).sum();
        (processed + dropped >= put.len()).then_some(())
    })
    .await;
    // A mapping that is disabled has finished what it was at: nothing more can come.
    aws.update_mapping(&uuid, json!({ "Enabled": false }), "Disabled").await;
    let mut given_up = given_up.into_inner();
    destination.collect(aws, &mut given_up).await;
    Seen::new(case, &put, &trace.all()).check(&given_up);
    let deleted = aws.lambda("DELETE", &format!("functions/{name}"), Value::Null).await;
    assert_eq!(deleted.status, 204, "{}", deleted.text());
}

async fn put_records(aws: &Aws, stream: &str, case: &Case, range: std::ops::Range<usize>, put: &mut Vec<Put>) {
    for number in range {
        let record = &case.records[number];
        let key = format!("key{}", record.key);
        let (shard, sequence) = aws.put(stream, &key, &[&record.data(number)]).await.remove(0);
        put.push(Put { shard, sequence });
    }
}

/// Where a mapping sends what it gives up.
struct Destination {
    arn: String,
    /// The queue's address, or the bucket's path.
    place: String,
    bucket: bool,
}

impl Destination {
    async fn make(aws: &Aws, name: &str, bucket: bool) -> Self {
        if bucket {
            let place = format!("/{name}");
            assert_eq!(aws.http("PUT", &place, &[], b"").await.status, 200);
            return Self { arn: format!("arn:aws:s3:::{name}"), place, bucket };
        }
        let body = json!({ "QueueName": name, "Attributes": { "VisibilityTimeout": "3600" } });
        let made = aws.call("AmazonSQS.CreateQueue", body).await;
        let place = made["QueueUrl"].as_str().unwrap().to_owned();
        Self { arn: format!("arn:aws:sqs:us-east-1:000000000000:{name}"), place, bucket }
    }

    /// Adds what has come since.
    async fn collect(&self, aws: &Aws, known: &mut Vec<GivenUp>) {
        if self.bucket {
            let listed = aws.http("GET", &format!("{}?list-type=2", self.place), &[], b"").await.text();
            let keys: Vec<&str> = listed.split("<Key>").skip(1).filter_map(|part| part.split('<').next()).collect();
            // Keys are in no order of time, so all are read again when there are more.
            if keys.len() > known.len() {
                known.clear();
                for key in keys {
                    known.push(GivenUp::new(&aws.http("GET", &format!("{}/{key}", self.place), &[], b"").await.json()));
                }
            }
            return;
        }
        loop {
            let body = json!({ "QueueUrl": self.place, "MaxNumberOfMessages": 10 });
            let received = aws.call("AmazonSQS.ReceiveMessage", body).await;
            let Some(messages) = received["Messages"].as_array().filter(|messages| !messages.is_empty()) else {
                return;
            };
            let bodies = messages.iter().map(|message| message["Body"].as_str().unwrap());
            known.extend(bodies.map(|body| GivenUp::new(&serde_json::from_str(body).unwrap())));
        }
    }
}
