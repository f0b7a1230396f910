//! One resource as its reads know it: its last mutations, and how many of them each operation has shown.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::knowledge::{Event, Known};

/// The answers that are kept of one resource.
const KEPT: usize = 32;

/// A resource that was made, changed or deleted from outside.
pub(super) struct Views<A> {
    exists: bool,
    /// The number of the last mutation, from 1, and of the one that made it.
    last: u64,
    created: u64,
    /// Mutations that are not known everywhere yet, oldest first.
    recent: VecDeque<(u64, Instant, Event)>,
    /// The number of the last mutation that is known everywhere.
    settled: u64,
    by_operation: BTreeMap<String, View>,
    /// Answers by what was asked, with the number of the last mutation that they know.
    kept: HashMap<u64, (u64, A)>,
}

/// What one operation has shown.
#[derive(Default)]
struct View {
    /// The last mutation that it has shown.
    known: u64,
    /// The mutation that it hides, and how often it has.
    hides: u64,
    hidden: u64,
}

impl<A> Default for Views<A> {
    fn default() -> Self {
        Self {
            exists: false,
            last: 0,
            created: 0,
            recent: VecDeque::new(),
            settled: 0,
            by_operation: BTreeMap::new(),
            kept: HashMap::new(),
        }
    }
}

impl<A: Clone> Views<A> {
    /// Notes a mutation. What is made a second time is changed; what is deleted a second time is left alone.
    pub(super) fn mutate(&mut self, event: Event, now: Instant) {
        let event = match event {
            Event::Created if self.exists => Event::Changed,
            Event::Deleted if !self.exists && self.last > 0 => return,
            event => event,
        };
        self.last += 1;
        self.exists = event != Event::Deleted;
        if event == Event::Created {
            self.created = self.last;
            self.kept.clear();
        }
        self.recent.push_back((self.last, now, event));
    }

    /// What an operation knows now. `hide` says how often it hides the mutation of a number.
    pub(super) fn known(&mut self, operation: &str, now: Instant, most: Duration, hide: impl Fn(u64) -> u64) -> Known {
        self.settle(now, most);
        let Some((_, _, event)) = self.recent.back().copied() else { return Known::All };
        let (last, created) = (self.last, self.created);
        let view = self.view(operation);
        if view.known >= last || !view.hide(last, &hide) {
            return Known::All;
        }
        if event != Event::Deleted && view.known < created { Known::Nothing } else { Known::Earlier(event) }
    }

    /// Whether an operation knows that the resource was made.
    pub(super) fn is_made(&mut self, operation: &str, now: Instant, most: Duration, hide: impl Fn(u64) -> u64) -> bool {
        self.settle(now, most);
        let (exists, created) = (self.exists, self.created);
        let view = self.view(operation);
        !exists || view.known >= created || !view.hide(created, &hide)
    }

    /// Keeps an answer that knows all mutations.
    pub(super) fn keep(&mut self, asked: u64, answer: A) {
        if self.kept.len() >= KEPT
            && let Some(oldest) = self.kept.iter().min_by_key(|(_, (number, _))| *number).map(|(asked, _)| *asked)
        {
            self.kept.remove(&oldest);
        }
        self.kept.insert(asked, (self.last, answer));
    }

    /// The answer to the same question that was true before the mutations which are not known everywhere.
    pub(super) fn earlier(&self, asked: u64) -> Option<A> {
        self.kept.get(&asked).filter(|(number, _)| *number >= self.settled).map(|(_, answer)| answer.clone())
    }

    /// Whether everything about it is known everywhere, and it is gone.
    pub(super) fn is_over(&mut self, now: Instant, most: Duration) -> bool {
        self.settle(now, most);
        !self.exists && self.recent.is_empty()
    }

    /// Whether something about it is not known everywhere.
    pub(super) fn is_unsettled(&self) -> bool {
        !self.recent.is_empty()
    }

    fn settle(&mut self, now: Instant, most: Duration) {
        while let Some((number, at, _)) = self.recent.front().copied()
            && at + most <= now
        {
            self.settled = number;
            self.recent.pop_front();
        }
    }

    fn view(&mut self, operation: &str) -> &mut View {
        let settled = self.settled;
        let view = self.by_operation.entry(operation.to_owned()).or_default();
        view.known = view.known.max(settled);
        view
    }
}

impl View {
    /// Hides a mutation once more, if it is to; else it is known from now on.
    fn hide(&mut self, number: u64, times: impl Fn(u64) -> u64) -> bool {
        if self.hides != number {
            (self.hides, self.hidden) = (number, 0);
        }
        if self.hidden < times(number) {
            self.hidden += 1;
            return true;
        }
        self.known = number;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(2);

    #[test]
    fn creation_is_hidden_and_what_is_known_stays_known() {
        let (now, mut views) = (Instant::now(), Views::<&str>::default());
        let twice = |_| 2;
        assert_eq!(views.known("Get", now, MOST, twice), Known::All);
        views.mutate(Event::Created, now);
        let seen: Vec<Known> = (0..4).map(|_| views.known("Get", now, MOST, twice)).collect();
        assert_eq!(seen, [Known::Nothing, Known::Nothing, Known::All, Known::All]);
        // Another operation has its own copy.
        assert!(!views.is_made("Put", now, MOST, twice));
        assert!(views.is_made("Put", now + MOST, MOST, twice));
    }

    #[test]
    fn changes_and_deletions_show_what_was_true_before() {
        let (now, mut views) = (Instant::now(), Views::default());
        let once = |_| 1;
        views.mutate(Event::Created, now);
        let later = now + MOST;
        assert_eq!(views.known("Get", later, MOST, once), Known::All);
        views.keep(7, "made");
        views.mutate(Event::Changed, later);
        assert_eq!(views.known("Get", later, MOST, once), Known::Earlier(Event::Changed));
        assert_eq!((views.earlier(7), views.earlier(8)), (Some("made"), None));
        assert_eq!(views.known("Get", later, MOST, once), Known::All);
        views.keep(7, "changed");
        views.mutate(Event::Deleted, later);
        assert_eq!(views.known("Get", later, MOST, once), Known::Earlier(Event::Deleted));
        assert_eq!(views.earlier(7), Some("changed"));
        assert!(!views.is_over(later, MOST) && views.is_over(later + MOST, MOST));
    }

    #[test]
    fn answers_older_than_what_is_known_everywhere_are_not_given_again() {
        let (now, mut views) = (Instant::now(), Views::default());
        views.mutate(Event::Created, now);
        views.known("Get", now + MOST, MOST, |_| 1);
        views.keep(1, "first");
        views.mutate(Event::Changed, now + MOST);
        // Nobody looked at the second state.
        views.mutate(Event::Changed, now + 2 * MOST);
        assert_eq!(views.known("Get", now + 2 * MOST, MOST, |_| 1), Known::Earlier(Event::Changed));
        assert_eq!(views.earlier(1), None);
    }

    #[test]
    fn making_what_exists_changes_it_and_deleting_what_is_gone_is_nothing() {
        let (now, mut views) = (Instant::now(), Views::<()>::default());
        views.mutate(Event::Created, now);
        assert_eq!(views.known("Get", now, MOST, |_| 0), Known::All);
        views.mutate(Event::Created, now);
        assert_eq!(views.known("Get", now, MOST, |_| 1), Known::Earlier(Event::Changed));
        views.mutate(Event::Deleted, now);
        views.mutate(Event::Deleted, now);
        assert_eq!((views.last, views.exists), (3, false));
    }
}
