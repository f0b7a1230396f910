//! What `status` answers when something has gone wrong: what, since when, how many, and what to do next.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Home, finish, runtime, sdk, until};

const LIMIT: Duration = Duration::from_secs(150);

/// `status --json` of what is not as it should be.
fn status(home: &Home, spec: &Path) -> Value {
    home.local_output("status", spec, &[]).expect(1).json()
}

fn alarm<'a>(status: &'a Value, name: &str) -> &'a Value {
    status["alarms"].as_array().unwrap().iter().find(|alarm| alarm["name"] == name).unwrap()
}

#[test]
fn a_table_that_vanished_is_told_with_all_that_follows_from_it() {
    let home = Home::new();
    // As `init` has it, but that the alarm goes off in the first minute.
    let soon = ("evaluation_periods = 3\ndatapoints = 2 ", "evaluation_periods = 1\n#");
    let spec = home.retail(&[soon, ("batch_window = \"5s\"", "batch_window = \"0s\"")]);
    home.local("up", &spec, &["--yes"]);
    let before = home.local("status", &spec, &[]);
    assert_eq!(before["next"], serde_json::json!([]));
    assert_eq!(before["functions"][0]["mapping"]["state"], "Enabled", "{before:#}");

    let tables = aws_sdk_dynamodb::Client::new(&sdk(&home.endpoint()));
    runtime().block_on(tables.delete_table().table_name("retail-events-results").send()).unwrap();
    home.local("send", &spec, &["--count", "500"]);
    let seen = until("both alarms", LIMIT, || {
        let seen = status(&home, &spec);
        let is_on = |name: &str| alarm(&seen, name)["state"] == "ALARM";
        (is_on("retail-events-retries") && is_on("retail-events-dead-letters")).then_some(seen)
    });

    // What: the mapping's batches fail, for want of the table, and the function has no errors of its own.
    let function = &seen["functions"][0];
    let result = function["mapping"]["last_result"].as_str().unwrap();
    assert!(result.starts_with("PROBLEM: "), "{seen:#}");
    assert_eq!((&function["errors"], &function["throttles"]), (&0.into(), &0.into()));
    assert!(function["iterator_age_ms"].as_f64().is_some(), "{seen:#}");
    let table = seen["resources"].as_array().unwrap().iter().find(|at| at["node"] == "table.results").unwrap();
    assert_eq!(table["state"], "missing");
    // How many and since when; the queue once, although letters and on-failure records go there.
    let queues = seen["queues"].as_array().unwrap();
    assert_eq!(queues.len(), 1);
    assert_eq!((&queues[0]["node"], &queues[0]["dead_letters"]), (&"queue.dlq".into(), &true.into()));
    assert!(queues[0]["messages"].as_u64().unwrap() > 0, "{seen:#}");
    assert_eq!(function["queue_depth"], queues[0]["messages"]);
    let since = alarm(&seen, "retail-events-dead-letters")["since"].as_str().unwrap();
    assert!(since.parse::<jiff::Timestamp>().is_ok(), "{since}");
    // Which, and how to get them back.
    let path = spec.to_str().unwrap();
    let next: Vec<_> = seen["next"].as_array().unwrap().iter().map(|step| step["command"].as_str().unwrap()).collect();
    let commands = [
        format!("streamkit logs {path} --local --function processor --level warn"),
        format!("streamkit up {path} --local"),
        format!("streamkit dlq show {path} --local --queue queue.dlq"),
    ];
    assert_eq!(next[..3], commands);

    let text = home.run(&["status", path, "--local"]).expect(1).stdout;
    for part in [
        "  mapping  Enabled, last batch failed: Function call failed",
        "no errors, no throttles in the last 5 min",
        "alarm retail-events-dead-letters   ALARM since ",
        "    Threshold Crossed: ",
        "what to do next:",
    ] {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
    assert_eq!(text.matches("queue.dlq  ").count(), 2, "as a resource and as a queue: {text}");

    // The command that it names shows why.
    let logs = home.run(&["logs", path, "--local", "--function", "processor", "--level", "warn"]).expect(0).stdout;
    assert!(logs.contains("record failed  error=ResourceNotFoundException"), "{logs}");
}

#[test]
#[cfg(unix)]
fn a_watch_is_a_document_a_line_and_ends_with_0() {
    let home = Home::new();
    let spec = home.retail(&[]);
    home.local("up", &spec, &["--yes"]);
    let args = ["status", spec.to_str().unwrap(), "--local", "--watch"];
    let start = |more: &[&str]| {
        let mut command = home.command();
        command.args(args).args(more).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut child = start(&["--json"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let document: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(document["pipeline"], "retail-events");
    }
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(finish(child).expect(0).stderr, "");
    // A reader that has seen enough.
    let mut child = start(&[]);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    assert!(first.trim_end().ends_with("every 5 s"), "{first}");
    drop(stdout);
    finish(child).expect(0);
}
