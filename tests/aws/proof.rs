//! Proves the run against the embedded AWS at its strictest, with the real binary: as it should go, failing, interrupted and killed.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::account::Account;

/// AWS's states and latencies at about a tenth of their time.
const TIMES: &str = r#"
call = ["2ms", "12ms"]
[changes]
stream-create = ["800ms", "1500ms"]
stream-update = ["300ms", "800ms"]
stream-delete = ["800ms", "1500ms"]
table-create = ["500ms", "900ms"]
table-update = ["200ms", "500ms"]
table-delete = ["400ms", "900ms"]
role-propagation = ["1s", "2s"]
function-create = ["200ms", "500ms"]
function-update = ["200ms", "400ms"]
mapping-create = ["1s", "2s"]
mapping-update = ["500ms", "1s"]
mapping-delete = ["500ms", "1s"]
mapping-polling = ["200ms", "1s"]
"#;

/// An embedded AWS of its own; it ends with it.
struct Embedded {
    home: TempDir,
    endpoint: String,
}

impl Embedded {
    fn start() -> Self {
        let times = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(times.path(), TIMES).expect("the file is written");
        Self::with(times.path())
    }

    fn with(times: &Path) -> Self {
        let mut embedded = Self { home: tempfile::tempdir().expect("a temporary folder"), endpoint: String::new() };
        let started = embedded.local(&["start", "--strict", "--latency", times.to_str().expect("a path in UTF-8")]);
        embedded.endpoint = started["endpoint"].as_str().map(str::to_owned).expect("an endpoint");
        embedded
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("HOME", self.home.path()).env("STREAMKIT_HOME", self.home.path().join("state"));
        for name in ["AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "STREAMKIT_LOG"] {
            command.env_remove(name);
        }
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test").env("AWS_REGION", "us-east-1");
        command
    }

    fn local(&self, args: &[&str]) -> Value {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_streamkit")));
        let output = command.arg("local").args(args).arg("--json").output().expect("the binary starts");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// Makes every call of an operation fail from now on.
    fn fail(&self, service: &str, operation: &str) {
        let body = serde_json::json!({
            "service": service, "operation": operation, "times": 1000, "status": 400,
            "code": "AccessDeniedException", "message": "made by a test",
        });
        let (status, answer) = http(&self.endpoint, "POST", "/_streamkit/faults", &body.to_string());
        assert!((200..300).contains(&status), "{status}: {answer}");
    }

    /// All calls so far.
    fn calls(&self) -> Vec<Value> {
        self.local(&["logs", "--calls"])["calls"].as_array().expect("a list of calls").clone()
    }

    fn until_called(&self, operation: &str, child: &mut Child) {
        let started = Instant::now();
        while !self.calls().iter().any(|call| call["operation"] == operation) {
            assert!(child.try_wait().expect("a child").is_none(), "it ended before {operation}");
            assert!(started.elapsed() < Duration::from_secs(120), "{operation} was not called");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_streamkit")));
        let _ = command.args(["local", "stop", "--quiet"]).output();
    }
}

/// A run in an embedded AWS of its own, of these pipelines.
fn start(embedded: &Embedded, only: Option<&str>) -> Child {
    let mut command = embedded.command(&std::env::current_exe().expect("this test"));
    command.args(["--ignored", "--exact", "every_pipeline_lives_in_the_account_of_the_environment"]);
    // The function is then the handler that is linked into the binary, which no compiler has to make.
    command.env("STREAMKIT_TEST_ARGUMENTS", "--local").env("AWS_ENDPOINT_URL", &embedded.endpoint);
    command.env("STREAMKIT_TEST_FOLDER", embedded.home.path());
    if let Some(only) = only {
        command.env("STREAMKIT_TEST_ONLY", only);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("this test starts")
}

/// What a run said, and whether it ended well.
fn end(child: Child) -> (bool, String) {
    let output = child.wait_with_output().expect("an end");
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (output.status.success(), said.concat())
}

fn assert_nothing_is_left(embedded: &Embedded, said: &str) {
    let left = Account::embedded(&embedded.endpoint).and_then(|account| account.has_nothing_of(""));
    assert!(left.is_ok(), "{left:?}\n{said}");
}

/// Of each kind of source and sink one: at AWS's pace the lives of all pipelines take a quarter of an hour.
const LIVES: [&str; 6] =
    ["change-capture", "clickstream", "orders", "private-events", "retail-events", "streaming-analytics"];

#[test]
fn the_run_goes_through_lives_and_its_observations_are_a_rehearsal() {
    let embedded = Embedded::start();
    let (well, said) = end(start(&embedded, Some(&LIVES.join(" "))));
    assert!(well, "{said}");
    assert!(said.contains("costs at most about $"), "{said}");
    for pipeline in LIVES {
        assert!(said.contains(&format!("{pipeline}: down, nothing left")), "{pipeline}: {said}");
    }
    assert_nothing_is_left(&embedded, &said);

    let file = embedded.home.path().join("aws-observed.toml");
    let text = std::fs::read_to_string(&file).expect("what was observed");
    // Which states are seen depends on when the looks fall.
    for part in ["[changes]\n", "-create = [", "CreateFunction = {"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains("kinesis CreateStream of one that is there ResourceInUseException: Stream "), "{text}");
    assert!(!text.contains("000000000000"), "{text}");
    let other = Embedded::with(&file);
    assert_eq!(other.local(&["status"])["rehearsal"]["latency"], file.to_str().expect("a path in UTF-8"));
}

#[test]
fn what_a_failed_life_has_made_is_removed() {
    let embedded = Embedded::start();
    embedded.fail("cloudwatch", "PutMetricAlarm");
    let (well, said) = end(start(&embedded, Some("retail-events")));
    assert!(!well && said.contains("retail-events: up: `streamkit up"), "{said}");
    assert!(said.contains("AccessDenied") && said.contains("made by a test"), "{said}");
    assert_nothing_is_left(&embedded, &said);
}

#[test]
fn what_an_interrupted_life_has_made_is_removed() {
    let embedded = Embedded::start();
    let mut run = start(&embedded, Some("retail-events clickstream"));
    embedded.until_called("CreateFunction", &mut run);
    signal(&run, "-INT");
    let (well, said) = end(run);
    assert!(!well && said.contains("interrupted: removing what was made"), "{said}");
    assert!(!said.contains("retail-events: check"), "the next one was begun: {said}");
    assert_nothing_is_left(&embedded, &said);
}

#[test]
fn the_command_that_is_printed_removes_what_a_killed_run_has_left() {
    let embedded = Embedded::start();
    let mut run = start(&embedded, Some("retail-events"));
    embedded.until_called("PutRecords", &mut run);
    signal(&run, "-KILL");
    let (well, said) = end(run);
    let command = said.split('`').find(|part| part.starts_with("sh ")).unwrap_or_default();
    assert!(!well && !command.is_empty(), "{said}");
    let left = Account::embedded(&embedded.endpoint).and_then(|account| account.names_with("retail-events-"));
    assert!(left.is_ok_and(|left| left.len() > 10), "{said}");
    let script = embedded.command(Path::new("sh")).arg(&command[3..]).output().expect("a shell");
    assert!(script.status.success(), "{script:?}");
    assert_nothing_is_left(&embedded, &said);
}

fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
}

/// One plain HTTP/1.1 request on a connection of its own.
fn http(endpoint: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    let address = endpoint.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).expect("the embedded AWS listens");
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n");
    write!(stream, "{head}content-type: application/json\r\n\r\n{body}").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    (answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line"), answer)
}
