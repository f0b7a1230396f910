//! The functions that read the changes of the table that a function writes: what they make of the run's items is taken away with
//! the rest, as far as it are items of their own.

use streamkit_handler::attribute::item;
use streamkit_recipes::{Change, ChangeKind, Item, Recipe, Record, TableKey, View};

use super::items::Table;
use super::stream_run::StreamRun;
use super::validation::Validation;
use crate::pipeline::FlowSource;

/// Another function with a recipe and a table.
pub(super) struct Downstream {
    /// Its name in the spec.
    pub(super) function: String,
    recipe: &'static dyn Recipe,
    table: Table,
    /// The name of the table that it reads, and its key.
    source: String,
    key: TableKey,
}

impl Downstream {
    /// All that read the table of the function that is validated.
    pub(super) fn all(validation: &Validation<'_>) -> Vec<Self> {
        let Some(written) = validation.flow.table.clone().map(FlowSource::Table) else { return Vec::new() };
        let Some(key) = validation.recipe.needs().table else { return Vec::new() };
        let flows = validation.session.pipeline.flows.iter().filter(|flow| flow.source == written);
        let of = flows.filter_map(|flow| {
            let (recipe, table) = (flow.recipe().ok()?, flow.table.as_deref()?);
            Some(Self {
                function: flow.key.clone(),
                recipe,
                table: Table::new(&validation.session.aws, table, recipe),
                source: written.name().to_owned(),
                key: key.clone(),
            })
        });
        of.collect()
    }

    /// Deletes what there is of the run's items that were seen. Gives how many.
    pub(super) async fn clean(&self, run: &StreamRun<'_>) -> anyhow::Result<usize> {
        let seen = run.good.iter().flat_map(|good| &good.wanted).filter_map(|wanted| wanted.found.as_ref());
        let made: Vec<Item> = seen.flat_map(|(found, _)| self.made_of(&item(found.clone()))).collect();
        let found = self.table.get(&made.iter().collect::<Vec<_>>()).await?;
        let keys: Vec<_> = found.iter().flatten().map(|item| self.table.key_of(item)).collect();
        self.table.delete(&keys).await?;
        Ok(keys.len())
    }

    /// The items that it makes of an item's coming; what else is in them than their keys does not matter.
    fn made_of(&self, new: &Item) -> Vec<Item> {
        let mut keys = Item::new();
        keys.extend(self.key.names().filter_map(|name| Some((name.to_owned(), new.get(name)?.clone()))));
        let change = Change {
            event_id: "",
            sequence_number: "0",
            kind: ChangeKind::Insert,
            table: &self.source,
            region: "",
            created_ms: 0,
            size_bytes: 0,
            view: View::NewAndOldImages,
            keys: &keys,
            old: None,
            new: Some(new),
            user: None,
        };
        self.recipe.process(&Record::Change(change), 0).map_or_else(|_| Vec::new(), |effects| effects.items)
    }
}
