//! Checks documents against the schemas of this repository, as far as those go: a part of JSON Schema, and no crate for it.

use std::path::Path;

use serde_json::Value;

/// Fails where the document is not as `schemas/NAME.json` says.
#[track_caller]
pub(crate) fn assert_valid(name: &str, document: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(format!("{name}.json"));
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut wrong = Vec::new();
    check(&schema, &schema, document, "$", &mut wrong);
    assert!(wrong.is_empty(), "{wrong:#?} in {document:#}");
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    for (keyword, rule) in schema.as_object().expect("a schema is an object") {
        match keyword.as_str() {
            "$ref" => {
                let pointer =
                    rule.as_str().and_then(|text| text.strip_prefix('#')).expect("a reference into this file");
                check(root, root.pointer(pointer).expect("what is referred to"), value, at, wrong);
            }
            "const" if value != rule => wrong.push(format!("{at} is not {rule}")),
            "enum" if !rule.as_array().unwrap().contains(value) => {
                wrong.push(format!("{at} is none of {rule}: {value}"));
            }
            "type" if !one_or_many(rule).any(|name| is(name, value)) => {
                wrong.push(format!("{at} is no {rule}: {value}"));
            }
            "minimum" if value.as_f64() < rule.as_f64() => wrong.push(format!("{at} is less than {rule}: {value}")),
            "$schema" | "$defs" | "title" | "description" | "const" | "enum" | "type" | "minimum" => {}
            "required" => {
                let missing = one_or_many(rule).filter(|key| value.get(key).is_none());
                wrong.extend(missing.map(|key| format!("{at} has no `{key}`")));
            }
            "properties" => {
                for (key, schema) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(key) {
                        check(root, schema, value, &format!("{at}.{key}"), wrong);
                    }
                }
            }
            "additionalProperties" => {
                assert_eq!(*rule, false, "the only rule that is known here");
                let known = &schema["properties"];
                let unknown =
                    value.as_object().into_iter().flat_map(|map| map.keys()).filter(|key| known.get(key).is_none());
                wrong.extend(unknown.map(|key| format!("{at} has an unknown `{key}`")));
            }
            "items" => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, value, &format!("{at}[{index}]"), wrong);
                }
            }
            other => panic!("the schema uses `{other}`, which is not checked here"),
        }
    }
}

fn one_or_many(rule: &Value) -> impl Iterator<Item = &str> {
    let many = rule.as_array().into_iter().flatten();
    rule.as_str().into_iter().chain(many.filter_map(Value::as_str))
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("`{other}` is no type"),
    }
}

#[test]
fn what_is_not_as_the_schema_says_is_found() {
    let change = serde_json::json!({"field": "shards", "from": 1, "to": 2, "diff": "- 1", "more": true});
    let schema: Value = serde_json::json!({"$defs": {}, "type": "object", "required": ["field", "name"],
        "additionalProperties": false,
        "properties": {"field": {"type": ["string", "null"]}, "from": {"minimum": 2}, "to": {}, "diff": {"type": "array"}}});
    let mut wrong = Vec::new();
    check(&schema, &schema, &change, "$", &mut wrong);
    wrong.sort();
    assert_eq!(
        wrong,
        ["$ has an unknown `more`", "$ has no `name`", r#"$.diff is no "array": "- 1""#, "$.from is less than 2: 1"]
    );
}
