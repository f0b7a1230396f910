//! `streamkit logs`: what functions and Lambda print, chosen and laid out, followed, and ended quietly.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Home, finish, until};
use crate::schema::valid_lines;

const LIMIT: Duration = Duration::from_secs(60);

/// Two functions on one stream, whose batches wait for nothing.
fn two_functions(home: &Home) -> std::path::PathBuf {
    let second = "[table.purchases]\npartition_key = { name = \"userId\", type = \"S\" }\n\
        sort_key = { name = \"eventTimestamp\", type = \"N\" }\n\n\
        [function.buyers]\nrecipe = \"retail\"\nwrites = [\"table.purchases\"]\ndead_letters = \"queue.dlq\"\n\
        source = { from = \"stream.events\", bisect_on_error = true, max_retries = 3, on_failure = \"queue.dlq\", \
        filter = [{ data = { eventType = [\"purchase\"] } }] }\n\n[function.processor]";
    home.retail(&[("batch_window = \"5s\"", "batch_window = \"0s\""), ("[function.processor]", second)])
}

/// The lines of `logs --json`.
#[track_caller]
fn lines(home: &Home, spec: &Path, more: &[&str]) -> Vec<Value> {
    valid_lines("logs", &home.local_output("logs", spec, more).expect(0))
}

fn text(home: &Home, spec: &Path, more: &[&str]) -> String {
    home.run(&[&["logs", spec.to_str().unwrap(), "--local"], more].concat()).expect(0).stdout
}

/// Starts a command whose lines can be read while it runs.
fn start(home: &Home, args: &[&str]) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = home.command().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdout)
}

#[test]
fn lines_are_chosen_and_laid_out() {
    let home = Home::new();
    let spec = two_functions(&home);
    home.local("up", &spec, &["--yes"]);
    home.local("send", &spec, &["--function", "processor", "--count", "1000", "--poison", "2", "--seed", "7"]);
    // All twenty have been rejected and all are done with.
    let is = |line: &Value, message: &str| line["message"] == message;
    let processed = |lines: &[Value]| lines.iter().filter_map(|line| line["processed"].as_u64()).sum::<u64>();
    let all = until("the logs", LIMIT, || {
        let all = lines(&home, &spec, &["--function", "processor"]);
        (processed(&all) >= 980).then_some(all)
    });
    let rejected: Vec<_> = all.iter().filter(|line| is(line, "record rejected")).collect();
    assert_eq!(rejected.len(), 20, "{rejected:#?}");

    // What is JSON stays as it is; the rest, such as Lambda's lines, says whose it is and when.
    let start =
        all.iter().find(|line| line["message"].as_str().is_some_and(|text| text.starts_with("START "))).unwrap();
    assert_eq!(start["function"], "processor");
    assert!(start["time"].as_str().unwrap().ends_with('Z'), "{start}");
    let batch = all.iter().find(|line| is(line, "batch processed")).unwrap();
    assert!(batch.get("function").is_none() && batch.get("time").is_none(), "{batch}");
    assert!(all.iter().all(|line| line.get("_aws").is_none()), "{all:#?}");
    assert!(lines(&home, &spec, &["--metrics"]).iter().any(|line| line.get("_aws").is_some()));

    let warnings = lines(&home, &spec, &["--level", "warn", "--function", "processor"]);
    assert!(warnings.iter().all(|line| line["level"] == "WARN"), "{warnings:#?}");
    assert!(lines(&home, &spec, &["--level", "error"]).is_empty());
    let request = batch["requestId"].as_str().unwrap();
    let of_request = text(&home, &spec, &["--request", request]);
    assert!(of_request.contains("start") && of_request.contains("batch processed"), "{of_request}");
    assert!(!of_request.contains("requestId="), "{of_request}");
    assert_eq!(lines(&home, &spec, &["--count", "3"]).len(), 3);

    // Each line has its function; the two have a colour each, and no other word.
    let column = |line: &str| line.split_whitespace().nth(1).unwrap().to_owned();
    let plain = until("the lines of both", LIMIT, || {
        let plain = text(&home, &spec, &[]);
        let functions: BTreeSet<_> = plain.lines().map(column).collect();
        (functions == ["buyers", "processor"].map(str::to_owned).into()).then_some(plain)
    });
    let line = plain.lines().find(|line| line.contains("record rejected")).unwrap();
    assert!(line.contains("  processor  WARN   record rejected  error="), "{line}");
    assert!(line.contains("  outcome=dead-letter  "), "{line}");
    let coloured = text(&home, &spec, &["--color", "always"]);
    for coloured_name in ["\u{1b}[36mbuyers   ", "\u{1b}[35mprocessor"] {
        assert!(coloured.contains(coloured_name), "{coloured}");
    }
    assert!(!plain.contains('\u{1b}'), "{plain}");

    let unknown = home.local_output("logs", &spec, &["--function", "nobody"]).expect(2);
    assert!(unknown.stderr.contains("there is no function `nobody`"), "{unknown:#?}");
    let future = lines(&home, &spec, &["--since", "2100-01-01T00:00:00Z"]);
    assert!(future.is_empty(), "{future:#?}");
    home.local_output("logs", &spec, &["--since", "yesterday"]).expect(2);
}

#[test]
fn logs_of_what_is_not_up_say_so() {
    let home = Home::new();
    home.endpoint();
    let output = home.local_output("logs", &home.retail(&[]), &[]).expect(1);
    assert!(output.stderr.contains("there is no log group /aws/lambda/retail-events-processor"), "{output:#?}");
    assert!(output.stderr.contains("hint: bring the pipeline up"), "{output:#?}");
}

#[test]
#[cfg(unix)]
fn followed_logs_bring_each_new_line_once_and_end_quietly() {
    let home = Home::new();
    let spec = two_functions(&home);
    home.local("up", &spec, &["--yes"]);
    let follow = ["logs", spec.to_str().unwrap(), "--local", "--follow", "--json", "--function", "processor"];
    let (child, mut stdout) = start(&home, &follow);
    let mut seen = Vec::new();
    let mut processed = 0;
    for round in 1..=2 {
        home.local("send", &spec, &["--function", "processor", "--count", "100", "--seed", "7"]);
        while processed < round * 100 {
            let mut line = String::new();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "it ended: {:#?}", finish(child));
            let parsed: Value = serde_json::from_str(&line).unwrap();
            processed += parsed["processed"].as_u64().unwrap_or_default();
            seen.push(line);
        }
    }
    assert_eq!(processed, 200);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len(), "{seen:#?}");
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let output = finish(child).expect(0);
    assert_eq!(output.stderr, "");

    // The reader has enough and leaves, and nothing new comes that could not be written.
    let (child, mut stdout) = start(&home, &follow);
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    let output = finish(child).expect(0);
    assert_eq!(output.stderr, "");
}
