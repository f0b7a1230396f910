//! `status` as people read it.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::document::{AlarmState, Document, FunctionState, NodeState, QueueState};
use crate::report::{Paint, change_lines, duration_text, escaped, value_text};

/// The reasons of what users or their tools did.
const BY_USER: [&str; 2] = ["USER_INITIATED", "User action"];

/// All of it; `now` is AWS's time.
pub(super) fn text(document: &Document, now: Timestamp, paint: Paint) -> String {
    let mut text = String::new();
    let width = document.resources.iter().map(|node| node.node.len()).max().unwrap_or(0);
    for node in &document.resources {
        resource(&mut text, node, width, paint);
    }
    for state in &document.functions {
        function(&mut text, state, paint);
    }
    if !document.queues.is_empty() {
        text.push('\n');
    }
    let width = document.queues.iter().map(|queue| queue.node.len()).max().unwrap_or(0);
    for state in &document.queues {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:width$}  {}", state.node, queue(state, paint));
    }
    if !document.alarms.is_empty() {
        text.push('\n');
    }
    let width = document.alarms.iter().map(|alarm| alarm.name.len()).max().unwrap_or(0);
    for state in &document.alarms {
        alarm(&mut text, state, width, now, paint);
    }
    for warning in &document.warnings {
        let _ = writeln!(text, "\n{}", paint.changed(&warning.message));
    }
    if !document.next.is_empty() {
        text.push_str("\nwhat to do next:\n");
    }
    for step in &document.next {
        let _ = writeln!(text, "  {}\n    {}", step.why, step.command);
    }
    text
}

fn resource(text: &mut String, node: &NodeState, width: usize, paint: Paint) {
    let _ = writeln!(text, "{:width$}  {}  {} {}", node.node, state(node.state, paint), node.kind, node.name);
    for change in &node.changes {
        let (from, to) = (value_text(&change.from), value_text(&change.to));
        let _ = match change.hidden() {
            Some("added") => writeln!(text, "    {}: is missing", change.field),
            Some("removed") => writeln!(text, "    {}: is not in the spec", change.field),
            Some(_) => writeln!(text, "    {}: has another value than in the spec", change.field),
            None if change.from.is_object() || change.from.is_array() => {
                change_lines(change, false).iter().try_for_each(|line| writeln!(text, "    {line}"))
            }
            None => writeln!(text, "    {}: is {from}, should be {to}", change.field),
        };
    }
}

/// A state, as wide as the longest of the usual ones.
fn state(state: &str, paint: Paint) -> String {
    let padded = format!("{state:<9}");
    match state {
        "ok" => paint.good(&padded),
        "changing" | "different" => paint.changed(&padded),
        _ => paint.bad(&padded),
    }
}

fn function(text: &mut String, function: &FunctionState, paint: Paint) {
    let _ = writeln!(text, "\nfunction.{}", function.function);
    let mapping = function.mapping.as_ref().map_or_else(
        || paint.bad("missing"),
        |mapping| {
            let state = mapping.state.as_deref().unwrap_or("unknown");
            let state = if mapping.is_off() { paint.bad(state) } else { state.to_owned() };
            // That somebody switched it on is nothing to tell of.
            let is_told = |reason: &&str| !BY_USER.contains(reason) || mapping.is_off();
            let reason = mapping.reason.as_deref().filter(is_told);
            let reason = reason.map_or_else(String::new, |reason| format!(" ({})", escaped(reason)));
            let last = match (mapping.problem(), mapping.last_result.as_deref()) {
                (Some(problem), _) => paint.bad(&format!("last batch failed: {}", escaped(problem))),
                (None, Some("OK")) => "last batch OK".to_owned(),
                (None, Some(other)) => escaped(other).to_lowercase(),
                (None, None) => "no word of its last batch".to_owned(),
            };
            format!("{state}{reason}, {last}")
        },
    );
    let lag = match (function.iterator_age_ms, function.lag_trend) {
        (None, _) => "unknown: nothing was read in the last 5 min".to_owned(),
        (Some(ms), None) => duration_text(ms / 1_000.0),
        (Some(ms), Some(trend)) => format!("{}, {}", duration_text(ms / 1_000.0), trend.text()),
    };
    let count = |count: Option<u64>, what: &str| match count {
        Some(0) => format!("no {what}s"),
        Some(1) => paint.bad(&format!("1 {what}")),
        Some(count) => paint.bad(&format!("{count} {what}s")),
        None => format!("{what}s unknown"),
    };
    let (errors, throttles) = (count(function.errors, "error"), count(function.throttles, "throttle"));
    let minutes = function.counted_seconds / 60;
    let _ = writeln!(text, "  mapping  {mapping}");
    let _ = writeln!(text, "  lag      {lag}");
    let _ = writeln!(text, "  calls    {errors}, {throttles} in the last {minutes} min");
}

fn queue(queue: &QueueState, paint: Paint) -> String {
    let what = if queue.dead_letters { "dead letter" } else { "message" };
    let said = match queue.messages {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        messages => format!("{messages} {what}s"),
    };
    let said = if queue.dead_letters && queue.messages > 0 { paint.bad(&said) } else { said };
    #[expect(clippy::cast_precision_loss, reason = "an age for people to read")]
    let age = queue.oldest_seconds.map(|seconds| format!(", the oldest {} old", duration_text(seconds as f64)));
    let read = (queue.in_flight > 0).then(|| format!(", {} of them being read", queue.in_flight));
    format!("{said}{}{}", age.unwrap_or_default(), read.unwrap_or_default())
}

fn alarm(text: &mut String, alarm: &AlarmState, width: usize, now: Timestamp, paint: Paint) {
    let since = alarm.since.as_deref().and_then(|since| since.parse::<Timestamp>().ok()).map(|since| {
        let ago = now.duration_since(since).as_secs_f64().max(0.0);
        format!(" since {} ({})", since.strftime("%Y-%m-%dT%H:%M:%SZ"), duration_text(ago))
    });
    let state = match alarm.state.as_str() {
        "OK" => paint.good("OK"),
        "ALARM" => paint.bad("ALARM"),
        other => other.to_owned(),
    };
    // How long it has been well is of no interest.
    let since = since.filter(|_| alarm.state == "ALARM").unwrap_or_default();
    let _ = writeln!(text, "alarm {:width$}  {state}{since}", alarm.name);
    if let Some(reason) = alarm.reason.as_deref().filter(|reason| alarm.state == "ALARM" && !reason.is_empty()) {
        let _ = writeln!(text, "    {}", escaped(reason));
    }
}
