//! The schemas within a schema.

use serde_json::{Map, Value};

/// Calls `visit` with each of them; with its key, where it is that of a property.
pub(super) fn each_subschema(schema: &mut Map<String, Value>, visit: &mut dyn FnMut(Option<&str>, &mut Value)) {
    for (keyword, rule) in schema {
        match (keyword.as_str(), rule) {
            ("properties", Value::Object(properties)) => {
                properties.iter_mut().for_each(|(key, inner)| visit(Some(key), inner));
            }
            ("definitions", Value::Object(inner)) => inner.values_mut().for_each(|inner| visit(None, inner)),
            ("allOf" | "anyOf" | "oneOf", Value::Array(branches)) => {
                for branch in branches {
                    visit(None, branch);
                }
            }
            ("items" | "additionalProperties" | "then", inner @ Value::Object(_)) => visit(None, inner),
            _ => {}
        }
    }
}
