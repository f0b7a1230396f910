//! Functions in Python and JavaScript, run by this machine's interpreters. Tests whose interpreter is missing say so and do nothing.

use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::aws::{Answer, Aws, eventually, function_body, zip};

const TAIL: (&str, &str) = ("X-Amz-Log-Type", "Tail");

const PYTHON: &str = r#"
import decimal
import json
import logging
import os
import urllib.request

log = logging.getLogger()
log.setLevel(logging.INFO)


def totals(event, context):
    print("totals of", len(event["amounts"]))
    log.info("adding up\nall of them")
    amounts = [decimal.Decimal(amount) for amount in event["amounts"]]
    left = context.get_remaining_time_in_millis()
    return {
        "total": sum(amounts),
        "name": "größer",
        "context": [
            context.function_name,
            context.function_version,
            context.memory_limit_in_mb,
            context.invoked_function_arn,
            context.log_group_name,
            context.log_stream_name == os.environ["AWS_LAMBDA_LOG_STREAM_NAME"],
            1000 < left <= 10_000,
        ],
        "id": context.aws_request_id,
        "environment": [os.environ[name] for name in ("AWS_EXECUTION_ENV", "_HANDLER")],
        "root": os.getcwd() == os.environ["LAMBDA_TASK_ROOT"],
    }


def failing(event, context):
    if event.get("unfit"):
        return {1, 2}
    raise LookupError("no such shop")


def neighbours(event, context):
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    with urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"], body) as answer:
        return answer.status
"#;

const NODE: &str = r#"
exports.totals = async (event, context) => {
  console.log("totals of", event.amounts.length);
  console.error("two\nlines");
  return {
    total: event.amounts.reduce((sum, amount) => sum + amount, 0),
    context: [
      context.functionName,
      context.functionVersion,
      context.memoryLimitInMB,
      context.invokedFunctionArn,
      context.logGroupName,
      context.getRemainingTimeInMillis() > 1000,
    ],
    id: context.awsRequestId,
    environment: [process.env.AWS_EXECUTION_ENV, process.env._HANDLER],
    root: process.cwd() === process.env.LAMBDA_TASK_ROOT,
  };
};
exports.later = (event, context, callback) => {
  if (event.never) return;
  setTimeout(() => callback(event.fail ? new RangeError("too late") : null, "later"), 5);
};
exports.failing = async () => {
  throw new TypeError("no such shop");
};
"#;

/// Whether this program runs; a test that needs one says so when it does not.
#[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
fn runs(program: &str) -> bool {
    let ran = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let runs = ran.is_ok_and(|status| status.success());
    if !runs {
        eprintln!("skipped: {program} is not on the PATH");
    }
    runs
}

async fn create(aws: &Aws, name: &str, runtime: &str, handler: &str, files: &[(&str, &str)]) {
    let entries: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_bytes(), 0o644)).collect();
    let mut body = function_body(name, &zip(&entries));
    (body["Runtime"], body["Handler"], body["Timeout"]) = (json!(runtime), json!(handler), json!(10));
    let made = aws.lambda("POST", "functions", body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.json()["Runtime"], runtime);
}

/// Invokes, and gives back the end of the log too.
async fn invoke(aws: &Aws, name: &str, event: Value) -> (Answer, String) {
    let answer = aws.invoke_with(name, &[TAIL], event).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let tail = String::from_utf8(BASE64.decode(&answer.headers["x-amz-log-result"]).unwrap()).unwrap();
    (answer, tail)
}

fn failed(answer: &Answer) -> bool {
    answer.headers.get("x-amz-function-error").map(String::as_str) == Some("Unhandled")
}

#[tokio::test(flavor = "multi_thread")]
async fn python_function_gets_event_and_context_and_its_lines_are_logged() {
    if !runs("python3") {
        return;
    }
    let aws = Aws::start().await;
    create(&aws, "f", "python3.12", "shop-totals.totals", &[("shop-totals.py", PYTHON)]).await;
    let (answer, tail) = invoke(&aws, "f", json!({ "amounts": ["1.25", "2.5"] })).await;
    let id = &answer.headers["x-amzn-requestid"];
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
    let expected = json!({
        "total": 3.75,
        "name": "größer",
        "context": ["f", "$LATEST", "128", arn, "/aws/lambda/f", true, true],
        "id": id,
        "environment": ["AWS_Lambda_python3.12", "shop-totals.totals"],
        "root": true,
    });
    assert_eq!(answer.json(), expected, "{tail}");
    assert!(answer.text().contains("größer"), "{}", answer.text());
    let lines: Vec<&str> = tail.lines().collect();
    assert_eq!(lines[1], "totals of 2", "{tail}");
    let logged: Vec<&str> = lines[2].split('\t').collect();
    assert_eq!((logged[0], logged[2], logged[3]), ("[INFO]", id.as_str(), "adding up\rall of them"), "{tail}");
    assert!(lines[4].starts_with("REPORT RequestId: ") && lines[4].contains("Init Duration: "), "{tail}");
    let (again, tail) = invoke(&aws, "f", json!({ "amounts": [] })).await;
    assert_eq!(again.json()["total"], 0);
    assert!(!tail.contains("Init Duration"), "{tail}");
    let log = eventually("the log is written", async || {
        let log = aws.log("/aws/lambda/f").await;
        log.iter().any(|line| line == "totals of 0").then_some(log)
    })
    .await;
    assert!(log.iter().any(|line| line == "totals of 2"), "{log:?}");
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_python_functions_have_the_form_of_aws() {
    if !runs("python3") {
        return;
    }
    let aws = Aws::start().await;
    create(&aws, "f", "python3.9", "app/shop.failing", &[("app/shop.py", PYTHON)]).await;
    let (answer, tail) = invoke(&aws, "f", json!({})).await;
    let mut error = answer.json();
    let trace = error["stackTrace"].take();
    let id = &answer.headers["x-amzn-requestid"];
    assert!(failed(&answer));
    assert_eq!(
        error,
        json!({ "errorMessage": "no such shop", "errorType": "LookupError", "requestId": id, "stackTrace": null })
    );
    assert_eq!(trace.as_array().unwrap().len(), 1, "{trace}");
    let frame = trace[0].as_str().unwrap();
    assert!(frame.starts_with("  File \"/var/task/app/shop.py\", line "), "{frame}");
    assert!(frame.contains(", in failing\n    raise LookupError(\"no such shop\")\n"), "{frame}");
    assert!(tail.contains("[ERROR] LookupError: no such shop\rTraceback (most recent call last):\r  File "), "{tail}");
    let (unfit, _) = invoke(&aws, "f", json!({ "unfit": true })).await;
    assert_eq!(unfit.json()["errorType"], "Runtime.MarshalError");
    assert_eq!(unfit.json()["errorMessage"], "Unable to marshal response: Object of type set is not JSON serializable");
    for (name, handler, code, kind, message) in [
        (
            "a",
            "none.totals",
            PYTHON,
            "Runtime.ImportModuleError",
            "Unable to import module 'none': No module named 'none'",
        ),
        ("b", "shop.none", PYTHON, "Runtime.HandlerNotFound", "Handler 'none' missing on module 'shop'"),
        (
            "c",
            "shop",
            PYTHON,
            "Runtime.MalformedHandlerName",
            "Bad handler 'shop': not enough values to unpack (expected 2, got 1)",
        ),
        ("d", "shop.totals", "raise KeyError('TABLE')", "KeyError", "'TABLE'"),
        (
            "e",
            "shop.totals",
            "import left_out",
            "Runtime.ImportModuleError",
            "Unable to import module 'shop': No module named 'left_out'",
        ),
    ] {
        create(&aws, name, "python3.12", handler, &[("shop.py", code)]).await;
        let (answer, tail) = invoke(&aws, name, json!({})).await;
        let error = answer.json();
        assert!(failed(&answer));
        assert_eq!((&error["errorType"], &error["errorMessage"]), (&json!(kind), &json!(message)));
        assert_eq!(error["requestId"], answer.headers["x-amzn-requestid"]);
        assert!(tail.contains(&format!("Phase: init\tStatus: error\tError Type: {kind}")), "{tail}");
    }
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn function_reaches_the_embedded_aws_by_its_environment() {
    if !runs("python3") {
        return;
    }
    let aws = Aws::start().await;
    create(&aws, "f", "python3.13", "shop.neighbours", &[("shop.py", PYTHON)]).await;
    let (answer, tail) = invoke(&aws, "f", json!({})).await;
    assert_eq!(answer.json(), 200, "{tail}");
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_function_gets_event_and_context_and_its_lines_are_logged() {
    if !runs("node") {
        return;
    }
    let aws = Aws::start().await;
    create(&aws, "f", "nodejs22.x", "index.totals", &[("index.js", NODE)]).await;
    let (answer, tail) = invoke(&aws, "f", json!({ "amounts": [1.25, 2.5] })).await;
    let id = &answer.headers["x-amzn-requestid"];
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
    let expected = json!({
        "total": 3.75,
        "context": ["f", "$LATEST", "128", arn, "/aws/lambda/f", true],
        "id": id,
        "environment": ["AWS_Lambda_nodejs22.x", "index.totals"],
        "root": true,
    });
    assert_eq!(answer.json(), expected, "{tail}");
    let lines: Vec<&str> = tail.lines().collect();
    assert!(lines[1].ends_with(&format!("Z\t{id}\tINFO\ttotals of 2")), "{tail}");
    assert!(lines[2].ends_with(&format!("Z\t{id}\tERROR\ttwo\rlines")), "{tail}");
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_handlers_may_be_callbacks_and_modules_of_both_kinds() {
    if !runs("node") {
        return;
    }
    let aws = Aws::start().await;
    create(&aws, "f", "nodejs20.x", "index.later", &[("index.js", NODE)]).await;
    assert_eq!(invoke(&aws, "f", json!({})).await.0.json(), "later");
    let (late, _) = invoke(&aws, "f", json!({ "fail": true })).await;
    assert!(failed(&late));
    assert_eq!((&late.json()["errorType"], &late.json()["errorMessage"]), (&json!("RangeError"), &json!("too late")));
    assert_eq!(invoke(&aws, "f", json!({ "never": true })).await.0.json(), Value::Null);
    assert_eq!(invoke(&aws, "f", json!({})).await.0.json(), "later");
    let module = "import { sep } from 'node:path';\nexport const handler = async (event) => event.parts.join(sep);";
    let kinds: [&[(&str, &str)]; 3] = [
        &[("src/app.mjs", module)],
        &[("src/app.js", module), ("package.json", r#"{ "type": "module" }"#)],
        &[("src/app.cjs", "exports.handler = async (event) => event.parts.join('/');")],
    ];
    for (name, files) in ["a", "b", "c"].into_iter().zip(kinds) {
        create(&aws, name, "nodejs22.x", "src/app.handler", files).await;
        let (answer, tail) = invoke(&aws, name, json!({ "parts": ["a", "b"] })).await;
        assert_eq!(answer.json(), "a/b", "{tail}");
    }
    aws.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_node_functions_have_the_form_of_aws() {
    if !runs("node") {
        return;
    }
    let aws = Aws::start().await;
    create(&aws, "f", "nodejs22.x", "index.failing", &[("index.js", NODE)]).await;
    let (answer, tail) = invoke(&aws, "f", json!({})).await;
    let error = answer.json();
    assert!(failed(&answer));
    assert_eq!((&error["errorType"], &error["errorMessage"]), (&json!("TypeError"), &json!("no such shop")));
    assert_eq!(error["trace"][0], "TypeError: no such shop");
    assert!(error["trace"][1].as_str().unwrap().contains("(/var/task/index.js:"), "{error}");
    assert!(tail.contains("\tERROR\tInvoke Error \t{\"errorType\":\"TypeError\""), "{tail}");
    for (name, handler, code, kind, message) in [
        ("a", "none.handler", NODE, "Runtime.ImportModuleError", "Error: Cannot find module 'none'"),
        ("b", "index.none", NODE, "Runtime.HandlerNotFound", "index.none is undefined or not exported"),
        ("c", "index", NODE, "Runtime.MalformedHandlerName", "Bad handler"),
        ("d", "index.later", "exports.later = (", "Runtime.UserCodeSyntaxError", "SyntaxError: "),
        (
            "e",
            "index.later",
            "require('left-out')",
            "Runtime.ImportModuleError",
            "Error: Cannot find module 'left-out'",
        ),
    ] {
        create(&aws, name, "nodejs22.x", handler, &[("index.js", code)]).await;
        let (answer, _) = invoke(&aws, name, json!({})).await;
        let error = answer.json();
        assert!(failed(&answer));
        assert_eq!(error["errorType"], kind, "{error}");
        assert!(error["errorMessage"].as_str().unwrap().starts_with(message), "{error}");
    }
    aws.stop().await;
}
