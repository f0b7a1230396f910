//! Log lines of functions on their way to `CloudWatch` Logs, written in batches.

use std::collections::{HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use parking_lot::{Mutex, MutexGuard};
use streamkit_wire::CallError;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::ports::{LogEvent, Ports};

/// How long lines wait for company.
const FLUSH_DELAY: Duration = Duration::from_millis(20);
/// `PutLogEvents` takes 10,000 events and 1 MiB a call; each event counts 26 bytes more than its text.
const MAX_EVENTS: usize = 10_000;
const MAX_BYTES: usize = 1_048_576;
const EVENT_OVERHEAD: usize = 26;
/// Longest text of one event; a longer line is cut into several.
pub(crate) const MAX_LINE: usize = 262_144 - EVENT_OVERHEAD;
/// A process that writes faster than the log takes loses its oldest lines: memory is bounded.
const MAX_WAITING: usize = 64 * 1024 * 1024;

/// Where the lines of one process go.
#[derive(Debug, Clone)]
pub(crate) struct LogStream {
    /// The function's role, which must be allowed to write there.
    pub(crate) role: Arc<str>,
    /// Region and account, as in ARNs.
    pub(crate) place: Arc<str>,
    pub(crate) group: Arc<str>,
    pub(crate) stream: Arc<str>,
    /// Cancelled when the function is deleted: from then on its group is not made again.
    pub(crate) function_gone: CancellationToken,
}

struct Line {
    to: LogStream,
    time_ms: i64,
    text: String,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Line>,
    bytes: usize,
}

/// The queue in front of `CloudWatch` Logs.
pub(crate) struct LogWriter {
    ports: Arc<Ports>,
    waiting: Mutex<Waiting>,
    wake: Notify,
    started: AtomicBool,
    /// Serialises writers; holds the streams that are known to exist.
    writer: tokio::sync::Mutex<HashSet<(Arc<str>, Arc<str>)>>,
    stop: CancellationToken,
}

impl LogWriter {
    pub(crate) fn new(ports: Arc<Ports>, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            ports,
            waiting: Mutex::default(),
            wake: Notify::new(),
            started: AtomicBool::new(false),
            writer: tokio::sync::Mutex::default(),
            stop,
        })
    }

    /// Queues one line.
    pub(crate) fn push(self: &Arc<Self>, to: &LogStream, time_ms: i64, text: String) {
        {
            let mut waiting = self.lock();
            waiting.bytes += text.len() + EVENT_OVERHEAD;
            waiting.lines.push_back(Line { to: to.clone(), time_ms, text });
            while waiting.bytes > MAX_WAITING {
                let Some(oldest) = waiting.lines.pop_front() else { break };
                waiting.bytes -= oldest.text.len() + EVENT_OVERHEAD;
            }
        }
        if !self.started.swap(true, Ordering::Relaxed) {
            let logs = Arc::clone(self);
            tokio::spawn(async move {
                while logs.stop.run_until_cancelled(logs.wake.notified()).await.is_some() {
                    tokio::time::sleep(FLUSH_DELAY).await;
                    // What panics has been said on the standard error; what comes later is written all the same.
                    drop(AssertUnwindSafe(logs.flush()).catch_unwind().await);
                }
            });
        }
        self.wake.notify_one();
    }

    /// Writes what waits.
    pub(crate) async fn flush(&self) {
        let mut known = self.writer.lock().await;
        let lines = {
            let mut waiting = self.lock();
            waiting.bytes = 0;
            std::mem::take(&mut waiting.lines)
        };
        let mut batches: Vec<(LogStream, Vec<Line>)> = Vec::new();
        for line in lines {
            match batches.iter_mut().find(|(to, _)| to.stream == line.to.stream && to.group == line.to.group) {
                Some((_, batch)) => batch.push(line),
                None => batches.push((line.to.clone(), vec![line])),
            }
        }
        for (to, lines) in batches {
            let mut events = Vec::new();
            let mut bytes = 0;
            for line in lines {
                let size = line.text.len() + EVENT_OVERHEAD;
                if !events.is_empty() && (events.len() == MAX_EVENTS || bytes + size > MAX_BYTES) {
                    self.put(&to, &std::mem::take(&mut events), &mut known).await;
                    bytes = 0;
                }
                bytes += size;
                events.push(LogEvent { time_ms: line.time_ms, message: line.text });
            }
            self.put(&to, &events, &mut known).await;
        }
    }

    /// Puts one batch; a stream or group that is missing is made once, as a role with that permission would.
    async fn put(&self, to: &LogStream, events: &[LogEvent], known: &mut HashSet<(Arc<str>, Arc<str>)>) {
        let key = (Arc::clone(&to.group), Arc::clone(&to.stream));
        if !known.contains(&key) {
            if self.make(to).await.is_err() {
                return;
            }
            known.insert(key.clone());
        }
        if self.check(to, "PutLogEvents", &to.stream).is_err() {
            return;
        }
        let Err(error) = self.ports.logs.put_events(&to.group, &to.stream, events).await else { return };
        known.remove(&key);
        // The group was deleted in between. Lines that cannot be written are lost, as they are on AWS.
        if error.code == "ResourceNotFoundException" && self.make(to).await.is_ok() {
            known.insert(key);
            drop(self.ports.logs.put_events(&to.group, &to.stream, events).await);
        }
    }

    async fn make(&self, to: &LogStream) -> Result<(), CallError> {
        let logs = &self.ports.logs;
        self.check(to, "CreateLogStream", &to.stream)?;
        match logs.create_stream(&to.group, &to.stream).await {
            Err(error) if error.code == "ResourceNotFoundException" && !to.function_gone.is_cancelled() => {
                self.check(to, "CreateLogGroup", "")?;
                logs.create_group(&to.group).await?;
                logs.create_stream(&to.group, &to.stream).await
            }
            Err(error) if error.code == "ResourceAlreadyExistsException" => Ok(()),
            other => other,
        }
    }

    /// Whether the function's role may do this; what it may not write is lost, as it is on AWS.
    fn check(&self, to: &LogStream, operation: &str, stream: &str) -> Result<(), CallError> {
        let arn = format!("arn:aws:logs:{}:log-group:{}:log-stream:{stream}", to.place, to.group);
        self.ports.roles.check(&to.role, &format!("logs:{operation}"), &arn)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock()
    }
}
