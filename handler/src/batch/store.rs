//! Stores items in the table and objects in the bucket. Storing one again has the same result, so no order is kept.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use streamkit_recipes::{Attribute, Item, Object, Rejected, TableKey};
use tokio::time::Instant;

use super::{Job, State, pause, retry, transient, within};
use crate::sink::{MAX_ITEMS, Sink, SinkError};

/// How many `BatchWriteItem` calls run at once.
const WRITES_AT_ONCE: usize = 4;
/// How many `PutObject` calls run at once: each holds one connection.
const OBJECTS_AT_ONCE: usize = 16;

/// An item or object to store, with the places of the records that it comes from.
struct Put<T> {
    value: T,
    places: Vec<usize>,
}

/// The items and objects of a batch, each key once: of two with the same key the later one is kept.
#[derive(Default)]
pub(super) struct Stores {
    key: Option<TableKey>,
    items: Vec<Put<Item>>,
    item_keys: BTreeMap<Vec<Option<Attribute>>, usize>,
    objects: Vec<Put<Object>>,
    object_keys: BTreeMap<String, usize>,
}

impl Stores {
    /// An empty set, for a table with these keys.
    pub(super) fn new(key: Option<TableKey>) -> Self {
        Self { key, ..Self::default() }
    }

    pub(super) fn add_item(&mut self, place: usize, item: Item) {
        let key = self.key.iter().flat_map(TableKey::names).map(|name| item.get(name).cloned()).collect();
        add(&mut self.items, &mut self.item_keys, key, place, item);
    }

    pub(super) fn add_object(&mut self, place: usize, object: Object) {
        add(&mut self.objects, &mut self.object_keys, object.key.clone(), place, object);
    }
}

fn add<K: Ord, T>(puts: &mut Vec<Put<T>>, keys: &mut BTreeMap<K, usize>, key: K, place: usize, value: T) {
    let index = *keys.entry(key).or_insert(puts.len());
    match puts.get_mut(index) {
        Some(put) => {
            put.value = value;
            put.places.push(place);
        }
        None => puts.push(Put { value, places: vec![place] }),
    }
}

impl<S: Sink> Job<'_, S> {
    /// Stores everything, and sets the state of the records for which that failed.
    pub(super) async fn store(&self, stores: Stores, states: &mut [State], until: Instant) {
        let items = self.store_items(&stores.items, until);
        let objects = self.store_objects(&stores.objects, until);
        let (items, objects) = futures_util::join!(items, objects);
        set_failed(&stores.items, items, "refused_by_table", states);
        set_failed(&stores.objects, objects, "refused_by_bucket", states);
    }

    /// Puts all items into the table; returns the error of each, if any.
    async fn store_items(&self, puts: &[Put<Item>], until: Instant) -> Vec<Option<SinkError>> {
        let chunks = puts.chunks(MAX_ITEMS).map(|chunk| self.store_chunk(chunk, until));
        let errors: Vec<Vec<Option<SinkError>>> = stream::iter(chunks).buffered(WRITES_AT_ONCE).collect().await;
        errors.into_iter().flatten().collect()
    }

    /// Puts all objects into the bucket; returns the error of each, if any.
    async fn store_objects(&self, puts: &[Put<Object>], until: Instant) -> Vec<Option<SinkError>> {
        let calls = puts.iter().map(|put| async { within(until, self.sink.put(&put.value)).await.err() });
        stream::iter(calls).buffered(OBJECTS_AT_ONCE).collect().await
    }

    /// Puts the items of one call; returns the error of each, if any.
    async fn store_chunk(&self, puts: &[Put<Item>], until: Instant) -> Vec<Option<SinkError>> {
        let items: Vec<&Item> = puts.iter().map(|put| &put.value).collect();
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

fn set_failed<T>(puts: &[Put<T>], errors: Vec<Option<SinkError>>, refused: &'static str, states: &mut [State]) {
    for (put, error) in puts.iter().zip(errors) {
        let Some(error) = error else { continue };
        for &place in &put.places {
            if !error.permanent {
                states[place] = retry(&error);
            } else if matches!(states[place], State::Done(_)) {
                states[place] = State::Rejected(Rejected::new(refused, error.to_string()));
            }
        }
    }
}
