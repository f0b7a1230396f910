//! What each operation knows of each resource, which follows from the seed.

use std::collections::BTreeMap;
use std::time::Instant;

use parking_lot::Mutex;

use super::table::{Kind, Part, Table};
use super::views::Views;
use crate::rehearsal::SeededRandom;

/// A mutation is hidden from an operation less often than this.
const HIDDEN: f64 = 4.0;
/// Resources that are remembered before those that are gone are forgotten.
const REMEMBERED: usize = 10_000;

/// What happened to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Created,
    Changed,
    Deleted,
}

/// What a read knows of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    All,
    /// Not that it exists.
    Nothing,
    /// Not what happened last.
    Earlier(Event),
}

/// A resource; its kind is a place in the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Thing {
    pub(crate) kind: usize,
    pub(crate) region: String,
    pub(crate) name: String,
}

/// A mutation that took effect.
pub(crate) struct Mutated {
    pub(crate) thing: Thing,
    pub(crate) event: Event,
    /// What the seed knows the resource by: its name, or of one whose name AWS makes up, that of what it is for.
    pub(crate) seeded_as: String,
}

struct Remembered<A> {
    seeded_as: String,
    views: Views<A>,
}

/// What all operations know of all resources. `A` is an answer.
///
/// An operation hides a mutation from its first callers, none to three times, and no longer than the table says; from then
/// on it knows it. How often follows from the seed, the operation, the resource and the number of the mutation.
pub(crate) struct Consistency<A> {
    seed: u64,
    table: Table,
    things: Mutex<BTreeMap<Thing, Remembered<A>>>,
}

impl<A: Clone> Consistency<A> {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, table: Table::read(), things: Mutex::default() }
    }

    /// What an operation is to which kinds, by their place in the table.
    pub(crate) fn parts(&self, service: &str, operation: &str) -> &[(usize, Part)] {
        self.table.parts(service, operation)
    }

    /// The kind at this place of the table.
    pub(crate) fn kind(&self, place: usize) -> &Kind {
        &self.table.kinds[place]
    }

    /// Notes what took effect.
    pub(crate) fn note(&self, mutated: Mutated) {
        let Mutated { thing, event, seeded_as } = mutated;
        let now = Instant::now();
        let mut things = self.things.lock();
        if things.len() >= REMEMBERED {
            things.retain(|thing, known| !known.views.is_over(now, self.table.kinds[thing.kind].most()));
        }
        let known = things.entry(thing).or_insert_with(|| Remembered { seeded_as, views: Views::default() });
        known.views.mutate(event, now);
    }

    /// What an operation knows of a resource; each time it is asked counts as a call.
    pub(crate) fn known(&self, operation: &str, thing: &Thing) -> Known {
        let mut things = self.things.lock();
        let Some(Remembered { seeded_as, views }) = things.get_mut(thing) else { return Known::All };
        let hide = |number| self.hide(operation, thing, seeded_as, number);
        views.known(operation, Instant::now(), self.table.kinds[thing.kind].most(), hide)
    }

    /// Whether an operation knows that the resource was made; each time it is asked counts as a call.
    pub(crate) fn is_made(&self, operation: &str, thing: &Thing) -> bool {
        let mut things = self.things.lock();
        let Some(Remembered { seeded_as, views }) = things.get_mut(thing) else { return true };
        let hide = |number| self.hide(operation, thing, seeded_as, number);
        views.is_made(operation, Instant::now(), self.table.kinds[thing.kind].most(), hide)
    }

    /// The resources of a kind of which something is not known everywhere.
    pub(crate) fn unsettled(&self, kind: usize, region: &str) -> Vec<Thing> {
        let first = Thing { kind, region: region.to_owned(), name: String::new() };
        let things = self.things.lock();
        let all = things.range(first..).take_while(|(thing, _)| thing.kind == kind && thing.region == region);
        all.filter(|(_, known)| known.views.is_unsettled()).map(|(thing, _)| thing.clone()).collect()
    }

    /// Keeps an answer that knows all of a resource, if the resource was touched from outside.
    pub(crate) fn keep(&self, thing: &Thing, asked: u64, answer: impl FnOnce() -> A) {
        if let Some(known) = self.things.lock().get_mut(thing) {
            known.views.keep(asked, answer());
        }
    }

    /// The answer to the same question before what is not known everywhere yet.
    pub(crate) fn earlier(&self, thing: &Thing, asked: u64) -> Option<A> {
        self.things.lock().get(thing)?.views.earlier(asked)
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    fn hide(&self, operation: &str, thing: &Thing, seeded_as: &str, number: u64) -> u64 {
        let parts = ["consistency", &self.table.kinds[thing.kind].service, operation, seeded_as];
        (SeededRandom::new(self.seed, &parts, number).0[0] * HIDDEN) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(seed: u64, names: &[&str]) -> Vec<Vec<Known>> {
        let consistency = Consistency::<()>::new(seed);
        let (kind, _) = consistency.parts("iam", "CreateRole")[0];
        let things: Vec<Thing> =
            names.iter().map(|name| Thing { kind, region: "r".to_owned(), name: (*name).to_owned() }).collect();
        for thing in &things {
            let seeded_as = thing.name.clone();
            consistency.note(Mutated { thing: thing.clone(), event: Event::Created, seeded_as });
        }
        things.iter().map(|thing| (0..5).map(|_| consistency.known("GetRole", thing)).collect()).collect()
    }

    #[test]
    fn what_is_hidden_follows_from_the_seed_whatever_else_happens() {
        let one = seen(1, &["a", "b", "c", "d"]);
        assert_eq!(one[1], seen(1, &["b"])[0]);
        assert_ne!(one, seen(2, &["a", "b", "c", "d"]));
        assert!(one.iter().any(|seen| seen[0] == Known::Nothing));
        assert!(one.iter().all(|seen| seen[3] == Known::All && seen[4] == Known::All));
    }
}
