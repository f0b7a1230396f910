//! What is written where: colours, full disks, files that are no spec, mistakes as data, and signals.

use std::fs::File;
use std::process::{Command, Stdio};

use crate::harness::{Home, finish, pipeline};

const ESCAPE: char = '\u{1b}';

#[test]
fn colours_are_shown_when_wanted_and_change_no_word() {
    let home = Home::new();
    home.write("wrong.toml", "name = \"a\"\n[stream.s]\nshard = 2\n");
    let retail = pipeline("retail-events.toml");
    let retail = retail.to_str().unwrap();
    // No embedded AWS runs for the status, so that an error and its hint are shown.
    for (args, code) in [
        (vec!["check", "wrong.toml"], 2),
        (vec!["status", retail, "--local"], 1),
        (vec!["plan", retail, "--local"], 0),
        (vec!["status", retail, "--local"], 1),
        (vec!["--help"], 0),
        (vec!["plan", "--nonsense"], 2),
    ] {
        if args[0] == "plan" {
            // Started before, so that no run says that it starts one.
            home.endpoint();
        }
        let plain = home.run(&args).expect(code);
        let with = |more: &[&str], variables: &[(&str, &str)]| {
            home.run_with(&[&args[..], more].concat(), variables).expect(code)
        };
        assert!(!plain.stdout.contains(ESCAPE) && !plain.stderr.contains(ESCAPE), "{plain:#?}");
        for coloured in [with(&["--color", "always"], &[("NO_COLOR", "1")]), with(&[], &[("CLICOLOR_FORCE", "1")])] {
            assert!(coloured.stdout.contains(ESCAPE) || coloured.stderr.contains(ESCAPE), "{args:?}: {coloured:#?}");
            let words = |text: &str| without_colours(text);
            assert_eq!(
                (words(&coloured.stdout), words(&coloured.stderr)),
                (plain.stdout.clone(), plain.stderr.clone())
            );
        }
        for plain_again in [
            with(&["--color=never"], &[("CLICOLOR_FORCE", "1")]),
            with(&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]),
        ] {
            assert_eq!((&plain_again.stdout, &plain_again.stderr), (&plain.stdout, &plain.stderr));
        }
    }
}

fn without_colours(text: &str) -> String {
    let mut parts = text.split(ESCAPE);
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').expect("the end of a colour").1);
    }
    plain
}

#[test]
#[cfg(target_os = "linux")]
fn data_that_cannot_be_written_is_a_failure_and_a_reader_that_left_is_none() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    let spec = spec.to_str().unwrap();
    for args in
        [vec!["check", spec], vec!["check", spec, "--json"], vec!["plan", spec, "--local", "--json"], vec!["--help"]]
    {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let child = home.command().args(&args).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let output = finish(child).expect(1);
        assert!(output.stderr.contains("error: writing to standard output: No space left"), "{args:?}: {output:#?}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = home.command().args(&args).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        finish(child).expect(0);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_no_spec_is_bad_usage_and_never_read_without_end() {
    let home = Home::new();
    std::fs::write(home.path().join("binary"), [0x7f, b'E', b'L', b'F', 0, 0xff]).unwrap();
    std::fs::write(home.path().join("large.toml"), "# comment\n".repeat(200_000)).unwrap();
    assert!(Command::new("mkfifo").arg(home.path().join("pipe")).status().unwrap().success());
    for (file, says) in [
        (".", "it is a folder"),
        ("/dev/zero", "it is not a regular file"),
        ("pipe", "it is not a regular file"),
        ("binary", "it is not text in UTF-8"),
        ("large.toml", "it has more than 1 MB"),
    ] {
        let output = home.run(&["check", file]).expect(2);
        assert!(output.stderr.contains(&format!("{file} is no spec: {says}")), "{output:#?}");
    }
    let output = home.run(&["local", "start", "--latency", "pipe"]).expect(2);
    assert!(output.stderr.contains("it is not a regular file"), "{output:#?}");
}

#[test]
fn mistakes_in_a_spec_are_data_with_json() {
    let home = Home::new();
    home.write("wrong.toml", "name = \"a\"\n[stream.s]\nshard = 2\nretention = \"é\" # ü\n[table.t]\n");
    let output = home.run(&["up", "wrong.toml", "--local", "--yes", "--json"]).expect(2);
    let document = output.json();
    assert_eq!(document["exit_code"], 2);
    let first = &document["findings"][0];
    let expected = serde_json::json!({
        "file": "wrong.toml", "line": 3, "column": 1, "id": "unknown-key", "message": "unknown key `shard`",
        "help": "did you mean `shards`?",
    });
    assert_eq!(*first, expected);
    let ids: Vec<_> = document["findings"].as_array().unwrap().iter().map(|at| at["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["unknown-key", "wrong-value", "missing-key"], "{document:#}");
    assert!(output.stderr.contains("wrong.toml has 3 mistakes"), "{output:#?}");
}

#[test]
#[cfg(unix)]
fn a_polite_kill_ends_a_command_that_waits_as_ctrl_c_does() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    // It takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    for command in ["plan", "status", "validate", "send", "down"] {
        let child = home
            .command()
            .args([command, spec.to_str().unwrap(), "--endpoint-url", &endpoint, "--region", "us-east-1"])
            .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Once it has called, it listens for signals.
        let call = silent.accept().unwrap();
        terminate(child.id());
        let output = finish(child).expect(130);
        assert!(output.stderr.contains("interrupted"), "{command}: {output:#?}");
        drop(call);
    }
}

#[cfg(unix)]
fn terminate(process: u32) {
    assert!(Command::new("kill").args(["-TERM", &process.to_string()]).status().unwrap().success());
}
