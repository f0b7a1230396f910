//! How long one record takes: processing it, and making it.

use std::hint::black_box;

use base64::Engine as _;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use streamkit_recipes::{
    Change, ChangeKind, Event, Item, KeyAttribute, KeyKind, ReceivedRecord, Record, Sampled, Samples, SourceKind,
    StreamRecord, TableKey, View, Write,
};

/// The function's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOW_MS: i64 = 1_700_000_000_000;

/// As many records as are processed in turn.
const RECORDS: usize = 1024;

fn recipes(criterion: &mut Criterion) {
    for recipe in streamkit_recipes::all() {
        match recipe.samples() {
            Samples::Stream(samples) => {
                let mut generator = samples.generator(1);
                let events: Vec<Event> = std::iter::repeat_with(|| generator.next(NOW_MS)).take(RECORDS).collect();
                let records: Vec<_> = events.iter().map(record).collect();
                process(criterion, *recipe, &records, || drop(generator.next(black_box(NOW_MS))));
            }
            Samples::Table(samples) => {
                let key = TableKey {
                    partition: KeyAttribute::new("UserId", KeyKind::S),
                    sort: Some(KeyAttribute::new("ActivityId", KeyKind::S)),
                };
                let key = samples.table_key().unwrap_or(key);
                let mut writer = samples.writer(1, &key);
                let mut table = std::collections::BTreeMap::new();
                let endless = std::iter::repeat_with(|| Made::of(&writer.next(NOW_MS), &key, &mut table));
                let made: Vec<Made> = endless.take(RECORDS).collect();
                let records: Vec<_> = made.iter().map(Made::change).collect();
                process(criterion, *recipe, &records, || drop(writer.next(black_box(NOW_MS))));
            }
            Samples::OfOthers => batch(criterion, *recipe),
        }
    }
}

/// A whole batch of retail's events as Lambda hands them over.
fn batch(criterion: &mut Criterion, recipe: &dyn Sampled) {
    let Some(batched) = recipe.batched() else { return };
    let Samples::Stream(samples) = streamkit_recipes::samples_for(SourceKind::Stream) else { return };
    let mut generator = samples.generator(1);
    let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/retail-events-events";
    let numbers = (0..RECORDS).map(|n| format!("495451152434909850182800677149731445821800625932{n:08}"));
    let made: Vec<_> = numbers
        .map(|number| {
            let Event { partition_key, data } = generator.next(NOW_MS);
            let data = base64::engine::general_purpose::STANDARD.encode(data);
            let json = format!(
                r#"{{"kinesis":{{"kinesisSchemaVersion":"1.0","partitionKey":"{partition_key}","sequenceNumber":"{number}","data":"{data}","approximateArrivalTimestamp":1700000000.123}},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"shardId-000000000000:{number}","eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::123456789012:role/retail-events-archive","awsRegion":"eu-west-1","eventSourceARN":"{arn}"}}"#
            );
            (number, json)
        })
        .collect();
    let records: Vec<_> = made
        .iter()
        .map(|(sequence_number, json)| ReceivedRecord {
            source_arn: arn,
            shard_id: "shardId-000000000000",
            sequence_number,
            arrival_ms: NOW_MS,
            json,
        })
        .collect();
    let mut group = criterion.benchmark_group(recipe.name());
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function("batch", |bencher| bencher.iter(|| batched.process(black_box(&records), "bucket")));
    group.finish();
}

fn process(criterion: &mut Criterion, recipe: &dyn Sampled, records: &[Record<'_>], mut generate: impl FnMut()) {
    let mut group = criterion.benchmark_group(recipe.name());
    group.throughput(Throughput::Elements(1));
    let mut turn = records.iter().cycle();
    group.bench_function("process", |bencher| {
        bencher.iter(|| recipe.process(black_box(turn.next().expect("a cycle never ends")), NOW_MS));
    });
    group.bench_function("generate", |bencher| bencher.iter(&mut generate));
    group.finish();
}

fn record(event: &Event) -> Record<'_> {
    Record::Stream(StreamRecord {
        shard_id: "shardId-000000000000",
        sequence_number: "49545115243490985018280067714973144582180062593244200961",
        partition_key: &event.partition_key,
        arrival_ms: NOW_MS,
        data: &event.data,
        ..StreamRecord::default()
    })
}

/// A change of an item, with all that its record carries.
struct Made {
    keys: Item,
    old: Option<Item>,
    new: Option<Item>,
}

impl Made {
    fn of(write: &Write, key: &TableKey, table: &mut std::collections::BTreeMap<Item, Item>) -> Self {
        let keys = write.key(key);
        let old = table.remove(&keys);
        let new = write.apply(old.as_ref());
        if let Some(new) = &new {
            table.insert(keys.clone(), new.clone());
        }
        Self { keys, old, new }
    }

    fn change(&self) -> Record<'_> {
        Record::Change(Change {
            event_id: "c4ca4238a0b923820dcc509a6f75849b",
            sequence_number: "4421584500000000017450439091",
            kind: match (&self.old, &self.new) {
                (None, _) => ChangeKind::Insert,
                (Some(_), Some(_)) => ChangeKind::Modify,
                (Some(_), None) => ChangeKind::Remove,
            },
            table: "activities",
            region: "eu-west-1",
            created_ms: NOW_MS,
            size_bytes: 112,
            view: View::NewAndOldImages,
            keys: &self.keys,
            old: self.old.as_ref(),
            new: self.new.as_ref(),
            user: None,
        })
    }
}

criterion_group!(benches, recipes);
criterion_main!(benches);
