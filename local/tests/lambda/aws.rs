//! An embedded AWS for one test, a client for it, and the function that the tests run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::Future;
use std::io::{Cursor, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use streamkit_local::{Options, Rehearsal, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

pub(crate) const ROLE: &str = "arn:aws:iam::000000000000:role/r";
/// Nothing here takes nearly as long, even on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// One answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The AWS error code.
    pub(crate) fn code(&self) -> &str {
        self.headers.get("x-amzn-errortype").map_or("", String::as_str)
    }
}

pub(crate) struct Aws {
    address: SocketAddr,
    pub(crate) dir: PathBuf,
    stop: oneshot::Sender<()>,
    server: JoinHandle<anyhow::Result<()>>,
}

impl Aws {
    pub(crate) async fn start() -> Self {
        Self::rehearsing(Rehearsal::default()).await
    }

    pub(crate) async fn rehearsing(rehearsal: Rehearsal) -> Self {
        Self::with(Options { rehearsal, ..Options::default() }).await
    }

    /// With these options, but in the region and folder of these tests.
    pub(crate) async fn with(options: Options) -> Self {
        let dir = std::env::temp_dir().join(format!("streamkit-lambda-{}", Uuid::new_v4().simple()));
        let (ready, address) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let options = Options { region: "us-east-1".into(), state_dir: dir.clone(), ..options };
        let server = tokio::spawn(serve(options, ready, async { drop(stopped.await) }));
        let aws = Self { address: address.await.unwrap(), dir, stop, server };
        aws.role("r", "lambda.amazonaws.com").await;
        aws
    }

    /// Stops it; every process of a function must be gone then, and its code too.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.server.await.unwrap().unwrap();
        let left = std::fs::read_dir(self.dir.join("functions"))
            .map_or(0, |left| left.flatten().map(|pid| std::fs::read_dir(pid.path()).map_or(0, Iterator::count)).sum());
        assert_eq!(left, 0, "function code is left in {}", self.dir.display());
        std::fs::remove_dir_all(&self.dir).unwrap();
    }

    pub(crate) async fn http(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(head, "Content-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let end = bytes.windows(4).position(|part| part == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Answer { status, headers, body: bytes[end + 4..].to_vec() }
    }

    /// A JSON service; must succeed.
    pub(crate) async fn call(&self, target: &str, body: Value) -> Value {
        let headers = [("X-Amz-Target", target), ("Content-Type", "application/x-amz-json-1.1")];
        let answer = self.http("POST", "/", &headers, body.to_string().as_bytes()).await;
        assert_eq!(answer.status, 200, "{target} {}", answer.text());
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    /// A query service; must succeed.
    pub(crate) async fn query(&self, form: &str) -> String {
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let answer = self.http("POST", "/", &headers, form.as_bytes()).await;
        assert_eq!(answer.status, 200, "{form} {}", answer.text());
        answer.text()
    }

    /// The Lambda API.
    pub(crate) async fn lambda(&self, method: &str, path: &str, body: Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.http(method, &format!("/2015-03-31/{path}"), &[], body.as_bytes()).await
    }

    pub(crate) async fn kinesis(&self, operation: &str, body: Value) -> Value {
        self.call(&format!("Kinesis_20131202.{operation}"), body).await
    }

    /// Makes a role that this service may assume and that may do everything.
    pub(crate) async fn role(&self, name: &str, service: &str) {
        let trust = json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": { "Service": service }, "Action": "sts:AssumeRole",
        }] });
        self.query(&format!("Action=CreateRole&Version=2010-05-08&RoleName={name}&AssumeRolePolicyDocument={trust}"))
            .await;
        let all = "arn:aws:iam::aws:policy/AdministratorAccess";
        self.query(&format!("Action=AttachRolePolicy&Version=2010-05-08&RoleName={name}&PolicyArn={all}")).await;
    }

    /// Makes a function of the test bootstrap; `change` may alter the request.
    pub(crate) async fn function(&self, name: &str, environment: Value, change: impl FnOnce(&mut Value)) -> Value {
        static PACKAGE: OnceLock<String> = OnceLock::new();
        let package = PACKAGE.get_or_init(|| zip(&[("bootstrap", bootstrap(), 0o755)]));
        let mut body = function_body(name, package);
        body["Environment"] = json!({ "Variables": environment });
        change(&mut body);
        let answer = self.lambda("POST", "functions", body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    /// Lets any topic invoke a function.
    pub(crate) async fn open_function(&self, name: &str) {
        let permission = json!({
            "StatementId": "sns", "Action": "lambda:InvokeFunction", "Principal": "sns.amazonaws.com",
        });
        let added = self.lambda("POST", &format!("functions/{name}/policy"), permission).await;
        assert_eq!(added.status, 201, "{}", added.text());
    }

    pub(crate) async fn invoke(&self, name: &str, payload: Value) -> Answer {
        self.invoke_with(name, &[], payload).await
    }

    pub(crate) async fn invoke_with(&self, name: &str, headers: &[(&str, &str)], payload: Value) -> Answer {
        let path = format!("/2015-03-31/functions/{name}/invocations");
        self.http("POST", &path, headers, payload.to_string().as_bytes()).await
    }

    /// Makes a stream.
    pub(crate) async fn stream(&self, name: &str, shards: u32) -> String {
        self.kinesis("CreateStream", json!({ "StreamName": name, "ShardCount": shards })).await;
        eventually("the stream is active", async || {
            let seen = self.kinesis("DescribeStreamSummary", json!({ "StreamName": name })).await;
            (seen["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE").then_some(())
        })
        .await;
        format!("arn:aws:kinesis:us-east-1:000000000000:stream/{name}")
    }

    /// Puts records of one partition key; gives back shard and sequence number of each.
    pub(crate) async fn put(&self, stream: &str, key: &str, data: &[&str]) -> Vec<(String, String)> {
        let records: Vec<_> =
            data.iter().map(|data| json!({ "Data": BASE64.encode(data), "PartitionKey": key })).collect();
        let put = self.kinesis("PutRecords", json!({ "StreamName": stream, "Records": records })).await;
        assert_eq!(put["FailedRecordCount"], 0);
        let text = |record: &Value, member: &str| record[member].as_str().unwrap().to_owned();
        put["Records"]
            .as_array()
            .unwrap()
            .iter()
            .map(|record| (text(record, "ShardId"), text(record, "SequenceNumber")))
            .collect()
    }

    /// Makes a queue that topics may send to, and gives back its URL and ARN.
    pub(crate) async fn queue(&self, name: &str) -> (String, String) {
        let made = json!({ "QueueName": name, "Attributes": { "Policy": open_to_topics() } });
        let made = self.call("AmazonSQS.CreateQueue", made).await;
        (made["QueueUrl"].as_str().unwrap().to_owned(), format!("arn:aws:sqs:us-east-1:000000000000:{name}"))
    }

    /// Waits for so many messages, and gives back their bodies.
    pub(crate) async fn messages(&self, queue: &str, count: usize) -> Vec<Value> {
        let mut bodies = Vec::new();
        let started = Instant::now();
        while bodies.len() < count {
            assert!(started.elapsed() < PATIENCE, "{} of {count} messages came: {bodies:#?}", bodies.len());
            let body = json!({ "QueueUrl": queue, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1 });
            let received = self.call("AmazonSQS.ReceiveMessage", body).await;
            for message in received["Messages"].as_array().into_iter().flatten() {
                bodies.push(serde_json::from_str(message["Body"].as_str().unwrap()).unwrap());
            }
        }
        assert_eq!(bodies.len(), count, "{bodies:#?}");
        bodies
    }

    /// Makes a mapping and waits until it is enabled; gives back its UUID.
    pub(crate) async fn mapping(&self, function: &str, source: &str, settings: Value) -> String {
        let mut body =
            json!({ "FunctionName": function, "EventSourceArn": source, "StartingPosition": "TRIM_HORIZON" });
        body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let made = self.lambda("POST", "event-source-mappings/", body).await;
        assert_eq!(made.status, 202, "{}", made.text());
        assert_eq!(made.json()["State"], "Creating");
        let uuid = made.json()["UUID"].as_str().unwrap().to_owned();
        self.mapping_state(&uuid, "Enabled").await;
        uuid
    }

    /// Changes a mapping and waits until it is in this state.
    pub(crate) async fn update_mapping(&self, uuid: &str, body: Value, state: &str) -> Value {
        let changed = self.lambda("PUT", &format!("event-source-mappings/{uuid}"), body).await;
        assert_eq!(changed.status, 202, "{}", changed.text());
        self.mapping_state(uuid, state).await
    }

    /// Waits until a mapping is in this state.
    pub(crate) async fn mapping_state(&self, uuid: &str, state: &str) -> Value {
        eventually(&format!("the mapping is {state}"), async || {
            let seen = self.lambda("GET", &format!("event-source-mappings/{uuid}"), Value::Null).await;
            (seen.json()["State"] == state).then(|| seen.json())
        })
        .await
    }

    /// All lines in a log group; none while it does not exist.
    pub(crate) async fn log(&self, group: &str) -> Vec<String> {
        let groups = self.call("Logs_20140328.DescribeLogGroups", json!({ "logGroupNamePrefix": group })).await;
        if groups["logGroups"].as_array().is_none_or(Vec::is_empty) {
            return Vec::new();
        }
        let streams = self.call("Logs_20140328.DescribeLogStreams", json!({ "logGroupName": group })).await;
        let mut lines = Vec::new();
        for stream in streams["logStreams"].as_array().into_iter().flatten() {
            let body =
                json!({ "logGroupName": group, "logStreamName": stream["logStreamName"], "startFromHead": true });
            let events = self.call("Logs_20140328.GetLogEvents", body).await;
            let events = events["events"].as_array().unwrap().clone();
            lines.extend(events.iter().map(|event| event["message"].as_str().unwrap().to_owned()));
        }
        lines
    }

    /// A statistic of an `AWS/Lambda` metric over the last minutes; 0 without data.
    pub(crate) async fn metric(&self, namespace: &str, name: &str, dimension: Option<(&str, &str)>) -> f64 {
        let now = chrono::Utc::now();
        let time = |minutes| (now + chrono::TimeDelta::minutes(minutes)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut form = format!(
            "Action=GetMetricStatistics&Version=2010-08-01&Namespace={namespace}&MetricName={name}&Period=3600&Statistics.member.1=Sum&StartTime={}&EndTime={}",
            time(-10),
            time(10)
        );
        if let Some((name, value)) = dimension {
            let _ = write!(form, "&Dimensions.member.1.Name={name}&Dimensions.member.1.Value={value}");
        }
        let xml = self.query(&form).await;
        xml.split("<Sum>").skip(1).map(|part| part.split('<').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}

/// Waits until something is there.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The policy of a queue that any topic may send to.
pub(crate) fn open_to_topics() -> String {
    let sns = json!({ "Service": "sns.amazonaws.com" });
    let statement = json!({ "Effect": "Allow", "Principal": sns, "Action": "sqs:SendMessage", "Resource": "*" });
    json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
}

/// A request for a new function with this package.
pub(crate) fn function_body(name: &str, zip: &str) -> Value {
    json!({
        "FunctionName": name,
        "Runtime": "provided.al2023",
        "Handler": "bootstrap",
        "Role": ROLE,
        "Code": { "ZipFile": zip },
    })
}

/// A deployment package in base64.
pub(crate) fn zip(entries: &[(&str, &[u8], u32)]) -> String {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content, mode) in entries {
        let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        zip.start_file(*name, stored.unix_permissions(*mode)).unwrap();
        zip.write_all(content).unwrap();
    }
    BASE64.encode(zip.finish().unwrap().into_inner())
}

/// The test bootstrap. `cargo test` has built it, unless it was told to build less.
pub(crate) fn bootstrap() -> &'static [u8] {
    static BOOTSTRAP: OnceLock<Vec<u8>> = OnceLock::new();
    BOOTSTRAP.get_or_init(|| {
        let profile = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
        let path = profile.join("examples/test_bootstrap");
        if !path.is_file() {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["build", "-p", "streamkit-local", "--example", "test_bootstrap", "--target-dir"]);
            assert!(cargo.arg(profile.parent().unwrap()).status().unwrap().success());
        }
        std::fs::read(path).unwrap()
    })
}
