//! What must hold of every recipe, whatever it means.
#![expect(clippy::unwrap_used, reason = "a test, in which clippy does not count the functions below")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use streamkit_recipes::{
    Attribute, Change, ChangeKind, Effects, Event, Item, KeyAttribute, KeyKind, ReceivedRecord, Record, Rejected,
    Sampled, Samples, Settings, SourceKind, StreamRecord, StreamSamples, TableKey, TableSamples, TumblingWindow, View,
    Write, all,
};

const NOW_MS: i64 = 1_700_000_000_123;

fn streams() -> impl Iterator<Item = (&'static dyn Sampled, &'static dyn StreamSamples)> {
    all().iter().filter_map(|recipe| match recipe.samples() {
        Samples::Stream(samples) => Some((*recipe, samples)),
        Samples::Table(_) | Samples::OfOthers => None,
    })
}

fn process(recipe: &dyn Sampled, event: &Event, now_ms: i64) -> Result<Effects, Rejected> {
    let record = StreamRecord {
        shard_id: "shardId-000000000000",
        sequence_number: "49545115243490985018280067714973144582180062593244200961",
        partition_key: &event.partition_key,
        arrival_ms: NOW_MS,
        data: &event.data,
        ..StreamRecord::default()
    };
    recipe.process(&Record::Stream(record), now_ms)
}

/// The effects depend on the record, and on the clock only where the recipe says so.
fn assert_repeatable(recipe: &dyn Sampled, event: &Event) {
    let (mut one, mut two) = (process(recipe, event, 1).unwrap(), process(recipe, event, 2).unwrap());
    for (one, two) in one.items.iter_mut().zip(&mut two.items) {
        for name in recipe.volatile() {
            assert_ne!(one.remove(name), two.remove(name), "{name}");
        }
    }
    assert_eq!(one, two);
}

/// Every item has the key, and every object the prefix, that the recipe says.
fn assert_fits(recipe: &dyn Sampled, effects: &Effects) {
    let needs = recipe.needs();
    for item in &effects.items {
        let key = needs.table.as_ref().expect("a recipe with items needs a table");
        assert!(key.names().all(|name| item.contains_key(name)), "{item:?}");
    }
    for object in &effects.objects {
        let prefix = needs.bucket.expect("a recipe with objects needs a bucket");
        assert!(object.key.starts_with(prefix) && object.key.len() <= 1024, "{}", object.key);
    }
    for notification in &effects.notifications {
        assert!(needs.topic || needs.optional_topic, "a recipe with notifications needs a topic");
        let subject = &notification.subject;
        assert!((1..=100).contains(&subject.len()) && subject.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        assert!(!notification.attributes.is_empty() && notification.attributes.values().all(|value| !value.is_empty()));
    }
    for count in &effects.counts {
        let dimensions: Vec<&str> = count.dimensions.iter().map(|(name, _)| *name).collect();
        let declared = recipe.metrics().iter().any(|(name, of)| (*name, *of) == (count.metric, &dimensions[..]));
        assert!(declared, "{}: {} by {dimensions:?} is not among `metrics`", recipe.name(), count.metric);
        for (_, value) in &count.dimensions {
            assert!((1..=255).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic()), "{value}");
        }
    }
}

#[test]
fn generators_repeat_themselves_and_all_that_they_make_is_accepted() {
    for (recipe, samples) in streams() {
        let (mut one, mut two) = (samples.generator(7), samples.generator(7));
        let mut metrics = BTreeSet::new();
        for n in 0..5_000 {
            let event = one.next(NOW_MS + n);
            assert_eq!(event, two.next(NOW_MS + n));
            let effects = process(recipe, &event, 1).unwrap_or_else(|rejected| panic!("{}: {rejected}", recipe.name()));
            assert_fits(recipe, &effects);
            metrics.extend(effects.counts.into_iter().map(|count| format!("{} {:?}", count.metric, count.dimensions)));
        }
        assert!(metrics.len() <= 100, "{}: each of these is a metric to be paid: {metrics:?}", recipe.name());
        assert_ne!(samples.generator(7).next(0), samples.generator(8).next(0));
    }
}

#[test]
fn poison_is_rejected_whatever_its_kind() {
    for (recipe, samples) in streams() {
        let mut generator = samples.generator(3);
        let mut codes = BTreeSet::new();
        for _ in 0..200 {
            let event = generator.poison();
            codes.insert(process(recipe, &event, 1).unwrap_err().code);
            assert!(!event.partition_key.is_empty());
        }
        for code in ["not_utf8", "invalid_json", "missing_field", "wrong_type", "out_of_range"] {
            assert!(codes.contains(code), "{} has no poison that is {code}", recipe.name());
        }
    }
}

#[test]
fn marked_events_carry_the_run_and_are_accepted() {
    for (recipe, samples) in streams() {
        let mut events = samples.marked("run-7", NOW_MS);
        let twins = events.iter().filter(|event| event.partition_key.ends_with("twin")).collect::<Vec<_>>();
        assert!(twins.len() == 2 && twins[0] == twins[1], "{}", recipe.name());
        events.push(samples.canary("run-7", 4, NOW_MS));
        assert_ne!(samples.canary("run-7", 1, NOW_MS), samples.canary("run-7", 2, NOW_MS));
        for event in &events {
            assert!(event.partition_key.contains("run-7"));
            let payload: serde_json::Value = serde_json::from_slice(&event.data).unwrap();
            assert_eq!(payload[samples.partition_field()], event.partition_key);
            assert_repeatable(recipe, event);
            let effects = process(recipe, event, 1).unwrap();
            assert_fits(recipe, &effects);
            let in_windows = recipe.windowed().is_some_and(|windowed| windowed.stored().is_some());
            assert_ne!(effects.items.is_empty(), !in_windows, "{}", recipe.name());
        }
    }
}

/// What `validate` relies on, whatever a recipe makes of a window.
#[test]
fn windows_are_stored_under_their_keys_and_their_merge_is_that_of_all_parts() {
    for (recipe, samples) in streams() {
        let Some(windowed) = recipe.windowed() else { continue };
        let settings = Settings::defaults(recipe.settings());
        let mut parts = Vec::new();
        for shard_id in ["shardId-000000000000", "shardId-000000000001"] {
            let window = TumblingWindow { start_ms: NOW_MS, end_ms: NOW_MS + 60_000, shard_id, settings: &settings };
            let events = samples.marked("run-7", NOW_MS);
            let (mut at_once, mut one_by_one) = (json!({}), json!({}));
            let numbers: Vec<String> = (100..).take(events.len()).map(|n: usize| n.to_string()).collect();
            let records = events.iter().zip(&numbers).map(|(event, sequence_number)| {
                let data = &event.data;
                Record::Stream(StreamRecord { shard_id, sequence_number, data, ..StreamRecord::default() })
            });
            let records: Vec<Record<'_>> = records.collect();
            let mut counts = windowed.add(&window, &mut at_once, &records);
            for record in &records {
                windowed.add(&window, &mut one_by_one, std::slice::from_ref(record));
            }
            assert_eq!(at_once, one_by_one, "{}: however the records are divided into batches", recipe.name());
            counts.extend(windowed.close(&window, &at_once));
            let Some(stored) = windowed.stored() else { continue };
            assert_eq!(stored.part(&window, &json!({})), None, "{}: nothing of an empty window", recipe.name());
            let part = stored.part(&window, &at_once).unwrap();
            let key = recipe.needs().table.unwrap();
            assert!(recipe.needs().window && key.names().all(|name| part.contains_key(name)));
            assert_eq!(part[&*key.partition.name], stored.partition(NOW_MS));
            parts.push(part);
            let merge = stored.merge(&settings, &parts).unwrap();
            let reversed: Vec<Item> = parts.iter().rev().cloned().collect();
            assert_eq!(Some(&merge), stored.merge(&settings, &reversed).as_ref(), "in any order");
            assert_eq!(merge.item[&*key.partition.name], stored.partition(NOW_MS));
            assert_eq!(merge.item[merge.grows], Attribute::N(parts.len().to_string()));
            let with_itself: Vec<Item> = parts.iter().cloned().chain([merge.item.clone()]).collect();
            assert_eq!(Some(&merge), stored.merge(&settings, &with_itself).as_ref(), "an earlier merge does not count");
            let sums = |items: &[Item]| {
                let mut sums = BTreeMap::<String, (u64, u64)>::new();
                for tally in items.iter().flat_map(|item| stored.tallies(item)) {
                    let sum = sums.entry(tally.name).or_default();
                    *sum = (sum.0 + tally.least, sum.1 + tally.most);
                }
                sums
            };
            let tallies = sums(std::slice::from_ref(&merge.item));
            assert_eq!(sums(&parts), tallies);
            for (name, (least, most)) in tallies {
                let tally = stored.tally(&merge.item, &name);
                assert_eq!((tally.name, tally.least, tally.most), (name, least, most));
            }
            assert!(stored.is_of_run(&merge.item, "run-7") && !stored.is_of_run(&merge.item, "run-8"));
            counts.extend(merge.counts);
            for count in counts {
                let dimensions: Vec<&str> = count.dimensions.iter().map(|(name, _)| *name).collect();
                let declared =
                    windowed.metrics().iter().any(|(name, of)| (*name, *of) == (count.metric, &dimensions[..]));
                assert!(declared, "{}: {} by {dimensions:?} is not among `metrics`", recipe.name(), count.metric);
            }
        }
    }
}

#[test]
fn marked_poison_is_rejected_and_carries_the_run() {
    for (recipe, samples) in streams() {
        let events = samples.marked_poison("run-7");
        let keys: BTreeSet<_> = events.iter().map(|event| &event.partition_key).collect();
        assert_eq!(keys.len(), events.len());
        for event in &events {
            assert!(event.partition_key.contains("run-7"));
            assert!(String::from_utf8_lossy(&event.data).contains("run-7"));
            let rejected = process(recipe, event, 1).unwrap_err();
            assert!(!rejected.message.contains("run-7"), "a verdict never repeats the payload: {rejected}");
        }
    }
}

#[test]
fn a_record_of_another_source_is_rejected() {
    for recipe in all() {
        if recipe.source() == SourceKind::Table {
            let event = Event { partition_key: "k".to_owned(), data: b"{}".to_vec() };
            assert_eq!(process(*recipe, &event, 1).unwrap_err().code, "wrong_source");
        }
    }
}

fn tables() -> impl Iterator<Item = (&'static dyn Sampled, &'static dyn TableSamples)> {
    all().iter().filter_map(|recipe| match recipe.samples() {
        Samples::Table(samples) => Some((*recipe, samples)),
        Samples::Stream(_) | Samples::OfOthers => None,
    })
}

/// The keys that a table may have which the recipe reads.
fn table_keys(samples: &dyn TableSamples) -> Vec<TableKey> {
    if let Some(key) = samples.table_key() {
        return vec![key];
    }
    let partition = |kind| KeyAttribute::new("UserId", kind);
    vec![
        TableKey { partition: partition(KeyKind::S), sort: Some(KeyAttribute::new("ActivityId", KeyKind::S)) },
        TableKey { partition: partition(KeyKind::S), sort: Some(KeyAttribute::new("n", KeyKind::N)) },
        TableKey { partition: partition(KeyKind::N), sort: Some(KeyAttribute::new("b", KeyKind::B)) },
        TableKey { partition: partition(KeyKind::B), sort: None },
    ]
}

/// Items by key, as a table has them. Gives the effects of the change that a write makes.
fn write(recipe: &dyn Sampled, key: &TableKey, table: &mut BTreeMap<Item, Item>, write: &Write) -> Effects {
    let keys = write.key(key);
    assert_eq!(keys.len(), key.names().count(), "{write:?}");
    let old = table.remove(&keys);
    let new = write.apply(old.as_ref());
    let kind = match (&old, &new) {
        (None, Some(_)) => ChangeKind::Insert,
        (Some(_), Some(_)) => ChangeKind::Modify,
        (Some(_), None) => ChangeKind::Remove,
        (None, None) => panic!("{write:?} deletes what is not there"),
    };
    let change = Change {
        event_id: "e",
        sequence_number: "1",
        kind,
        table: "t",
        region: "eu-west-1",
        created_ms: NOW_MS,
        size_bytes: 1,
        view: View::NewAndOldImages,
        keys: &keys,
        old: old.as_ref(),
        new: new.as_ref(),
        user: None,
    };
    let effects = recipe.process(&Record::Change(change), 1).unwrap();
    let mut again = recipe.process(&Record::Change(change), 2).unwrap();
    for (one, two) in effects.items.iter().zip(&mut again.items) {
        for name in recipe.volatile() {
            two.insert(*name, one[name].clone());
        }
    }
    assert_eq!(effects, again, "the same for every delivery");
    assert_fits(recipe, &effects);
    if let Some(new) = new {
        table.insert(keys, new);
    }
    effects
}

#[test]
fn writers_repeat_themselves_and_change_only_what_is_there() {
    for (recipe, samples) in tables() {
        for key in table_keys(samples) {
            let (mut one, mut two) = (samples.writer(7, &key), samples.writer(7, &key));
            let mut table = BTreeMap::new();
            let mut kinds = BTreeMap::<&str, u32>::new();
            for n in 0..2_000 {
                let next = one.next(NOW_MS + n);
                assert_eq!(next, two.next(NOW_MS + n));
                let known = table.contains_key(&next.key(&key));
                let kind = match &next {
                    Write::Put(_) => "put",
                    Write::Update { .. } => "update",
                    Write::Delete(_) => "delete",
                };
                assert_eq!(known, kind != "put", "{next:?}");
                *kinds.entry(kind).or_default() += 1;
                write(recipe, &key, &mut table, &next);
            }
            assert!(kinds.values().all(|count| *count > 200), "{kinds:?}");
            // Who reads the items of one kind of table takes what comes there, and looks at nothing else.
            assert!(kinds.len() == 3 || samples.table_key().is_some(), "{kinds:?}");
            assert_ne!(samples.writer(7, &key).next(0), samples.writer(8, &key).next(0));
        }
    }
}

#[test]
fn marked_writes_carry_the_run_and_leave_nothing() {
    for (recipe, samples) in tables() {
        for key in table_keys(samples) {
            let mut table = BTreeMap::new();
            let mut keys = BTreeSet::new();
            for writes in samples.marked("run-7", NOW_MS, &key) {
                let of: BTreeSet<_> = writes.iter().map(|write| write.key(&key)).collect();
                assert_eq!(of.len(), 1, "all writes of one item");
                for next in &writes {
                    write(recipe, &key, &mut table, next);
                    if key.partition.kind == KeyKind::S {
                        let marked = |value: &Attribute| matches!(value, Attribute::S(text) if text.contains("run-7"));
                        assert!(next.key(&key).values().any(marked), "{next:?}");
                    }
                }
                keys.extend(of);
            }
            assert!(table.is_empty(), "each item is deleted in the end");
            assert!(keys.len() > 2);
            let canaries: BTreeSet<_> = (0..3).map(|n| samples.canary("run-7", n, NOW_MS, &key).key(&key)).collect();
            assert_eq!(canaries.len(), 3);
            assert!(canaries.is_disjoint(&keys));
        }
    }
}

#[test]
fn batches_are_divided_into_parts_that_hold_every_record_once() {
    let arns =
        ["arn:aws:kinesis:eu-west-1:123456789012:stream/s", "arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/x"];
    for (recipe, batched) in all().iter().filter_map(|recipe| Some((*recipe, recipe.batched()?))) {
        assert!(matches!(recipe.samples(), Samples::OfOthers));
        assert_eq!(recipe.source(), SourceKind::Any);
        let mut rng = fastrand::Rng::with_seed(7);
        for source_arn in arns {
            for size in [0, 1, 2, 7, 500] {
                let numbers: Vec<_> = (0..size).map(|n| (7 * n).to_string()).collect();
                let records = numbers.iter().map(|sequence_number| ReceivedRecord {
                    source_arn,
                    shard_id: "s",
                    sequence_number,
                    arrival_ms: NOW_MS + rng.i64(0..24 * 60 * 60 * 1000),
                    json: "{}",
                });
                let records: Vec<_> = records.collect();
                let parts = batched.process(&records, "b");
                assert_eq!(parts, batched.process(&records, "b"), "the same for every delivery");
                let places: Vec<usize> = parts.iter().flat_map(|part| part.records.clone()).collect();
                assert_eq!(places, (0..size).collect::<Vec<_>>());
                let keys: BTreeSet<_> =
                    parts.iter().flat_map(|part| &part.effects.objects).map(|object| &object.key).collect();
                assert_eq!(keys.len(), parts.len());
                for part in &parts {
                    assert!(part.effects.items.is_empty() && !part.records.is_empty());
                    assert_fits(recipe, &part.effects);
                }
            }
        }
    }
}
