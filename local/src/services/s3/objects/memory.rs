//! How much objects may take together: each one holds its room until it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::refusal::Refusal;

/// What all objects together may take.
const MAX_BYTES: usize = 4 << 30;
/// What an object takes besides its content: key, headers, and where they are kept.
const OVERHEAD_BYTES: usize = 1024;

/// The memory of all objects.
pub(super) struct Memory {
    max_bytes: usize,
    used: Arc<AtomicUsize>,
}

/// A part of it that is taken.
#[derive(Debug)]
pub(super) struct Room {
    used: Arc<AtomicUsize>,
    bytes: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self { max_bytes: MAX_BYTES, used: Arc::default() }
    }
}

impl Memory {
    /// Takes room for content of this size.
    pub(super) fn take(&self, size: usize) -> Result<Room, Refusal> {
        let bytes = size + OVERHEAD_BYTES;
        let fits = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.max_bytes);
        if self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            let message =
                format!("The embedded AWS keeps at most {} bytes of objects in memory; delete some.", self.max_bytes);
            tracing::warn!("S3: refused an object of {size} bytes: {message}");
            return Err(Refusal::new(507, "InternalError", message));
        }
        Ok(Room { used: Arc::clone(&self.used), bytes })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_refused_when_all_is_taken_and_free_again_when_dropped() {
        let memory = Memory { max_bytes: 3 * OVERHEAD_BYTES, used: Arc::default() };
        let first = memory.take(OVERHEAD_BYTES).expect("there is room");
        let refused = memory.take(1).expect_err("there is none");
        assert_eq!((refused.status, refused.code), (507, "InternalError"));
        drop(first);
        drop(memory.take(1).expect("there is room again"));
        assert_eq!(memory.used.load(Ordering::Relaxed), 0);
    }
}
