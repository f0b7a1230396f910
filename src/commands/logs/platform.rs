//! The lines that Lambda itself writes: in text, and in its JSON log format.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html>

use serde_json::{Map, Value, json};

use super::level::Level;
use super::line::{Line, Source, is_request, is_time};

/// A line of Lambda's in text; `None` if it is the function's own.
pub(super) fn of_text(text: &str) -> Option<Line> {
    if let Some(rest) = text.strip_prefix("START RequestId: ") {
        let (id, version) = rest.split_once(" Version: ").unwrap_or((rest, ""));
        return Some(start(Some(id), Some(version.trim())));
    }
    if let Some(id) = text.strip_prefix("END RequestId: ") {
        return Some(line(None, "end".to_owned(), Some(id.trim())));
    }
    if let Some(rest) = text.strip_prefix("REPORT RequestId: ") {
        let mut parts = rest.split('\t').map(str::trim);
        let id = parts.next();
        return Some(Report::of_text(parts).line("report", id));
    }
    if let Some(rest) = text.strip_prefix("INIT_REPORT ") {
        return Some(Report::of_text(rest.split('\t').map(str::trim)).line("init report", None));
    }
    if let Some(rest) = text.strip_prefix("INIT_START ") {
        let version = rest.split('\t').find_map(|part| part.trim().strip_prefix("Runtime Version: "));
        return Some(init_start(version));
    }
    if let Some(rest) = text.strip_prefix("RequestId: ") {
        let (id, error) = rest.split_once(" Error: ")?;
        return Some(line(Some(Level::Error), error.to_owned(), Some(id)));
    }
    if let Some(rest) = text.strip_prefix("LAMBDA_WARNING: ") {
        return Some(line(Some(Level::Warn), rest.to_owned(), None));
    }
    // `TIME REQUEST Task timed out after 3.00 seconds`
    let mut words = text.splitn(3, ' ');
    let (time, id, message) = (words.next()?, words.next()?, words.next()?);
    (is_time(time) && is_request(id) && message.starts_with("Task timed out"))
        .then(|| line(Some(Level::Error), message.to_owned(), Some(id)))
}

/// A line of Lambda's in JSON; `None` if it is the function's own.
pub(super) fn of_json(object: &Map<String, Value>) -> Option<Line> {
    let kind = object.get("type")?.as_str()?.strip_prefix("platform.")?;
    let record = object.get("record")?;
    let text = |name: &str| record[name].as_str();
    let id = text("requestId");
    Some(match kind {
        "start" => start(id, text("version")),
        "initStart" => init_start(text("runtimeVersion")),
        "report" => Report::of_json(record).line("report", id),
        "initReport" => Report::of_json(record).line("init report", id),
        "runtimeDone" => Report::of_json(record).line("end", id),
        "initRuntimeDone" => Report::of_json(record).line("init end", id),
        // Such as `fault`, `extension` and `logsDropped`.
        _ => {
            let level = match kind {
                "fault" => Some(Level::Error),
                "logsDropped" => Some(Level::Warn),
                _ => None,
            };
            let mut said = line(level, record.as_str().map_or_else(|| kind.to_owned(), str::to_owned), id);
            let fields = record.as_object().into_iter().flatten();
            said.fields = fields
                .filter(|(name, _)| *name != "requestId")
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            said
        }
    })
}

fn line(level: Option<Level>, message: String, request: Option<&str>) -> Line {
    let request = request.map(|id| id.trim().to_owned());
    Line { level, message, fields: Vec::new(), request, source: Source::Platform }
}

fn start(id: Option<&str>, version: Option<&str>) -> Line {
    let mut said = line(None, "start".to_owned(), id);
    // Everybody runs the latest one, unless it is said.
    if let Some(version) = version.filter(|version| !version.is_empty() && *version != "$LATEST") {
        said.fields.push(("version".to_owned(), json!(version)));
    }
    said
}

fn init_start(version: Option<&str>) -> Line {
    let mut said = line(None, "init start".to_owned(), None);
    said.fields.extend(version.map(|version| ("runtimeVersion".to_owned(), json!(version))));
    said
}

/// How many milliseconds an invocation took that this line reports; `None` of other lines.
pub(in crate::commands) fn reported_ms(text: &str) -> Option<f64> {
    if let Some(rest) = text.strip_prefix("REPORT RequestId: ") {
        return Report::of_text(rest.split('\t').map(str::trim)).duration_ms;
    }
    let object: Map<String, Value> = serde_json::from_str(text.trim_end()).ok()?;
    (object.get("type")?.as_str()? == "platform.report").then(|| Report::of_json(&object["record"]).duration_ms)?
}

/// What Lambda says of an invocation or a start that has ended.
#[derive(Debug, Default)]
struct Report {
    duration_ms: Option<f64>,
    billed_ms: Option<f64>,
    init_ms: Option<f64>,
    memory_mb: Option<f64>,
    used_mb: Option<f64>,
    /// Such as `error` or `timeout`; `None` when all went well.
    status: Option<String>,
    error_type: Option<String>,
    phase: Option<String>,
}

impl Report {
    fn of_text<'a>(parts: impl Iterator<Item = &'a str>) -> Self {
        let mut report = Self::default();
        for (name, value) in parts.filter_map(|part| part.split_once(": ")) {
            let number = || value.split(' ').next().and_then(|number| number.parse().ok());
            match name {
                "Duration" => report.duration_ms = number(),
                "Billed Duration" => report.billed_ms = number(),
                "Init Duration" => report.init_ms = number(),
                "Memory Size" => report.memory_mb = number(),
                "Max Memory Used" => report.used_mb = number(),
                "Status" => report.status = Some(value.to_owned()),
                "Error Type" => report.error_type = Some(value.to_owned()),
                "Phase" => report.phase = Some(value.to_owned()),
                _ => {}
            }
        }
        report
    }

    fn of_json(record: &Value) -> Self {
        let number = |name: &str| record["metrics"][name].as_f64();
        let text = |name: &str| record[name].as_str().map(str::to_owned);
        Self {
            duration_ms: number("durationMs"),
            billed_ms: number("billedDurationMs"),
            init_ms: number("initDurationMs"),
            memory_mb: number("memorySizeMB"),
            used_mb: number("maxMemoryUsedMB"),
            status: text("status").filter(|status| status != "success"),
            error_type: text("errorType"),
            phase: text("phase"),
        }
    }

    /// The line for people, such as `report: 12.3 ms (billed 13 ms), 64 of 256 MB`.
    fn line(self, what: &str, id: Option<&str>) -> Line {
        let mut parts = Vec::new();
        let aside: Vec<String> = [
            self.billed_ms.map(|ms| format!("billed {ms} ms")),
            self.init_ms.filter(|_| self.duration_ms.is_some()).map(|ms| format!("init {ms} ms")),
        ]
        .into_iter()
        .flatten()
        .collect();
        if let Some(ms) = self.duration_ms.or(self.init_ms) {
            let aside = if aside.is_empty() { String::new() } else { format!(" ({})", aside.join(", ")) };
            parts.push(format!("{ms} ms{aside}"));
        }
        match (self.used_mb, self.memory_mb) {
            (Some(used), Some(size)) => parts.push(format!("{used} of {size} MB")),
            (None, Some(size)) => parts.push(format!("of {size} MB")),
            _ => {}
        }
        let message = if parts.is_empty() { what.to_owned() } else { format!("{what}: {}", parts.join(", ")) };
        let level = self.status.is_some().then_some(Level::Error);
        let mut said = line(level, message, id);
        let fields = [("status", self.status), ("errorType", self.error_type), ("phase", self.phase)];
        said.fields.extend(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))));
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8f507cfc-0123-4697-b07a-ac58fc914c95";

    #[track_caller]
    fn said(text: &str, level: Option<Level>, message: &str, fields: &[(&str, &str)], request: Option<&str>) {
        let line = Line::parse(text);
        assert_eq!((line.level, line.message.as_str()), (level, message), "{text}");
        let expected: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        assert_eq!((line.fields, line.request.as_deref()), (expected, request), "{text}");
        assert_eq!(line.source, Source::Platform, "{text}");
    }

    #[test]
    fn the_lines_of_an_invocation_are_taken_apart() {
        said(&format!("START RequestId: {ID} Version: $LATEST\n"), None, "start", &[], Some(ID));
        said(&format!("START RequestId: {ID} Version: 3"), None, "start", &[("version", "3")], Some(ID));
        said(&format!("END RequestId: {ID}"), None, "end", &[], Some(ID));
        let report = format!(
            "REPORT RequestId: {ID}\tDuration: 12.30 ms\tBilled Duration: 113 ms\tMemory Size: 256 MB\tMax Memory Used: 64 MB\tInit Duration: 100.52 ms\t"
        );
        let text = "report: 12.3 ms (billed 113 ms, init 100.52 ms), 64 of 256 MB";
        said(&report, None, text, &[], Some(ID));
        let failed = format!("{report}Status: error\tError Type: Runtime.ExitError");
        said(&failed, Some(Level::Error), text, &[("status", "error"), ("errorType", "Runtime.ExitError")], Some(ID));
        said(
            "INIT_START Runtime Version: provided:al2023.v90\tRuntime Version ARN: arn:aws:lambda:eu-west-1::runtime:x",
            None,
            "init start",
            &[("runtimeVersion", "provided:al2023.v90")],
            None,
        );
    }

    #[test]
    fn ends_that_were_none_are_errors() {
        let error = Some(Level::Error);
        said(
            &format!("RequestId: {ID} Error: Runtime exited with error: exit status 101\nRuntime.ExitError"),
            error,
            "Runtime exited with error: exit status 101\nRuntime.ExitError",
            &[],
            Some(ID),
        );
        said(
            &format!("2026-11-22T09:00:00.123Z {ID} Task timed out after 3.00 seconds"),
            error,
            "Task timed out after 3.00 seconds",
            &[],
            Some(ID),
        );
        said(
            "INIT_REPORT Init Duration: 3.10 ms\tPhase: init\tStatus: timeout",
            error,
            "init report: 3.1 ms",
            &[("status", "timeout"), ("phase", "init")],
            None,
        );
    }

    #[test]
    fn the_json_format_says_the_same() {
        let of = |kind: &str, record: Value| {
            json!({ "time": "2026-11-22T09:00:00.123Z", "type": format!("platform.{kind}"), "record": record })
                .to_string()
        };
        said(&of("start", json!({ "requestId": ID, "version": "$LATEST" })), None, "start", &[], Some(ID));
        let metrics = json!({ "durationMs": 12.3, "billedDurationMs": 13, "memorySizeMB": 256, "maxMemoryUsedMB": 64 });
        said(
            &of("report", json!({ "requestId": ID, "status": "success", "metrics": metrics })),
            None,
            "report: 12.3 ms (billed 13 ms), 64 of 256 MB",
            &[],
            Some(ID),
        );
        said(
            &of("report", json!({ "requestId": ID, "status": "timeout", "metrics": metrics })),
            Some(Level::Error),
            "report: 12.3 ms (billed 13 ms), 64 of 256 MB",
            &[("status", "timeout")],
            Some(ID),
        );
        said(
            &of("fault", json!("RequestId: x Process exited")),
            Some(Level::Error),
            "RequestId: x Process exited",
            &[],
            None,
        );
    }
}
