//! A recipe with a memory: what follows from the run's events depends on those before, and each leaves a state.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use streamkit_handler::attribute::attribute_values;
use streamkit_recipes::{Attribute, Event, Recipe, Settings, Stateful, own_id};

use super::items::Table;
use super::stream_run::{Good, Wanted, contains, stream_record};
use crate::aws::Clients;
use crate::pipeline::Flow;
use crate::producer::Position;
use crate::records::order;

/// The states of a flow.
pub(super) struct Memory {
    stateful: &'static dyn Stateful,
    settings: Settings,
    /// The field in which an event has its own id.
    identity: String,
    table: Table,
    /// The keys of the run's states.
    keys: BTreeSet<Attribute>,
}

impl Memory {
    /// That of a flow, if its recipe has one.
    pub(super) fn of(aws: &Clients, flow: &Flow, recipe: &'static dyn Recipe) -> Option<Self> {
        let (stateful, table) = (recipe.stateful()?, flow.state.as_ref()?);
        // The spec's are checked before anything is connected to.
        let settings = Settings::read(recipe.settings(), &flow.settings);
        let settings = settings.unwrap_or_else(|_| Settings::defaults(recipe.settings()));
        let (identity, table) = (flow.identity.clone(), Table::of_states(aws, table));
        Some(Self { stateful, settings, identity, table, keys: BTreeSet::new() })
    }

    /// Notes the state that an event in its place changes. One that does not bear the run's name is others' too, and stays.
    pub(super) fn note(&mut self, event: &Event, position: &Position, run_id: &str) {
        let own_id = own_id(&event.data, &self.identity);
        let key = self.stateful.key(&stream_record(event, position, own_id.as_deref(), 0));
        let key = key.ok().map(Attribute::S).filter(|key| contains(key, run_id));
        self.keys.extend(key);
    }

    /// Says what must follow from each event: of each key, one after the other in the order of the stream. Only AWS knows
    /// when they arrived: the items' own word on that is taken, from `arrival`.
    pub(super) fn expect(&self, good: &mut [Good], arrival: Option<&str>, table: &Table) {
        let mut keys: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, good) in good.iter().enumerate() {
            let own_id = own_id(&good.event.data, &self.identity);
            let record = stream_record(&good.event, &good.position, own_id.as_deref(), 0);
            if let Ok(key) = self.stateful.key(&record) {
                keys.entry(key).or_default().push(place);
            }
        }
        for mut places in keys.into_values() {
            places.sort_by(|one, two| {
                let number = |place: usize| order(&good[place].position.sequence_number);
                number(*one).cmp(&number(*two))
            });
            let mut state = Value::Null;
            for place in places {
                let good = &mut good[place];
                let own_id = own_id(&good.event.data, &self.identity);
                let arrival_ms = arrival.and_then(|name| good.arrival_ms(name)).unwrap_or_default();
                let record = stream_record(&good.event, &good.position, own_id.as_deref(), arrival_ms);
                let before = state.clone();
                match self.stateful.process(&self.settings, &mut state, &record, 0) {
                    Ok(effects) => {
                        good.counts = effects.counts;
                        let mut found = std::mem::take(&mut good.wanted);
                        good.wanted = effects
                            .items
                            .into_iter()
                            .map(|item| {
                                let key = table.key_of(&attribute_values(&item));
                                let same = |wanted: &Wanted| table.key_of(&attribute_values(&wanted.item)) == key;
                                let found = found.iter_mut().find(|wanted| same(wanted));
                                Wanted { item, found: found.and_then(|wanted| wanted.found.take()) }
                            })
                            .collect();
                    }
                    Err(_) => state = before,
                }
            }
        }
    }

    /// Deletes the run's states. Gives how many there were.
    pub(super) async fn clean(&self) -> anyhow::Result<usize> {
        let keys = self.table.keys(&self.keys).await?;
        self.table.delete(&keys).await?;
        Ok(keys.len())
    }
}
