//! How many processes of functions there are at most: they share the memory of one machine with its user.

use std::sync::{Arc, OnceLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::proc_file;

/// The least memory that a process needs, in MiB: a small handler takes about as much.
const LEAST_MB: usize = 32;
/// However much memory there is: as many as an account of AWS runs at the same time.
const MOST: usize = 1000;
/// Where the system does not tell its memory.
const UNKNOWN: usize = 250;

/// The leave to run one process; it comes back when this is dropped.
pub(crate) type Slot = OwnedSemaphorePermit;

/// The leave for one more process of this program, if there is one.
pub(crate) fn slot() -> Option<Slot> {
    slots().try_acquire_owned().ok()
}

/// The same, once another process is gone.
pub(crate) async fn next_slot() -> Option<Slot> {
    slots().acquire_owned().await.ok()
}

fn slots() -> Arc<Semaphore> {
    static SLOTS: OnceLock<Arc<Semaphore>> = OnceLock::new();
    Arc::clone(SLOTS.get_or_init(|| {
        let memory = std::fs::read_to_string("/proc/meminfo").ok();
        Arc::new(Semaphore::new(memory.and_then(|memory| total_mb(&memory)).map_or(UNKNOWN, most)))
    }))
}

/// As many as fit half of the memory.
fn most(memory_mb: usize) -> usize {
    (memory_mb / 2 / LEAST_MB).clamp(10, MOST)
}

fn total_mb(meminfo: &str) -> Option<usize> {
    usize::try_from(proc_file::kilobytes(meminfo, "MemTotal")? / 1024).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_fit_half_of_the_memory() {
        let memory = total_mb("MemTotal:       16384000 kB\nMemFree:         1000 kB\n").unwrap();
        assert_eq!((memory, most(memory)), (16_000, 250));
        assert_eq!((most(128), most(1_000_000)), (10, MOST));
        assert_eq!((total_mb(""), total_mb("MemTotal: much")), (None, None));
    }
}
