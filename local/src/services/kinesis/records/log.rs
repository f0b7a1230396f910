//! Records as they are kept: by stream and shard, in the order of their numbers, within so many bytes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use serde_json::{Value, json};
use streamkit_wire::clock;
use tokio::sync::Notify;

use super::number::Number;
use crate::services::kinesis::layout::{Layout, OpenShard};

/// What all streams together may take; then the oldest records of the largest go before their time is over.
const MAX_BYTES: usize = 512 << 20;
/// What a record takes besides its texts.
const OVERHEAD_BYTES: usize = 128;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::services::kinesis) struct Record {
    pub(in crate::services::kinesis) number: Number,
    pub(in crate::services::kinesis) arrived_ms: i64,
    key_bytes: usize,
    /// The partition key, and after it the data: in base64, as it came and as it goes.
    text: Arc<str>,
}

impl Record {
    pub(in crate::services::kinesis) fn partition_key(&self) -> &str {
        &self.text[..self.key_bytes]
    }

    /// In base64.
    pub(in crate::services::kinesis) fn data(&self) -> &str {
        &self.text[self.key_bytes..]
    }

    /// Bytes of data and key, which is what AWS counts.
    pub(in crate::services::kinesis) fn size(&self) -> usize {
        decoded_len(self.data()) + self.key_bytes
    }

    pub(in crate::services::kinesis) fn to_json(&self) -> Value {
        json!({
            "SequenceNumber": self.number.to_string(),
            "PartitionKey": self.partition_key(),
            "Data": self.data(),
            "ApproximateArrivalTimestamp": clock::seconds(self.arrived_ms),
        })
    }

    fn kept_bytes(&self) -> usize {
        self.text.len() + OVERHEAD_BYTES
    }
}

/// How many bytes a text in base64 stands for.
pub(super) fn decoded_len(base64: &str) -> usize {
    let padding = base64.bytes().rev().take_while(|byte| *byte == b'=').count();
    (base64.len() / 4 * 3).saturating_sub(padding)
}

/// A record that is to be added.
pub(super) struct NewRecord {
    /// The place of its shard among the open ones.
    pub(super) shard: usize,
    key_bytes: usize,
    text: Arc<str>,
}

impl NewRecord {
    pub(super) fn new(shard: usize, key: &str, data: &str) -> Self {
        let mut text = String::with_capacity(key.len() + data.len());
        text.push_str(key);
        text.push_str(data);
        Self { shard, key_bytes: key.len(), text: text.into() }
    }
}

/// Some records of a shard, one after the other.
#[derive(Debug, Default)]
pub(in crate::services::kinesis) struct Page {
    pub(in crate::services::kinesis) records: Vec<Record>,
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
    /// What all streams take.
    bytes: AtomicUsize,
    streams: RwLock<HashMap<String, Arc<Mutex<Stream>>>>,
    /// Shared by puts, from their look at the open shards until their records are here.
    pub(super) puts: tokio::sync::RwLock<()>,
    /// Tells those who wait for records that there are some.
    pub(in crate::services::kinesis) appended: Notify,
}

#[derive(Default)]
struct Stream {
    shards: HashMap<Arc<str>, Shard>,
    bytes: usize,
}

#[derive(Default)]
struct Shard {
    records: VecDeque<Record>,
    /// How many there have been.
    count: u64,
    /// The second in which the newest arrived, and its number.
    newest: Option<(u64, Number)>,
}

impl Shard {
    fn next_number(&mut self, shard: &OpenShard, now_ms: i64) -> Number {
        let now_ms = u64::try_from(now_ms).unwrap_or_default().max(shard.made_ms);
        self.count += 1;
        let number = match self.newest {
            Some((second, newest)) if second == now_ms / 1000 => newest.next(),
            _ => Number::new(shard.index, shard.made_ms, self.count, now_ms),
        };
        self.newest = Some((now_ms / 1000, number));
        number
    }
}

impl Default for Records {
    fn default() -> Self {
        Self::bounded(MAX_BYTES)
    }
}

impl Records {
    fn bounded(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            bytes: AtomicUsize::default(),
            streams: RwLock::default(),
            puts: tokio::sync::RwLock::default(),
            appended: Notify::new(),
        }
    }

    /// Waits until all puts that have begun by now are through. Who reads a shard that is closed does so first: a record may still be
    /// on its way there, which would be passed and lost.
    pub(in crate::services::kinesis) async fn puts_ended(&self) {
        drop(self.puts.write().await);
    }

    fn stream(&self, name: &str) -> Option<Arc<Mutex<Stream>>> {
        self.streams.read().get(name).cloned()
    }

    /// Adds records to the shards of a stream, and gives their numbers: each shard's grow in the order in which readers see them.
    pub(super) fn append(
        &self,
        name: &str,
        layout: &Layout,
        records: impl IntoIterator<Item = NewRecord>,
        now_ms: i64,
    ) -> Vec<Number> {
        let stream =
            self.stream(name).unwrap_or_else(|| Arc::clone(self.streams.write().entry(name.to_owned()).or_default()));
        let mut numbers = Vec::new();
        let all_bytes = {
            let stream = &mut *stream.lock();
            let before = stream.bytes;
            for NewRecord { shard, key_bytes, text } in records {
                let open = &layout.open[shard];
                let shard = match stream.shards.get_mut(&open.id) {
                    Some(shard) => shard,
                    None => stream.shards.entry(Arc::clone(&open.id)).or_default(),
                };
                let record = Record { number: shard.next_number(open, now_ms), arrived_ms: now_ms, key_bytes, text };
                stream.bytes += record.kept_bytes();
                numbers.push(record.number);
                shard.records.push_back(record);
            }
            let added = stream.bytes - before;
            self.bytes.fetch_add(added, Ordering::Relaxed) + added
        };
        if all_bytes > self.max_bytes {
            self.shrink();
        }
        self.appended.notify_waiters();
        numbers
    }

    /// The records from this number on that arrived at this time or later. At least one, however large it is.
    pub(in crate::services::kinesis) fn page(
        &self,
        stream: &str,
        shard: &str,
        from: Number,
        since_ms: i64,
        limit: PageLimit,
    ) -> Page {
        let nothing = Page { at_end: true, ..Page::default() };
        let Some(stream) = self.stream(stream) else { return nothing };
        let stream = stream.lock();
        let Some(Shard { records: all, .. }) = stream.shards.get(shard) else { return nothing };
        let first = all.partition_point(|record| record.number < from);
        let (mut page, mut bytes) = (Page::default(), 0);
        let mut rest = all.range(first..).filter(|record| record.arrived_ms >= since_ms).peekable();
        while let Some(record) = rest.next_if(|record| {
            bytes += record.size();
            page.records.len() < limit.records && (bytes <= limit.bytes || page.records.is_empty())
        }) {
            page.records.push(record.clone());
        }
        page.at_end = rest.peek().is_none();
        page
    }

    /// The number of the first record that arrived at this time or later.
    pub(super) fn first_since(&self, stream: &str, shard: &str, time_ms: i64) -> Option<Number> {
        let stream = self.stream(stream)?;
        let stream = stream.lock();
        // Clocks can be set back, so times need not be in order.
        stream.shards.get(shard)?.records.iter().find(|record| record.arrived_ms >= time_ms).map(|record| record.number)
    }

    /// How many records a shard has had: the index of the newest.
    pub(super) fn count(&self, stream: &str, shard: &str) -> u64 {
        self.stream(stream).and_then(|stream| Some(stream.lock().shards.get(shard)?.count)).unwrap_or_default()
    }

    /// The streams that have records.
    pub(in crate::services::kinesis) fn streams(&self) -> Vec<String> {
        self.streams.read().keys().cloned().collect()
    }

    /// Forgets all records of a stream.
    pub(in crate::services::kinesis) fn forget(&self, stream: &str) {
        let gone = self.streams.write().remove(stream);
        if let Some(gone) = gone {
            self.bytes.fetch_sub(gone.lock().bytes, Ordering::Relaxed);
        }
    }

    /// Forgets the records of a stream that arrived before this time.
    pub(in crate::services::kinesis) fn expire(&self, stream: &str, before_ms: i64) {
        let Some(stream) = self.stream(stream) else { return };
        let stream = &mut *stream.lock();
        let before = stream.bytes;
        for shard in stream.shards.values_mut() {
            while shard.records.front().is_some_and(|oldest| oldest.arrived_ms < before_ms) {
                stream.bytes -= shard.records.pop_front().map_or(0, |oldest| oldest.kept_bytes());
            }
        }
        self.bytes.fetch_sub(before - stream.bytes, Ordering::Relaxed);
    }

    /// Forgets the oldest records of the largest stream until there is some room again.
    fn shrink(&self) {
        let streams: Vec<(String, Arc<Mutex<Stream>>)> =
            self.streams.read().iter().map(|(name, stream)| (name.clone(), Arc::clone(stream))).collect();
        let Some((name, stream)) = streams.into_iter().max_by_key(|(_, stream)| stream.lock().bytes) else { return };
        let stream = &mut *stream.lock();
        // Another put may have made room meanwhile.
        if self.bytes.load(Ordering::Relaxed) <= self.max_bytes {
            return;
        }
        // A tenth at once, so that the next record need not look for the largest again.
        let (before, mut dropped) = (stream.bytes, 0_u64);
        let target = before.saturating_sub(self.max_bytes / 10);
        while stream.bytes > target {
            let oldest = stream.shards.values_mut().filter(|shard| !shard.records.is_empty());
            let Some(shard) = oldest.min_by_key(|shard| shard.records.front().map(|record| record.arrived_ms)) else {
                break;
            };
            stream.bytes -= shard.records.pop_front().map_or(0, |record| record.kept_bytes());
            dropped += 1;
        }
        self.bytes.fetch_sub(before - stream.bytes, Ordering::Relaxed);
        let max_bytes = self.max_bytes;
        tracing::warn!(
            "stream {name}: dropped its {dropped} oldest records before their retention was over: streams take {max_bytes} bytes at most"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: PageLimit = PageLimit { records: 10_000, bytes: usize::MAX };

    fn layout() -> Layout {
        Layout::with_one_shard("shard")
    }

    /// A record of so many bytes, the key's one included.
    fn record(size: usize) -> NewRecord {
        let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "x".repeat(size - 1));
        NewRecord::new(0, "k", &data)
    }

    fn append(records: &Records, stream: &str, arrived_ms: i64, sizes: &[usize]) -> Vec<Number> {
        records.append(stream, &layout(), sizes.iter().map(|size| record(*size)), arrived_ms)
    }

    fn zero() -> Number {
        Number::parse("0").unwrap()
    }

    fn arrivals(records: &Records, from: Number, limit: PageLimit) -> (Vec<i64>, bool) {
        let page = records.page("s", "shard", from, 0, limit);
        (page.records.iter().map(|record| record.arrived_ms).collect(), page.at_end)
    }

    #[test]
    fn pages_have_so_many_records_and_bytes_and_at_least_one() {
        let records = Records::default();
        let sizes = [(1, 10), (2, 500), (3, 30), (4, 30)];
        let numbers: Vec<Number> = sizes.iter().flat_map(|(ms, size)| append(&records, "s", *ms, &[*size])).collect();
        assert!(numbers.is_sorted());
        let limit = |records, bytes| PageLimit { records, bytes };
        assert_eq!(arrivals(&records, numbers[0], limit(2, 1000)), (vec![1, 2], false));
        assert_eq!(arrivals(&records, numbers[1], limit(9, 100)), (vec![2], false));
        assert_eq!(arrivals(&records, numbers[2], limit(9, 60)), (vec![3, 4], true));
        assert_eq!(arrivals(&records, numbers[3].next(), limit(9, 60)), (vec![], true));
        assert_eq!(records.first_since("s", "shard", 3), Some(numbers[2]));
        assert_eq!(records.first_since("s", "shard", 5), None);
        assert_eq!(records.page("s", "shard", zero(), 3, ALL).records.len(), 2);
        assert_eq!(records.count("s", "shard"), 4);
    }

    #[test]
    fn numbers_grow_from_second_to_second_and_when_the_clock_is_set_back() {
        let records = Records::default();
        let numbers: Vec<Number> =
            [0, 999, 1000, 500, 90_000].iter().flat_map(|ms| append(&records, "s", *ms, &[1, 1])).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    }

    #[test]
    fn streams_stay_within_their_bytes_and_the_largest_gives_way() {
        let records = Records::bounded(20_000);
        append(&records, "small", 0, &[700]);
        for at in 1..=50 {
            append(&records, "s", at, &[700]);
        }
        let (left, _) = arrivals(&records, zero(), ALL);
        assert_eq!(left.last(), Some(&50));
        assert!((10..18).contains(&left.len()), "{left:?}");
        assert_eq!(records.page("small", "shard", zero(), 0, ALL).records.len(), 1);
        let bytes = records.bytes.load(Ordering::Relaxed);
        assert!(bytes <= 20_000);
        assert_eq!(bytes, records.streams.read().values().map(|stream| stream.lock().bytes).sum::<usize>());
    }

    #[test]
    fn records_are_forgotten_when_they_expire_and_with_their_stream() {
        let records = Records::default();
        append(&records, "s", 10, &[5]);
        append(&records, "s", 20, &[5]);
        records.expire("s", 20);
        assert_eq!(arrivals(&records, zero(), ALL), (vec![20], true));
        records.forget("s");
        assert_eq!(arrivals(&records, zero(), ALL), (vec![], true));
        assert_eq!(records.bytes.load(Ordering::Relaxed), 0);
    }
}
