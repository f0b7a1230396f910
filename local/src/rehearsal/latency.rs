//! How long calls and changes take: not at all, as in AWS, or as a file says.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::file::{self, Entry, FileError, PerCall};
use super::random::SeededRandom;
use crate::rehearsal::StateChange;

/// AWS's times, in the form of a user's file.
const AWS: &str = include_str!("aws.toml");
/// How many standard deviations lie between the median and what 99 of 100 stay below.
const NINETY_NINE: f64 = 2.326;

/// The times of all calls and changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    calls: PerCall<CallTime>,
    changes: BTreeMap<StateChange, (Duration, Duration)>,
}

/// A log-normal distribution.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct CallTime {
    median: Duration,
    most: Duration,
}

impl Default for Latency {
    fn default() -> Self {
        Self::none()
    }
}

impl Latency {
    /// No call and no change takes longer than it must.
    pub fn none() -> Self {
        Self { calls: PerCall::all(CallTime::default()), changes: BTreeMap::new() }
    }

    /// About the times that are commonly seen in AWS.
    ///
    /// # Panics
    /// Never: what it reads is part of the program, and tested.
    pub fn aws() -> Self {
        Self::parse(AWS).expect("the built-in times are a correct file")
    }

    /// Reads a file: TOML, of the form of the built-in times; `base = "aws"` starts from those instead of from nothing.
    ///
    /// # Errors
    /// What is wrong, with line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        file::read(text, |top| {
            let mut latency = match top.get("base") {
                Some(base) => start(base)?,
                None => Self::none(),
            };
            if let Some(changes) = top.get("changes") {
                latency.read_changes(file::table(changes)?)?;
            }
            latency.calls = file::per_call(top, latency.calls, &["call"], &["base", "changes"], |time, _, entry| {
                let (median, most) = times(entry)?;
                *time = CallTime { median, most };
                Ok(())
            })?;
            Ok(latency)
        })
    }

    fn read_changes(&mut self, table: &DeTable<'_>) -> Result<(), FileError> {
        for (name, entry) in table {
            let Some(step) = StateChange::ALL.iter().find(|step| step.name() == name.get_ref().as_ref()) else {
                return Err(file::unknown(name, "change", StateChange::ALL.iter().map(|step| step.name())));
            };
            self.changes.insert(*step, times(entry)?);
        }
        Ok(())
    }

    /// Whether anything takes time.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::none()
    }

    /// How long a change takes: shortest and longest.
    pub(crate) fn change(&self, step: StateChange) -> (Duration, Duration) {
        self.changes.get(&step).copied().unwrap_or_default()
    }

    /// How long one call takes.
    pub(super) fn call(&self, service: &str, operation: &str, draw: &SeededRandom) -> Duration {
        let CallTime { median, most } = *self.calls.of(service, operation);
        if median.is_zero() {
            return Duration::ZERO;
        }
        let sigma = (most.as_secs_f64() / median.as_secs_f64()).ln() / NINETY_NINE;
        // The tail is cut at what one in a million exceeds, so that no call seems to hang.
        median.mul_f64((draw.normal().clamp(-4.75, 4.75) * sigma).exp())
    }
}

fn start(base: Entry<'_, '_>) -> Result<Latency, FileError> {
    match base.get_ref() {
        DeValue::String(name) if name == "aws" => Ok(Latency::aws()),
        DeValue::String(name) if name == "none" => Ok(Latency::none()),
        _ => Err(FileError::new(base.span(), "the base is \"aws\" or \"none\"")),
    }
}

/// One time, or two of which the second is not shorter.
fn times(entry: Entry<'_, '_>) -> Result<(Duration, Duration), FileError> {
    const WANTED: &str = "this must be a time such as \"250ms\", or two: [\"10s\", \"30s\"]";
    let given = match entry.get_ref() {
        DeValue::String(text) => {
            let time = time(text).ok_or_else(|| FileError::new(entry.span(), WANTED))?;
            return Ok((time, time));
        }
        DeValue::Array(given) => given,
        _ => return Err(FileError::new(entry.span(), WANTED)),
    };
    let mut read = given.iter().map(|item| match item.get_ref() {
        DeValue::String(text) => time(text).ok_or_else(|| FileError::new(item.span(), WANTED)),
        _ => Err(FileError::new(item.span(), WANTED)),
    });
    match (read.next(), read.next(), read.next()) {
        (Some(least), Some(most), None) => {
            let (least, most) = (least?, most?);
            if least > most || least.is_zero() && !most.is_zero() {
                return Err(FileError::new(
                    entry.span(),
                    "the second time must be at least the first, the first not zero",
                ));
            }
            Ok((least, most))
        }
        _ => Err(FileError::new(entry.span(), WANTED)),
    }
}

/// The longest time that means anything: a day.
const LONGEST: Duration = Duration::from_hours(24);

fn time(text: &str) -> Option<Duration> {
    let unit = text.find(|letter: char| !letter.is_ascii_digit())?;
    let number: u64 = text[..unit].parse().ok()?;
    let time = match &text[unit..] {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        _ => return None,
    };
    (time <= LONGEST).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_times_are_read_and_hold_for_the_narrowest() {
        let aws = Latency::aws();
        assert_eq!(aws.change(StateChange::StreamCreate), (Duration::from_secs(10), Duration::from_secs(30)));
        for step in StateChange::ALL {
            assert!(!aws.change(step).0.is_zero(), "{step:?}");
        }
        let median = |service, operation| aws.calls.of(service, operation).median.as_millis();
        assert_eq!((median("logs", "PutLogEvents"), median("lambda", "GetFunction")), (20, 40));
        assert_eq!(median("lambda", "CreateFunction"), 300);
        assert!(Latency::none().is_none() && !aws.is_none());
    }

    #[test]
    fn call_times_have_their_median_and_their_tail() {
        let latency = Latency::parse("[kinesis]\ncall = [\"10ms\", \"50ms\"]").unwrap();
        let mut times: Vec<u128> = (0..2000)
            .map(|count| latency.call("kinesis", "PutRecord", &SeededRandom::new(1, &[], count)).as_micros())
            .collect();
        times.sort_unstable();
        assert!((9_000..11_000).contains(&times[1000]) && (35_000..70_000).contains(&times[1980]), "{times:?}");
        assert_eq!(latency.call("sqs", "SendMessage", &SeededRandom::new(1, &[], 0)), Duration::ZERO);
    }

    #[test]
    fn file_starts_from_nothing_or_from_aws() {
        let file = Latency::parse("base = \"aws\"\n[changes]\nstream-create = \"2s\"\n[iam]\ncall = \"1ms\"").unwrap();
        assert_eq!(file.change(StateChange::StreamCreate), (Duration::from_secs(2), Duration::from_secs(2)));
        assert_eq!(file.change(StateChange::TableCreate), Latency::aws().change(StateChange::TableCreate));
        assert_eq!(file.calls.of("iam", "GetRole").median, Duration::from_millis(1));
        assert!(Latency::parse("").unwrap().is_none());
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (text, says) in [
            ("call = 5", "line 1, column 8: this must be a time such as \"250ms\", or two: [\"10s\", \"30s\"]"),
            (
                "call = [\"5s\", \"1s\"]",
                "line 1, column 8: the second time must be at least the first, the first not zero",
            ),
            ("\n[kinesiss]\n", "line 2, column 2: unknown key or service `kinesiss`; did you mean `kinesis`?"),
            (
                "[kinesis]\nPutRecrods.call = \"1s\"",
                "line 2, column 1: unknown key or operation of kinesis `PutRecrods`; did you mean `PutRecords`?",
            ),
            ("[kinesis.PutRecords]\ncal = \"1s\"", "line 2, column 1: unknown key `cal`; did you mean `call`?"),
            (
                "[changes]\nstream-creation = \"1s\"",
                "line 2, column 1: unknown change `stream-creation`; did you mean `stream-create`?",
            ),
            ("base = \"azure\"", "line 1, column 8: the base is \"aws\" or \"none\""),
            ("kinesis = 1", "line 1, column 11: this must be a table"),
            (
                "call = \"90000000m\"",
                "line 1, column 8: this must be a time such as \"250ms\", or two: [\"10s\", \"30s\"]",
            ),
        ] {
            assert_eq!(Latency::parse(text).unwrap_err(), says);
        }
        assert!(Latency::parse("call = ").unwrap_err().starts_with("line 1, column 8: this is not TOML: "));
    }
}
