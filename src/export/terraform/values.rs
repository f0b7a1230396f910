//! Strings and JSON as HCL has them.

use serde_json::Value;

use super::super::hcl::Expression;
use super::super::references::References;

impl References {
    /// A string in which references stand for ARNs and secrets.
    pub(super) fn text(&self, text: &str) -> Expression {
        Expression::Text(self.of_text(text))
    }

    /// The same, where the whole string may be a resource's name.
    pub(super) fn value(&self, text: &str) -> Expression {
        Expression::Text(self.of_value(text))
    }

    /// JSON as HCL has it.
    pub(super) fn json(&self, value: &Value) -> Expression {
        match value {
            Value::String(text) => self.value(text),
            Value::Array(list) => Expression::List(list.iter().map(|value| self.json(value)).collect()),
            Value::Object(map) => {
                Expression::Object(map.iter().map(|(key, value)| (key.clone(), self.json(value))).collect())
            }
            other => Expression::raw(number_text(other)),
        }
    }

    /// A document of JSON, which AWS gets as a string.
    pub(super) fn encoded(&self, value: &Value) -> Expression {
        Expression::Call("jsonencode", vec![self.json(value)])
    }
}

/// A number without what says nothing, such as `.0`; any other value as JSON has it.
fn number_text(value: &Value) -> String {
    match value.as_f64() {
        Some(number) if value.is_f64() => number.to_string(),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_written_without_what_says_nothing() {
        let texts = [json!(300_000.0), json!(0.5), json!(7), json!(null), json!(true)].map(|value| number_text(&value));
        assert_eq!(texts, ["300000", "0.5", "7", "null", "true"]);
    }
}
