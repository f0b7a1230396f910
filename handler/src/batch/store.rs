//! Items and objects on their way into table and bucket. Storing one again gives the same, so all go at once.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use streamkit_recipes::{Attribute, Item, Object, Rejected, TableKey};
use tokio::time::Instant;

use super::{Job, State, pause, retry, transient, within};
use crate::sink::{Fault, MAX_ITEMS, Sink};

/// How many `BatchWriteItem` calls run at once.
const WRITES_AT_ONCE: usize = 4;
/// How many `PutObject` calls run at once: each holds one connection.
const OBJECTS_AT_ONCE: usize = 16;

/// Something to put, with the places of the records that it comes from.
struct Put<T> {
    what: T,
    places: Vec<usize>,
}

/// What a batch stores, each key once: of two items or objects with the same key the later one stands.
#[derive(Default)]
pub(super) struct Stores {
    key: Option<TableKey>,
    items: Vec<Put<Item>>,
    item_keys: BTreeMap<Vec<Option<Attribute>>, usize>,
    objects: Vec<Put<Object>>,
    object_keys: BTreeMap<String, usize>,
}

impl Stores {
    /// Nothing yet, for a table with these keys.
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

fn add<K: Ord, T>(puts: &mut Vec<Put<T>>, keys: &mut BTreeMap<K, usize>, key: K, place: usize, what: T) {
    let index = *keys.entry(key).or_insert(puts.len());
    match puts.get_mut(index) {
        Some(put) => {
            put.what = what;
            put.places.push(place);
        }
        None => puts.push(Put { what, places: vec![place] }),
    }
}

impl<S: Sink> Job<'_, S> {
    /// Stores everything and notes which records that failed for.
    pub(super) async fn store(&self, stores: Stores, states: &mut [State], until: Instant) {
        let items = self.store_items(&stores.items, until);
        let objects = self.store_objects(&stores.objects, until);
        let (items, objects) = futures_util::join!(items, objects);
        note(&stores.items, items, "refused_by_table", states);
        note(&stores.objects, objects, "refused_by_bucket", states);
    }

    /// Puts all items into the table; returns for each what went wrong, if anything did.
    async fn store_items(&self, puts: &[Put<Item>], until: Instant) -> Vec<Option<Fault>> {
        let chunks = puts.chunks(MAX_ITEMS).map(|chunk| self.store_chunk(chunk, until));
        let faults: Vec<Vec<Option<Fault>>> = stream::iter(chunks).buffered(WRITES_AT_ONCE).collect().await;
        faults.into_iter().flatten().collect()
    }

    /// Puts all objects into the bucket; returns for each what went wrong, if anything did.
    async fn store_objects(&self, puts: &[Put<Object>], until: Instant) -> Vec<Option<Fault>> {
        let calls = puts.iter().map(|put| async { within(until, self.sink.put(&put.what)).await.err() });
        stream::iter(calls).buffered(OBJECTS_AT_ONCE).collect().await
    }

    /// Returns for each item what went wrong with it, if anything did.
    async fn store_chunk(&self, puts: &[Put<Item>], until: Instant) -> Vec<Option<Fault>> {
        let items: Vec<&Item> = puts.iter().map(|put| &put.what).collect();
        match self.store_together(&items, until).await {
            Ok(faults) => faults,
            Err(fault) if items.len() == 1 => vec![Some(fault)],
            // One bad item fails the whole call, and the answer does not say which.
            Err(_) => {
                let mut faults = Vec::with_capacity(items.len());
                for item in items {
                    let fault =
                        self.store_together(&[item], until).await.map_or_else(Some, |mut faults| faults.remove(0));
                    faults.push(fault);
                }
                faults
            }
        }
    }

    /// Puts items in one call, and again those that the table did not get to. An error is one that the call is to
    /// blame for.
    async fn store_together(&self, items: &[&Item], until: Instant) -> Result<Vec<Option<Fault>>, Fault> {
        let mut faults = vec![None; items.len()];
        let mut open: Vec<usize> = (0..items.len()).collect();
        for attempt in 0.. {
            let sent: Vec<&Item> = open.iter().map(|&place| items[place]).collect();
            let fault = match within(until, self.sink.write(&sent)).await {
                Ok(left) => {
                    open = left.into_iter().filter_map(|place| open.get(place).copied()).collect();
                    if open.is_empty() || pause(attempt, until).await {
                        None
                    } else {
                        Some(transient("UnprocessedItems", "the table did not get to the item in time"))
                    }
                }
                Err(fault) if fault.permanent => return Err(fault),
                Err(fault) => Some(fault),
            };
            if let Some(fault) = fault {
                for place in open.drain(..) {
                    faults[place] = Some(fault.clone());
                }
            }
            if open.is_empty() {
                break;
            }
        }
        Ok(faults)
    }
}

fn note<T>(puts: &[Put<T>], faults: Vec<Option<Fault>>, refused: &'static str, states: &mut [State]) {
    for (put, fault) in puts.iter().zip(faults) {
        let Some(fault) = fault else { continue };
        for &place in &put.places {
            if !fault.permanent {
                states[place] = retry(&fault);
            } else if matches!(states[place], State::Done(_)) {
                states[place] = State::Rejected(Rejected::new(refused, fault.to_string()));
            }
        }
    }
}
