//! Things that are on their way from one state to the next: what they are meanwhile, and for how long.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

/// The state of what is being made.
pub(crate) const CREATING: &str = "CREATING";
/// The state of what is being changed.
pub(crate) const UPDATING: &str = "UPDATING";
/// The state of what will soon be gone.
pub(crate) const DELETING: &str = "DELETING";

/// The passing states of all things of one kind, by name. Whatever is not in it is settled.
#[derive(Default)]
pub(crate) struct PassingStates {
    things: Mutex<BTreeMap<String, Change>>,
    /// Held by whoever carries out deletions whose time has come.
    pub(crate) deleting: tokio::sync::Mutex<()>,
}

struct Change {
    state: &'static str,
    until: Instant,
}

impl PassingStates {
    /// Puts a thing into a state for some time; for no time, nothing happens.
    pub(crate) fn begin(&self, name: &str, state: &'static str, time: Duration) {
        if !time.is_zero() {
            self.things().insert(name.to_owned(), Change { state, until: Instant::now() + time });
        }
    }

    /// The passing state of a thing. What is to be deleted stays so until [`end`](Self::end).
    pub(crate) fn state(&self, name: &str) -> Option<&'static str> {
        self.state_at(name, Instant::now())
    }

    fn state_at(&self, name: &str, now: Instant) -> Option<&'static str> {
        let mut things = self.things();
        let change = things.get(name)?;
        if change.state != DELETING && change.until <= now {
            things.remove(name);
            return None;
        }
        Some(change.state)
    }

    /// Whether anything is on its way.
    pub(crate) fn any(&self) -> bool {
        !self.things().is_empty()
    }

    /// What should be gone by now.
    pub(crate) fn overdue(&self) -> Vec<String> {
        self.overdue_at(Instant::now())
    }

    fn overdue_at(&self, now: Instant) -> Vec<String> {
        let things = self.things();
        things.iter().filter(|(_, at)| at.state == DELETING && at.until <= now).map(|(name, _)| name.clone()).collect()
    }

    /// Forgets a thing.
    pub(crate) fn end(&self, name: &str) {
        self.things().remove(name);
    }

    fn things(&self) -> MutexGuard<'_, BTreeMap<String, Change>> {
        self.things.lock()
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn states_pass_and_deletions_wait_to_be_carried_out() {
        let changing = PassingStates::default();
        let later = Instant::now() + Duration::from_secs(11);
        changing.begin("none", CREATING, Duration::ZERO);
        changing.begin("a", CREATING, Duration::from_secs(10));
        changing.begin("b", DELETING, Duration::from_secs(10));
        assert_eq!((changing.state("none"), changing.state("a")), (None, Some(CREATING)));
        assert!(changing.overdue().is_empty());
        assert_eq!((changing.state_at("a", later), changing.state_at("b", later)), (None, Some(DELETING)));
        assert_eq!(changing.overdue_at(later), ["b"]);
        changing.end("b");
        assert!(!changing.any());
    }
}
