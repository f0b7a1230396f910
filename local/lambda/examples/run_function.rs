//! Runs a function through the engine, without the rest of AWS: creates it, invokes it, and prints what it answers and logs.
//!
//! `cargo run -p streamkit-lambda --example run_function [NAME]`. The function is this program, too: started as a `bootstrap`,
//! it speaks the Runtime API.

use std::io::{Cursor, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use streamkit_lambda::ports::{LogEvent, LogGroups, Ports, Reply};
use streamkit_lambda::{Config, Engine};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    if let Ok(api) = std::env::var("AWS_LAMBDA_RUNTIME_API") {
        return serve_invocations(&api);
    }
    let state_dir = std::env::temp_dir().join(format!("run-function-{}", std::process::id()));
    let config = Config {
        region: "us-east-1".into(),
        account: "000000000000".into(),
        endpoint: None,
        packages_url: "http://127.0.0.1/packages/".into(),
        state_dir: state_dir.clone(),
    };
    // The one port that this function needs; the others have nothing behind them.
    let ports = Ports { logs: Arc::new(PrintedLogs), ..Ports::default() };
    let engine = Engine::new(config, ports);

    let function = json!({
        "FunctionName": "greet",
        "Runtime": "provided.al2023",
        "Handler": "bootstrap",
        "Role": "arn:aws:iam::000000000000:role/greet",
        "Code": { "ZipFile": BASE64.encode(package()?) },
    });
    let created = call(&engine, Method::POST, "/2015-03-31/functions", &function).await?;
    print(&format!("created {}", created["FunctionArn"]));
    let name = std::env::args().nth(1).unwrap_or_else(|| "world".into());
    let answer =
        call(&engine, Method::POST, "/2015-03-31/functions/greet/invocations", &json!({ "name": name })).await?;
    print(&format!("answered {answer}"));

    engine.shutdown().await;
    std::fs::remove_dir_all(state_dir)?;
    Ok(())
}

/// Makes one call of the Lambda API.
async fn call(engine: &Arc<Engine>, method: Method, path: &str, body: &Value) -> Outcome<Value> {
    let request = Request::builder().method(method).uri(path).body(Body::from(body.to_string()))?;
    let response = engine.handle(request).await;
    let status = response.status();
    let body: Value = serde_json::from_slice(&to_bytes(response.into_body(), usize::MAX).await?)?;
    if status.is_success() { Ok(body) } else { Err(format!("{status}: {body}").into()) }
}

/// A deployment package whose `bootstrap` starts this program.
fn package() -> Outcome<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("bootstrap", SimpleFileOptions::default().unix_permissions(0o755))?;
    write!(zip, "#!/bin/sh\nexec '{}'\n", std::env::current_exe()?.display())?;
    Ok(zip.finish()?.into_inner())
}

/// Log groups that are printed.
struct PrintedLogs;

impl LogGroups for PrintedLogs {
    fn put_events<'a>(&'a self, group: &'a str, _stream: &'a str, events: &'a [LogEvent]) -> Reply<'a, ()> {
        for event in events {
            print(&format!("{group}: {}", event.message.trim_end()));
        }
        Box::pin(async { Ok(()) })
    }
}

/// The function: takes invocations until the engine stops it.
fn serve_invocations(api: &str) -> Outcome<()> {
    loop {
        let (headers, event) = runtime_api(api, "GET", "invocation/next", "")?;
        let id = headers.lines().find_map(|line| line.strip_prefix("lambda-runtime-aws-request-id: "));
        let Some(id) = id else { return Ok(()) };
        let event: Value = serde_json::from_str(&event)?;
        print(&format!("greeting {}", event["name"]));
        let greeting = json!({ "greeting": format!("Hello, {}!", event["name"].as_str().unwrap_or("nobody")) });
        runtime_api(api, "POST", &format!("invocation/{id}/response"), &greeting.to_string())?;
    }
}

/// One request to the Runtime API: head and body of its answer.
fn runtime_api(api: &str, method: &str, path: &str, body: &str) -> Outcome<(String, String)> {
    let mut connection = TcpStream::connect(api)?;
    let size = body.len();
    write!(
        connection,
        "{method} /2018-06-01/runtime/{path} HTTP/1.1\r\nhost: {api}\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer has no end of its head")?;
    Ok((head.to_ascii_lowercase(), body.to_owned()))
}

#[expect(clippy::print_stdout, reason = "an example shows what happens")]
fn print(line: &str) {
    println!("{line}");
}
