//! What `validate` puts: results of devices that bear the run's name, so that their series are the run's own.

use super::{LEARN, THRESHOLD};
use crate::{Attribute, Example, Item, KeyAttribute, Settings, Write};

/// How many regular results of a series come when it is known.
const REGULAR: u32 = 5;

/// A result of analytics, with what the recipe reads of it.
pub(super) fn result(event_id: &str, event_type: &str, device: &str, timestamp_ms: i64, metrics: Item) -> Item {
    Item::from([
        ("deviceType", Attribute::S(device.to_owned())),
        ("eventId", Attribute::S(event_id.to_owned())),
        ("eventType", Attribute::S(event_type.to_owned())),
        ("metrics", Attribute::Map(metrics)),
        ("timestamp", Attribute::N(timestamp_ms.to_string())),
    ])
}

/// Puts results of one run, each with an id of its own.
struct Case<'a> {
    run: &'a str,
    now_ms: i64,
    made: u32,
}

impl Case<'_> {
    fn write(&mut self, event_type: &str, metrics: Item) -> Write {
        self.made += 1;
        let id = format!("streamkit-{}-{}-{event_type}", self.run, self.made);
        // In the order in which they are made, and in one hour unless that ends just now.
        let time = self.now_ms + i64::from(self.made);
        Write::Put(result(&id, event_type, &format!("streamkit-{}", self.run), time, metrics))
    }

    fn purchase(&mut self, amount: &str, currency: &str) -> Write {
        let metrics = [("amount", Attribute::N(amount.to_owned())), ("currency", Attribute::S(currency.to_owned()))];
        self.write("purchase", Item::from(metrics))
    }

    fn page_view(&mut self, load_time: u32) -> Write {
        self.write("page_view", Item::from([("loadTime", Attribute::N(load_time.to_string()))]))
    }
}

/// From 90 to 110, each as often.
fn around_100(n: u32) -> u32 {
    90 + n * 8 % 21
}

/// First as many regular results as it takes to know what is usual, then regular and unusual ones.
pub(super) fn examples(run: &str, now_ms: i64, settings: &Settings) -> Vec<Vec<Example>> {
    let learn = u32::try_from(settings.integer(LEARN)).unwrap_or_default();
    let threshold = settings.number(THRESHOLD);
    let mut case = Case { run, now_ms, made: 0 };
    let regular = |write: Write| Example { write, kind: None };
    let unusual = |write: Write, kind: &'static str| Example { write, kind: Some(kind) };
    let mut known = Vec::new();
    for n in 0..learn {
        known.push(regular(case.purchase(&around_100(n).to_string(), "EUR")));
        known.push(regular(case.page_view(10 * around_100(n))));
    }
    let mut then = Vec::new();
    for n in 0..REGULAR {
        then.push(regular(case.purchase(&format!("{}.5", around_100(n)), "EUR")));
        then.push(regular(case.page_view(10 * around_100(n))));
    }
    // A deviation is below ten here. Far enough for any threshold, and not in another currency, of which nothing is known.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a threshold is 100 at the most")]
    let far = (threshold * 20.0) as u32;
    then.push(unusual(case.purchase(&format!("{}.25", 100 + far), "EUR"), "high-amount"));
    then.push(unusual(case.page_view(10 * (100 + far)), "slow-page"));
    if threshold <= 8.0 {
        then.push(unusual(case.purchase("0.01", "EUR"), "low-amount"));
    }
    then.push(regular(case.purchase(&(100 + far).to_string(), "SEK")));
    vec![known, then]
}

/// Results of every kind, each of which is deleted in the end.
pub(super) fn marked(run: &str, now_ms: i64) -> Vec<Vec<Write>> {
    let mut case = Case { run, now_ms, made: 0 };
    let writes = [
        case.purchase("19.9", "EUR"),
        case.purchase("0", "XTS"),
        case.page_view(812),
        case.write("click", Item::new()),
    ];
    let key = |write: &Write| {
        let names = ["eventId", "timestamp"].map(|name| KeyAttribute::new(name, crate::KeyKind::S));
        let [partition, sort] = names;
        Write::Delete(write.key(&crate::TableKey { partition, sort: Some(sort) }))
    };
    writes
        .into_iter()
        .map(|write| {
            let delete = key(&write);
            vec![write, delete]
        })
        .collect()
}

/// Returns the `n`th result that tries whether the pipeline flows.
pub(super) fn canary(run: &str, n: usize, now_ms: i64) -> Write {
    let metrics = Item::from([("loadTime", Attribute::N("1".to_owned()))]);
    let device = format!("streamkit-{run}-canary");
    Write::Put(result(&format!("streamkit-{run}-canary-{n}"), "page_view", &device, now_ms, metrics))
}
