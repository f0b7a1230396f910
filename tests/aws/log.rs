//! Reads what `-vv` writes: one line for each call, each attempt, and each state that was waited for.

use std::collections::BTreeMap;

/// The attempt of a call.
#[derive(Debug, PartialEq)]
pub(crate) struct Attempt<'a> {
    /// As the SDK names it, such as `CloudWatch Logs`.
    pub(crate) service: &'a str,
    pub(crate) operation: &'a str,
    pub(crate) ms: f64,
    /// `ok`, or AWS's code.
    pub(crate) result: &'a str,
    /// When it ended, in seconds since some moment.
    pub(crate) at: f64,
}

/// A state that has passed.
#[derive(Debug, PartialEq)]
pub(crate) struct Passed<'a> {
    pub(crate) kind: &'a str,
    pub(crate) state: &'a str,
    pub(crate) ms: f64,
}

/// Whether a line of stderr belongs to the log.
pub(crate) fn is_event(line: &str) -> bool {
    parts(line, "aws").or_else(|| parts(line, "wait")).is_some()
}

pub(crate) fn attempt(line: &str) -> Option<Attempt<'_>> {
    let (time, message, fields) = parts(line, "aws")?;
    fields.get("attempt")?;
    let (service, operation) = message.rsplit_once(' ')?;
    let at = time.parse::<jiff::Timestamp>().ok()?.as_duration().as_secs_f64();
    Some(Attempt { service, operation, ms: fields.get("ms")?.parse().ok()?, result: fields.get("result")?, at })
}

pub(crate) fn passed(line: &str) -> Option<Passed<'_>> {
    let (_, message, fields) = parts(line, "wait")?;
    let kind = message.split(" (").next()?;
    Some(Passed { kind, state: fields.get("ended")?, ms: fields.get("ms")?.parse().ok()? })
}

/// Time, message and fields of an event of streamkit's with this target.
fn parts<'a>(line: &'a str, target: &str) -> Option<(&'a str, &'a str, BTreeMap<&'a str, &'a str>)> {
    let (time, rest) = line.split_once(' ')?;
    let (level, rest) = rest.trim_start().split_once(' ')?;
    if !["INFO", "DEBUG"].contains(&level) {
        return None;
    }
    let text = rest.trim_start().strip_prefix("streamkit::")?.strip_prefix(target)?.strip_prefix(": ")?;
    // The message comes first, and no word of it has a `=`.
    let words: Vec<&str> = text.split(' ').collect();
    let of_message = words.iter().take_while(|word| !word.contains('='));
    let length = of_message.map(|word| word.len() + 1).sum::<usize>().saturating_sub(1);
    let fields = words.iter().filter_map(|word| word.split_once('=')).collect();
    Some((time, &text[..length], fields))
}

#[test]
fn log_lines_are_read() {
    let call = "2026-05-04T09:12:33.518204Z DEBUG streamkit::aws: CloudWatch Logs CreateLogGroup attempt=2 ms=18.4 result=ok request_id=7c";
    let read = attempt(call).map(|read| (read.service, read.operation, read.ms, read.result));
    assert_eq!(read, Some(("CloudWatch Logs", "CreateLogGroup", 18.4, "ok")));
    assert!(is_event(call) && passed(call).is_none());
    let whole = "2026-05-04T09:12:33.518204Z  INFO streamkit::aws: Kinesis CreateStream ms=182.4 result=ok attempts=1";
    assert!(is_event(whole) && attempt(whole).is_none());
    let state =
        "2026-05-04T09:12:33.518204Z DEBUG streamkit::wait: Kinesis stream (a-b) ms=12040 ended=CREATING next=ACTIVE";
    assert_eq!(passed(state), Some(Passed { kind: "Kinesis stream", state: "CREATING", ms: 12040.0 }));
    assert!(!is_event("+ stream.events  1.2 s  created"));
}
