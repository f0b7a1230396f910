//! What one process prints: a pipe cut into lines, sent to the log, with the metrics found in them.

use std::io::{self, PipeReader};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use streamkit_wire::clock;
use tokio::net::unix::pipe::Receiver;

use crate::telemetry::emf;
use crate::telemetry::log_writer::{LogStream, LogWriter, MAX_LINE};
use crate::telemetry::metric_writer::MetricWriter;

/// `X-Amz-Log-Result` shows the last 4 KB of an invocation's log.
const TAIL: usize = 4096;
/// Reads of one drain; the pipe holds 64 KiB, so this is more than was there when it began.
const READS_PER_DRAIN: usize = 32;

#[derive(Default)]
struct Lines {
    partial: Vec<u8>,
    tail: Vec<u8>,
}

/// The printing end of one process.
pub(crate) struct Output {
    pipe: Receiver,
    lines: Mutex<Lines>,
    to: LogStream,
    logs: Arc<LogWriter>,
    metrics: Arc<MetricWriter>,
}

impl Output {
    /// Takes over the reading end of the pipe that is the process's stdout and stderr, and follows it until it closes.
    pub(crate) fn follow(
        pipe: PipeReader,
        to: LogStream,
        logs: Arc<LogWriter>,
        metrics: Arc<MetricWriter>,
    ) -> io::Result<Arc<Self>> {
        let pipe = Receiver::from_owned_fd(pipe.into())?;
        let output = Arc::new(Self { pipe, lines: Mutex::default(), to, logs, metrics });
        let following = Arc::clone(&output);
        tokio::spawn(async move {
            while following.pipe.readable().await.is_ok() {
                match following.pipe.try_io(|| following.read(READS_PER_DRAIN)) {
                    Ok(Open::Yes) => tokio::task::yield_now().await,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Ok(Open::No) | Err(_) => break,
                }
            }
        });
        Ok(output)
    }

    /// Takes what the process has printed up to now. A plain read, not one through the reactor, which may not have noticed
    /// yet: a line printed before an answer was posted belongs to that invocation.
    pub(crate) fn drain(&self) {
        // Empty or closed by now: either way all that there was has been read.
        drop(self.read(READS_PER_DRAIN));
        let mut lines = self.lock();
        let rest = std::mem::take(&mut lines.partial);
        if !rest.is_empty() {
            self.line(&mut lines, &rest);
        }
    }

    /// Logs a line of the platform's own.
    pub(crate) fn say(&self, text: &str) {
        self.line(&mut self.lock(), text.as_bytes());
    }

    /// Forgets the tail, at the start of an invocation.
    pub(crate) fn start_tail(&self) {
        self.lock().tail.clear();
    }

    /// The last 4 KB of this invocation's log.
    pub(crate) fn tail(&self) -> Vec<u8> {
        self.lock().tail.clone()
    }

    /// Reads a number of times; fails with `WouldBlock` when the pipe is empty.
    fn read(&self, reads: usize) -> io::Result<Open> {
        let mut lines = self.lock();
        let mut buffer = [0; 8192];
        for _ in 0..reads {
            match rustix::io::read(&self.pipe, &mut buffer) {
                Ok(0) => return Ok(Open::No),
                Ok(count) => self.cut(&mut lines, &buffer[..count]),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Open::Yes)
    }

    fn cut(&self, lines: &mut Lines, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let mut line = std::mem::take(&mut lines.partial);
            line.extend_from_slice(&bytes[..end]);
            self.line(lines, &line);
            bytes = &bytes[end + 1..];
        }
        lines.partial.extend_from_slice(bytes);
        if lines.partial.len() > MAX_LINE {
            let line = std::mem::take(&mut lines.partial);
            self.line(lines, &line);
        }
    }

    fn line(&self, lines: &mut Lines, line: &[u8]) {
        add_to_tail(&mut lines.tail, line);
        let now = clock::now_ms();
        let text = String::from_utf8_lossy(line).into_owned();
        for (series, value) in emf::metrics(&text, now) {
            self.metrics.add(series, value, 1);
        }
        // CloudWatch Logs refuses an empty event.
        if !text.trim_end().is_empty() {
            self.logs.push(&self.to, now, text);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock()
    }
}

/// Adds a line to the end of a log, of which the last 4 KB are kept.
pub(crate) fn add_to_tail(tail: &mut Vec<u8>, line: &[u8]) {
    tail.extend_from_slice(line);
    tail.push(b'\n');
    let over = tail.len().saturating_sub(TAIL);
    tail.drain(..over);
}

/// Whether the process, or a child of it, can still write.
enum Open {
    Yes,
    No,
}
