//! Stores items in the table and objects in the bucket. Storing one again has the same result, so no order is kept.

use std::hash::{BuildHasher as _, RandomState};

use futures_util::{StreamExt as _, stream};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use streamkit_recipes::{Attribute, Item, KeyAttribute, Object, Rejected, TableKey};
use tokio::time::Instant;

use super::replay::Known;
use super::{Job, State, pause, retry, transient, within};
use crate::sink::{MAX_ITEMS, Sink, SinkError};

/// How many `BatchWriteItem` calls run at once.
const WRITES_AT_ONCE: usize = 4;
/// How many `PutObject` calls run at once: each holds one connection.
const OBJECTS_AT_ONCE: usize = 16;

/// The items and objects of a batch.
pub(super) struct Stores {
    key: Option<TableKey>,
    items: Puts<Item>,
    objects: Puts<Object>,
}

impl Stores {
    /// An empty set, for a table with these keys and as many records.
    pub(super) fn new(key: Option<TableKey>, records: usize) -> Self {
        // A recipe that needs a table has an item for about each record.
        let items = Puts::new(if key.is_some() { records } else { 0 });
        Self { key, items, objects: Puts::new(0) }
    }

    pub(super) fn items(&mut self) -> &mut Puts<Item> {
        &mut self.items
    }

    pub(super) fn objects(&mut self) -> &mut Puts<Object> {
        &mut self.objects
    }

    pub(super) fn add_item(&mut self, place: usize, item: Item) {
        let key = self.key.as_ref();
        let (hash, same) = (
            |hasher: &RandomState, item: &Item| hasher.hash_one(key_of(key, item)),
            |one: &Item, two: &Item| key_of(key, one) == key_of(key, two),
        );
        self.items.add(place, item, hash, same);
    }

    pub(super) fn add_object(&mut self, place: usize, object: Object) {
        let hash = |hasher: &RandomState, object: &Object| hasher.hash_one(&object.key);
        self.objects.add(place, object, hash, |one, two| one.key == two.key);
    }
}

/// The values of an item's key attributes.
fn key_of<'i>(key: Option<&TableKey>, item: &'i Item) -> [Option<&'i Attribute>; 2] {
    let value = |attribute: &KeyAttribute| item.get(&attribute.name);
    let sort = key.and_then(|key| key.sort.as_ref());
    [key.and_then(|key| value(&key.partition)), sort.and_then(value)]
}

/// What is to be stored, each key once: of two values with the same key the later one is kept.
pub(super) struct Puts<T> {
    pub(super) values: Vec<T>,
    /// The places of the records that they come from, each with the place of its value.
    pub(super) origins: Vec<(usize, usize)>,
    /// The places of values, by the hashes of their keys.
    by_key: HashTable<usize>,
    hasher: RandomState,
}

impl<T> Puts<T> {
    fn new(expected: usize) -> Self {
        Self {
            values: Vec::with_capacity(expected),
            origins: Vec::with_capacity(expected),
            by_key: HashTable::with_capacity(expected),
            hasher: RandomState::new(),
        }
    }

    /// `hash` and `same` look at keys alone.
    fn add(&mut self, record: usize, value: T, hash: impl Fn(&RandomState, &T) -> u64, same: impl Fn(&T, &T) -> bool) {
        let Self { values, origins, by_key, hasher } = self;
        match by_key.entry(hash(hasher, &value), |&at| same(&values[at], &value), |&at| hash(hasher, &values[at])) {
            Entry::Occupied(known) => {
                origins.push((record, *known.get()));
                values[*known.get()] = value;
            }
            Entry::Vacant(new) => {
                new.insert(values.len());
                origins.push((record, values.len()));
                values.push(value);
            }
        }
    }

    /// Keeps only those values of which `keep` says so, given the places of their records; tells the others' places to `dropped`.
    pub(super) fn retain_by(&mut self, keep: impl Fn(&[usize], &T) -> bool, mut dropped: impl FnMut(usize)) {
        let mut records = vec![Vec::new(); self.values.len()];
        for &(record, at) in &self.origins {
            records[at].push(record);
        }
        let mut kept = Vec::new();
        let mut places = vec![None; self.values.len()];
        for (at, value) in std::mem::take(&mut self.values).into_iter().enumerate() {
            if keep(&records[at], &value) {
                places[at] = Some(kept.len());
                kept.push(value);
            } else {
                records[at].iter().for_each(|&record| dropped(record));
            }
        }
        self.values = kept;
        let origins = std::mem::take(&mut self.origins);
        self.origins = origins.into_iter().filter_map(|(record, at)| Some((record, places[at]?))).collect();
    }

    /// Sets the states of the records whose values could not be stored; there is an error, or none, for each value.
    fn set_failed(&mut self, errors: &[Option<SinkError>], refused: &'static str, states: &mut [State]) {
        self.origins.sort_by_key(|(_, at)| *at);
        for &(record, at) in &self.origins {
            let Some(error) = &errors[at] else { continue };
            if !error.permanent {
                states[record] = retry(error);
            } else if matches!(states[record], State::Done(_)) {
                states[record] = State::Rejected(Rejected::new(refused, error.to_string()));
            }
        }
    }
}

impl<S: Sink> Job<'_, S> {
    /// Puts all items into the table, and sets the state of the records for which that failed.
    pub(super) async fn store_items(&self, items: &mut Puts<Item>, states: &mut [State], until: Instant) {
        let chunks = items.values.chunks(MAX_ITEMS).map(|chunk| self.store_chunk(chunk, until));
        let errors: Vec<Vec<Option<SinkError>>> = stream::iter(chunks).buffered(WRITES_AT_ONCE).collect().await;
        items.set_failed(&errors.concat(), "refused_by_table", states);
    }

    /// Puts all objects into the bucket, in a replay those that are not there; notes which were, and sets the state of the
    /// records for which that failed.
    pub(super) async fn store_objects(
        &self,
        objects: &mut Puts<Object>,
        known: &mut Known<'_>,
        states: &mut [State],
        until: Instant,
    ) {
        let only_new = known.is_replay();
        let calls = objects.values.iter().map(|object| within(until, self.sink.put(object, only_new)));
        let puts: Vec<Result<bool, SinkError>> = stream::iter(calls).buffered(OBJECTS_AT_ONCE).collect().await;
        for &(record, at) in &objects.origins {
            if let Ok(was_there) = puts[at] {
                known.object(record, was_there);
            }
        }
        let errors: Vec<_> = puts.into_iter().map(Result::err).collect();
        objects.set_failed(&errors, "refused_by_bucket", states);
    }

    /// Puts the items of one call; returns the error of each, if any.
    pub(super) async fn store_chunk(&self, items: &[Item], until: Instant) -> Vec<Option<SinkError>> {
        let items: Vec<&Item> = items.iter().collect();
        match self.store_batch(&items, until).await {
            Ok(errors) => errors,
            Err(error) if items.len() == 1 => vec![Some(error)],
            // One bad item fails the whole call, and the response does not say which.
            Err(_) => {
                let mut errors = Vec::with_capacity(items.len());
                for item in items {
                    let error = self.store_batch(&[item], until).await.map_or_else(Some, |mut errors| errors.remove(0));
                    errors.push(error);
                }
                errors
            }
        }
    }

    /// Puts items in one call, and again those that come back as unprocessed. Returns the error of each item, or the error of
    /// the call if its content was refused.
    async fn store_batch(&self, items: &[&Item], until: Instant) -> Result<Vec<Option<SinkError>>, SinkError> {
        let mut errors = vec![None; items.len()];
        let mut open: Vec<usize> = (0..items.len()).collect();
        for attempt in 0.. {
            let sent: Vec<&Item> = open.iter().map(|&place| items[place]).collect();
            let error = match within(until, self.sink.write(&sent)).await {
                Ok(left) => {
                    open = left.into_iter().filter_map(|place| open.get(place).copied()).collect();
                    if open.is_empty() || pause(attempt, until).await {
                        None
                    } else {
                        Some(transient("UnprocessedItems", "the table did not get to the item in time"))
                    }
                }
                Err(error) if error.permanent => return Err(error),
                Err(error) => Some(error),
            };
            if let Some(error) = error {
                for place in open.drain(..) {
                    errors[place] = Some(error.clone());
                }
            }
            if open.is_empty() {
                break;
            }
        }
        Ok(errors)
    }
}
