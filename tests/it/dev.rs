//! `dev` without a screen: events flow, files are followed, and what is wrong with them takes nothing down.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::flow::assert_nothing_is_left;
use crate::harness::{Home, finish, runtime, sdk};
use crate::own_code::{SPEC, answer, write_crate};
use crate::schema::{assert_valid, valid_lines};

/// A build on a busy machine takes a while.
const LIMIT: Duration = Duration::from_secs(300);

/// `dev --json` while it runs.
struct Running {
    child: Child,
    lines: Receiver<Value>,
}

impl Running {
    fn start(home: &Home, spec: &Path, more: &[&str]) -> Self {
        let mut child = home
            .command()
            .args(["dev", spec.to_str().unwrap(), "--json"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let line = line.unwrap();
                let document = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                if sender.send(document).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// The next event of which this is true.
    #[track_caller]
    fn next(&self, what: &str, mut is: impl FnMut(&Value) -> bool) -> Value {
        let end = Instant::now() + LIMIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let event = self.lines.recv_timeout(left).unwrap_or_else(|error| panic!("no {what}: {error}"));
            assert_valid("dev", &event);
            if is(&event) {
                return event;
            }
        }
    }

    #[track_caller]
    fn event(&self, name: &str) -> Value {
        self.next(name, |event| event["event"] == name)
    }

    /// Waits for records that are processed from now on.
    #[track_caller]
    fn flows(&self) {
        self.next("processed record", |event| {
            event["event"] == "sample" && event["functions"][0]["processed"].as_u64() > Some(0)
        });
    }

    /// Ends it as a user does, and gives the last event.
    #[track_caller]
    fn end(self) -> Value {
        assert!(Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap().success());
        let ended = self.event("ended");
        finish(self.child).expect(0);
        ended
    }
}

fn items(home: &Home, table: &str) -> usize {
    let dynamodb = aws_sdk_dynamodb::Client::new(&sdk(&home.endpoint()));
    let mut pages = dynamodb.scan().table_name(table).consistent_read(true).into_paginator().items().send();
    runtime().block_on(async {
        let mut count = 0;
        while let Some(item) = pages.next().await {
            item.unwrap();
            count += 1;
        }
        count
    })
}

#[test]
fn events_flow_for_a_time_and_all_of_them_are_accounted_for() {
    let home = Home::new();
    let spec = home.retail(&[("batch_window = \"5s\"", "batch_window = \"0s\"")]);
    let output = home.run(&[
        "dev",
        spec.to_str().unwrap(),
        "--headless",
        "--for",
        "3s",
        "--rate",
        "40",
        "--poison",
        "10",
        "--json",
        "--down",
    ]);
    let output = output.expect(0);
    let events = valid_lines("dev", &output);
    assert_eq!(events[0]["event"], "up", "{output:#?}");
    let ended = events.last().unwrap();
    assert_eq!(ended["event"], "ended", "{output:#?}");
    let count = |name: &str| ended[name].as_u64().unwrap();
    assert!(count("sent") > 20 && count("poison") > 1, "{ended:#}");
    assert_eq!(count("processed") + count("rejected"), count("sent"), "{ended:#}");
    assert_eq!((count("rejected"), count("dead_letters")), (count("poison"), count("poison")), "{ended:#}");
    assert_eq!((count("errors"), count("not_sent"), &ended["down"]), (0, 0, &true.into()), "{ended:#}");
    let sample = events.iter().rfind(|event| event["event"] == "sample").unwrap();
    assert_eq!(sample["functions"][0]["mapping"], "Enabled", "{sample:#}");
    assert_eq!(sample["queues"][0]["node"], "queue.dlq", "{sample:#}");
    assert_nothing_is_left(&home);
}

#[test]
fn a_changed_spec_is_swapped_in_and_a_wrong_one_changes_nothing() {
    let home = Home::new();
    let quick = ("batch_window = \"5s\"", "batch_window = \"0s\"");
    let spec = home.retail(&[quick]);
    let dev = Running::start(&home, &spec, &["--rate", "20"]);
    dev.flows();
    home.retail(&[quick, ("memory = 256 ", "memory = 512 ")]);
    let reloaded = dev.event("reloaded");
    assert_eq!(reloaded["changes"], serde_json::json!(["update function.processor: memory"]), "{reloaded:#}");
    dev.flows();

    home.retail(&[quick, ("memory = 256 ", "memroy = 512 ")]);
    let refused = dev.event("not-reloaded");
    assert!(refused["error"].as_str().unwrap().contains("memroy"), "{refused:#}");
    dev.flows();

    let before = home.calls().len();
    // Another key is another table: that loses the items.
    home.retail(&[quick, ("memory = 256 ", "memory = 512 "), ("{ name = \"userId\"", "{ name = \"user\"")]);
    let refused = dev.event("not-reloaded");
    let error = refused["error"].as_str().unwrap();
    assert!(!error.is_empty(), "{refused:#}");
    let deleted = home.mutating_calls(before).into_iter().filter(|call| call.contains("DeleteTable")).count();
    assert_eq!(deleted, 0);
    dev.flows();

    home.retail(&[quick, ("memory = 256 ", "memory = 512 ")]);
    assert_eq!(dev.event("reloaded")["changes"], serde_json::json!([]));
    let ended = dev.end();
    let count = |name: &str| ended[name].as_u64().unwrap();
    assert_eq!((count("reloads"), count("failed_reloads"), count("errors")), (1, 2, 0), "{ended:#}");
    assert_eq!((count("processed"), count("rejected")), (count("sent"), 0), "{ended:#}");
    // It stays up, with all that it holds.
    assert_eq!(u64::try_from(items(&home, "retail-events-results")).unwrap(), count("sent"));
}

#[test]
fn a_crate_is_built_again_when_it_changes_and_its_mistakes_are_shown() {
    let home = Home::new();
    let spec = home.write("own.toml", SPEC);
    write_crate(&home, "bootstrap", "one");
    let lines = home.write("events.ndjson", "{\"n\":1}\nnot JSON\n");
    let dev = Running::start(&home, &spec, &["--rate", "10", "--from", lines.to_str().unwrap()]);
    let invoked = |event: &Value| event["functions"][0]["invocations"].as_u64() > Some(0);
    dev.next("invocation", invoked);
    assert_eq!(answer(&home), "\"one\"");
    write_crate(&home, "bootstrap", "two");
    assert_eq!(dev.event("reloaded")["changes"], serde_json::json!(["update function.f: code"]));
    assert_eq!(answer(&home), "\"two\"");
    dev.next("invocation", invoked);

    home.write("crate/src/main.rs", "fn main() { nonsense }");
    let failed = dev.event("not-reloaded");
    assert!(failed["error"].as_str().unwrap().contains("nonsense"), "{failed:#}");
    assert_eq!(answer(&home), "\"two\"");
    dev.next("invocation", invoked);
    let ended = dev.end();
    assert_eq!((&ended["reloads"], &ended["failed_reloads"]), (&1.into(), &1.into()), "{ended:#}");
}

#[test]
fn what_dev_can_not_do_is_said_before_anything_is_started() {
    let home = Home::new();
    let spec = home.retail(&[]);
    let spec = spec.to_str().unwrap();
    for (more, says) in [
        (&["--endpoint-url", "http://127.0.0.1:1"][..], "in the embedded AWS, and nowhere else"),
        (&["--rate=-1"], "is not a rate"),
        (&["--rate", "20000"], "from 0 to 10000"),
    ] {
        let output = home.run(&[&["dev", spec, "--headless", "--for", "1s"], more].concat()).expect(2);
        assert!(output.stderr.contains(says), "{output:#?}");
    }
    let broken = home.write("broken.toml", "name = \"x\"\n[stream.s]\nshard = 1\n");
    let output = home.run(&["dev", broken.to_str().unwrap(), "--headless", "--for", "1s"]).expect(2);
    assert!(output.stderr.contains("shard"), "{output:#?}");
    assert!(!home.path().join("state/local.json").exists());
}
