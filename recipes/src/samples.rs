//! The sample events of a recipe: `send` sends them, and `validate` checks their effects.

use serde::Deserialize;

use crate::{Attribute, ChangeKind, Item, Recipe, Settings, TableKey};

/// An event for a producer to put into a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Decides the shard, and with it the order; 1 to 256 characters.
    pub partition_key: String,
    /// The payload.
    pub data: Vec<u8>,
}

/// A change for a writer to make to a table's item. Its JSON form is that of a line of `send --from`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Write {
    /// Puts the whole item.
    Put(Item),
    /// Sets these attributes of the item with this key, and removes those.
    Update {
        /// The key.
        key: Item,
        /// The attributes to set.
        #[serde(default)]
        set: Item,
        /// The attributes to remove.
        #[serde(default)]
        remove: Vec<String>,
    },
    /// Deletes the item with this key.
    Delete(Item),
}

impl Write {
    /// The item as it is after the write, if there is one then; `before` is the item as it was.
    pub fn apply(&self, before: Option<&Item>) -> Option<Item> {
        match self {
            Self::Put(item) => Some(item.clone()),
            Self::Update { key, set, remove } => {
                let mut item = before.unwrap_or(key).clone();
                item.retain(|name, _| !remove.iter().any(|removed| removed == name));
                item.extend(set.clone());
                Some(item)
            }
            Self::Delete(_) => None,
        }
    }

    /// The key of the item, of which `table` names the attributes.
    pub fn key(&self, table: &TableKey) -> Item {
        let (Self::Put(item) | Self::Update { key: item, .. } | Self::Delete(item)) = self;
        table.names().filter_map(|name| Some((name.to_owned(), item.get(name)?.clone()))).collect()
    }
}

/// A recipe with sample events.
pub trait Sampled: Recipe {
    /// Its sample events, in the form that its source takes.
    fn samples(&self) -> Samples<'_>;
}

/// The change that a notification is about, with what DynamoDB knows of it and its writer does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifiedChange {
    /// DynamoDB's identity of the change.
    pub event_id: String,
    /// What was done to the item.
    pub kind: ChangeKind,
    /// Its place in the stream.
    pub sequence_number: String,
    /// About when it was made, in milliseconds since the epoch.
    pub created_ms: i64,
    /// The size of key and images in bytes.
    pub size_bytes: u64,
    /// The item's key.
    pub keys: Item,
}

/// A recipe's sample events, in the form that its source takes.
#[derive(Clone, Copy)]
pub enum Samples<'a> {
    /// For a stream.
    Stream(&'a dyn StreamSamples),
    /// For a table.
    Table(&'a dyn TableSamples),
    /// It takes whatever its source has, and so the samples of any recipe that reads such a source.
    OfOthers,
}

/// An endless source of events or writes, the same for the same seed and times.
pub trait Generator {
    /// Returns a realistic event that happens at `now_ms` (milliseconds since the epoch).
    fn next(&mut self, now_ms: i64) -> Event;

    /// Returns an event that the recipe rejects; successive calls vary what is wrong with it.
    fn poison(&mut self) -> Event;
}

/// An endless source of changes to a table, the same for the same seed and times.
pub trait Writer {
    /// Returns a realistic change at `now_ms` (milliseconds since the epoch). Items are put before they are changed or
    /// deleted, so the changes have to be made in order.
    fn next(&mut self, now_ms: i64) -> Write;
}

/// Events for a stream.
pub trait StreamSamples: Sync {
    /// The field of the payload that is the partition key.
    fn partition_field(&self) -> &'static str;

    /// The attribute of items that holds the record's arrival in milliseconds, where items depend on it.
    fn arrival_attribute(&self) -> Option<&'static str> {
        None
    }

    /// The attribute of items that holds the event's type, where one asks for items by it.
    fn type_attribute(&self) -> Option<&'static str> {
        None
    }

    /// The attribute of items that holds the processing time in milliseconds, where the table's sort key keeps the items
    /// of each partition key in the order of the stream.
    fn ordered_by(&self) -> Option<&'static str> {
        None
    }

    /// What it looks for in its events; `None` if all are alike to it.
    fn detection(&self) -> Option<&dyn Detection> {
        None
    }

    /// Returns a generator of realistic events.
    fn generator(&self, seed: u64) -> Box<dyn Generator + Send>;

    /// Returns good events of every kind and edge for `validate`. Each carries the run's name in its partition key and
    /// payload, and its own time, so that its effects follow from shard, sequence number and arrival alone.
    fn marked(&self, run: &str, now_ms: i64) -> Vec<Event>;

    /// Returns one event of every kind that is rejected, with the run's name in the partition key and the payload.
    fn marked_poison(&self, run: &str) -> Vec<Event>;

    /// Returns the `n`th event to try whether the pipeline flows at all.
    fn canary(&self, run: &str, n: usize, now_ms: i64) -> Event;
}

/// A recipe that looks for something in what comes, such as fraud: how `validate` sees that it finds what is there, and nothing
/// else. Whatever one partition key does of one kind is one occurrence, which is found when one of its events is.
pub trait Detection: Sync {
    /// The names of the two checks: that all is found, and that nothing else is.
    fn checks(&self) -> (&'static str, &'static str);

    /// What a marked event is an example of, such as `spree`; `None` for one that has to pass. Only who has made the event knows:
    /// the recipe does not look at what tells it.
    fn kind_of(&self, event: &Event) -> Option<&'static str>;

    /// The attribute, and its value, by which an item says that its event is one of those that are looked for.
    fn found_by(&self) -> (&'static str, Attribute);
}

/// Makes an event of a payload, whose partition key is a field of it.
pub(crate) fn to_event(payload: &serde_json::Value, partition_field: &str) -> Event {
    // Kinesis takes at most 256 characters.
    let partition_key = payload[partition_field].as_str().unwrap_or_default().chars().take(256).collect();
    Event { partition_key, data: payload.to_string().into_bytes() }
}

/// Makes one event of each payload that a recipe rejects, for the user and with the tag that `payloads` is given.
pub(crate) fn poison_events(run: &str, payloads: impl Fn(&str, &str) -> Vec<Vec<u8>>) -> Vec<Event> {
    let user = format!("streamkit-{run}-poison");
    let numbered = payloads(&user, run).into_iter().enumerate();
    numbered.map(|(n, data)| Event { partition_key: format!("{user}-{n}"), data }).collect()
}

/// A recipe that looks for something in the items that a table gets: how `validate` sees that it finds what is there, and nothing
/// else.
pub trait TableDetection: Sync {
    /// The names of the two checks: that all is found, and that nothing else is.
    fn checks(&self) -> (&'static str, &'static str);

    /// Items to put, in several steps: those of a step are put when the effects of those before are seen.
    fn examples(&self, run: &str, now_ms: i64, settings: &Settings) -> Vec<Vec<Example>>;

    /// The attribute, and its value, by which an item of the recipe's own table says that what it is of is looked for.
    fn found_by(&self) -> (&'static str, Attribute);
}

/// An item to put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Puts it.
    pub write: Write,
    /// What it is an example of; `None` for one that has to pass.
    pub kind: Option<&'static str>,
}

/// Changes for a table, whatever its keys are called.
pub trait TableSamples: Sync {
    /// The key of the table, if the recipe reads the items of one kind of table only.
    fn table_key(&self) -> Option<TableKey> {
        None
    }

    /// What it looks for in what the table gets; `None` if all is alike to it.
    fn detection(&self) -> Option<&dyn TableDetection> {
        None
    }

    /// Returns a generator of realistic changes.
    fn writer(&self, seed: u64, key: &TableKey) -> Box<dyn Writer + Send>;

    /// Returns, for each of several items, the changes to make to it in order, for `validate`. Each carries the run's name
    /// in a key attribute, and the last one of each item deletes it.
    fn marked(&self, run: &str, now_ms: i64, key: &TableKey) -> Vec<Vec<Write>>;

    /// Returns the `n`th change to try whether the pipeline flows at all.
    fn canary(&self, run: &str, n: usize, now_ms: i64, key: &TableKey) -> Write;

    /// Reads from a notification which change it is about; `None` if this recipe did not publish it.
    fn notified_change(&self, message: &str) -> Option<NotifiedChange>;
}
