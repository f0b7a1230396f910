//! Retail events to send: realistic traffic, poison, and the marked events that `validate` looks for.

use serde_json::json;

use crate::samples::{poison_events, to_event};
use crate::zipf::Zipf;
use crate::{Event, Generator};

const USERS: u32 = 200;
const PRODUCTS: u32 = 100;

const USER_AGENTS: [&str; 5] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
];

/// The address blocks that RFC 5737 sets aside for documentation.
const NETWORKS: [&str; 3] = ["192.0.2", "198.51.100", "203.0.113"];

/// Shoppers who come back in sessions: a few are very active, most look, some fill a basket, few buy.
#[derive(Debug)]
pub(crate) struct Traffic {
    rng: fastrand::Rng,
    users: Zipf,
    products: Zipf,
    /// The running session of each user.
    sessions: Vec<Option<Session>>,
    poisons: usize,
}

#[derive(Debug)]
struct Session {
    id: String,
    user_agent: &'static str,
    ip_address: String,
    /// Events until the shopper leaves.
    left: u32,
    /// What was looked at last, and what lies in the basket: shoppers buy what they have seen.
    viewed: Option<usize>,
    basket: Option<usize>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    user_id: &'a str,
    event_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<String>,
    timestamp: i64,
    session_id: &'a str,
    user_agent: &'a str,
    ip_address: &'a str,
}

impl Traffic {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            users: Zipf::new(USERS),
            products: Zipf::new(PRODUCTS),
            sessions: (0..USERS).map(|_| None).collect(),
            poisons: 0,
        }
    }
}

impl Session {
    fn start(rng: &mut fastrand::Rng) -> Self {
        let network = NETWORKS[rng.usize(..NETWORKS.len())];
        Self {
            id: format!("{:016x}{:016x}", rng.u64(..), rng.u64(..)),
            user_agent: USER_AGENTS[rng.usize(..USER_AGENTS.len())],
            ip_address: format!("{network}.{}", rng.u8(1..255)),
            left: rng.u32(1..=40),
            viewed: None,
            basket: None,
        }
    }

    /// Decides what the shopper does next, and with which product.
    fn step(&mut self, rng: &mut fastrand::Rng, products: &Zipf) -> (&'static str, Option<usize>) {
        match rng.u32(..100) {
            0..2 => return ("search", None),
            2..8 => {
                if let Some(product) = self.basket.take() {
                    return ("purchase", Some(product));
                }
            }
            8..24 => {
                if let Some(product) = self.viewed {
                    self.basket = Some(product);
                    return ("add_to_cart", Some(product));
                }
            }
            _ => {}
        }
        let product = products.draw(rng);
        self.viewed = Some(product);
        ("view", Some(product))
    }
}

impl Generator for Traffic {
    fn next(&mut self, now_ms: i64) -> Event {
        let user = self.users.draw(&mut self.rng);
        let slot = &mut self.sessions[user];
        let session = slot.get_or_insert_with(|| Session::start(&mut self.rng));
        let (event_type, product) = session.step(&mut self.rng, &self.products);
        let user_id = format!("user-{:04}", user + 1);
        let payload = Payload {
            user_id: &user_id,
            event_type,
            product_id: product.map(|product| format!("P{:04}", product + 1)),
            timestamp: now_ms,
            session_id: &session.id,
            user_agent: session.user_agent,
            ip_address: &session.ip_address,
        };
        let data = serde_json::to_vec(&payload).expect("strings and integers always serialize");
        session.left -= 1;
        if session.left == 0 {
            *slot = None;
        }
        Event { partition_key: user_id, data }
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
