//! Retail events to send: poison, and the marked events that `validate` looks for.

use serde_json::json;

use crate::Event;
use crate::samples::{poison_events, to_event};

/// Every kind of payload that the recipe rejects; `tag` shows in each.
pub(crate) fn poisons(user: &str, tag: &str) -> Vec<Vec<u8>> {
    let not_utf8 = [b"\xff\xfe ".as_slice(), tag.as_bytes()].concat();
    let truncated = format!(r#"{{"userId":"{user}","eventType":"view","note":"{tag}"#);
    let mut payloads = vec![format!("plain text, not JSON: {tag}").into_bytes(), not_utf8, truncated.into_bytes()];
    let wrong = [
        json!({"invalid_format": true, "note": tag}),
        json!({"eventType": "view", "productId": "P0001", "note": tag}),
        json!({"userId": user, "productId": "P0001", "note": tag}),
        json!({"userId": 42, "eventType": "view", "note": tag}),
        json!({"userId": user, "eventType": "", "note": tag}),
        json!({"userId": user, "eventType": "view", "productId": ["P0001"], "note": tag}),
        json!({"userId": user, "eventType": "view", "timestamp": "yesterday", "note": tag}),
        json!({"userId": user, "eventType": "view", "timestamp": -1, "note": tag}),
        json!([{"userId": user, "eventType": "view", "note": tag}]),
    ];
    payloads.extend(wrong.iter().map(|payload| payload.to_string().into_bytes()));
    payloads
}

/// Returns good events of every kind and edge. The users' names carry the run.
pub(super) fn marked(run: &str, now_ms: i64) -> Vec<Event> {
    let user = |name: &str| format!("streamkit-{run}-{name}");
    let shopper = user("shopper");
    let twin = user("twin");
    let payloads = [
        json!({"userId": shopper, "eventType": "view", "productId": "P0001", "timestamp": now_ms}),
        json!({"userId": shopper, "eventType": "add_to_cart", "productId": "P0001", "timestamp": now_ms + 1}),
        json!({"userId": shopper, "eventType": "purchase", "productId": "P0001", "timestamp": now_ms + 2}),
        json!({"userId": shopper, "eventType": "wishlist", "productId": "P0001", "timestamp": now_ms + 3}),
        json!({"userId": user("no-product"), "eventType": "view", "timestamp": now_ms}),
        json!({"userId": user("null-product"), "eventType": "view", "productId": null, "timestamp": now_ms}),
        json!({"userId": user("text-time"), "eventType": "view", "productId": "P0002", "timestamp": now_ms.to_string()}),
        json!({"userId": user("epoch"), "eventType": "view", "productId": "P0002", "timestamp": 0}),
        json!({"userId": user("ünïcödé-🛒"), "eventType": "view", "productId": "P \"quoted\" \\ \n", "timestamp": now_ms}),
        json!({"userId": user("extras"), "eventType": "view", "productId": "P0003", "timestamp": now_ms,
               "sessionId": run, "nested": {"a": [1, null, {"b": true}]}}),
        // Two events of one user in one millisecond, alike in every byte: two items.
        json!({"userId": twin, "eventType": "view", "productId": "P0004", "timestamp": now_ms}),
        json!({"userId": twin, "eventType": "view", "productId": "P0004", "timestamp": now_ms}),
    ];
    payloads.iter().map(|payload| to_event(payload, "userId")).collect()
}

/// Returns the `n`th event that tries whether the pipeline flows.
pub(super) fn canary(run: &str, n: usize, now_ms: i64) -> Event {
    let user = format!("streamkit-{run}-canary-{n}");
    to_event(&json!({"userId": user, "eventType": "view", "productId": "canary", "timestamp": now_ms}), "userId")
}

/// Returns one event of every kind that the recipe rejects.
pub(crate) fn marked_poison(run: &str) -> Vec<Event> {
    poison_events(run, poisons)
}
