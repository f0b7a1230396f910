//! How the embedded AWS ends: politely, by a hangup, killed; and what it leaves.
#![cfg(target_os = "linux")]

use std::io::{Cursor, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{FunctionCode, InvocationType, Runtime};

use crate::harness::{Home, runtime, sdk, until};

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn a_signal_lets_the_embedded_aws_clean_up() {
    for signal in ["-TERM", "-HUP"] {
        let home = Home::new();
        let daemon = start_with_a_busy_function(&home);
        let busy = processes_of(&home);
        assert_eq!(busy.len(), 3, "the function, its child, and one that has left the group: {busy:?}");
        kill(signal, &daemon);
        until("the end of the embedded AWS", LIMIT, || is_gone(&daemon).then_some(()));
        assert!(!home.path().join("state/local.json").exists(), "{signal}");
        assert_eq!(processes_of(&home), Vec::<String>::new(), "{signal}");
        assert_eq!(code_folders(&home), 0, "{signal}");
    }
}

#[test]
fn what_a_killed_embedded_aws_left_is_ended_by_the_next_start() {
    let home = Home::new();
    let daemon = start_with_a_busy_function(&home);
    kill("-KILL", &daemon);
    until("the end of the embedded AWS", LIMIT, || is_gone(&daemon).then_some(()));
    assert_eq!(processes_of(&home).len(), 3, "nobody could end them");
    assert_ne!(code_folders(&home), 0);
    home.endpoint();
    assert_eq!(processes_of(&home), Vec::<String>::new());
    assert_eq!(code_folders(&home), 0);
}

#[test]
fn what_the_embedded_aws_keeps_is_for_nobody_else_to_read() {
    let home = Home::new();
    start_with_a_busy_function(&home);
    let mut folders = vec![home.path().join("state")];
    let mut looked_at = 0;
    while let Some(folder) = folders.pop() {
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in std::fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path()) {
            looked_at += 1;
            // The code of a function has the modes that its package says, in a folder that others can't enter.
            match entry.is_dir() {
                true if entry.parent().is_some_and(|run| run.with_extension("lock").exists()) => {}
                true => folders.push(entry),
                false => assert_eq!(mode(&entry), 0o600, "{}", entry.display()),
            }
        }
    }
    assert!(looked_at >= 6, "address, lock, log, folder and lock of the run, package: {looked_at}");
}

/// Starts the embedded AWS with a function that never answers, and gives back the process number of the first.
fn start_with_a_busy_function(home: &Home) -> String {
    let started = home.run(&["local", "start", "--json"]).expect(0).json();
    let config = sdk(started["endpoint"].as_str().unwrap());
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("bootstrap", zip::write::SimpleFileOptions::default().unix_permissions(0o755)).unwrap();
    zip.write_all(b"#!/bin/sh\nsetsid sleep 600 &\nsleep 600\n").unwrap();
    let code = FunctionCode::builder().zip_file(Blob::new(zip.finish().unwrap().into_inner())).build();
    runtime().block_on(async {
        let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
        let iam = aws_sdk_iam::Client::new(&config);
        let role = iam.create_role().role_name("r").assume_role_policy_document(trust).send().await.unwrap();
        let lambda = aws_sdk_lambda::Client::new(&config);
        let create = lambda.create_function().function_name("busy").runtime(Runtime::Providedal2023).handler("h");
        create.role(role.role().unwrap().arn()).code(code).send().await.unwrap();
        lambda.invoke().function_name("busy").invocation_type(InvocationType::Event).send().await.unwrap();
    });
    until("the function", LIMIT, || (processes_of(home).len() == 3).then_some(()));
    started["pid"].to_string()
}

/// What functions of this home run, by their environment.
fn processes_of(home: &Home) -> Vec<String> {
    let root = format!("LAMBDA_TASK_ROOT={}", home.path().display());
    let numbers =
        std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    numbers
        .filter(|number| {
            let environment = std::fs::read(Path::new("/proc").join(number).join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(root.as_bytes()))
        })
        .collect()
}

fn code_folders(home: &Home) -> usize {
    std::fs::read_dir(home.path().join("state/functions/functions")).map_or(0, Iterator::count)
}

fn kill(signal: &str, process: &str) {
    assert!(Command::new("kill").args([signal, process]).status().unwrap().success());
}

/// Gone, or waiting for somebody to ask how it ended.
fn is_gone(process: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    status.rsplit(')').next().is_none_or(|rest| rest.trim_start().is_empty() || rest.trim_start().starts_with('Z'))
}
