//! What `streamkit policy` prints is enough for the whole life of every pipeline, and nothing of it is too much: callers and
//! functions are held to their policies.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Home, Output, pipeline, runtime, sdk};
use crate::trust::RARELY;

const USER: &str = "deployer";
const PIPELINES: [&str; 12] = [
    "retail-events",
    "streaming-analytics",
    "clickstream",
    "change-capture",
    "fan-out",
    "archive",
    "global-changes",
    "shop",
    "trends",
    "anomalies",
    "private-events",
    "mirror",
];

/// What only other pipelines, settings or events call.
const OPTIONAL: [&str; 11] = [
    "application-autoscaling:DescribeScalableTargets",
    // Of an item that the audit log says less of.
    "dynamodb:GetItem",
    "dynamodb:Scan",
    "iam:ListAttachedRolePolicies",
    "iam:ListRolePolicies",
    "kinesis:ListStreamConsumers",
    "lambda:GetAccountSettings",
    // Where somebody has opened a bucket: new ones are closed.
    "s3:PutBucketPublicAccessBlock",
    "sns:GetSubscriptionAttributes",
    "sns:ListSubscriptionsByTopic",
    "sns:Unsubscribe",
];

/// An IAM user of the embedded AWS, whose keys are a profile of this home.
struct Caller<'a> {
    home: &'a Home,
    iam: aws_sdk_iam::Client,
}

impl<'a> Caller<'a> {
    /// A caller who may do nothing.
    fn new(home: &'a Home) -> Self {
        let iam = aws_sdk_iam::Client::new(&sdk(&home.endpoint()));
        let key = runtime().block_on(async {
            iam.create_user().user_name(USER).send().await.unwrap();
            iam.create_access_key().user_name(USER).send().await.unwrap().access_key.unwrap()
        });
        let folder = home.path().join(".aws");
        fs::create_dir_all(&folder).unwrap();
        let (id, secret) = (key.access_key_id, key.secret_access_key);
        let profile = format!("[{USER}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
        fs::write(folder.join("credentials"), profile).unwrap();
        Self { home, iam }
    }

    /// Attaches these policies in place of those that there are.
    fn give(&self, documents: &[Value]) {
        runtime().block_on(async {
            let attached = self.iam.list_attached_user_policies().user_name(USER).send().await.unwrap();
            for arn in attached.attached_policies.unwrap_or_default().into_iter().filter_map(|policy| policy.policy_arn)
            {
                self.iam.detach_user_policy().user_name(USER).policy_arn(&arn).send().await.unwrap();
                self.iam.delete_policy().policy_arn(arn).send().await.unwrap();
            }
            for (number, document) in documents.iter().enumerate() {
                let create = self.iam.create_policy().policy_name(format!("streamkit-{number}"));
                let made = create.policy_document(document.to_string()).send().await.unwrap();
                let arn = made.policy.unwrap().arn.unwrap();
                self.iam.attach_user_policy().user_name(USER).policy_arn(arn).send().await.unwrap();
            }
        });
    }

    fn run(&self, command: &str, spec: &Path, more: &[&str]) -> Output {
        let spec = spec.to_str().unwrap();
        let words =
            command.split(' ').chain([spec, "--local", "--json", "--profile", USER]).chain(more.iter().copied());
        self.home.run(&words.collect::<Vec<_>>())
    }

    /// Runs a command that must be allowed all of its calls.
    #[track_caller]
    fn may(&self, command: &str, spec: &Path, more: &[&str]) -> Value {
        self.run(command, spec, more).expect(0).json()
    }
}

/// What is printed for deploying and for running, which is too long for one managed policy.
fn policies(home: &Home, spec: &Path) -> Vec<Value> {
    let print = |scope: &str| {
        let spec = spec.to_str().unwrap();
        let account = ["--account", "000000000000", "--region", "us-east-1"];
        home.run(&[&["policy", spec, "--json", "--for", scope], account.as_slice()].concat()).expect(0).json()
    };
    ["deploy", "run"].map(print).into()
}

/// The pipeline of this name, whose events wait for no company.
fn without_waiting(home: &Home, name: &str) -> PathBuf {
    let text = fs::read_to_string(pipeline(&format!("{name}.toml"))).unwrap();
    let text = text.replace("batch_window = \"5s\"", "batch_window = \"0s\"");
    // The caller is among those who may decrypt.
    let readers = format!("readers = [\"arn:aws:iam::000000000000:user/{USER}\"]");
    home.write("pipeline.toml", &text.replace("readers = []", &readers))
}

/// The function of the pipeline that has the recipe, and its queue.
fn function(name: &str) -> (&'static str, &'static str) {
    match name {
        "fan-out" => ("announce", "dlq"),
        "global-changes" => ("audit", "dlq"),
        "trends" => ("trends", "dlq"),
        "anomalies" => ("analytics", "dlq"),
        "shop" => ("fraud", "fraud-dlq"),
        _ => ("processor", "dlq"),
    }
}

/// Puts a letter into the pipeline's queue that will fail with another error, as any administrator may.
fn put_letter(home: &Home, name: &str) {
    let pipeline = if name == "fan-out" { "orders" } else { name };
    let (function, queue) = function(name);
    let function = format!("{pipeline}-{function}");
    let table = ["change-capture", "fan-out", "global-changes"].contains(&name);
    let arn = |resource: &str| format!("arn:aws:{resource}");
    let mut letter = json!({"pipeline": pipeline, "function": function, "eventId": "s:1", "sequenceNumber": "1",
        "streamArn": arn("kinesis:us-east-1:000000000000:stream/s"), "shardId": "shardId-000000000000", "payload": "{}",
        "error": {"code": "made_by_a_test", "message": "made by a test"}});
    if table {
        letter["streamArn"] = json!(arn("dynamodb:us-east-1:000000000000:table/t/stream/2026-01-01T00:00:00.000"));
        letter["eventName"] = json!("INSERT");
        letter["payload"] = json!(r#"{"SequenceNumber":"1"}"#);
    }
    let sqs = aws_sdk_sqs::Client::new(&sdk(&home.endpoint()));
    let queue = format!("{}/000000000000/{pipeline}-{queue}", home.endpoint());
    // Where the queue is missing because an action is, the commands say so.
    drop(runtime().block_on(sqs.send_message().queue_url(queue).message_body(letter.to_string()).send()));
}

#[test]
fn the_printed_policies_are_enough_for_the_life_of_every_pipeline() {
    for name in PIPELINES {
        let home = Home::new();
        let spec = without_waiting(&home, name);
        let caller = Caller::new(&home);
        caller.give(&policies(&home, &spec));
        let before = home.calls().len();
        caller.may("plan", &spec, &[]);
        caller.may("up", &spec, &["--yes"]);
        let again = caller.may("up", &spec, &["--yes"]);
        assert_eq!(again["summary"]["unchanged"], again["resources"].as_array().unwrap().len(), "{name}: {again:#}");
        caller.may("status", &spec, &[]);
        caller.may("send", &spec, &["--count", "20"]);
        let source: &[&str] = if name == "anomalies" { &["stream.events"] } else { &[] };
        caller.may("tail", &spec, &[source, &["--since", "10m", "--count", "1"]].concat());
        let report = caller.may("validate", &spec, &[]);
        assert_eq!(report["ok"], true, "{name}: {report:#}");
        caller.may("logs", &spec, &["--count", "1"]);
        caller.may("cost", &spec, &["--measured", "--since", "1h"]);
        if name == "private-events" {
            let shown = caller.run("decrypt", &spec, &["--index-of", "email=nobody@mail.example"]).expect(0);
            assert_eq!(shown.stdout, "");
        }
        put_letter(&home, name);
        let mended = caller.run("dlq redrive", &spec, &["--yes", "--edit", "{}"]);
        assert_eq!(mended.json()["failed"], mended.json()["read"], "{name}: {mended:#?}");
        caller.may("dlq list", &spec, &[]);
        // Poison fails again, so it does not end with 0; what is denied shows below.
        let played = caller.run("replay", &spec, &["--since", "1h", "--yes", "--function", function(name).0]).json();
        assert_eq!(played["left"], 0, "{name}: {played:#}");
        // What somebody else has taken away comes again.
        let alarms = aws_sdk_cloudwatch::Client::new(&sdk(&home.endpoint()));
        runtime().block_on(async {
            let all = alarms.describe_alarms().send().await.unwrap().metric_alarms.unwrap();
            let name = all[0].alarm_name.as_ref().unwrap();
            alarms.delete_alarms().alarm_names(name).send().await.unwrap();
        });
        caller.may("up", &spec, &["--yes"]);
        caller.may("down", &spec, &["--yes"]);
        let is_denied = |call: &&Value| call["error_code"].as_str().is_some_and(|code| code.contains("AccessDenied"));
        let (_, calls) = home.calls_after(before);
        let denied: Vec<_> = calls.iter().filter(is_denied).collect();
        assert!(denied.is_empty(), "{name}: {denied:#?}");
    }
}

#[test]
fn the_policies_of_functions_are_those_that_their_roles_get() {
    let home = Home::new();
    let spec = without_waiting(&home, "fan-out");
    home.local("up", &spec, &["--yes"]);
    let printed = home.local("policy", &spec, &["--functions"]);
    let iam = aws_sdk_iam::Client::new(&sdk(&home.endpoint()));
    assert!(!printed.as_object().unwrap().is_empty(), "{printed:#}");
    for (section, printed) in printed.as_object().unwrap() {
        let role = printed["role"].as_str().unwrap();
        let call = iam.get_role_policy().role_name(role).policy_name("streamkit").send();
        let document = runtime().block_on(call).unwrap().policy_document;
        let document = percent_encoding::percent_decode_str(&document).decode_utf8().unwrap();
        assert_eq!(serde_json::from_str::<Value>(&document).unwrap(), printed["policy"], "{section}");
    }
    home.run(&["policy", spec.to_str().unwrap(), "--functions", "--for", "run"]).expect(2);
}

/// The actions of a policy.
fn actions(policy: &Value) -> impl Iterator<Item = &str> {
    let statements = policy["Statement"].as_array().unwrap();
    statements.iter().flat_map(|statement| {
        match &statement["Action"] {
            Value::Array(actions) => actions.as_slice(),
            one => std::slice::from_ref(one),
        }
        .iter()
        .filter_map(Value::as_str)
    })
}

/// The policy without one of its actions.
fn without(policy: &Value, action: &str) -> Value {
    let mut policy = policy.clone();
    let statements = policy["Statement"].as_array_mut().unwrap();
    for statement in statements.iter_mut() {
        match &mut statement["Action"] {
            Value::Array(actions) => actions.retain(|one| one != action),
            one if *one == action => *one = json!([]),
            _ => {}
        }
    }
    statements.retain(|statement| statement["Action"].as_array().is_none_or(|actions| !actions.is_empty()));
    policy
}

/// Whether a command says that this action was missing. SQS writes it in lower case.
fn named(output: &Output, action: &str) -> bool {
    format!("{}{}", output.stdout, output.stderr).to_lowercase().contains(&action.to_lowercase())
}

/// Takes each of these actions away in turn, and gives those that nobody misses in the life of the pipeline.
fn unmissed(name: &str, chosen: impl Fn(usize) -> bool) -> Vec<String> {
    let home = Home::new();
    let spec = without_waiting(&home, name);
    let caller = Caller::new(&home);
    let policies = policies(&home, &spec);
    let all: BTreeSet<String> = policies.iter().flat_map(actions).map(str::to_owned).collect();
    let in_rare_cases = |action: &str| {
        let name = action.split_once(':').unwrap().1;
        RARELY.iter().any(|rare| name.starts_with(rare)) || OPTIONAL.contains(&action)
    };
    let looked_at = all.iter().filter(|action| !in_rare_cases(action)).enumerate();
    let mut unmissed = Vec::new();
    for (_, action) in looked_at.filter(|(number, _)| chosen(*number)) {
        caller.give(&policies.iter().map(|policy| without(policy, action)).collect::<Vec<_>>());
        let says = |output: Output| named(&output, action);
        let deploys = actions(&policies[0]).any(|one| one == action);
        let mut life: Vec<(&str, &[&str])> =
            vec![("plan", &[]), ("up", &["--yes"]), ("up", &["--yes"]), ("status", &[])];
        if !deploys {
            life.extend([("send", ["--count", "10"].as_slice()), ("tail", &["--since", "10m", "--count", "1"])]);
            life.extend([("validate", [].as_slice()), ("validate", &["--break"])]);
            life.push(("cost", &["--measured", "--since", "1h"]));
            life.extend([
                ("dlq redrive", ["--yes", "--edit", "{}"].as_slice()),
                ("replay", &["--since", "1h", "--yes"]),
            ]);
            if name == "change-capture" {
                life.push(("replay", &["--from", "bucket.audit", "--into", "table.activities", "--yes"]));
            }
        }
        life.push(("down", &["--yes"]));
        let missed = life.into_iter().any(|(command, more)| {
            if command == "dlq redrive" {
                put_letter(&home, name);
            }
            says(caller.run(command, &spec, more))
        });
        if !missed {
            unmissed.push(action.clone());
        }
        // Whatever was left half done goes, by somebody who may do all.
        home.local("down", &spec, &["--yes"]);
    }
    unmissed
}

#[test]
fn an_action_that_is_not_allowed_is_named() {
    // Some of them; the next test has all.
    assert_eq!(unmissed("retail-events", |number| number % 9 == 4), Vec::<String>::new());
}

#[test]
#[ignore = "takes each action of two policies away in turn, which takes minutes; `.ci/tools` asks for it"]
fn every_printed_action_is_missed() {
    for name in ["retail-events", "change-capture"] {
        assert_eq!(unmissed(name, |_| true), Vec::<String>::new(), "{name}");
    }
}
