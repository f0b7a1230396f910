//! Deduplication in FIFO queues and topics: what was sent with which id in the last five minutes.

use std::collections::{HashMap, VecDeque};

/// Sent within this time, a message with the same deduplication id is the same message.
const WINDOW_MS: i64 = 5 * 60 * 1000;

/// What was sent, by deduplication id. It forgets in the order in which it learned, so no look goes through all of it.
pub(crate) struct Deduplication<T> {
    sent: HashMap<String, T>,
    /// Until when each id is known.
    until: VecDeque<(i64, String)>,
}

impl<T> Default for Deduplication<T> {
    fn default() -> Self {
        Self { sent: HashMap::new(), until: VecDeque::new() }
    }
}

impl<T: Clone> Deduplication<T> {
    /// What a message with this id, sent in the last five minutes, was answered with.
    pub(crate) fn earlier(&mut self, id: &str, now: i64) -> Option<T> {
        while self.until.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, id)) = self.until.pop_front() {
                self.sent.remove(&id);
            }
        }
        self.sent.get(id).cloned()
    }

    /// Remembers a message that `earlier` did not know.
    pub(crate) fn remember(&mut self, id: String, sent: T, now: i64) {
        self.until.push_back((now + WINDOW_MS, id.clone()));
        self.sent.insert(id, sent);
    }
}

/// What a message with content-based deduplication is known by.
pub(crate) fn deduplication_id(body: &str) -> String {
    // `md5` and `sha2` are of different generations of the same traits.
    hex::encode(<sha2::Sha256 as sha2::Digest>::digest(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_known_for_five_minutes() {
        let mut known = Deduplication::default();
        known.remember("a".into(), 1, 0);
        known.remember("b".into(), 2, 1000);
        assert_eq!((known.earlier("a", WINDOW_MS - 1), known.earlier("c", 5)), (Some(1), None));
        assert_eq!((known.earlier("a", WINDOW_MS), known.earlier("b", WINDOW_MS)), (None, Some(2)));
        known.remember("a".into(), 3, WINDOW_MS);
        assert_eq!(known.earlier("a", WINDOW_MS + 2000), Some(3));
        assert!(known.earlier("b", WINDOW_MS + 2000).is_none() && known.until.len() == 1);
    }
}
