//! `validate --break`: the function fails on an event, its on-failure record comes, and everything is as before.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::changes::changed_fields;
use crate::harness::{Home, finish, pipeline, runtime, sdk, until};

/// The spec of this name, whose events wait for no company.
fn spec(home: &Home, name: &str, more: &[(&str, &str)]) -> std::path::PathBuf {
    let text = std::fs::read_to_string(pipeline(name)).unwrap();
    let mut changes = vec![("batch_window = \"5s\"", "batch_window = \"0s\"")];
    changes.extend(more);
    home.changed(&text, &changes)
}

fn environment(home: &Home, function: &str) -> Value {
    let client = aws_sdk_lambda::Client::new(&sdk(&home.endpoint()));
    let call = client.get_function_configuration().function_name(function);
    json!(runtime().block_on(call.send()).unwrap().environment.unwrap().variables.unwrap())
}

/// Puts a message into a queue, or gives all of them.
fn messages(home: &Home, queue: &str, put: Option<&str>) -> Vec<String> {
    let client = aws_sdk_sqs::Client::new(&sdk(&home.endpoint()));
    runtime().block_on(async {
        let url = client.get_queue_url().queue_name(queue).send().await.unwrap().queue_url.unwrap();
        if let Some(body) = put {
            client.send_message().queue_url(url).message_body(body).send().await.unwrap();
            return Vec::new();
        }
        let call = client.receive_message().queue_url(url).max_number_of_messages(10).visibility_timeout(0);
        let messages = call.send().await.unwrap().messages.unwrap_or_default();
        messages.into_iter().filter_map(|message| message.body).collect()
    })
}

/// Breaks the function of a pipeline, and expects that nothing else is different afterwards.
fn breaks_and_restores(name: &str, of_whom: &str) {
    let home = Home::new();
    let spec = spec(&home, &format!("{name}.toml"), &[]);
    home.local("up", &spec, &["--yes"]);
    let (function, queue) = (format!("{name}-processor"), format!("{name}-dlq"));
    let before = environment(&home, &function);
    // Somebody else's, of a batch that is no longer in the stream.
    let foreign = json!({
        "requestContext": {
            "functionArn": format!("arn:aws:lambda:us-east-1:000000000000:function:{function}"),
            "condition": "RetryAttemptsExhausted", "approximateInvokeCount": 1,
        },
        "timestamp": "2020-01-01T00:00:00.000Z",
        of_whom: {
            "shardId": "shardId-000000000000", "startSequenceNumber": "1", "endSequenceNumber": "1", "batchSize": 1,
            "streamArn": "arn:aws:kinesis:us-east-1:000000000000:stream/gone",
        },
    });
    messages(&home, &queue, Some(&foreign.to_string()));
    let report = home.local("validate", &spec, &["--break"]);
    assert_eq!(report["ok"], true, "{report:#}");
    let names: Vec<&str> =
        report["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert!(names.ends_with(&["cleanup", "failure", "restored", "recovery", "cleanup"]), "{names:?}");
    let failure = &report["checks"].as_array().unwrap()[names.len() - 4];
    let observed = failure["observed"].as_str().unwrap();
    assert!(observed.starts_with("RetryAttemptsExhausted after 4 invocations"), "{observed}");
    assert!(!observed.contains("stays in the queue"), "{observed}");
    assert_eq!(environment(&home, &function), before);
    assert_eq!(messages(&home, &queue, None), [foreign.to_string()]);
    let calls = home.calls().len();
    home.local("up", &spec, &["--yes"]);
    assert_eq!(home.mutating_calls(calls), Vec::<String>::new());
}

#[test]
fn a_broken_function_of_a_stream_is_noticed_and_restored() {
    breaks_and_restores("retail-events", "KinesisBatchInfo");
}

#[test]
fn a_broken_function_of_a_table_is_noticed_and_restored() {
    breaks_and_restores("change-capture", "DDBStreamBatchInfo");
}

fn start(home: &Home, spec: &Path) -> Child {
    home.command()
        .args(["validate", spec.to_str().unwrap(), "--local", "--json", "--break"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn an_interrupt_restores_and_what_a_kill_leaves_is_mended() {
    let home = Home::new();
    // So many retries that the function is seen while it is broken.
    let spec = spec(&home, "retail-events.toml", &[("max_retries = 3", "max_retries = 100")]);
    home.local("up", &spec, &["--yes"]);
    let function = "retail-events-processor";
    let before = environment(&home, function);
    let broken = || {
        until("a broken function", Duration::from_secs(120), || {
            environment(&home, function).get("STREAMKIT_FAIL_ON").map(|_| ())
        });
    };

    let child = start(&home, &spec);
    broken();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = finish(child).expect(130);
    let report = output.json();
    let names: Vec<&str> =
        report["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert!(names.ends_with(&["cleanup", "restored", "cleanup"]), "{names:?}");
    assert_eq!(environment(&home, function), before);

    let mut child = start(&home, &spec);
    broken();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_ne!(environment(&home, function), before);
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!(changed_fields(&up, "function.processor"), ["environment.STREAMKIT_FAIL_ON"], "{up:#}");
    assert_eq!(environment(&home, function), before);
    let report = home.local("validate", &spec, &[]);
    assert_eq!(report["ok"], true, "{report:#}");
}

#[test]
fn what_never_tells_of_a_failure_is_not_broken() {
    let home = Home::new();
    home.local("up", &spec(&home, "retail-events.toml", &[]), &["--yes"]);
    let before = home.calls().len();
    for (changes, why) in [
        (&[("on_failure = \"queue.dlq\"\n", "")][..], "has no `on_failure`"),
        (&[("on_failure = \"queue.dlq\"", "on_failure = \"topic.alerts\"")], "goes to arn:aws:sns:"),
        (&[("max_retries = 3\n", ""), ("max_record_age = \"1h\"\n", "")], "tries until it expires from the stream"),
    ] {
        let spec = spec(&home, "retail-events.toml", changes);
        let refused = home.local_output("validate", &spec, &["--break"]).expect(2);
        assert!(refused.stderr.contains(why), "{refused:#?}");
    }
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());
}
