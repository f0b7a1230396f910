//! A Lambda function for tests: speaks the Runtime API over a plain socket, and succeeds or fails as it is told.
//!
//! Told by the environment: `INIT` (`exit:N`, `hang`, `error`), `ON_POISON` (`throw` or `report`) for stream records whose
//! data contains "poison", `SLOW_MS` for those that contain "slow", `ANSWER` (sent as it is), `TRACE` (a file that gets a
//! line for each delivered record). Told by the payload: `{"do": "fail" | "crash" | "hang" | …}`.

use std::collections::BTreeMap;
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
    loop {
        let (headers, body) = runtime.call("GET", "invocation/next", b"")?;
        let Some(id) = headers.get("lambda-runtime-aws-request-id") else { return Ok(()) };
        invocations += 1;
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
        return if event["window"].is_object() { window_answer(event, records.len(), headers) } else { Ok(answer) };
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
        Some("env") => json!(env::vars().collect::<BTreeMap<_, _>>()).to_string(),
        Some("headers") => json!(headers).to_string(),
        Some("who") => json!({ "pid": std::process::id(), "invocations": invocations }).to_string(),
        Some("big") => json!("x".repeat(usize::try_from(number("bytes")).unwrap_or_default())).to_string(),
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
    if let Ok(answer) = env::var("ANSWER") {
        return Ok(answer);
    }
    match env::var("ON_POISON").as_deref() {
        Ok("report") => Ok(json!({ "batchItemFailures": failed }).to_string()),
        _ if failed.is_empty() => Ok("null".to_owned()),
        _ => Err(format!("{} poison records", failed.len())),
    }
}

/// What a record is called, its sequence number, and what it carries: the data of a stream's record, a table's whole change.
fn parts(record: &Value) -> (String, &str, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if record["dynamodb"].is_object() {
        let sequence = record["dynamodb"]["SequenceNumber"].as_str().unwrap_or_default();
        return (format!("table:{}", text(&record["eventName"])), sequence, record.to_string());
    }
    let kinesis = &record["kinesis"];
    let data = BASE64.decode(kinesis["data"].as_str().unwrap_or_default()).unwrap_or_default();
    let sequence = kinesis["sequenceNumber"].as_str().unwrap_or_default();
    (text(&record["eventID"]), sequence, String::from_utf8_lossy(&data).into_owned())
}

/// Counts the records of a tumbling window in its state; `STATE_BYTES` makes the state larger than it must be.
fn window_answer(event: &Value, records: usize, headers: &Headers) -> Result<String, String> {
    let count = event["state"]["count"].as_u64().unwrap_or_default() + u64::try_from(records).unwrap_or_default();
    let id = headers.get("lambda-runtime-aws-request-id").map(String::as_str).unwrap_or_default();
    if event["isFinalInvokeForWindow"] == true || event["isWindowTerminatedEarly"] == true {
        let shard = event["shardId"].as_str().unwrap_or_default();
        note(&format!("{id} {shard}:window {count} {event}\n"))?;
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
