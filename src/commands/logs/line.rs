//! One line of a function's log: what it says, whatever wrote it in whichever form.

use serde_json::{Map, Value};

use super::level::Level;
use super::platform;

/// A line, taken apart.
#[derive(Debug, Default, PartialEq)]
pub(in crate::commands) struct Line {
    /// `None` where the line names none, and nothing else tells.
    pub(in crate::commands) level: Option<Level>,
    pub(in crate::commands) message: String,
    /// Names and values, in the order in which they are shown.
    pub(in crate::commands) fields: Vec<(String, Value)>,
    /// The invocation that it belongs to, if it says so.
    pub(in crate::commands) request: Option<String>,
    pub(in crate::commands) source: Source,
}

/// Who wrote a line, and what for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::commands) enum Source {
    #[default]
    Function,
    /// Lambda itself.
    Platform,
    /// Metrics in CloudWatch's embedded metric format, which nobody reads as text.
    Metrics,
}

/// Members that say when, which the line's own time says already.
const TIMES: [&str; 5] = ["timestamp", "time", "ts", "@timestamp", "date"];
const LEVELS: [&str; 4] = ["level", "severity", "lvl", "log.level"];
const MESSAGES: [&str; 4] = ["message", "msg", "errorMessage", "event"];
pub(super) const REQUESTS: [&str; 7] = [
    "requestId",
    "request_id",
    "AWSRequestId",
    "awsRequestId",
    "aws_request_id",
    "function_request_id",
    "lambdaRequestId",
];
/// What is asked first comes first; the rest follows by name.
const FIRST: [&str; 11] = [
    "error",
    "reason",
    "errorType",
    "outcome",
    "records",
    "processed",
    "failed",
    "retry",
    "stream",
    "table",
    "durationMs",
];

impl Line {
    /// Takes a log event's message apart.
    pub(in crate::commands) fn parse(text: &str) -> Self {
        let text = text.trim_end();
        match serde_json::from_str(text) {
            Ok(Value::Object(object)) => platform::of_json(&object).unwrap_or_else(|| Self::of_object(object)),
            _ => platform::of_text(text).unwrap_or_else(|| Self::of_text(text)),
        }
    }

    /// The level that counts for `--level`: what has none is information.
    pub(in crate::commands) fn weight(&self) -> Level {
        self.level.unwrap_or(Level::Info)
    }

    fn of_object(mut object: Map<String, Value>) -> Self {
        if let Some(metrics) = object.get("_aws").and_then(|about| about.get("CloudWatchMetrics")) {
            let namespace = metrics.pointer("/0/Namespace").and_then(Value::as_str).unwrap_or_default().to_owned();
            object.remove("_aws");
            let request = take_text(&mut object, &REQUESTS);
            return Self {
                message: format!("metrics {namespace}").trim_end().to_owned(),
                fields: object.into_iter().collect(),
                request,
                source: Source::Metrics,
                ..Self::default()
            };
        }
        // Rust's tracing has the message among the `fields`.
        if let Some(Value::Object(fields)) = object.get("fields").cloned() {
            object.remove("fields");
            for (name, value) in fields {
                object.entry(name).or_insert(value);
            }
        }
        let level = take_text(&mut object, &LEVELS).and_then(|level| Level::parse(&level));
        let request = take_text(&mut object, &REQUESTS);
        let message = MESSAGES.iter().find_map(|name| object.remove(*name)).map(|message| match message {
            Value::String(text) => text,
            other => other.to_string(),
        });
        for name in TIMES {
            object.remove(name);
        }
        let trace = object.remove("stackTrace").or_else(|| object.remove("stack_trace"));
        let mut message = message.unwrap_or_default();
        for line in trace.iter().filter_map(Value::as_array).flatten() {
            message.push('\n');
            message.push_str(line.as_str().map_or_else(|| line.to_string(), str::to_owned).trim_end());
        }
        if is_told_twice(&object) {
            object.remove("eventId");
        }
        Self { level, message, fields: in_order(object), request, source: Source::Function }
    }

    /// A line of text, as the runtimes for Python and Node.js write theirs:
    /// `[ERROR]⇥TIME⇥REQUEST⇥message` and `TIME⇥REQUEST⇥ERROR⇥message`.
    fn of_text(text: &str) -> Self {
        let parts: Vec<&str> = text.splitn(4, '\t').collect();
        let request = |text: &str| is_request(text).then(|| text.to_owned());
        if let [level, time, id, message] = parts[..] {
            let bracketed = level.strip_prefix('[').and_then(|level| level.strip_suffix(']')).and_then(Level::parse);
            if let Some(level) = bracketed.filter(|_| is_time(time)) {
                return Self {
                    level: Some(level),
                    message: message.to_owned(),
                    request: request(id),
                    ..Self::default()
                };
            }
            // Here they are time, request, level, message.
            if let Some(level) = Level::parse(id).filter(|_| is_time(level)) {
                let request = request(time);
                return Self { level: Some(level), message: message.to_owned(), request, ..Self::default() };
            }
        }
        Self { level: level_of(text), message: text.to_owned(), ..Self::default() }
    }
}

/// The level of a line of plain text: a panic is an error, and so is what says it is one.
fn level_of(text: &str) -> Option<Level> {
    if text.starts_with("thread '") && text.contains("panicked at") || text.starts_with("Traceback ") {
        return Some(Level::Error);
    }
    let word: &str = text.split([' ', '\t', ':', ']']).next()?;
    let word = word.trim_start_matches('[');
    // A sentence may begin with a word such as "error"; a level is in capitals or in brackets.
    let is_label = text.starts_with('[') || word.chars().all(|c| c.is_ascii_uppercase());
    if is_label { Level::parse(word) } else { None }
}

fn take_text(object: &mut Map<String, Value>, names: &[&str]) -> Option<String> {
    let name = names.iter().find(|name| object.get(**name).is_some_and(Value::is_string))?;
    match object.remove(*name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// A record's event id says its shard and number once more.
fn is_told_twice(object: &Map<String, Value>) -> bool {
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let (Some(id), Some(shard), Some(number)) = (text("eventId"), text("shardId"), text("sequenceNumber")) else {
        return false;
    };
    id.strip_prefix(shard).and_then(|rest| rest.strip_prefix(':')) == Some(number)
}

fn in_order(object: Map<String, Value>) -> Vec<(String, Value)> {
    let place = |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
    let mut fields: Vec<_> = object.into_iter().collect();
    fields.sort_by(|(a, _), (b, _)| place(a).cmp(&place(b)).then_with(|| a.cmp(b)));
    fields
}

pub(super) fn is_time(text: &str) -> bool {
    text.parse::<jiff::Timestamp>().is_ok()
}

/// Whether this is a request id: a UUID.
pub(super) fn is_request(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "8f507cfc-xmpl-4697-b07a-ac58fc914c95";
    const REAL: &str = "8f507cfc-0123-4697-b07a-ac58fc914c95";

    fn fields(line: &Line) -> Vec<&str> {
        line.fields.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn a_handlers_line_has_its_fields_in_the_order_of_interest() {
        let line = Line::parse(
            r#"{"level":"WARN","message":"record failed","requestId":"r","eventId":"shardId-1:42","sequenceNumber":"42",
                "shardId":"shardId-1","error":"ResourceNotFoundException","outcome":"retry","partitionKey":"k"}"#,
        );
        assert_eq!((line.level, line.message.as_str()), (Some(Level::Warn), "record failed"));
        assert_eq!(line.request.as_deref(), Some("r"));
        assert_eq!(fields(&line), ["error", "outcome", "partitionKey", "sequenceNumber", "shardId"]);
    }

    #[test]
    fn metrics_are_told_from_lines_that_people_read() {
        let line = Line::parse(
            r#"{"_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Namespace":"Retail","Dimensions":[[]],"Metrics":[]}]},"Failed":2}"#,
        );
        assert_eq!((line.source, line.message.as_str()), (Source::Metrics, "metrics Retail"));
        assert_eq!(line.fields, [("Failed".to_owned(), json!(2))]);
        assert_eq!(Line::parse(r#"{"_aws":1}"#).source, Source::Function);
    }

    #[test]
    fn lines_of_other_loggers_are_understood() {
        let line = Line::parse(
            r#"{"timestamp":"2026-11-22T09:00:00Z","level":"ERROR","fields":{"message":"no table","code":7},"target":"mine"}"#,
        );
        assert_eq!((line.level, line.message.as_str()), (Some(Level::Error), "no table"));
        assert_eq!(line.fields, [("code".to_owned(), json!(7)), ("target".to_owned(), json!("mine"))]);
        let line = Line::parse(
            r#"{"level":"ERROR","errorMessage":"boom","errorType":"Error","stackTrace":["at a","at b"],"AWSRequestId":"r"}"#,
        );
        assert_eq!((line.message.as_str(), line.request.as_deref()), ("boom\nat a\nat b", Some("r")));
        let line = Line::parse(&format!("[WARNING]\t2026-11-22T09:00:00.123Z\t{REAL}\tlow on ink\n"));
        assert_eq!((line.level, line.message.as_str()), (Some(Level::Warn), "low on ink"));
        assert_eq!(line.request.as_deref(), Some(REAL));
        let line = Line::parse(&format!("2026-11-22T09:00:00.123Z\t{REAL}\tERROR\tboom\tand more"));
        assert_eq!((line.level, line.message.as_str()), (Some(Level::Error), "boom\tand more"));
        assert_eq!(line.request.as_deref(), Some(REAL));
    }

    #[test]
    fn plain_text_has_the_level_that_it_names() {
        let level = |text: &str| Line::parse(text).level;
        assert_eq!(level("thread 'main' panicked at src/main.rs:3:5:"), Some(Level::Error));
        assert_eq!(level("ERROR: no table"), Some(Level::Error));
        assert_eq!(level("[debug] look"), Some(Level::Debug));
        assert_eq!(level("error handling is on"), None);
        assert_eq!(level("42"), None);
        assert_eq!(Line::parse("42").weight(), Level::Info);
        assert!(is_request(REAL) && !is_request(ID));
    }
}
