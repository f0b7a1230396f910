//! The other functions that read the run's stream: what they make of its events is taken away with the rest.

use std::collections::BTreeSet;

use streamkit_handler::encryption::Field;
use streamkit_recipes::{Attribute, Event, Recipe, SourceKind};

use super::dead_letter_queue::DeadLetterQueue;
use super::dead_letter_queue::is_of;
use super::items::Table;
use super::memory::Memory;
use super::stream_run::{Meaning, contains, process};
use super::validation::Validation;
use crate::aws::Clients;
use crate::pipeline::Flow;
use crate::producer::Position;

/// Another function with a recipe.
pub(super) struct Sibling {
    recipe: &'static dyn Recipe,
    /// The field in which an event has its own id.
    identity: String,
    /// The fields that it encrypts.
    encrypted: Vec<Field>,
    /// The sequence numbers of the run's events, by which its letters are known that have nothing else of them.
    places: BTreeSet<String>,
    table: Option<Table>,
    /// What it remembers of the run's events, if it does.
    memory: Option<Memory>,
    /// Not the one of the function that is validated, which is searched anyway.
    queue: Option<DeadLetterQueue>,
    /// The partition keys of all items that the run's events can have made.
    partitions: BTreeSet<Attribute>,
}

/// The flows of other functions through the same source.
fn others<'a>(validation: &Validation<'a>) -> impl Iterator<Item = &'a Flow> {
    let own = validation.flow;
    validation.session.pipeline.flows.iter().filter(move |flow| flow.key != own.key && flow.source == own.source)
}

/// The flows in other regions of what functions on the same source copy there: the same items follow from copies as from their
/// records.
fn of_copies<'a>(validation: &Validation<'a>) -> impl Iterator<Item = (&'a Clients, &'a Flow)> {
    let session = validation.session;
    let beside = session.pipeline.flows.iter().filter(|flow| flow.source == validation.flow.source);
    let streams: BTreeSet<&str> = beside.filter_map(|flow| flow.stream.as_deref()).collect();
    validation.elsewhere().flat_map(move |there| {
        let streams = streams.clone();
        let aws: &Clients = &there.aws;
        let arn = move |flow: &Flow| aws.arn("kinesis", &format!("stream/{}", flow.source.name()));
        let reads = move |flow: &&Flow| flow.source.kind() == SourceKind::Stream && streams.contains(&*arn(flow));
        there.pipeline.flows.iter().filter(reads).map(move |flow| (aws, flow))
    })
}

/// The names of the functions whose effects nobody but they know.
pub(super) fn unknown(validation: &Validation<'_>) -> Vec<String> {
    others(validation).filter(|flow| flow.recipe().is_err()).map(|flow| flow.function.clone()).collect()
}

impl Sibling {
    pub(super) fn all(validation: &Validation<'_>) -> Vec<Self> {
        let aws: &Clients = &validation.session.aws;
        let own_queue = validation.flow.dead_letters.as_ref().filter(|_| validation.recipe.judges());
        let sibling = |(aws, flow): (&Clients, &Flow)| {
            let recipe = flow.recipe().ok()?;
            Some(Self {
                recipe,
                identity: flow.identity.clone(),
                encrypted: flow.encrypted().to_vec(),
                places: BTreeSet::new(),
                table: flow.table.as_deref().map(|table| Table::new(aws, table, recipe)),
                memory: Memory::of(aws, flow, recipe),
                queue: flow
                    .dead_letters
                    .as_ref()
                    .filter(|queue| Some(*queue) != own_queue || aws.region != validation.session.aws.region)
                    .map(|queue| DeadLetterQueue::new(aws, queue, validation.limit)),
                partitions: BTreeSet::new(),
            })
        };
        others(validation).map(|flow| (aws, flow)).chain(of_copies(validation)).filter_map(sibling).collect()
    }

    /// Notes what an event in its place can have made.
    pub(super) fn note(&mut self, event: &Event, position: &Position, run_id: &str) {
        if let Some(memory) = &mut self.memory {
            memory.note(event, position, run_id);
        }
        self.places.insert(position.sequence_number.clone());
        let Some(table) = &self.table else { return };
        let meaning = Meaning { recipe: self.recipe, identity: &self.identity, encrypted: &self.encrypted };
        let Ok(effects) = process(meaning, event, position, 0) else { return };
        // What cleaning up deletes goes by this: only what bears the run's name, or a record's place, is the run's.
        let own = |partition: &Attribute| contains(partition, run_id) || contains(partition, &position.sequence_number);
        self.partitions.extend(effects.items.iter().filter_map(|item| table.partition(item)).filter(own));
    }

    /// Deletes what there is. Gives the number of items and messages.
    pub(super) async fn clean(&mut self, run_id: &str) -> anyhow::Result<usize> {
        let mut deleted = 0;
        if let Some(table) = &self.table {
            let keys = table.keys(&self.partitions).await?;
            table.delete(&keys).await?;
            deleted += keys.len();
        }
        if let Some(memory) = &self.memory {
            deleted += memory.clean().await?;
        }
        if let Some(queue) = &mut self.queue {
            let own = |body: &str| body.contains(run_id) || is_of(body, &self.places);
            while let Some(messages) = queue.take(own).await? {
                deleted += messages.len();
            }
        }
        Ok(deleted)
    }

    pub(super) async fn put_back(&mut self) -> anyhow::Result<()> {
        match &mut self.queue {
            Some(queue) => queue.put_back().await,
            None => Ok(()),
        }
    }
}
