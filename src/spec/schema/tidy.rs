//! Takes out of a schema what is true of Rust and not of TOML, or what no editor needs.

use serde_json::{Map, Value, json};

use super::subschemas::each_subschema;

/// Removes `null`, which TOML does not have, and the formats of Rust's numbers.
pub(super) fn tidy(schema: &mut Value) {
    let Value::Object(schema) = schema else { return };
    schema.remove("format");
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(branches)) = schema.get_mut("anyOf") {
        branches.retain(|branch| branch["type"] != "null");
        if let [only] = &branches[..] {
            let only = only.clone();
            schema.remove("anyOf");
            take_in(schema, only);
        }
    }
    each_subschema(schema, &mut |_, inner| tidy(inner));
}

/// Puts the only branch in the place of the choice. What the place says of itself stays.
fn take_in(schema: &mut Map<String, Value>, only: Value) {
    if only.get("$ref").is_some() {
        // A reference stands alone: draft 7 ignores what is beside it.
        schema.insert("allOf".to_owned(), json!([only]));
    } else if let Value::Object(only) = only {
        for (keyword, value) in only {
            schema.entry(keyword).or_insert(value);
        }
    }
}
