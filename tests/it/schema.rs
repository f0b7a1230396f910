//! Checks documents against the schemas of this repository, as far as those go: a part of JSON Schema, and no crate for it.
//!
//! The crates that there are would have every SDK compiled with other features, and so a second time, for the tests.

use std::path::Path;

use regex::Regex;
use serde_json::Value;

use crate::harness::Output;

/// Fails where the document is not as `schemas/NAME.json` says.
#[track_caller]
pub(crate) fn assert_valid(name: &str, document: &Value) {
    let wrong = mistakes(&schema(name), document);
    assert!(wrong.is_empty(), "{wrong:#?} in {document:#}");
}

/// The documents that a command printed, one on each line. Fails where one of them is not as `schemas/NAME.json` says.
#[track_caller]
pub(crate) fn valid_lines(name: &str, output: &Output) -> Vec<Value> {
    let lines: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let schema = schema(name);
    for line in &lines {
        let wrong = mistakes(&schema, line);
        assert!(wrong.is_empty(), "{wrong:#?} in {line:#}");
    }
    lines
}

/// `schemas/NAME.json`.
pub(crate) fn schema(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(format!("{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// What of the document is not as the schema says, each with its place.
pub(crate) fn mistakes(schema: &Value, document: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    check(schema, schema, document, "$", &mut wrong);
    wrong
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let fits = |schema: &Value| {
        let mut wrong = Vec::new();
        check(root, schema, value, at, &mut wrong);
        wrong.is_empty()
    };
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
            "minimum" | "maximum" => {
                let (number, limit) = (value.as_f64(), rule.as_f64().unwrap());
                if number.is_some_and(|number| if keyword == "minimum" { number < limit } else { number > limit }) {
                    wrong.push(format!("{at} is beyond its {keyword} of {rule}: {value}"));
                }
            }
            "minItems" | "maxItems" => {
                let (count, limit) = (value.as_array().map(Vec::len), usize::try_from(rule.as_u64().unwrap()).unwrap());
                if count.is_some_and(|count| if keyword == "minItems" { count < limit } else { count > limit }) {
                    wrong.push(format!("{at} is beyond its {keyword} of {rule}"));
                }
            }
            "pattern" => {
                let pattern = Regex::new(rule.as_str().unwrap()).unwrap();
                if value.as_str().is_some_and(|text| !pattern.is_match(text)) {
                    wrong.push(format!("{at} does not match {rule}: {value}"));
                }
            }
            "required" => {
                let missing = one_or_many(rule).filter(|key| value.is_object() && value.get(key).is_none());
                wrong.extend(missing.map(|key| format!("{at} has no `{key}`")));
            }
            "properties" => {
                for (key, schema) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(key) {
                        check(root, schema, value, &format!("{at}.{key}"), wrong);
                    }
                }
            }
            "propertyNames" => {
                for key in value.as_object().into_iter().flat_map(|map| map.keys()) {
                    check(root, rule, &Value::from(key.as_str()), &format!("{at}.{key}"), wrong);
                }
            }
            "additionalProperties" => {
                let known = &schema["properties"];
                let others = value.as_object().into_iter().flatten().filter(|(key, _)| known.get(key).is_none());
                for (key, value) in others {
                    match rule {
                        Value::Bool(false) => wrong.push(format!("{at} has an unknown `{key}`")),
                        rule => check(root, rule, value, &format!("{at}.{key}"), wrong),
                    }
                }
            }
            "items" => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, value, &format!("{at}[{index}]"), wrong);
                }
            }
            "allOf" => rule.as_array().unwrap().iter().for_each(|rule| check(root, rule, value, at, wrong)),
            "anyOf" | "oneOf" => {
                let fitting = rule.as_array().unwrap().iter().filter(|rule| fits(rule)).count();
                if fitting == 0 || (keyword == "oneOf" && fitting > 1) {
                    wrong.push(format!("{at} fits {fitting} of {rule}: {value}"));
                }
            }
            "not" if fits(rule) => wrong.push(format!("{at} is as it must not be")),
            "const" | "enum" | "type" | "not" | "$schema" | "$defs" | "definitions" | "title" | "description"
            | "default" | "examples" | "then" => {}
            "if" => {
                if fits(rule) {
                    check(root, &schema["then"], value, at, wrong);
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
    let change = serde_json::json!({"field": "shards", "from": 1, "to": 2, "diff": "- 1", "more": true, "by": "me"});
    let schema: Value = serde_json::json!({"$defs": {}, "type": "object", "required": ["field", "name"],
        "additionalProperties": false, "propertyNames": {"pattern": "^[a-z]{3,}$"},
        "if": {"required": ["diff"]}, "then": {"required": ["why"]},
        "properties": {"field": {"type": ["string", "null"]}, "from": {"minimum": 2}, "diff": {"type": "array"},
            "to": {"oneOf": [{"minimum": 1}, {"maximum": 2}]}, "by": {"anyOf": [{"type": "integer"}, {"enum": ["you"]}]}}});
    let mut wrong = mistakes(&schema, &change);
    wrong.sort();
    assert_eq!(
        wrong,
        [
            "$ has an unknown `more`",
            "$ has no `name`",
            "$ has no `why`",
            r#"$.by does not match "^[a-z]{3,}$": "by""#,
            r#"$.by fits 0 of [{"type":"integer"},{"enum":["you"]}]: "me""#,
            r#"$.diff is no "array": "- 1""#,
            "$.from is beyond its minimum of 2: 1",
            r#"$.to does not match "^[a-z]{3,}$": "to""#,
            r#"$.to fits 2 of [{"minimum":1},{"maximum":2}]: 2"#,
        ]
    );
}
