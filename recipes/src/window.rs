//! Tumbling windows: a recipe's state over all records of a period of time.

use serde_json::Value;

use crate::{Count, Record};

/// A recipe that aggregates records if its source has a `tumbling_window`. Lambda carries the state of a window
/// from invocation to invocation, for each shard on its own, and begins each window with an empty one.
pub trait Windowed: Sync {
    /// The names of all metrics that it counts.
    fn metrics(&self) -> &'static [&'static str];

    /// Adds records to the state of their window, `{}` for a new one, and says what to count at once. It is given each
    /// record whose effects were carried out, in the shard's order. The state has to stay below a megabyte of JSON.
    fn add(&self, state: &mut Value, records: &[Record<'_>]) -> Vec<Count>;

    /// Says what to count of a window that is over.
    fn close(&self, state: &Value) -> Vec<Count>;
}
