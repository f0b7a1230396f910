//! Whether a function catches up or falls behind.

use std::time::{Duration, SystemTime};

use serde::Serialize;

/// Where the lag is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::commands) enum Trend {
    Rising,
    Steady,
    Falling,
}

/// The minutes over which it is looked at.
const OVER: Duration = Duration::from_secs(5 * 60);
/// What is no change: batches wait for their window, and one minute is not as the other.
const SAME_MS: f64 = 5_000.0;
const SAME_SHARE: f64 = 0.1;

impl Trend {
    pub(in crate::commands) fn text(self) -> &'static str {
        match self {
            Self::Rising => "rising",
            Self::Steady => "steady",
            Self::Falling => "falling",
        }
    }
}

/// The trend of the lag, in milliseconds by the minute, oldest first; `None` where there is nothing to compare.
pub(in crate::commands) fn trend(minutes: &[(SystemTime, f64)]) -> Option<Trend> {
    let (last_at, last) = *minutes.last()?;
    let (at, before) = *minutes.iter().find(|(at, _)| *at + OVER >= last_at)?;
    if at == last_at {
        return None;
    }
    let difference = last - before;
    if difference.abs() <= SAME_MS.max(before * SAME_SHARE) {
        return Some(Trend::Steady);
    }
    Some(if difference > 0.0 { Trend::Rising } else { Trend::Falling })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(minutes: &[(u64, f64)]) -> Option<Trend> {
        let at = |minute: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(minute * 60);
        trend(&minutes.iter().map(|(minute, ms)| (at(*minute), *ms)).collect::<Vec<_>>())
    }

    #[test]
    fn a_trend_is_what_changed_in_the_last_minutes() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(1, 900_000.0)]), None);
        assert_eq!(of(&[(1, 500.0), (2, 4_000.0)]), Some(Trend::Steady));
        assert_eq!(of(&[(1, 500.0), (2, 60_000.0), (3, 120_000.0)]), Some(Trend::Rising));
        assert_eq!(of(&[(1, 3_600_000.0), (3, 3_700_000.0)]), Some(Trend::Steady));
        assert_eq!(of(&[(1, 3_600_000.0), (3, 1_800_000.0)]), Some(Trend::Falling));
        // What was before does not count.
        assert_eq!(of(&[(1, 3_600_000.0), (20, 1_000.0), (21, 900.0)]), Some(Trend::Steady));
    }
}
