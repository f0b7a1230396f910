//! The traffic of a shop: shoppers who look and buy, and now and then a thief.

use std::collections::VecDeque;

use super::fraud::{FraudKind, Step, script};
use super::shopper::{Shopper, Whereabouts};
use crate::zipf::Zipf;
use crate::{Event, Generator};

const USERS: u32 = 200;
const PRODUCTS: u32 = 100;

/// With every so many events a fraud begins.
const EVENTS_PER_FRAUD: u64 = 400;
/// Which of them: so a hundred events have one, and two thousand have each kind.
const FIRST_FRAUD: u64 = 20;

/// The number before that of the first shopper to whom it happens.
const VICTIMS: u32 = 9_000;

/// A shopper buys no more often than this: nobody does, and it would rightly be taken for fraud.
const BETWEEN_PURCHASES_MS: i64 = 10 * 60 * 1000;

const USER_AGENTS: [&str; 5] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
];

/// The address blocks that RFC 5737 sets aside for documentation.
const NETWORKS: [&str; 3] = ["192.0.2", "198.51.100", "203.0.113"];

/// Shoppers who come back in sessions: a few are very active, most look, some fill a basket, few buy. Besides them, one after
/// the other, those in whose names somebody else buys: each has a past of some days, and then one of the kinds of fraud.
#[derive(Debug)]
pub(crate) struct Traffic {
    rng: fastrand::Rng,
    users: Zipf,
    products: Zipf,
    visitors: Vec<Visitor>,
    made: u64,
    frauds: u32,
    victim: Option<Victim>,
    /// Every kind of payload that the recipe rejects, given a user and a tag.
    poisons: fn(&str, &str) -> Vec<Vec<u8>>,
    poisons_made: usize,
}

#[derive(Debug)]
struct Visitor {
    shopper: Shopper,
    session: Option<Session>,
    last_purchase_ms: Option<i64>,
}

#[derive(Debug)]
struct Victim {
    shopper: Shopper,
    session: Session,
    steps: VecDeque<Step>,
}

#[derive(Debug)]
struct Session {
    id: String,
    user_agent: &'static str,
    ip_address: String,
    device_id: String,
    whereabouts: Whereabouts,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'a str>,
    session_id: &'a str,
    device_id: &'a str,
    country: &'a str,
    city: &'a str,
    latitude: f64,
    longitude: f64,
    user_agent: &'a str,
    ip_address: &'a str,
}

impl Traffic {
    pub(crate) fn new(seed: u64, poisons: fn(&str, &str) -> Vec<Vec<u8>>) -> Self {
        let visitor = |number| Visitor {
            shopper: Shopper::new(format!("user-{number:04}"), number),
            session: None,
            last_purchase_ms: None,
        };
        Self {
            rng: fastrand::Rng::with_seed(seed),
            users: Zipf::new(USERS),
            products: Zipf::new(PRODUCTS),
            visitors: (1..=USERS).map(visitor).collect(),
            made: 0,
            frauds: 0,
            victim: None,
            poisons,
            poisons_made: 0,
        }
    }

    /// The next purchase in the name of a victim, if it is time for one.
    fn next_of_victim(&mut self, now_ms: i64) -> Option<Event> {
        let rng = &mut self.rng;
        if self.made % EVENTS_PER_FRAUD == FIRST_FRAUD {
            let kind = FraudKind::ALL[self.frauds as usize % FraudKind::ALL.len()];
            self.frauds += 1;
            let number = VICTIMS + self.frauds;
            let shopper = Shopper::new(format!("user-{number:04}"), number);
            let steps = script(kind, &shopper, rng).into();
            self.victim = Some(Victim { session: Session::start(rng, &shopper), shopper, steps });
        }
        let victim = self.victim.as_mut()?;
        // The shopper's purchases come among others; a thief is quick.
        let step = victim.steps.pop_front_if(|step| step.fraudulent || self.made.is_multiple_of(4))?;
        let Victim { shopper, session, .. } = victim;
        session.device_id = step.device;
        session.whereabouts = step.whereabouts;
        let product = Some(self.products.draw(rng));
        Some(session.event(shopper, ("purchase", product), Some(&step.amount), (now_ms - step.ago_ms).max(0)))
    }

    fn next_of_visitor(&mut self, now_ms: i64) -> Event {
        let Self { rng, products, .. } = self;
        let Visitor { shopper, session: slot, last_purchase_ms } = &mut self.visitors[self.users.draw(rng)];
        let session = slot.get_or_insert_with(|| Session::start(rng, shopper));
        let may_buy = last_purchase_ms.is_none_or(|last| now_ms - last >= BETWEEN_PURCHASES_MS);
        let (event_type, product) = session.step(rng, products, may_buy);
        let amount = (event_type == "purchase").then(|| shopper.amount(1.0, rng));
        if amount.is_some() {
            *last_purchase_ms = Some(now_ms);
        }
        let event = session.event(shopper, (event_type, product), amount.as_deref(), now_ms);
        session.left -= 1;
        if session.left == 0 {
            *slot = None;
        }
        event
    }
}

impl Session {
    fn start(rng: &mut fastrand::Rng, shopper: &Shopper) -> Self {
        let network = NETWORKS[rng.usize(..NETWORKS.len())];
        Self {
            id: format!("{:016x}{:016x}", rng.u64(..), rng.u64(..)),
            user_agent: USER_AGENTS[rng.usize(..USER_AGENTS.len())],
            ip_address: format!("{network}.{}", rng.u8(1..255)),
            device_id: shopper.device(rng.u32(..4) == 0),
            whereabouts: shopper.at_home(rng),
            left: rng.u32(1..=40),
            viewed: None,
            basket: None,
        }
    }

    /// Decides what the shopper does next, and with which product.
    fn step(&mut self, rng: &mut fastrand::Rng, products: &Zipf, may_buy: bool) -> (&'static str, Option<usize>) {
        match rng.u32(..100) {
            0..2 => return ("search", None),
            2..8 if may_buy => {
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

    fn event(
        &self,
        shopper: &Shopper,
        (event_type, product): (&str, Option<usize>),
        amount: Option<&str>,
        timestamp: i64,
    ) -> Event {
        let payload = Payload {
            user_id: &shopper.user_id,
            event_type,
            product_id: product.map(|product| format!("P{:04}", product + 1)),
            timestamp,
            amount,
            currency: amount.map(|_| shopper.currency),
            session_id: &self.id,
            device_id: &self.device_id,
            country: self.whereabouts.country,
            city: self.whereabouts.city,
            latitude: self.whereabouts.latitude,
            longitude: self.whereabouts.longitude,
            user_agent: self.user_agent,
            ip_address: &self.ip_address,
        };
        let data = serde_json::to_vec(&payload).expect("strings and numbers always serialize");
        Event { partition_key: shopper.user_id.clone(), data }
    }
}

impl Generator for Traffic {
    fn next(&mut self, now_ms: i64) -> Event {
        self.made += 1;
        match self.next_of_victim(now_ms) {
            Some(event) => event,
            None => self.next_of_visitor(now_ms),
        }
    }

    fn poison(&mut self) -> Event {
        let user = format!("user-{:04}", self.users.draw(&mut self.rng) + 1);
        let tag = format!("{:08x}", self.rng.u32(..));
        let mut payloads = (self.poisons)(&user, &tag);
        let data = payloads.swap_remove(self.poisons_made % payloads.len());
        self.poisons_made += 1;
        Event { partition_key: user, data }
    }
}
