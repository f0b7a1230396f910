//! What policies say about an action on a resource, as `SimulatePrincipalPolicy` answers it for a role.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>, as far as a role's inline
//! policies go: no managed policies, boundaries or organisations. Nothing else here enforces policies.

use serde_json::{Value, json};

use super::roles::one_or_more;

/// The answer for each pair of action and resource.
pub(super) fn results(policies: &[Value], input: &Value) -> Vec<Value> {
    let context = context(&input["ContextEntries"]);
    let resources = match &input["ResourceArns"] {
        Value::Null => vec![json!("*")],
        arns => one_or_more(arns).to_vec(),
    };
    let mut results = Vec::new();
    for action in one_or_more(&input["ActionNames"]).iter().filter_map(Value::as_str) {
        for resource in resources.iter().filter_map(Value::as_str) {
            results.push(json!({
                "EvalActionName": action,
                "EvalResourceName": resource,
                "EvalDecision": decision(policies, action, resource, &context),
                "MatchedStatements": [],
                "MissingContextValues": [],
            }));
        }
    }
    results
}

fn context(entries: &Value) -> Vec<(String, Vec<String>)> {
    let entry = |entry: &Value| {
        let values = one_or_more(&entry["ContextKeyValues"]).iter().filter_map(Value::as_str).map(str::to_owned);
        Some((entry["ContextKeyName"].as_str()?.to_lowercase(), values.collect()))
    };
    one_or_more(entries).iter().filter_map(entry).collect()
}

fn decision(policies: &[Value], action: &str, resource: &str, context: &[(String, Vec<String>)]) -> &'static str {
    let mut allowed = false;
    for statement in policies.iter().flat_map(|policy| one_or_more(&policy["Statement"])) {
        if !applies(statement, action, resource, context) {
            continue;
        }
        if statement["Effect"] == "Deny" {
            return "explicitDeny";
        }
        allowed = true;
    }
    if allowed { "allowed" } else { "implicitDeny" }
}

fn applies(statement: &Value, action: &str, resource: &str, context: &[(String, Vec<String>)]) -> bool {
    let any = |patterns: &Value, text: &str| {
        one_or_more(patterns).iter().filter_map(Value::as_str).any(|pattern| like(pattern, text))
    };
    // Actions are the same in any case; resources are not.
    let lower = |patterns: &Value| -> Value {
        one_or_more(patterns).iter().filter_map(Value::as_str).map(|name| json!(name.to_lowercase())).collect()
    };
    let action = action.to_lowercase();
    let of_action = match &statement["NotAction"] {
        Value::Null => any(&lower(&statement["Action"]), &action),
        others => !any(&lower(others), &action),
    };
    let of_resource = match &statement["NotResource"] {
        Value::Null => any(&statement["Resource"], resource),
        others => !any(others, resource),
    };
    of_action && of_resource && holds(&statement["Condition"], context)
}

/// Whether all conditions hold. One that is not known here holds for nothing, as one whose key is missing.
fn holds(condition: &Value, context: &[(String, Vec<String>)]) -> bool {
    let Some(operators) = condition.as_object() else { return true };
    operators.iter().all(|(operator, keys)| {
        let pattern = matches!(operator.as_str(), "StringLike" | "ArnLike" | "ArnEquals");
        if !pattern && operator != "StringEquals" {
            return false;
        }
        keys.as_object().into_iter().flatten().all(|(key, wanted)| {
            let values = context.iter().find(|(name, _)| *name == key.to_lowercase()).map(|(_, values)| values);
            values.is_some_and(|values| {
                values.iter().any(|value| {
                    let fits = |wanted: &str| if pattern { like(wanted, value) } else { wanted == value };
                    one_or_more(wanted).iter().filter_map(Value::as_str).any(fits)
                })
            })
        })
    })
}

/// Whether the text is as the pattern says, in which `*` stands for any characters and `?` for one.
fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            // Let the last star take one character more.
            _ => match star {
                Some((at, from)) => {
                    (p, t) = (at + 1, from + 1);
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_follow_effect_action_resource_and_condition() {
        let policies = [json!({ "Statement": [
            { "Effect": "Allow", "Action": ["kinesis:Describe*", "KINESIS:putrecords"], "Resource": "arn:s/a-*" },
            { "Effect": "Deny", "Action": "kinesis:*", "Resource": "arn:s/a-secret" },
            { "Effect": "Allow", "Action": "iam:PassRole", "Resource": "*", "Condition": { "StringEquals": { "iam:PassedToService": "lambda.amazonaws.com" } } },
            { "Effect": "Allow", "NotAction": "s3:Delete*", "Resource": "arn:b/?" },
        ] })];
        let lambda = json!([{ "ContextKeyName": "iam:passedtoservice", "ContextKeyValues": ["lambda.amazonaws.com"] }]);
        for (action, resource, context, expected) in [
            ("kinesis:DescribeStream", "arn:s/a-1", Value::Null, "allowed"),
            ("kinesis:PutRecords", "arn:s/a-", Value::Null, "allowed"),
            ("kinesis:PutRecords", "arn:s/b-1", Value::Null, "implicitDeny"),
            ("kinesis:PutRecords", "arn:s/a-secret", Value::Null, "explicitDeny"),
            ("iam:PassRole", "arn:r", lambda, "allowed"),
            ("iam:PassRole", "arn:r", Value::Null, "implicitDeny"),
            ("s3:DeleteObject", "arn:b/1", Value::Null, "implicitDeny"),
            ("s3:GetObject", "arn:b/1", Value::Null, "allowed"),
            ("s3:GetObject", "arn:b/12", Value::Null, "implicitDeny"),
        ] {
            let input = json!({ "ActionNames": [action], "ResourceArns": [resource], "ContextEntries": context });
            assert_eq!(results(&policies, &input)[0]["EvalDecision"], expected, "{action} on {resource}");
        }
    }
}
