//! The worker of a shard: reads the shard (or one parallel part of it) ahead, forms batches, and takes each to its end, in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use streamkit_wire::clock;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::batch::{Batch, BatchResult, Condition, Discard, NextAction, Policy};
use super::checkpoints::WorkerId;
use super::on_failure::{self, About, Delivery, ENVELOPE};
use super::partial;
use super::settings::Settings;
use super::source::{Page, Reader, Record};
use super::state::Mapping;
use super::window::{self, ReturnedState, Window, WindowInvocation};
use crate::Engine;
use crate::invocation::invoke::{Event, NotInvoked, Outcome};

/// Pauses between reads that find nothing: short right after a record, longer the longer there is none.
const MIN_IDLE_PAUSE: Duration = Duration::from_millis(5);
const MAX_IDLE_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause after a read that failed.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(5);
/// Least records to ask for: small batches are cut from bigger reads.
const LEAST_READ: usize = 1000;
/// A batch closes at so many bytes of payload.
pub(crate) const MAX_PAYLOAD: usize = 6 * 1024 * 1024;

/// A window closes so long after its end: what arrived before may not have been read yet.
const LATE_MS: i64 = 1000;

/// What all workers of a running mapping share.
pub(crate) struct Shared {
    pub(crate) engine: Arc<Engine>,
    pub(crate) mapping: Arc<Mapping>,
    pub(crate) settings: Arc<Settings>,
    /// How long the stream keeps its records; 0 while that is not known.
    pub(crate) retention_ms: AtomicI64,
    pub(crate) stop: CancellationToken,
}

/// A worker that runs.
pub(crate) struct ShardWorker {
    shared: Arc<Shared>,
    id: WorkerId,
    pages: mpsc::Receiver<Page>,
    waiting: VecDeque<Record>,
    /// Last record that was read into `waiting` or left out of it.
    through: Option<String>,
    finished: bool,
}

impl ShardWorker {
    /// Works until the shard is finished (`true`) or the mapping stops.
    pub(crate) async fn run(shared: Arc<Shared>, id: WorkerId, reader: impl Reader) -> bool {
        // One page ahead of the one that is worked on, and no more: memory stays bounded.
        let (sender, pages) = mpsc::channel(1);
        // It ends with this worker, even if that panics.
        let _reading = AbortOnDropHandle::new(tokio::spawn(read_ahead(Arc::clone(&shared), reader, sender)));
        let mut worker = Self { shared, id, pages, waiting: VecDeque::new(), through: None, finished: false };
        loop {
            let Some(records) = worker.next_batch().await else {
                return worker.finished && worker.close_window(WindowInvocation::Final).await;
            };
            if !worker.enter_window(&records).await || !worker.deliver(records).await {
                return false;
            }
            worker.checkpoint_gap();
        }
    }

    /// The next batch; `None` when there will be none.
    async fn next_batch(&mut self) -> Option<Vec<Record>> {
        while self.waiting.is_empty() {
            if self.finished || !self.more_or_close().await {
                return None;
            }
            self.checkpoint_gap();
        }
        let window = self.shared.settings.window;
        let closes = Instant::now() + window;
        while !self.full() && !self.finished {
            if window.is_zero() {
                let Ok(page) = self.pages.try_recv() else { break };
                self.take(page);
            } else {
                let Ok(more) = tokio::time::timeout_at(closes, self.more()).await else { break };
                if !more {
                    // The mapping stops: what was gathered is read again when it goes on.
                    self.finished = false;
                    return None;
                }
            }
        }
        let (mut bytes, mut count) = (self.envelope(), 0);
        for record in self.waiting.iter().take(self.shared.settings.batch_size) {
            bytes += record.json.len() + 1;
            // A single record that is too big is a batch of its own, which the function then refuses.
            if bytes > MAX_PAYLOAD && count > 0 {
                break;
            }
            count += 1;
        }
        if let Some(length_ms) = self.shared.settings.tumbling_ms() {
            count = window::in_same_window(self.waiting.iter().take(count), length_ms);
        }
        Some(self.waiting.drain(..count).collect())
    }

    /// Bytes of the next event besides its records.
    fn envelope(&self) -> usize {
        ENVELOPE + self.members(WindowInvocation::Records).len()
    }

    fn full(&self) -> bool {
        self.waiting.len() >= self.shared.settings.batch_size
            || self.waiting.iter().map(|record| record.json.len() + 1).sum::<usize>() + self.envelope() >= MAX_PAYLOAD
    }

    /// Waits for one more page; `false` when the mapping stops.
    async fn more(&mut self) -> bool {
        let page = tokio::select! {
            page = self.pages.recv() => page,
            () = self.shared.stop.cancelled() => None,
        };
        page.map(|page| self.take(page)).is_some()
    }

    fn take(&mut self, page: Page) {
        self.finished |= page.finished;
        self.shared.mapping_count("PolledEventCount", page.records.len() + page.filtered_out);
        self.shared.mapping_count("FilteredOutEventCount", page.filtered_out);
        self.waiting.extend(page.records);
        self.through = page.through.or(self.through.take());
    }

    /// Records of other workers, behind the last of ours, count as settled.
    fn checkpoint_gap(&mut self) {
        if self.waiting.is_empty()
            && let Some(through) = self.through.take()
        {
            self.shared.mapping.checkpoints().advance(&self.id, &through);
        }
    }

    /// Takes one batch to its end; `false` when the mapping stops before.
    async fn deliver(&self, records: Vec<Record>) -> bool {
        let Shared { mapping, stop, .. } = &*self.shared;
        let mut batch = Batch::new(self.policy(), records.iter().map(|record| record.arrival_ms).collect());
        let mut last: Option<Delivery> = None;
        loop {
            match batch.step(clock::now_ms()) {
                NextAction::Pause(pause) if !self.pause(pause).await => return false,
                NextAction::Finished | NextAction::Pause(_) => {}
                NextAction::Deliver(_) if stop.is_cancelled() => return false,
                NextAction::Deliver(range) => {
                    let (result, delivery) = self.invoke(range.start, &records[range.clone()]).await;
                    last = delivery.or(last);
                    mapping.result(processing_result(result));
                    batch.tell(result);
                }
                NextAction::Discard(discard) => {
                    let delivery = last.as_ref().filter(|_| discard.deliveries > 0);
                    self.give_up(&discard, &records[discard.records.clone()], delivery).await;
                }
            }
            let settled = batch.settled();
            if let Some(record) = settled.checked_sub(1).and_then(|at| records.get(at)) {
                mapping.checkpoints().advance(&self.id, &record.sequence);
            }
            if settled == records.len() {
                return true;
            }
        }
    }

    /// Waits; `false` when the mapping stops before.
    async fn pause(&self, pause: Duration) -> bool {
        self.shared.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some()
    }

    fn policy(&self) -> Policy {
        let settings = &self.shared.settings;
        let retention_ms = self.shared.retention_ms.load(Ordering::Relaxed);
        Policy {
            retries: settings.max_retries,
            max_age_ms: settings.max_age_seconds.map(|seconds| i64::from(seconds) * 1000),
            retention_ms: (retention_ms > 0).then_some(retention_ms),
            bisect: settings.bisect,
        }
    }

    /// Invokes the function on an event; `None` when that did not reach it. The outcome is that of a success only.
    async fn run_function(&self, records: &[Record], turn: WindowInvocation) -> Option<(Delivery, Option<Outcome>)> {
        let Shared { engine, settings, .. } = &*self.shared;
        let target = engine.invoked(&settings.function_arn).ok()?;
        let event = Event::new(Bytes::from(self.event(records, turn)));
        let request_id = event.request_id.clone();
        let outcome = match engine.run(&target, event).await {
            Err(NotInvoked::Throttled | NotInvoked::Pending | NotInvoked::Gone) => return None,
            Err(NotInvoked::TooLarge) => None,
            Ok(outcome) => Some(outcome).filter(|outcome| !outcome.failed),
        };
        Some((Delivery { request_id, function_error: outcome.is_none(), version: target.version.name() }, outcome))
    }

    /// Delivers these records, the first of which has this number in its batch.
    async fn invoke(&self, first: usize, records: &[Record]) -> (BatchResult, Option<Delivery>) {
        let Shared { engine, settings, .. } = &*self.shared;
        let Some((delivery, outcome)) = self.run_function(records, WindowInvocation::Records).await else {
            return (BatchResult::NotDelivered, None);
        };
        if let Some(last) = records.last() {
            let age = u32::try_from((clock::now_ms() - last.arrival_ms).max(0)).unwrap_or(u32::MAX);
            engine.metrics.function(&settings.function, "IteratorAge", "Milliseconds", f64::from(age));
        }
        self.shared.mapping_count("InvokedEventCount", records.len());
        let mut window = self.window();
        let given = match (&outcome, &mut window) {
            (Some(outcome), Some(window)) => window.take_state(&outcome.payload),
            _ => ReturnedState::State,
        };
        let result = match &outcome {
            Some(outcome) if given != ReturnedState::Nothing && settings.report_item_failures => {
                partial::result(&outcome.payload, first, records.iter().map(|record| record.sequence.as_str()))
            }
            Some(_) if given != ReturnedState::Nothing => BatchResult::Done,
            _ => BatchResult::Failed,
        };
        let failed = match result {
            BatchResult::Failed => records.len(),
            BatchResult::FailedFrom(at) => first + records.len() - at,
            BatchResult::Done | BatchResult::NotDelivered => 0,
        };
        self.shared.mapping_count("FailedInvokeEventCount", failed);
        // A batch that failed as a whole is tried again with the state that it had.
        if window.is_some() && failed < records.len() {
            self.set_window(window);
            if given == ReturnedState::TooLarge {
                self.close_window(WindowInvocation::TooLarge).await;
            }
        }
        (result, Some(delivery))
    }

    async fn give_up(&self, discard: &Discard, records: &[Record], delivery: Option<&Delivery>) {
        let Shared { engine, mapping, settings, .. } = &*self.shared;
        let role = engine.named(&settings.function_arn).map(|target| target.version.settings.role.clone());
        let about = About {
            function_arn: &settings.function_arn,
            // Without its function nothing is sent.
            role: role.as_deref().unwrap_or_default(),
            stream_arn: &settings.source_arn,
            shard: &self.id.0,
            mapping: &mapping.uuid,
            kind: settings.kind,
        };
        let destination = settings.on_failure.as_ref().filter(|_| discard.condition != Condition::Expired);
        let delivered = match destination {
            Some(destination) => on_failure::send(engine, destination, &about, discard, records, delivery).await,
            None => false,
        };
        if !delivered && destination.is_some() {
            engine.metrics.function(&settings.function, "DestinationDeliveryFailures", "Count", 1.0);
        }
        let count = if delivered { "OnFailureDestinationDeliveredEventCount" } else { "DroppedEventCount" };
        self.shared.mapping_count(count, records.len());
    }
}

/// Tumbling windows.
impl ShardWorker {
    fn window(&self) -> Option<Window> {
        self.shared.settings.tumbling_ms()?;
        self.shared.mapping.checkpoints().window(&self.id)
    }

    fn set_window(&self, window: Option<Window>) {
        self.shared.mapping.checkpoints().set_window(&self.id, window);
    }

    /// What the event says of the window.
    fn members(&self, turn: WindowInvocation) -> String {
        self.window()
            .map_or_else(String::new, |window| window.members(turn, &self.id.0, &self.shared.settings.source_arn))
    }

    fn event(&self, records: &[Record], turn: WindowInvocation) -> String {
        let mut event = on_failure::event(records);
        event.insert_str(event.len() - 1, &self.members(turn));
        event
    }

    /// Opens the window of a batch, after closing the one before; `false` when the mapping stops.
    async fn enter_window(&self, records: &[Record]) -> bool {
        let (Some(length_ms), Some(first)) = (self.shared.settings.tumbling_ms(), records.first()) else { return true };
        if self.window().is_some_and(|open| open.length_ms == length_ms && open.holds(first.arrival_ms)) {
            return true;
        }
        if !self.close_window(WindowInvocation::Final).await {
            return false;
        }
        self.set_window(Some(Window::around(first.arrival_ms, length_ms)));
        true
    }

    /// Waits for one more page, and meanwhile closes the window whose time is over; `false` when the mapping stops.
    async fn more_or_close(&mut self) -> bool {
        while let Some(open) = self.window() {
            let left_ms = open.end_ms() + LATE_MS - clock::now_ms();
            let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
            match tokio::time::timeout(left, self.more()).await {
                Ok(more) => return more,
                Err(_) if !self.close_window(WindowInvocation::Final).await => return false,
                Err(_) => {}
            }
        }
        self.more().await
    }

    /// The last invocation of the open window, tried again until it succeeds, or of the state that it cannot keep, tried again like
    /// a batch; `false` when the mapping stops before.
    async fn close_window(&self, turn: WindowInvocation) -> bool {
        let Some(open) = self.window() else { return true };
        let Shared { mapping, stop, .. } = &*self.shared;
        // AWS suspends a shard until its window is closed: retries and ages are those of records, of which there are none.
        let policy = match turn {
            WindowInvocation::Final => Policy { retries: None, max_age_ms: None, retention_ms: None, bisect: false },
            WindowInvocation::Records | WindowInvocation::TooLarge => self.policy(),
        };
        let mut attempts = Batch::new(policy, vec![clock::now_ms()]);
        loop {
            match attempts.step(clock::now_ms()) {
                NextAction::Finished => break,
                NextAction::Pause(pause) if !self.pause(pause).await => return false,
                NextAction::Deliver(_) if stop.is_cancelled() => return false,
                NextAction::Deliver(_) => {
                    let result = match self.run_function(&[], turn).await {
                        None => BatchResult::NotDelivered,
                        Some((_, Some(outcome)))
                            if open.clone().take_state(&outcome.payload) != ReturnedState::Nothing =>
                        {
                            BatchResult::Done
                        }
                        Some(_) => BatchResult::Failed,
                    };
                    mapping.result(processing_result(result));
                    attempts.tell(result);
                }
                // Given up: its records were processed long ago.
                NextAction::Pause(_) | NextAction::Discard(_) => {}
            }
        }
        // A window that ended early goes on, with a state that is empty again.
        self.set_window((turn == WindowInvocation::TooLarge).then(|| Window::around(open.start_ms, open.length_ms)));
        true
    }
}

/// `LastProcessingResult` after such a delivery.
fn processing_result(result: BatchResult) -> &'static str {
    match result {
        BatchResult::Done => "OK",
        BatchResult::NotDelivered => "PROBLEM: Function call was throttled or the function is missing",
        BatchResult::Failed | BatchResult::FailedFrom(_) => "PROBLEM: Function call failed",
    }
}

impl Shared {
    pub(crate) fn mapping_count(&self, name: &str, count: usize) {
        if self.settings.metrics == Some(true) && count > 0 {
            let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
            self.engine.metrics.mapping(&self.mapping.uuid, name, count);
        }
    }
}

/// Reads page after page for one worker.
async fn read_ahead(shared: Arc<Shared>, mut reader: impl Reader, pages: mpsc::Sender<Page>) {
    let limit = shared.settings.batch_size.max(LEAST_READ);
    let mut pause = MIN_IDLE_PAUSE;
    while let Ok(room) = pages.reserve().await {
        match reader.read(limit).await {
            Ok(mut page) if !page.records.is_empty() || page.through.is_some() || page.finished => {
                let all = page.records.len();
                page.records.retain(|record| !record.filtered);
                page.filtered_out = all - page.records.len();
                let finished = page.finished;
                room.send(page);
                if finished {
                    return;
                }
                pause = MIN_IDLE_PAUSE;
                continue;
            }
            Ok(_) => pause = (pause * 2).min(MAX_IDLE_PAUSE),
            Err(error) => {
                shared.mapping.result(&format!("PROBLEM: {error}"));
                pause = (pause * 2).min(MAX_RETRY_PAUSE);
            }
        }
        drop(room);
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
#[path = "shard_worker_tests.rs"]
mod tests;
