//! How a line is shown: for people, and as JSON.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::level::Level;
use super::line::{Line, Source};
use super::reader::Event;
use crate::report::{Paint, escaped};

/// Lays lines out for people.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) paint: Paint,
    /// The functions' names in the spec.
    pub(super) functions: Vec<String>,
    /// Lines of this day say the time only.
    pub(super) today: Date,
    /// The invocation is chosen, and need not be said in each line.
    pub(super) one_request: bool,
}

impl Layout {
    /// One line, or more where its message has more: time, function, level, message, fields.
    pub(super) fn line(&self, event: &Event, line: &Line) -> String {
        let paint = self.paint;
        let width = self.functions.iter().map(String::len).max().unwrap_or(0);
        let function = format!("{:width$}", self.functions[event.function]);
        let level = line.level.map_or("", Level::text);
        let level = match line.level {
            Some(Level::Error) => paint.bad(&format!("{level:<5}")),
            Some(Level::Warn) => paint.changed(&format!("{level:<5}")),
            _ => paint.dim(&format!("{level:<5}")),
        };
        let mut lines = line.message.lines();
        let first = escaped(lines.next().unwrap_or_default());
        let mut text = format!(
            "{}  {}  {level}  {}",
            paint.dim(&self.time(event.time_ms)),
            paint.of_several(event.function, &function),
            if line.source == Source::Function { first } else { paint.dim(&first) },
        );
        let request = line.request.iter().filter(|_| !self.one_request);
        let request = request.map(|id| ("requestId", json!(id)));
        let fields = line.fields.iter().map(|(name, value)| (name.as_str(), value.clone()));
        for (name, value) in fields.chain(request) {
            // Writing to a String cannot fail.
            let _ = write!(text, "  {}{}", paint.dim(&format!("{}=", escaped(name))), value_text(&value));
        }
        text.push('\n');
        for more in lines {
            let _ = writeln!(text, "    {}", escaped(more));
        }
        text
    }

    fn time(&self, time_ms: i64) -> String {
        let Ok(time) = Timestamp::from_millisecond(time_ms) else { return time_ms.to_string() };
        let format =
            if time.to_zoned(TimeZone::UTC).date() == self.today { "%H:%M:%S%.3fZ" } else { "%Y-%m-%dT%H:%M:%S%.3fZ" };
        time.strftime(format).to_string()
    }
}

/// A value as it is read best: text without quotes where that is no riddle.
fn value_text(value: &Value) -> String {
    match value {
        Value::String(text)
            if !text.is_empty()
                && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "\"=".contains(c)) =>
        {
            text.clone()
        }
        other => escaped(&other.to_string()),
    }
}

/// The line as one of JSON: as it is, if it is an object; else an object that has it, its function and its time.
pub(super) fn json_line(event: &Event, function: &str) -> String {
    let text = event.message.trim_end();
    match serde_json::from_str::<Map<String, Value>>(text) {
        Ok(_) if !text.contains(['\n', '\r']) => format!("{text}\n"),
        Ok(object) => format!("{}\n", Value::Object(object)),
        Err(_) => {
            let time = Timestamp::from_millisecond(event.time_ms);
            let time = time.map_or_else(|_| String::new(), |time| format!("{time:.3}"));
            format!("{}\n", json!({ "time": time, "function": function, "message": text }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(message: &str) -> Event {
        let (id, stream) = ("1".to_owned(), "s".to_owned());
        Event { function: 1, id, time_ms: 1_700_000_000_123, stream, message: message.to_owned() }
    }

    fn shown(message: &str, one_request: bool) -> String {
        let layout = Layout {
            paint: Paint::NONE,
            functions: vec!["processor".to_owned(), "audit".to_owned()],
            today: jiff::civil::date(2023, 11, 14),
            one_request,
        };
        let event = event(message);
        layout.line(&event, &Line::parse(message))
    }

    #[test]
    fn a_line_has_its_parts_in_columns() {
        let line =
            r#"{"level":"WARN","message":"record failed","requestId":"r","error":"Throttled","reason":"too fast"}"#;
        let start = "22:13:20.123Z  audit      WARN   record failed  error=Throttled  reason=\"too fast\"";
        assert_eq!(shown(line, false), format!("{start}  requestId=r\n"));
        assert_eq!(shown(line, true), format!("{start}\n"));
        assert_eq!(shown("one\ntwo\n", false), "22:13:20.123Z  audit             one\n    two\n");
        // What a stranger may have put into an event gives the terminal no orders.
        assert_eq!(shown("\u{1b}[2Jgone", false), "22:13:20.123Z  audit             \\u{1b}[2Jgone\n");
    }

    #[test]
    fn json_lines_stay_as_they_are_and_others_become_some() {
        assert_eq!(json_line(&event("{\"b\": 1,  \"a\": 2}\n"), "f"), "{\"b\": 1,  \"a\": 2}\n");
        assert_eq!(json_line(&event("{\n\"b\": 1}"), "f"), "{\"b\":1}\n");
        for text in ["START x", "42", "[1]"] {
            let expected = json!({ "time": "2023-11-14T22:13:20.123Z", "function": "f", "message": text });
            assert_eq!(serde_json::from_str::<Value>(&json_line(&event(text), "f")).unwrap(), expected);
        }
    }
}
