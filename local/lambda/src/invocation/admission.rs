//! How many invocations run at the same time: of a function, of the account, and as asynchronous ones of a function.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::Engine;
use crate::function::Function;

/// The account's limit of concurrent invocations.
pub(crate) const ACCOUNT: u32 = 1000;
/// Asynchronous invocations of one function that run at the same time; its other events wait. AWS takes as many as the function's
/// concurrency has, but here each is a process.
const ASYNCHRONOUS: u32 = 10;

/// The invocations of one function.
pub(crate) struct Invocations {
    running: AtomicU32,
    asynchronous: Semaphore,
}

impl Default for Invocations {
    fn default() -> Self {
        Self { running: AtomicU32::new(0), asynchronous: Semaphore::new(ASYNCHRONOUS as usize) }
    }
}

impl Invocations {
    /// Waits for its turn to run an event. No more have one than the function's reserved concurrency can run.
    pub(crate) async fn turn(&self, reserved: Option<u32>) -> Option<SemaphorePermit<'_>> {
        let shares = reserved.filter(|reserved| *reserved > 0).map_or(1, |reserved| ASYNCHRONOUS.div_ceil(reserved));
        // Closed never, so there is always a turn.
        self.asynchronous.acquire_many(shares).await.ok()
    }
}

/// One admitted invocation; dropping it makes room for the next.
pub(crate) struct Admission<'a> {
    counted: [Option<&'a AtomicU32>; 2],
    /// Invocations of the function under way, this one included.
    pub(crate) running: u32,
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        for count in self.counted.into_iter().flatten() {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Engine {
    /// Admits one more invocation, unless the concurrency of the function, or what no function of the account has reserved, is used up.
    pub(crate) fn admit<'a>(&'a self, function: &'a Function) -> Option<Admission<'a>> {
        let reserved = *function.reserved();
        let shared = if reserved.is_some() {
            None
        } else {
            count(&self.unreserved_running, self.unreserved())?;
            Some(&self.unreserved_running)
        };
        // Made first, so that what was counted is given back where the function has no room.
        let mut admission = Admission { counted: [shared, None], running: 0 };
        let running = &function.invocations.running;
        admission.running = count(running, reserved.unwrap_or(ACCOUNT))?;
        admission.counted[1] = Some(running);
        Some(admission)
    }

    /// The part of the account's concurrency that no function has reserved.
    pub(crate) fn unreserved(&self) -> u32 {
        let reserved: u32 = self.functions().values().filter_map(|function| *function.reserved()).sum();
        ACCOUNT.saturating_sub(reserved)
    }
}

/// Counts one more, if there is room; gives how many there are then.
fn count(running: &AtomicU32, most: u32) -> Option<u32> {
    let more = |running| (running < most).then_some(running + 1);
    running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|before| before + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_are_bounded_by_the_reserved_concurrency() {
        for (reserved, most) in [(None, 10), (Some(1), 1), (Some(3), 2), (Some(5), 5), (Some(900), 10), (Some(0), 10)] {
            let invocations = Invocations::default();
            let mut turns = Vec::new();
            while let Ok(turn) =
                tokio::time::timeout(std::time::Duration::from_millis(1), invocations.turn(reserved)).await
            {
                turns.extend(turn);
            }
            assert_eq!(turns.len(), most, "{reserved:?}");
        }
    }

    #[test]
    fn no_more_are_counted_than_there_is_room_for() {
        let running = AtomicU32::new(0);
        assert_eq!([count(&running, 2), count(&running, 2), count(&running, 2)], [Some(1), Some(2), None]);
        assert_eq!(count(&running, 0), None);
    }
}
