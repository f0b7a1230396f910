//! The records of one stream: appended at one end, forgotten at the other.

use std::collections::VecDeque;

/// What a record takes besides its text.
const OVERHEAD_BYTES: usize = 64;

#[derive(Debug)]
pub(super) struct Log {
    records: VecDeque<Entry>,
    /// The number of the newest record, or the one that the stream began with.
    pub(super) last: u128,
    /// The number of the newest record that was forgotten, or the one that the stream began with.
    pub(super) trimmed: u128,
    pub(super) bytes: usize,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) sequence: u128,
    time_ms: i64,
    /// The record as JSON, which takes a fifth of the tree.
    pub(super) json: Box<str>,
}

impl Log {
    pub(super) fn new(starting: u128) -> Self {
        Self { records: VecDeque::new(), last: starting, trimmed: starting, bytes: 0 }
    }

    pub(super) fn append(&mut self, sequence: u128, time_ms: i64, json: Box<str>) {
        debug_assert!(sequence > self.last, "records are numbered in order");
        self.bytes += json.len() + OVERHEAD_BYTES;
        self.last = sequence;
        self.records.push_back(Entry { sequence, time_ms, json });
    }

    /// Leaves out a number, and returns it.
    pub(super) fn skip(&mut self) -> u128 {
        self.last += 1;
        self.last
    }

    /// The records after this number, found without looking at the others.
    pub(super) fn after(&self, sequence: u128) -> impl Iterator<Item = &Entry> {
        let first = self.records.partition_point(|entry| entry.sequence <= sequence);
        self.records.range(first..)
    }

    /// Forgets the oldest record.
    pub(super) fn trim_one(&mut self) -> bool {
        let Some(oldest) = self.records.pop_front() else { return false };
        self.bytes -= oldest.json.len() + OVERHEAD_BYTES;
        self.trimmed = oldest.sequence;
        true
    }

    /// Forgets the records that were made before this time.
    pub(super) fn trim_before(&mut self, time_ms: i64) {
        while self.records.front().is_some_and(|entry| entry.time_ms < time_ms) {
            self.trim_one();
        }
    }
}
