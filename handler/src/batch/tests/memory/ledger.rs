//! A recipe that adds up amounts, and records for it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use streamkit_recipes::{
    Attribute, Count, Effects, Item, Needs, Notification, Recipe, Record, Rejected, Settings, SourceKind, Stateful,
};

use super::super::*;

/// Adds up the amounts of an account. What follows from a record tells which one it was, and the sum so far.
pub(super) struct Ledger;

impl Recipe for Ledger {
    fn name(&self) -> &'static str {
        "ledger"
    }

    fn about(&self) -> &'static str {
        "a test's"
    }

    fn source(&self) -> SourceKind {
        SourceKind::Stream
    }

    fn needs(&self) -> Needs {
        Needs { topic: true, ..streamkit_recipes::find("retail").unwrap().needs() }
    }

    fn namespace(&self) -> &'static str {
        "Ledger"
    }

    fn volatile(&self) -> &'static [&'static str] {
        &["processedAt"]
    }

    fn stateful(&self) -> Option<&dyn Stateful> {
        Some(self)
    }

    fn process(&self, record: &Record<'_>, now_ms: i64) -> Result<Effects, Rejected> {
        Stateful::process(self, &Settings::default(), &mut Value::Null, record, now_ms)
    }
}

impl Stateful for Ledger {
    fn key(&self, record: &Record<'_>) -> Result<String, Rejected> {
        let payload: Value = serde_json::from_slice(record.stream()?.data).unwrap_or_default();
        payload["account"].as_str().map(str::to_owned).ok_or_else(|| Rejected::new("missing_field", "account: missing"))
    }

    fn process(&self, _: &Settings, state: &mut Value, record: &Record<'_>, now_ms: i64) -> Result<Effects, Rejected> {
        let record = record.stream()?;
        let payload: Value = serde_json::from_slice(record.data).unwrap();
        // Whatever a recipe does to the state of a record that it rejects, it stays as it was.
        let count = state["count"].as_i64().unwrap_or_default() + 1;
        let before = state["sum"].as_i64().unwrap_or_default();
        *state = json!({"count": count, "sum": "lost", "padding": payload["padding"]});
        let Some(amount) = payload["amount"].as_i64() else {
            return Err(Rejected::new("missing_field", "amount: missing"));
        };
        state["sum"] = json!(before + amount);
        let account = payload["account"].as_str().unwrap();
        let number = |number: i64| Attribute::N(number.to_string());
        let item = Item::from([
            ("userId", Attribute::S(account.to_owned())),
            ("eventTimestamp", Attribute::S(record.id())),
            ("count", number(count)),
            ("before", number(before)),
            ("amount", number(amount)),
            ("processedAt", number(now_ms)),
        ]);
        let message = json!({"account": account, "count": count, "before": before}).to_string();
        let attributes = BTreeMap::from([("sequenceNumber", record.sequence_number.to_owned())]);
        let notification = Notification { subject: "s".to_owned(), message, attributes };
        Ok(Effects::new().item(item).notification(notification).count(Count::one("Entries").of("Account", account)))
    }

    fn keeps_seconds(&self, _: &Settings) -> i64 {
        7 * 24 * 60 * 60
    }
}

pub(super) fn ledger_config() -> Config {
    Config { recipe: &Ledger, ..config() }
}

/// An entry of the account, by its sequence number, from a shard, with a partition key.
pub(super) fn entry(shard: &str, number: usize, partition_key: &str, payload: &Value) -> IncomingRecord {
    IncomingRecord {
        event_id: format!("shardId-{shard}:{number}"),
        sequence_number: number.to_string(),
        sub_sequence_number: None,
        source_arn: "arn:aws:kinesis:eu-west-1:123456789012:stream/entries".to_owned(),
        content: Content::Stream {
            shard_id: format!("shardId-{shard}"),
            partition_key: Some(partition_key.to_owned()),
            own_id: None,
            copy_of: None,
            arrival_ms: 1_700_000_000_000 + i64::try_from(number).unwrap(),
            data: Ok(payload.to_string().into_bytes()),
        },
        withheld: None,
        indexes: Vec::new(),
    }
}

/// The state of an account.
pub(super) fn state_of(sink: &FakeSink, account: &str) -> Value {
    match sink.states.borrow().get(account).and_then(|item| item.get("state")) {
        Some(Attribute::S(state)) => serde_json::from_str(state).unwrap(),
        _ => Value::Null,
    }
}
