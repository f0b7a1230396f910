//! Locks whose value counts, whatever became of who held it before.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The value of a lock.
pub(crate) fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
