//! The checks on a function that stores what windows come to: all that the run sends is counted in them, and the item of each
//! window is the merge of those of its shards.

use std::collections::BTreeMap;

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use streamkit_handler::attribute::{attribute_values, item};
use streamkit_recipes::{
    Count, Event, Item, Merge, Record, Settings, StoredWindows, StreamRecord, TumblingWindow, Windowed,
};
use tokio::time::{Instant, sleep};

use super::check::{Verdict, listed};
use super::events::all_seen;
use super::items::Table;
use super::stream_run::{Good, StreamRun};
use super::validation::{CLOCK_SKEW, Validation};
use crate::commands::since::epoch_ms;
use crate::report::counted;
use crate::table_writer::StoredItem;

/// How many windows are read at once.
const READS: usize = 16;

/// The windows since the run began, and how the recipe looks at them.
pub(super) struct Windows {
    windowed: &'static dyn Windowed,
    stored: &'static dyn StoredWindows,
    settings: Settings,
    length_ms: i64,
    /// All items of the windows that have any, by the windows' beginnings.
    items: BTreeMap<i64, Vec<Item>>,
}

impl Windows {
    /// `None` if the function stores none.
    pub(super) fn of(validation: &Validation<'_>) -> Option<Self> {
        let windowed = validation.recipe.windowed()?;
        let stored = windowed.stored()?;
        let length_ms = i64::try_from(validation.flow.tumbling_window?.as_millis()).ok()?;
        // The spec was checked: it gives nothing that the recipe does not take.
        let settings = Settings::read(validation.recipe.settings(), &validation.flow.settings).ok()?;
        Some(Self { windowed, stored, settings, length_ms, items: BTreeMap::new() })
    }

    /// Reads the windows once, and notes which events are in them.
    pub(super) async fn look(
        &mut self,
        validation: &Validation<'_>,
        table: &Table,
        good: &mut [Good],
    ) -> anyhow::Result<()> {
        self.read(validation, table).await?;
        let now = Instant::now();
        let observed = self.observed(&self.expected(good.iter()));
        let run_id = &validation.run_id;
        let is_there = |good: &Good| {
            let own = self.expected(std::iter::once(good)).into_keys().filter(|name| name.contains(run_id));
            // Of a name that several events have, all.
            let mut enough = own.map(|name| observed.get(&name).is_some_and(|seen| seen.most >= seen.expected));
            enough.next().is_some_and(|first| first && enough.all(|enough| enough))
        };
        let seen: Vec<bool> = good.iter().map(|good| good.gathered.is_none() && is_there(good)).collect();
        for (good, _) in good.iter_mut().zip(seen).filter(|(_, seen)| *seen) {
            good.gathered = Some(now);
        }
        Ok(())
    }

    async fn read(&mut self, validation: &Validation<'_>, table: &Table) -> anyhow::Result<()> {
        let (stored, length_ms) = (self.stored, self.length_ms);
        let first = epoch_ms(validation.started() - CLOCK_SKEW).div_euclid(length_ms);
        let last = epoch_ms(validation.session.aws.now() + CLOCK_SKEW).div_euclid(length_ms);
        let starts = (first..=last).map(|window| window * length_ms);
        let reads = stream::iter(starts).map(|start_ms| async move {
            let items = table.in_order(&stored.partition(start_ms)).await?;
            anyhow::Ok((start_ms, items.into_iter().map(item).collect::<Vec<Item>>()))
        });
        let read: Vec<(i64, Vec<Item>)> = reads.buffered(READS).try_collect().await?;
        self.items = read.into_iter().filter(|(_, items)| !items.is_empty()).collect();
        Ok(())
    }

    /// What events come to, by the names of what is counted.
    fn expected<'g>(&self, good: impl Iterator<Item = &'g Good>) -> BTreeMap<String, u64> {
        let mut expected = BTreeMap::new();
        for good in good {
            for tally in self.window_of(&good.event).iter().flat_map(|item| self.stored.tallies(item)) {
                *expected.entry(tally.name).or_default() += tally.most;
            }
        }
        expected
    }

    /// The item of a window with nothing but this event.
    fn window_of(&self, event: &Event) -> Option<Item> {
        let Event { partition_key, data } = event;
        let record = StreamRecord { sequence_number: "0", partition_key, data, ..StreamRecord::default() };
        let mut state = json!({});
        self.windowed.add(&self.any_window(), &mut state, &[Record::Stream(record)]);
        self.stored.part(&self.any_window(), &state)
    }

    fn any_window(&self) -> TumblingWindow<'_> {
        TumblingWindow { start_ms: 0, end_ms: self.length_ms, shard_id: "", settings: &self.settings }
    }

    /// What is counted of any window.
    pub(super) fn counts(&self) -> Vec<Count> {
        self.windowed.close(&self.any_window(), &json!({}))
    }

    /// What the merges of all windows say of what is expected.
    fn observed(&self, expected: &BTreeMap<String, u64>) -> BTreeMap<String, Observed> {
        let merges: Vec<&Item> = self.items.values().filter_map(|items| self.merge(items)?.1).collect();
        let of = |(name, expected): (&String, &u64)| {
            let mut observed = Observed { expected: *expected, least: 0, most: 0 };
            for merge in &merges {
                let tally = self.stored.tally(merge, name);
                observed.least += tally.least;
                observed.most += tally.most;
            }
            (name.clone(), observed)
        };
        expected.iter().map(of).collect()
    }

    /// The merge of these items as it should be, and the one that is among them.
    fn merge<'i>(&self, items: &'i [Item]) -> Option<(Merge, Option<&'i Item>)> {
        let merge = self.stored.merge(&self.settings, items)?;
        let found = items.iter().find(|item| item.contains_key(merge.grows));
        Some((merge, found))
    }

    /// Deletes the windows that have nothing but the run's events. Gives how many, and how many stay for their other events.
    pub(super) async fn delete(&self, table: &Table, run_id: &str) -> anyhow::Result<(usize, usize)> {
        let (mut deleted, mut kept) = (0, 0);
        for items in self.items.values() {
            let Some((merge, _)) = self.merge(items) else { continue };
            let has_own = self.stored.tallies(&merge.item).iter().any(|tally| tally.name.contains(run_id));
            if self.stored.is_of_run(&merge.item, run_id) {
                let stored: Vec<StoredItem> = items.iter().map(attribute_values).collect();
                table.delete(&stored.iter().map(|item| table.key_of(item)).collect::<Vec<_>>()).await?;
                deleted += 1;
            } else if has_own {
                kept += 1;
            }
        }
        Ok((deleted, kept))
    }
}

/// How often something came that was expected so often: between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Observed {
    expected: u64,
    least: u64,
    most: u64,
}

impl Observed {
    /// What the run has named came from nobody else, so as often as expected; all else may have come from others, too.
    fn is_right(self, is_own: bool, uncertain: bool) -> bool {
        self.most >= self.expected && (!is_own || uncertain || self.least <= self.expected)
    }
}

/// Sends the marked events, and waits until all are in windows that are over.
pub(super) async fn events(run: &mut StreamRun<'_>) -> anyhow::Result<Verdict> {
    all_seen(run).await?;
    let windows = run.windows.as_ref().context("the function stores no windows")?;
    // A canary that came before the mapping read is in no window.
    let sent = || run.good.iter().filter(|good| good.seen().is_some() || !good.canary);
    let observed = windows.observed(&windows.expected(sent()));
    let mut wrong = Vec::new();
    for (name, observed) in &observed {
        if !observed.is_right(name.contains(&run.validation.run_id), run.uncertain) {
            let Observed { expected, least, most } = observed;
            let found = if least == most { least.to_string() } else { format!("{least} to {most}") };
            wrong.push(format!("{name}: {found} of {expected}"));
        }
    }
    let text = if wrong.is_empty() {
        format!("all {} in {}, by {} names", sent().count(), counted(windows.items.len(), "window"), observed.len())
    } else {
        format!("{} wrong: {}", counted(wrong.len(), "count"), listed(&wrong))
    };
    Ok(Verdict::new(wrong.is_empty() && !observed.is_empty(), text).or_hint(run.validation.see_log()))
}

/// Compares the merge of each window with the items of its shards. A shard that has just stored its own merges it next.
pub(super) async fn merges(run: &mut StreamRun<'_>) -> anyhow::Result<Verdict> {
    let deadline = run.validation.deadline();
    loop {
        let windows = run.windows.as_mut().context("the function stores no windows")?;
        windows.read(&run.validation, &run.table).await?;
        let now = run.validation.session.aws.now();
        let mut wrong = Vec::new();
        let mut parts = 0;
        for (start_ms, items) in &windows.items {
            let merge = windows.merge(items);
            let is_right = merge.as_ref().is_some_and(|(merge, found)| *found == Some(&merge.item));
            parts += items.len() - usize::from(merge.is_some_and(|(_, found)| found.is_some()));
            if !is_right {
                wrong.push(format!("the window that began {} s ago", (epoch_ms(now) - start_ms) / 1000));
            }
        }
        if wrong.is_empty() || Instant::now() >= deadline {
            let observed = if wrong.is_empty() {
                format!("{} of {}", counted(windows.items.len(), "merge"), counted(parts, "item"))
            } else {
                format!("not so: {}", listed(&wrong))
            };
            return Ok(Verdict::new(wrong.is_empty(), observed).or_hint(run.validation.see_log()));
        }
        sleep(run.pause()).await;
    }
}
