//! Sample changes: users' activities that are put, changed and deleted, and the marked ones that `validate` checks.

use crate::decimal::Decimal;
use crate::record::fnv1a_128;
use crate::zipf::Zipf;
use crate::{Attribute, Item, KeyAttribute, KeyKind, TableKey, Write, Writer};

const USERS: u32 = 200;
/// How many items there are at the most before some are deleted.
const LIVE_MAX: usize = 1_000;
const TYPES: [&str; 4] = ["LOGIN", "SEARCH", "PURCHASE", "LOGOUT"];
const AGENTS: [&str; 3] = ["browser", "app", "kiosk"];

/// Users whose activities come, change and go.
#[derive(Debug)]
pub(super) struct Traffic {
    rng: fastrand::Rng,
    users: Zipf,
    key: TableKey,
    /// The keys of items that are there.
    live: Vec<Item>,
    made: u64,
}

impl Traffic {
    pub(super) fn new(seed: u64, key: TableKey) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        // Runs with different seeds must not change each other's items.
        let made = rng.u64(..1 << 40) << 16;
        Self { rng, users: Zipf::new(USERS), key, live: Vec::new(), made }
    }

    fn put(&mut self, now_ms: i64) -> Write {
        let user = format!("user-{:04}", self.users.draw(&mut self.rng) + 1);
        self.made += 1;
        let key = key(&self.key, &user, &format!("activity-{:015}", self.made));
        self.live.push(key.clone());
        let mut item = key;
        let kind = TYPES[self.rng.usize(..TYPES.len())];
        item.extend(attributes(&[
            ("ActivityType", s(kind)),
            ("Timestamp", number(now_ms.div_euclid(1000))),
            ("UserAgent", s(AGENTS[self.rng.usize(..AGENTS.len())])),
        ]));
        if kind == "PURCHASE" {
            let cents = self.rng.u32(199..50_000);
            item.extend(attributes(&[("Amount", money(cents)), ("Currency", s("USD"))]));
        }
        Write::Put(item)
    }
}

/// Dollars and cents.
fn money(cents: u32) -> Attribute {
    let amount =
        Decimal::parse(&format!("{}.{:02}", cents / 100, cents % 100)).expect("digits with a point are a number");
    Attribute::N(amount.to_string())
}

impl Writer for Traffic {
    fn next(&mut self, now_ms: i64) -> Write {
        let choice = self.rng.u32(..100);
        if self.live.is_empty() || choice < 50 && self.live.len() < LIVE_MAX {
            return self.put(now_ms);
        }
        let place = self.rng.usize(..self.live.len());
        if choice < 80 {
            let set = attributes(&[
                ("ActivityType", s(TYPES[self.rng.usize(..TYPES.len())])),
                ("Timestamp", number(now_ms.div_euclid(1000))),
                ("Revision", number(self.rng.i64(1..1_000_000))),
            ]);
            let remove = if self.rng.u32(..4) == 0 { vec!["UserAgent".to_owned()] } else { Vec::new() };
            return Write::Update { key: self.live[place].clone(), set, remove };
        }
        Write::Delete(self.live.swap_remove(place))
    }
}

/// A key for an item of this group and name, whatever the table's key attributes are called.
fn key(table: &TableKey, group: &str, name: &str) -> Item {
    let of = |attribute: &KeyAttribute, text: &str| {
        let value = match attribute.kind {
            KeyKind::S => s(text),
            // Digits that follow from the text: a number can't hold it.
            KeyKind::N => Attribute::N((fnv1a_128(text.bytes()) % 10_u128.pow(18)).to_string()),
            KeyKind::B => Attribute::B(text.as_bytes().to_vec()),
        };
        (attribute.name.clone().into_owned(), value)
    };
    match &table.sort {
        Some(sort) => Item::from([of(&table.partition, group), of(sort, name)]),
        None => Item::from([of(&table.partition, &format!("{group}-{name}"))]),
    }
}

fn s(text: &str) -> Attribute {
    Attribute::S(text.to_owned())
}

fn number(number: i64) -> Attribute {
    Attribute::N(number.to_string())
}

fn attributes(pairs: &[(&str, Attribute)]) -> Item {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// Returns changes of every kind. The users' names carry the run.
pub(super) fn marked(run: &str, now_ms: i64, table: &TableKey) -> Vec<Vec<Write>> {
    let user = format!("streamkit-{run}");
    let key = |name: &str| key(table, &user, name);
    let item = |name: &str, pairs: &[(&str, Attribute)]| {
        let mut item = key(name);
        item.extend(attributes(pairs));
        item
    };
    let update = |name: &str, pairs: &[(&str, Attribute)], remove: &[&str]| {
        let remove = remove.iter().map(|name| (*name).to_owned()).collect();
        Write::Update { key: key(name), set: attributes(pairs), remove }
    };
    let at = number(now_ms.div_euclid(1000));
    let login = [("ActivityType", s("LOGIN")), ("Timestamp", at.clone()), ("IPAddress", s("192.0.2.7"))];
    let every_kind = [
        ("Text", s("\"quoted\" \\ \n ünïcödé-🛒")),
        ("Empty", s("")),
        ("Amount", Attribute::N("99.99".to_owned())),
        ("Long", Attribute::N("12345678901234567890.123456789012345678".to_owned())),
        ("Bytes", Attribute::B(vec![0, 255, 10])),
        ("Flag", Attribute::Bool(false)),
        ("Nothing", Attribute::Null),
        ("List", Attribute::List(vec![s("a"), Attribute::Null, Attribute::List(vec![number(-1)])])),
        (
            "Map",
            Attribute::Map(attributes(&[("inner", Attribute::Map(attributes(&[("flag", Attribute::Bool(true))])))])),
        ),
        ("Texts", Attribute::Strings(vec!["x".to_owned(), "y".to_owned()])),
        ("Numbers", Attribute::Numbers(vec!["1".to_owned(), "2.5".to_owned()])),
        ("Blobs", Attribute::Binaries(vec![vec![1], vec![2, 3]])),
    ];
    vec![
        vec![
            Write::Put(item("session", &login)),
            update("session", &[("ActivityType", s("LOGOUT")), ("DurationSeconds", number(90))], &["IPAddress"]),
            Write::Delete(key("session")),
        ],
        vec![
            Write::Put(item("replaced", &[("ActivityType", s("SEARCH")), ("Old", s("x"))])),
            Write::Put(item(
                "replaced",
                &[("ActivityType", s("PURCHASE")), ("Amount", Attribute::N("99.99".to_owned()))],
            )),
            update("replaced", &[("Amount", Attribute::N("0.1".to_owned()))], &[]),
            update("replaced", &[("Amount", Attribute::N("0.2".to_owned()))], &[]),
            Write::Delete(key("replaced")),
        ],
        vec![Write::Put(item("every-kind", &every_kind)), Write::Delete(key("every-kind"))],
        vec![
            Write::Put(key("key-only")),
            update("key-only", &[("Added", s("x"))], &[]),
            Write::Delete(key("key-only")),
        ],
    ]
}

/// Returns the `n`th change that tries whether the pipeline flows.
pub(super) fn canary(run: &str, n: usize, now_ms: i64, table: &TableKey) -> Write {
    let mut item = key(table, &format!("streamkit-{run}"), &format!("canary-{n}"));
    item.extend(attributes(&[("ActivityType", s("CANARY")), ("Timestamp", number(now_ms.div_euclid(1000)))]));
    Write::Put(item)
}
