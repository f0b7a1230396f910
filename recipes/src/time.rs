//! Points in time as text.

/// The times with a year of four digits that the library knows, in milliseconds since the epoch.
pub(crate) const FOUR_DIGIT_YEARS: std::ops::RangeInclusive<i64> = 0..=253_402_207_200_000;

/// Milliseconds since the epoch as ISO 8601 has them, in UTC, such as `2026-01-02T03:04:05.678Z`; `None` for a time that no
/// calendar has.
pub(crate) fn iso_8601(millis: i64) -> Option<String> {
    if !FOUR_DIGIT_YEARS.contains(&millis) {
        return jiff::Timestamp::from_millisecond(millis).ok().map(|time| format!("{time:.3}"));
    }
    let (day, of_day) = (millis / 86_400_000, millis % 86_400_000);
    let (year, month, day) = date(day);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    for (end, mut number) in [
        (4, year),
        (7, month),
        (10, day),
        (13, of_day / 3_600_000),
        (16, of_day / 60_000 % 60),
        (19, of_day / 1000 % 60),
        (23, of_day % 1000),
    ] {
        // Zeros in front are there already.
        for digit in text[..end].iter_mut().rev() {
            if number == 0 {
                break;
            }
            *digit += u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
        }
    }
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// A date and time with its offset, as ISO 8601 has them, in milliseconds since the epoch; `None` for any other text.
pub fn epoch_millis(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

/// Year, month and day of a day since the epoch.
fn date(day: i64) -> (i64, i64, i64) {
    // Years that begin in March have their leap day at the end, and months of 31, 30, 31, 30 and 31 days in turn.
    let day = day + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_offset() {
        for (text, millis) in [
            ("2026-01-02T03:04:00Z", Some(1_767_323_040_000)),
            ("2026-01-02T03:04:00.250+01:00", Some(1_767_319_440_250)),
            ("2026-01-02T03:04:00", None),
            ("soon", None),
        ] {
            assert_eq!(epoch_millis(text), millis, "{text}");
        }
    }

    #[test]
    fn times_are_those_of_the_library() {
        let mut rng = fastrand::Rng::with_seed(7);
        let edges = [
            0,
            -1,
            951_782_400_000,
            4_107_542_399_999,
            253_402_207_200_000,
            253_402_207_200_001,
            253_402_207_201_000,
            i64::MAX,
            i64::MIN,
        ];
        let days = (0..3_000_000).step_by(7).map(|day| day * 86_400_000 + 1);
        for millis in edges.into_iter().chain(days).chain((0..10_000).map(|_| rng.i64(FOUR_DIGIT_YEARS))) {
            let expected = jiff::Timestamp::from_millisecond(millis).ok().map(|time| format!("{time:.3}"));
            assert_eq!(iso_8601(millis), expected, "{millis}");
        }
    }
}
