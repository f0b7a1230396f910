//! What a shard takes and gives in a second.
//!
//! See <https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html>, and for records of more than 1 MiB
//! <https://docs.aws.amazon.com/streams/latest/dev/large-records.html>.

use std::collections::HashMap;

use parking_lot::Mutex;

const WRITTEN_BYTES: f64 = 1_048_576.0;
const WRITTEN_RECORDS: f64 = 1000.0;
const READ_BYTES: f64 = 2.0 * 1_048_576.0;
const READS: f64 = 5.0;

/// How much every shard has left.
#[derive(Default)]
pub(in crate::services::kinesis) struct Throughput {
    /// By stream and shard.
    streams: Mutex<HashMap<String, HashMap<String, Shard>>>,
}

struct Shard {
    written_bytes: Bucket,
    written_records: Bucket,
    read_bytes: Bucket,
    reads: Bucket,
}

impl Shard {
    fn new(now_ms: i64) -> Self {
        Self {
            written_bytes: Bucket::new(WRITTEN_BYTES, now_ms),
            written_records: Bucket::new(WRITTEN_RECORDS, now_ms),
            read_bytes: Bucket::new(READ_BYTES, now_ms),
            reads: Bucket::new(READS, now_ms),
        }
    }
}

impl Throughput {
    /// Takes a record of so many bytes, if the shard still can. One that is larger than what a shard takes in a second needs
    /// a shard that has all of it left, and is paid off in the seconds that follow.
    pub(super) fn write(&self, stream: &str, shard: &str, bytes: usize, now_ms: i64) -> bool {
        self.with(stream, shard, now_ms, |left| {
            let bytes = real(bytes);
            let fits = left.written_bytes.left(now_ms) >= bytes.min(WRITTEN_BYTES);
            let taken = fits && left.written_records.left(now_ms) >= 1.0;
            if taken {
                left.written_bytes.take(bytes);
                left.written_records.take(1.0);
            }
            taken
        })
    }

    /// Whether a shard may be read now. A page may be larger than what is left, and is paid off by who reads next.
    pub(super) fn read(&self, stream: &str, shard: &str, now_ms: i64) -> bool {
        self.with(stream, shard, now_ms, |left| {
            let may = left.read_bytes.left(now_ms) > 0.0 && left.reads.left(now_ms) >= 1.0;
            if may {
                left.reads.take(1.0);
            }
            may
        })
    }

    /// Notes what a shard gave.
    pub(super) fn was_read(&self, stream: &str, shard: &str, bytes: usize, now_ms: i64) {
        self.with(stream, shard, now_ms, |left| left.read_bytes.take(real(bytes)));
    }

    /// Forgets the shards of a stream.
    pub(in crate::services::kinesis) fn forget(&self, stream: &str) {
        self.streams.lock().remove(stream);
    }

    fn with<T>(&self, stream: &str, shard: &str, now_ms: i64, run: impl FnOnce(&mut Shard) -> T) -> T {
        let mut streams = self.streams.lock();
        // Names are copied for the first record only.
        if let Some(left) = streams.get_mut(stream).and_then(|shards| shards.get_mut(shard)) {
            return run(left);
        }
        let shards = streams.entry(stream.to_owned()).or_default();
        run(shards.entry(shard.to_owned()).or_insert_with(|| Shard::new(now_ms)))
    }
}

/// What one consumer of a shard may be sent in a second.
pub(in crate::services::kinesis) struct ConsumerThroughput(Bucket);

impl ConsumerThroughput {
    pub(in crate::services::kinesis) fn new(now_ms: i64) -> Self {
        Self(Bucket::new(READ_BYTES, now_ms))
    }

    /// Whether something may be sent now.
    pub(in crate::services::kinesis) fn may_send(&mut self, now_ms: i64) -> bool {
        self.0.left(now_ms) > 0.0
    }

    pub(in crate::services::kinesis) fn sent(&mut self, bytes: usize) {
        self.0.take(real(bytes));
    }
}

/// So much a second, of which at most a second's worth is saved up.
struct Bucket {
    per_second: f64,
    left: f64,
    at_ms: i64,
}

impl Bucket {
    fn new(per_second: f64, now_ms: i64) -> Self {
        Self { per_second, left: per_second, at_ms: now_ms }
    }

    fn left(&mut self, now_ms: i64) -> f64 {
        // A clock that was set back gives nothing, and takes nothing away.
        let passed = u32::try_from((now_ms - self.at_ms).max(0)).unwrap_or(u32::MAX);
        self.left = (self.left + self.per_second * f64::from(passed) / 1000.0).min(self.per_second);
        self.at_ms = now_ms;
        self.left
    }

    fn take(&mut self, amount: f64) {
        self.left -= amount;
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes of one call are far below 2^52")]
fn real(bytes: usize) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn written(limits: &Throughput, bytes: usize, tries: usize, now_ms: i64) -> usize {
        (0..tries).filter(|_| limits.write("s", "shard", bytes, now_ms)).count()
    }

    #[test]
    fn shard_takes_a_thousand_records_and_a_mebibyte_a_second() {
        let limits = Throughput::default();
        assert_eq!(written(&limits, 1, 1500, 0), 1000);
        assert_eq!(written(&limits, 1, 1500, 500), 500);
        assert_eq!(written(&limits, MIB / 4, 10, 10_000), 4);
        assert_eq!(written(&limits, MIB / 4, 10, 10_250), 1);
        assert!(limits.write("s", "other", MIB, 10_250), "each shard by itself");
    }

    #[test]
    fn large_record_is_paid_off_in_the_seconds_after_it() {
        let limits = Throughput::default();
        assert_eq!(written(&limits, 10 * MIB, 1, 0), 1);
        assert_eq!(written(&limits, 1, 1, 8999), 0);
        assert_eq!(written(&limits, 1, 1, 9001), 1);
        assert_eq!(written(&limits, 2 * MIB, 1, 9500), 0, "only when all of a second is left");
        assert_eq!(written(&limits, 2 * MIB, 1, 11_000), 1);
    }

    #[test]
    fn shard_is_read_five_times_and_gives_two_mebibytes_a_second() {
        let limits = Throughput::default();
        let reads = |now_ms| (0..10).filter(|_| limits.read("s", "shard", now_ms)).count();
        assert_eq!(reads(0), 5);
        assert_eq!(reads(200), 1);
        limits.was_read("s", "shard", 10 * MIB, 200);
        assert_eq!(reads(4000), 0, "after a page of 10 MiB, nothing for some seconds");
        assert_eq!(reads(4201), 5);
        limits.forget("s");
        assert_eq!(reads(4201), 5);
    }

    #[test]
    fn clock_that_is_set_back_changes_nothing() {
        let limits = Throughput::default();
        assert_eq!(written(&limits, MIB, 2, 10_000), 1);
        assert_eq!(written(&limits, MIB, 2, 5000), 0);
        assert_eq!(written(&limits, MIB, 2, 6000), 1);
    }
}
