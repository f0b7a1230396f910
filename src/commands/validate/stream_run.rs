//! One run on a stream: the events that were sent, their expected effects, and those seen so far.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use streamkit_handler::encryption::{self, Field, masked};
use streamkit_recipes::{
    Attribute, Count, Effects, Event, Item, Recipe, Record, Rejected, StreamRecord, StreamSamples, own_id,
};
use tokio::time::Instant;

use super::archive::Archive;
use super::copies::Copies;
use super::dead_letter_queue::DeadLetterQueue;
use super::downstream::Downstream;
use super::items::Table;
use super::memory::Memory;
use super::passing::PassingEvents;
use super::siblings::Sibling;
use super::telemetry::Growth;
use super::validation::Validation;
use super::windows::Windows;
use crate::producer::{Position, Producer, batches};
use crate::report::Passage;
use crate::table_writer::StoredItem;

/// Everything that the checks share. It outlives a check that is interrupted, so that cleaning up knows what to look for.
pub(super) struct StreamRun<'a> {
    pub(super) validation: Validation<'a>,
    pub(super) samples: &'static dyn StreamSamples,
    /// What the run sends.
    pub(super) events: PassingEvents,
    /// Other functions that read the same stream.
    pub(super) siblings: Vec<Sibling>,
    /// Functions that read the table that this one writes.
    pub(super) downstream: Vec<Downstream>,
    /// What keeps the run's events as they came: the function itself, or others.
    pub(super) archives: Vec<Archive>,
    /// What the function copies into another stream, if it does.
    pub(super) copies: Option<Copies>,
    /// What the function stores of windows, if it does.
    pub(super) windows: Option<Windows>,
    pub(super) table: Table,
    /// What the recipe remembers of the run's events, if it does.
    pub(super) memory: Option<Memory>,
    pub(super) dead_letter_queue: Option<DeadLetterQueue>,
    pub(super) good: Vec<Good>,
    pub(super) poison: Vec<Poison>,
    /// The partition keys of all items that the run's good events can have made, noted before they are sent.
    pub(super) partitions: BTreeSet<Attribute>,
    /// The partition keys of items that poison would make if it were taken.
    pub(super) poison_partitions: BTreeSet<Attribute>,
    /// A response of the stream was lost, so some events may be in it twice.
    pub(super) uncertain: bool,
    /// A check has waited to its end in vain.
    pub(super) gave_up: bool,
    producer: Producer,
    last_put: Instant,
}

/// A good event in the stream.
pub(super) struct Good {
    pub(super) canary: bool,
    pub(super) event: Event,
    pub(super) position: Position,
    pub(super) wanted: Vec<Wanted>,
    /// What it adds to metrics.
    pub(super) counts: Vec<Count>,
    /// When it was seen among others: in an object, if the function archives its source, in a window, if it stores those, or in the
    /// stream that it copies into.
    pub(super) gathered: Option<Instant>,
}

/// An item that an event must lead to.
pub(super) struct Wanted {
    pub(super) item: Item,
    /// The item as it was first seen, and when.
    pub(super) found: Option<(StoredItem, Instant)>,
}

/// An event in the stream that the recipe rejects.
pub(super) struct Poison {
    pub(super) event: Event,
    pub(super) position: Position,
    pub(super) rejected: Rejected,
    /// The body of its dead letter, once it was received.
    pub(super) dead_letter: Option<Value>,
}

/// When the item's record arrived, in milliseconds since the epoch, as the item says.
fn arrival_of(item: &StoredItem, name: &str) -> Option<i64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

impl Good {
    /// When it arrived, in milliseconds since the epoch, if one of its items was seen and says so.
    pub(super) fn arrival_ms(&self, name: &str) -> Option<i64> {
        self.wanted.iter().find_map(|wanted| arrival_of(&wanted.found.as_ref()?.0, name))
    }

    /// When the last of the event's items was seen, or the event among others.
    pub(super) fn seen(&self) -> Option<Instant> {
        if self.gathered.is_some() || self.wanted.is_empty() {
            return self.gathered;
        }
        let seen: Option<Vec<Instant>> =
            self.wanted.iter().map(|wanted| wanted.found.as_ref().map(|(_, at)| *at)).collect();
        seen?.into_iter().max()
    }
}

impl<'a> StreamRun<'a> {
    pub(super) fn new(validation: Validation<'a>, samples: &'static dyn StreamSamples) -> Self {
        let (aws, flow, limit) = (&validation.session.aws, validation.flow, validation.limit);
        // An archive or mirror rejects nothing: what lies in its queue is another function's.
        let queue = flow.dead_letters.as_deref().filter(|_| validation.recipe.judges());
        Self {
            samples,
            events: PassingEvents::new(&validation, samples),
            siblings: Sibling::all(&validation),
            downstream: Downstream::all(&validation),
            table: Table::new(aws, flow.table.as_deref().unwrap_or_default(), validation.recipe),
            memory: Memory::of(aws, flow, validation.recipe),
            archives: Archive::all(&validation),
            copies: Copies::of(&validation),
            windows: Windows::of(&validation),
            dead_letter_queue: queue.map(|queue| DeadLetterQueue::new(aws, queue, limit)),
            good: Vec::new(),
            poison: Vec::new(),
            partitions: BTreeSet::new(),
            poison_partitions: BTreeSet::new(),
            uncertain: false,
            gave_up: false,
            producer: Producer::new(aws, flow.source.name()),
            last_put: Instant::now(),
            validation,
        }
    }

    /// Sends events and notes what the recipe says must follow from each.
    pub(super) async fn put(&mut self, events: Vec<Event>, canary: bool) -> anyhow::Result<()> {
        for event in &events {
            self.note_partitions(event);
        }
        for batch in batches(events) {
            let put = self.producer.put(&batch).await;
            self.uncertain |= put.uncertain;
            for (event, position) in batch.events().iter().zip(put.positions) {
                if let Some(position) = position {
                    self.note_placed(event.clone(), position, canary);
                }
            }
            self.last_put = Instant::now();
            self.expect();
            if let Some(error) = put.error {
                return Err(error).with_context(|| {
                    format!("putting records into Kinesis stream ({})", self.validation.flow.source.name())
                });
            }
        }
        Ok(())
    }

    /// Says of all good events together what must follow from them, where that depends on those before.
    fn expect(&mut self) {
        let Some(memory) = &self.memory else { return };
        memory.expect(&mut self.good, self.samples.arrival_attribute(), &self.table);
        let items = self.good.iter().flat_map(|good| &good.wanted).map(|wanted| &wanted.item);
        let own = |partition: &Attribute| contains(partition, &self.validation.run_id);
        self.partitions.extend(items.filter_map(|item| self.table.partition(item)).filter(own));
    }

    fn note_partitions(&mut self, event: &Event) {
        let nowhere = Position { shard_id: String::new(), sequence_number: "0".to_owned(), at: Instant::now() };
        // What cleaning up deletes goes by this: only what bears the run's name is the run's.
        let own = |partition: &Attribute| contains(partition, &self.validation.run_id);
        if let Ok(effects) = process(self.validation.meaning(), event, &nowhere, 0) {
            let partitions = effects.items.iter().filter_map(|item| self.table.partition(item));
            self.partitions.extend(partitions.filter(own));
        } else {
            let payload: Option<Value> = serde_json::from_slice(&event.data).ok();
            let named = payload.as_ref().and_then(|payload| payload.get(self.table.partition_name()?)?.as_str());
            let named = named.into_iter().chain([event.partition_key.as_str()]);
            self.poison_partitions.extend(named.map(|key| Attribute::S(key.to_owned())).filter(own));
        }
    }

    fn note_placed(&mut self, event: Event, position: Position, canary: bool) {
        for sibling in &mut self.siblings {
            sibling.note(&event, &position, &self.validation.run_id);
        }
        if let Some(memory) = &mut self.memory {
            memory.note(&event, &position, &self.validation.run_id);
        }
        // An item whose key is the record's identity is the run's too.
        let own = |partition: &Attribute| contains(partition, &position.sequence_number);
        match process(self.validation.meaning(), &event, &position, 0) {
            Ok(effects) => {
                let partitions = effects.items.iter().filter_map(|item| self.table.partition(item));
                self.partitions.extend(partitions.filter(own));
                let wanted = effects.items.into_iter().map(|item| Wanted { item, found: None }).collect();
                self.good.push(Good { canary, event, position, wanted, counts: effects.counts, gathered: None });
            }
            Err(rejected) => {
                let identity = identity(&event, &position, self.validation.meaning().identity);
                self.poison_partitions.insert(Attribute::S(identity));
                self.poison.push(Poison { event, position, rejected, dead_letter: None });
            }
        }
    }

    /// Whether the function archives its source.
    pub(super) fn is_archive(&self) -> bool {
        self.validation.recipe.batched().is_some()
    }

    /// The places of the run's events, from the first that came through.
    pub(super) fn placed(&self) -> impl Iterator<Item = &Position> {
        let first = self.good.iter().position(|good| good.seen().is_some()).unwrap_or_default();
        let poison = self.poison.iter().map(|poison| &poison.position);
        self.good[first..].iter().map(|good| &good.position).chain(poison)
    }

    /// The places of those events that some archive does not have yet.
    pub(super) fn unarchived(&self) -> Vec<Position> {
        let lacks = |at: &&Position| self.archives.iter().any(|archive| !archive.has(at));
        self.placed().filter(lacks).cloned().collect()
    }

    /// Looks once for all events that are not known to be in the archives.
    pub(super) async fn look_into_archives(&mut self) -> anyhow::Result<()> {
        let open = if self.is_archive() {
            self.good.iter().filter(|good| good.gathered.is_none()).map(|good| good.position.clone()).collect()
        } else {
            self.unarchived()
        };
        for archive in &mut self.archives {
            archive.look(&self.validation, &open).await?;
        }
        Ok(())
    }

    /// Looks once for all items that have not been seen yet, or for events in the function's own archive.
    pub(super) async fn look(&mut self) -> anyhow::Result<()> {
        if self.is_archive() {
            Box::pin(self.look_into_archives()).await?;
            let now = Instant::now();
            for good in self.good.iter_mut().filter(|good| good.gathered.is_none()) {
                let has = self.archives.iter().any(|archive| archive.has(&good.position));
                good.gathered = has.then_some(now);
            }
            return Ok(());
        }
        if let Some(copies) = &mut self.copies {
            if self.good.iter().any(|good| good.gathered.is_none()) {
                Box::pin(copies.look(&self.validation)).await?;
            }
            let now = Instant::now();
            for good in self.good.iter_mut().filter(|good| good.gathered.is_none()) {
                good.gathered = copies.has(&good.position).then_some(now);
            }
            return Ok(());
        }
        if let Some(windows) = &mut self.windows {
            return windows.look(&self.validation, &self.table, &mut self.good).await;
        }
        let open: Vec<&Item> = self.open().map(|wanted| &wanted.item).collect();
        if open.is_empty() {
            return Ok(());
        }
        let arrival = self.samples.arrival_attribute();
        let found = match arrival {
            Some(_) => self.table.get_by_partition(&open).await?,
            None => self.table.get(&open).await?,
        };
        let now = Instant::now();
        let mut found = found.into_iter();
        let meaning = self.validation.meaning();
        for good in &mut self.good {
            for (place, wanted) in good.wanted.iter_mut().enumerate().filter(|(_, wanted)| wanted.found.is_none()) {
                let Some(item) = found.next().flatten() else { continue };
                // Only AWS knows when the record arrived: the item's own word on that is taken, and the rest has to fit.
                if self.memory.is_none()
                    && let Some(arrival_ms) = arrival.and_then(|name| arrival_of(&item, name))
                    && let Ok(mut effects) = process(meaning, &good.event, &good.position, arrival_ms)
                    && place < effects.items.len()
                {
                    wanted.item = effects.items.swap_remove(place);
                }
                wanted.found = Some((item, now));
            }
        }
        if arrival.is_some() {
            self.expect();
        }
        Ok(())
    }

    fn open(&self) -> impl Iterator<Item = &Wanted> {
        self.good.iter().flat_map(|good| &good.wanted).filter(|wanted| wanted.found.is_none())
    }

    /// How long to wait before the next look: a twentieth of what has passed, so that a latency is measured to that.
    pub(super) fn pause(&self) -> Duration {
        (self.last_put.elapsed() / 20).clamp(Duration::from_millis(20), Duration::from_millis(250))
    }

    /// The marked events whose effects were seen, from the stream's answer to the item.
    pub(super) fn passages(&self) -> Vec<Passage> {
        let marked = self.good.iter().filter(|good| !good.canary);
        marked.filter_map(|good| Some(Passage { sent: good.position.at, seen: good.seen()? })).collect()
    }

    /// What every metric must have grown by at least: by events whose effects were seen, and by poison whose dead letter was.
    pub(super) fn wanted_metrics(&self) -> Growth {
        let mut growth = Growth::default();
        for good in self.good.iter().filter(|good| good.seen().is_some()) {
            growth.add(self.validation.recipe.processed_metric(), &good.counts);
        }
        for _ in self.poison.iter().filter(|poison| poison.dead_letter.is_some()) {
            growth.add(self.validation.recipe.failed_metric(), &[]);
        }
        if let Some(windows) = self.windows.as_ref().filter(|_| self.good.iter().any(|good| good.seen().is_some())) {
            growth.count(&windows.counts());
        }
        growth
    }

    /// All metrics that the run will look at; what they were before is read before anything is sent.
    pub(super) fn metrics(&self) -> Growth {
        let mut growth = Growth::default();
        let nowhere = Position { shard_id: String::new(), sequence_number: "0".to_owned(), at: Instant::now() };
        for event in self.events.marked("").iter().chain(&self.events.canary(0)) {
            if let Ok(effects) = process(self.validation.meaning(), event, &nowhere, 0) {
                growth.add(self.validation.recipe.processed_metric(), &effects.counts);
            }
        }
        growth.add(self.validation.recipe.failed_metric(), &[]);
        if let Some(windows) = &self.windows {
            growth.count(&windows.counts());
        }
        growth
    }
}

/// What the recipe says of an event in its place.
pub(super) fn process(
    Meaning { recipe, identity, encrypted }: Meaning<'_>,
    event: &Event,
    position: &Position,
    arrival_ms: i64,
) -> Result<Effects, Rejected> {
    let own_id = own_id(&event.data, identity);
    // Its recipe sees the fields encrypted.
    let sample = if encrypted.is_empty() {
        None
    } else {
        let data = encryption::sample(&event.data, encrypted)?;
        Some(Event { partition_key: event.partition_key.clone(), data })
    };
    let seen = sample.as_ref().unwrap_or(event);
    let mut effects = recipe.process(&stream_record(seen, position, own_id.as_deref(), arrival_ms), 0)?;
    if sample.is_some() {
        effects.items = effects.items.iter().map(masked).collect();
    }
    Ok(effects)
}

/// An event in its place, as recipes process it.
pub(super) fn stream_record<'r>(
    event: &'r Event,
    position: &'r Position,
    own_id: Option<&'r str>,
    arrival_ms: i64,
) -> Record<'r> {
    Record::Stream(StreamRecord {
        shard_id: &position.shard_id,
        sequence_number: &position.sequence_number,
        partition_key: &event.partition_key,
        arrival_ms,
        data: &event.data,
        own_id,
        ..StreamRecord::default()
    })
}

/// What becomes of a flow's events.
#[derive(Clone, Copy)]
pub(super) struct Meaning<'a> {
    pub(super) recipe: &'static dyn Recipe,
    /// The field in which an event has its own id.
    pub(super) identity: &'a str,
    /// The fields that are encrypted before. Items that follow have a mark in their place.
    pub(super) encrypted: &'a [Field],
}

/// The identity of an event in its place.
pub(super) fn identity(event: &Event, position: &Position, field: &str) -> String {
    let own_id = own_id(&event.data, field);
    let (shard_id, sequence_number) = (position.shard_id.as_str(), position.sequence_number.as_str());
    StreamRecord { shard_id, sequence_number, own_id: own_id.as_deref(), ..StreamRecord::default() }.id()
}

pub(super) fn contains(partition: &Attribute, part: &str) -> bool {
    matches!(partition, Attribute::S(text) if text.contains(part))
}
