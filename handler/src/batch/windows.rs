//! What becomes of a tumbling window: its records are added to the state that Lambda carries on, and once it is over, what it
//! comes to is counted and stored.
//!
//! The state covers only records that will not be delivered again: Lambda keeps the state of a response that reports failed
//! records, and delivers from the first of those again. It has no record to report when a window ends, so an invocation that could not store
//! what its window comes to fails as a whole; Lambda then tries it again, with the same state, and goes on only when it has
//! succeeded.
//!
//! Several shards store at the same time, and any of these invocations may be repeated. Each puts the item of its shard, which is
//! the same every time, reads those of all shards as they are then, and puts their merge, unless there is one of more items
//! already. Items are never taken away, so whoever reads last has read all of them, and nobody writes less over that.

use serde_json::json;
use streamkit_recipes::{Count, Item, Record, Settings, StoredWindows};

use super::{Job, Outcome, within};
use crate::record::IncomingRecord;
use crate::sink::{Sink, SinkError, WindowTable};
use crate::window::Window;

/// What a window comes to could not be stored: the invocation has to be tried again.
#[derive(Debug, thiserror::Error)]
#[error("storing what the window comes to: {0}")]
pub struct WindowError(#[from] SinkError);

impl<S: Sink + WindowTable> Job<'_, S> {
    /// Adds the processed records of a batch to their window, and the window's state and metrics to the outcome; stores what the
    /// window comes to, if it is over.
    ///
    /// # Errors
    /// That could not be stored.
    pub async fn keep(
        &self,
        mut window: Window,
        records: &[IncomingRecord],
        outcome: &mut Outcome,
    ) -> Result<(), WindowError> {
        if let Some(windowed) = self.config.recipe.windowed() {
            let failed = |place: usize| outcome.failures.iter().any(|failure| failure.place == place);
            let done = &records[..records.len() - outcome.retry];
            let done = done.iter().enumerate().filter(|(place, _)| !failed(*place));
            let done: Vec<Record<'_>> = done.filter_map(|(_, record)| record.record().ok()).collect();
            let settings = &self.config.settings;
            let mut state = window.state.take();
            let tumbling = window.tumbling(settings);
            let mut counts = windowed.add(&tumbling, &mut state, &done);
            if window.over {
                if let Some(stored) = windowed.stored()
                    && let Some(part) = stored.part(&tumbling, &state)
                {
                    counts.extend(self.store_window(stored, settings, part).await?);
                }
                counts.extend(windowed.close(&tumbling, &state));
                state = json!({});
            }
            for count in counts {
                outcome.counts.add(count);
            }
            window.state = state;
        }
        // Lambda treats a response without a state as a failed one.
        outcome.response.state = Some(window.state);
        Ok(())
    }

    /// Stores the item of a shard and the merge of all; gives what to count of the merge.
    async fn store_window(
        &self,
        stored: &dyn StoredWindows,
        settings: &Settings,
        part: Item,
    ) -> Result<Vec<Count>, SinkError> {
        let until = self.deadline - self.margin();
        if let Some(error) = self.store_chunk(std::slice::from_ref(&part), until).await.into_iter().flatten().next() {
            return Err(error);
        }
        let Some(key) = self.config.recipe.needs().table else { return Ok(Vec::new()) };
        let partition = &*key.partition.name;
        let Some(value) = part.get(partition) else { return Ok(Vec::new()) };
        let items = within(until, self.sink.query(partition, value)).await?;
        let Some(merge) = stored.merge(settings, &items) else { return Ok(Vec::new()) };
        let is_stored = within(until, self.sink.put_grown(&merge.item, merge.grows)).await?;
        // Who has stored more has counted more.
        Ok(if is_stored { merge.counts } else { Vec::new() })
    }
}
