//! Visible messages in the order in which they are delivered. Each step costs no more than the logarithm of their number.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The visible messages of a queue; those of a FIFO queue by their groups.
#[derive(Default)]
pub(super) struct Ready {
    /// Messages without a group by their place in line.
    line: BTreeMap<u64, u64>,
    next_place: u64,
    groups: HashMap<String, Group>,
    /// The first message of each group of which none is in flight.
    heads: BTreeMap<u64, String>,
    waiting: usize,
}

#[derive(Default)]
struct Group {
    waiting: BTreeSet<u64>,
    in_flight: usize,
}

/// Where a message stands, so that it can be taken out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place(u64);

impl Ready {
    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    pub(super) fn clear(&mut self) {
        *self = Self { next_place: self.next_place, ..Self::default() };
    }

    /// Puts a message behind all others; in a FIFO group it stands where its id says.
    pub(super) fn insert(&mut self, id: u64, group: Option<&str>) -> Place {
        self.waiting += 1;
        if let Some(group) = group {
            self.change(group, |group| {
                group.waiting.insert(id);
            });
            return Place(id);
        }
        self.next_place += 1;
        self.line.insert(self.next_place, id);
        Place(self.next_place)
    }

    /// Takes a message out of the line.
    pub(super) fn remove(&mut self, id: u64, place: Place, group: Option<&str>) {
        self.waiting -= 1;
        match group {
            Some(group) => self.change(group, |group| {
                group.waiting.remove(&id);
            }),
            None => {
                self.line.remove(&place.0);
            }
        }
    }

    /// Takes the first message that may be delivered.
    pub(super) fn pop(&mut self) -> Option<u64> {
        let id = if let Some((_, id)) = self.line.pop_first() {
            id
        } else {
            let (id, group) = self.heads.pop_first()?;
            self.change(&group, |group| {
                group.waiting.remove(&id);
            });
            id
        };
        self.waiting -= 1;
        Some(id)
    }

    /// A message of the group is in flight: none of it is delivered until `landed`.
    pub(super) fn took_off(&mut self, group: &str) {
        self.change(group, |group| group.in_flight += 1);
    }

    /// A message of the group is in flight no more.
    pub(super) fn landed(&mut self, group: &str) {
        self.change(group, |group| group.in_flight -= 1);
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut Group)) {
        let group = self.groups.entry(name.to_owned()).or_default();
        if let Some(first) = group.waiting.first() {
            self.heads.remove(first);
        }
        change(group);
        match group.waiting.first() {
            Some(first) if group.in_flight == 0 => drop(self.heads.insert(*first, name.to_owned())),
            None if group.in_flight == 0 => drop(self.groups.remove(name)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_in_flight_wait_and_others_do_not() {
        let mut ready = Ready::default();
        for (id, group) in [(1, "a"), (2, "b"), (3, "a"), (4, "b")] {
            ready.insert(id, Some(group));
        }
        assert_eq!(ready.pop(), Some(1));
        ready.took_off("a");
        assert_eq!((ready.pop(), ready.pop(), ready.pop()), (Some(2), Some(4), None));
        // The message that comes back stands before the one that waited for it.
        let place = ready.insert(1, Some("a"));
        ready.landed("a");
        assert_eq!((ready.pop(), ready.len()), (Some(1), 1));
        ready.insert(1, Some("a"));
        ready.remove(1, place, Some("a"));
        assert_eq!((ready.pop(), ready.pop(), ready.len()), (Some(3), None, 0));
        assert!(ready.groups.is_empty() && ready.heads.is_empty());
    }

    #[test]
    fn messages_without_group_come_in_the_order_in_which_they_became_visible() {
        let mut ready = Ready::default();
        let places: Vec<Place> = [7, 8, 9].into_iter().map(|id| ready.insert(id, None)).collect();
        ready.remove(8, places[1], None);
        ready.insert(8, None);
        assert_eq!([ready.pop(), ready.pop(), ready.pop(), ready.pop()], [Some(7), Some(9), Some(8), None]);
    }
}
