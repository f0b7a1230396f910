//! The call log: which AWS operations came in over HTTP, and how they ended. Tests read it to see that nothing was changed.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use streamkit_wire::{Call, clock};

/// Enough for a long session, about 20 MB at most.
const KEPT: usize = 100_000;

/// One call from outside.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    seq: u64,
    time_ms: i64,
    service: String,
    operation: String,
    /// What the call is about, such as a stream's name.
    resource: Option<String>,
    /// None when the connection broke before the call was made.
    status: Option<u16>,
    error_code: Option<String>,
    /// What the rehearsal did to the call.
    fault: Option<&'static str>,
    /// How long the answer took, in milliseconds.
    ms: f64,
    mutating: bool,
}

/// How a call ended.
pub(crate) struct Outcome {
    pub(crate) resource: Option<String>,
    pub(crate) status: Option<u16>,
    pub(crate) error_code: Option<String>,
    pub(crate) fault: Option<&'static str>,
    pub(crate) took: Duration,
}

/// The last calls, numbered from 1.
#[derive(Default)]
pub(crate) struct CallLog {
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    last: u64,
    entries: VecDeque<Entry>,
}

impl CallLog {
    /// Notes how a call ended.
    pub(crate) fn record(&self, call: &Call, outcome: Outcome) {
        let Outcome { resource, status, error_code, fault, took } = outcome;
        let mut log = self.log();
        log.last += 1;
        let entry = Entry {
            seq: log.last,
            time_ms: clock::now_ms(),
            service: call.service.name().to_owned(),
            operation: shortened(&call.operation),
            resource: resource.as_deref().map(shortened),
            status,
            error_code,
            fault,
            ms: (took.as_secs_f64() * 10_000.0).round() / 10.0,
            mutating: call.mutating(),
        };
        log.entries.push_back(entry);
        if log.entries.len() > KEPT {
            log.entries.pop_front();
        }
    }

    /// The number of the last call and all calls after `since`.
    pub(crate) fn since(&self, since: u64) -> (u64, Vec<Entry>) {
        let log = self.log();
        let first = log.entries.partition_point(|entry| entry.seq <= since);
        (log.last, log.entries.range(first..).cloned().collect())
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock()
    }
}

/// Names of AWS are shorter; whatever else was sent is not to fill the memory.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 1024;
    text[..text.floor_char_boundary(LONGEST)].to_owned()
}
