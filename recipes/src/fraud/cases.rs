//! The events that `validate` sends: honest shoppers, each kind of fraud, edges, and what the recipe rejects.

use serde_json::{Value, json};

use crate::Event;
use crate::record::fnv1a_128;
use crate::samples::{poison_events, to_event};
use crate::shop::{FraudKind, Shopper, Step, script};

/// How many shoppers each kind of fraud happens to.
const VICTIMS: u32 = 3;
const HONEST: u32 = 10;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Is part of the id of what a thief did. The recipe does not look at ids.
const FRAUDULENT: &str = "-fraud-";

/// Returns good events of every kind and edge. The users' names carry the run.
pub(super) fn marked(run: &str, now_ms: i64) -> Vec<Event> {
    // The same for the same run.
    let mut rng = fastrand::Rng::with_seed((fnv1a_128(run.bytes()) >> 64) as u64);
    let mut events = edges(run, now_ms);
    for number in 0..HONEST {
        let shopper = Shopper::new(format!("streamkit-{run}-honest-{number}"), number);
        events.extend(honest(&shopper, number, now_ms, &mut rng));
    }
    for (place, kind) in (0_u32..).zip(FraudKind::ALL) {
        for number in 0..VICTIMS {
            let shopper = Shopper::new(format!("streamkit-{run}-{}-{number}", kind.name()), 100 * place + number);
            let steps = script(kind, &shopper, &mut rng).into_iter().enumerate();
            events.extend(steps.map(|(n, step)| purchase(&shopper, n, &step, now_ms)));
        }
    }
    events
}

/// The kind of fraud that an event is, if it is one.
pub(super) fn kind_of(event: &Event) -> Option<&'static str> {
    let payload: Value = serde_json::from_slice(&event.data).ok()?;
    let id = payload.get("eventId")?.as_str()?;
    let kind = FraudKind::ALL.into_iter().find(|kind| id.contains(&format!("-{}-", kind.name())))?;
    id.contains(FRAUDULENT).then(|| kind.name())
}

fn purchase(shopper: &Shopper, n: usize, step: &Step, now_ms: i64) -> Event {
    let infix = if step.fraudulent { FRAUDULENT } else { "-" };
    let payload = json!({
        "eventId": format!("{}{infix}{n}", shopper.user_id),
        "userId": shopper.user_id,
        "eventType": "purchase",
        "productId": "P0001",
        "timestamp": now_ms - step.ago_ms,
        "amount": step.amount,
        "currency": shopper.currency,
        "deviceId": step.device,
        "country": step.whereabouts.country,
        "city": step.whereabouts.city,
        "latitude": step.whereabouts.latitude,
        "longitude": step.whereabouts.longitude,
    });
    to_event(&payload, "userId")
}

/// Nine days of somebody who has two devices, and may travel: nothing of it is fraud.
fn honest(shopper: &Shopper, number: u32, now_ms: i64, rng: &mut fastrand::Rng) -> Vec<Event> {
    let days = 0..9_i64;
    let steps = days.map(|day| {
        let travels = number % 3 == 1 && (3..6).contains(&day);
        Step {
            ago_ms: (9 - day) * DAY_MS,
            amount: shopper.amount(1.0, rng),
            device: shopper.device(day % 4 == 3),
            whereabouts: if travels { shopper.far_away(rng) } else { shopper.at_home(rng) },
            fraudulent: false,
        }
    });
    let steps: Vec<Step> = steps.collect();
    let mut events: Vec<_> = steps.iter().enumerate().map(|(n, step)| purchase(shopper, n, step, now_ms)).collect();
    let view = json!({"userId": shopper.user_id, "eventType": "view", "productId": "P0001", "timestamp": now_ms});
    events.push(to_event(&view, "userId"));
    events
}

fn edges(run: &str, now_ms: i64) -> Vec<Event> {
    let event = |name: &str, more: Value| {
        let user = format!("streamkit-{run}-{name}");
        let mut payload = json!({"userId": user, "eventType": "purchase", "timestamp": now_ms});
        if let (Value::Object(payload), Value::Object(more)) = (&mut payload, more) {
            payload.extend(more);
        }
        to_event(&payload, "userId")
    };
    vec![
        event("bare", json!({})),
        event("nulls", json!({"amount": null, "currency": null, "deviceId": null, "latitude": null, "city": null})),
        event("empty", json!({"productId": "", "deviceId": "", "city": ""})),
        event("looks", json!({"eventType": "view", "deviceId": "d", "amount": "19.90"})),
        event("exact", json!({"amount": "1999.999999999999999999", "currency": "EUR"})),
        event("free", json!({"amount": 0})),
        event("currencies", json!({"amount": 1500, "currency": "JPY"})),
        event("currencies", json!({"amount": 1500, "currency": "EUR"})),
        event("text-time", json!({"timestamp": now_ms.to_string(), "latitude": "48.1", "longitude": "11.6"})),
        event("half-a-place", json!({"latitude": 48.1, "country": "DE"})),
        event("pole", json!({"latitude": -90, "longitude": 180, "city": "South Pole"})),
        event("epoch", json!({"timestamp": 0, "amount": 5})),
        event("disorder", json!({"timestamp": now_ms, "amount": 5})),
        event("disorder", json!({"timestamp": now_ms - DAY_MS, "amount": 5})),
        event("ünïcödé-🛒", json!({"productId": "P \"quoted\" \\ \n", "deviceId": "\u{0}🦀", "amount": 5})),
        event("extras", json!({"sessionId": run, "nested": {"a": [1, null, {"b": true}]}})),
        // Two events of one user in one millisecond, alike in every byte: two items.
        event("twin", json!({"amount": "7.50", "currency": "USD"})),
        event("twin", json!({"amount": "7.50", "currency": "USD"})),
    ]
}

/// Returns the `n`th event that tries whether the pipeline flows.
pub(super) fn canary(run: &str, n: usize, now_ms: i64) -> Event {
    let user = format!("streamkit-{run}-canary-{n}");
    to_event(&json!({"userId": user, "eventType": "purchase", "productId": "canary", "timestamp": now_ms}), "userId")
}

/// Every kind of payload that the recipe rejects; `tag` shows in each.
pub(super) fn poisons(user: &str, tag: &str) -> Vec<Vec<u8>> {
    let head = format!(r#"{{"userId":"{user}","eventType":"purchase","note":"{tag}""#);
    let mut payloads = vec![
        format!("plain text, not JSON: {tag}").into_bytes(),
        [b"\xff\xfe ".as_slice(), tag.as_bytes()].concat(),
        head.clone().into_bytes(),
        format!(r#"{head},"amount":NaN}}"#).into_bytes(),
        format!(r#"{head},"amount":1e400}}"#).into_bytes(),
        json!([{"userId": user, "eventType": "purchase", "note": tag}]).to_string().into_bytes(),
    ];
    let wrong = [
        json!({"userId": null}),
        json!({"eventType": null, "amount": 5}),
        json!({"userId": 42}),
        json!({"eventType": ""}),
        json!({"productId": ["P0001"]}),
        json!({"deviceId": 7}),
        json!({"timestamp": "yesterday"}),
        json!({"timestamp": -1}),
        json!({"amount": -0.01}),
        json!({"amount": "NaN"}),
        json!({"amount": "0.0000000000000000001"}),
        json!({"currency": "dollars"}),
        json!({"latitude": 90.5, "longitude": 0}),
        json!({"latitude": "north", "longitude": 0}),
    ];
    payloads.extend(wrong.into_iter().map(|wrong| {
        let mut payload = json!({"userId": user, "eventType": "purchase", "note": tag});
        if let (Value::Object(payload), Value::Object(wrong)) = (&mut payload, wrong) {
            payload.extend(wrong);
        }
        payload.to_string().into_bytes()
    }));
    payloads
}

/// Returns one event of every kind that the recipe rejects.
pub(super) fn marked_poison(run: &str) -> Vec<Event> {
    poison_events(run, poisons)
}
