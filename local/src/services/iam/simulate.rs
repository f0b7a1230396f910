//! `SimulatePrincipalPolicy`: what the policies of a principal say about actions on resources.

use std::sync::Arc;

use serde_json::{Value, json};

use super::policy::{Context, Question, Verdict, one_or_more, texts, verdict};

/// The answer for each pair of action and resource.
pub(super) fn results(policies: &[Arc<Value>], input: &Value) -> Vec<Value> {
    let context = context(&input["ContextEntries"]);
    let resources: Vec<&str> = match &input["ResourceArns"] {
        Value::Null => vec!["*"],
        arns => texts(arns).collect(),
    };
    let mut results = Vec::new();
    for action in texts(&input["ActionNames"]) {
        for resource in &resources {
            let decision = match verdict(
                policies.iter().map(|policy| &**policy),
                &Question { action, resource, context: &context },
            ) {
                Verdict::Allowed => "allowed",
                Verdict::Denied => "explicitDeny",
                Verdict::Silent => "implicitDeny",
            };
            results.push(json!({
                "EvalActionName": action,
                "EvalResourceName": resource,
                "EvalDecision": decision,
                "MatchedStatements": [],
                "MissingContextValues": [],
            }));
        }
    }
    results
}

fn context(entries: &Value) -> Context {
    let entry = |entry: &Value| {
        let values = texts(&entry["ContextKeyValues"]).map(str::to_owned).collect();
        Some((entry["ContextKeyName"].as_str()?.to_lowercase(), values))
    };
    one_or_more(entries).iter().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulations_answer_for_each_action_and_resource() {
        let policies = [Arc::new(json!({ "Statement": [
            { "Effect": "Allow", "Action": "kinesis:*", "Resource": "arn:s/a-*" },
            { "Effect": "Deny", "Action": "kinesis:*", "Resource": "arn:s/a-secret" },
            { "Effect": "Allow", "Action": "iam:PassRole", "Resource": "*", "Condition": { "StringEquals": { "iam:PassedToService": "lambda.amazonaws.com" } } },
        ] }))];
        let lambda = json!([{ "ContextKeyName": "iam:passedtoservice", "ContextKeyValues": ["lambda.amazonaws.com"] }]);
        for (action, resource, context, expected) in [
            ("kinesis:PutRecords", "arn:s/a-", Value::Null, "allowed"),
            ("kinesis:PutRecords", "arn:s/b-1", Value::Null, "implicitDeny"),
            ("kinesis:PutRecords", "arn:s/a-secret", Value::Null, "explicitDeny"),
            ("iam:PassRole", "arn:r", lambda, "allowed"),
            ("iam:PassRole", "arn:r", Value::Null, "implicitDeny"),
        ] {
            let input = json!({ "ActionNames": [action], "ResourceArns": [resource], "ContextEntries": context });
            assert_eq!(results(&policies, &input)[0]["EvalDecision"], expected, "{action} on {resource}");
        }
    }
}
