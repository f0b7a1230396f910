//! A table is rebuilt from its audit log as it was at a moment, in another stage, and what others have changed there is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use crate::harness::{Home, Output, pipeline, runtime, sdk, until};
use crate::schema::assert_valid;

const LIMIT: Duration = Duration::from_secs(120);
const SOURCE: &str = "change-capture-activities";
const COPY: &str = "change-capture-copy-activities";

type Image = BTreeMap<String, String>;

/// A pipeline and a stage beside it, and clients that look at both.
struct Case {
    home: Home,
    spec: PathBuf,
    dynamodb: aws_sdk_dynamodb::Client,
    s3: aws_sdk_s3::Client,
    runtime: tokio::runtime::Runtime,
}

impl Case {
    fn new(view: &str) -> Self {
        let home = Home::new();
        let text = std::fs::read_to_string(pipeline("change-capture.toml")).unwrap();
        let spec = home.changed(
            &text,
            &[
                ("billing = { read = 5, write = 5 }", "billing = \"on-demand\""),
                ("batch_window = \"5s\"", "batch_window = \"0s\""),
                ("batch_size = 10\n", "batch_size = 500\n"),
                ("stream = \"new-and-old-images\"", &format!("stream = \"{view}\"")),
            ],
        );
        home.local("up", &spec, &["--yes"]);
        let config = sdk(&home.endpoint());
        let dynamodb = aws_sdk_dynamodb::Client::new(&config);
        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        Self { home, spec, dynamodb, s3: aws_sdk_s3::Client::from_conf(s3), runtime: runtime() }
    }

    fn audited(&self, stage: &str) -> usize {
        let bucket = format!("change-capture{stage}-audit-000000000000-us-east-1");
        self.runtime.block_on(async {
            let mut pages = self.s3.list_objects_v2().bucket(bucket).prefix("audit-logs/").into_paginator().send();
            let mut count = 0;
            while let Some(page) = pages.next().await {
                count += page.unwrap().contents().len();
            }
            count
        })
    }

    /// Every item of a table, each value as the SDK has it.
    fn scan(&self, table: &str) -> BTreeMap<String, Image> {
        let items = self.runtime.block_on(async {
            let mut items =
                self.dynamodb.scan().table_name(table).consistent_read(true).into_paginator().items().send();
            let mut all = Vec::new();
            while let Some(item) = items.next().await {
                all.push(item.unwrap());
            }
            all
        });
        let text = |value: &AttributeValue| match value {
            AttributeValue::Ss(set) | AttributeValue::Ns(set) => {
                let mut set = set.clone();
                set.sort();
                format!("{set:?}")
            }
            other => format!("{other:?}"),
        };
        let image = |item: &std::collections::HashMap<String, AttributeValue>| -> Image {
            item.iter().map(|(name, value)| (name.clone(), text(value))).collect()
        };
        items.iter().map(|item| (format!("{:?} {:?}", item["UserId"], item["ActivityId"]), image(item))).collect()
    }

    fn replay(&self, more: &[&str]) -> Output {
        let args = ["--from", "bucket.audit", "--into", "table.activities", "--into-stage", "copy", "--yes"];
        let output = self.home.local_output("replay", &self.spec, &[&args, more].concat());
        assert_valid("replay", &output.json());
        output
    }

    fn put(&self, table: &str, user: &str, activity: &str, value: AttributeValue) {
        let put = self.dynamodb.put_item().table_name(table);
        let put = put.item("UserId", AttributeValue::S(user.to_owned()));
        let put = put.item("ActivityId", AttributeValue::S(activity.to_owned())).item("value", value);
        self.runtime.block_on(put.send()).unwrap();
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// A second that begins after all that was changed until now, and before all that is changed later. Times of changes have
/// whole seconds.
fn moment() -> String {
    let (last, limit) = (seconds() + 2, Duration::from_secs(10));
    until("another second", limit, || (seconds() > last).then_some(()));
    let moment = jiff::Timestamp::from_second(i64::try_from(last).unwrap()).unwrap();
    moment.to_string()
}

/// A value that is like no other, of one of the kinds that DynamoDB has.
fn value(rng: &mut fastrand::Rng, n: usize) -> AttributeValue {
    let text = |n: usize| AttributeValue::S(format!("é \"{n}\""));
    match rng.usize(..9) {
        0 => text(n),
        1 => AttributeValue::N(format!("{n}.50")),
        2 => AttributeValue::B(Blob::new(n.to_le_bytes())),
        3 => AttributeValue::L(vec![text(n), AttributeValue::Null(true), AttributeValue::Bool(true)]),
        4 => AttributeValue::M([("inner".to_owned(), text(n))].into()),
        5 => AttributeValue::Ss(vec![format!("b{n}"), "a".to_owned()]),
        6 => AttributeValue::Ns(vec![n.to_string(), "-1".to_owned()]),
        7 => AttributeValue::Bs(vec![Blob::new(n.to_le_bytes())]),
        _ => AttributeValue::L(vec![AttributeValue::N(n.to_string())]),
    }
}

/// Changes items at random; each change is one. Gives how many were made.
fn change_at_random(case: &Case, rng: &mut fastrand::Rng, there: &mut BTreeSet<String>, from: usize) -> usize {
    for n in from..from + 120 {
        let (user, activity) = (format!("user-{}", rng.usize(..4)), format!("a-{}", rng.usize(..6)));
        let key = format!("{user} {activity}");
        let is_there = there.contains(&key);
        match rng.usize(..4) {
            0 if is_there => {
                let delete = case.dynamodb.delete_item().table_name(SOURCE);
                let delete =
                    delete.key("UserId", AttributeValue::S(user)).key("ActivityId", AttributeValue::S(activity));
                case.runtime.block_on(delete.send()).unwrap();
                there.remove(&key);
            }
            1 => {
                let update = case.dynamodb.update_item().table_name(SOURCE);
                let update =
                    update.key("UserId", AttributeValue::S(user)).key("ActivityId", AttributeValue::S(activity));
                let update = update.update_expression("SET #n = :n, #v = :v REMOVE #o");
                let update = update.expression_attribute_names("#n", format!("field-{}", n % 3));
                let update =
                    update.expression_attribute_names("#v", "version").expression_attribute_names("#o", "value");
                let update = update.expression_attribute_values(":n", value(rng, n));
                let update = update.expression_attribute_values(":v", AttributeValue::N(n.to_string()));
                case.runtime.block_on(update.send()).unwrap();
                there.insert(key);
            }
            _ => {
                let put = case.dynamodb.put_item().table_name(SOURCE);
                let put = put.item("UserId", AttributeValue::S(user)).item("ActivityId", AttributeValue::S(activity));
                let put = put.item("value", value(rng, n)).item("version", AttributeValue::N(n.to_string()));
                case.runtime.block_on(put.send()).unwrap();
                there.insert(key);
            }
        }
    }
    120
}

#[test]
fn a_table_is_rebuilt_as_it_was_at_each_of_three_moments() {
    let case = Case::new("new-and-old-images");
    case.home.local("up", &case.spec, &["--yes", "--stage", "copy"]);
    let (mut rng, mut there) = (fastrand::Rng::with_seed(7), BTreeSet::new());
    let (mut changes, mut moments) = (0, Vec::new());
    for _ in 0..3 {
        changes += change_at_random(&case, &mut rng, &mut there, changes);
        moments.push((changes, moment(), case.scan(SOURCE)));
    }
    until("an audit object of each change", LIMIT, || (case.audited("") >= changes).then_some(()));
    assert_eq!(case.audited(""), changes);

    let mut before = 0;
    for (changes, moment, items) in &moments {
        let dry = case.replay(&["--until", moment, "--dry-run"]).expect(0).json();
        assert_eq!(
            (&dry["read"], &dry["delivered"], &dry["failed"]),
            (&json!(changes), &json!(0), &json!(0)),
            "{dry:#}"
        );
        let done = case.replay(&["--until", moment]).expect(0).json();
        assert_eq!(
            (&done["read"], &done["left"], &done["conflicts"]),
            (&json!(changes), &json!(0), &json!([])),
            "{done:#}"
        );
        assert!(done["delivered"].as_u64().unwrap() >= (changes - before) as u64, "{done:#}");
        assert_eq!(case.scan(COPY), *items, "as it was at {moment}");
        before = *changes;
        // Once more: it ends the same.
        let again = case.replay(&["--until", moment]).expect(0).json();
        assert_eq!((&again["delivered"], &again["duplicates"]), (&json!(0), &json!(changes)), "{again:#}");
        assert_eq!(case.scan(COPY), *items, "and again");
    }
    // Every change was made, not only the last of each item: the copy's own pipeline has seen them all.
    until("the copy's own audit objects", LIMIT, || (case.audited("-copy") >= changes).then_some(()));
}

#[test]
fn what_others_have_changed_is_refused_and_kept_unless_told_otherwise() {
    let case = Case::new("new-and-old-images");
    case.home.local("up", &case.spec, &["--yes", "--stage", "copy"]);
    let text = |text: &str| AttributeValue::S(text.to_owned());
    for (activity, value) in [("a", "1"), ("a", "2"), ("b", "1"), ("c", "1"), ("c", "2")] {
        case.put(SOURCE, "u", activity, text(value));
    }
    until("five audit objects", LIMIT, || (case.audited("") >= 5).then_some(()));
    // One that is what it was in between, and one that somebody has made his own.
    case.put(COPY, "u", "a", text("1"));
    case.put(COPY, "u", "c", text("mine"));

    let refused = case.replay(&[]).expect(1).json();
    assert_eq!(
        (&refused["delivered"], &refused["duplicates"], &refused["failed"]),
        (&json!(2), &json!(1), &json!(2)),
        "{refused:#}"
    );
    let key = json!({"UserId": {"S": "u"}, "ActivityId": {"S": "c"}});
    assert_eq!(refused["conflicts"], json!([{"key": key, "changes": 2}]), "{refused:#}");
    let (source, copy) = (case.scan(SOURCE), case.scan(COPY));
    let item = |items: &BTreeMap<String, Image>, activity: &str| -> Value {
        let (_, item) = items.iter().find(|(key, _)| key.contains(&format!("S(\"{activity}\")"))).unwrap();
        json!(item["value"])
    };
    assert_eq!(item(&copy, "c"), json!(format!("{:?}", text("mine"))));
    assert_eq!((item(&copy, "a"), item(&copy, "b")), (item(&source, "a"), item(&source, "b")));

    let told = case.replay(&["--overwrite"]).expect(0).json();
    assert_eq!(
        (&told["delivered"], &told["duplicates"], &told["conflicts"]),
        (&json!(2), &json!(3), &json!([])),
        "{told:#}"
    );
    assert_eq!(case.scan(COPY), source);
    let again = case.replay(&[]).expect(0).json();
    assert_eq!((&again["delivered"], &again["duplicates"]), (&json!(0), &json!(5)), "{again:#}");
}

#[test]
fn what_can_not_be_restored_is_said_before_anything_is_written() {
    let case = Case::new("keys-only");
    case.put(SOURCE, "u", "a", AttributeValue::Bool(true));
    until("an audit object", LIMIT, || (case.audited("") >= 1).then_some(()));
    let failed = |spec: &Path, args: &[&str]| {
        let output = case.home.local_output("replay", spec, &[args, &["--yes"]].concat());
        assert_ne!(output.code, 0, "{output:#?}");
        output.stderr
    };
    let audit = ["--from", "bucket.audit", "--into", "table.activities"];
    let keys_only = failed(&case.spec, &audit);
    assert!(keys_only.contains("its stream was KEYS_ONLY"), "{keys_only}");
    let nowhere = failed(&case.spec, &[&audit[..], &["--into-stage", "nowhere"]].concat());
    assert!(nowhere.contains("there is no DynamoDB table (change-capture-nowhere-activities)"), "{nowhere}");
    // A table that somebody else has made under the name of a stage's.
    case.runtime.block_on(async {
        use aws_sdk_dynamodb::types::{
            AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
        };
        let name = "UserId";
        let key = KeySchemaElement::builder().attribute_name(name).key_type(KeyType::Hash).build().unwrap();
        let kind = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
        let create = case.dynamodb.create_table().table_name("change-capture-theirs-activities").key_schema(key);
        let create = create.attribute_definitions(kind.build().unwrap()).billing_mode(BillingMode::PayPerRequest);
        create.send().await.unwrap();
    });
    let foreign = failed(&case.spec, &[&audit[..], &["--into-stage", "theirs"]].concat());
    assert!(foreign.contains("is not of pipeline change-capture-theirs"), "{foreign}");
    let unknown = failed(&case.spec, &["--from", "bucket.other", "--into", "table.activities"]);
    assert!(unknown.contains("there is no `bucket.other`"), "{unknown}");
}
