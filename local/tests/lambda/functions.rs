//! Functions: their API, their processes, what they log and count, and every way to fail.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::aws::{Aws, ROLE, bootstrap, eventually, function_body, zip};

fn alive(pid: u64) -> bool {
    // A zombie has no command line any more.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn function_is_created_read_changed_and_deleted() {
    let aws = Aws::start().await;
    let made = aws.function("f", json!({ "A": "1" }), |body| body["Tags"] = json!({ "team": "x" })).await;
    assert_eq!((made["State"].as_str(), made["MemorySize"].as_u64()), (Some("Pending"), Some(128)));
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
    let twin = aws.lambda("POST", "functions", function_body("f", &zip(&[("bootstrap", b"x", 0o755)]))).await;
    assert_eq!((twin.status, twin.code()), (409, "ResourceConflictException"));
    assert_eq!(twin.json()["message"], "Function already exist: f");

    let read = aws.lambda("GET", "functions/f", Value::Null).await.json();
    let seen = &read["Configuration"];
    assert_eq!((&seen["FunctionArn"], &seen["State"], &seen["Role"]), (&json!(arn), &json!("Active"), &json!(ROLE)));
    assert_eq!((&seen["Environment"]["Variables"], &read["Tags"]), (&json!({ "A": "1" }), &json!({ "team": "x" })));
    assert_eq!(seen["CodeSha256"], made["CodeSha256"]);

    let changed =
        aws.lambda("PUT", "functions/f/configuration", json!({ "MemorySize": 256, "Timeout": 9 })).await.json();
    assert_eq!((&changed["MemorySize"], &changed["LastUpdateStatus"]), (&json!(256), &json!("InProgress")));
    let encoded = arn.replace(':', "%3A");
    let seen = aws.lambda("GET", &format!("functions/{encoded}/configuration"), Value::Null).await.json();
    assert_eq!((&seen["Timeout"], &seen["LastUpdateStatus"]), (&json!(9), &json!("Successful")));

    let tags = format!("/2017-03-31/tags/{encoded}");
    assert_eq!(aws.http("POST", &tags, &[], br#"{"Tags":{"k":"v"}}"#).await.status, 204);
    assert_eq!(aws.http("DELETE", &format!("{tags}?tagKeys=team"), &[], b"").await.status, 204);
    assert_eq!(aws.http("GET", &tags, &[], b"").await.json(), json!({ "Tags": { "k": "v" } }));

    let policy = aws.lambda("GET", "functions/f/policy", Value::Null).await;
    assert_eq!((policy.status, policy.code()), (404, "ResourceNotFoundException"));
    let versions = aws.lambda("GET", "functions/f/versions", Value::Null).await.json();
    assert_eq!(versions["Versions"][0]["Version"], "$LATEST");

    assert_eq!(aws.lambda("DELETE", "functions/f", Value::Null).await.status, 204);
    let gone = aws.lambda("GET", "functions/f", Value::Null).await;
    assert_eq!((gone.status, gone.code()), (404, "ResourceNotFoundException"));
    assert_eq!(gone.json()["Message"], format!("Function not found: {arn}"));
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn role_must_exist_and_trust_lambda() {
    let aws = Aws::start().await;
    aws.role("machines", "ec2.amazonaws.com").await;
    aws.function("f", json!({}), |_| {}).await;
    for role in ["nobody", "machines", "elsewhere/r"] {
        let role = format!("arn:aws:iam::000000000000:role/{role}");
        let mut body = function_body("g", &zip(&[("bootstrap", b"x", 0o755)]));
        body["Role"] = json!(role);
        let made = aws.lambda("POST", "functions", body).await;
        let changed = aws.lambda("PUT", "functions/f/configuration", json!({ "Role": role })).await;
        for refused in [made, changed] {
            assert_eq!((refused.status, refused.code()), (400, "InvalidParameterValueException"), "{role}");
            let message = "The role defined for the function cannot be assumed by Lambda.";
            assert_eq!(refused.json()["message"], message, "{role}");
        }
    }
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invocation_reaches_a_warm_process_with_everything_that_lambda_gives_it() {
    let aws = Aws::start().await;
    aws.function("f", json!({ "MINE": "yes" }), |_| {}).await;
    let echoed = aws.invoke("f", json!({ "n": [1, 2] })).await;
    assert_eq!((echoed.status, echoed.json()), (200, json!({ "n": [1, 2] })));
    assert_eq!(echoed.headers["x-amz-executed-version"], "$LATEST");

    let who = aws.invoke("f", json!({ "do": "who" })).await.json();
    assert_eq!(who["invocations"], 2, "the process was not reused");

    let environment = aws.invoke("f", json!({ "do": "env" })).await.json();
    for (name, value) in [
        ("MINE", "yes"),
        ("AWS_LAMBDA_FUNCTION_NAME", "f"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/f"),
        ("AWS_REGION", "us-east-1"),
        ("_HANDLER", "bootstrap"),
        ("TZ", ":UTC"),
    ] {
        assert_eq!(environment[name], value, "{name}");
    }
    assert!(environment["AWS_ENDPOINT_URL"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    assert_eq!(environment.get("HOME"), None, "the environment is not clean");

    let context = BASE64.encode(r#"{"client":{}}"#);
    let trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    let given = [("X-Amz-Client-Context", context.as_str()), ("X-Amzn-Trace-Id", trace)];
    let headers = aws.invoke_with("f", &given, json!({ "do": "headers" })).await.json();
    assert_eq!(headers["lambda-runtime-client-context"], r#"{"client":{}}"#);
    assert_eq!(headers["lambda-runtime-trace-id"], trace);
    let deadline: i64 = headers["lambda-runtime-deadline-ms"].as_str().unwrap().parse().unwrap();
    assert!((0..=3000).contains(&(deadline - chrono::Utc::now().timestamp_millis())), "{deadline}");

    // Configuration changes replace the process.
    aws.lambda("PUT", "functions/f/configuration", json!({ "Environment": { "Variables": { "MINE": "new" } } })).await;
    assert_eq!(aws.invoke("f", json!({ "do": "env" })).await.json()["MINE"], "new");
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_fail_is_reported_as_lambda_does() {
    let aws = Aws::start().await;
    aws.function("f", json!({}), |body| body["Timeout"] = json!(3)).await;
    // Seven megabytes take a busy machine a while.
    aws.function("patient", json!({}), |body| body["Timeout"] = json!(60)).await;
    for (payload, kind, message) in [
        (json!({ "do": "fail" }), "TestError", "told to fail"),
        (json!({ "do": "crash", "code": 7 }), "Runtime.ExitError", "Error: Runtime exited with error: exit status 7"),
        (json!({ "do": "crash", "code": 0 }), "Runtime.ExitError", "Error: Runtime exited without providing a reason"),
        (json!({ "do": "abort" }), "Runtime.ExitError", "Error: Runtime exited with error: signal: aborted"),
        (json!({ "do": "hang" }), "Sandbox.Timedout", "Error: Task timed out after 3.00 seconds"),
        (json!({ "do": "big", "bytes": 7_000_000 }), "Function.ResponseSizeTooLarge", "6291556 bytes"),
    ] {
        let name = if payload["do"] == "big" { "patient" } else { "f" };
        let answer = aws.invoke(name, payload.clone()).await;
        assert_eq!((answer.status, answer.headers["x-amz-function-error"].as_str()), (200, "Unhandled"), "{payload}");
        assert_eq!(answer.json()["errorType"], kind, "{payload}");
        let text = answer.json()["errorMessage"].as_str().unwrap().to_owned();
        assert!(text.ends_with(message) || text.contains(message), "{payload} {text}");
        // The next invocation meets a sound process.
        assert_eq!(aws.invoke("f", json!(1)).await.json(), json!(1), "after {payload}");
    }
    // A process that ends after its answer is replaced, not blamed on the next invocation.
    for _ in 0..3 {
        assert_eq!(aws.invoke("f", json!({ "do": "answer-and-exit" })).await.headers.get("x-amz-function-error"), None);
    }
    let log = eventually("the timeout is in the log", async || {
        let log = aws.log("/aws/lambda/f").await;
        log.iter().any(|line| line.contains("Status: timeout")).then_some(log)
    })
    .await;
    assert!(log.iter().any(|line| line.ends_with("Task timed out after 3.00 seconds")), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("exit status 7\nRuntime.ExitError")), "{log:#?}");
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bootstrap_that_does_not_start_is_reported_as_lambda_does() {
    let aws = Aws::start().await;
    let script: &[u8] = b"#!/bin/sh\nexit 3\n";
    for (name, zip, kind, message) in [
        ("missing", zip(&[("other", script, 0o755)]), "Runtime.InvalidEntrypoint", "Couldn't find valid bootstrap"),
        ("not-executable", zip(&[("bootstrap", script, 0o644)]), "Runtime.InvalidEntrypoint", "permission denied"),
        (
            "not-a-program",
            zip(&[("bootstrap", b"\x7fELF\x01junk", 0o755)]),
            "Runtime.InvalidEntrypoint",
            "exec format error",
        ),
        ("exits", zip(&[("bootstrap", script, 0o755)]), "Runtime.ExitError", "exit status 3"),
    ] {
        aws.lambda("POST", "functions", function_body(name, &zip)).await;
        let answer = aws.invoke(name, json!({})).await;
        assert_eq!(answer.json()["errorType"], kind, "{name} {}", answer.text());
        assert!(answer.text().contains(message), "{name} {}", answer.text());
    }
    aws.function("init-error", json!({ "INIT": "error" }), |_| {}).await;
    let answer = aws.invoke("init-error", json!({})).await;
    assert_eq!(answer.json(), json!({ "errorType": "Config.Missing", "errorMessage": "no table" }));
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_have_the_form_of_lambda() {
    let aws = Aws::start().await;
    aws.function("f", json!({}), |_| {}).await;
    let print = json!({ "do": "print", "lines": ["one", "two"] });
    let answer = aws.invoke_with("f", &[("X-Amz-Log-Type", "Tail")], print.clone()).await;
    let tail = String::from_utf8(BASE64.decode(&answer.headers["x-amz-log-result"]).unwrap()).unwrap();
    let lines: Vec<&str> = tail.lines().collect();
    assert!(lines[0].starts_with("START RequestId: ") && lines[0].ends_with(" Version: $LATEST"), "{tail}");
    assert_eq!(lines[1..4], ["one", "two", "no newline"]);
    assert!(lines[4].starts_with("END RequestId: "), "{tail}");
    let report: Vec<&str> = lines[5].split('\t').collect();
    for (part, start) in report.iter().zip([
        "REPORT RequestId: ",
        "Duration: ",
        "Billed Duration: ",
        "Memory Size: 128 MB",
        "Max Memory Used: ",
        "Init Duration: ",
    ]) {
        assert!(part.starts_with(start), "{part:?} {start}");
    }
    let warm = aws.invoke_with("f", &[("X-Amz-Log-Type", "Tail")], print).await;
    let warm = String::from_utf8(BASE64.decode(&warm.headers["x-amz-log-result"]).unwrap()).unwrap();
    assert!(!warm.contains("Init Duration") && warm.starts_with("START"), "{warm}");

    let log = eventually("the log is written", async || {
        let log = aws.log("/aws/lambda/f").await;
        (log.len() == 12).then_some(log)
    })
    .await;
    assert_eq!(log[..6].join("\n"), tail.trim_end_matches('\n'));

    // Deleting the function writes the rest, and the group does not come back.
    aws.invoke("f", json!({ "do": "print", "lines": ["last"] })).await;
    aws.lambda("DELETE", "functions/f", Value::Null).await;
    assert!(aws.log("/aws/lambda/f").await.contains(&"last".to_owned()));
    aws.call("Logs_20140328.DeleteLogGroup", json!({ "logGroupName": "/aws/lambda/f" })).await;
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_of_lambda_and_embedded_metrics_are_counted() {
    let aws = Aws::start().await;
    aws.function("f", json!({}), |_| {}).await;
    let line = json!({
        "_aws": { "Timestamp": chrono::Utc::now().timestamp_millis(), "CloudWatchMetrics": [{
            "Namespace": "Shop", "Dimensions": [[], ["Stage"]], "Metrics": [{ "Name": "Sold", "Unit": "Count" }],
        }] },
        "Sold": 5, "Stage": "dev",
    });
    for _ in 0..3 {
        aws.invoke("f", json!({ "do": "print", "lines": [line.to_string()] })).await;
    }
    aws.invoke("f", json!({ "do": "fail" })).await;
    for (namespace, name, dimension, expected) in [
        ("Shop", "Sold", None, 15.0),
        ("Shop", "Sold", Some(("Stage", "dev")), 15.0),
        ("AWS/Lambda", "Invocations", Some(("FunctionName", "f")), 4.0),
        ("AWS/Lambda", "Errors", Some(("FunctionName", "f")), 1.0),
    ] {
        eventually(&format!("{name} {dimension:?} is {expected}"), async || {
            let seen = aws.metric(namespace, name, dimension).await;
            ((seen - expected).abs() < 0.01).then_some(())
        })
        .await;
    }
    assert!(aws.metric("AWS/Lambda", "Duration", Some(("FunctionName", "f"))).await > 0.0);
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrency_uses_several_processes_up_to_the_reservation() {
    let aws = Aws::start().await;
    aws.function("f", json!({}), |body| body["Timeout"] = json!(30)).await;
    let reserve = |count: u32| json!({ "ReservedConcurrentExecutions": count }).to_string();
    let path = "/2017-10-31/functions/f/concurrency";
    assert_eq!(aws.http("PUT", path, &[], reserve(2).as_bytes()).await.status, 200);
    let slow = || aws.invoke("f", json!({ "do": "sleep", "ms": 1500 }));
    let late = async {
        // The other two are under way when both have made their log lines.
        eventually("two invocations run", async || {
            let log = aws.log("/aws/lambda/f").await;
            (log.iter().filter(|line| line.starts_with("START")).count() == 2).then_some(())
        })
        .await;
        aws.invoke("f", json!({})).await
    };
    let (one, two, third) = tokio::join!(slow(), slow(), late);
    assert_eq!((one.text(), two.text()), ("\"slept\"".to_owned(), "\"slept\"".to_owned()));
    assert_eq!((third.status, third.code()), (429, "TooManyRequestsException"));
    assert_eq!(third.json()["Reason"], "ReservedFunctionConcurrentInvocationLimitExceeded");
    assert_eq!(aws.http("DELETE", path, &[], b"").await.status, 204);
    assert_eq!(aws.http("GET", "/2019-09-30/functions/f/concurrency", &[], b"").await.json(), json!({}));
    eventually("the throttle is counted", async || {
        let seen = aws.metric("AWS/Lambda", "Throttles", Some(("FunctionName", "f"))).await;
        (seen >= 1.0).then_some(())
    })
    .await;
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_and_their_children_end_with_the_function_and_with_the_engine() {
    let aws = Aws::start().await;
    for name in ["deleted", "left"] {
        aws.function(name, json!({}), |_| {}).await;
    }
    let mut pids = Vec::new();
    for name in ["deleted", "left"] {
        let pid = aws.invoke(name, json!({ "do": "who" })).await.json()["pid"].as_u64().unwrap();
        let child = aws.invoke(name, json!({ "do": "child" })).await.json()["child"].as_u64().unwrap();
        pids.push((pid, child));
        // A process that was started this very moment has no command line yet.
        eventually("both run", async || (alive(pid) && alive(child)).then_some(())).await;
    }
    aws.lambda("DELETE", "functions/deleted", Value::Null).await;
    eventually("the processes of the deleted function are gone", async || {
        (!alive(pids[0].0) && !alive(pids[0].1)).then_some(())
    })
    .await;
    assert!(alive(pids[1].0) && alive(pids[1].1));
    aws.stop().await;
    // The engine has reaped the process itself; its child is for init to reap, which has nothing left to run.
    assert!(!alive(pids[1].0));
    eventually("the child is gone", async || (!alive(pids[1].1)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asynchronous_and_dry_run_invocations_answer_at_once() {
    let aws = Aws::start().await;
    aws.function("f", json!({}), |_| {}).await;
    let event = [("X-Amz-Invocation-Type", "Event")];
    let answer = aws.invoke_with("f", &event, json!({ "do": "print", "lines": ["later"] })).await;
    assert_eq!((answer.status, answer.body.len()), (202, 0));
    eventually("the event was handled", async || {
        aws.log("/aws/lambda/f").await.contains(&"later".to_owned()).then_some(())
    })
    .await;
    assert_eq!(aws.invoke_with("f", &[("X-Amz-Invocation-Type", "DryRun")], json!({})).await.status, 204);
    let bad = aws.http("POST", "/2015-03-31/functions/f/invocations", &[], b"{not json").await;
    assert_eq!((bad.status, bad.code()), (400, "InvalidRequestContentException"));
    let missing = aws.invoke("nobody", json!({})).await;
    assert_eq!((missing.status, missing.code()), (404, "ResourceNotFoundException"));
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_code_replaces_the_process() {
    let aws = Aws::start().await;
    let before = aws.function("f", json!({}), |_| {}).await;
    let who = aws.invoke("f", json!({ "do": "who" })).await.json();
    let again = json!({ "ZipFile": zip(&[("bootstrap", bootstrap(), 0o755), ("more", b"x", 0o644)]) });
    let after = aws.lambda("PUT", "functions/f/code", again).await.json();
    assert_ne!(before["CodeSha256"], after["CodeSha256"]);
    let now = aws.invoke("f", json!({ "do": "who" })).await.json();
    assert_ne!(who["pid"], now["pid"]);
    let bad = aws.lambda("PUT", "functions/f/code", json!({ "ZipFile": "bm90IGEgemlw" })).await;
    assert_eq!((bad.status, bad.code()), (400, "InvalidParameterValueException"));
    aws.stop().await;
}
