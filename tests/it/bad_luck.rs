//! Errors, kills and interrupts: one clear message, the right exit code, and a state from which the next run converges.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::flow::assert_nothing_is_left;
use crate::harness::{Home, finish, pipeline, until};

/// One call for each kind of node, whose failure stops it.
const CALLS: [(&str, &str, &str); 9] = [
    ("kinesis", "CreateStream", "stream.events"),
    ("dynamodb", "CreateTable", "table.results"),
    ("sqs", "CreateQueue", "queue."),
    ("iam", "CreateRole", "function.processor.role"),
    ("logs", "CreateLogGroup", "function.processor.logs"),
    ("lambda", "CreateFunction", "function.processor"),
    ("lambda", "CreateEventSourceMapping", "function.processor.source"),
    ("sns", "CreateTopic", "topic."),
    ("cloudwatch", "PutMetricAlarm", "alarm."),
];

/// The same for the kinds of node that the retail pipeline does not have, in one that does.
const MORE_CALLS: [(&str, &str, &str); 6] = [
    ("s3", "CreateBucket", "bucket.kept"),
    ("s3", "PutBucketPolicy", "bucket.kept"),
    ("cloudwatch", "PutDashboard", "dashboard"),
    ("kinesis", "RegisterStreamConsumer", "function.processor.consumer"),
    ("sns", "Subscribe", "topic.heard"),
    // It is made once, and comes back each time.
    ("kms", "CancelKeyDeletion", "key.pii"),
];
const MORE: &str = "[key.pii]\n[bucket.kept]\nversioning = true\n[dashboard]\n[queue.hears]\n[topic.heard]\nsubscribers = [\"queue.hears\"]\n";

/// The retail pipeline with a node of every kind.
fn every_kind(home: &Home) -> std::path::PathBuf {
    let from = "from = \"stream.events\"\n";
    home.retail(&[
        (from, &format!("{from}consumer = \"enhanced-fan-out\"\n")),
        ("[topic.alerts]", &format!("{MORE}[topic.alerts]")),
    ])
}

#[test]
fn a_denied_call_stops_only_its_dependents_and_the_next_run_converges() {
    let home = Home::new();
    let spec = every_kind(&home);
    home.local("up", &spec, &["--yes"]);
    home.local("down", &spec, &["--yes"]);
    for (service, operation, node) in CALLS.into_iter().chain(MORE_CALLS) {
        home.fault(service, operation, 1, 400, "AccessDeniedException");
        let output = home.local_output("up", &spec, &["--yes"]).expect(1);
        let report = output.json();
        assert_eq!(report["summary"]["failed"], 1, "{operation}: {output:#?}");
        let failed = report["resources"]
            .as_array()
            .unwrap()
            .iter()
            .find(|at| at["error"].as_str().is_some_and(|text| text.contains("AccessDenied")));
        assert!(failed.unwrap()["node"].as_str().unwrap().starts_with(node), "{operation}: {report:#}");
        assert!(output.stderr.contains("AccessDenied") && output.stderr.contains("made by a test"), "{output:#?}");
        assert!(output.stderr.contains("hint: the caller's own policy must allow this call"), "{output:#?}");
        let independent = report["resources"].as_array().unwrap().iter().filter(|at| at["error"].is_null()).count();
        assert!(independent >= 7, "{operation}: {report:#}");
        let up = home.local("up", &spec, &["--yes"]);
        assert_eq!(up["summary"]["failed"], 0, "{operation}: {up:#}");
        home.local("down", &spec, &["--yes"]);
        assert_nothing_is_left(&home);
    }
}

#[test]
fn throttles_and_server_errors_are_ridden_out() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    home.fault("kinesis", "CreateStream", 2, 500, "InternalFailure");
    home.fault("dynamodb", "CreateTable", 2, 400, "ThrottlingException");
    home.fault("lambda", "CreateFunction", 1, 429, "TooManyRequestsException");
    home.fault("iam", "PutRolePolicy", 1, 400, "Throttling");
    assert_eq!(home.local("up", &spec, &["--yes"])["summary"]["failed"], 0);
}

#[test]
fn a_denied_read_is_never_taken_for_missing() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    home.local("up", &spec, &["--yes"]);
    let before = home.calls().len();
    home.fault("dynamodb", "DescribeTable", 1, 400, "AccessDeniedException");
    let output = home.local_output("up", &spec, &["--yes"]).expect(1);
    assert!(
        output.stderr.contains("reading DynamoDB table (retail-events-results): AccessDeniedException"),
        "{output:#?}"
    );
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());
}

#[test]
fn a_killed_run_is_finished_by_the_next() {
    let home = Home::new();
    let spec = every_kind(&home);
    // The package is built beforehand, so that the kills hit the calls and not the compiler.
    home.local("up", &spec, &["--yes"]);
    home.local("down", &spec, &["--yes"]);
    for (_, operation, _) in CALLS.into_iter().chain(MORE_CALLS) {
        let before = home.calls().len();
        let mut child = home.command();
        child
            .args(["up", spec.to_str().unwrap(), "--local", "--yes", "--parallelism", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = child.spawn().unwrap();
        until(operation, Duration::from_secs(60), || {
            let seen = home.calls()[before..].iter().any(|call| call["operation"] == operation);
            (seen || child.try_wait().unwrap().is_some()).then_some(())
        });
        let _ = child.kill();
        child.wait().unwrap();
        let up = home.local("up", &spec, &["--yes"]);
        assert_eq!(up["summary"]["failed"], 0, "killed at {operation}: {up:#}");
        let again = home.local("up", &spec, &["--yes"]);
        assert_eq!(
            again["summary"]["unchanged"],
            again["resources"].as_array().unwrap().len(),
            "killed at {operation}: {again:#}"
        );
        home.local("down", &spec, &["--yes"]);
        assert_nothing_is_left(&home);
    }
}

#[test]
fn an_interrupt_drains_and_the_next_run_goes_on() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    home.local("up", &spec, &["--yes"]);
    home.local("down", &spec, &["--yes"]);
    let before = home.calls().len();
    let mut child = home.command();
    child.args(["up", spec.to_str().unwrap(), "--local", "--yes", "--json", "--parallelism", "1"]);
    let child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the first creation", Duration::from_secs(60), || home.mutating_calls(before).first().map(|_| ()));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = finish(child).expect(130);
    let report = output.json();
    assert_eq!(report["summary"]["failed"], 0, "{output:#?}");
    assert!(report["summary"]["skipped"].as_u64().unwrap() > 0, "{output:#?}");
    assert!(output.stderr.contains("run the same command again to go on"), "{output:#?}");
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!(up["summary"]["failed"], 0, "{up:#}");
    home.local("down", &spec, &["--yes"]);
    assert_nothing_is_left(&home);
}

#[test]
fn two_runs_at_once_converge() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    home.endpoint();
    let start = || {
        let mut command = home.command();
        command.args(["up", spec.to_str().unwrap(), "--local", "--yes", "--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let (first, second) = (start(), start());
    finish(first).expect(0);
    finish(second).expect(0);
    let again = home.local("up", &spec, &["--yes"]);
    assert_eq!(again["summary"]["unchanged"], again["resources"].as_array().unwrap().len(), "{again:#}");
    assert_eq!(again["summary"]["create"], json!(0));
}
