//! The tools that others use against an AWS: Terraform, boto3, the AWS CLI. Each must be installed, so these tests only run
//! when asked for: `cargo test -p streamkit-local --test tools -- --ignored`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use streamkit_local::{DEFAULT_ACCOUNT, Options, Rehearsal, serve};
use tokio::sync::oneshot;

/// Runs `work` beside an embedded AWS, with a folder that holds a function's package.
async fn beside(name: &str, work: impl FnOnce(&str, &Path) + Send + 'static) {
    let dir = std::env::temp_dir().join(format!("streamkit-{name}-{}", uuid::Uuid::new_v4().simple()));
    fs::create_dir_all(&dir).unwrap();
    let options = Options {
        port: 0,
        region: "us-east-1".into(),
        account: DEFAULT_ACCOUNT.into(),
        state_dir: dir.join("state"),
        rehearsal: Rehearsal::default(),
        ..Options::default()
    };
    let (ready, address) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(options, ready, async { drop(stopped.await) }));
    let endpoint = format!("http://{}", address.await.unwrap());
    package(&dir);
    let folder = dir.clone();
    tokio::task::spawn_blocking(move || work(&endpoint, &folder)).await.unwrap();
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    fs::remove_dir_all(&dir).unwrap();
}

/// A function that is never invoked: any file that is called bootstrap will do.
fn package(dir: &Path) {
    let file = fs::File::create(dir.join("function.zip")).unwrap();
    let mut zip = zip::ZipWriter::new(file);
    zip.start_file("bootstrap", zip::write::SimpleFileOptions::default().unix_permissions(0o755)).unwrap();
    std::io::Write::write_all(&mut zip, b"#!/bin/sh\n").unwrap();
    zip.finish().unwrap();
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools").join(name)
}

fn run(program: &str, arguments: &[&str], dir: &Path, endpoint: &str) -> Output {
    Command::new(program)
        .args(arguments)
        .current_dir(dir)
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn checked(program: &str, arguments: &[&str], dir: &Path, endpoint: &str) -> String {
    let output = run(program, arguments, dir, endpoint);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs terraform and its AWS provider"]
async fn terraform_applies_reads_back_without_a_difference_and_destroys() {
    beside("terraform", |endpoint, dir| {
        fs::copy(source("main.tf"), dir.join("main.tf")).unwrap();
        checked("terraform", &["init", "-no-color"], dir, endpoint);
        checked("terraform", &["apply", "-auto-approve", "-no-color", "-parallelism=20"], dir, endpoint);
        // 2 would say that something is to change.
        let plan = run("terraform", &["plan", "-detailed-exitcode", "-no-color"], dir, endpoint);
        assert_eq!(plan.status.code(), Some(0), "{}", String::from_utf8_lossy(&plan.stdout));
        checked("terraform", &["destroy", "-auto-approve", "-no-color", "-parallelism=20"], dir, endpoint);
        let left = checked("aws", &["kinesis", "list-streams"], dir, endpoint);
        assert!(!left.contains("tools"), "{left}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs python3 with boto3"]
async fn boto3_reads_back_what_it_wrote() {
    beside("boto3", |endpoint, dir| {
        checked("python3", &[&source("read_back.py").display().to_string(), endpoint], dir, endpoint);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the AWS CLI"]
async fn aws_cli_reaches_every_service() {
    beside("cli", |endpoint, dir| {
        let aws = |arguments: &str| {
            let mut all = vec!["--endpoint-url", endpoint, "--output", "json"];
            all.extend(arguments.split_whitespace());
            checked("aws", &all, dir, endpoint)
        };
        aws("kinesis create-stream --stream-name cli --shard-count 1");
        aws("kinesis wait stream-exists --stream-name cli");
        assert!(aws("kinesis put-record --stream-name cli --partition-key k --data aGk=").contains("shardId-000000000000"));
        aws("dynamodb create-table --table-name cli --billing-mode PAY_PER_REQUEST --attribute-definitions AttributeName=a,AttributeType=S --key-schema AttributeName=a,KeyType=HASH");
        aws("dynamodb wait table-exists --table-name cli");
        let queue = aws("sqs create-queue --queue-name cli --query QueueUrl");
        let queue = queue.trim().trim_matches('"');
        aws(&format!("sqs send-message --queue-url {queue} --message-body hello"));
        assert!(aws(&format!("sqs receive-message --queue-url {queue}")).contains("hello"));
        assert!(aws("sns create-topic --name cli").contains("arn:aws:sns:us-east-1:000000000000:cli"));
        assert!(aws("sts get-caller-identity").contains(DEFAULT_ACCOUNT));
        aws("s3 mb s3://cli-bucket");
        aws("s3 cp function.zip s3://cli-bucket/code/function.zip");
        assert!(aws("s3 ls s3://cli-bucket/code/").contains("function.zip"));
        aws("s3 rb s3://cli-bucket --force");
        aws("cloudwatch put-metric-data --namespace Cli --metric-name m --value 1");
        assert!(aws("cloudwatch list-metrics --namespace Cli").contains("\"m\""));
        aws("logs create-log-group --log-group-name cli");
        assert!(aws("logs describe-log-groups").contains("cli"));
        assert!(aws("lambda list-functions").contains("Functions"));
        assert!(aws("iam list-roles").contains("Roles"));
        aws("kinesis delete-stream --stream-name cli");
    })
    .await;
}
