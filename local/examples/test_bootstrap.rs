//! A Lambda function for tests: speaks the Runtime API over a plain socket, and succeeds or fails as it is told.
//!
//! Told by the environment: `INIT` (`exit:N`, `hang`, `error`), `ON_POISON` (`throw` or `report`) for stream records whose
//! data contains "poison", `SLOW_MS` for those that contain "slow", `ANSWER` (sent as it is), `TRACE` (a file that gets a
//! line for each delivered record), `UNREAD` (answers `null` without a look at the event). Told by the payload: `{"do": "fail" | "crash" | "hang" | …}`. Told by the records
//! themselves, for random tests: see [`planned_outcome`].

use std::collections::{BTreeMap, HashMap};
use std::env;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

fn main() -> io::Result<()> {
    let api = env::var("AWS_LAMBDA_RUNTIME_API").map_err(io::Error::other)?;
    let stream = TcpStream::connect(&api)?;
    stream.set_nodelay(true)?;
    let mut runtime = Runtime { stream: BufReader::new(stream), api };
    let init = env::var("INIT").unwrap_or_default();
    match init.split_once(':') {
        Some(("exit", code)) => std::process::exit(code.parse().unwrap_or(1)),
        _ if init == "hang" => sleep(Duration::from_hours(1)),
        _ if init == "error" => {
            let error = json!({ "errorType": "Config.Missing", "errorMessage": "no table" }).to_string();
            runtime.call("POST", "init/error", error.as_bytes())?;
            std::process::exit(1);
        }
        _ => {}
    }
    let mut invocations = 0;
    let unread = env::var_os("UNREAD").is_some();
    loop {
        let (headers, body) = runtime.call("GET", "invocation/next", b"")?;
        let Some(id) = headers.get("lambda-runtime-aws-request-id") else { return Ok(()) };
        invocations += 1;
        if unread {
            runtime.call("POST", &format!("invocation/{id}/response"), b"null")?;
            continue;
        }
        let event: Value = serde_json::from_slice(&body).unwrap_or_default();
        let (path, answer) = match answer(&event, &headers, invocations) {
            Ok(answer) => ("response", answer),
            Err(error) => ("error", json!({ "errorType": "TestError", "errorMessage": error }).to_string()),
        };
        runtime.call("POST", &format!("invocation/{id}/{path}"), answer.as_bytes())?;
        if event["do"] == "answer-and-exit" {
            std::process::exit(0);
        }
    }
}

type Headers = BTreeMap<String, String>;

fn answer(event: &Value, headers: &Headers, invocations: u32) -> Result<String, String> {
    if let Some(records) = event["Records"].as_array() {
        let answer = records_answer(records, headers)?;
        return if event["window"].is_object() && env::var("ANSWER").is_err() {
            window_answer(event, records.len(), headers)
        } else {
            Ok(answer)
        };
    }
    let number = |name: &str| event[name].as_u64().unwrap_or_default();
    Ok(match event["do"].as_str() {
        Some("fail") => return Err("told to fail".to_owned()),
        Some("crash") => std::process::exit(i32::try_from(number("code")).unwrap_or(1)),
        Some("abort") => std::process::abort(),
        Some("hang") => {
            sleep(Duration::from_hours(1));
            String::new()
        }
        Some("sleep") => {
            sleep(Duration::from_millis(number("ms")));
            "\"slept\"".to_owned()
        }
        Some("print") => {
            for line in event["lines"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                drop(writeln!(io::stdout(), "{line}"));
            }
            drop(write!(io::stderr(), "no newline"));
            "null".to_owned()
        }
        Some("panic") => panic!("told to panic"),
        Some("flood") => {
            for line in 0..number("lines") {
                drop(writeln!(io::stdout(), "line {line} {}", "x".repeat(400)));
            }
            "null".to_owned()
        }
        Some("line") => {
            drop(writeln!(io::stdout(), "{}", "x".repeat(usize::try_from(number("bytes")).unwrap_or_default())));
            "null".to_owned()
        }
        Some("env") => json!(env::vars().collect::<BTreeMap<_, _>>()).to_string(),
        Some("headers") => json!(headers).to_string(),
        Some("who") => {
            sleep(Duration::from_millis(number("ms")));
            json!({ "pid": std::process::id(), "invocations": invocations }).to_string()
        }
        Some("big") => json!("x".repeat(usize::try_from(number("bytes")).unwrap_or_default())).to_string(),
        Some("allocate") => {
            let filled = vec![1_u8; usize::try_from(number("bytes")).unwrap_or_default()];
            sleep(Duration::from_millis(number("ms")));
            json!(std::hint::black_box(&filled).len()).to_string()
        }
        Some("child") => {
            let child = Command::new("sleep").arg("3600").spawn().map_err(|error| error.to_string())?;
            json!({ "child": child.id() }).to_string()
        }
        _ => event.to_string(),
    })
}

fn records_answer(records: &[Value], headers: &Headers) -> Result<String, String> {
    let id = headers.get("lambda-runtime-aws-request-id").map(String::as_str).unwrap_or_default();
    let (mut failed, mut trace) = (Vec::new(), String::new());
    let planned = planned_outcome(records)?;
    if let Some(outcome) = &planned {
        let _ = writeln!(trace, "{id} outcome: {} {}", records.len(), outcome.name());
    }
    for record in records {
        let (event, sequence, data) = parts(record);
        let _ = writeln!(trace, "{id} {event} {sequence} {data}");
        if data.contains("slow") {
            sleep(Duration::from_millis(env::var("SLOW_MS").ok().and_then(|ms| ms.parse().ok()).unwrap_or(0)));
        }
        if data.contains("poison") {
            failed.push(json!({ "itemIdentifier": sequence }));
        }
    }
    note(&trace)?;
    if let Some(outcome) = planned {
        return outcome.answer();
    }
    if let Ok(answer) = env::var("ANSWER") {
        return Ok(answer);
    }
    match env::var("ON_POISON").as_deref() {
        Ok("report") => Ok(json!({ "batchItemFailures": failed }).to_string()),
        _ if failed.is_empty() => Ok("null".to_owned()),
        _ => Err(format!("{} poison records", failed.len())),
    }
}

/// How a batch of records with plans goes.
enum Outcome {
    Done,
    /// These identifiers are reported as failed.
    Report(Vec<String>),
    /// An identifier is reported that nobody sent.
    Wrong,
    Throw,
    Crash,
}

impl Outcome {
    /// As the trace tells it.
    fn name(&self) -> String {
        match self {
            Self::Done => "done".to_owned(),
            Self::Report(failed) => ["report ", &failed.join(" ")].concat(),
            Self::Wrong => "wrong".to_owned(),
            Self::Throw => "throw".to_owned(),
            Self::Crash => "crash".to_owned(),
        }
    }

    fn answer(self) -> Result<String, String> {
        match self {
            Self::Done => Ok("null".to_owned()),
            Self::Report(failed) => {
                let items: Vec<Value> = failed.iter().map(|failed| json!({ "itemIdentifier": failed })).collect();
                Ok(json!({ "batchItemFailures": items }).to_string())
            }
            Self::Wrong => Ok(r#"{"batchItemFailures":[{"itemIdentifier":"1"}]}"#.to_owned()),
            Self::Throw => Err("planned to fail".to_owned()),
            Self::Crash => std::process::exit(1),
        }
    }
}

/// What happens to records whose data says `plan KEY NUMBER HOW TIMES`; nothing is planned for others.
///
/// HOW is `good`, `slow`, `throw`, `report`, `wrong` or `crash`. TIMES says for how many deliveries, or `always`, or `held`:
/// until the file TRACE`.released` exists. The first record that does more than report decides for the whole batch.
fn planned_outcome(records: &[Value]) -> Result<Option<Outcome>, String> {
    let (mut planned, mut reported, mut worst) = (false, Vec::new(), None);
    let mut delivered = HashMap::new();
    for record in records {
        let (event, sequence, data) = parts(record);
        let Some(plan) = data.strip_prefix("plan ") else { continue };
        if !planned {
            delivered = deliveries()?;
        }
        planned = true;
        let mut words = plan.split(' ').skip(2);
        let (how, times) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let fails = match times {
            "always" => true,
            "held" => !env::var("TRACE").is_ok_and(|trace| std::fs::exists(trace + ".released").unwrap_or(false)),
            times => times.parse::<u32>().is_ok_and(|times| delivered.get(&event).copied().unwrap_or_default() < times),
        };
        match how {
            _ if !fails => {}
            "slow" => sleep(Duration::from_millis(30)),
            "report" => reported.push(sequence.to_owned()),
            "wrong" => drop(worst.get_or_insert(Outcome::Wrong)),
            "throw" => drop(worst.get_or_insert(Outcome::Throw)),
            "crash" => drop(worst.get_or_insert(Outcome::Crash)),
            _ => {}
        }
    }
    // Last first: which one is the checkpoint does not depend on the order of the report.
    reported.reverse();
    let told = if reported.is_empty() { Outcome::Done } else { Outcome::Report(reported) };
    Ok(planned.then(|| worst.unwrap_or(told)))
}

/// How often each record was delivered so far, in whichever process.
fn deliveries() -> Result<HashMap<String, u32>, String> {
    let text = match env::var("TRACE").map(std::fs::read_to_string) {
        Ok(Ok(text)) => text,
        Ok(Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(error.to_string()),
        _ => String::new(),
    };
    let mut counts = HashMap::new();
    for event in text.lines().filter_map(|line| line.split(' ').nth(1)) {
        *counts.entry(event.to_owned()).or_default() += 1;
    }
    Ok(counts)
}

/// What a record is called, its sequence number, and what it carries: the data of a stream's record, else all of it.
fn parts(record: &Value) -> (String, &str, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if record["dynamodb"].is_object() {
        let sequence = record["dynamodb"]["SequenceNumber"].as_str().unwrap_or_default();
        return (format!("table:{}", text(&record["eventName"])), sequence, record.to_string());
    }
    if record["eventSource"] == "aws:sqs" {
        return ("queue:message".to_owned(), record["messageId"].as_str().unwrap_or_default(), record.to_string());
    }
    let kinesis = &record["kinesis"];
    let data = BASE64.decode(kinesis["data"].as_str().unwrap_or_default()).unwrap_or_default();
    let sequence = kinesis["sequenceNumber"].as_str().unwrap_or_default();
    (text(&record["eventID"]), sequence, String::from_utf8_lossy(&data).into_owned())
}

/// Counts the records of a tumbling window in its state; `STATE_BYTES` makes the state larger than it must be, and so many last
/// invocations fail as `FINAL_FAILURES` says.
fn window_answer(event: &Value, records: usize, headers: &Headers) -> Result<String, String> {
    let count = event["state"]["count"].as_u64().unwrap_or_default() + u64::try_from(records).unwrap_or_default();
    let id = headers.get("lambda-runtime-aws-request-id").map(String::as_str).unwrap_or_default();
    if event["isFinalInvokeForWindow"] == true || event["isWindowTerminatedEarly"] == true {
        let shard = event["shardId"].as_str().unwrap_or_default();
        note(&format!("{id} {shard}:window {count} {event}\n"))?;
        let closed = deliveries()?.get(&format!("{shard}:window")).copied().unwrap_or_default();
        if env::var("FINAL_FAILURES")
            .is_ok_and(|failures| failures.parse().is_ok_and(|failures: u32| closed <= failures))
        {
            return Err("told to fail when a window ends".to_owned());
        }
    }
    let filling = env::var("STATE_BYTES").ok().and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
    Ok(json!({ "state": { "count": count, "filling": "x".repeat(filling) }, "batchItemFailures": [] }).to_string())
}

/// Writes to the file that the tests read.
fn note(lines: &str) -> Result<(), String> {
    let Ok(file) = env::var("TRACE") else { return Ok(()) };
    let file = OpenOptions::new().append(true).create(true).open(file);
    file.and_then(|mut file| file.write_all(lines.as_bytes())).map_err(|error| error.to_string())
}

/// A client of the Runtime API.
struct Runtime {
    api: String,
    stream: BufReader<TcpStream>,
}

impl Runtime {
    fn call(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<(Headers, Vec<u8>)> {
        let head = format!(
            "{method} /2018-06-01/runtime/{path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n",
            self.api,
            body.len()
        );
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes())?;
        // A server that refuses a body that is too long answers before it has read all of it.
        drop(stream.write_all(body));
        let mut headers = Headers::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end().split_once(": ") {
                Some((name, value)) => drop(headers.insert(name.to_ascii_lowercase(), value.to_owned())),
                None if line.trim_end().is_empty() => break,
                None => {}
            }
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((headers, body))
    }
}
