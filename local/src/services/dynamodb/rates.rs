//! What `DynamoDB` allows only after some time, where it is asked for.
//!
//! See <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTimeToLive.html> and
//! <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateContinuousBackups.html>.

use std::collections::HashMap;

use parking_lot::Mutex;
use streamkit_wire::CallError;

/// A table's time to live is changed once in this time.
const TIME_TO_LIVE_MS: i64 = 3_600_000;
/// Backups of a new table are enabled after this time. AWS names none; tools see ten seconds and more.
const BACKUPS_MS: i64 = 5000;

/// When something happened to each table.
pub(super) struct Rates {
    strict: bool,
    tables: Mutex<HashMap<String, Times>>,
}

#[derive(Default)]
struct Times {
    created_ms: Option<i64>,
    time_to_live_ms: Option<i64>,
}

impl Rates {
    pub(super) fn new(strict: bool) -> Self {
        Self { strict, tables: Mutex::default() }
    }

    pub(super) fn created(&self, table: &str, now_ms: i64) {
        let times = Times { created_ms: Some(now_ms), time_to_live_ms: None };
        self.tables.lock().insert(table.to_owned(), times);
    }

    pub(super) fn changed_time_to_live(&self, table: &str, now_ms: i64) {
        self.tables.lock().entry(table.to_owned()).or_default().time_to_live_ms = Some(now_ms);
    }

    pub(super) fn forget(&self, table: &str) {
        self.tables.lock().remove(table);
    }

    pub(super) fn check_time_to_live(&self, table: &str, now_ms: i64) -> Result<(), CallError> {
        if self.is_within(TIME_TO_LIVE_MS, table, now_ms, |times| times.time_to_live_ms) {
            let message = "Time to live has been modified multiple times within a fixed interval";
            return Err(CallError::bad("ValidationException", message));
        }
        Ok(())
    }

    pub(super) fn check_backups(&self, table: &str, now_ms: i64) -> Result<(), CallError> {
        if self.is_within(BACKUPS_MS, table, now_ms, |times| times.created_ms) {
            Err(no_backups_yet(table))
        } else {
            Ok(())
        }
    }

    fn is_within(&self, time_ms: i64, table: &str, now_ms: i64, of: impl Fn(&Times) -> Option<i64>) -> bool {
        self.strict && self.tables.lock().get(table).and_then(of).is_some_and(|since_ms| now_ms - since_ms < time_ms)
    }
}

/// The error of a table that is too new.
pub(super) fn no_backups_yet(table: &str) -> CallError {
    CallError::bad(
        "ContinuousBackupsUnavailableException",
        format!("Backups are being enabled for the table: {table}. Please retry later"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_to_live_is_changed_once_an_hour() {
        let rates = Rates::new(true);
        rates.created("t", 0);
        rates.check_time_to_live("t", 0).unwrap();
        rates.changed_time_to_live("t", 1000);
        assert_eq!(rates.check_time_to_live("t", TIME_TO_LIVE_MS + 999).unwrap_err().code, "ValidationException");
        rates.check_time_to_live("t", TIME_TO_LIVE_MS + 1000).unwrap();
        rates.check_time_to_live("other", 2000).unwrap();
        rates.forget("t");
        rates.check_time_to_live("t", 2000).unwrap();
    }

    #[test]
    fn backups_are_there_some_seconds_after_a_table() {
        let rates = Rates::new(true);
        rates.created("t", 0);
        let refused = rates.check_backups("t", BACKUPS_MS - 1).unwrap_err();
        assert_eq!(refused.code, "ContinuousBackupsUnavailableException");
        rates.check_backups("t", BACKUPS_MS).unwrap();
        let lenient = Rates::new(false);
        lenient.created("t", 0);
        lenient.check_backups("t", 0).unwrap();
    }
}
