//! Functions that do not start, or end badly: what the caller gets, what the log says, and that no process is left.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::aws::{Answer, Aws, bootstrap, eventually, function_body, zip};

const TAIL: (&str, &str) = ("X-Amz-Log-Type", "Tail");

/// The end of the log that came with an answer.
fn tail(answer: &Answer) -> String {
    String::from_utf8(BASE64.decode(&answer.headers["x-amz-log-result"]).unwrap()).unwrap()
}

/// Processes that run a program from this folder.
fn running(folder: &Path) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|process| std::fs::read_link(process.path().join("exe")).is_ok_and(|exe| exe.starts_with(folder)))
        .count()
}

/// The test bootstrap with some of its bytes changed.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut program = bootstrap().to_vec();
    change(&mut program);
    zip(&[("bootstrap", &program, 0o755)])
}

async fn create(aws: &Aws, name: &str, zip: &str) {
    let made = aws.lambda("POST", "functions", function_body(name, zip)).await;
    assert_eq!(made.status, 201, "{}", made.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn start_that_fails_is_tried_again_with_the_invocation_and_reported() {
    let aws = Aws::start().await;
    aws.function("f", json!({ "INIT": "exit:3" }), |_| {}).await;
    let answer = aws.invoke_with("f", &[TAIL], json!({})).await;
    assert_eq!((answer.status, answer.headers["x-amz-function-error"].as_str()), (200, "Unhandled"));
    let id = answer.headers["x-amzn-requestid"].clone();
    let message = format!("RequestId: {id} Error: Runtime exited with error: exit status 3");
    assert_eq!(answer.json(), json!({ "errorType": "Runtime.ExitError", "errorMessage": message }));
    let tail = tail(&answer);
    let lines: Vec<&str> = tail.lines().collect();
    let error = "\tStatus: error\tError Type: Runtime.ExitError";
    for (line, phase) in lines.iter().zip(["init", "invoke"]) {
        assert!(line.starts_with("INIT_REPORT Init Duration: "), "{tail}");
        assert!(line.ends_with(&format!(" ms\tPhase: {phase}{error}")), "{tail}");
    }
    assert_eq!(lines[2], format!("START RequestId: {id} Version: $LATEST"), "{tail}");
    assert_eq!(lines[3..6], [message.as_str(), "Runtime.ExitError", &format!("END RequestId: {id}")], "{tail}");
    assert!(lines[6].starts_with(&format!("REPORT RequestId: {id}\t")) && lines[6].ends_with(&error[1..]), "{tail}");
    let log = eventually("the log is written", async || {
        let log = aws.log("/aws/lambda/f").await;
        log.iter().any(|line| line.starts_with("REPORT")).then_some(log)
    })
    .await;
    assert_eq!(log.join("\n"), tail.trim_end());
    assert_eq!(running(&aws.dir), 0);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn error_that_the_start_reports_is_the_answer() {
    let aws = Aws::start().await;
    aws.function("f", json!({ "INIT": "error" }), |_| {}).await;
    let answer = aws.invoke_with("f", &[TAIL], json!({})).await;
    assert_eq!(answer.json(), json!({ "errorType": "Config.Missing", "errorMessage": "no table" }));
    assert!(tail(&answer).contains("Phase: init\tStatus: error\tError Type: Config.Missing"), "{}", tail(&answer));
    assert_eq!(running(&aws.dir), 0);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bootstrap_that_never_asks_for_work_is_stopped_after_ten_seconds_and_the_timeout() {
    let aws = Aws::start().await;
    aws.function("f", json!({ "INIT": "hang" }), |body| body["Timeout"] = json!(1)).await;
    let started = std::time::Instant::now();
    let answer = aws.invoke_with("f", &[TAIL], json!({})).await;
    assert!((11..30).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    assert_eq!(answer.json()["errorType"], "Sandbox.Timedout");
    let tail = tail(&answer);
    for part in [
        "Phase: init\tStatus: timeout",
        "Phase: invoke\tStatus: timeout",
        "Task timed out after 1.00 seconds",
        "Duration: 1000.00 ms",
    ] {
        assert!(tail.contains(part), "{part} {tail}");
    }
    assert_eq!(running(&aws.dir), 0);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn program_for_another_machine_does_not_start() {
    let aws = Aws::start().await;
    // Bytes 18 and 19 of an ELF file name the machine; 21 is one that nothing here runs, 64-bit PowerPC.
    create(&aws, "f", &changed(|program| program[18] = 21)).await;
    let answer = aws.invoke("f", json!({})).await;
    assert_eq!(answer.json()["errorType"], "Runtime.InvalidEntrypoint", "{}", answer.text());
    assert!(answer.text().contains("Error: fork/exec /var/task/bootstrap: exec format error"), "{}", answer.text());
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn program_that_needs_a_newer_c_library_says_which() {
    let aws = Aws::start().await;
    let package = changed(|program| {
        let name = b"GLIBC_2.3";
        let versions: Vec<usize> =
            program.windows(name.len()).enumerate().filter(|(_, part)| part == name).map(|(at, _)| at).collect();
        assert!(!versions.is_empty(), "the test bootstrap is not linked with glibc");
        for at in versions {
            program[at + "GLIBC_".len()] = b'9';
        }
    });
    create(&aws, "f", &package).await;
    let answer = aws.invoke_with("f", &[TAIL], json!({})).await;
    assert_eq!(answer.json()["errorType"], "Runtime.ExitError", "{}", answer.text());
    assert!(answer.text().contains("Runtime exited with error: exit status 1"), "{}", answer.text());
    assert!(tail(&answer).contains("version `GLIBC_9.3"), "{}", tail(&answer));
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn panic_is_an_exit_and_its_words_are_in_the_log() {
    let aws = Aws::start().await;
    aws.function("f", json!({}), |_| {}).await;
    let answer = aws.invoke_with("f", &[TAIL], json!({ "do": "panic" })).await;
    assert!(answer.text().contains("Runtime exited with error: exit status 101"), "{}", answer.text());
    assert!(tail(&answer).contains("told to panic"), "{}", tail(&answer));
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn megabytes_of_output_are_logged_and_hold_up_nothing() {
    let aws = Aws::start().await;
    aws.function("f", json!({}), |body| body["Timeout"] = json!(60)).await;
    let lines = 20_000;
    let answer = aws.invoke_with("f", &[TAIL], json!({ "do": "flood", "lines": lines })).await;
    assert_eq!(answer.text(), "null");
    let tail = tail(&answer);
    assert!(tail.len() <= 4096 && tail.contains("REPORT RequestId: "), "{tail}");
    // A line that is longer than an event may be is cut.
    assert_eq!(aws.invoke("f", json!({ "do": "line", "bytes": 1_000_000 })).await.text(), "null");
    eventually("the log holds the beginning and the end", async || {
        let stored = aws.call("Logs_20140328.DescribeLogStreams", json!({ "logGroupName": "/aws/lambda/f" })).await;
        let stream = &stored["logStreams"][0]["logStreamName"];
        let count = async |filter: &str| {
            let body = json!({ "logGroupName": "/aws/lambda/f", "logStreamNames": [stream], "filterPattern": filter });
            let found = aws.call("Logs_20140328.FilterLogEvents", body).await;
            found["events"].as_array().map_or(0, Vec::len)
        };
        let ends = (count("\"line 0 \"").await, count(&format!("\"line {} \"", lines - 1)).await);
        (ends == (1, 1) && count("REPORT").await == 2).then_some(())
    })
    .await;
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_over_the_limits_are_refused_in_both_directions() {
    let aws = Aws::start().await;
    aws.function("f", json!({}), |body| body["Timeout"] = json!(60)).await;
    let payload = |bytes: usize| Value::String("x".repeat(bytes));
    let echoed = aws.invoke("f", payload(6 * 1024 * 1024)).await;
    assert_eq!((echoed.status, echoed.body.len()), (200, 6 * 1024 * 1024 + 2));
    for (headers, bytes) in
        [(vec![], 6 * 1024 * 1024 + 200), (vec![("X-Amz-Invocation-Type", "Event")], 1024 * 1024 + 1)]
    {
        let refused = aws.invoke_with("f", &headers, payload(bytes)).await;
        assert_eq!((refused.status, refused.code()), (413, "RequestTooLargeException"), "{}", refused.text());
    }
    let answer = aws.invoke("f", json!({ "do": "big", "bytes": 6 * 1024 * 1024 + 200 })).await;
    assert_eq!(answer.json()["errorType"], "Function.ResponseSizeTooLarge");
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_invocations_have_processes_of_their_own_that_are_used_again() {
    let aws = Aws::start().await;
    aws.function("f", json!({}), |body| body["Timeout"] = json!(60)).await;
    let who = async || aws.invoke("f", json!({ "do": "who", "ms": 1000 })).await.json();
    let (one, two, three) = tokio::join!(who(), who(), who());
    let mut first: Vec<u64> = [one, two, three].iter().map(|who| who["pid"].as_u64().unwrap()).collect();
    let (one, two, three) = tokio::join!(who(), who(), who());
    let mut second: Vec<u64> = [one, two, three].iter().map(|who| who["pid"].as_u64().unwrap()).collect();
    first.sort_unstable();
    second.sort_unstable();
    assert!(first[0] < first[1] && first[1] < first[2], "{first:?}");
    assert_eq!(first, second);
    assert_eq!(running(&aws.dir), 3);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(target_os = "linux")]
async fn function_that_takes_more_memory_than_it_has_is_killed() {
    const MIB: u64 = 1024 * 1024;
    let aws = Aws::start().await;
    aws.function("f", json!({}), |body| body["MemorySize"] = json!(128)).await;
    let allocate = |mib: u64, ms: u64| json!({ "do": "allocate", "bytes": mib * MIB, "ms": ms });
    let answer = aws.invoke("f", allocate(80, 500)).await;
    assert_eq!(answer.json(), json!(80 * MIB));
    let answer = aws.invoke_with("f", &[TAIL], allocate(200, 60_000)).await;
    assert_eq!(answer.headers["x-amz-function-error"], "Unhandled");
    assert_eq!(answer.json()["errorType"], "Runtime.ExitError");
    let message = answer.json()["errorMessage"].as_str().unwrap().to_owned();
    assert!(message.ends_with("Error: Runtime exited with error: signal: killed"), "{message}");
    let tail = tail(&answer);
    assert!(tail.contains("\tMemory Size: 128 MB\tMax Memory Used: 128 MB\t"), "{tail}");
    assert!(tail.trim_end().ends_with("Status: error\tError Type: Runtime.ExitError"), "{tail}");
    // The next invocation has a new process.
    assert_eq!(aws.invoke("f", allocate(1, 0)).await.json(), json!(MIB));
    aws.stop().await;
}
