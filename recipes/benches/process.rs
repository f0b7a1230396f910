//! How long one record takes: processing it, and making it.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use streamkit_recipes::{Record, Samples, StreamRecord};

const NOW_MS: i64 = 1_700_000_000_000;

fn recipes(criterion: &mut Criterion) {
    for recipe in streamkit_recipes::all() {
        let mut group = criterion.benchmark_group(recipe.name());
        group.throughput(Throughput::Elements(1));

        let Samples::Stream(samples) = recipe.samples() else { continue };
        let mut generator = samples.generator(1);
        let events: Vec<_> = (0..1024).map(|n| generator.next(NOW_MS + n)).collect();
        let mut turn = events.iter().cycle();
        group.bench_function("process", |bencher| {
            bencher.iter(|| {
                let event = turn.next().expect("a cycle never ends");
                let record = Record::Stream(StreamRecord {
                    shard_id: "shardId-000000000000",
                    sequence_number: "49545115243490985018280067714973144582180062593244200961",
                    partition_key: &event.partition_key,
                    arrival_ms: NOW_MS,
                    data: &event.data,
                });
                recipe.process(black_box(&record), NOW_MS)
            });
        });
        group.bench_function("generate", |bencher| {
            bencher.iter(|| generator.next(black_box(NOW_MS)));
        });
        group.finish();
    }
}

criterion_group!(benches, recipes);
criterion_main!(benches);
