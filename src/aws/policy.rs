//! IAM policy documents: written from the graph, compared in one canonical form.

use serde_json::{Value, json};

/// One statement: exact actions on exact resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) actions: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) condition: Option<Value>,
}

/// An identity policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Policy(pub(crate) Vec<Statement>);

impl Statement {
    /// The statement as documents have it.
    pub(crate) fn json(&self) -> Value {
        let mut json = json!({ "Effect": "Allow", "Action": self.actions, "Resource": self.resources });
        if let Some(condition) = &self.condition {
            json["Condition"] = condition.clone();
        }
        json
    }
}

impl Policy {
    /// The document, in canonical form.
    pub(crate) fn document(&self) -> Value {
        let statements: Vec<Value> = self.0.iter().map(Statement::json).collect();
        canonical(&json!({ "Version": "2012-10-17", "Statement": statements }))
    }
}

/// The trust policy of a role that only Lambda may assume.
pub(crate) fn assume_role_policy() -> Value {
    canonical(&json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Principal": { "Service": "lambda.amazonaws.com" }, "Action": "sts:AssumeRole" }],
    }))
}

/// IAM gives back a policy with single strings for one-element lists and lists in any order; this form is the same for both.
pub(crate) fn canonical(document: &Value) -> Value {
    match document {
        Value::Array(list) => {
            let mut list: Vec<Value> = list.iter().map(canonical).collect();
            list.sort_by_key(Value::to_string);
            if let [only @ Value::String(_)] = list.as_slice() { only.clone() } else { Value::Array(list) }
        }
        Value::Object(map) => Value::Object(map.iter().map(|(key, value)| (key.clone(), canonical(value))).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_policies_do_not_depend_on_order_or_single_element_lists() {
        let a = json!({"Statement": [{"Action": ["b", "a"], "Resource": ["x"]}]});
        let b = json!({"Statement": [{"Resource": "x", "Action": ["a", "b"]}]});
        assert_eq!(canonical(&a), canonical(&b));
    }
}
