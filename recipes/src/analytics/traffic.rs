//! Analytics events to send: realistic traffic, poison, and the marked events that `validate` looks for.

use serde_json::{Value, json};

use crate::samples::{poison_events, to_event};
use crate::zipf::Zipf;
use crate::{Event, Generator};

const USERS: u32 = 500;
const PAGES: u32 = 100;
const PLACES: [(&str, &str); 6] =
    [("US", "Chicago"), ("GB", "Leeds"), ("DE", "Hamburg"), ("FR", "Lyon"), ("JP", "Osaka"), ("BR", "Recife")];
const METHODS: [&str; 3] = ["email", "social", "phone"];
const SOURCES: [&str; 4] = ["search", "newsletter", "partner", "direct"];

/// Visitors who come back: each has one device, one place and one session.
#[derive(Debug)]
pub(super) struct Traffic {
    rng: fastrand::Rng,
    users: Zipf,
    pages: Zipf,
    sessions: Vec<Option<Session>>,
    poisons: usize,
}

#[derive(Clone, Debug)]
struct Session {
    id: String,
    device: &'static str,
    place: (&'static str, &'static str),
    started_ms: i64,
    pages: u32,
    left: u32,
}

impl Traffic {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            users: Zipf::new(USERS),
            pages: Zipf::new(PAGES),
            sessions: (0..USERS).map(|_| None).collect(),
            poisons: 0,
        }
    }

    fn start(rng: &mut fastrand::Rng, now_ms: i64) -> Session {
        let device = match rng.u32(..100) {
            0..50 => "mobile",
            50..90 => "desktop",
            _ => "tablet",
        };
        Session {
            id: format!("session-{:012x}", rng.u64(..1 << 48)),
            device,
            place: PLACES[rng.usize(..PLACES.len())],
            started_ms: now_ms,
            pages: 0,
            left: rng.u32(1..=20),
        }
    }
}

/// When something happened, as clocks of browsers write it.
fn time(now_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(now_ms).unwrap_or_default().to_string()
}

impl Generator for Traffic {
    fn next(&mut self, now_ms: i64) -> Event {
        let Self { rng, users, pages, sessions, .. } = self;
        let user = users.draw(rng);
        let session = sessions[user].get_or_insert_with(|| Self::start(rng, now_ms));
        let page = format!("/page/{}", pages.draw(rng) + 1);
        let (event_type, more) = match rng.u32(..100) {
            0..55 => {
                session.pages += 1;
                let seconds = (now_ms - session.started_ms).max(0) / 1000;
                let more = json!({"pageUrl": page, "loadTime": rng.u32(80..3000), "sessionLength": seconds,
                    "pagesViewed": session.pages});
                ("page_view", more)
            }
            55..85 => ("click", json!({"pageUrl": page, "elementId": format!("button-{}", rng.u32(1..20))})),
            85..95 => {
                let cents = rng.u32(199..30_000);
                // As text, so that no digit depends on how a float is printed.
                let amount = format!("{}.{:02}", cents / 100, cents % 100);
                let currency = ["USD", "EUR", "GBP"][rng.usize(..3)];
                let card = json!({"brand": "visa", "number": card_number(rng.u32(..10_000))});
                let more = json!({"amount": amount, "currency": currency, "itemsCount": rng.u32(1..6), "card": card});
                ("purchase", more)
            }
            _ => {
                let (method, source) = (METHODS[rng.usize(..METHODS.len())], SOURCES[rng.usize(..SOURCES.len())]);
                let email = format!("visitor.{:04}@mail.example", user + 1);
                ("user_signup", json!({"signupMethod": method, "campaignSource": source, "email": email}))
            }
        };
        let mut payload = json!({
            "eventType": event_type,
            "userId": format!("user-{:04}", user + 1),
            "sessionId": session.id,
            "deviceType": session.device,
            "timestamp": time(now_ms),
            "location": {"country": session.place.0, "city": session.place.1},
        });
        if let (Value::Object(payload), Value::Object(more)) = (&mut payload, more) {
            payload.extend(more);
        }
        session.left -= 1;
        if session.left == 0 {
            sessions[user] = None;
        }
        to_event(&payload, "userId")
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

/// A number from those that payment providers publish for tests, but for its last digits.
fn card_number(number: u32) -> String {
    format!("411111111111{number:04}")
}

/// Every kind of payload that the recipe rejects; `tag` shows in each.
fn poisons(user: &str, tag: &str) -> Vec<Vec<u8>> {
    let purchase = |amount: Value| json!({"eventType": "purchase", "userId": user, "amount": amount, "note": tag});
    let mut payloads = vec![
        format!("plain text, not JSON: {tag}").into_bytes(),
        [b"\xff\xfe ".as_slice(), tag.as_bytes()].concat(),
        format!(r#"{{"eventType":"click","userId":"{user}","note":"{tag}"#).into_bytes(),
        format!(r#"{{"eventType":"purchase","userId":"{user}","amount":NaN,"note":"{tag}"}}"#).into_bytes(),
        format!(r#"{{"eventType":"purchase","userId":"{user}","amount":1e400,"note":"{tag}"}}"#).into_bytes(),
    ];
    let wrong = [
        json!({"userId": user, "note": tag}),
        json!({"eventType": null, "userId": user, "note": tag}),
        json!({"eventType": "", "userId": user, "note": tag}),
        json!({"eventType": 7, "userId": user, "note": tag}),
        json!({"eventType": "click", "userId": 42, "note": tag}),
        json!({"eventType": "click", "userId": user, "deviceType": ["mobile"], "note": tag}),
        json!({"eventType": "click", "userId": user, "location": "Paris", "note": tag}),
        json!({"eventType": "page_view", "userId": user, "loadTime": -1, "note": tag}),
        json!({"eventType": "page_view", "userId": user, "pagesViewed": 1.5, "note": tag}),
        json!({"eventType": "purchase", "userId": user, "note": tag}),
        json!({"eventType": "purchase", "userId": user, "amount": 1, "currency": "dollars", "note": tag}),
        json!([{"eventType": "click", "userId": user, "note": tag}]),
        purchase(json!("NaN")),
        purchase(json!(-0.01)),
        purchase(json!(true)),
    ];
    payloads.extend(wrong.iter().map(|payload| payload.to_string().into_bytes()));
    payloads
}

/// Returns good events of every kind and edge. The users' names carry the run.
pub(super) fn marked(run: &str, now_ms: i64) -> Vec<Event> {
    let user = |name: &str| format!("streamkit-{run}-{name}");
    let at = time(now_ms);
    let event = |event_type: &str, name: &str, more: Value| {
        let mut payload = json!({"eventType": event_type, "userId": user(name), "timestamp": at});
        if let (Value::Object(payload), Value::Object(more)) = (&mut payload, more) {
            payload.extend(more);
        }
        to_event(&payload, "userId")
    };
    let purchase = |amount: Value, currency: &str, device: &str| {
        event(
            "purchase",
            "buyer",
            json!({"amount": amount, "currency": currency, "itemsCount": 2, "deviceType": device,
                "card": {"brand": "visa", "number": card_number(1111)}}),
        )
    };
    vec![
        event(
            "page_view",
            "visitor",
            json!({"pageUrl": "/", "loadTime": 812.5, "sessionLength": 12, "pagesViewed": 1,
            "deviceType": "desktop", "sessionId": run, "location": {"country": "DE", "city": "Köln", "point": [50.94, 6.96]}}),
        ),
        event("page_view", "visitor", json!({"sessionLength": 30, "pagesViewed": 1, "deviceType": "mobile"})),
        event("page_view", "visitor", json!({"sessionLength": 5, "pagesViewed": 2, "deviceType": "tablet"})),
        event("page_view", "bare", json!({})),
        purchase(json!("19.90"), "USD", "mobile"),
        purchase(json!(0.1), "EUR", "desktop"),
        purchase(json!(0), "JPY", "desktop"),
        purchase(json!("999999999999999.99"), "USD", "tv"),
        purchase(json!(5), "XTS", "fridge"),
        event(
            "user_signup",
            "newcomer",
            json!({"signupMethod": "social", "campaignSource": "newsletter", "email": format!("{run}@mail.example")}),
        ),
        event("user_signup", "newcomer", json!({"signupMethod": null})),
        event("click", "visitor", json!({"elementId": "buy", "deviceType": "mobile"})),
        event("scroll", "visitor", json!({"deviceType": null, "location": null})),
        event(
            "click",
            "ünïcödé-🛒",
            json!({"location": {"city": "\"quoted\" \\ \n"}, "nested": {"a": [1, null, {"b": true}]}}),
        ),
        // Two events alike in every byte: two items.
        event("click", "twin", json!({"deviceType": "tablet"})),
        event("click", "twin", json!({"deviceType": "tablet"})),
    ]
}

/// Returns the `n`th event that tries whether the pipeline flows.
pub(super) fn canary(run: &str, n: usize, now_ms: i64) -> Event {
    let user = format!("streamkit-{run}-canary-{n}");
    to_event(&json!({"eventType": "canary", "userId": user, "timestamp": time(now_ms)}), "userId")
}

/// Returns one event of every kind that the recipe rejects.
pub(super) fn marked_poison(run: &str) -> Vec<Event> {
    poison_events(run, poisons)
}
