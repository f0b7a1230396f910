//! Changes of fields as people read them: policies by statement, lists by element, maps by key, secrets by name only.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::aws::Arn;
use crate::plan::Change;

/// The most characters of a value that are shown.
const LONGEST: usize = 160;

/// A field's value in one line; long ones are cut.
pub(crate) fn value_text(value: &Value) -> String {
    let text = match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    cut(&text)
}

fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    let cut: String = text.chars().take(LONGEST - 1).collect();
    format!("{cut}…")
}

/// The lines that say what changes; for what is being created, what it gets.
pub(crate) fn lines(change: &Change, creating: bool) -> Vec<String> {
    let Change { field, from, to } = change;
    if let Some(how) = change.hidden() {
        let how = if creating { "set" } else { how };
        return vec![format!("{field}: {how}")];
    }
    if creating && let Some(text) = short_list(to) {
        return vec![format!("{field}: {text}")];
    }
    if let Some(elements) = elements(change) {
        let mut lines = vec![format!("{field}:")];
        lines.extend(elements.into_iter().map(|element| format!("  {}", cut(&element))));
        return lines;
    }
    if let Some(parts) = by_key(change) {
        return parts.iter().flat_map(|part| self::lines(part, creating)).collect();
    }
    if creating {
        return vec![format!("{field}: {}", value_text(to))];
    }
    let (from, to) = (value_text(from), value_text(to));
    let (from, to) = if from == to { ends(&change.from, &change.to) } else { (from, to) };
    vec![format!("{field}: {from} → {to}")]
}

/// A policy's or list's change, element by element: `+ dynamodb:PutItem on table/orders`; `None` for other values.
pub(super) fn elements(change: &Change) -> Option<Vec<String>> {
    let Change { from, to, .. } = change;
    if is(Value::is_object, from, to) && [from, to].iter().any(|value| value.get("Statement").is_some()) {
        let (has, wants) = (statements(from, short), statements(to, short));
        let (gone, new) = (lacking(&has, &wants), lacking(&wants, &has));
        if gone.is_empty() && new.is_empty() {
            // Only accounts or regions differ, which the short names leave out.
            return Some(marked(&statements(from, str::to_owned), &statements(to, str::to_owned)));
        }
        return Some(marked(&has, &wants));
    }
    if !is(Value::is_array, from, to) {
        return None;
    }
    let texts = |value: &Value| -> BTreeSet<String> { value.as_array().into_iter().flatten().map(element).collect() };
    let (has, wants) = (texts(from), texts(to));
    // Elements that are told apart by more than their names.
    if has == wants {
        let whole = |value: &Value| value.as_array().into_iter().flatten().map(value_text).collect();
        return Some(marked(&whole(from), &whole(to)));
    }
    Some(marked(&has, &wants))
}

/// The texts of a short list in one line, in their order.
fn short_list(value: &Value) -> Option<String> {
    const SHORT: usize = 100;
    let texts: Option<Vec<&str>> = value.as_array()?.iter().map(Value::as_str).collect();
    let text = texts?.join(", ");
    (text.len() <= SHORT).then_some(text)
}

/// True when both are of the kind, or one is and there is no other.
fn is(kind: fn(&Value) -> bool, from: &Value, to: &Value) -> bool {
    (kind(from) || from.is_null()) && (kind(to) || to.is_null()) && !(from.is_null() && to.is_null())
}

fn lacking<'a>(of: &'a BTreeSet<String>, other: &'a BTreeSet<String>) -> Vec<&'a String> {
    of.difference(other).collect()
}

fn marked(has: &BTreeSet<String>, wants: &BTreeSet<String>) -> Vec<String> {
    let gone = lacking(has, wants).into_iter().map(|text| format!("- {text}"));
    gone.chain(lacking(wants, has).into_iter().map(|text| format!("+ {text}"))).collect()
}

/// What a policy says: a line for each action on each resource.
fn statements(policy: &Value, name: fn(&str) -> String) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for statement in one_or_many(&policy["Statement"]) {
        let effect = if statement["Effect"] == "Deny" { "deny " } else { "" };
        let principal = match &statement["Principal"] {
            Value::Null => String::new(),
            principal => format!(" for {}", value_text(principal)),
        };
        let condition = match &statement["Condition"] {
            Value::Null => String::new(),
            condition => format!(" if {condition}"),
        };
        let resources: Vec<String> =
            one_or_many(&statement["Resource"]).into_iter().filter_map(Value::as_str).map(name).collect();
        for action in one_or_many(&statement["Action"]).into_iter().filter_map(Value::as_str) {
            if resources.is_empty() {
                lines.insert(format!("{effect}{action}{principal}{condition}"));
            }
            lines.extend(resources.iter().map(|on| format!("{effect}{action} on {on}{principal}{condition}")));
        }
    }
    lines
}

fn one_or_many(value: &Value) -> Vec<&Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(many) => many.iter().collect(),
        one => vec![one],
    }
}

/// `table/orders` for an ARN: without account and region.
fn short(arn: &str) -> String {
    let Some(Arn { service, resource, .. }) = Arn::parse(arn) else { return arn.to_owned() };
    match service.as_str() {
        "sqs" => format!("queue/{resource}"),
        "sns" => format!("topic/{resource}"),
        "s3" => format!("bucket/{resource}"),
        _ => resource,
    }
}

/// One element of a list: a dashboard's widget by its title, others in full.
fn element(value: &Value) -> String {
    match &value["properties"]["title"] {
        Value::String(title) => title.clone(),
        _ => value_text(value),
    }
}

/// A map's change as one of each key that differs; `None` for other values.
fn by_key(change: &Change) -> Option<Vec<Change>> {
    let Change { field, from, to } = change;
    if !is(Value::is_object, from, to) {
        return None;
    }
    let keys = |value: &Value| value.as_object().into_iter().flat_map(|map| map.keys().cloned()).collect::<Vec<_>>();
    let all: BTreeSet<String> = keys(from).into_iter().chain(keys(to)).collect();
    let part = |key: &String| Change { field: format!("{field}.{key}"), from: from[key].clone(), to: to[key].clone() };
    Some(all.iter().map(part).filter(|part| part.from != part.to).collect())
}

/// Two long texts that begin alike, from shortly before where they differ.
fn ends(from: &Value, to: &Value) -> (String, String) {
    const BEFORE: usize = 20;
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (from, to) = (text(from), text(to));
    let same = from.chars().zip(to.chars()).take_while(|(a, b)| a == b).count();
    let end = |text: &str| cut(&format!("…{}", text.chars().skip(same.saturating_sub(BEFORE)).collect::<String>()));
    (end(&from), end(&to))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(field: &str, from: Value, to: Value) -> Vec<String> {
        lines(&Change { field: field.to_owned(), from, to }, false)
    }

    #[test]
    fn a_policy_is_told_by_action_and_resource() {
        let policy = |region: &str, actions: Value| {
            json!({"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": actions, "Resource": format!("arn:aws:dynamodb:{region}:1:table/orders")},
                {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": format!("arn:aws:sqs:{region}:1:dlq")},
            ]})
        };
        let reads = policy("eu-west-1", json!("dynamodb:GetItem"));
        let writes = policy("eu-west-1", json!(["dynamodb:GetItem", "dynamodb:PutItem"]));
        assert_eq!(told("policy", reads.clone(), writes.clone()), ["policy:", "  + dynamodb:PutItem on table/orders"]);
        assert_eq!(told("policy", writes, reads.clone()), ["policy:", "  - dynamodb:PutItem on table/orders"]);
        let new = told("policy", Value::Null, reads.clone());
        assert_eq!(new, ["policy:", "  + dynamodb:GetItem on table/orders", "  + sqs:SendMessage on queue/dlq"]);
        // Where the short names are the same on both sides, the long ones are told.
        let elsewhere = told("policy", reads, policy("eu-north-1", json!("dynamodb:GetItem")));
        assert!(elsewhere.contains(&"  - sqs:SendMessage on arn:aws:sqs:eu-west-1:1:dlq".to_owned()), "{elsewhere:#?}");
        assert!(
            elsewhere.contains(&"  + sqs:SendMessage on arn:aws:sqs:eu-north-1:1:dlq".to_owned()),
            "{elsewhere:#?}"
        );
        let denied = json!({"Statement": {
            "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": ["arn:aws:s3:::kept"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }});
        let line = r#"  + deny s3:* on bucket/kept for * if {"Bool":{"aws:SecureTransport":"false"}}"#;
        assert_eq!(told("policy", Value::Null, denied), ["policy:", line]);
    }

    #[test]
    fn lists_are_told_by_element_and_maps_by_key() {
        let subscribers = told("subscribers", json!(["email:a", "email:b"]), json!(["email:b", "email:c"]));
        assert_eq!(subscribers, ["subscribers:", "  - email:a", "  + email:c"]);
        assert_eq!(
            told("dimensions", json!({"A": "1", "B": "2"}), json!({"A": "1", "B": "3"})),
            ["dimensions.B: 2 → 3"]
        );
        let widget = |title: &str, width: i64| json!({"properties": {"title": title}, "width": width});
        let body = |widgets: Value| json!({"start": "-PT3H", "widgets": widgets});
        let more = told("body", body(json!([widget("lag", 6)])), body(json!([widget("lag", 6), widget("errors", 6)])));
        assert_eq!(more, ["body.widgets:", "  + errors"]);
        let wider = told("body", body(json!([widget("lag", 6)])), body(json!([widget("lag", 12)])));
        assert!(wider[1].starts_with("  - {") && wider[2].starts_with("  + {"), "{wider:#?}");
        assert_eq!(told("ttl", Value::Null, json!("expiresAt")), ["ttl: none → expiresAt"]);
        assert_eq!(told("billing", json!("on-demand"), json!({"read": 5})), [r#"billing: on-demand → {"read":5}"#]);
    }

    #[test]
    fn what_changes_is_never_told_by_two_equal_texts() {
        let text = |end: &str| json!(format!("{}{end}", "x".repeat(300)));
        let told = told("description", text("one"), text("two"));
        assert!(told[0].contains("xone") && told[0].contains("xtwo"), "{told:#?}");
    }
}
