//! StreamSender to a stream: full batches, several calls at a time.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::LONG_LINES_NAMED;
use super::pace::Pace;
use super::source::{Next, Source};
use super::summary::Summary;
use crate::aws::AwsError;
use crate::interrupt::Interrupt;
use crate::producer::{Batch, Producer, PutResult, RECORD_BYTES};
use crate::report::{Bar, Reporter};

/// How many calls are under way at once: enough to keep several shards busy.
const CALLS: usize = 8;
/// How long an event may wait for others to share its call.
const FLUSH: Duration = Duration::from_millis(100);
/// A batch that is being sent, and for each of its events whether the recipe rejects it.
type Call = (Batch, Vec<bool>);

/// Sends the events of a source to a stream.
pub(super) struct StreamSender<'a> {
    producer: Producer,
    reporter: &'a Reporter,
    bar: Bar,
    source: Source,
    pace: Option<Pace>,
    /// How many events are still to be made; none for as many as come.
    left: Option<u64>,
    batch: Batch,
    /// For each event of the batch, whether the recipe rejects it.
    poison: Vec<bool>,
    /// When the batch is sent although it is not full.
    flush: Instant,
    /// A batch that waits for a call to end.
    waiting: Option<Call>,
    calls: JoinSet<(Call, PutResult, Duration)>,
    summary: Summary,
    long_lines: u64,
    error: Option<AwsError>,
}

impl<'a> StreamSender<'a> {
    /// Sends up to `count` events, or all that the source has, at this pace. `summary` is what is known before the first.
    pub(super) fn new(
        producer: Producer,
        source: Source,
        count: Option<u64>,
        pace: Option<Pace>,
        summary: Summary,
        reporter: &'a Reporter,
    ) -> Self {
        Self {
            producer,
            reporter,
            bar: reporter.bar(count, "sending"),
            source,
            pace,
            left: count,
            batch: Batch::default(),
            poison: Vec::new(),
            flush: Instant::now(),
            waiting: None,
            calls: JoinSet::new(),
            summary,
            long_lines: 0,
            error: None,
        }
    }

    /// Sends until the source ends, time is up, the user interrupts or the stream refuses a batch. Returns what was sent, and
    /// the errors of the source and of the stream.
    pub(super) async fn send(
        mut self,
        end: Option<Instant>,
        interrupt: Interrupt,
    ) -> (Summary, std::io::Result<()>, Option<AwsError>) {
        let read = self.run(end, interrupt).await;
        self.bar.finish_and_clear();
        (self.summary, read, self.error)
    }

    /// Sends, then waits for the calls that are under way.
    async fn run(&mut self, end: Option<Instant>, mut interrupt: Interrupt) -> std::io::Result<()> {
        let mut result = Ok(());
        let mut open = true;
        loop {
            open &= self.left != Some(0) && self.error.is_none();
            if self.error.is_some() {
                self.batch = Batch::default();
                self.waiting = None;
            }
            if !open && self.waiting.is_none() {
                self.close_batch();
            }
            if self.calls.len() < CALLS
                && let Some((batch, poison)) = self.waiting.take()
            {
                let producer = self.producer.clone();
                self.calls.spawn(async move {
                    let began = Instant::now();
                    let put = producer.put(&batch).await;
                    ((batch, poison), put, began.elapsed())
                });
            }
            if !open && self.calls.is_empty() {
                return result;
            }
            let makes = open && self.waiting.is_none();
            tokio::select! {
                biased;
                Some(ended) = self.calls.join_next() => {
                    let (call, put, took) = ended.expect("a call neither panics nor is aborted");
                    self.count(&call, put, took);
                }
                () = interrupt.changed(), if open => open = false,
                () = sleep_until(end.unwrap_or(self.flush)), if open && end.is_some() => open = false,
                () = sleep_until(self.flush), if makes && !self.batch.is_empty() => self.close_batch(),
                next = next(self.pace.as_ref(), &mut self.source), if makes => {
                    let taken = next.and_then(|next| self.take_all(next));
                    open = *taken.as_ref().unwrap_or(&false);
                    result = taken.map(drop);
                }
            }
        }
    }

    /// Takes an event, and those that are there already, up to the end of their batch: calls that are under way go on meanwhile. False
    /// at the source's end.
    fn take_all(&mut self, first: Next) -> std::io::Result<bool> {
        let mut open = self.take(first);
        while open && self.waiting.is_none() && self.left != Some(0) {
            if self.pace.as_ref().is_some_and(|pace| pace.due() > Instant::now()) {
                break;
            }
            match self.source.ready() {
                Some(next) => open = self.take(next?),
                None => break,
            }
        }
        Ok(open)
    }

    /// False at the source's end.
    fn take(&mut self, next: Next) -> bool {
        match next {
            Next::End => return false,
            Next::TooLong { line, bytes } => {
                self.summary.failed += 1;
                self.long_lines += 1;
                if self.long_lines <= LONG_LINES_NAMED {
                    let more = if self.long_lines == LONG_LINES_NAMED { "; more of them are only counted" } else { "" };
                    let error = format!(
                        "line {line} is not sent: {bytes} bytes, and a record with its key may have {RECORD_BYTES}{more}"
                    );
                    self.bar.suspend(|| self.reporter.error(&anyhow::anyhow!(error)));
                }
            }
            Next::Event { event, poison, json } => {
                if let (Some(not_json), false) = (&mut self.summary.not_json, json) {
                    *not_json += 1;
                }
                if let Some(pace) = &mut self.pace {
                    pace.took(Instant::now());
                }
                if let Err(event) = self.batch.push(event) {
                    self.close_batch();
                    self.batch.push(event).expect("an empty batch takes any event");
                }
                if self.poison.is_empty() {
                    self.flush = Instant::now() + FLUSH;
                }
                self.poison.push(poison);
                if self.batch.is_full() {
                    self.close_batch();
                }
            }
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        true
    }

    /// Hands the batch over to the next call that is free. Nothing may be waiting for that already.
    fn close_batch(&mut self) {
        if !self.batch.is_empty() {
            self.waiting = Some((std::mem::take(&mut self.batch), std::mem::take(&mut self.poison)));
        }
    }

    fn count(&mut self, (batch, poison): &Call, put: PutResult, took: Duration) {
        self.summary.retried += put.retried;
        if let Some(timeline) = &mut self.summary.timeline {
            let sent = put.positions.iter().flatten().count();
            timeline.note(Instant::now(), u64::try_from(sent).unwrap_or(u64::MAX), took);
        }
        for ((event, poison), place) in batch.events().iter().zip(poison).zip(&put.positions) {
            if place.is_none() {
                self.summary.failed += 1;
                continue;
            }
            self.summary.sent += 1;
            if let Some(rejected) = &mut self.summary.poison {
                *rejected += u64::from(*poison);
            }
            self.summary.bytes += u64::try_from(event.data.len()).unwrap_or(u64::MAX);
        }
        self.bar.set_position(self.summary.sent + self.summary.failed);
        if self.error.is_none() {
            self.error = put.error;
        }
    }
}

/// The next event, when its time has come. Dropping the future loses nothing.
async fn next(pace: Option<&Pace>, source: &mut Source) -> std::io::Result<Next> {
    if let Some(pace) = pace
        && pace.due() > Instant::now()
    {
        sleep_until(pace.due()).await;
    }
    source.next().await
}
