//! The warm processes of one function.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::function::version::Version;
use crate::runtime::process::Process;

/// A process that has had nothing to do for so long is stopped.
pub(crate) const IDLE: Duration = Duration::from_mins(5);

struct Idle {
    process: Process,
    since: Instant,
}

/// Processes that wait for work, the one used last on top.
#[derive(Default)]
pub(crate) struct Pool {
    idle: Mutex<Vec<Idle>>,
}

impl Pool {
    /// Takes a process of this version; those that ended are let go.
    pub(crate) fn take(&self, version: &Arc<Version>) -> Option<Process> {
        let mut idle = self.lock();
        idle.retain(|idle| !idle.process.exited());
        let at = idle.iter().rposition(|idle| Arc::ptr_eq(&idle.process.version, version))?;
        Some(idle.remove(at).process)
    }

    /// Keeps a process for the next invocation.
    pub(crate) fn keep(&self, process: Process) {
        self.lock().push(Idle { process, since: Instant::now() });
    }

    /// Lets go of what has been idle for `limit`.
    pub(crate) fn reap(&self, limit: Duration) {
        self.lock().retain(|idle| idle.since.elapsed() < limit && !idle.process.exited());
    }

    /// Since when the process that was used longest ago has been waiting.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.lock().first().map(|idle| idle.since)
    }

    /// Lets go of the process that was used longest ago; `false` if there is none.
    pub(crate) fn end_oldest(&self) -> bool {
        let mut idle = self.lock();
        let any = !idle.is_empty();
        idle.drain(..usize::from(any));
        any
    }

    /// Lets go of all.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock()
    }
}
