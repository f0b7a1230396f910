//! Tumbling windows: what the records of one span of time come to together.

use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::flow::assert_nothing_is_left;
use crate::harness::{Home, pipeline, sdk, until};
use crate::twice::counted;

const ALARM: &str = r#"
[alarm.unusual]
metric = "RealTimeAnalytics/UnusualPurchases"
dimensions = { Pipeline = "streaming-analytics" }
statistic = "sum"
period = "1m"
threshold = 0
notify = "topic.alerts"
"#;

#[test]
fn a_window_counts_its_events_and_finds_purchases_that_stand_out() {
    let home = Home::new();
    let text = std::fs::read_to_string(pipeline("streaming-analytics.toml")).unwrap() + ALARM;
    let plan = home.local_output("plan", &home.changed(&text, &[]), &[]).expect(0);
    assert!(plan.stderr.contains("nothing publishes the metric `UnusualPurchases`"), "without a window: {plan:#?}");
    // One shard, so one window; and one that ends soon.
    let spec = home.changed(
        &text,
        &[
            ("shards = 2 ", "shards = 1 "),
            ("batch_window = \"5s\"\n", "batch_window = \"5s\"\ntumbling_window = \"5s\"\n"),
        ],
    );
    let up = home.local_output("up", &spec, &["--yes"]).expect(0);
    assert!(!up.stderr.contains("nothing publishes"), "{up:#?}");
    let purchase = |n: u32, amount: u32| {
        format!("{}\n", json!({"eventType": "purchase", "userId": "u", "amount": amount, "currency": "EUR", "n": n}))
    };
    let mut lines: String = (0..40).map(|n| purchase(n, 90 + n % 20)).collect();
    lines.push_str(&purchase(40, 9_000));
    lines.push_str("poison\n");
    let file = home.write("events.ndjson", &lines);
    // All go in one call, and so into one window, unless it is about to end.
    until("the first half of a window", Duration::from_secs(10), || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        (now % 5_000 < 2_500).then_some(())
    });
    let sent = home.local("send", &spec, &["--from", file.to_str().unwrap()]);
    assert_eq!(sent["sent"], 42, "{sent:#}");
    let config = sdk(&home.endpoint());
    let of = |metric, sum| counted(&config, "RealTimeAnalytics", metric, "streaming-analytics", sum);
    of("EventsProcessed", 41.0);
    of("EventsFailed", 1.0);
    of("WindowEvents", 41.0);
    of("UnusualPurchases", 1.0);
    home.local("down", &spec, &["--yes"]);
    assert_nothing_is_left(&home);
}
