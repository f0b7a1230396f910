//! What a user relies on with an account at stake: going back, keeping data, and knowing what took the time.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::flow::{assert_nothing_is_left, count_items};
use crate::harness::{Home, pipeline, runtime, sdk, until};

#[test]
fn a_first_creation_that_fails_is_rolled_back() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    home.fault("lambda", "CreateEventSourceMapping", 1, 400, "AccessDeniedException");
    let output = home.local_output("up", &spec, &["--yes", "--rollback"]).expect(1);
    let report = output.json();
    assert_eq!(report["summary"]["failed"], 1, "{output:#?}");
    assert_eq!(report["rolled_back"].as_array().unwrap().len(), 12, "{output:#?}");
    assert!(output.stderr.contains("AccessDeniedException"), "{output:#?}");
    assert_nothing_is_left(&home);
}

#[test]
fn rolling_back_leaves_what_was_there_before() {
    let home = Home::new();
    let first = home.write(
        "first.toml",
        "name = \"retail-events\"\n[tags]\nProject = \"RetailAnalytics\"\n[queue.dlq]\nretention = \"14d\"\n",
    );
    home.local("up", &first, &["--yes"]);
    home.fault("dynamodb", "CreateTable", 1, 400, "AccessDeniedException");
    let spec = home.retail(&[]);
    let report = home.local_output("up", &spec, &["--yes", "--rollback"]).expect(1).json();
    let undone: Vec<&str> =
        report["rolled_back"].as_array().unwrap().iter().map(|node| node.as_str().unwrap()).collect();
    assert!(undone.contains(&"stream.events") && undone.contains(&"function.processor"), "{report:#}");
    assert!(!undone.contains(&"queue.dlq") && !undone.contains(&"table.results"), "{report:#}");
    let plan = home.local("plan", &first, &[]);
    assert_eq!(plan["summary"]["unchanged"], plan["resources"].as_array().unwrap().len(), "{plan:#}");
    home.local("down", &first, &["--yes"]);
    assert_nothing_is_left(&home);
}

#[test]
fn down_says_how_much_is_lost_and_keeps_data_when_asked() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    home.local("up", &spec, &["--yes"]);
    home.local("send", &spec, &["--count", "200", "--poison", "5", "--seed", "7"]);
    let config = sdk(&home.endpoint());
    until("the items of all good events", Duration::from_secs(60), || (count_items(&config) == 190).then_some(()));
    let dead = || home.local("status", &spec, &[])["functions"][0]["queue_depth"].as_u64().unwrap();
    until("the dead letters", Duration::from_secs(60), || (dead() == 10).then_some(()));

    let refused = home.run(&["down", spec.to_str().unwrap(), "--local"]).expect(2);
    for held in
        ["its items (190 when DynamoDB last counted", "its messages (about 10)", "its records (those of the last 24h)"]
    {
        assert!(refused.stdout.contains(held), "{held}: {refused:#?}");
    }

    let down = home.local("down", &spec, &["--yes", "--keep-data"]);
    let kept: Vec<&Value> = down["resources"].as_array().unwrap().iter().map(|at| &at["node"]).collect();
    assert!(!kept.contains(&&json!("table.results")) && !kept.contains(&&json!("queue.dlq")), "{down:#}");
    let again = home.local("down", &spec, &["--yes", "--keep-data"]);
    assert_eq!(again["resources"], json!([]), "{again:#}");
    assert_eq!(count_items(&config), 190);

    // The next `up` goes on with what was kept.
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!(up["summary"]["unchanged"], 2, "{up:#}");
    assert_eq!((count_items(&config), dead()), (190, 10));
    home.local("down", &spec, &["--yes"]);
    assert_nothing_is_left(&home);
}

#[test]
fn up_ends_with_what_it_waited_for() {
    let home = Home::new();
    let times = home.write("times.toml", "[changes]\nstream-create = \"2s\"\nmapping-create = \"2s\"\n");
    home.run(&["local", "start", "--latency", times.to_str().unwrap()]).expect(0);
    let spec = home.retail(&[]);
    let up = home.local("up", &spec, &["--yes"]);
    let path = up["critical_path"].as_array().unwrap();
    // Everything comes before the mapping, so it ends the path, whatever the machine made the others wait for.
    assert_eq!(path.last().unwrap()["node"], "function.processor.source", "{up:#}");
    let seconds: f64 = path.iter().map(|link| link["seconds"].as_f64().unwrap()).sum();
    let longest =
        up["resources"].as_array().unwrap().iter().map(|at| at["seconds"].as_f64().unwrap()).fold(0.0, f64::max);
    let total = up["seconds"].as_f64().unwrap();
    assert!(seconds >= 4.0 && seconds + 0.01 >= longest && seconds <= total, "{up:#}");
    let unchanged = home.local("up", &spec, &["--yes"]);
    assert!(unchanged.get("critical_path").is_none(), "{unchanged:#}");
}

#[test]
fn what_the_account_can_not_have_is_refused_before_anything_is_touched() {
    let home = Home::new();
    let shards = home.write(
        "shards.toml",
        "name = \"big\"\n[stream.a]\nshards = 10000\n[stream.b]\nshards = 10000\n[stream.c]\nshards = 1\n[queue.q]\n",
    );
    let refused = home.local_output("up", &shards, &["--yes"]).expect(1);
    assert!(
        refused.stderr.contains("20001 shards more would be 20001 in us-east-1, and this account may have 20000"),
        "{refused:#?}"
    );
    assert!(refused.stderr.contains("hint: ask AWS for more"), "{refused:#?}");

    let greedy = home.retail(&[("memory = 256", "reserved_concurrency = 950\nmemory = 256")]);
    let refused = home.local_output("up", &greedy, &["--yes"]).expect(1);
    assert!(refused.stderr.contains("reserving 950 more invocations leaves 50 of 1000"), "{refused:#?}");
    assert_eq!(home.mutating_calls(0), Vec::<String>::new());

    // A limit that can't be read is no reason to stop.
    home.fault("lambda", "GetAccountSettings", 1, 403, "AccessDeniedException");
    home.local_output("plan", &greedy, &[]).expect(0);
}

#[test]
fn a_large_reshard_is_announced_with_its_steps() {
    let home = Home::new();
    let with = |shards: u32| home.write("a.toml", &format!("name = \"a\"\n[stream.events]\nshards = {shards}\n"));
    home.local("up", &with(1), &["--yes"]);
    let plan = home.local_output("plan", &with(6), &[]).expect(0);
    assert_eq!(plan.json()["warnings"][0]["rule"], "shard-steps", "{plan:#?}");
    assert!(plan.stderr.contains("stream.events is resharded in 3 steps: 2, 4, 6"), "{plan:#?}");
    home.local("up", &with(6), &["--yes"]);
    let mode = home.write("a.toml", "name = \"a\"\n[stream.events]\nmode = \"on-demand\"\n");
    assert_eq!(home.local("plan", &mode, &[])["warnings"][0]["rule"], "mode-switch");
}

/// The IAM actions of an operation, where they are not the operation's own name.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html>
fn actions(service: &str, operation: &str) -> Vec<String> {
    let (prefix, names): (&str, &[&str]) = match (service, operation) {
        ("s3", "ListBuckets") => ("s3", &["ListAllMyBuckets"]),
        ("s3", "ListObjectVersions") => ("s3", &["ListBucketVersions"]),
        ("s3", "ListObjectsV2" | "HeadBucket") => ("s3", &["ListBucket"]),
        ("s3", "DeleteObjects") => ("s3", &["DeleteObject", "DeleteObjectVersion"]),
        ("s3", "GetPublicAccessBlock") => ("s3", &["GetBucketPublicAccessBlock"]),
        ("s3", "PutPublicAccessBlock") => ("s3", &["PutBucketPublicAccessBlock"]),
        ("s3", "GetBucketEncryption") => ("s3", &["GetEncryptionConfiguration"]),
        ("s3", "PutBucketEncryption") => ("s3", &["PutEncryptionConfiguration"]),
        ("s3", "GetBucketLifecycleConfiguration" | "GetBucketLifecycle") => ("s3", &["GetLifecycleConfiguration"]),
        ("s3", "PutBucketLifecycleConfiguration" | "PutBucketLifecycle" | "DeleteBucketLifecycle") => {
            ("s3", &["PutLifecycleConfiguration"])
        }
        // Nobody needs a right to be told who they are.
        ("sts", "GetCallerIdentity") => return Vec::new(),
        // GetFunction leaves the tags out for callers without ListTags.
        ("lambda", "GetFunction") => ("lambda", &["GetFunction", "ListTags"]),
        ("sqs", "ChangeMessageVisibilityBatch") => ("sqs", &["ChangeMessageVisibility"]),
        ("sqs", "DeleteMessageBatch") => ("sqs", &["DeleteMessage"]),
        ("sqs", "SendMessageBatch") => ("sqs", &["SendMessage"]),
        ("sns", "PublishBatch") => ("sns", &["Publish"]),
        ("lambda", "Invoke") => ("lambda", &["InvokeFunction"]),
        _ => (service, &[]),
    };
    if names.is_empty() {
        return vec![format!("{prefix}:{operation}")];
    }
    names.iter().map(|name| format!("{prefix}:{name}")).collect()
}

/// What only changes call, what only some answers lead to, and what AWS asks for within another call.
pub(crate) const RARELY: [&str; 25] = [
    "Update",
    "Untag",
    "Remove",
    "Increase",
    "Decrease",
    "Stop",
    "Detach",
    "TagResource",
    "TagRole",
    "TagQueue",
    "AddTagsToStream",
    "DeleteFunctionConcurrency",
    "DeleteObjectVersion",
    "PutBucketOwnershipControls",
    "PutBucketVersioning",
    "PutEncryptionConfiguration",
    "Set",
    "PassRole",
    "SimulatePrincipalPolicy",
    "ChangeMessageVisibility",
    "PutBucketTagging",
    "RegisterScalableTarget",
    "PutScalingPolicy",
    "DescribeScalingPolicies",
    "DeregisterScalableTarget",
];

fn allowed(policy: &Value) -> BTreeSet<String> {
    let list = |actions: &Value| match actions {
        Value::Array(actions) => actions.iter().map(|action| action.as_str().unwrap().to_owned()).collect(),
        one => vec![one.as_str().unwrap().to_owned()],
    };
    policy["Statement"].as_array().unwrap().iter().flat_map(|statement| list(&statement["Action"])).collect()
}

#[test]
fn the_policy_allows_all_that_streamkit_calls_and_little_else() {
    let mut used = BTreeSet::new();
    let mut granted = BTreeSet::new();
    for name in [
        "retail-events",
        "streaming-analytics",
        "clickstream",
        "change-capture",
        "fan-out",
        "archive",
        "shop",
        "trends",
        "anomalies",
        "private-events",
        "mirror",
    ] {
        let home = Home::new();
        let spec = pipeline(&format!("{name}.toml"));
        let policy = |what: &str| allowed(&home.local("policy", &spec, &["--for", what]));
        home.local("up", &spec, &["--yes"]);
        home.local("status", &spec, &[]);
        home.local("down", &spec, &["--yes"]);
        let (deploy, calls) = (policy("deploy"), home.calls());
        granted.extend(policy("all"));
        let called = |calls: &[Value]| -> BTreeSet<String> {
            let of = |call: &Value| {
                let service = match call["service"].as_str().unwrap() {
                    "monitoring" => "cloudwatch",
                    "dynamodbstreams" => "dynamodb",
                    "tagging" => "tag",
                    other => other,
                };
                actions(service, call["operation"].as_str().unwrap())
            };
            calls.iter().flat_map(of).collect()
        };
        let deployed = called(&calls);
        let missing: Vec<_> = deployed.difference(&deploy).collect();
        assert!(missing.is_empty(), "{name}: {missing:?}");

        used.extend(deployed);
        // One pipeline that reads a stream and one that reads a table show what sending, looking and validating takes.
        if !["retail-events", "change-capture"].contains(&name) {
            continue;
        }
        home.local("up", &spec, &["--yes"]);
        // Where the audited changes of this one go.
        home.local("up", &spec, &["--yes", "--stage", "test"]);
        let before = home.calls().len();
        home.local("send", &spec, &["--count", "50"]);
        home.local("tail", &spec, &["--since", "10m", "--count", "1"]);
        home.local("validate", &spec, &[]);
        if name == "change-capture" {
            let replay = ["--from", "bucket.audit", "--into", "table.activities", "--into-stage", "test", "--yes"];
            home.local("replay", &spec, &replay);
        }
        home.local("logs", &spec, &["--count", "1"]);
        home.local("cost", &spec, &["--measured", "--since", "1h"]);
        home.run(&["dlq", "list", spec.to_str().unwrap(), "--local", "--json"]).expect(0);
        home.local_output("replay", &spec, &["--since", "1h", "--yes"]);
        // What the handler calls is in the log too; that is for the function's own role to allow.
        let role = BTreeSet::<String>::from_iter(
            ["BatchGetItem", "BatchWriteItem", "PutItem"]
                .map(|operation| format!("dynamodb:{operation}"))
                .into_iter()
                .chain(["sqs:SendMessage", "sns:Publish", "s3:PutObject"].map(str::to_owned))
                .collect::<Vec<_>>(),
        );
        let ran: BTreeSet<_> = called(&home.calls()[before..]).difference(&role).cloned().collect();
        let run = policy("run");
        let missing: Vec<_> = ran.difference(&run).collect();
        assert!(missing.is_empty(), "{name}, send, tail, validate and logs: {missing:?}");
        used.extend(ran);
    }
    // The handler's calls too; what `validate` does where an item has another key than its event, and with --break.
    let others = [
        "dynamodb:BatchWriteItem",
        "dynamodb:PutItem",
        "dynamodb:Scan",
        "dynamodb:GetRecords",
        "dynamodb:GetShardIterator",
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "lambda:GetFunctionConfiguration",
        // Of a letter that fails again with another error, and of an item that may be there already.
        "sqs:SendMessage",
        "dynamodb:BatchGetItem",
        // Of an item that the audit log says less of.
        "dynamodb:GetItem",
        // Of a role to which others have added something, and of a stream that has consumers.
        "iam:ListAttachedRolePolicies",
        "iam:ListRolePolicies",
        "kinesis:ListStreamConsumers",
        // Of a key that was about to be deleted, or was changed.
        "kms:CancelKeyDeletion",
        "kms:DisableKeyRotation",
        "kms:EnableKey",
        "kms:PutKeyPolicy",
        // Of a bucket that somebody has opened.
        "s3:PutBucketPublicAccessBlock",
    ];
    let rarely = |action: &str| RARELY.iter().any(|name| action.split_once(':').unwrap().1.starts_with(name));
    let never: Vec<_> =
        granted.difference(&used).filter(|action| !rarely(action) && !others.contains(&action.as_str())).collect();
    assert!(never.is_empty(), "{never:?}");
}

#[test]
fn a_policy_is_written_without_asking_aws() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    let output = home
        .run(&[
            "policy",
            spec.to_str().unwrap(),
            "--account",
            "123456789012",
            "--region",
            "eu-west-1",
            "--stage",
            "dev",
        ])
        .expect(0);
    for part in [
        "arn:aws:kinesis:eu-west-1:123456789012:stream/retail-events-dev-*",
        "arn:aws:iam::123456789012:role/streamkit/retail-events-dev-*",
        "\"iam:PassedToService\": \"lambda.amazonaws.com\"",
    ] {
        assert!(output.stdout.contains(part), "{part}: {output:#?}");
    }
    assert!(!home.path().join("state").exists());
    home.run(&["policy", spec.to_str().unwrap(), "--account", "1234"]).expect(2);
}

#[test]
fn a_policy_names_the_customers_keys() {
    let home = Home::new();
    let key = "arn:aws:kms:eu-west-1:123456789012:key/0b1c2d3e-0000-4000-8000-000000000000";
    let spec = home.write(
        "keys.toml",
        &format!(
            "name = \"keys\"\n[stream.events]\nencryption = \"{key}\"\n[bucket.kept]\nencryption = \"alias/kept\"\n"
        ),
    );
    let policy = |what: &str| {
        let place = ["--account", "123456789012", "--region", "eu-west-1", "--for", what];
        let policy = home.run(&[&["policy", spec.to_str().unwrap()][..], &place].concat()).expect(0).json();
        let statements = policy["Statement"].as_array().unwrap().clone();
        // What lists the keys of an account is of no key in particular.
        let of_kms =
            |statement: &Value| statement["Sid"] != "Account" && statement["Action"].to_string().contains("kms:");
        statements.into_iter().filter(of_kms).collect::<Vec<_>>()
    };
    let allow = |sid: &str, actions: &[&str], on: &str| json!({ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": [on] });
    let any = "arn:aws:kms:eu-west-1:123456789012:key/*";
    let of_alias = |mut statement: Value| {
        statement["Condition"] = json!({ "ForAnyValue:StringEquals": { "kms:ResourceAliases": "alias/kept" } });
        statement
    };
    assert_eq!(policy("deploy"), [allow("Key1", &["kms:DescribeKey"], key)]);
    let reads_and_writes = ["kms:Decrypt", "kms:GenerateDataKey"];
    assert_eq!(policy("run"), [of_alias(allow("Key1", &["kms:Decrypt"], any)), allow("Key2", &reads_and_writes, key)]);
    assert_eq!(policy("all").len(), 2);
}

#[test]
fn what_functions_and_roles_can_not_hold_is_a_mistake_before_aws_is_asked() {
    let home = Home::new();
    let long = "x".repeat(4_000);
    let spec = home.retail(&[("tracing = true", &format!("tracing = true\nenvironment = {{ LONG = \"{long}\" }}"))]);
    let refused = home.run(&["check", spec.to_str().unwrap()]).expect(2);
    assert!(refused.stderr.contains("and Lambda takes 4096"), "{refused:#?}");

    std::fs::create_dir(home.path().join("crate")).unwrap();
    std::fs::write(home.path().join("crate/Cargo.toml"), "[package]\nname = \"bootstrap\"\nversion = \"0.1.0\"\n")
        .unwrap();
    let tables: Vec<String> = (0..150).map(|n| format!("table.results-of-a-long-name-{n}")).collect();
    let mut text = format!(
        "name = \"wide\"\n[stream.events]\n[function.f]\ncode = \"crate\"\nwrites = {tables:?}\nsource = {{ from = \"stream.events\" }}\n"
    );
    let sections = tables.iter().map(|table| format!("[{table}]\npartition_key = {{ name = \"id\", type = \"S\" }}\n"));
    text.extend(sections);
    let wide = home.write("wide.toml", &text);
    let refused = home.run(&["check", wide.to_str().unwrap()]).expect(2);
    assert!(refused.stderr.contains("IAM takes 10240 in a role's own policies"), "{refused:#?}");
    assert!(!home.path().join("state").exists());
    let refused = home.local_output("up", &spec, &["--yes"]).expect(1);
    assert!(refused.stderr.contains("and Lambda takes 4096"), "{refused:#?}");
    assert_eq!(home.mutating_calls(0), Vec::<String>::new());
}

#[test]
fn what_a_recipe_counts_can_be_watched_in_each_stage() {
    let home = Home::new();
    let spec = home.write(
        "watched.toml",
        &format!(
            "{}\n[alarm.rejected]\nwatch = \"function.processor.events-failed\"\nthreshold = 0\nnotify = \"topic.alerts\"\n\
             [alarm.views]\nwatch = \"function.processor.events-processed\"\ncomparison = \"<\"\nthreshold = 1\nnotify = \"topic.alerts\"\n\
             dimensions = {{ EventType = \"page_view\", DeviceType = \"mobile\" }}\n",
            std::fs::read_to_string(pipeline("streaming-analytics.toml")).unwrap()
        ),
    );
    home.run(&["check", spec.to_str().unwrap(), "--strict"]).expect(0);
    home.local("up", &spec, &["--yes", "--stage", "dev"]);
    let config = sdk(&home.endpoint());
    let alarms = aws_sdk_cloudwatch::Client::new(&config).describe_alarms();
    let alarms = runtime().block_on(alarms.send()).unwrap().metric_alarms.unwrap();
    let dimensions = |name: &str| {
        let alarm = alarms.iter().find(|alarm| alarm.alarm_name() == Some(&format!("streaming-analytics-dev-{name}")));
        let dimensions = alarm.unwrap().dimensions().iter();
        dimensions.map(|at| format!("{}={}", at.name().unwrap(), at.value().unwrap())).collect::<BTreeSet<_>>()
    };
    let of_stage = "Pipeline=streaming-analytics-dev".to_owned();
    assert_eq!(dimensions("no-events"), BTreeSet::from([of_stage.clone()]));
    assert_eq!(dimensions("rejected"), BTreeSet::from([of_stage.clone()]));
    let by_type = ["DeviceType=mobile", "EventType=page_view"].map(str::to_owned);
    assert_eq!(dimensions("views"), by_type.into_iter().chain([of_stage]).collect());

    // It goes off when the recipe counts.
    home.local("send", &spec, &["--stage", "dev", "--count", "20", "--poison", "100"]);
    until("the alarm on rejected events", Duration::from_secs(150), || {
        let status = home.local_output("status", &spec, &["--stage", "dev"]).json();
        let alarm = status["alarms"].as_array()?.iter().find(|at| at["name"] == "streaming-analytics-dev-rejected")?;
        (alarm["state"] == "ALARM").then_some(())
    });
    home.local("down", &spec, &["--yes", "--stage", "dev"]);
}

#[test]
fn a_mapping_that_is_made_anew_goes_on_where_the_old_one_was() {
    let home = Home::new();
    let usual = ("", "");
    let stopped = ("memory = 256", "reserved_concurrency = 0\nmemory = 256");
    let fan_out = ("from = \"stream.events\"\n", "from = \"stream.events\"\nconsumer = \"enhanced-fan-out\"\n");
    let spec = |change: (&str, &str)| if change == usual { home.retail(&[]) } else { home.retail(&[change]) };
    home.local("up", &spec(usual), &["--yes"]);
    let config = sdk(&home.endpoint());
    let send = |seed: &str| home.local("send", &spec(usual), &["--count", "100", "--seed", seed]);
    let items = |count: i32| {
        until("the items", Duration::from_secs(60), || (count_items(&config) == count).then_some(()));
    };
    send("1");
    items(100);

    // Nothing reads what comes now, until the mapping is another one.
    home.local("up", &spec(stopped), &["--yes"]);
    send("2");
    let plan = home.run(&["plan", spec(fan_out).to_str().unwrap(), "--local"]).expect(0);
    assert!(plan.stdout.contains("resumes some minutes before the last record"), "{plan:#?}");
    let up = home.local("up", &spec(fan_out), &["--yes"]);
    assert_eq!(up["summary"]["replace"], 1, "{up:#}");
    items(200);

    // The same back, and the run ends between the old mapping and the new one.
    home.local("up", &home.retail(&[fan_out, stopped]), &["--yes"]);
    send("3");
    home.fault("lambda", "CreateEventSourceMapping", 1, 400, "AccessDeniedException");
    home.local_output("up", &spec(usual), &["--yes"]).expect(1);
    send("4");
    home.local("up", &spec(usual), &["--yes"]);
    items(400);
    let before = home.calls().len();
    home.local("up", &spec(usual), &["--yes"]);
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());
    let lambda = aws_sdk_lambda::Client::new(&config);
    let function = runtime().block_on(lambda.get_function().function_name("retail-events-processor").send()).unwrap();
    assert!(!function.tags.unwrap().contains_key("streamkit:resume"));
}

#[test]
fn what_the_caller_may_not_do_is_said_before_anything_is_touched() {
    let home = Home::new();
    let spec = pipeline("retail-events.toml");
    let endpoint = home.endpoint();
    let config = sdk(&endpoint);
    let account = ["--account", "000000000000", "--region", "us-east-1", "--for", "deploy"];
    let mut policy = vec!["policy", spec.to_str().unwrap()];
    policy.extend(account);
    let whole = home.run(&policy).expect(0).stdout;
    let keys = runtime().block_on(async {
        let iam = aws_sdk_iam::Client::new(&config);
        let trust = r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}"#;
        let role = iam.create_role().role_name("deployer").path("/ci/").assume_role_policy_document(trust);
        let role = role.send().await.unwrap().role.unwrap();
        let put =
            |document: String| iam.put_role_policy().role_name("deployer").policy_name("p").policy_document(document);
        let sts = aws_sdk_sts::Client::new(&config);
        let session = sts.assume_role().role_arn(role.arn).role_session_name("me").send().await.unwrap();
        put(whole.replace("\"kinesis:CreateStream\",", "").replace("\"iam:PassRole\"", "\"iam:Pass\""))
            .send()
            .await
            .unwrap();
        session.credentials.unwrap()
    });
    let variables = [
        ("AWS_ACCESS_KEY_ID", keys.access_key_id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", keys.secret_access_key.as_str()),
        ("AWS_SESSION_TOKEN", keys.session_token.as_str()),
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_REGION", "us-east-1"),
    ];
    let plan = || home.run_with(&["plan", spec.to_str().unwrap(), "--json"], &variables).expect(0);
    let told: Vec<_> = plan().json()["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|at| (at["rule"].as_str().unwrap().to_owned(), at["message"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    let says = |part: &str| told.iter().any(|(rule, message)| rule == "not-allowed" && message.contains(part));
    assert!(says("Kinesis stream takes: kinesis:CreateStream") && says("IAM role takes: iam:PassRole"), "{told:#?}");
    assert!(says("arn:aws:iam::000000000000:role/ci/deployer"), "{told:#?}");

    // The policy that streamkit prints is enough.
    runtime().block_on(async {
        let iam = aws_sdk_iam::Client::new(&config);
        iam.put_role_policy().role_name("deployer").policy_name("p").policy_document(whole).send().await.unwrap();
    });
    assert!(plan().json().get("warnings").is_none());
}
