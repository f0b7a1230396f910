//! `--since`: a moment, as an age or as a time.

use std::time::SystemTime;

use jiff::Timestamp;

use crate::spec::Seconds;

/// From which moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// So long ago.
    Ago(Seconds),
    At(Timestamp),
}

impl Since {
    /// Reads `10m` or `2026-11-22T09:30:00Z`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(age) = Seconds::parse(text) {
            return Ok(Self::Ago(age));
        }
        text.parse().map(Self::At).map_err(|_| {
            format!(
                "`{text}` is neither an age nor a time: write something like 10m, 2h30m, 2026-11-22T09:30:00Z or 2026-11-22T09:30:00+01:00"
            )
        })
    }

    /// The moment in milliseconds since 1970; `now` is AWS's time.
    pub(crate) fn epoch_ms(self, now: SystemTime) -> i64 {
        match self {
            Self::At(at) => at.as_millisecond(),
            Self::Ago(Seconds(age)) => {
                let age = i64::try_from(age).unwrap_or(i64::MAX).saturating_mul(1_000);
                epoch_ms(now).saturating_sub(age).max(0)
            }
        }
    }
}

/// Milliseconds since 1970.
pub(crate) fn epoch_ms(at: SystemTime) -> i64 {
    Timestamp::try_from(at).map_or(0, Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ages_count_from_now_and_times_do_not() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let ms = |text: &str| Since::parse(text).unwrap().epoch_ms(now);
        assert_eq!(ms("10m"), 1_699_999_400_000);
        assert_eq!(ms("2023-11-14T22:13:20.5Z"), 1_700_000_000_500);
        assert_eq!(ms("2023-11-14T23:13:20+01:00"), 1_700_000_000_000);
        // Nothing is older than everything.
        assert_eq!(ms("30000d"), 0);
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in ["", "10", "yesterday", "2023-11-14", "2023-11-14T22:13:20"] {
            assert!(Since::parse(text).unwrap_err().contains("neither an age nor a time"), "{text}");
        }
    }
}
