//! Tumbling windows: a recipe's state over all records of a period of time.

use serde_json::Value;

use crate::{Attribute, Count, Item, Record, Settings};

/// The window of a shard that an invocation belongs to.
#[derive(Clone, Copy, Debug)]
pub struct TumblingWindow<'a> {
    /// When it begins, in milliseconds since the epoch.
    pub start_ms: i64,
    /// When it ends: the first millisecond that is no longer in it.
    pub end_ms: i64,
    /// The shard's identifier, such as `shardId-000000000000`.
    pub shard_id: &'a str,
    /// What the recipe was given.
    pub settings: &'a Settings,
}

/// A recipe that aggregates records if its source has a `tumbling_window`. Lambda carries the state of a window
/// from invocation to invocation, for each shard on its own, and begins each window with an empty one.
pub trait Windowed: Sync {
    /// All metrics that it counts, each with the names of its dimensions.
    fn metrics(&self) -> &'static [(&'static str, &'static [&'static str])];

    /// Adds records to the state of their window, `{}` for a new one, and says what to count at once. It is given each
    /// record whose effects were carried out, in the shard's order. The state has to stay below a megabyte of JSON, whatever comes.
    fn add(&self, window: &TumblingWindow<'_>, state: &mut Value, records: &[Record<'_>]) -> Vec<Count>;

    /// Says what to count of a window that is over.
    fn close(&self, window: &TumblingWindow<'_>, state: &Value) -> Vec<Count>;

    /// How it stores what windows come to; `None` if it only counts.
    fn stored(&self) -> Option<&dyn StoredWindows> {
        None
    }
}

/// How a recipe stores windows: an item for each shard, and one that merges those of all shards.
///
/// The function puts the item of its shard, reads all items of the window, and puts what [`merge`](Self::merge) makes of
/// them, unless the table has a merge of more already. So whichever shard comes last merges all, in whatever order they close and however
/// often they are closed again.
pub trait StoredWindows: Sync {
    /// The item of a shard's window that is over; `None` if nothing came. It follows from window and state alone, key
    /// and all, so that storing it twice is harmless.
    fn part(&self, window: &TumblingWindow<'_>, state: &Value) -> Option<Item>;

    /// Merges the items of one window. They come in any order, and an earlier merge may be among them, which does not count.
    /// `None` if there is nothing to merge.
    fn merge(&self, settings: &Settings, items: &[Item]) -> Option<Merge>;

    /// The partition key of all items of the window that begins then.
    fn partition(&self, start_ms: i64) -> Attribute;

    /// What an item says of how often everything came that it names, so that `validate` can compare it with what it has sent.
    fn tallies(&self, item: &Item) -> Vec<Tally>;

    /// What an item says of how often one thing came, named as in [`tallies`](Self::tallies), whether the item names it or not.
    fn tally(&self, item: &Item, name: &str) -> Tally;

    /// Whether nothing but sample events of this run came: all that the item names bears the run's name.
    fn is_of_run(&self, item: &Item, run: &str) -> bool;
}

/// The merge of a window's items.
#[derive(Clone, Debug, PartialEq)]
pub struct Merge {
    /// The item.
    pub item: Item,
    /// The attribute, a number, that is higher the more the merge is of: one is never put over another of more.
    pub grows: &'static str,
    /// What to count once it is stored.
    pub counts: Vec<Count>,
}

/// How often something came in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// What came, such as `product P0001`.
    pub name: String,
    /// As often as this at least.
    pub least: u64,
    /// And as this at the most: the same, where it is known exactly.
    pub most: u64,
}
