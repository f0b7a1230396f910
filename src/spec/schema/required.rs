//! What a file must have, apart from what it may have: a stage must have nothing, and a file with stages need not have all.

use serde_json::{Map, Value, json};

/// Takes out which keys are required, and gives it as a schema of its own. What lists hold keeps it: a stage replaces a list as a
/// whole.
pub(super) fn take_out(schema: &mut Value) -> Value {
    let wanted = required(schema, schema).unwrap_or_else(|| json!({}));
    let mut reached = Vec::new();
    strip(schema, &mut reached);
    while let Some(name) = reached.pop() {
        strip(&mut schema["definitions"][&name], &mut reached);
    }
    wanted
}

/// Whether a keyword says only which keys there must be.
fn says_required(keyword: &str, rule: &Value) -> bool {
    let only_required = |branch: &Value| branch.as_object().is_some_and(|it| it.keys().eq(["required"]));
    keyword == "required" || (keyword == "oneOf" && rule.as_array().is_some_and(|all| all.iter().all(only_required)))
}

fn definition_name(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/definitions/")
}

/// The schemas of the same value: the schema itself, what it refers to, and its branches. Keys are required of objects only, so
/// those of a branch are required wherever there is an object.
fn parts<'s>(schema: &'s Value, root: &'s Value, into: &mut Vec<&'s Value>) {
    into.push(schema);
    if let Some(name) = definition_name(schema) {
        parts(&root["definitions"][name], root, into);
    }
    for branch in ["allOf", "anyOf"].iter().filter_map(|keyword| schema[keyword].as_array()).flatten() {
        parts(branch, root, into);
    }
}

fn required(schema: &Value, root: &Value) -> Option<Value> {
    let mut all = Vec::new();
    parts(schema, root, &mut all);
    let mut result = Map::new();
    for part in all {
        let Some(part) = part.as_object() else { continue };
        result.extend(
            part.iter()
                .filter(|(keyword, rule)| says_required(keyword, rule))
                .map(|(key, rule)| (key.clone(), rule.clone())),
        );
        let properties = part.get("properties").and_then(Value::as_object).into_iter().flatten();
        let properties: Map<_, _> =
            properties.filter_map(|(key, inner)| Some((key.clone(), required(inner, root)?))).collect();
        if !properties.is_empty() {
            result.insert("properties".to_owned(), properties.into());
        }
        if let Some(inner) = part.get("additionalProperties").and_then(|inner| required(inner, root)) {
            result.insert("additionalProperties".to_owned(), inner);
        }
    }
    (!result.is_empty()).then_some(Value::Object(result))
}

/// Strips the schema, and notes the definitions that it refers to.
fn strip(schema: &mut Value, reached: &mut Vec<String>) {
    reached.extend(definition_name(schema).map(str::to_owned));
    let Value::Object(schema) = schema else { return };
    schema.retain(|keyword, rule| !says_required(keyword, rule));
    for (keyword, rule) in schema {
        match (keyword.as_str(), rule) {
            ("allOf" | "anyOf", Value::Array(branches)) => branches.iter_mut().for_each(|it| strip(it, reached)),
            ("properties", Value::Object(inner)) => inner.values_mut().for_each(|it| strip(it, reached)),
            ("additionalProperties", inner) => strip(inner, reached),
            _ => {}
        }
    }
}
