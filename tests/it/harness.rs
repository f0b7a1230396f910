//! Runs the real binary in a home of its own, with a cleared environment and its own embedded AWS.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// No command of a test takes so long, a build of the handler for AWS on a busy machine included.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// The document on stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not one JSON document ({error}): {self:#?}"))
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

/// A home folder; its embedded AWS ends with it.
pub(crate) struct Home {
    directory: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary folder") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file below the home folder.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("a file in the home folder");
        path
    }

    /// The retail pipeline, changed by replacing lines.
    pub(crate) fn retail(&self, replacements: &[(&str, &str)]) -> PathBuf {
        let text = std::fs::read_to_string(pipeline("retail-events.toml")).expect("the retail pipeline");
        self.changed(&text, replacements)
    }

    /// A spec, changed by replacing lines.
    pub(crate) fn changed(&self, text: &str, replacements: &[(&str, &str)]) -> PathBuf {
        let mut text = text.to_owned();
        for (from, to) in replacements {
            assert!(text.contains(from), "the pipeline has no `{from}`");
            text = text.replace(from, to);
        }
        self.write("pipeline.toml", &text)
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_streamkit"));
        command.env_clear().current_dir(self.path()).stdin(Stdio::null());
        // What cargo needs to build the handler, and nothing of the user's AWS settings.
        for name in ["PATH", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some(home) = std::env::home_dir() {
            for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
                if std::env::var_os(name).is_none() {
                    command.env(name, home.join(folder));
                }
            }
        }
        command.env("HOME", self.path()).env("STREAMKIT_HOME", self.path().join("state"));
        // Built once for all tests.
        command.env("STREAMKIT_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"));
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.run_with(args, &[])
    }

    pub(crate) fn run_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Output {
        let child = self
            .command()
            .args(args)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        finish(child)
    }

    /// Runs a command with `--local --json` on a spec, and gives its document.
    #[track_caller]
    pub(crate) fn local(&self, command: &str, spec: &Path, more: &[&str]) -> Value {
        self.local_output(command, spec, more).expect(0).json()
    }

    pub(crate) fn local_output(&self, command: &str, spec: &Path, more: &[&str]) -> Output {
        let spec = spec.to_str().expect("a path in UTF-8");
        let mut args = vec![command, spec, "--local", "--json"];
        args.extend(more);
        self.run(&args)
    }

    /// Starts the embedded AWS and gives its address.
    pub(crate) fn endpoint(&self) -> String {
        let answer = self.run(&["local", "start", "--json"]).expect(0).json();
        answer["endpoint"].as_str().expect("an endpoint").to_owned()
    }

    /// Every API call that the embedded AWS was sent so far.
    pub(crate) fn calls(&self) -> Vec<Value> {
        let answer = self.run(&["local", "logs", "--calls", "--json"]).expect(0).json();
        answer["calls"].as_array().expect("a list of calls").clone()
    }

    /// How many API calls the embedded AWS was sent so far, and those of them after the given number.
    pub(crate) fn calls_after(&self, from: usize) -> (usize, Vec<Value>) {
        let (status, answer) = http(&self.endpoint(), "GET", &format!("/_streamkit/calls?since={from}"), "");
        assert_eq!(status, 200, "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let log: Value = serde_json::from_str(body).expect("a call log");
        let last = log["next"].as_u64().and_then(|last| usize::try_from(last).ok()).expect("the last call's number");
        (last, log["calls"].as_array().expect("a list of calls").clone())
    }

    /// The operations that changed something, from the given call on.
    pub(crate) fn mutating_calls(&self, from: usize) -> Vec<String> {
        let of = |call: &Value| format!("{} {}", call["service"], call["operation"]);
        self.calls_after(from).1.iter().filter(|call| call["mutating"] == true).map(of).collect()
    }

    /// Makes the next calls of an operation fail.
    pub(crate) fn fault(&self, service: &str, operation: &str, times: u32, status: u16, code: &str) {
        self.arm(&serde_json::json!({
            "service": service, "operation": operation, "times": times, "status": status, "code": code, "message": "made by a test",
        }));
    }

    /// The same with AWS's words, and status 400.
    pub(crate) fn fault_saying(&self, service: &str, operation: &str, times: u32, code: &str, message: &str) {
        self.arm(&serde_json::json!({
            "service": service, "operation": operation, "times": times, "status": 400, "code": code, "message": message,
        }));
    }

    /// Breaks the connection of the next call of an operation, after the call took effect.
    pub(crate) fn lose_answer(&self, service: &str, operation: &str) {
        self.arm(&serde_json::json!({ "service": service, "operation": operation, "fault": "lost-answer" }));
    }

    /// Takes back the faults that no call has met yet.
    pub(crate) fn disarm(&self) {
        let (status, answer) = http(&self.endpoint(), "DELETE", "/_streamkit/faults", "");
        assert!((200..300).contains(&status), "{status}: {answer}");
    }

    fn arm(&self, body: &Value) {
        let endpoint = self.endpoint();
        let (status, answer) = http(&endpoint, "POST", "/_streamkit/faults", &body.to_string());
        assert!((200..300).contains(&status), "{status}: {answer}");
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Nothing to stop where a test never started it.
        let _ = self.command().args(["local", "stop", "--quiet"]).output();
    }
}

/// Waits for a process, and fails when it takes longer than [`LIMIT`].
pub(crate) fn finish(mut child: Child) -> Output {
    let read = |stream: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut text = String::new();
            if let Some(mut stream) = stream {
                std::io::Read::read_to_string(&mut stream, &mut text).expect("output in UTF-8");
            }
            text
        })
    };
    let stdout = read(child.stdout.take().map(|stream| Box::new(stream) as _));
    let stderr = read(child.stderr.take().map(|stream| Box::new(stream) as _));
    let started = Instant::now();
    let status = loop {
        match child.try_wait().expect("the process can be waited for") {
            Some(status) => break status,
            None if started.elapsed() > LIMIT => {
                let _ = child.kill();
                panic!("the process did not end within {LIMIT:?}");
            }
            None => std::thread::park_timeout(Duration::from_millis(5)),
        }
    };
    let (stdout, stderr) = (stdout.join().expect("stdout"), stderr.join().expect("stderr"));
    Output { code: status.code().unwrap_or(-1), stdout, stderr }
}

/// A spec of the project.
pub(crate) fn pipeline(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines").join(name)
}

/// Looks again and again until there is something to see.
#[track_caller]
pub(crate) fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(started.elapsed() < limit, "{what} did not come within {limit:?}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// One plain HTTP/1.1 request on a connection of its own.
pub(crate) fn http(endpoint: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    use std::io::{Read as _, Write as _};
    let address = endpoint.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).expect("the embedded AWS listens");
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    (status, answer)
}

/// A client of the embedded AWS, for looking at what `up` made with other eyes than streamkit's.
pub(crate) fn sdk(endpoint: &str) -> aws_config::SdkConfig {
    runtime().block_on(
        aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(endpoint)
            // Looking must not fail under rehearsed faults.
            .retry_config(aws_config::retry::RetryConfig::standard().with_max_attempts(10))
            .region(aws_config::Region::new("us-east-1"))
            .credentials_provider(aws_credential_types::Credentials::new("test", "test", None, None, "test"))
            .load(),
    )
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
