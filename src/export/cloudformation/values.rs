//! Strings and JSON with CloudFormation's functions in them.

use serde_json::{Value, json};

use super::super::references::{Part, References};

/// `Id` or `Id.Attribute`.
fn function(reference: &str) -> Value {
    match reference.split_once('.') {
        Some((id, attribute)) => json!({ "Fn::GetAtt": [id, attribute] }),
        None => json!({ "Ref": reference }),
    }
}

fn of_parts(parts: &[Part]) -> Value {
    match parts {
        [Part::Literal(text)] => json!(text),
        [Part::Reference(reference)] => function(reference),
        parts => {
            let piece = |part: &Part| match part {
                // `${!` stands for `${` in what is substituted.
                Part::Literal(text) => text.replace("${", "${!"),
                Part::Reference(reference) => format!("${{{reference}}}"),
            };
            json!({ "Fn::Sub": parts.iter().map(piece).collect::<String>() })
        }
    }
}

impl References {
    /// A string in which references stand for ARNs and secrets.
    pub(super) fn string(&self, text: &str) -> Value {
        of_parts(&self.of_text(text))
    }

    /// The same, where the whole string may be a resource's name.
    pub(super) fn named(&self, text: &str) -> Value {
        of_parts(&self.of_value(text))
    }

    /// A document, such as a policy.
    pub(super) fn document(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.named(text),
            Value::Array(list) => list.iter().map(|value| self.document(value)).collect(),
            Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), self.document(value))).collect(),
            other => other.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_become_functions() {
        let mut references = References::default();
        references.arn("arn:aws:sqs:r:1:a", "Dlq.Arn".to_owned());
        references.name("a", "Dlq.QueueName".to_owned());
        let value = json!({"Resource": ["arn:aws:sqs:r:1:a", "arn:aws:sqs:r:1:a/${x}"], "n": "a", "text": "${y}"});
        let expected = json!({
            "Resource": [{"Fn::GetAtt": ["Dlq", "Arn"]}, {"Fn::Sub": "${Dlq.Arn}/${!x}"}],
            "n": {"Fn::GetAtt": ["Dlq", "QueueName"]},
            "text": "${y}",
        });
        assert_eq!(references.document(&value), expected);
    }
}
