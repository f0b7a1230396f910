//! Clicks to send: realistic traffic, poison, and the marked events that `validate` looks for.

use serde_json::{Value, json};

use crate::samples::{poison_events, to_event};
use crate::zipf::Zipf;
use crate::{Event, Generator};

const USERS: u32 = 300;
/// Pages in the order in which visitors go through them, and what there is to click on each.
const PAGES: [(&str, &str); 5] = [
    ("/", "search"),
    ("/products", "filter"),
    ("/product", "add-to-cart"),
    ("/cart", "to-checkout"),
    ("/checkout", "pay"),
];

/// Visitors who go forward through the pages, leave, or buy at the end.
#[derive(Debug)]
pub(super) struct Traffic {
    rng: fastrand::Rng,
    users: Zipf,
    /// The page that each visitor is on.
    pages: Vec<usize>,
    poisons: usize,
}

impl Traffic {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            users: Zipf::new(USERS),
            pages: (0..USERS).map(|_| 0).collect(),
            poisons: 0,
        }
    }
}

/// Seconds since the epoch with milliseconds as a fraction, without the roundings of a float.
fn seconds(now_ms: i64) -> Value {
    let text = format!("{}.{:03}", now_ms.div_euclid(1000), now_ms.rem_euclid(1000));
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

impl Generator for Traffic {
    fn next(&mut self, now_ms: i64) -> Event {
        let Self { rng, users, pages, .. } = self;
        let user = users.draw(rng);
        let at = pages[user];
        let (page, element) = PAGES[at];
        let last = at + 1 == PAGES.len();
        let (event_type, more) = match rng.u32(..100) {
            0..2 => ("scroll", json!({"depth": rng.u32(..100)})),
            2..50 => ("page_view", json!({"url": format!("https://shop.example{page}")})),
            _ if last && rng.bool() => {
                pages[user] = 0;
                let cents = rng.u32(199..50_000);
                ("purchase", json!({"amount": format!("{}.{:02}", cents / 100, cents % 100)}))
            }
            _ => {
                // Some visitors leave instead of going on.
                pages[user] = if last || rng.u32(..100) < 35 { 0 } else { at + 1 };
                ("click", json!({"element_id": element}))
            }
        };
        let user_id = format!("user-{:04}", user + 1);
        let mut payload =
            json!({"event_type": event_type, "user_id": user_id, "page": page, "timestamp": seconds(now_ms)});
        if let (Value::Object(payload), Value::Object(more)) = (&mut payload, more) {
            payload.extend(more);
        }
        to_event(&payload, "user_id")
    }

    fn poison(&mut self) -> Event {
        let user = format!("user-{:04}", self.users.draw(&mut self.rng) + 1);
        let tag = format!("{:08x}", self.rng.u32(..));
        let mut payloads = poisons(&user, &tag);
        let data = payloads.swap_remove(self.poisons % payloads.len());
        self.poisons += 1;
        Event { partition_key: user, data }
    }
}

/// Every kind of payload that the recipe rejects; `tag` shows in each.
fn poisons(user: &str, tag: &str) -> Vec<Vec<u8>> {
    let purchase = |amount: Value| json!({"event_type": "purchase", "user_id": user, "amount": amount, "note": tag});
    let timed = |timestamp: Value| json!({"event_type": "click", "user_id": user, "timestamp": timestamp, "note": tag});
    let mut payloads = vec![
        format!("plain text, not JSON: {tag}").into_bytes(),
        [b"\xff\xfe ".as_slice(), tag.as_bytes()].concat(),
        format!(r#"{{"event_type":"click","user_id":"{user}","note":"{tag}"#).into_bytes(),
    ];
    let wrong = [
        json!({"event_type": "click", "note": tag}),
        json!({"event_type": "click", "user_id": null, "note": tag}),
        json!({"event_type": "click", "user_id": "", "note": tag}),
        json!({"event_type": "click", "user_id": 42, "note": tag}),
        json!({"event_type": 7, "user_id": user, "note": tag}),
        json!({"event_type": "click", "user_id": user, "element_id": ["a"], "note": tag}),
        json!({"event_type": "page_view", "user_id": user, "url": {}, "note": tag}),
        json!([{"event_type": "click", "user_id": user, "note": tag}]),
        purchase(json!("free")),
        purchase(json!(-1)),
        timed(json!("yesterday")),
        timed(json!(-1)),
        timed(json!(1e300)),
    ];
    payloads.extend(wrong.iter().map(|payload| payload.to_string().into_bytes()));
    payloads
}

/// Returns good events of every kind and edge. The users' names carry the run; the visitor's events are numbered in the
/// order in which they must stay.
pub(super) fn marked(run: &str, now_ms: i64) -> Vec<Event> {
    let user = |name: &str| format!("streamkit-{run}-{name}");
    let at = seconds(now_ms);
    let event = |event_type: &str, name: &str, more: Value| {
        let mut payload = json!({"event_type": event_type, "user_id": user(name), "timestamp": at});
        if let (Value::Object(payload), Value::Object(more)) = (&mut payload, more) {
            payload.extend(more);
        }
        to_event(&payload, "user_id")
    };
    let mut events: Vec<Event> = (0..20)
        .map(|n| {
            event("page_view", "visitor", json!({"page": "/", "url": format!("https://shop.example/?step={n:02}")}))
        })
        .collect();
    events.extend([
        event("click", "clicker", json!({"page": "/cart", "element_id": "pay"})),
        event("click", "clicker", json!({"element_id": null})),
        event("purchase", "buyer", json!({"page": "/checkout", "amount": "19.90"})),
        event("purchase", "buyer", json!({"amount": 0.1})),
        event("purchase", "buyer", json!({"amount": null})),
        event("scroll", "scroller", json!({"depth": 40, "nested": {"a": [1, null]}})),
        event("page_view", "iso-time", json!({"timestamp": "2026-01-02T03:04:05.678"})),
        event("page_view", "zoned-time", json!({"timestamp": "2026-01-02T03:04:05+01:00"})),
        event("page_view", "epoch", json!({"timestamp": 0})),
        event("click", "ünïcödé-🛒", json!({"element_id": "\"quoted\" \\ \n"})),
        // Two events alike in every byte: two items.
        event("click", "twin", json!({"element_id": "pay"})),
        event("click", "twin", json!({"element_id": "pay"})),
    ]);
    let typeless = json!({"user_id": user("typeless"), "timestamp": at});
    events.push(to_event(&typeless, "user_id"));
    events
}

/// Returns the `n`th event that tries whether the pipeline flows.
pub(super) fn canary(run: &str, n: usize, now_ms: i64) -> Event {
    let user = format!("streamkit-{run}-canary-{n}");
    to_event(&json!({"event_type": "page_view", "user_id": user, "timestamp": seconds(now_ms)}), "user_id")
}

/// Returns one event of every kind that the recipe rejects.
pub(super) fn marked_poison(run: &str) -> Vec<Event> {
    poison_events(run, poisons)
}
