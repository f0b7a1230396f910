//! Durations and rates as people read them.

use std::fmt::Display;

use indicatif::HumanFloatCount;

/// The nearest rank of sorted values: one that was measured, not one in between. `None` where there are none.
pub(crate) fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// Seconds in the unit that fits them, such as `250 ms`, `4.0 s`, `80 s`, `12 min`, `5 h 20 min` or `3 d 4 h`.
pub(crate) fn duration_text(seconds: f64) -> String {
    const MINUTE: f64 = 60.0;
    const HOUR: f64 = 60.0 * MINUTE;
    const DAY: f64 = 24.0 * HOUR;
    let two = |large: f64, of: &str, small: f64, rest: &str| {
        // The smaller unit is rounded first, so that there are no 60 minutes beside an hour.
        let smalls = (seconds / small).round();
        let each = large / small;
        format!("{:.0} {of} {:.0} {rest}", (smalls / each).floor(), smalls % each)
    };
    match seconds {
        _ if seconds < 0.001 => format!("{:.1} ms", seconds * 1_000.0),
        _ if seconds < 0.999_5 => format!("{:.0} ms", seconds * 1_000.0),
        _ if seconds < 9.95 => format!("{seconds:.1} s"),
        _ if seconds < 2.0 * MINUTE => format!("{seconds:.0} s"),
        _ if seconds < 2.0 * HOUR => format!("{:.0} min", seconds / MINUTE),
        _ if seconds < 2.0 * DAY => two(HOUR, "h", MINUTE, "min"),
        _ => two(DAY, "d", HOUR, "h"),
    }
}

/// Such as `1 message` or `3 messages`.
pub(crate) fn counted<N: Copy + Display + PartialEq + From<u8>>(count: N, what: &str) -> String {
    let end = if count == N::from(1) { "" } else { "s" };
    format!("{count} {what}{end}")
}

/// How many a second, such as `70,500/s`: three digits say it, slow rates have what is behind the point.
pub(crate) fn rate_text(per_second: f64) -> String {
    rate_of(per_second, "")
}

/// The same of something, such as `70,500 records/s`.
pub(crate) fn rate_of(per_second: f64, what: &str) -> String {
    let gap = if what.is_empty() { "" } else { " " };
    if per_second < 9.95 {
        return format!("{per_second:.1}{gap}{what}/s");
    }
    let mut step = 1.0;
    while per_second / step >= 999.5 {
        step *= 10.0;
    }
    format!("{:.0}{gap}{what}/s", HumanFloatCount((per_second / step).round() * step))
}

/// Bytes a second in the unit that fits them, such as `12.3 MiB/s`.
pub(crate) fn byte_rate_text(per_second: f64) -> String {
    let (mut value, mut unit) = (per_second, "B");
    for larger in ["KiB", "MiB", "GiB"] {
        if value < 999.5 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if unit == "B" || value >= 99.95 { format!("{value:.0} {unit}/s") } else { format!("{value:.1} {unit}/s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_unit_that_fits_them() {
        for (seconds, text) in [
            (0.0, "0.0 ms"),
            (0.000_4, "0.4 ms"),
            (0.25, "250 ms"),
            (0.999_9, "1.0 s"),
            (3.982_6, "4.0 s"),
            (9.96, "10 s"),
            (80.446, "80 s"),
            (720.0, "12 min"),
            (19_200.0, "5 h 20 min"),
            (10_799.0, "3 h 0 min"),
            (273_600.0, "3 d 4 h"),
        ] {
            assert_eq!(duration_text(seconds), text);
        }
    }

    #[test]
    fn rates_are_grouped_and_whole_unless_they_are_slow() {
        let rates = [1_234_567.0, 70_513.472_1, 999.6, 999.4, 12.4, 0.5];
        assert_eq!(rates.map(rate_text), ["1,230,000/s", "70,500/s", "1,000/s", "999/s", "12/s", "0.5/s"]);
        assert_eq!(rate_of(70_513.5, "records"), "70,500 records/s");
    }

    #[test]
    fn byte_rates_have_the_unit_that_fits_them() {
        let rates = [0.0, 512.4, 1_000.0, 12_900_000.0, 204_800_000.0, 5_368_709_120.0];
        let texts = ["0 B/s", "512 B/s", "1.0 KiB/s", "12.3 MiB/s", "195 MiB/s", "5.0 GiB/s"];
        assert_eq!(rates.map(byte_rate_text), texts);
    }
}
