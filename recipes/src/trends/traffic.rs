//! Events for `validate`: each in a country, a city and for a product that bear the run's name, so that they can be told from
//! others in the same window.

use serde_json::{Value, json};

use crate::samples::to_event;
use crate::{Event, retail};

/// Returns good events of every kind and edge.
pub(super) fn marked(run: &str, now_ms: i64) -> Vec<Event> {
    let user = |name: &str| format!("streamkit-{run}-{name}");
    let event = |name: &str, step: &str, product: u32, more: Value| {
        let mut payload = json!({"userId": user(name), "eventType": step, "productId": format!("P-{run}-{product}"),
            "timestamp": now_ms, "country": format!("C-{run}"), "city": format!("Città-{run}")});
        if let (Value::Object(payload), Value::Object(more)) = (&mut payload, more) {
            payload.extend(more);
        }
        to_event(&payload, "userId")
    };
    let twin = event("twin", "purchase", 1, json!({}));
    let mut events = vec![
        event("buyer", "add_to_cart", 1, json!({"city": format!("Elsewhere-{run}")})),
        event("looker", "search", 2, json!({"timestamp": now_ms.to_string()})),
        event("nowhere", "view", 2, json!({"country": null, "city": ""})),
        event("without-country", "view", 2, json!({"country": null})),
        event("late", "view", 3, json!({"timestamp": 0})),
        event(
            "ünïcödé-🛒",
            "wishlist",
            3,
            json!({"city": format!("\"quoted\" \\ \n {run}"), "nested": {"a": [1, null]}}),
        ),
        // Two events alike in every byte, which are two.
        twin.clone(),
        twin,
    ];
    events.extend(
        (0..6).map(|n| event(&format!("visitor-{n}"), "view", 1, json!({"country": format!("C-{run}-{}", n % 2)}))),
    );
    events
}

/// Returns the `n`th event that tries whether the pipeline flows.
pub(super) fn canary(run: &str, n: usize, now_ms: i64) -> Event {
    let payload = json!({"userId": format!("streamkit-{run}-canary-{n}"), "eventType": "view",
        "productId": format!("P-{run}-canary-{n}"), "country": format!("C-{run}-canary-{n}"), "timestamp": now_ms});
    to_event(&payload, "userId")
}

/// Returns one event of every kind that the recipe rejects: what retail rejects, and places that are none.
pub(super) fn marked_poison(run: &str) -> Vec<Event> {
    let mut events = retail::traffic::marked_poison(run);
    let user = |name: &str| format!("streamkit-{run}-poison-{name}");
    let wrong = [
        json!({"userId": user("country"), "eventType": "view", "country": 49, "note": run}),
        json!({"userId": user("city"), "eventType": "view", "city": {"name": "Ulm"}, "note": run}),
        json!({"userId": user("long-city"), "eventType": "view", "city": "x".repeat(129), "note": run}),
        json!({"userId": user("long-product"), "eventType": "view", "productId": "x".repeat(129), "note": run}),
    ];
    events.extend(wrong.iter().map(|payload| to_event(payload, "userId")));
    events
}
