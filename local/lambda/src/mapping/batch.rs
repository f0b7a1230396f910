//! What to do next with one batch of a stream: deliver, retry, split, give up. Pure: no clock, no I/O.
//!
//! The rules are those of <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html> and its
//! neighbours on partial batch responses and bisecting. Parts of a batch are settled strictly in order, so that
//! everything before the part in front is done and may be checkpointed.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

/// First pause before a retry; it doubles up to [`LAST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// AWS waits up to a minute; nobody rehearses for that long.
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// The failure settings of a mapping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    /// `MaximumRetryAttempts`; `None` is no limit.
    pub(crate) retries: Option<u32>,
    /// `MaximumRecordAgeInSeconds`; `None` is no limit.
    pub(crate) max_age_ms: Option<i64>,
    /// How long the stream keeps its records.
    pub(crate) retention_ms: Option<i64>,
    /// `BisectBatchOnFunctionError`.
    pub(crate) bisect: bool,
}

/// What became of one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchResult {
    /// All records are done.
    Done,
    /// None is.
    Failed,
    /// Those before this index of the batch are.
    FailedFrom(usize),
    /// The function was not reached (throttled): no attempt is used up.
    NotDelivered,
}

/// Why records are given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    RetryAttemptsExhausted,
    RecordAgeExceeded,
    /// The stream no longer has them: nothing is left that an on-failure record could point to.
    Expired,
}

/// Records that are given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Discard {
    pub(crate) records: Range<usize>,
    pub(crate) condition: Condition,
    /// How often they were delivered.
    pub(crate) deliveries: u32,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NextAction {
    /// Wait so long, then ask again.
    Pause(Duration),
    /// Deliver these records, then say with which result.
    Deliver(Range<usize>),
    /// Report these as given up; they are settled.
    Discard(Discard),
    /// Nothing is left.
    Finished,
}

/// Records that go on together.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SubBatch {
    records: Range<usize>,
    /// Failed attempts that count.
    failures: u32,
    /// Times that these records reached the function.
    deliveries: u32,
    /// Failures and throttles since the last change, for the pause.
    setbacks: u32,
    pause: Option<Duration>,
    given_up: bool,
}

impl SubBatch {
    fn part(&self, records: Range<usize>) -> Self {
        Self { records, setbacks: 0, pause: None, ..self.clone() }
    }

    fn set_back(&mut self) {
        self.pause = Some(FIRST_PAUSE.saturating_mul(1 << self.setbacks.min(10)).min(LAST_PAUSE));
        self.setbacks = self.setbacks.saturating_add(1);
    }
}

/// One batch on its way.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    policy: Policy,
    /// Arrival of each record in milliseconds; never decreases within a shard.
    arrivals: Vec<i64>,
    sub_batches: VecDeque<SubBatch>,
}

impl Batch {
    pub(crate) fn new(policy: Policy, arrivals: Vec<i64>) -> Self {
        let whole = SubBatch {
            records: 0..arrivals.len(),
            failures: 0,
            deliveries: 0,
            setbacks: 0,
            pause: None,
            given_up: false,
        };
        let sub_batches = if arrivals.is_empty() { VecDeque::new() } else { VecDeque::from([whole]) };
        Self { policy, arrivals, sub_batches }
    }

    /// How many records from the start are done or given up.
    pub(crate) fn settled(&self) -> usize {
        self.sub_batches.front().map_or(self.arrivals.len(), |sub_batch| sub_batch.records.start)
    }

    /// What to do at this time.
    pub(crate) fn step(&mut self, now_ms: i64) -> NextAction {
        let Some(sub_batch) = self.sub_batches.front_mut() else { return NextAction::Finished };
        if sub_batch.given_up {
            let (records, deliveries) = (sub_batch.records.clone(), sub_batch.deliveries);
            self.sub_batches.pop_front();
            return NextAction::Discard(Discard { records, condition: Condition::RetryAttemptsExhausted, deliveries });
        }
        for (limit, condition) in
            [(self.policy.retention_ms, Condition::Expired), (self.policy.max_age_ms, Condition::RecordAgeExceeded)]
        {
            let Some(limit) = limit else { continue };
            let old = self.arrivals[sub_batch.records.clone()]
                .iter()
                .take_while(|arrival| now_ms - **arrival > limit)
                .count();
            if old == 0 {
                continue;
            }
            let records = sub_batch.records.start..sub_batch.records.start + old;
            let deliveries = sub_batch.deliveries;
            sub_batch.records.start += old;
            if sub_batch.records.is_empty() {
                self.sub_batches.pop_front();
            }
            return NextAction::Discard(Discard { records, condition, deliveries });
        }
        match sub_batch.pause.take() {
            Some(pause) => NextAction::Pause(pause),
            None => NextAction::Deliver(sub_batch.records.clone()),
        }
    }

    /// Tells what became of the delivery that the last step asked for.
    pub(crate) fn tell(&mut self, result: BatchResult) {
        let Some(mut sub_batch) = self.sub_batches.pop_front() else { return };
        let records = sub_batch.records.clone();
        if result == BatchResult::NotDelivered {
            sub_batch.set_back();
            self.sub_batches.push_front(sub_batch);
            return;
        }
        sub_batch.deliveries += 1;
        match result {
            BatchResult::NotDelivered | BatchResult::Done => {}
            // The checkpoint moves up to the record that failed; with bisecting that is the split.
            BatchResult::FailedFrom(at) if records.start < at && at < records.end => {
                let rest = sub_batch.part(at..records.end);
                if self.policy.bisect {
                    self.sub_batches.push_front(rest);
                } else {
                    self.retry(rest);
                }
            }
            BatchResult::Failed | BatchResult::FailedFrom(_) if self.policy.bisect && records.len() > 1 => {
                let middle = records.start + records.len() / 2;
                self.sub_batches.push_front(sub_batch.part(middle..records.end));
                self.sub_batches.push_front(sub_batch.part(records.start..middle));
            }
            BatchResult::Failed | BatchResult::FailedFrom(_) => self.retry(sub_batch),
        }
    }

    fn retry(&mut self, mut sub_batch: SubBatch) {
        sub_batch.failures += 1;
        if self.policy.retries.is_some_and(|retries| sub_batch.failures > retries) {
            sub_batch.given_up = true;
        } else {
            // A part that shrank keeps its attempts, and so its pace.
            sub_batch.setbacks = sub_batch.setbacks.max(sub_batch.failures - 1);
            sub_batch.set_back();
        }
        self.sub_batches.push_front(sub_batch);
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
