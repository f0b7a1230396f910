//! Letters that strangers send, deletions that fail, and replays that meet: nothing is lost or doubled, and terminals stay as they are.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Home, finish, runtime, sdk, until};
use crate::schema::{assert_valid, valid_lines};

const LIMIT: Duration = Duration::from_secs(150);

fn numbers<const N: usize>(document: &Value, names: [&str; N]) -> [u64; N] {
    names.map(|name| document[name].as_u64().unwrap_or_else(|| panic!("{name}: {document:#}")))
}

#[test]
fn letters_of_strangers_give_no_orders_to_the_terminal() {
    let home = Home::new();
    let spec = home.retail(&[]);
    home.local("up", &spec, &["--yes"]);
    let spec = spec.to_str().unwrap();
    let order = "\u{1b}]0;owned\u{7}\u{9b}2J";
    let letter = |function: &str| {
        json!({"pipeline": "p", "function": function, "eventId": format!("e{order}"), "sequenceNumber": order, "shardId": order,
            "streamArn": format!("arn:aws:kinesis:us-east-1:000000000000:stream/{order}"), "payload": format!("{{\"a\":\"{order}\"}}"),
            "error": {"code": order, "message": order}})
    };
    let sqs = aws_sdk_sqs::Client::new(&sdk(&home.endpoint()));
    runtime().block_on(async {
        let url = sqs.get_queue_url().queue_name("retail-events-dlq").send().await.unwrap().queue_url.unwrap();
        for function in ["retail-events-processor", order] {
            sqs.send_message().queue_url(&url).message_body(letter(function).to_string()).send().await.unwrap();
        }
    });
    let edit = ["redrive", "--dry-run", "--edit-with", "tr a b"];
    for arguments in [&["list"][..], &["show"], &edit, &["redrive", "--yes"]] {
        let output = home.run(&[&["dlq", arguments[0], spec, "--local"], &arguments[1..]].concat());
        let all = format!("{}{}", output.stdout, output.stderr);
        assert!(all.contains("owned"), "{arguments:?}: {all}");
        assert!(!all.contains(['\u{1b}', '\u{7}', '\u{9b}']), "{arguments:?}: {all:?}");
    }
    let list = home.run(&["dlq", "list", spec, "--local", "--json"]).json();
    assert_valid("dlq-list", &list);
    assert_eq!(numbers(&list["queues"][0], ["messages", "letters", "held"]), [2, 2, 0], "both are kept");
    assert_eq!(valid_lines("dlq-show", &home.run(&["dlq", "show", spec, "--local", "--json"]).expect(0)).len(), 2);
}

#[test]
fn letters_whose_deletion_fails_are_there_already_the_next_time() {
    let home = Home::new();
    let spec = home.retail(&[("batch_window = \"5s\"", "batch_window = \"0s\"")]);
    home.local("up", &spec, &["--yes"]);
    home.local("send", &spec, &["--count", "200", "--poison", "10", "--seed", "7"]);
    let spec = spec.to_str().unwrap();
    until("the letters", LIMIT, || {
        let list = home.run(&["dlq", "list", spec, "--local", "--json"]).json();
        (numbers(&list["queues"][0], ["letters"]) == [20]).then_some(())
    });
    let mend = "echo '{\"userId\":\"mended\",\"eventType\":\"view\"}'";
    let redrive = ["dlq", "redrive", spec, "--local", "--json", "--yes", "--edit-with", mend];
    home.fault("sqs", "DeleteMessageBatch", 1, 403, "AccessDenied");
    let output = home.run(&redrive).expect(1);
    assert!(output.stderr.contains("deleting messages of SQS queue (retail-events-dlq)"), "{output:#?}");
    assert_eq!(numbers(&output.json(), ["read", "delivered", "duplicates", "failed"]), [20, 20, 0, 0]);
    let again = home.run(&redrive).expect(0).json();
    let [read, delivered, duplicates, left] = numbers(&again, ["read", "delivered", "duplicates", "left"]);
    assert!(read > 0 && delivered == 0 && duplicates == read && left == 0, "{again:#}");
}

#[test]
fn a_replay_is_not_begun_a_second_time_while_it_runs() {
    let home = Home::new();
    let spec = home.retail(&[("batch_window = \"5s\"", "batch_window = \"0s\"")]);
    home.local("up", &spec, &["--yes"]);
    home.local("send", &spec, &["--count", "50", "--poison", "0"]);
    let spec = spec.to_str().unwrap();
    let replay = ["replay", spec, "--local", "--json", "--yes", "--since", "1h", "--rate", "1"];
    let (from, _) = home.calls_after(0);
    let mut child = home.command().args(replay).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("an invocation of the replay", LIMIT, || {
        let (_, calls) = home.calls_after(from);
        calls.iter().any(|call| call["operation"] == "Invoke").then_some(())
    });
    let other = home.run(&replay).expect(1);
    assert!(other.stderr.contains("the same replay is under way"), "{other:#?}");
    child.kill().unwrap();
    finish(child);
    // The lock goes with the process.
    let rest = home.run(&["replay", spec, "--local", "--json", "--yes", "--since", "1h", "--restart"]).json();
    let [read, delivered, duplicates] = numbers(&rest, ["read", "delivered", "duplicates"]);
    assert_eq!((read, delivered + duplicates), (50, 50), "{rest:#}");
}
