//! Encrypted fields: no clear text anywhere, under failures neither; keys in all their states; who may read.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use crate::changes::{ChangeCase, changed_fields, changes_in_place_and_back};
use crate::flow::assert_nothing_is_left;
use crate::harness::{Home, pipeline, runtime, sdk, until};
use crate::schema::valid_lines;

const PATIENCE: Duration = Duration::from_secs(60);
const TABLE: &str = "private-events-results";

/// The pipeline, whose events wait for no company.
fn spec(home: &Home, replacements: &[(&str, &str)]) -> PathBuf {
    let text = fs::read_to_string(pipeline("private-events.toml")).unwrap();
    let mut all = vec![("batch_window = \"5s\"", "batch_window = \"0s\""), ("max_retries = 3", "max_retries = 30")];
    all.extend(replacements);
    home.changed(&text, &all)
}

fn put(home: &Home, records: &[(&str, &[u8])]) {
    let entries = records.iter().map(|(key, data)| {
        PutRecordsRequestEntry::builder().partition_key(*key).data(Blob::new(*data)).build().unwrap()
    });
    let kinesis = aws_sdk_kinesis::Client::new(&sdk(&home.endpoint()));
    let call = kinesis.put_records().stream_name("private-events-events").set_records(Some(entries.collect()));
    assert_eq!(runtime().block_on(call.send()).unwrap().failed_record_count, Some(0));
}

fn items(home: &Home) -> Vec<Value> {
    let dynamodb = aws_sdk_dynamodb::Client::new(&sdk(&home.endpoint()));
    let scan = dynamodb.scan().table_name(TABLE).consistent_read(true);
    let found = runtime().block_on(scan.send()).unwrap().items.unwrap();
    found.into_iter().map(|item| serde_json::to_value(streamkit_handler::attribute::item(item)).unwrap()).collect()
}

/// Everything that the embedded AWS keeps, but for what producers have put into streams: items, objects, messages and log lines.
fn everything(home: &Home) -> String {
    let config = sdk(&home.endpoint());
    runtime().block_on(async {
        let mut all = Vec::new();
        let dynamodb = aws_sdk_dynamodb::Client::new(&config);
        for table in dynamodb.list_tables().send().await.unwrap().table_names.unwrap() {
            let mut pages = dynamodb.scan().table_name(table).into_paginator().items().send();
            while let Some(item) = pages.next().await {
                all.push(streamkit_handler::attribute::item(item.unwrap()).to_json());
            }
        }
        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        let s3 = aws_sdk_s3::Client::from_conf(s3);
        for bucket in s3.list_buckets().send().await.unwrap().buckets.unwrap_or_default() {
            let name = bucket.name.unwrap();
            for object in s3.list_objects_v2().bucket(&name).send().await.unwrap().contents.unwrap_or_default() {
                let key = object.key.unwrap();
                let body = s3.get_object().bucket(&name).key(&key).send().await.unwrap().body.collect().await.unwrap();
                all.push(format!("{key} {}", String::from_utf8_lossy(&body.into_bytes())));
            }
        }
        let sqs = aws_sdk_sqs::Client::new(&config);
        for queue in sqs.list_queues().send().await.unwrap().queue_urls.unwrap_or_default() {
            loop {
                let call = sqs.receive_message().queue_url(&queue).max_number_of_messages(10).visibility_timeout(600);
                let call = call.message_attribute_names("All");
                let found = call.send().await.unwrap().messages.unwrap_or_default();
                if found.is_empty() {
                    break;
                }
                all.extend(found.iter().map(|message| format!("{message:?}")));
            }
        }
        let logs = aws_sdk_cloudwatchlogs::Client::new(&config);
        for group in logs.describe_log_groups().send().await.unwrap().log_groups.unwrap_or_default() {
            let call = logs.filter_log_events().log_group_name(group.log_group_name.unwrap());
            let mut pages = call.into_paginator().send();
            while let Some(page) = pages.next().await {
                let events = page.unwrap().events.unwrap_or_default();
                all.extend(events.into_iter().filter_map(|event| event.message));
            }
        }
        all.join("\n")
    })
}

fn letters(home: &Home) -> usize {
    let sqs = aws_sdk_sqs::Client::new(&sdk(&home.endpoint()));
    let name = QueueAttributeName::ApproximateNumberOfMessages;
    let url = format!("{}/000000000000/private-events-dlq", home.endpoint());
    let call = sqs.get_queue_attributes().queue_url(url).attribute_names(name.clone());
    runtime().block_on(call.send()).unwrap().attributes.unwrap()[&name].parse().unwrap()
}

/// Records of every kind with the secret in them: three good ones, and seven that can never succeed.
fn records(secret: &str) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let good = [
        json!({"eventType": "user_signup", "userId": "u-1", "email": secret}),
        json!({"eventType": "purchase", "userId": "u-2", "amount": "1.50", "currency": "EUR", "card": {"number": secret}}),
        json!({"eventType": "click", "userId": "u-3", "card": secret, "email": [secret, {"deep": secret}]}),
    ];
    let poison = [
        json!({"userId": "u-4", "email": secret}).to_string(),
        json!({"eventType": "purchase", "userId": "u-5", "amount": -1, "card": {"number": secret}}).to_string(),
        json!([{"email": secret}]).to_string(),
        json!(secret).to_string(),
        format!("{{\"email\":\"{secret}"),
        format!("email: {secret}"),
    ];
    let not_utf8 = [b"\xff".as_slice(), secret.as_bytes()].concat();
    let bytes = |text: String| text.into_bytes();
    (
        good.iter().map(|good| bytes(good.to_string())).collect(),
        poison.into_iter().map(bytes).chain([not_utf8]).collect(),
    )
}

const SECRET: &str = "ada.lovelace@secret.example";

/// Puts records of every kind and waits for what becomes of them: keys are secrets, too.
fn put_all(home: &Home) -> usize {
    let (good, poison) = records(SECRET);
    let all: Vec<(&str, &[u8])> = good.iter().chain(&poison).map(|data| (SECRET, data.as_slice())).collect();
    put(home, &all);
    good.len()
}

#[test]
fn no_clear_text_is_stored_logged_or_put_into_letters() {
    let home = Home::new();
    let spec = spec(&home, &[]);
    home.local("up", &spec, &["--yes"]);
    home.local("send", &spec, &["--count", "300", "--poison", "5"]);
    let (good, poison) = (put_all(&home), records(SECRET).1.len());
    let wanted = 285 + good;
    until("every item", PATIENCE, || (items(&home).len() == wanted).then_some(()));
    until("every letter", PATIENCE, || (letters(&home) == 15 + poison).then_some(()));
    let all = everything(&home);
    assert!(all.contains("AgR4") && all.contains("payloadSha256") && all.contains("batch processed"));
    for clear in ["lovelace", "secret.example", "@mail.example", "411111111111"] {
        let lines: Vec<_> = all.lines().filter(|line| line.contains(clear)).collect();
        assert!(lines.is_empty(), "{clear}: {lines:#?}");
    }
    home.local("down", &spec, &["--yes"]);
    assert_nothing_is_left(&home);
}

#[test]
fn while_kms_gives_no_key_records_wait_and_nothing_shows_in_clear() {
    let home = Home::new();
    let spec = spec(&home, &[]);
    home.local("up", &spec, &["--yes"]);
    // The SDK tries three times an invocation: throttled, refused and out of order for several of them.
    home.fault("kms", "GenerateDataKey", 8, 400, "ThrottlingException");
    home.fault("kms", "GenerateMac", 4, 400, "AccessDeniedException");
    home.fault("kms", "GenerateDataKey", 4, 500, "KMSInternalException");
    let (good, poison) = (put_all(&home), records(SECRET).1.len());
    until("every item", PATIENCE, || (items(&home).len() == good).then_some(()));
    until("every letter", PATIENCE, || (letters(&home) == poison).then_some(()));
    let all = everything(&home);
    assert!(all.contains("AccessDeniedException") || all.contains("ThrottlingException"), "{all}");
    assert!(!all.contains("lovelace"), "{all}");
}

#[test]
fn records_that_are_played_again_leave_the_same_items() {
    let home = Home::new();
    let spec = spec(&home, &[]);
    home.local("up", &spec, &["--yes"]);
    let good = put_all(&home);
    until("every item", PATIENCE, || (items(&home).len() == good).then_some(()));
    let before: BTreeSet<String> = items(&home).iter().map(Value::to_string).collect();
    let played = home.run(&["replay", spec.to_str().unwrap(), "--since", "1h", "--yes", "--local", "--json"]).json();
    assert_eq!((&played["left"], &played["duplicates"]), (&json!(0), &json!(good)), "{played:#}");
    assert_eq!(items(&home).iter().map(Value::to_string).collect::<BTreeSet<_>>(), before);
    // A letter has ciphertext, which is kept, and its hash with it.
    let mend = r#".eventType = "click""#;
    home.run(&["dlq", "redrive", spec.to_str().unwrap(), "--yes", "--edit", mend, "--local", "--json"]);
    until("a mended item", PATIENCE, || (items(&home).len() > good).then_some(()));
    let mended = items(&home).into_iter().find(|item| item["userId"]["S"] == "u-4").expect("the mended record's item");
    let hash = items(&home).into_iter().find(|item| item["userId"]["S"] == "u-1").unwrap()["email_index"].clone();
    assert_eq!(mended["email_index"], hash, "{mended:#}");
    let shown = home.local_output("decrypt", &spec, &["--where", "userId=u-4"]).expect(0);
    assert!(shown.stdout.contains(SECRET), "{shown:#?}");
    assert_eq!(valid_lines("decrypt", &shown).len(), 1);
}

const KEY: &str = "name = \"keys\"\n\n[tags]\nTeam = \"a\"\n\n[key.pii]\n";

const CHANGES: [ChangeCase; 4] = [
    ("[key.pii]\n", "[key.pii]\nrotation = false\n", "key.pii", &["rotation"]),
    ("[key.pii]\n", "[key.pii]\nreaders = [\"arn:aws:iam::123456789012:role/support\"]\n", "key.pii", &["readers"]),
    ("[key.pii]\n", "[key.pii]\ndeletion_window = \"7d\"\n", "key.pii", &["tags.streamkit:deletion-window-days"]),
    ("Team = \"a\"", "Project = \"b\"", "key.pii", &["tags.Project", "tags.Team"]),
];

fn kms(home: &Home) -> aws_sdk_kms::Client {
    aws_sdk_kms::Client::new(&sdk(&home.endpoint()))
}

fn described(home: &Home) -> aws_sdk_kms::types::KeyMetadata {
    let call = kms(home).describe_key().key_id("alias/keys-pii").send();
    runtime().block_on(call).unwrap().key_metadata.unwrap()
}

#[test]
fn every_setting_of_a_key_changes_in_place_and_back() {
    let home = Home::new();
    changes_in_place_and_back(&home, KEY, &CHANGES);
    home.local("down", &home.changed(KEY, &[]), &["--yes"]);
    assert_nothing_is_left(&home);
}

#[test]
fn a_deleted_key_waits_and_comes_back_as_the_same() {
    let home = Home::new();
    let spec = home.changed(KEY, &[("[key.pii]\n", "[key.pii]\ndeletion_window = \"7d\"\n")]);
    home.local("up", &spec, &["--yes"]);
    let id = described(&home).key_id;
    // Without the section it is an orphan, and holds data.
    let without = home.write("other.toml", "name = \"keys\"\n[queue.q]\n");
    let refused = home.local_output("up", &without, &["--yes"]).expect(1);
    assert!(refused.stderr.contains("--allow-delete key.pii"), "{refused:#?}");
    let said = home.run(&["down", spec.to_str().unwrap(), "--local", "--yes"]).expect(0);
    assert!(said.stdout.contains("until then `up` brings the key back"), "{said:#?}");
    assert_eq!(described(&home).key_state.unwrap().as_str(), "PendingDeletion");
    assert_eq!(home.local("down", &spec, &["--yes"])["resources"], json!([]));
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!(up["summary"]["create"], 1, "{up:#}");
    assert_eq!((described(&home).key_id, described(&home).enabled), (id, true));
    assert_eq!(home.local("plan", &spec, &[])["summary"]["unchanged"], 1);
    let protect = home.changed(KEY, &[("[key.pii]\n", "[key.pii]\nprotect = true\n")]);
    home.local("up", &protect, &["--yes"]);
    home.local_output("down", &protect, &["--yes"]).expect(1);
    assert!(described(&home).enabled);
}

#[test]
fn what_was_done_to_a_key_behind_our_back_is_mended() {
    let home = Home::new();
    let spec = home.changed(KEY, &[]);
    home.local("up", &spec, &["--yes"]);
    let (kms, id) = (kms(&home), described(&home).key_id);
    let anybody = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:*", "Resource": "*"}]});
    runtime().block_on(async {
        kms.put_key_policy().key_id(&id).policy(anybody.to_string()).send().await.unwrap();
        kms.disable_key_rotation().key_id(&id).send().await.unwrap();
        kms.disable_key().key_id(&id).send().await.unwrap();
    });
    let up = home.local_output("up", &spec, &["--yes"]);
    let up = up.expect(0).json();
    assert_eq!(changed_fields(&up, "key.pii"), ["enabled", "policy", "rotation"]);
    // Without its alias the tags find it.
    runtime().block_on(kms.delete_alias().alias_name("alias/keys-pii").send()).unwrap();
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!((changed_fields(&up, "key.pii"), described(&home).key_id), (vec!["alias".to_owned()], id.clone()));
    runtime().block_on(kms.delete_alias().alias_name("alias/keys-pii").send()).unwrap();
    assert_eq!(home.local("down", &spec, &["--yes"])["summary"]["delete"], 1);
    let state = runtime().block_on(kms.describe_key().key_id(&id).send()).unwrap().key_metadata.unwrap().key_state;
    assert_eq!(state.unwrap().as_str(), "PendingDeletion");
}

#[test]
fn a_run_that_ends_between_a_key_and_its_alias_is_finished_by_the_next() {
    let home = Home::new();
    let spec = home.changed(KEY, &[]);
    let count = || runtime().block_on(kms(&home).list_keys().send()).unwrap().keys.unwrap().len();
    home.fault("kms", "CreateKey", 1, 400, "AccessDeniedException");
    home.local_output("up", &spec, &["--yes"]).expect(1);
    assert_eq!(count(), 0);
    for end in ["up", "down"] {
        home.fault("kms", "CreateAlias", 1, 400, "AccessDeniedException");
        home.local_output("up", &spec, &["--yes"]).expect(1);
        let made = count();
        let ended = home.local(end, &spec, &["--yes"]);
        assert_eq!((ended["summary"]["failed"].clone(), count()), (json!(0), made), "{ended:#}");
        home.local("down", &spec, &["--yes"]);
        assert_eq!(home.local("down", &spec, &["--yes"])["resources"], json!([]));
        // As if KMS had waited: the name is free, and the key as good as gone.
        drop(runtime().block_on(kms(&home).delete_alias().alias_name("alias/keys-pii").send()));
    }
}

#[test]
fn somebody_else_s_key_is_left_alone_until_it_is_adopted() {
    let home = Home::new();
    let spec = home.changed(KEY, &[]);
    let kms = kms(&home);
    let id = runtime().block_on(async {
        let id = kms.create_key().send().await.unwrap().key_metadata.unwrap().key_id;
        kms.create_alias().alias_name("alias/keys-pii").target_key_id(&id).send().await.unwrap();
        id
    });
    let refused = home.local_output("up", &spec, &["--yes"]).expect(1);
    assert!(refused.stderr.contains("does not belong to this pipeline"), "{refused:#?}");
    assert_eq!(home.local("down", &spec, &["--yes"])["resources"], json!([]));
    home.local("up", &spec, &["--yes", "--adopt"]);
    assert_eq!(described(&home).key_id, id);
}

#[test]
fn only_readers_decrypt_and_others_are_told_how_to_become_one() {
    let home = Home::new();
    let reader = "readers = [\"arn:aws:iam::000000000000:user/support\"]";
    let spec = spec(&home, &[("readers = []", reader)]);
    home.local("up", &spec, &["--yes"]);
    put_all(&home);
    until("every item", PATIENCE, || (items(&home).len() == 3).then_some(()));
    let iam = aws_sdk_iam::Client::new(&sdk(&home.endpoint()));
    let all = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
    let mut profiles = Vec::new();
    for name in ["support", "administrator"] {
        let key = runtime().block_on(async {
            iam.create_user().user_name(name).send().await.unwrap();
            let put = iam.put_user_policy().user_name(name).policy_name("all").policy_document(all.to_string());
            put.send().await.unwrap();
            iam.create_access_key().user_name(name).send().await.unwrap().access_key.unwrap()
        });
        let (id, secret) = (key.access_key_id, key.secret_access_key);
        profiles.push(format!("[{name}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"));
    }
    fs::create_dir_all(home.path().join(".aws")).unwrap();
    fs::write(home.path().join(".aws/credentials"), profiles.concat()).unwrap();
    let by = |name: &str| home.local_output("decrypt", &spec, &["--profile", name, "--where", "userId=u-1"]);
    assert!(by("support").expect(0).stdout.contains(SECRET));
    // Whoever may do everything else may still not read.
    let refused = by("administrator").expect(1);
    assert!(refused.stdout.is_empty() && refused.stderr.contains("you may not decrypt"), "{refused:#?}");
    assert!(refused.stderr.contains("AccessDenied") && refused.stderr.contains("`readers`"), "{refused:#?}");
    let found =
        home.local_output("decrypt", &spec, &["--profile", "support", "--index-of", &format!("email={SECRET}")]);
    assert_eq!(found.expect(0).stdout.lines().count(), 1);
    let validated = home.local_output("validate", &spec, &["--profile", "administrator"]).expect(0).json();
    let check = validated["checks"].as_array().unwrap().iter().find(|check| check["name"] == "encryption").unwrap();
    assert!(check["observed"].as_str().unwrap().contains("not decrypted"), "{check:#}");
}

/// A table's changes: audit objects and notifications have ciphertext, and equal values of both images are equal there.
#[test]
fn changes_of_a_table_are_audited_and_announced_with_ciphertext() {
    let home = Home::new();
    let text = fs::read_to_string(pipeline("change-capture.toml")).unwrap();
    let spec = home.changed(
        &text,
        &[("recipe = \"changes\"", "recipe = \"changes\"\nencrypt = [\"Email\", \"Card.Number\"]\nkey = \"key.pii\"")],
    );
    let spec = home.write("changes.toml", &format!("{}\n[key.pii]\n", fs::read_to_string(spec).unwrap()));
    home.local("up", &spec, &["--yes"]);
    let dynamodb = aws_sdk_dynamodb::Client::new(&sdk(&home.endpoint()));
    let table = runtime().block_on(dynamodb.list_tables().send()).unwrap().table_names.unwrap().remove(0);
    let keys = runtime().block_on(dynamodb.describe_table().table_name(&table).send()).unwrap().table.unwrap();
    let kinds = keys.attribute_definitions.unwrap();
    for city in ["Paris", "Rome"] {
        let mut item = json!({"Email": {"S": SECRET}, "Card": {"M": {"Number": {"S": SECRET}}}, "City": {"S": city}});
        for kind in &kinds {
            let value = if kind.attribute_type.as_str() == "N" { json!({"N": "1"}) } else { json!({"S": "u"}) };
            item[&kind.attribute_name] = value;
        }
        let item: streamkit_recipes::Item = serde_json::from_value(item).unwrap();
        let item = streamkit_handler::attribute::attribute_values(&item);
        runtime().block_on(dynamodb.put_item().table_name(&table).set_item(Some(item)).send()).unwrap();
    }
    let audited = || everything(&home).lines().filter(|line| line.contains("changedAttributes")).count();
    until("two audit objects", PATIENCE, || (audited() >= 2).then_some(()));
    // The table itself is the producer's.
    let all: Vec<String> =
        everything(&home).lines().filter(|line| !line.starts_with("{\"")).map(str::to_owned).collect();
    assert!(all.iter().any(|line| line.contains("AgR4")), "{all:#?}");
    assert!(!all.iter().any(|line| line.contains("lovelace")), "{all:#?}");
    assert!(all.iter().any(|line| line.contains(r#""changedAttributes":["City"]"#)), "{all:#?}");
}

#[test]
#[ignore = "needs python3 with aws-encryption-sdk and boto3"]
fn the_sdk_for_python_decrypts_what_the_function_has_encrypted() {
    let home = Home::new();
    let spec = spec(&home, &[]);
    home.local("up", &spec, &["--yes"]);
    put_all(&home);
    until("every item", PATIENCE, || (items(&home).len() == 3).then_some(()));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/private/decrypt.py");
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let output = Command::new(python)
        .args([script.as_os_str(), TABLE.as_ref(), "alias/private-events-pii".as_ref()])
        .envs([("AWS_ENDPOINT_URL", home.endpoint().as_str()), ("AWS_DEFAULT_REGION", "us-east-1")])
        .envs([("AWS_ACCESS_KEY_ID", "local"), ("AWS_SECRET_ACCESS_KEY", "local")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let values: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(values.len(), 4, "{values:#?}");
    assert!(values.iter().all(|value| value["clear"].to_string().contains(SECRET)), "{values:#?}");
    let bound: BTreeSet<&str> = values.iter().filter_map(|value| value["context"]["attribute"].as_str()).collect();
    assert_eq!(bound, BTreeSet::from(["email", "card.number"]));
    assert!(values.iter().all(|value| value["context"]["table"] == TABLE), "{values:#?}");
}

#[test]
fn what_a_recipe_with_a_memory_knows_things_by_stays_in_clear() {
    let home = Home::new();
    let text = fs::read_to_string(pipeline("fraud.toml")).unwrap();
    for (field, words) in [("deviceId", "it remembers it"), ("userId", "it remembers it"), ("productId", "")] {
        let encrypts = format!("recipe = \"fraud\"\nencrypt = [\"{field}\"]\nkey = \"key.pii\"");
        let spec = home.write("p.toml", &format!("{}\n[key.pii]\n", text.replace("recipe = \"fraud\"", &encrypts)));
        let checked = home.run(&["check", spec.to_str().unwrap()]);
        if words.is_empty() {
            checked.expect(0);
        } else {
            let refused = checked.expect(2).stderr;
            let message = format!("the recipe `fraud` can't do without `{field}`");
            assert!(refused.contains(&message) && refused.contains(words), "{refused}");
        }
    }
}
