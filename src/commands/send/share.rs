//! A share of events in percent, kept exactly and spread evenly.

use std::str::FromStr;

/// Parts of a million, so that `0.5%` and less stay exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) struct Share(u64);

const WHOLE: u64 = 1_000_000;

impl FromStr for Share {
    type Err = String;

    /// Reads `2`, `2%` or `0.25%`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mistake = || format!("`{text}` is not a share: write a percentage from 0 to 100, such as 2 or 0.5%");
        let number = text.trim();
        let number = number.strip_suffix('%').unwrap_or(number).trim_end();
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || number.ends_with('.') {
            return Err(mistake());
        }
        if fraction.len() > 4 {
            return Err(format!("`{text}` is finer than a ten-thousandth of a percent"));
        }
        let parts = whole.parse().ok().and_then(|whole: u64| whole.checked_mul(10_000)).and_then(|parts| {
            let fraction: u64 = format!("{fraction:0<4}").parse().ok()?;
            parts.checked_add(fraction)
        });
        parts.filter(|parts| *parts <= WHOLE).map(Self).ok_or_else(mistake)
    }
}

impl Share {
    /// Whether the `n`th event, from 0, belongs to the share: of any number of first events the rounded share does.
    pub(in crate::commands) fn holds(self, n: u64) -> bool {
        let before = |n: u64| (u128::from(n) * u128::from(self.0) + u128::from(WHOLE / 2)) / u128::from(WHOLE);
        before(n) < before(n + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_reads_percentages() {
        for (text, parts) in
            [("2", 20_000), ("2%", 20_000), (" 0.5 % ", 5_000), ("0.0001%", 1), ("100%", 1_000_000), ("0", 0)]
        {
            assert_eq!(text.parse(), Ok(Share(parts)), "{text}");
        }
        for text in ["", "%", "-1", "101", "100.1", "2.", ".5", "two", "1e2", "2%%", "0.00001", "99999999999999999999"]
        {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }

    #[test]
    fn share_is_exact_and_spread() {
        for (text, events, expected) in
            [("2", 1_000, 20), ("0.5%", 1_000, 5), ("100", 7, 7), ("0", 1_000, 0), ("33.3333", 10, 3), ("1", 10, 0)]
        {
            let share: Share = text.parse().unwrap();
            let places: Vec<u64> = (0..events).filter(|&n| share.holds(n)).collect();
            assert_eq!(places.len(), expected, "{text} of {events}");
            let gaps: Vec<u64> = places.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let spread = gaps.iter().max().unwrap_or(&0) - gaps.iter().min().unwrap_or(&0);
            assert!(spread <= 1, "{text}: {gaps:?}");
        }
    }
}
