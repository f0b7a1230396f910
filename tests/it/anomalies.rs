//! Two functions in a chain: what one makes of events is what the other looks through.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use crate::flow::assert_nothing_is_left;
use crate::harness::{Home, pipeline, runtime, sdk, until};
use crate::twice::counted;

const LIMIT: Duration = Duration::from_secs(60);

fn items(home: &Home, table: &str) -> Vec<std::collections::HashMap<String, AttributeValue>> {
    let client = aws_sdk_dynamodb::Client::new(&sdk(&home.endpoint()));
    let pages = client.scan().table_name(table).consistent_read(true).into_paginator().items().send();
    runtime().block_on(pages.collect::<Result<Vec<_>, _>>()).expect("a scan")
}

/// Messages of a queue that a topic feeds, one at a time.
fn received(home: &Home, queue: &str, count: usize) -> Vec<Value> {
    let sqs = aws_sdk_sqs::Client::new(&sdk(&home.endpoint()));
    let url = runtime().block_on(sqs.get_queue_url().queue_name(queue).send()).unwrap().queue_url.unwrap();
    let mut all = Vec::new();
    until("messages", LIMIT, || {
        let receive = sqs.receive_message().queue_url(&url).max_number_of_messages(10).send();
        for message in runtime().block_on(receive).unwrap().messages.unwrap_or_default() {
            all.push(serde_json::from_str(message.body.as_deref().unwrap()).unwrap());
            let delete = sqs.delete_message().queue_url(&url).receipt_handle(message.receipt_handle.unwrap()).send();
            runtime().block_on(delete).unwrap();
        }
        (all.len() >= count).then_some(())
    });
    all
}

#[test]
fn unusual_results_are_found_told_and_counted_and_usual_ones_are_not() {
    let home = Home::new();
    let text = std::fs::read_to_string(pipeline("anomalies.toml")).unwrap();
    let spec = home.changed(
        &text,
        &[
            ("[topic.unusual]                   # who looks into it: \"email:shop@example.com\", or a queue, with a filter by measure, say\nsubscribers = []",
             "[queue.found]\n\n[topic.unusual]\nsubscribers = [{ to = \"queue.found\", raw = true }]"),
            ("learn = 30", "learn = 10"),
        ],
    );
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!(up["summary"]["create"], up["resources"].as_array().unwrap().len(), "{up:#}");
    let before = home.calls().len();
    home.local("up", &spec, &["--yes"]);
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());

    let report = home.local("validate", &spec, &[]);
    assert_eq!(report["ok"], true, "{report:#}");
    let has = |function: &str, name: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks.iter().any(|check| check["function"] == function && check["name"] == name)
    };
    assert!(has("analytics", "items") && has("analytics", "cleanup"), "{report:#}");
    for name in ["flow", "items", "anomaly-recall", "anomaly-precision", "metrics", "breakdown", "logs", "cleanup"] {
        assert!(has("anomalies", name), "{name}: {report:#}");
    }
    assert_eq!(items(&home, "anomalies-scores").len(), 0, "what validate puts it takes away again");
    // Those that `validate` made on purpose.
    let told = received(&home, "anomalies-found", 3);
    assert!(told.iter().all(|message| message["series"].as_str().unwrap().contains("streamkit-")), "{told:#?}");

    // Through both functions: what visitors do, and one who buys for a hundred times as much.
    let line = |n: u32, amount: u32| {
        format!(
            "{}\n",
            json!({"eventId": format!("e-{n}"), "eventType": "purchase", "userId": "u", "deviceType": "mobile",
            "amount": amount, "currency": "CHF"})
        )
    };
    let usual: String = (0..40).map(|n| line(n, 90 + n % 20)).collect();
    let sent = home.local("send", &spec, &["--from", home.write("usual.ndjson", &usual).to_str().unwrap()]);
    assert_eq!(sent["sent"], 40, "{sent:#}");
    until("forty scores", LIMIT, || (items(&home, "anomalies-scores").len() == 40).then_some(()));
    let unusual = home.write("unusual.ndjson", &line(40, 9_900));
    home.local("send", &spec, &["--from", unusual.to_str().unwrap()]);
    let told = received(&home, "anomalies-found", 1);
    assert_eq!((&told[0]["eventId"], &told[0]["value"]), (&json!("e-40"), &json!("9900")), "{told:#?}");
    let scores = items(&home, "anomalies-scores");
    let found: Vec<_> = scores.iter().filter(|item| item["isAnomaly"] == AttributeValue::Bool(true)).collect();
    assert_eq!((scores.len(), found.len()), (41, 1));
    assert_eq!(found[0]["series"], AttributeValue::S("purchase|mobile|CHF".to_owned()));
    assert!(found[0].contains_key("expiresAt"));
    counted(&sdk(&home.endpoint()), "AnomalyDetection", "Anomalies", "anomalies", 4.0);

    // What is put by itself, and what status says of both.
    let sent = home.local("send", &spec, &["--function", "anomalies", "--count", "50", "--seed", "7"]);
    assert_eq!(sent["sent"], 50, "{sent:#}");
    let status = home.local("status", &spec, &[]);
    assert_eq!(status["functions"].as_array().unwrap().len(), 2, "{status:#}");
    assert!(status["resources"].as_array().unwrap().iter().all(|node| node["state"] == "ok"), "{status:#}");
    home.local("down", &spec, &["--yes"]);
    assert_nothing_is_left(&home);
}
