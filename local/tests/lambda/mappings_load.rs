//! Mappings under load: large records, reshards, changes of the mapping and random failures, with each key's order kept.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use crate::aws::{Aws, eventually};
use crate::mappings::{Trace, with};

#[tokio::test(flavor = "multi_thread")]
async fn batch_closes_at_six_megabytes() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    aws.function("f", trace.environment(), |body| body["Timeout"] = json!(60)).await;
    // In base64 seven of them fit in 6 MB, and eight do not.
    let records: Vec<String> = (0..20).map(|at| format!("{at:02} {}", "x".repeat(600_000))).collect();
    for record in &records {
        aws.put("s", "k", &[record]).await;
    }
    aws.mapping("f", &stream, json!({ "MaximumBatchingWindowInSeconds": 5 })).await;
    let count = |data: &[String]| data.len() == records.len();
    let seen = trace.until("all records came", count).await;
    assert_eq!(seen, records);
    let sizes: Vec<usize> = trace.batches().iter().map(Vec::len).collect();
    assert!(sizes.iter().all(|size| *size <= 7) && sizes[0] == 7, "{sizes:?}");
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn order_of_each_key_is_kept_through_reshards_under_load() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 2).await;
    aws.function("f", trace.environment(), |body| body["Timeout"] = json!(60)).await;
    aws.mapping("f", &stream, json!({ "BatchSize": 7, "ParallelizationFactor": 2 })).await;
    let keys: Vec<String> = (0..8).map(|key| format!("key{key}")).collect();
    let rounds = 30;
    for round in 0..rounds {
        if let Some(shards) = BTreeMap::from([(8, 4), (18, 2), (22, 1), (25, 2)]).get(&round) {
            let body = json!({ "StreamName": "s", "TargetShardCount": shards, "ScalingType": "UNIFORM_SCALING" });
            aws.kinesis("UpdateShardCount", body).await;
        }
        for key in &keys {
            aws.put("s", key, &[&format!("{key} {round}")]).await;
        }
    }
    let all = keys.len() * rounds;
    let seen = trace.until("all records came", |data| data.len() >= all).await;
    for key in &keys {
        let of_key: Vec<_> = seen.iter().filter_map(|data| data.strip_prefix(key.as_str())).map(str::trim).collect();
        let expected: Vec<String> = (0..rounds).map(|round| round.to_string()).collect();
        assert_eq!(of_key, expected, "{key}");
    }
    let shards: BTreeSet<_> = trace.all().into_iter().map(|seen| seen.shard).collect();
    assert!(shards.len() > 4, "{shards:?}");
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_mapping_under_load_lose_and_repeat_nothing() {
    let aws = Aws::start().await;
    let trace = Trace::new(&aws);
    let stream = aws.stream("s", 1).await;
    aws.function("f", trace.environment(), |body| body["Timeout"] = json!(60)).await;
    let uuid = aws.mapping("f", &stream, json!({ "BatchSize": 3 })).await;
    let expected: Vec<String> = (0..400).map(|at| at.to_string()).collect();
    let write = async {
        for part in expected.chunks(5) {
            let part: Vec<&str> = part.iter().map(String::as_str).collect();
            aws.put("s", "k", &part).await;
        }
    };
    let change = async {
        for size in [10, 1, 50, 4] {
            aws.update_mapping(&uuid, json!({ "Enabled": false }), "Disabled").await;
            aws.update_mapping(&uuid, json!({ "Enabled": true }), "Enabled").await;
            aws.update_mapping(&uuid, json!({ "BatchSize": size }), "Enabled").await;
        }
    };
    tokio::join!(write, change);
    let seen = trace.until("all records came", |data| data.len() >= expected.len()).await;
    assert_eq!(seen, expected);
    aws.stop().await;
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        // Xorshift: <https://www.jstatsoft.org/article/view/v008i14>
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }
}

/// What the function has accepted, in order: without a report a batch counts when nothing in it is poison, with one it counts
/// up to the first poison.
fn accepted(trace: &Trace, reports: bool) -> Vec<String> {
    let mut accepted = Vec::new();
    for batch in trace.batches() {
        let good: Vec<_> = batch.iter().take_while(|data| data.starts_with("good")).cloned().collect();
        if reports || good.len() == batch.len() {
            accepted.extend(good);
        }
    }
    accepted
}

#[tokio::test(flavor = "multi_thread")]
async fn random_poison_ends_at_the_destination_once_and_all_else_is_processed_in_order() {
    let aws = Aws::start().await;
    for seed in 1..=5_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let name = format!("run{seed}");
        let trace = Trace::named(&aws, &name);
        let reports = dice.below(2) == 1;
        let environment = with(trace.environment(), &json!({ "ON_POISON": if reports { "report" } else { "throw" } }));
        aws.function(&name, environment, |body| body["Timeout"] = json!(60)).await;
        let stream = aws.stream(&name, u32::try_from(1 + dice.below(3)).unwrap()).await;
        let (queue, queue_arn) = aws.queue(&name).await;
        let settings = json!({
            "BatchSize": 1 + dice.below(40),
            "ParallelizationFactor": 1 + dice.below(3),
            "MaximumRetryAttempts": dice.below(3),
            "BisectBatchOnFunctionError": true,
            "FunctionResponseTypes": if reports { json!(["ReportBatchItemFailures"]) } else { json!([]) },
            "DestinationConfig": { "OnFailure": { "Destination": queue_arn } },
        });
        let said = format!("seed {seed}: {settings}");
        let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let records: Vec<(String, String)> = (0..60 + dice.below(60))
            .map(|at| {
                let (key, kind) = (format!("k{}", dice.below(7)), if dice.below(10) == 0 { "poison" } else { "good" });
                (key.clone(), format!("{kind} {key} {at}"))
            })
            .collect();
        let body: Vec<_> =
            records.iter().map(|(key, data)| json!({ "Data": BASE64.encode(data), "PartitionKey": key })).collect();
        let put = aws.kinesis("PutRecords", json!({ "StreamName": name, "Records": body })).await;
        let mut poison = BTreeSet::new();
        for ((key, data), put) in records.iter().zip(put["Records"].as_array().unwrap()) {
            if data.starts_with("poison") {
                poison.insert(put["SequenceNumber"].as_str().unwrap().to_owned());
            } else {
                expected.entry(key.clone()).or_default().push(data.clone());
            }
        }
        aws.mapping(&name, &stream, settings).await;
        let good = expected.values().map(Vec::len).sum::<usize>();
        eventually(&format!("all good records were processed ({said})"), async || {
            (accepted(&trace, reports).len() >= good).then_some(())
        })
        .await;
        for (key, expected) in expected {
            let marked = format!("good {key} ");
            let seen: Vec<_> = accepted(&trace, reports).into_iter().filter(|data| data.starts_with(&marked)).collect();
            assert_eq!(seen, expected, "{said}");
        }
        let given_up = aws.messages(&queue, poison.len()).await;
        let sequences: BTreeSet<_> = given_up
            .iter()
            .map(|record| {
                let info = &record["KinesisBatchInfo"];
                assert_eq!(
                    (&info["batchSize"], &record["requestContext"]["condition"]),
                    (&json!(1), &json!("RetryAttemptsExhausted"))
                );
                info["startSequenceNumber"].as_str().unwrap().to_owned()
            })
            .collect();
        assert_eq!(sequences, poison, "{said}");
    }
    aws.stop().await;
}
