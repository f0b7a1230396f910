//! `${env:NAME}` is a value of its own wherever a text has a form: which one it stands for, the environment says.

use serde_json::{Map, Value, json};

use super::super::variables::NAMES;
use super::subschemas::each_subschema;

const VARIABLE: &str = r"\$\{env:[A-Za-z0-9_]+\}";

/// Lets variables of the environment stand in all texts but names.
pub(super) fn allow(schema: &mut Value) {
    let Value::Object(schema) = schema else { return };
    for branches in ["oneOf", "anyOf"] {
        if let Some(Value::Array(branches)) = schema.get_mut(branches)
            && branches.iter().any(has_a_form)
        {
            branches.push(variable());
            branches.iter_mut().filter(|branch| !has_a_form(branch)).for_each(allow);
            return;
        }
    }
    if is_text(schema) {
        if let Some(Value::String(pattern)) = schema.get_mut("pattern") {
            *pattern = format!("{VARIABLE}|{pattern}");
        } else if let Some(values) = schema.remove("enum") {
            schema.remove("type");
            schema.insert("anyOf".to_owned(), json!([{ "type": "string", "enum": values }, variable()]));
        }
        return;
    }
    each_subschema(schema, &mut |key, inner| {
        if key.is_none_or(|key| !NAMES.contains(&key)) {
            allow(inner);
        }
    });
}

fn variable() -> Value {
    json!({ "type": "string", "pattern": VARIABLE })
}

fn is_text(schema: &Map<String, Value>) -> bool {
    schema.get("type").is_some_and(|name| name == "string")
}

/// A text that not every text is.
fn has_a_form(schema: &Value) -> bool {
    let form = |schema: &Map<_, _>| ["pattern", "enum", "const"].iter().any(|keyword| schema.contains_key(*keyword));
    schema.as_object().is_some_and(|schema| is_text(schema) && form(schema))
}
