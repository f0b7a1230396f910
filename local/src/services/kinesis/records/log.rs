//! Records as they are kept: by stream and shard, in the order of their numbers, within so many bytes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use streamkit_wire::clock;
use tokio::sync::Notify;

/// What all streams together may take; then the oldest records of the largest go before their time is over.
const MAX_BYTES: usize = 512 << 20;
/// What a record takes besides its texts.
const OVERHEAD_BYTES: usize = 128;

/// One record.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::services::kinesis) struct Record {
    pub(in crate::services::kinesis) sequence: String,
    pub(in crate::services::kinesis) partition_key: String,
    /// In base64, as it came and as it goes.
    pub(in crate::services::kinesis) data: String,
    /// Bytes of data and key, which is what AWS counts.
    pub(in crate::services::kinesis) size: usize,
    pub(in crate::services::kinesis) arrived_ms: i64,
}

impl Record {
    pub(in crate::services::kinesis) fn to_json(&self) -> Value {
        json!({
            "SequenceNumber": self.sequence,
            "PartitionKey": self.partition_key,
            "Data": self.data,
            "ApproximateArrivalTimestamp": clock::seconds(self.arrived_ms),
        })
    }

    fn kept_bytes(&self) -> usize {
        self.sequence.len() + self.partition_key.len() + self.data.len() + OVERHEAD_BYTES
    }
}

/// Some records of a shard, one after the other.
#[derive(Debug, Default)]
pub(in crate::services::kinesis) struct Page {
    pub(in crate::services::kinesis) records: Vec<Arc<Record>>,
    /// Whether these are the newest of the shard.
    pub(in crate::services::kinesis) at_end: bool,
}

/// How much a page may have.
#[derive(Debug, Clone, Copy)]
pub(in crate::services::kinesis) struct PageLimit {
    pub(in crate::services::kinesis) records: usize,
    pub(in crate::services::kinesis) bytes: usize,
}

/// The records of all streams.
pub(in crate::services::kinesis) struct Records {
    max_bytes: usize,
    kept: Mutex<Kept>,
    /// Tells those who wait for records that there are some.
    pub(in crate::services::kinesis) appended: Notify,
}

#[derive(Default)]
struct Kept {
    streams: HashMap<String, Stream>,
    bytes: usize,
}

#[derive(Default)]
struct Stream {
    shards: HashMap<String, VecDeque<Arc<Record>>>,
    bytes: usize,
}

impl Default for Records {
    fn default() -> Self {
        Self::bounded(MAX_BYTES)
    }
}

impl Records {
    fn bounded(max_bytes: usize) -> Self {
        Self { max_bytes, kept: Mutex::default(), appended: Notify::new() }
    }

    /// Adds records of a stream, each with its shard, whose numbers are greater than those that are there.
    pub(super) fn append(&self, stream: &str, records: impl IntoIterator<Item = (String, Record)>) {
        {
            let kept = &mut *self.kept.lock();
            let of_stream = kept.streams.entry(stream.to_owned()).or_default();
            for (shard, record) in records {
                let bytes = record.kept_bytes();
                of_stream.bytes += bytes;
                kept.bytes += bytes;
                of_stream.shards.entry(shard).or_default().push_back(Arc::new(record));
            }
            if kept.bytes > self.max_bytes {
                kept.shrink(self.max_bytes);
            }
        }
        self.appended.notify_waiters();
    }

    /// The records from this number on that arrived at this time or later. At least one, however large it is.
    pub(in crate::services::kinesis) fn page(
        &self,
        stream: &str,
        shard: &str,
        from: &str,
        since_ms: i64,
        limit: PageLimit,
    ) -> Page {
        let kept = self.kept.lock();
        let Some(all) = kept.streams.get(stream).and_then(|stream| stream.shards.get(shard)) else {
            return Page { at_end: true, ..Page::default() };
        };
        let first = all.partition_point(|record| is_before(&record.sequence, from));
        let (mut page, mut bytes) = (Page::default(), 0);
        let mut rest = all.range(first..).filter(|record| record.arrived_ms >= since_ms).peekable();
        while let Some(record) = rest.next_if(|record| {
            bytes += record.size;
            page.records.len() < limit.records && (bytes <= limit.bytes || page.records.is_empty())
        }) {
            page.records.push(Arc::clone(record));
        }
        page.at_end = rest.peek().is_none();
        page
    }

    /// The number of the first record that arrived at this time or later.
    pub(super) fn first_since(&self, stream: &str, shard: &str, time_ms: i64) -> Option<String> {
        let kept = self.kept.lock();
        let all = kept.streams.get(stream)?.shards.get(shard)?;
        // Clocks can be set back, so times need not be in order.
        all.iter().find(|record| record.arrived_ms >= time_ms).map(|record| record.sequence.clone())
    }

    /// The streams that have records.
    pub(in crate::services::kinesis) fn streams(&self) -> Vec<String> {
        self.kept.lock().streams.keys().cloned().collect()
    }

    /// Forgets all records of a stream.
    pub(in crate::services::kinesis) fn forget(&self, stream: &str) {
        let kept = &mut *self.kept.lock();
        if let Some(gone) = kept.streams.remove(stream) {
            kept.bytes -= gone.bytes;
        }
    }

    /// Forgets the records of a stream that arrived before this time.
    pub(in crate::services::kinesis) fn expire(&self, stream: &str, before_ms: i64) {
        let kept = &mut *self.kept.lock();
        let Some(of_stream) = kept.streams.get_mut(stream) else { return };
        let before = of_stream.bytes;
        for records in of_stream.shards.values_mut() {
            while records.front().is_some_and(|oldest| oldest.arrived_ms < before_ms) {
                of_stream.bytes -= records.pop_front().map_or(0, |oldest| oldest.kept_bytes());
            }
        }
        kept.bytes -= before - of_stream.bytes;
    }
}

impl Kept {
    /// Forgets the oldest records of the largest stream until there is some room again.
    fn shrink(&mut self, max_bytes: usize) {
        let Some((name, stream)) = self.streams.iter_mut().max_by_key(|(_, stream)| stream.bytes) else { return };
        // A tenth at once, so that the next record need not look for the largest again.
        let (before, mut dropped) = (stream.bytes, 0_u64);
        let target = before.saturating_sub(max_bytes / 10);
        while stream.bytes > target {
            let oldest = stream.shards.values_mut().filter(|shard| !shard.is_empty());
            let Some(shard) = oldest.min_by_key(|shard| shard.front().map(|record| record.arrived_ms)) else { break };
            stream.bytes -= shard.pop_front().map_or(0, |record| record.kept_bytes());
            dropped += 1;
        }
        self.bytes -= before - stream.bytes;
        tracing::warn!(
            "stream {name}: dropped its {dropped} oldest records before their retention was over: streams take {max_bytes} bytes at most"
        );
    }
}

/// Numbers are decimal, without leading zeros.
fn is_before(number: &str, other: &str) -> bool {
    (number.len(), number) < (other.len(), other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: PageLimit = PageLimit { records: 10_000, bytes: usize::MAX };

    fn record(sequence: u64, arrived_ms: i64, size: usize) -> (String, Record) {
        let record = Record {
            sequence: sequence.to_string(),
            partition_key: "k".to_owned(),
            data: "x".repeat(size),
            size,
            arrived_ms,
        };
        ("shard".to_owned(), record)
    }

    fn sequences(records: &Records, from: &str, limit: PageLimit) -> (Vec<String>, bool) {
        let page = records.page("s", "shard", from, 0, limit);
        (page.records.iter().map(|record| record.sequence.clone()).collect(), page.at_end)
    }

    #[test]
    fn pages_have_so_many_records_and_bytes_and_at_least_one() {
        let records = Records::default();
        records.append("s", [record(9, 1, 10), record(10, 2, 500), record(11, 3, 30), record(12, 4, 30)]);
        let limit = |records, bytes| PageLimit { records, bytes };
        assert_eq!(sequences(&records, "9", limit(2, 1000)), (vec!["9".to_owned(), "10".to_owned()], false));
        assert_eq!(sequences(&records, "10", limit(9, 100)), (vec!["10".to_owned()], false));
        assert_eq!(sequences(&records, "11", limit(9, 60)), (vec!["11".to_owned(), "12".to_owned()], true));
        assert_eq!(sequences(&records, "13", limit(9, 60)), (vec![], true));
        assert_eq!(records.first_since("s", "shard", 3), Some("11".to_owned()));
        assert_eq!(records.first_since("s", "shard", 5), None);
        assert_eq!(records.page("s", "shard", "0", 3, ALL).records.len(), 2);
    }

    #[test]
    fn streams_stay_within_their_bytes_and_the_largest_gives_way() {
        let records = Records::bounded(20_000);
        records.append("small", [record(1, 0, 1000)]);
        for at in 1..=50 {
            records.append("s", [record(at, i64::try_from(at).unwrap(), 1000)]);
        }
        let (left, _) = sequences(&records, "0", ALL);
        assert_eq!(left.last().map(String::as_str), Some("50"));
        assert!((10..18).contains(&left.len()), "{left:?}");
        assert_eq!(records.page("small", "shard", "0", 0, ALL).records.len(), 1);
        let kept = records.kept.lock();
        assert!(kept.bytes <= 20_000);
        assert_eq!(kept.bytes, kept.streams.values().map(|stream| stream.bytes).sum::<usize>());
    }

    #[test]
    fn records_are_forgotten_when_they_expire_and_with_their_stream() {
        let records = Records::default();
        records.append("s", [record(1, 10, 5), record(2, 20, 5)]);
        records.expire("s", 20);
        assert_eq!(sequences(&records, "0", ALL), (vec!["2".to_owned()], true));
        records.forget("s");
        assert_eq!(sequences(&records, "0", ALL), (vec![], true));
        assert_eq!(records.kept.lock().bytes, 0);
    }
}
