//! Tests of the change capture recipe: each kind of change under each view type, deletes and origins told apart.

use serde_json::{Value, json};

use super::*;
use crate::{UserIdentity, View};

const VIEW: View = View::NewAndOldImages;

fn s(text: &str) -> Attribute {
    Attribute::S(text.to_owned())
}

fn item(pairs: &[(&str, &str)]) -> Item {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), s(value))).collect()
}

fn keys() -> &'static Item {
    Box::leak(Box::new(item(&[("UserId", "u-1"), ("ActivityId", "a-1")])))
}

fn old() -> &'static Item {
    Box::leak(Box::new(item(&[
        ("UserId", "u-1"),
        ("ActivityId", "a-1"),
        ("Type", "LOGIN"),
        ("Same", "x"),
        ("Gone", "y"),
    ])))
}

fn new() -> &'static Item {
    Box::leak(Box::new(item(&[
        ("UserId", "u-1"),
        ("ActivityId", "a-1"),
        ("Type", "LOGOUT"),
        ("Same", "x"),
        ("Come", "z"),
    ])))
}

fn change(kind: ChangeKind, view: View) -> Change<'static> {
    let (has, carried) = (images(kind), view.images());
    Change {
        event_id: "c4ca4238a0b923820dcc509a6f75849b",
        sequence_number: "111",
        kind,
        table: "activities",
        region: "eu-west-1",
        created_ms: 1_700_000_000_250,
        size_bytes: 59,
        view,
        keys: keys(),
        old: (has.old && carried.old).then(old),
        new: (has.new && carried.new).then(new),
        user: None,
    }
}

fn effects(change: Change<'_>) -> Effects {
    Changes.process(&Record::Change(change), 0).unwrap()
}

fn audit(change: Change<'_>) -> Value {
    serde_json::from_slice(&effects(change).objects[0].body).unwrap()
}

fn announced(change: Change<'_>) -> Value {
    serde_json::from_str(&effects(change).notifications[0].message).unwrap()
}

#[test]
fn process_gives_an_audit_object_and_a_notification() {
    let change = change(ChangeKind::Modify, VIEW);
    let effects = effects(change);
    assert_eq!((effects.objects.len(), effects.notifications.len(), effects.items.len()), (1, 1, 0));
    let key = "audit-logs/2023/11/14/22/111-c4ca4238a0b923820dcc509a6f75849b.json";
    assert_eq!((effects.objects[0].key.as_str(), effects.objects[0].content_type), (key, "application/json"));
    let image = |kind: &str, name: &str, value: &str| json!({"UserId": {"S": "u-1"}, "ActivityId": {"S": "a-1"}, "Type": {"S": kind}, "Same": {"S": "x"}, name: {"S": value}});
    let wanted = json!({
        "eventId": "c4ca4238a0b923820dcc509a6f75849b",
        "eventName": "MODIFY",
        "sequenceNumber": "111",
        "table": "activities",
        "awsRegion": "eu-west-1",
        "changedAt": "2023-11-14T22:13:20.250Z",
        "streamViewType": "NEW_AND_OLD_IMAGES",
        "sizeBytes": 59,
        "origin": "unmarked",
        "keys": {"UserId": {"S": "u-1"}, "ActivityId": {"S": "a-1"}},
        "oldImage": image("LOGIN", "Gone", "y"),
        "newImage": image("LOGOUT", "Come", "z"),
        "notCarried": [],
        "changedAttributes": ["Come", "Gone", "Type"],
    });
    assert_eq!(audit(change), wanted);
    assert_eq!(
        announced(change),
        json!({
            "message": "The item ActivityId=a-1, UserId=u-1 of table activities was changed",
            "auditObject": key,
            "imagesOmitted": false,
            "attributesOmitted": 0,
            "change": wanted,
        })
    );
    let notification = &effects.notifications[0];
    assert_eq!(notification.subject, "MODIFY in activities");
    let attributes = json!({"eventId": "c4ca4238a0b923820dcc509a6f75849b", "eventName": "MODIFY", "sequenceNumber": "111",
        "table": "activities", "origin": "unmarked"});
    assert_eq!(serde_json::to_value(&notification.attributes).unwrap(), attributes);
}

#[test]
fn a_notification_tells_which_change_it_is_about() {
    let change = change(ChangeKind::Modify, VIEW);
    let told = NotifiedChange {
        event_id: change.event_id.to_owned(),
        kind: ChangeKind::Modify,
        sequence_number: "111".to_owned(),
        created_ms: 1_700_000_000_250,
        size_bytes: 59,
        keys: keys().clone(),
    };
    assert_eq!(Changes.notified_change(&effects(change).notifications[0].message), Some(told));
    assert_eq!(Changes.notified_change(r#"{"AlarmName":"lag"}"#), None);
}

#[test]
fn what_a_view_type_does_not_carry_is_said() {
    use ChangeKind::{Insert, Modify, Remove};
    let all = |names: &[&str]| json!(names);
    let (before, after) = (
        all(&["ActivityId", "Gone", "Same", "Type", "UserId"]),
        all(&["ActivityId", "Come", "Same", "Type", "UserId"]),
    );
    for (kind, view, lacking, changed) in [
        (Insert, VIEW, json!([]), after.clone()),
        (Remove, VIEW, json!([]), before.clone()),
        (Insert, View::NewImage, json!([]), after),
        (Modify, View::NewImage, json!(["oldImage"]), Value::Null),
        (Remove, View::NewImage, json!(["oldImage"]), Value::Null),
        (Insert, View::OldImage, json!(["newImage"]), Value::Null),
        (Modify, View::OldImage, json!(["newImage"]), Value::Null),
        (Remove, View::OldImage, json!([]), before),
        (Insert, View::KeysOnly, json!(["newImage"]), Value::Null),
        (Modify, View::KeysOnly, json!(["oldImage", "newImage"]), Value::Null),
        (Remove, View::KeysOnly, json!(["oldImage"]), Value::Null),
    ] {
        let audit = audit(change(kind, view));
        let what = format!("{} {}", kind.name(), view.name());
        assert_eq!((&audit["notCarried"], &audit["changedAttributes"]), (&lacking, &changed), "{what}");
        assert_eq!(audit["streamViewType"], view.name());
        for (name, has, carried) in
            [("oldImage", images(kind).old, view.images().old), ("newImage", images(kind).new, view.images().new)]
        {
            assert_eq!(audit.get(name).is_some(), has && carried, "{name} of {what}");
        }
    }
}

#[test]
fn deletes_of_users_and_of_time_to_live_are_told_apart() {
    let of = |kind: &'static str, principal_id: &'static str| Change {
        user: Some(UserIdentity { kind, principal_id }),
        ..change(ChangeKind::Remove, VIEW)
    };
    for (change, by, done) in [
        (change(ChangeKind::Remove, VIEW), "user", "was deleted"),
        (of("Service", "dynamodb.amazonaws.com"), "ttl", "expired"),
        (of("Service", "other.amazonaws.com"), "user", "was deleted"),
    ] {
        let effects = effects(change);
        assert_eq!(audit(change)["deletedBy"], by);
        assert!(announced(change)["message"].as_str().unwrap().ends_with(done));
        assert_eq!(effects.notifications[0].attributes["deletedBy"], by);
        assert_eq!(effects.counts.iter().any(|count| count.metric == "Expiries"), by == "ttl");
    }
    assert_eq!(audit(change(ChangeKind::Insert, VIEW)).get("deletedBy"), None);
}

#[test]
fn replicated_writes_are_told_from_local_ones() {
    for (region, origin) in [("eu-west-1", "local"), ("us-east-1", "replicated")] {
        let mut image = new().clone();
        image.insert(UPDATE_REGION.to_owned(), s(region));
        image.insert("aws:rep:updatetime".to_owned(), Attribute::N("1.5".to_owned()));
        let modified = Change { new: Some(&image), ..change(ChangeKind::Modify, VIEW) };
        let audit = audit(modified);
        assert_eq!(audit["origin"], origin);
        assert_eq!(audit["changedAttributes"], json!(["Come", "Gone", "Type"]), "not what replication writes");
        assert_eq!(audit["newImage"][UPDATE_REGION]["S"], region, "images stay as they are");
        let removed = Change { old: Some(&image), ..change(ChangeKind::Remove, VIEW) };
        assert_eq!(effects(removed).notifications[0].attributes["origin"], origin);
        let counted = effects(modified).counts.iter().any(|count| count.metric == "ReplicatedChanges");
        assert_eq!(counted, origin == "replicated");
    }
}

#[test]
fn every_change_has_an_object_of_its_own_and_every_delivery_the_same() {
    let one = change(ChangeKind::Modify, VIEW);
    assert_eq!(Changes.process(&Record::Change(one), 1), Changes.process(&Record::Change(one), 2));
    let later = Change { sequence_number: "112", event_id: "c81e728d9d4c2f636f067f89cc14862c", ..one };
    assert_ne!(effects(one).objects[0].key, effects(later).objects[0].key, "in the same hour, of the same item");
    let next_hour = Change { created_ms: one.created_ms + 3_600_000, ..one };
    assert!(effects(next_hour).objects[0].key.starts_with("audit-logs/2023/11/14/23/111-"));
}

#[test]
fn large_images_stay_out_of_notifications() {
    let mut image = new().clone();
    image.insert("Large".to_owned(), s(&"x".repeat(MESSAGE_MAX_BYTES)));
    let large = Change { new: Some(&image), ..change(ChangeKind::Modify, VIEW) };
    let message = announced(large);
    assert_eq!((&message["imagesOmitted"], &message["change"]["newImage"]), (&json!(true), &Value::Null));
    assert_eq!(message["change"]["changedAttributes"], json!(["Come", "Gone", "Large", "Type"]));
    assert_eq!(audit(large)["newImage"]["Large"]["S"].as_str().unwrap().len(), MESSAGE_MAX_BYTES);

    let mut image = image.clone();
    image.extend((0..10).map(|n| (format!("{n}{}", "n".repeat(30_000)), Attribute::Null)));
    let long_names = Change { new: Some(&image), ..change(ChangeKind::Modify, VIEW) };
    let notification = effects(long_names).notifications.remove(0);
    assert!(notification.message.len() < 200 * 1024, "{}", notification.message.len());
    let message: Value = serde_json::from_str(&notification.message).unwrap();
    assert_eq!(message["attributesOmitted"], 12);
    assert_eq!(audit(long_names)["changedAttributes"].as_array().unwrap().len(), 14);
}

#[test]
fn long_table_names_fit_a_subject() {
    let table = "t".repeat(255);
    let subject = effects(Change { table: &table, ..change(ChangeKind::Insert, VIEW) }).notifications.remove(0).subject;
    assert_eq!(subject.len(), 100);
}

/// An item of 400 KB with keys of 2,048 and 1,024 bytes before and after its change, as much as DynamoDB takes.
#[test]
fn the_largest_changes_are_audited_and_announced() {
    let keys: Item = item(&[("p", &"\u{7}".repeat(2048)), ("s", &"\"".repeat(1024))]);
    let image = |of: &str| {
        let mut image = keys.clone();
        image.insert("Large".to_owned(), s(&of.repeat(400 * 1024 - 2048 - 1024 - 7)));
        image
    };
    let (old, new) = (image("\""), image("\u{7}"));
    let large = Change { keys: &keys, old: Some(&old), new: Some(&new), ..change(ChangeKind::Modify, VIEW) };
    let effects = effects(large);
    let object: Value = serde_json::from_slice(&effects.objects[0].body).unwrap();
    assert_eq!(object["newImage"]["Large"]["S"].as_str().unwrap().len(), 400 * 1024 - 2048 - 1024 - 7);
    let notification = &effects.notifications[0];
    let attributes: usize = notification.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
    let bytes = notification.message.len() + notification.subject.len() + attributes;
    assert!(bytes < 256 * 1024, "{bytes}");
    assert_eq!(announced(large)["imagesOmitted"], true);
}

#[test]
fn process_rejects_what_is_no_change() {
    let code = |change: Change<'_>| Changes.process(&Record::Change(change), 0).unwrap_err().code;
    let modify = change(ChangeKind::Modify, VIEW);
    assert_eq!(code(Change { old: None, ..modify }), "missing_field");
    assert_eq!(code(Change { new: None, ..modify }), "missing_field");
    assert_eq!(code(Change { keys: &Item::new(), ..modify }), "missing_field");
    assert_eq!(code(Change { created_ms: i64::MAX, ..modify }), "out_of_range");
}
