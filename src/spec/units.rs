//! Durations written as strings with units, such as `"5s"` or `"14d"`.

use std::fmt;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use super::values::text;

/// A whole number of seconds, written in the spec as `"30s"`, `"5m"`, `"24h"` or `"14d"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seconds(pub(crate) u64);

const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

impl Seconds {
    /// Reads one or more number-and-unit pairs, such as `90s`, `5m` or `1h30m`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mistake = || {
            format!(
                "`{text}` is not a duration: write a whole number and a unit, such as \"30s\", \"5m\", \"24h\" or \"14d\""
            )
        };
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(mistake());
        }
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(mistake)?;
            let number: u64 = rest[..digits].parse().map_err(|_| mistake())?;
            let after = &rest[digits..];
            let (unit, factor) = UNITS.iter().find(|(unit, _)| after.starts_with(unit)).ok_or_else(mistake)?;
            total = number.checked_mul(*factor).and_then(|add| total.checked_add(add)).ok_or_else(mistake)?;
            rest = after[unit.len()..].trim_start();
        }
        Ok(Self(total))
    }

    /// The number of seconds as AWS's 32-bit settings take it; durations in a checked spec always fit.
    pub(crate) fn as_i32(self) -> i32 {
        i32::try_from(self.0).unwrap_or(i32::MAX)
    }
}

/// Writes seconds the way a spec would: the largest unit that divides them.
pub(crate) fn duration_text(seconds: u64) -> String {
    let unit = UNITS.iter().find(|(_, factor)| seconds > 0 && seconds.is_multiple_of(*factor));
    match unit {
        // "1d" and "24h" are the same; the hour is what AWS's own pages use up to two days, and so 24h becomes 48h.
        Some(("d", _)) if seconds <= 2 * 86_400 => format!("{}h", seconds / 3_600),
        Some((unit, factor)) => format!("{}{unit}", seconds / factor),
        None => "0s".to_owned(),
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&duration_text(self.0))
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, "a duration such as \"30s\", \"5m\", \"24h\" or \"14d\"", Self::parse)
    }
}

/// A size in mebibytes, written `"4MiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MebiBytes(pub(crate) i64);

impl MebiBytes {
    /// As Kinesis counts it.
    pub(crate) fn kib(self) -> i32 {
        i32::try_from(self.0.saturating_mul(1024)).unwrap_or(i32::MAX)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix("MiB").or_else(|| text.strip_suffix("MB")).map(str::trim);
        let number = number.and_then(|number| number.parse().ok()).filter(|number| *number > 0);
        number.map(Self).ok_or_else(|| format!("`{text}` is not a size in whole mebibytes: write \"4MiB\", say"))
    }
}

impl fmt::Display for MebiBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}MiB", self.0)
    }
}

impl Serialize for MebiBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MebiBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, "a size such as \"4MiB\"", Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_write_back() {
        for (text, seconds, written) in [
            ("5s", 5, "5s"),
            ("2m", 120, "2m"),
            ("90s", 90, "90s"),
            ("24h", 86_400, "24h"),
            ("14d", 1_209_600, "14d"),
            ("1h30m", 5_400, "90m"),
        ] {
            let read = Seconds::parse(text).unwrap();
            assert_eq!(read.0, seconds, "{text}");
            assert_eq!(read.to_string(), written, "{text}");
        }
        assert_eq!(duration_text(0), "0s");
    }

    #[test]
    fn durations_without_unit_or_too_large_are_refused() {
        for text in ["", "5", "s", "-5s", "5 parsecs", "1.5h", "99999999999999999999d", "9999999999999999d"] {
            assert!(Seconds::parse(text).is_err(), "{text}");
        }
    }
}
