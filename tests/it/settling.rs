//! Changes that AWS takes at certain times or in a certain order only: waited for, left to a later run, or made in that order.

use aws_sdk_dynamodb::types::TimeToLiveStatus;
use serde_json::{Value, json};

use crate::changes::changed_fields;
use crate::flow::assert_nothing_is_left;
use crate::harness::{Home, runtime, sdk};

const TABLE: &str = "retail-events-results";
const STREAM: &str = "retail-events-events";

/// The attribute by which the table's items expire.
fn ttl(config: &aws_config::SdkConfig) -> Option<String> {
    let call = aws_sdk_dynamodb::Client::new(config).describe_time_to_live().table_name(TABLE);
    let ttl = runtime().block_on(call.send()).unwrap().time_to_live_description.unwrap();
    let on = matches!(ttl.time_to_live_status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling));
    ttl.attribute_name.filter(|_| on)
}

/// As if the TTL had been changed more than an hour ago.
fn let_an_hour_pass(config: &aws_config::SdkConfig) {
    let tag = aws_sdk_dynamodb::types::Tag::builder().key("streamkit:ttl-changed").value("2026-01-01T00:00:00Z");
    let call = aws_sdk_dynamodb::Client::new(config).tag_resource().tags(tag.build().unwrap());
    let call = call.resource_arn(format!("arn:aws:dynamodb:us-east-1:000000000000:table/{TABLE}"));
    runtime().block_on(call.send()).unwrap();
}

fn rules(report: &Value) -> Vec<&str> {
    let warnings = report["warnings"].as_array().map(Vec::as_slice).unwrap_or_default();
    // No recipe sets the attributes of these tests.
    let rules = warnings.iter().map(|warning| warning["rule"].as_str().unwrap());
    rules.filter(|rule| *rule != "nothing-expires").collect()
}

#[test]
fn a_ttl_attribute_changes_once_an_hour_and_never_in_silence() {
    let home = Home::new();
    let config = sdk(&home.endpoint());
    let with = |ttl: &str| home.retail(&[("billing = \"on-demand\"", &format!("billing = \"on-demand\"\n{ttl}"))]);
    let (none, first, second) = ("", "ttl = \"expiresAt\"", "ttl = \"goneAt\"");
    let postponed = |spec: &str, says: &str| {
        let before = home.calls().len();
        let up = home.local("up", &with(spec), &["--yes"]);
        assert_eq!(rules(&up), ["postponed"], "{up:#}");
        let postponed = up["warnings"].as_array().unwrap().iter().find(|at| at["rule"] == "postponed").unwrap();
        assert!(postponed["message"].as_str().unwrap().contains(says), "{up:#}");
        assert_eq!(home.mutating_calls(before), Vec::<String>::new());
        assert_eq!(home.local("status", &with(spec), &[])["resources"][1]["state"], "ok");
    };
    home.local("up", &with(none), &["--yes"]);
    let up = home.local("up", &with(first), &["--yes"]);
    assert_eq!((changed_fields(&up, "table.results"), rules(&up)), (vec!["ttl".to_owned()], vec![]), "{up:#}");
    assert_eq!(ttl(&config).as_deref(), Some("expiresAt"));

    // Within the hour the old one stays, and it is said until when.
    postponed(second, "until then items expire by `expiresAt`");
    postponed(none, "until then items expire by `expiresAt`");
    assert_eq!(ttl(&config).as_deref(), Some("expiresAt"));

    // One change at a time: the first ends the old one, and says so before it does.
    let_an_hour_pass(&config);
    let plan = home.local_output("plan", &with(second), &[]).expect(0);
    assert_eq!(rules(&plan.json()), ["ttl-in-two-runs"], "{plan:#?}");
    assert!(plan.stderr.contains("until then no item expires"), "{plan:#?}");
    home.local("up", &with(second), &["--yes"]);
    assert_eq!(ttl(&config), None);
    postponed(second, "until then no item expires");
    let_an_hour_pass(&config);
    home.local("up", &with(second), &["--yes"]);
    assert_eq!(ttl(&config).as_deref(), Some("goneAt"));

    // Changed by somebody else: AWS's refusal has a hint, and the table keeps what it has.
    let_an_hour_pass(&config);
    let words = "Time to live has been modified multiple times within a fixed interval";
    home.fault_saying("dynamodb", "UpdateTimeToLive", 1, "ValidationException", words);
    let refused = home.local_output("up", &with(none), &["--yes"]).expect(1);
    assert!(refused.stderr.contains("one change of a table's TTL an hour"), "{refused:#?}");
    assert_eq!(ttl(&config).as_deref(), Some("goneAt"));
}

#[test]
fn busy_streams_and_tables_are_waited_for() {
    let home = Home::new();
    home.endpoint();
    let backups = "Backups are being enabled for the table: retail-events-results. Please retry later";
    home.fault_saying("dynamodb", "UpdateContinuousBackups", 2, "ContinuousBackupsUnavailableException", backups);
    let recovery = ("billing = \"on-demand\"", "billing = \"on-demand\"\npoint_in_time_recovery = true");
    home.local("up", &home.retail(&[recovery]), &["--yes"]);

    let busy = |operation: &str, state: &str| {
        let words = format!("Stream {STREAM} under account 000000000000 not ACTIVE, instead in state {state}");
        home.fault_saying("kinesis", operation, 2, "ResourceInUseException", &words);
    };
    let longer = ("retention = \"24h\"", "retention = \"48h\"");
    for (operation, changes) in [
        ("IncreaseStreamRetentionPeriod", vec![longer]),
        ("DecreaseStreamRetentionPeriod", vec![]),
        ("StopStreamEncryption", vec![("encryption = \"aws-managed\"", "encryption = \"none\"")]),
        ("StartStreamEncryption", vec![]),
        ("UpdateShardCount", vec![("shards = 1  ", "shards = 2  ")]),
        ("UpdateStreamMode", vec![("shards = 1  ", "mode = \"on-demand\"  ")]),
    ] {
        busy(operation, "UPDATING");
        let spec = home.retail(&[&[recovery][..], &changes].concat());
        let up = home.local("up", &spec, &["--yes"]);
        assert!(!changed_fields(&up, "stream.events").is_empty(), "{operation}: {up:#}");
    }
    // An `up` that was interrupted leaves a stream that is still being made.
    busy("DeleteStream", "CREATING");
    home.local("down", &home.retail(&[recovery]), &["--yes"]);
    assert_nothing_is_left(&home);
}

#[test]
fn a_role_keeps_the_rights_that_its_function_uses_until_it_has_moved() {
    let home = Home::new();
    let config = sdk(&home.endpoint());
    let role = aws_sdk_iam::Client::new(&config)
        .get_role_policy()
        .role_name("retail-events-processor-us-east-1")
        .policy_name("streamkit");
    let may_write_to = || {
        let policy = runtime().block_on(role.clone().send()).unwrap().policy_document;
        ["results", "outcomes"].map(|table| {
            policy.contains(&format!("table%2Fretail-events-{table}"))
                || policy.contains(&format!("table/retail-events-{table}"))
        })
    };
    home.local("up", &home.retail(&[]), &["--yes"]);
    assert_eq!(may_write_to(), [true, false]);

    let moved = home.retail(&[("[table.results]", "[table.outcomes]"), ("\"table.results\"", "\"table.outcomes\"")]);
    let up = ["--yes", "--allow-delete", "table.results"];
    home.fault("lambda", "UpdateFunctionConfiguration", 1, 400, "AccessDeniedException");
    let failed = home.local_output("up", &moved, &up).expect(1).json();
    assert_eq!(may_write_to(), [true, true]);
    let of_role = |report: &Value| {
        let resources = report["resources"].as_array().unwrap();
        resources.iter().find(|at| at["node"] == "function.processor.role").unwrap().clone()
    };
    assert_eq!(of_role(&failed)["error"], "skipped because of function.processor", "{failed:#}");

    let before = home.calls().len();
    let done = home.local("up", &moved, &up);
    assert_eq!((&of_role(&done)["action"], &of_role(&done)["error"]), (&json!("update"), &Value::Null), "{done:#}");
    assert_eq!(may_write_to(), [false, true]);
    let (_, calls) = home.calls_after(before);
    let mutating = calls.iter().filter(|call| call["mutating"] == true);
    let operations: Vec<_> = mutating.map(|call| call["operation"].as_str().unwrap()).collect();
    let place = |operation: &str| operations.iter().position(|made| *made == operation).unwrap();
    assert!(place("UpdateFunctionConfiguration") < place("PutRolePolicy"), "{operations:?}");

    let before = home.calls().len();
    home.local("up", &moved, &up);
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());
}

#[test]
fn a_role_of_another_path_is_adopted_with_its_own_arn() {
    let home = Home::new();
    let config = sdk(&home.endpoint());
    let iam = aws_sdk_iam::Client::new(&config);
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "Service": "lambda.amazonaws.com" }, "Action": "sts:AssumeRole",
    }] });
    let made = iam.create_role().role_name("retail-events-processor-us-east-1").path("/team/");
    let made = runtime().block_on(made.assume_role_policy_document(trust.to_string()).send()).unwrap().role.unwrap();
    let spec = home.retail(&[]);
    home.local("up", &spec, &["--yes", "--adopt"]);
    let function = aws_sdk_lambda::Client::new(&config).get_function_configuration();
    let function = runtime().block_on(function.function_name("retail-events-processor").send()).unwrap();
    assert_eq!(function.role, Some(made.arn));
    let before = home.calls().len();
    home.local("up", &spec, &["--yes"]);
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());
    home.local("down", &spec, &["--yes"]);
    assert_nothing_is_left(&home);
    let role = iam.get_role().role_name("retail-events-processor-us-east-1").send();
    assert!(runtime().block_on(role).is_err());
}
