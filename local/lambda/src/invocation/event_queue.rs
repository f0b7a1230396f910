//! The events that wait for their asynchronous invocation. They are in memory, so they are bounded in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// All events of an engine together.
const MAX_BYTES: usize = 256 * 1024 * 1024;
/// What an event takes besides its payload: a task and its names.
const OVERHEAD: usize = 4 * 1024;

/// The size of all that wait.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    bytes: AtomicUsize,
}

/// The place of one event; dropping it makes room for others.
#[derive(Debug)]
pub(crate) struct Place {
    queue: Arc<EventQueue>,
    bytes: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl EventQueue {
    /// A place for an event with so large a payload; none while the queue is full.
    pub(crate) fn place(self: &Arc<Self>, payload: usize) -> Option<Place> {
        let bytes = payload + OVERHEAD;
        let more = |taken: usize| Some(taken + bytes).filter(|taken| *taken <= MAX_BYTES);
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Place { queue: Arc::clone(self), bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_places_until_the_queue_is_full() {
        const MIB: usize = 1024 * 1024;
        let queue = Arc::new(EventQueue::default());
        let places: Vec<Place> = std::iter::from_fn(|| queue.place(MIB)).collect();
        assert_eq!(places.len(), 255, "a little less than a payload of 1 MiB for each MiB");
        assert!(queue.place(MIB).is_none() && queue.place(0).is_some());
        drop(places);
        assert!(queue.place(MIB).is_some());
        let empty: Vec<Place> = std::iter::from_fn(|| queue.place(0)).collect();
        assert_eq!(empty.len(), MAX_BYTES / OVERHEAD, "events without a payload are bounded, too");
    }
}
