//! What to do next with one batch of a stream: deliver, retry, split, give up. Pure: no clock, no I/O.
//!
//! The rules are those of <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html> and its
//! neighbours on partial batch responses and bisecting. Pieces of a batch are settled strictly in order, so that
//! everything before the piece in front is done and may be checkpointed.

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
pub(crate) enum Verdict {
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
pub(crate) enum Step {
    /// Wait so long, then ask again.
    Pause(Duration),
    /// Deliver these records, then tell the verdict.
    Deliver(Range<usize>),
    /// Report these as given up; they are settled.
    Discard(Discard),
    /// Nothing is left.
    Finished,
}

/// Records that go on together.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
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

impl Piece {
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
    pieces: VecDeque<Piece>,
}

impl Batch {
    pub(crate) fn new(policy: Policy, arrivals: Vec<i64>) -> Self {
        let whole =
            Piece { records: 0..arrivals.len(), failures: 0, deliveries: 0, setbacks: 0, pause: None, given_up: false };
        let pieces = if arrivals.is_empty() { VecDeque::new() } else { VecDeque::from([whole]) };
        Self { policy, arrivals, pieces }
    }

    /// How many records from the start are done or given up.
    pub(crate) fn settled(&self) -> usize {
        self.pieces.front().map_or(self.arrivals.len(), |piece| piece.records.start)
    }

    /// What to do at this time.
    pub(crate) fn step(&mut self, now_ms: i64) -> Step {
        let Some(piece) = self.pieces.front_mut() else { return Step::Finished };
        if piece.given_up {
            let (records, deliveries) = (piece.records.clone(), piece.deliveries);
            self.pieces.pop_front();
            return Step::Discard(Discard { records, condition: Condition::RetryAttemptsExhausted, deliveries });
        }
        for (limit, condition) in
            [(self.policy.retention_ms, Condition::Expired), (self.policy.max_age_ms, Condition::RecordAgeExceeded)]
        {
            let Some(limit) = limit else { continue };
            let old =
                self.arrivals[piece.records.clone()].iter().take_while(|arrival| now_ms - **arrival > limit).count();
            if old == 0 {
                continue;
            }
            let records = piece.records.start..piece.records.start + old;
            let deliveries = piece.deliveries;
            piece.records.start += old;
            if piece.records.is_empty() {
                self.pieces.pop_front();
            }
            return Step::Discard(Discard { records, condition, deliveries });
        }
        match piece.pause.take() {
            Some(pause) => Step::Pause(pause),
            None => Step::Deliver(piece.records.clone()),
        }
    }

    /// Tells what became of the delivery that the last step asked for.
    pub(crate) fn tell(&mut self, verdict: Verdict) {
        let Some(mut piece) = self.pieces.pop_front() else { return };
        let records = piece.records.clone();
        if verdict == Verdict::NotDelivered {
            piece.set_back();
            self.pieces.push_front(piece);
            return;
        }
        piece.deliveries += 1;
        match verdict {
            Verdict::NotDelivered | Verdict::Done => {}
            // The checkpoint moves up to the record that failed; with bisecting that is the split.
            Verdict::FailedFrom(at) if records.start < at && at < records.end => {
                let rest = piece.part(at..records.end);
                if self.policy.bisect {
                    self.pieces.push_front(rest);
                } else {
                    self.retry(rest);
                }
            }
            Verdict::Failed | Verdict::FailedFrom(_) if self.policy.bisect && records.len() > 1 => {
                let middle = records.start + records.len() / 2;
                self.pieces.push_front(piece.part(middle..records.end));
                self.pieces.push_front(piece.part(records.start..middle));
            }
            Verdict::Failed | Verdict::FailedFrom(_) => self.retry(piece),
        }
    }

    fn retry(&mut self, mut piece: Piece) {
        piece.failures += 1;
        if self.policy.retries.is_some_and(|retries| piece.failures > retries) {
            piece.given_up = true;
        } else {
            // A piece that shrank keeps its attempts, and so its pace.
            piece.setbacks = piece.setbacks.max(piece.failures - 1);
            piece.set_back();
        }
        self.pieces.push_front(piece);
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
