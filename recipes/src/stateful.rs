//! Recipes with a memory: a state for each key, which each record changes once.

use serde_json::Value;

use crate::{Effects, Record, Rejected, Settings};

/// A recipe that remembers: its function keeps a state for each key in a table of its own (`state = "table.NAME"` in a spec).
///
/// The function reads the state of a key once for each batch, lets [`process`](Self::process) change it record by record, in the order of
/// the shard, and writes it back only if nobody else has meanwhile; else it begins again from the state as it is. With the state
/// it writes which records it has seen, and what followed from them, so that a record that is delivered again changes nothing and
/// has the same effects.
///
/// ```
/// use serde_json::{Value, json};
/// use streamkit_recipes::{Effects, Record, Rejected, Settings, Stateful, StreamRecord};
///
/// /// Counts the records of each partition key.
/// struct Counter;
///
/// impl Stateful for Counter {
///     fn key(&self, record: &Record<'_>) -> Result<String, Rejected> {
///         Ok(record.stream()?.partition_key.to_owned())
///     }
///     fn process(&self, _: &Settings, state: &mut Value, _: &Record<'_>, _: i64) -> Result<Effects, Rejected> {
///         *state = json!(state.as_i64().unwrap_or_default() + 1);
///         Ok(Effects::new())
///     }
///     fn keeps_seconds(&self, _: &Settings) -> i64 {
///         86_400
///     }
/// }
///
/// let record = Record::Stream(StreamRecord { partition_key: "a", ..StreamRecord::default() });
/// let mut state = Value::Null;
/// Counter.process(&Settings::default(), &mut state, &record, 0)?;
/// Counter.process(&Settings::default(), &mut state, &record, 0)?;
/// assert_eq!(state, json!(2));
/// # Ok::<(), Rejected>(())
/// ```
pub trait Stateful: Sync {
    /// The key whose state a record reads and changes, such as the user's id; 1 to 1,024 bytes.
    ///
    /// # Errors
    /// With the verdict on a record that can never be processed: the same that [`process`](Self::process) would give.
    fn key(&self, record: &Record<'_>) -> Result<String, Rejected>;

    /// Changes the state of the record's key, which is `null` where nothing is known yet, and says what follows from the record.
    ///
    /// Both depend on settings, state and record alone, but for the attributes that [`volatile`](crate::Recipe::volatile) lists:
    /// `now_ms`, the processing time, may show only there. The state has to stay small, whatever comes: it is read and
    /// written as a whole, and below 300 KB of JSON.
    ///
    /// # Errors
    /// With the verdict on a record that can never be processed; the state stays as it was then.
    fn process(
        &self,
        settings: &Settings,
        state: &mut Value,
        record: &Record<'_>,
        now_ms: i64,
    ) -> Result<Effects, Rejected>;

    /// How long a state is kept after the last record that changed it, in seconds: the state's table expires it then.
    fn keeps_seconds(&self, settings: &Settings) -> i64;
}
