//! What an event comes to, on the average: a recipe is run on its own sample events, which costs nobody anything.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use streamkit_local::RecordFilters;
use streamkit_recipes::{
    Attribute, Change, ChangeKind, Count, Effects, Item, ReceivedRecord, Record, Sampled, Samples, Settings,
    StreamRecord, TableKey, TumblingWindow, View,
};

/// How many sample events are looked at: the averages change little with more.
const EVENTS: u32 = 1_000;
const SEED: u64 = 1;
/// Ten events a second from the noon of a day on, so that the same pipeline always comes to the same sum.
const NOON_MS: i64 = 1_767_268_800_000;
const EVENT_EVERY_MS: i64 = 100;

/// Of one event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PerEvent {
    /// The share that the mapping's filters let through.
    pub(crate) share: Decimal,
    /// Items that the function puts, and what they come to in write units of up to 1 KB.
    pub(crate) items: Decimal,
    pub(crate) write_units: Decimal,
    pub(crate) item_bytes: Decimal,
    /// Objects with their bytes.
    pub(crate) objects: Decimal,
    pub(crate) object_bytes: Decimal,
    pub(crate) notifications: Decimal,
    /// Of the state that a recipe with a memory reads and writes.
    pub(crate) state_write_units: Decimal,
    pub(crate) state_read_units: Decimal,
    /// Names and dimensions of what it counts, as CloudWatch tells metrics apart.
    pub(crate) metrics: BTreeSet<String>,
}

/// Of one batch: a recipe whose effects are those of batches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PerBatch {
    pub(crate) objects: Decimal,
    pub(crate) notifications: Decimal,
}

/// Of one shard's window that is over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PerWindow {
    pub(crate) write_units: Decimal,
    pub(crate) read_units: Decimal,
}

/// What a function makes of what it reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FunctionEffects {
    /// Bytes of a sample record.
    pub(crate) record_bytes: Decimal,
    pub(crate) event: PerEvent,
    pub(crate) batch: PerBatch,
    pub(crate) window: PerWindow,
}

/// A sample record: of a stream, or a change of a table.
struct Sample {
    partition_key: String,
    data: Vec<u8>,
    change: Option<SampleChange>,
    at_ms: i64,
    number: String,
}

struct SampleChange {
    kind: ChangeKind,
    keys: Item,
    old: Option<Item>,
    new: Option<Item>,
}

/// How a function is set up, as far as its effects depend on it.
pub(crate) struct Setup<'a> {
    pub(crate) recipe: &'static dyn Sampled,
    pub(crate) samples: Samples<'a>,
    pub(crate) settings: Settings,
    pub(crate) filter: &'a [Value],
    /// Of the source, if that is a table.
    pub(crate) key: Option<TableKey>,
    pub(crate) view: View,
    /// Shards, or what stands for them, that close a window at the same time.
    pub(crate) shards: Decimal,
    pub(crate) window_ms: Option<i64>,
}

/// Runs the recipe on its sample events.
///
/// # Errors
/// A filter is no pattern.
pub(crate) fn effects(setup: &Setup<'_>) -> Result<FunctionEffects, String> {
    let samples = samples(setup);
    let filters = RecordFilters::new(setup.filter)?;
    let passing: Vec<&Sample> = samples.iter().filter(|sample| filters.pass(|| sample.event(setup.view))).collect();
    let mut tally = Tally::default();
    let mut states: BTreeMap<String, Value> = BTreeMap::new();
    for sample in &passing {
        let record = sample.record(setup.view);
        let done = match setup.recipe.stateful() {
            Some(stateful) => stateful.key(&record).and_then(|key| {
                let state = states.entry(key).or_default();
                let effects = stateful.process(&setup.settings, state, &record, sample.at_ms)?;
                tally.state(state, &effects);
                Ok(effects)
            }),
            None if setup.recipe.batched().is_some() => continue,
            None => setup.recipe.process(&record, sample.at_ms),
        };
        // A sample is never rejected; who reads other samples than its own may reject some.
        if let Ok(effects) = done {
            tally.add(&effects);
        }
    }
    let mut made = FunctionEffects {
        record_bytes: mean(samples.iter().map(Sample::bytes).sum(), samples.len()),
        event: tally.per_event(passing.len()),
        ..FunctionEffects::default()
    };
    made.event.share = mean(passing.len(), samples.len());
    if setup.recipe.batched().is_some() {
        batches(setup, &passing, &mut made);
    }
    windows(setup, &passing, &mut made);
    Ok(made)
}

fn mean(sum: usize, of: usize) -> Decimal {
    if of == 0 { Decimal::ZERO } else { Decimal::from(sum) / Decimal::from(of) }
}

/// Units of so many bytes, of which a part counts as a whole one.
pub(crate) fn units(bytes: usize, each: usize) -> usize {
    bytes.div_ceil(each).max(1)
}

#[derive(Default)]
struct Tally {
    items: usize,
    write_units: usize,
    item_bytes: usize,
    objects: usize,
    object_bytes: usize,
    notifications: usize,
    state_write_units: usize,
    state_read_units: usize,
    metrics: BTreeSet<String>,
}

impl Tally {
    fn add(&mut self, effects: &Effects) {
        for item in &effects.items {
            self.items += 1;
            self.item_bytes += item_bytes(item);
            self.write_units += units(item_bytes(item), 1_024);
        }
        self.objects += effects.objects.len();
        self.object_bytes += effects.objects.iter().map(|object| object.body.len()).sum::<usize>();
        self.notifications += effects.notifications.len();
        self.metrics.extend(effects.counts.iter().map(series));
    }

    /// The item of a state holds the state, and what followed from the last record of each shard.
    fn state(&mut self, state: &Value, effects: &Effects) {
        let kept = effects.items.iter().map(|item| item.to_json().len()).sum::<usize>();
        let told = effects.notifications.iter().map(|message| message.message.len()).sum::<usize>();
        let bytes = state.to_string().len() + kept + told + STATE_BYTES;
        self.state_write_units += units(bytes, 1_024);
        self.state_read_units += units(bytes, 4_096);
    }

    fn per_event(self, of: usize) -> PerEvent {
        PerEvent {
            share: Decimal::ZERO,
            items: mean(self.items, of),
            write_units: mean(self.write_units, of),
            item_bytes: mean(self.item_bytes, self.items),
            objects: mean(self.objects, of),
            object_bytes: mean(self.object_bytes, self.objects),
            notifications: mean(self.notifications, of),
            state_write_units: mean(self.state_write_units, of),
            state_read_units: mean(self.state_read_units, of),
            metrics: self.metrics,
        }
    }
}

/// Names, numbers of records and the end of its time, in the item of a state.
const STATE_BYTES: usize = 300;

/// A metric as CloudWatch tells it from others: by name, dimensions and their values.
fn series(count: &Count) -> String {
    let dimensions = count.dimensions.iter().map(|(name, value)| format!(",{name}={value}"));
    std::iter::once(count.metric.to_owned()).chain(dimensions).collect()
}

impl Sample {
    fn bytes(&self) -> usize {
        match &self.change {
            Some(change) => [&change.new, &change.old].into_iter().flatten().map(item_bytes).max().unwrap_or_default(),
            None => self.data.len() + self.partition_key.len(),
        }
    }

    fn record(&self, view: View) -> Record<'_> {
        let Some(change) = &self.change else {
            return Record::Stream(StreamRecord {
                shard_id: "shardId-000000000000",
                sequence_number: &self.number,
                partition_key: &self.partition_key,
                arrival_ms: self.at_ms,
                data: &self.data,
                ..StreamRecord::default()
            });
        };
        let images = view.images();
        Record::Change(Change {
            event_id: &self.number,
            sequence_number: &self.number,
            kind: change.kind,
            table: "table",
            region: "us-east-1",
            created_ms: self.at_ms,
            size_bytes: self.bytes() as u64,
            view,
            keys: &change.keys,
            old: change.old.as_ref().filter(|_| images.old),
            new: change.new.as_ref().filter(|_| images.new),
            user: None,
        })
    }

    /// The record as one of `Records` in Lambda's event.
    fn event(&self, view: View) -> Value {
        let Some(change) = &self.change else {
            return json!({
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": self.partition_key,
                    "sequenceNumber": self.number,
                    "data": STANDARD.encode(&self.data),
                    "approximateArrivalTimestamp": self.at_ms / 1_000,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": format!("shardId-000000000000:{}", self.number),
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::123456789012:role/streamkit/function",
                "awsRegion": "us-east-1",
                "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/stream",
            });
        };
        let mut dynamodb = json!({
            "ApproximateCreationDateTime": self.at_ms / 1_000,
            "Keys": change.keys,
            "SequenceNumber": self.number,
            "SizeBytes": self.bytes(),
            "StreamViewType": view.name(),
        });
        let images = view.images();
        for (name, image, is_there) in [("NewImage", &change.new, images.new), ("OldImage", &change.old, images.old)] {
            if let Some(image) = image.as_ref().filter(|_| is_there) {
                dynamodb[name] = json!(image);
            }
        }
        json!({
            "eventID": self.number,
            "eventName": change.kind.name(),
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1",
            "dynamodb": dynamodb,
            "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/table/stream/2026-01-01T00:00:00.000",
        })
    }
}

fn samples(setup: &Setup<'_>) -> Vec<Sample> {
    let place = |event: u32| (NOON_MS + i64::from(event) * EVENT_EVERY_MS, format!("{event:056}"));
    match setup.samples {
        Samples::Stream(samples) => {
            let mut generator = samples.generator(SEED);
            let sample = |event| {
                let (at_ms, number) = place(event);
                let event = generator.next(at_ms);
                Sample { partition_key: event.partition_key, data: event.data, change: None, at_ms, number }
            };
            (0..EVENTS).map(sample).collect()
        }
        Samples::Table(samples) => {
            let Some(key) = samples.table_key().or_else(|| setup.key.clone()) else { return Vec::new() };
            let mut writer = samples.writer(SEED, &key);
            let mut items: BTreeMap<Item, Item> = BTreeMap::new();
            let sample = |event| {
                let (at_ms, number) = place(event);
                let write = writer.next(at_ms);
                let keys = write.key(&key);
                let old = items.remove(&keys);
                let new = write.apply(old.as_ref());
                let kind = match (&old, &new) {
                    (None, _) => ChangeKind::Insert,
                    (Some(_), Some(_)) => ChangeKind::Modify,
                    (Some(_), None) => ChangeKind::Remove,
                };
                if let Some(new) = &new {
                    items.insert(keys.clone(), new.clone());
                }
                let change = Some(SampleChange { kind, keys, old, new });
                Sample { partition_key: String::new(), data: Vec::new(), change, at_ms, number }
            };
            (0..EVENTS).map(sample).collect()
        }
        Samples::OfOthers => Vec::new(),
    }
}

/// Of a batch with the most records: objects, and what each of its records adds to their bytes.
fn batches(setup: &Setup<'_>, passing: &[&Sample], made: &mut FunctionEffects) {
    let Some(batched) = setup.recipe.batched() else { return };
    let texts: Vec<String> = passing.iter().map(|sample| sample.event(setup.view).to_string()).collect();
    let received = passing.iter().zip(&texts).map(|(sample, json)| ReceivedRecord {
        source_arn: "arn:aws:kinesis:us-east-1:123456789012:stream/stream",
        shard_id: if sample.change.is_none() { "shardId-000000000000" } else { "" },
        sequence_number: &sample.number,
        arrival_ms: sample.at_ms,
        json,
    });
    let parts = batched.process(&received.collect::<Vec<_>>(), "bucket");
    let mut tally = Tally::default();
    for part in &parts {
        tally.add(&part.effects);
    }
    made.batch =
        PerBatch { objects: mean(tally.objects, parts.len()), notifications: mean(tally.notifications, parts.len()) };
    // All that is in an object is of its records.
    made.event.object_bytes = mean(tally.object_bytes, passing.len());
    made.event.metrics = tally.metrics;
}

/// Of a window over all samples: each shard puts what it has, reads those of all shards, and puts the merge.
fn windows(setup: &Setup<'_>, passing: &[&Sample], made: &mut FunctionEffects) {
    let (Some(windowed), Some(window_ms)) = (setup.recipe.windowed(), setup.window_ms) else { return };
    let window = TumblingWindow {
        start_ms: NOON_MS,
        end_ms: NOON_MS + window_ms,
        shard_id: "shardId-000000000000",
        settings: &setup.settings,
    };
    let records: Vec<Record<'_>> = passing.iter().map(|sample| sample.record(setup.view)).collect();
    let mut state = json!({});
    let mut counts = windowed.add(&window, &mut state, &records);
    counts.extend(windowed.close(&window, &state));
    if let Some(stored) = windowed.stored()
        && let Some(part) = stored.part(&window, &state)
    {
        let merge = stored.merge(&setup.settings, std::slice::from_ref(&part));
        let merged = merge.as_ref().map_or(0, |merge| item_bytes(&merge.item));
        let own = item_bytes(&part);
        made.window.write_units = Decimal::from(units(own, 1_024) + units(merged, 1_024));
        // A query reads its items as one.
        let read = Decimal::from(own) * setup.shards + Decimal::from(merged);
        made.window.read_units = (read / Decimal::from(4_096)).ceil();
        counts.extend(merge.into_iter().flat_map(|merge| merge.counts));
    }
    made.event.metrics.extend(counts.iter().map(series));
}

/// The size of an item as DynamoDB counts it.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>
pub(crate) fn item_bytes(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + attribute_bytes(value)).sum()
}

fn attribute_bytes(value: &Attribute) -> usize {
    // One byte for two digits, and one more; lists and maps have three bytes of their own and one for each of their parts.
    let number = |text: &str| text.bytes().filter(u8::is_ascii_digit).count().div_ceil(2) + 1;
    match value {
        Attribute::S(text) => text.len(),
        Attribute::N(text) => number(text),
        Attribute::B(bytes) => bytes.len(),
        Attribute::Bool(_) | Attribute::Null => 1,
        Attribute::List(list) => 3 + list.iter().map(|value| 1 + attribute_bytes(value)).sum::<usize>(),
        Attribute::Map(item) => 3 + item.len() + item_bytes(item),
        Attribute::Strings(texts) => texts.iter().map(String::len).sum(),
        Attribute::Numbers(texts) => texts.iter().map(|text| number(text)).sum(),
        Attribute::Binaries(list) => list.iter().map(Vec::len).sum(),
    }
}
