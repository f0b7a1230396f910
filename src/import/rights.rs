//! What a role's policies let a function do, as a pipeline file says it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// One string, or a list of them.
fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The ARNs that the statements name.
pub(super) fn resources(statements: &[Value]) -> BTreeSet<String> {
    statements.iter().flat_map(|statement| strings(&statement["Resource"])).map(str::to_owned).collect()
}

/// For each resource that the statements name, the actions that they allow on it.
pub(super) fn actions(statements: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for statement in statements {
        for resource in strings(&statement["Resource"]) {
            let actions = strings(&statement["Action"]).into_iter().map(str::to_owned);
            all.entry(resource.to_owned()).or_default().extend(actions);
        }
    }
    all
}

/// Whether an action, in which `*` may stand for anything, is allowed by one of these.
pub(super) fn allows(actions: &BTreeSet<String>, wanted: &str) -> bool {
    let wanted = wanted.to_lowercase();
    actions.iter().any(|action| match action.to_lowercase().split_once('*') {
        Some((start, _)) => wanted.starts_with(start),
        None => action.eq_ignore_ascii_case(&wanted),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn actions_are_gathered_by_resource() {
        let statements = [
            json!({"Effect": "Allow", "Action": "dynamodb:Put*", "Resource": "t"}),
            json!({"Effect": "Allow", "Action": ["dynamodb:GetItem"], "Resource": ["t", "u"]}),
        ];
        let all = actions(&statements);
        assert!(allows(&all["t"], "dynamodb:PutItem") && allows(&all["t"], "dynamodb:getitem"));
        assert!(!allows(&all["u"], "dynamodb:PutItem") && !allows(&all["t"], "dynamodb:DeleteItem"));
        assert_eq!(resources(&statements).into_iter().collect::<Vec<_>>(), ["t", "u"]);
    }
}
