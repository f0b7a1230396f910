//! Every command has a schema of what it prints with --json, and prints as that says.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Home, Output, finish, pipeline, runtime, sdk, until};
use crate::schema::{assert_valid, schema, valid_lines};

const LIMIT: Duration = Duration::from_secs(60);

/// Print a script, and a schema.
const WITHOUT: [&str; 2] = ["completions", "schema"];
/// Print what others do.
const SHARED: [(&str, &str); 5] = [
    ("up", "plan"),
    ("down", "plan"),
    ("local start", "local-status"),
    ("export terraform", "export"),
    ("export cloudformation", "export"),
];

/// The commands that help lists below these words.
fn commands(home: &Home, words: &[&str]) -> BTreeSet<String> {
    let help = home.run(&[words, &["--help"]].concat()).expect(0).stdout;
    let Some((_, listed)) = help.split_once("\nCommands:\n") else { return [words.join(" ")].into() };
    // What goes on with the line before is further to the right.
    let lines = listed.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let names = lines.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    names.flat_map(|name| commands(home, &[words, &[name]].concat())).collect()
}

#[test]
fn every_command_has_a_schema() {
    let home = Home::new();
    let all = commands(&home, &[]);
    assert!(all.len() > 30 && all.contains("dlq redrive"), "{all:?}");
    for command in all.iter().filter(|command| !WITHOUT.contains(&command.as_str())) {
        let shared = SHARED.iter().find(|(name, _)| name == command);
        let name = shared.map_or_else(|| command.replace(' ', "-"), |(_, name)| (*name).to_owned());
        let title = schema(&name)["title"].to_string();
        let is_named = ["`streamkit ", "`"].iter().any(|start| title.contains(&format!("{start}{command} --")));
        assert!(is_named, "{command}: {title}");
    }
}

#[test]
fn what_is_said_of_a_pipeline_file_alone_is_as_its_schema_says() {
    let home = Home::new();
    let files = std::fs::read_dir(pipeline("")).unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    let mut count = 0;
    for file in files {
        let run = |command: &str, more: &[&str]| -> Value {
            home.run(&[&[command, file.to_str().unwrap(), "--json"], more].concat()).expect(0).json()
        };
        let place = ["--account", "123456789012", "--region", "us-east-1"];
        for scope in ["all", "deploy", "run"] {
            assert_valid("policy", &run("policy", &[&place[..], &["--for", scope]].concat()));
        }
        let functions = run("policy", &[&place[..], &["--functions"]].concat());
        assert_valid("policy-functions", &functions);
        let mut sections = functions.as_object().unwrap().keys();
        assert!(sections.all(|section| !section.contains(".role")), "{functions:#}");
        assert_valid("graph", &run("graph", &[]));
        count += 1;
    }
    assert!(count > 10, "{count}");
    assert_valid("man", &home.run(&["man", "--output", "man", "--json"]).expect(0).json());
    // What `init --handler` prints, the first time and later.
    for renewed in [false, true] {
        let made = home.run(&["init", "--handler", "scores", "--json"]).expect(0).json();
        assert_valid("init", &made);
        assert_eq!(made["renewed"], renewed);
    }
}

#[test]
fn what_the_embedded_aws_says_is_as_its_schema_says() {
    let home = Home::new();
    assert_valid("local-status", &home.run(&["local", "status", "--json"]).expect(1).json());
    assert_valid("local-stop", &home.run(&["local", "stop", "--json"]).expect(0).json());
    let start = ["local", "start", "--latency", "none", "--faults", "1%", "--strict", "--json"];
    let started = home.run(&start).expect(0).json();
    assert!(started["rehearsal"]["seed"].is_u64(), "{started:#}");
    assert_valid("local-status", &started);
    home.local("plan", &pipeline("retail-events.toml"), &[]);
    assert_valid("local-logs", &home.run(&["local", "logs", "--json"]).expect(0).json());
    let calls = home.run(&["local", "logs", "--calls", "--json"]).expect(0).json();
    assert_ne!(calls["calls"], json!([]));
    assert_valid("local-calls", &calls);

    let mut follow = home.command();
    let follow = follow.args(["local", "logs", "--calls", "--follow", "--json"]).stderr(Stdio::piped());
    let mut follow = follow.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert_valid("local-stop", &home.run(&["local", "stop", "--json"]).expect(0).json());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(!rest.is_empty(), "{first}");
    let stdout = [&[first], &rest[..]].concat().join("\n");
    valid_lines("local-calls", &Output { stdout, ..finish(follow).expect(0) });
}

#[test]
fn what_is_said_on_the_way_of_events_is_as_its_schema_says() {
    let home = Home::new();
    let spec = home.retail(&[("batch_window = \"5s\"", "batch_window = \"0s\"")]);
    assert_valid("graph", &home.local("graph", &spec, &["--plan"]));
    home.local("up", &spec, &["--yes"]);
    let dlq = |action: &str, more: &[&str]| {
        home.run(&[&["dlq", action, spec.to_str().unwrap(), "--local", "--json"], more].concat())
    };
    assert_valid("dlq-list", &dlq("list", &[]).expect(0).json());
    assert_eq!(valid_lines("dlq-show", &dlq("show", &[]).expect(0)), [Value::Null; 0]);
    home.local("send", &spec, &["--count", "100", "--poison", "10", "--seed", "7"]);
    let sqs = aws_sdk_sqs::Client::new(&sdk(&home.endpoint()));
    runtime().block_on(async {
        let url = sqs.get_queue_url().queue_name("retail-events-dlq").send().await.unwrap().queue_url.unwrap();
        sqs.send_message().queue_url(&url).message_body("of somebody else").send().await.unwrap();
    });
    until("the letters", LIMIT, || {
        let listed = dlq("list", &[]).expect(0).json();
        assert_valid("dlq-list", &listed);
        (listed["queues"][0]["letters"] == 10 && listed["queues"][0]["other"] == 1).then_some(())
    });
    assert_valid("dlq-list", &dlq("list", &["--most", "1"]).expect(0).json());
    assert_eq!(valid_lines("dlq-show", &dlq("show", &[]).expect(0)).len(), 11);

    let records = home.local_output("tail", &spec, &["--since", "10m", "--count", "100"]).expect(0);
    assert_eq!(valid_lines("tail", &records).len(), 100);
    let lines = home.local_output("logs", &spec, &["--metrics"]).expect(0);
    assert!(valid_lines("logs", &lines).len() > 3, "{lines:#?}");
    assert_valid("replay", &home.local("replay", &spec, &["--since", "1h", "--dry-run"]));
    let played = home.local_output("replay", &spec, &["--since", "1h", "--yes"]).expect(1).json();
    assert_ne!(played["errors"], json!({}));
    assert_valid("replay", &played);
    assert_valid("dlq-redrive", &dlq("redrive", &["--dry-run"]).expect(0).json());
    let played = dlq("redrive", &["--yes"]).expect(1).json();
    assert_ne!(played["errors"], json!({}));
    assert_valid("dlq-redrive", &played);
    let purged = dlq("purge", &["--yes"]).expect(0).json();
    assert_eq!(purged, json!({ "messages": 11, "deleted": 11 }));
    assert_valid("dlq-purge", &purged);
}
