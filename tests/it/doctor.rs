//! `doctor`: each check says what it found and how to mend it, offline and without credentials too, and shows no key.

use serde_json::Value;

use crate::harness::{Home, Output, pipeline};
use crate::schema::assert_valid;

/// The status of each check, by its name.
#[track_caller]
fn statuses(output: &Output) -> Vec<(String, String)> {
    let document = output.json();
    assert_valid("doctor", &document);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    document["checks"].as_array().unwrap().iter().map(|check| (text(&check["name"]), text(&check["status"]))).collect()
}

#[track_caller]
fn check(output: &Output, name: &str) -> Value {
    let document = output.json();
    let found = document["checks"].as_array().unwrap().iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("no check {name}: {document:#}")).clone()
}

fn status<'s>(statuses: &'s [(String, String)], name: &str) -> &'s str {
    statuses.iter().find(|(check, _)| check == name).map_or("none", |(_, status)| status)
}

#[test]
fn without_credentials_the_rest_is_checked() {
    let home = Home::new();
    let output = home.run(&["doctor", "--json"]).expect(1);
    let all = statuses(&output);
    for (name, expected) in [("region", "fail"), ("credentials", "skipped"), ("rights", "skipped")] {
        assert_eq!(status(&all, name), expected, "{all:?}");
    }
    assert!(["ok", "warn"].contains(&status(&all, "disk")) && status(&all, "embedded-aws") == "ok", "{all:?}");
    assert_eq!(check(&output, "region")["mend"], "pass --region, or set AWS_REGION or the profile's region");

    let output = home.run(&["doctor", "--region", "eu-central-1", "--json"]).expect(1);
    let credentials = check(&output, "credentials");
    assert_eq!(credentials["status"], "fail");
    assert!(credentials["mend"].as_str().unwrap().contains("AWS_PROFILE"), "{credentials:#}");
    let text = home.run(&["doctor", "--region", "eu-central-1"]).expect(1).stdout;
    assert!(text.contains("FAIL  credentials") && text.contains("hint: "), "{text}");
}

#[test]
fn an_endpoint_that_does_not_answer_is_said_and_no_key_is_shown() {
    let home = Home::new();
    let keys = [("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "sesame")];
    // Nothing listens on port 1, and no test can be given it.
    let arguments = ["doctor", "--region", "eu-central-1", "--endpoint-url", "http://127.0.0.1:1", "--json"];
    let output = home.run_with(&arguments, &keys).expect(1);
    let all = statuses(&output);
    assert_eq!((status(&all, "credentials"), status(&all, "endpoint")), ("ok", "fail"), "{all:?}");
    assert_eq!((status(&all, "clock"), status(&all, "quotas")), ("skipped", "skipped"), "{all:?}");
    let shown = format!("{output:?}{:?}", home.run_with(&arguments[..arguments.len() - 1], &keys));
    assert!(!shown.contains("AKIDEXAMPLE") && !shown.contains("sesame"), "{shown}");
}

#[test]
fn without_a_toolchain_only_aws_is_out_of_reach() {
    let home = Home::new();
    let output = home.run_with(&["doctor", "--local", "--json"], &[("PATH", "/nowhere")]).expect(0);
    let toolchain = check(&output, "toolchain");
    assert_eq!(toolchain["status"], "warn");
    assert_eq!(toolchain["mend"], "install Rust from https://rustup.rs");
    // There is none to ask, and none is started for it.
    assert_eq!(check(&output, "endpoint")["message"], "no embedded AWS is running");
    home.run(&["local", "status"]).expect(1);
}

#[test]
fn a_running_embedded_aws_is_asked_and_nothing_is_changed() {
    let home = Home::new();
    home.endpoint();
    let (from, _) = home.calls_after(0);
    let spec = pipeline("retail-events.toml");
    let output = home.run(&["doctor", spec.to_str().unwrap(), "--local", "--json"]).expect(0);
    let all = statuses(&output);
    for name in ["spec", "embedded-aws", "region", "credentials", "endpoint", "clock", "quotas"] {
        assert_eq!(status(&all, name), "ok", "{all:?}");
    }
    assert!(check(&output, "endpoint")["message"].as_str().unwrap().contains("account 000000000000"));
    assert_eq!(home.mutating_calls(from), [""; 0]);
}

#[test]
fn what_a_caller_may_not_do_is_named() {
    let home = Home::new();
    let endpoint = home.endpoint();
    let config = crate::harness::sdk(&endpoint);
    let key = crate::harness::runtime().block_on(async {
        let iam = aws_sdk_iam::Client::new(&config);
        iam.create_user().user_name("reader").send().await.unwrap();
        let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:Simulate*","kinesis:*","sqs:*","sns:*","dynamodb:*"],"Resource":"*"}]}"#;
        iam.put_user_policy().user_name("reader").policy_name("p").policy_document(policy).send().await.unwrap();
        iam.create_access_key().user_name("reader").send().await.unwrap().access_key.unwrap()
    });
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    let (id, secret) = (key.access_key_id, key.secret_access_key);
    home.write(".aws/credentials", &format!("[reader]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"));
    let spec = pipeline("retail-events.toml");
    let output = home.run(&["doctor", spec.to_str().unwrap(), "--local", "--profile", "reader", "--json"]).expect(1);
    let rights = check(&output, "rights");
    assert_eq!(rights["status"], "fail", "{rights:#}");
    let message = rights["message"].as_str().unwrap();
    assert!(message.contains("lambda:CreateFunction") && message.contains("iam:CreateRole"), "{message}");
    assert!(!message.contains("kinesis:CreateStream"), "{message}");
    assert!(!output.stdout.contains(&secret) && !output.stdout.contains(&id), "{output:#?}");
}

#[test]
fn a_wrong_file_is_a_failed_check() {
    let home = Home::new();
    home.write("streamkit.toml", "name = \"a\"\n[stream.s]\nshards = 0\n");
    let output = home.run(&["doctor", "--local", "--json"]).expect(1);
    assert_eq!(check(&output, "spec")["mend"], "streamkit check streamkit.toml shows each of them");
    home.run(&["doctor", "missing.toml"]).expect(2);
}
