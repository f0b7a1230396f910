//! SQS's older query protocol, in terms of its JSON protocol: lists are flattened and named in the singular.

use serde_json::{Map, Value, json};

/// Query name → JSON name of list members.
const LISTS: [(&str, &str); 4] = [
    ("AttributeName", "AttributeNames"),
    ("MessageAttributeName", "MessageAttributeNames"),
    ("MessageSystemAttributeName", "MessageSystemAttributeNames"),
    ("TagKey", "TagKeys"),
];

pub(super) fn to_json(operation: &str, input: Value) -> Value {
    let Value::Object(members) = input else { return input };
    let entries = format!("{operation}RequestEntry");
    let mut out = Map::new();
    for (name, value) in members {
        if let Some((_, plural)) = LISTS.iter().find(|(single, _)| *single == name) {
            out.insert((*plural).to_owned(), value);
        } else if name == entries {
            let items = value.as_array().cloned().unwrap_or_default();
            let items = items.into_iter().map(|item| to_json("", item)).collect();
            out.insert("Entries".into(), Value::Array(items));
        } else {
            match name.as_str() {
                "Attribute" => out.insert("Attributes".into(), to_map(&value, "Name")),
                "Tag" => out.insert("Tags".into(), to_map(&value, "Key")),
                "MessageAttribute" => out.insert("MessageAttributes".into(), to_map(&value, "Name")),
                _ => out.insert(name, value),
            };
        }
    }
    Value::Object(out)
}

pub(super) fn to_form(operation: &str, answer: Value) -> Value {
    let Value::Object(members) = answer else { return answer };
    let mut out = Map::new();
    for (name, value) in members {
        match name.as_str() {
            "QueueUrls" => out.insert("QueueUrl".into(), value),
            "Attributes" => out.insert("Attribute".into(), from_map(&value, "Name")),
            "MessageAttributes" => out.insert("MessageAttribute".into(), from_map(&value, "Name")),
            "Tags" => out.insert("Tag".into(), from_map(&value, "Key")),
            "Messages" => out.insert("Message".into(), each(value)),
            "Successful" | "Results" => out.insert(format!("{operation}ResultEntry"), value),
            "Failed" => out.insert("BatchResultErrorEntry".into(), value),
            _ => out.insert(name, value),
        };
    }
    Value::Object(out)
}

fn each(items: Value) -> Value {
    match items {
        Value::Array(items) => Value::Array(items.into_iter().map(|item| to_form("", item)).collect()),
        other => other,
    }
}

fn to_map(pairs: &Value, key: &str) -> Value {
    let pairs = streamkit_wire::input::list(pairs).iter();
    Value::Object(pairs.filter_map(|pair| Some((pair[key].as_str()?.to_owned(), pair["Value"].clone()))).collect())
}

fn from_map(map: &Value, key: &str) -> Value {
    let members = map.as_object().into_iter().flatten();
    Value::Array(members.map(|(name, value)| json!({key: name, "Value": value})).collect())
}
