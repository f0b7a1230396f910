//! The shop with a thief in it: what `send` sends is flagged, scored and told as it should be, and what `validate` says of that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use streamkit_recipes::{Samples, find};

use crate::flow::assert_nothing_is_left;
use crate::harness::{Home, pipeline, runtime, sdk, until};
use crate::twice::counted;

const LIMIT: Duration = Duration::from_secs(60);
const COUNT: usize = 2_000;
const SEED: u64 = 7;

type StoredItem = std::collections::HashMap<String, AttributeValue>;

fn scan(config: &aws_config::SdkConfig, table: &str) -> Vec<StoredItem> {
    let pages = aws_sdk_dynamodb::Client::new(config).scan().table_name(table).consistent_read(true);
    runtime().block_on(pages.into_paginator().items().send().collect::<Result<_, _>>()).unwrap()
}

/// The bodies of all messages of a queue, which loses them.
fn take(config: &aws_config::SdkConfig, queue: &str, count: usize) -> Vec<Value> {
    let sqs = aws_sdk_sqs::Client::new(config);
    let url = runtime().block_on(sqs.get_queue_url().queue_name(queue).send()).unwrap().queue_url.unwrap();
    let mut bodies = Vec::new();
    until(&format!("{count} messages in {queue}"), LIMIT, || {
        let messages = runtime().block_on(sqs.receive_message().queue_url(&url).max_number_of_messages(10).send());
        for message in messages.unwrap().messages.unwrap_or_default() {
            bodies.push(serde_json::from_str(message.body().unwrap()).unwrap());
            let receipt = message.receipt_handle.unwrap();
            runtime().block_on(sqs.delete_message().queue_url(&url).receipt_handle(receipt).send()).unwrap();
        }
        (bodies.len() >= count).then_some(())
    });
    bodies
}

fn text<'i>(item: &'i StoredItem, name: &str) -> &'i str {
    item[name].as_s().unwrap()
}

/// How many events of each type `send` makes: what its shoppers do does not depend on when.
fn sent_types() -> BTreeMap<String, usize> {
    let Samples::Stream(samples) = find("fraud").unwrap().samples() else { panic!("it reads a stream") };
    let mut generator = samples.generator(SEED);
    let now_ms = 1_700_000_000_000;
    let mut types = BTreeMap::new();
    for _ in 0..COUNT {
        let payload: Value = serde_json::from_slice(&generator.next(now_ms).data).unwrap();
        *types.entry(payload["eventType"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    types
}

#[test]
fn thieves_are_flagged_and_told_of_and_honest_shoppers_are_not() {
    let home = Home::new();
    let topic = "[topic.suspicious]                # who looks into it: \"email:fraud@example.com\", or a queue, with a filter \
        by reason, say\nsubscribers = []";
    let with_queues = "[queue.review]\n\n[queue.hops]\n\n[topic.suspicious]\nsubscribers = [\n\
        { to = \"queue.review\", raw = true },\n\
        { to = \"queue.hops\", raw = true, filter = { reason = [\"impossible-hop\"] } },\n]";
    let text_of_shop = std::fs::read_to_string(pipeline("shop.toml")).unwrap();
    let spec = home.changed(&text_of_shop, &[(topic, with_queues)]);
    home.local("up", &spec, &["--yes"]);
    let before = home.calls().len();
    let again = home.local("up", &spec, &["--yes"]);
    assert_eq!(again["summary"]["unchanged"], again["resources"].as_array().unwrap().len(), "{again:#}");
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());
    let (count, seed) = (COUNT.to_string(), SEED.to_string());
    let sent = home.local("send", &spec, &["--count", &count, "--seed", &seed]);
    assert_eq!(sent["sent"], COUNT, "{sent:#}");

    let config = sdk(&home.endpoint());
    let types = sent_types();
    let wanted = types["purchase"];
    let items = until("a score for each purchase", LIMIT, || {
        let items = scan(&config, "shop-scores");
        (items.len() >= wanted).then_some(items)
    });
    assert_eq!(items.len(), wanted);
    let flagged: Vec<&StoredItem> = items.iter().filter(|item| item["flagged"] == AttributeValue::Bool(true)).collect();
    let users: BTreeSet<&str> = flagged.iter().map(|item| text(item, "userId")).collect();
    // One of each kind.
    assert_eq!(
        users.into_iter().collect::<Vec<_>>(),
        ["user-9001", "user-9002", "user-9003", "user-9004", "user-9005"]
    );
    let ids: BTreeSet<&str> = flagged.iter().map(|item| text(item, "recordId")).collect();
    let told = take(&config, "shop-review", flagged.len());
    let told_ids: BTreeSet<&str> = told.iter().map(|message| message["eventId"].as_str().unwrap()).collect();
    assert_eq!((told.len(), told_ids), (flagged.len(), ids), "one notification for each");
    let hops = take(&config, "shop-hops", 1);
    assert_eq!((hops.len(), &hops[0]["userId"]), (1, &json!("user-9004")), "{hops:#?}");
    assert!(hops[0]["reasons"][0]["kilometers"].as_f64().unwrap() > 2_000.0, "{hops:#?}");
    #[expect(clippy::cast_precision_loss, reason = "some dozens")]
    counted(&config, "FraudDetection", "FlaggedEvents", "shop", flagged.len() as f64);
    // What is remembered is one item for each who bought something.
    let buyers: BTreeSet<&str> = items.iter().map(|item| text(item, "userId")).collect();
    assert_eq!(scan(&config, "shop-shoppers").len(), buyers.len());

    // The other function has its part, too.
    let activities = COUNT - types["search"];
    until("all activities", LIMIT, || (scan(&config, "shop-activity").len() == activities).then_some(()));
    home.local("down", &spec, &["--yes"]);
    assert_nothing_is_left(&home);
}

#[test]
fn validate_takes_every_function_and_says_recall_and_precision() {
    let home = Home::new();
    let spec = pipeline("shop.toml");
    home.local("up", &spec, &["--yes"]);
    let report = home.local("validate", &spec, &[]);
    assert_eq!(report["ok"], true, "{report:#}");
    let checks = report["checks"].as_array().unwrap();
    let of = |function: &'static str| checks.iter().filter(move |check| check["function"] == function);
    for function in ["fraud", "retail"] {
        assert!(of(function).any(|check| check["name"] == "items"), "{function}: {report:#}");
    }
    for name in ["windows", "merge"] {
        assert!(of("trends").any(|check| check["name"] == name), "{name}: {report:#}");
    }
    let observed = |name: &str| {
        let check = of("fraud").find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {report:#}"));
        check["observed"].as_str().unwrap().to_owned()
    };
    let recall = observed("fraud-recall");
    assert!(recall.starts_with("1.000: 15 of 15 (3 of 3 card-testing"), "{recall}");
    assert!(observed("fraud-precision").starts_with("1.000: "), "{report:#}");
    let config = sdk(&home.endpoint());
    for table in ["shop-scores", "shop-shoppers", "shop-activity"] {
        assert_eq!(scan(&config, table).len(), 0, "{table}");
    }

    // With other settings the same events are taken otherwise, and that is what the check says.
    let lenient = std::fs::read_to_string(&spec).unwrap();
    let lenient = home.changed(&lenient, &[("velocity_purchases = 5", "velocity_purchases = 50")]);
    home.local("up", &lenient, &["--yes"]);
    let report = home.local_output("validate", &lenient, &["--function", "fraud"]).expect(1).json();
    let failed: Vec<_> = report["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false).collect();
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!(failed[0]["name"], "fraud-recall");
    assert!(failed[0]["observed"].as_str().unwrap().contains("0 of 3 card-testing"), "{failed:#?}");
}
