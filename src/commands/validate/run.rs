//! One run: what was sent, what must follow from it, and what has been seen of that so far.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use serde_json::Value;
use streamkit_recipes::{Attribute, Event, Item, Recipe, Record, Rejected, StreamRecord, StreamSamples};
use tokio::time::Instant;

use super::items::{Found, Table};
use super::letters::Letters;
use crate::commands::session::Session;
use crate::events::{Placed, Producer, batches};
use crate::failure::Hint;
use crate::pipeline::Flow;

/// Everything that the checks share. It outlives a check that is interrupted, so that cleaning up knows what to look for.
pub(super) struct Run<'a> {
    pub(super) session: &'a Session,
    pub(super) flow: &'a Flow,
    pub(super) recipe: &'static dyn Recipe,
    pub(super) samples: &'static dyn StreamSamples,
    /// Shows in the key and payload of every event, and in nothing that anybody else sends.
    pub(super) name: String,
    /// The embedded AWS is what runs it.
    pub(super) local: bool,
    /// How long a check waits for what it expects.
    pub(super) limit: Duration,
    pub(super) started: SystemTime,
    pub(super) table: Table,
    pub(super) letters: Option<Letters>,
    pub(super) good: Vec<Good>,
    pub(super) poison: Vec<Poison>,
    /// The partition keys of all items that the run's good events can have made, noted before they are sent.
    pub(super) partitions: BTreeSet<Attribute>,
    /// The partition keys of items that poison would make if it were taken.
    pub(super) poison_partitions: BTreeSet<Attribute>,
    /// An answer of the stream was lost, so some events may be there twice.
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
    pub(super) placed: Placed,
    pub(super) wanted: Vec<Wanted>,
}

/// An item that must follow from an event.
pub(super) struct Wanted {
    pub(super) item: Item,
    /// The item as it was first seen, and when.
    pub(super) found: Option<(Found, Instant)>,
}

/// An event in the stream that the recipe rejects.
pub(super) struct Poison {
    pub(super) event: Event,
    pub(super) placed: Placed,
    pub(super) rejected: Rejected,
    /// The body of its dead letter.
    pub(super) letter: Option<Value>,
}

impl Good {
    /// When the last of the event's items was seen.
    pub(super) fn seen(&self) -> Option<Instant> {
        let seen: Option<Vec<Instant>> =
            self.wanted.iter().map(|wanted| wanted.found.as_ref().map(|(_, at)| *at)).collect();
        seen?.into_iter().max()
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(
        session: &'a Session,
        flow: &'a Flow,
        (recipe, samples): (&'static dyn Recipe, &'static dyn StreamSamples),
        limit: Duration,
        local: bool,
    ) -> Self {
        let aws = &session.aws;
        Self {
            session,
            flow,
            recipe,
            samples,
            name: format!("{:012x}", fastrand::u64(..1 << 48)),
            local,
            limit,
            started: SystemTime::now(),
            table: Table::new(aws, flow.table.as_deref().unwrap_or_default(), recipe),
            letters: flow.dead_letters.as_deref().map(|queue| Letters::new(aws, queue)),
            good: Vec::new(),
            poison: Vec::new(),
            partitions: BTreeSet::new(),
            poison_partitions: BTreeSet::new(),
            uncertain: false,
            gave_up: false,
            producer: Producer::new(aws, flow.source.name()),
            last_put: Instant::now(),
        }
    }

    /// When a check that starts now stops waiting.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.limit
    }

    /// Sends events and notes what the recipe says must follow from each.
    pub(super) async fn put(&mut self, events: Vec<Event>, canary: bool) -> anyhow::Result<()> {
        for event in &events {
            self.note_partitions(event);
        }
        for batch in batches(events) {
            let put = self.producer.put(&batch).await;
            self.uncertain |= put.uncertain;
            for (event, placed) in batch.events().iter().zip(put.places) {
                if let Some(placed) = placed {
                    self.note_placed(event.clone(), placed, canary);
                }
            }
            self.last_put = Instant::now();
            if let Some(error) = put.error {
                return Err(error)
                    .with_context(|| format!("putting records into Kinesis stream ({})", self.flow.source.name()));
            }
        }
        Ok(())
    }

    fn note_partitions(&mut self, event: &Event) {
        let record = Record::Stream(StreamRecord {
            shard_id: "",
            sequence_number: "0",
            partition_key: &event.partition_key,
            arrival_ms: 0,
            data: &event.data,
        });
        // What cleaning up deletes goes by this: only what bears the run's name is the run's.
        let own = |partition: &Attribute| is_marked(partition, &self.name);
        if let Ok(effects) = self.recipe.process(&record, 0) {
            let partitions = effects.items.iter().filter_map(|item| self.table.partition(item));
            self.partitions.extend(partitions.filter(own));
        } else {
            let payload: Option<Value> = serde_json::from_slice(&event.data).ok();
            let named = payload.as_ref().and_then(|payload| payload.get(self.table.partition_name()?)?.as_str());
            let named = named.into_iter().chain([event.partition_key.as_str()]);
            self.poison_partitions.extend(named.map(|key| Attribute::S(key.to_owned())).filter(own));
        }
    }

    fn note_placed(&mut self, event: Event, placed: Placed, canary: bool) {
        let record = Record::Stream(StreamRecord {
            shard_id: &placed.shard_id,
            sequence_number: &placed.sequence_number,
            partition_key: &event.partition_key,
            arrival_ms: 0,
            data: &event.data,
        });
        match self.recipe.process(&record, 0) {
            Ok(effects) => {
                let wanted = effects.items.into_iter().map(|item| Wanted { item, found: None }).collect();
                self.good.push(Good { canary, event, placed, wanted });
            }
            Err(rejected) => self.poison.push(Poison { event, placed, rejected, letter: None }),
        }
    }

    /// Looks once for all items that have not been seen yet.
    pub(super) async fn look(&mut self) -> anyhow::Result<()> {
        let open: Vec<&Item> = self.open().map(|wanted| &wanted.item).collect();
        if open.is_empty() {
            return Ok(());
        }
        let found = self.table.get(&open).await?;
        let now = Instant::now();
        let open = self.good.iter_mut().flat_map(|good| &mut good.wanted).filter(|wanted| wanted.found.is_none());
        for (wanted, found) in open.zip(found) {
            wanted.found = found.map(|found| (found, now));
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

    /// The time from the stream's answer to the item, for each marked event.
    pub(super) fn latencies(&self) -> Vec<Duration> {
        let marked = self.good.iter().filter(|good| !good.canary);
        marked.filter_map(|good| Some(good.seen()?.duration_since(good.placed.at))).collect()
    }

    /// What to do when the pipeline is not there.
    pub(super) fn up_first() -> &'static str {
        "bring the pipeline up with `streamkit up` first"
    }

    /// The error of a flow whose parts are missing.
    pub(super) fn not_up(what: &str) -> anyhow::Error {
        Hint::error(what.to_owned(), Self::up_first())
    }
}

fn is_marked(partition: &Attribute, run: &str) -> bool {
    matches!(partition, Attribute::S(text) if text.contains(run))
}

/// The time in milliseconds since the epoch.
pub(super) fn epoch_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
