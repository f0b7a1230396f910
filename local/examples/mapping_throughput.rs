//! Measures how many small records per second the embedded AWS takes with `PutRecords`, and carries through a Kinesis mapping to a
//! function that takes each batch and does nothing with it.
//!
//! `cargo run --release -p streamkit-local --example mapping_throughput [put|live|backlog] [RECORDS] [BATCH_SIZE] [WRITERS] [LANES]`,
//! after `cargo build --release -p streamkit-local --example test_bootstrap`. `put` has no mapping, `live` puts while the mapping
//! reads, `backlog` puts all before the mapping begins, whose rate is then that of the mapping alone.
//!
//! For the numbers of one core, which engine, function and this client then share, put `taskset --cpu-list 0` before the built
//! example. Where others use the machine, the processor time says more than the clock: it is that of all three, with the kernel's
//! on their behalf. The client writes bodies with little more than a copy, so what is measured is the engine.
#![expect(clippy::print_stdout, reason = "the numbers are what it is for")]

use std::io::{Cursor, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use streamkit_local::{Options, Rehearsal, serve};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

const PER_PUT: usize = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Put,
    Live,
    Backlog,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    let mode = match arguments.next_if(|argument| argument.parse::<usize>().is_err()).as_deref() {
        Some("put") => Mode::Put,
        Some("live") | None => Mode::Live,
        Some("backlog") => Mode::Backlog,
        Some(other) => anyhow::bail!("{other}: it is put, live or backlog"),
    };
    let mut next = |default| arguments.next().map_or(Ok(default), |argument| argument.parse::<usize>());
    let (records, batch_size, writers, lanes) = (next(1_000_000)?, next(1000)?, next(4)?, next(1)?);
    let state_dir = std::env::temp_dir().join(format!("streamkit-throughput-{}", std::process::id()));
    let (ready, address) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let options = Options {
        port: 0,
        region: "us-east-1".into(),
        account: "000000000000".into(),
        state_dir: state_dir.clone(),
        rehearsal: Rehearsal::default(),
        ..Options::default()
    };
    let server = tokio::spawn(serve(options, ready, async { drop(stopped.await) }));
    let mut client = Client::connect(address.await?).await?;

    let bootstrap = std::env::current_exe()?.with_file_name("test_bootstrap");
    let bootstrap = std::fs::read(&bootstrap).with_context(|| format!("reading {}", bootstrap.display()))?;
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("bootstrap", zip::write::SimpleFileOptions::default().unix_permissions(0o755))?;
    zip.write_all(&bootstrap)?;
    let function = json!({
        "FunctionName": "nothing",
        "Runtime": "provided.al2023",
        "Handler": "bootstrap",
        "Role": "arn:aws:iam::000000000000:role/r",
        "Timeout": 60,
        "Environment": { "Variables": { "UNREAD": "yes" } },
        "Code": { "ZipFile": BASE64.encode(zip.finish()?.into_inner()) },
    });
    let trust =
        r#"{"Statement":{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}}"#;
    let role = format!("Action=CreateRole&Version=2010-05-08&RoleName=r&AssumeRolePolicyDocument={trust}");
    client.raw("POST", "/", &[("Content-Type", "application/x-www-form-urlencoded")], &role).await?;
    let all =
        "Action=AttachRolePolicy&Version=2010-05-08&RoleName=r&PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess";
    client.raw("POST", "/", &[("Content-Type", "application/x-www-form-urlencoded")], all).await?;
    client.lambda("functions", &function).await?;
    client.kinesis("CreateStream", &json!({ "StreamName": "s", "ShardCount": 1 })).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;

    let (started, processor_before) = (Instant::now(), processor_seconds()?);
    let mut putting = Vec::new();
    for writer in 0..writers {
        let mut own = Client::connect(client.address).await?;
        putting.push(tokio::spawn(async move {
            for put in (writer..records / PER_PUT).step_by(writers) {
                let entries: Vec<String> = (0..PER_PUT).map(|at| entry(put, at)).collect();
                let body = format!(r#"{{"StreamName":"s","Records":[{}]}}"#, entries.join(","));
                let answer = own.raw("POST", "/", &PUT_RECORDS, &body).await?;
                ensure!(answer.starts_with(br#"{"FailedRecordCount":0,"#), "some records were refused");
            }
            anyhow::Ok(())
        }));
        if writer == 0 && mode != Mode::Put {
            let mapping = mapping(batch_size, lanes, mode == Mode::Live);
            client.lambda("event-source-mappings", &mapping).await?;
        }
    }
    for put in putting {
        put.await??;
    }
    report("put", records, started, processor_seconds()? - processor_before);
    println!("resident  {} MiB, of which the stream holds its records", resident_mib("VmRSS")?);
    if mode == Mode::Put {
        drop(stop);
        return server.await?;
    }

    let (mut began, mut processor) = (started, processor_before);
    if mode == Mode::Backlog {
        let listed = client.call("GET", "/2015-03-31/event-source-mappings", &[], "").await?;
        let uuid = listed["EventSourceMappings"][0]["UUID"].as_str().context("no mapping")?.to_owned();
        (began, processor) = (Instant::now(), processor_seconds()?);
        client.call("PUT", &format!("/2015-03-31/event-source-mappings/{uuid}"), &[], r#"{"Enabled":true}"#).await?;
    }
    let deadline = Instant::now() + Duration::from_mins(2);
    loop {
        let invoked = client.invoked().await?;
        if invoked >= records || Instant::now() > deadline {
            report("delivered", invoked, began, processor_seconds()? - processor);
            println!("resident  {} MiB at most", resident_mib("VmHWM")?);
            ensure!(invoked == records, "{invoked} of {records} records were delivered");
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(stop);
    server.await??;
    std::fs::remove_dir_all(state_dir)?;
    Ok(())
}

const PUT_RECORDS: [(&str, &str); 2] =
    [("X-Amz-Target", "Kinesis_20131202.PutRecords"), ("Content-Type", "application/x-amz-json-1.1")];

/// `CreateEventSourceMapping`.
fn mapping(batch_size: usize, lanes: usize, enabled: bool) -> Value {
    json!({
        "FunctionName": "nothing",
        "EventSourceArn": "arn:aws:kinesis:us-east-1:000000000000:stream/s",
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": batch_size,
        "ParallelizationFactor": lanes,
        "MetricsConfig": { "Metrics": ["EventCount"] },
        "Enabled": enabled,
    })
}

/// One entry of a `PutRecords`.
fn entry(put: usize, at: usize) -> String {
    format!(r#"{{"Data":"{}","PartitionKey":"{at}"}}"#, BASE64.encode(format!("record {put} {at}")))
}

fn report(what: &str, count: usize, began: Instant, processor: f64) {
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{what:9} {count} records in {seconds:.2} s: {:.0}/s; {processor:.2} s of processor time: {:.0}/s",
        per_second(count, seconds),
        per_second(count, processor)
    );
}

/// Processor time of this process and of the functions that run.
fn processor_seconds() -> anyhow::Result<f64> {
    let own = std::process::id().to_string();
    let mut ticks = 0;
    for entry in std::fs::read_dir("/proc")?.flatten() {
        // Processes come and go.
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // After the name, in parentheses: state, parent, …, and as the 12th and 13th the times.
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        if entry.file_name().to_str() == Some(&own) || fields.get(1) == Some(&own.as_str()) {
            for field in fields.get(11..13).context("no times")? {
                ticks += field.parse::<u32>()?;
            }
        }
    }
    // Linux tells programs of 100 ticks a second, whatever its own are.
    Ok(f64::from(ticks) / 100.0)
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
fn per_second(count: usize, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// A size in `/proc/self/status`, in whole MiB.
fn resident_mib(name: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("reading /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next()).with_context(|| format!("no {name}"))?;
    Ok(kib.parse::<u64>()? / 1024)
}

struct Client {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

impl Client {
    async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { address, stream: BufReader::new(stream) })
    }

    async fn kinesis(&mut self, operation: &str, body: &Value) -> anyhow::Result<Value> {
        let target = format!("Kinesis_20131202.{operation}");
        let headers = [("X-Amz-Target", target.as_str()), ("Content-Type", "application/x-amz-json-1.1")];
        self.call("POST", "/", &headers, &body.to_string()).await
    }

    async fn lambda(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call("POST", &format!("/2015-03-31/{path}"), &[], &body.to_string()).await
    }

    /// The mapping's own count of the records that reached the function.
    async fn invoked(&mut self) -> anyhow::Result<usize> {
        let listed = self.call("GET", "/2015-03-31/event-source-mappings", &[], "").await?;
        let uuid = listed["EventSourceMappings"][0]["UUID"].as_str().context("no mapping")?.to_owned();
        let time = |minutes| (chrono::Utc::now() + chrono::TimeDelta::minutes(minutes)).format("%Y-%m-%dT%H:%M:%SZ");
        let form = format!(
            "Action=GetMetricStatistics&Version=2010-08-01&Namespace=AWS/Lambda&MetricName=InvokedEventCount&Period=3600&Statistics.member.1=Sum&StartTime={}&EndTime={}&Dimensions.member.1.Name=EventSourceMappingUUID&Dimensions.member.1.Value={uuid}",
            time(-10),
            time(10)
        );
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let xml = self.raw("POST", "/", &headers, &form).await?;
        let xml = String::from_utf8_lossy(&xml);
        let sums = xml
            .split("<Sum>")
            .skip(1)
            .filter_map(|part| part.split('<').next()?.split('.').next()?.parse::<usize>().ok());
        Ok(sums.sum())
    }

    async fn call(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> anyhow::Result<Value> {
        let answer = self.raw(method, path, headers, body).await?;
        Ok(if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer)? })
    }

    async fn raw(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> anyhow::Result<Vec<u8>> {
        let headers = headers.iter().map(|(name, value)| [*name, ": ", *value, "\r\n"].concat()).collect::<String>();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        let (mut length, mut status) = (0, String::new());
        loop {
            let mut line = String::new();
            ensure!(self.stream.read_line(&mut line).await? > 0, "the connection was closed");
            if status.is_empty() {
                line.trim_end().clone_into(&mut status);
            }
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse()?,
                None if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).await?;
        ensure!(status.contains(" 20"), "{method} {path}: {status} {}", String::from_utf8_lossy(&answer));
        Ok(answer)
    }
}
