//! One lane: reads one shard (or one parallel part of it) ahead, forms batches, and takes each to its end, in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch::{Batch, Condition, Discard, Policy, Step, Verdict};
use super::checkpoints::LaneId;
use super::on_failure::{self, About, Delivery, ENVELOPE};
use super::settings::Settings;
use super::source::{Page, Reader, Record};
use super::{Mapping, partial};
use crate::clock;
use crate::lambda::Engine;
use crate::lambda::invoke::{Event, Refusal};

/// Pauses between reads that find nothing: short right after a record, longer the longer there is none.
const FIRST_IDLE: Duration = Duration::from_millis(5);
const LAST_IDLE: Duration = Duration::from_millis(200);
/// Longest pause after a read that failed.
const LAST_TROUBLE: Duration = Duration::from_secs(5);
/// Least records to ask for: small batches are cut from bigger reads.
const LEAST_READ: usize = 1000;
/// A batch closes at so many bytes of payload.
const MAX_PAYLOAD: usize = 6 * 1024 * 1024;

/// What all lanes of a running mapping share.
pub(crate) struct Shared {
    pub(crate) engine: Arc<Engine>,
    pub(crate) mapping: Arc<Mapping>,
    pub(crate) settings: Arc<Settings>,
    /// How long the stream keeps its records; 0 while that is not known.
    pub(crate) retention_ms: AtomicI64,
    pub(crate) stop: CancellationToken,
}

/// One lane at work.
pub(crate) struct Lane {
    shared: Arc<Shared>,
    id: LaneId,
    pages: mpsc::Receiver<Page>,
    waiting: VecDeque<Record>,
    /// Last record that was read into `waiting` or left out of it.
    through: Option<String>,
    finished: bool,
}

impl Lane {
    /// Works until the shard is finished (`true`) or the mapping stops.
    pub(crate) async fn run(shared: Arc<Shared>, id: LaneId, reader: impl Reader) -> bool {
        // One page ahead of the one that is worked on, and no more: memory stays bounded.
        let (sender, pages) = mpsc::channel(1);
        let reading = tokio::spawn(read_ahead(Arc::clone(&shared), id.clone(), reader, sender));
        let mut lane = Self { shared, id, pages, waiting: VecDeque::new(), through: None, finished: false };
        let finished = loop {
            let Some(records) = lane.next_batch().await else { break lane.finished };
            if !lane.deliver(records).await {
                break false;
            }
            lane.checkpoint_gap();
        };
        reading.abort();
        finished
    }

    /// The next batch; `None` when there will be none.
    async fn next_batch(&mut self) -> Option<Vec<Record>> {
        while self.waiting.is_empty() {
            if self.finished || !self.more().await {
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
        let (mut bytes, mut count) = (ENVELOPE, 0);
        for record in self.waiting.iter().take(self.shared.settings.batch_size) {
            bytes += record.json.len() + 1;
            // A single record that is too big is a batch of its own, which the function then refuses.
            if bytes > MAX_PAYLOAD && count > 0 {
                break;
            }
            count += 1;
        }
        Some(self.waiting.drain(..count).collect())
    }

    fn full(&self) -> bool {
        self.waiting.len() >= self.shared.settings.batch_size
            || self.waiting.iter().map(|record| record.json.len() + 1).sum::<usize>() + ENVELOPE >= MAX_PAYLOAD
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
        self.shared.mapping_count("PolledEventCount", page.records.len());
        self.waiting.extend(page.records);
        self.through = page.through.or(self.through.take());
    }

    /// Records of other lanes, behind the last of ours, count as settled.
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
                Step::Finished => {}
                Step::Pause(pause) => {
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = stop.cancelled() => return false,
                    }
                }
                Step::Deliver(_) if stop.is_cancelled() => return false,
                Step::Deliver(range) => {
                    let (verdict, delivery) = self.invoke(range.start, &records[range.clone()]).await;
                    last = delivery.or(last);
                    mapping.result(match verdict {
                        Verdict::Done => "OK",
                        Verdict::NotDelivered => "PROBLEM: Function call was throttled or the function is missing",
                        Verdict::Failed | Verdict::FailedFrom(_) => "PROBLEM: Function call failed",
                    });
                    batch.tell(verdict);
                }
                Step::Discard(discard) => {
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

    /// Invokes the function with these records, the first of which has this number in its batch.
    async fn invoke(&self, first: usize, records: &[Record]) -> (Verdict, Option<Delivery>) {
        let Shared { engine, settings, .. } = &*self.shared;
        let Some(function) = engine.functions().get(&settings.function).cloned() else {
            return (Verdict::NotDelivered, None);
        };
        let event = Event::new(Bytes::from(on_failure::event(records)));
        let request_id = event.request_id.clone();
        let result = engine.run(&function, event).await;
        if matches!(result, Err(Refusal::Throttled | Refusal::Gone)) {
            return (Verdict::NotDelivered, None);
        }
        if let Some(last) = records.last() {
            let age = u32::try_from((clock::now_ms() - last.arrival_ms).max(0)).unwrap_or(u32::MAX);
            engine.metrics.function(&function.name, "IteratorAge", "Milliseconds", f64::from(age));
        }
        self.shared.mapping_count("InvokedEventCount", records.len());
        let function_error = result.as_ref().map_or(true, |outcome| outcome.failed);
        let verdict = match result {
            Ok(outcome) if !outcome.failed && settings.report_item_failures => {
                partial::verdict(&outcome.payload, first, records.iter().map(|record| record.sequence.as_str()))
            }
            Ok(outcome) if !outcome.failed => Verdict::Done,
            _ => Verdict::Failed,
        };
        let failed = match verdict {
            Verdict::Failed => records.len(),
            Verdict::FailedFrom(at) => first + records.len() - at,
            Verdict::Done | Verdict::NotDelivered => 0,
        };
        self.shared.mapping_count("FailedInvokeEventCount", failed);
        (verdict, Some(Delivery { request_id, function_error }))
    }

    async fn give_up(&self, discard: &Discard, records: &[Record], delivery: Option<&Delivery>) {
        let Shared { engine, mapping, settings, .. } = &*self.shared;
        let about = About {
            function_arn: &settings.function_arn,
            stream_arn: &settings.source_arn,
            shard: &self.id.0,
            mapping: &mapping.uuid,
            info: "KinesisBatchInfo",
        };
        let delivered = match &settings.on_failure {
            Some(destination) if discard.condition != Condition::Expired => {
                on_failure::send(&engine.backplane, destination, &about, discard, records, delivery).await
            }
            _ => false,
        };
        let count = if delivered { "OnFailureDestinationDeliveredEventCount" } else { "DroppedEventCount" };
        self.shared.mapping_count(count, records.len());
    }
}

impl Shared {
    fn mapping_count(&self, name: &str, count: usize) {
        if self.settings.metrics == Some(true) && count > 0 {
            let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
            self.engine.metrics.mapping(&self.mapping.uuid, name, count);
        }
    }
}

/// Reads page after page for one lane.
async fn read_ahead(shared: Arc<Shared>, id: LaneId, mut reader: impl Reader, pages: mpsc::Sender<Page>) {
    let lanes = u64::from(shared.settings.parallelization);
    let limit = shared.settings.batch_size.max(LEAST_READ);
    let mut pause = FIRST_IDLE;
    while let Ok(room) = pages.reserve().await {
        match reader.read(limit).await {
            Ok(mut page) if !page.records.is_empty() || page.through.is_some() || page.finished => {
                page.records.retain(|record| record.key_hash % lanes == u64::from(id.1));
                let finished = page.finished;
                room.send(page);
                if finished {
                    return;
                }
                pause = FIRST_IDLE;
                continue;
            }
            Ok(_) => pause = (pause * 2).min(LAST_IDLE),
            Err(error) => {
                shared.mapping.result(&format!("PROBLEM: {error}"));
                pause = (pause * 2).min(LAST_TROUBLE);
            }
        }
        drop(room);
        tokio::time::sleep(pause).await;
    }
}
