//! What policies say about an action on a resource. The one evaluator, for simulations and for calls.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>

use std::collections::BTreeMap;

use serde_json::Value;

use super::condition::{Held, held};
use super::pattern::like;

/// Condition keys in lower case, and their values in the request.
pub(crate) type Context = BTreeMap<String, Vec<String>>;

/// What is asked of policies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    /// Such as `kinesis:PutRecords`.
    pub(crate) action: &'a str,
    /// An ARN; `*` for an operation that is about no resource; empty where the request does not say which one it is about.
    pub(crate) resource: &'a str,
    pub(crate) context: &'a Context,
}

/// What some policies say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A statement allows it, and none denies it.
    Allowed,
    /// A statement denies it.
    Denied,
    /// No statement is about it.
    Silent,
}

/// What these policies say together.
pub(crate) fn verdict<'a>(policies: impl IntoIterator<Item = &'a Value>, question: &Question<'_>) -> Verdict {
    verdict_of(policies, question, |_| true)
}

/// What these policies say together, by those of their statements that are meant for the caller.
pub(crate) fn verdict_of<'a>(
    policies: impl IntoIterator<Item = &'a Value>,
    question: &Question<'_>,
    is_meant: impl Fn(&Value) -> bool,
) -> Verdict {
    let mut verdict = Verdict::Silent;
    for statement in policies.into_iter().flat_map(|policy| one_or_more(&policy["Statement"])) {
        if !matches(statement, question) || !is_meant(statement) {
            continue;
        }
        // A condition that nobody can judge must not open anything: a Deny applies then, an Allow does not.
        let allows = statement["Effect"] == "Allow";
        match held(&statement["Condition"], question.context) {
            Held::Yes => {}
            Held::Unknown if !allows => {}
            Held::Unknown | Held::No => continue,
        }
        if !allows {
            return Verdict::Denied;
        }
        verdict = Verdict::Allowed;
    }
    verdict
}

/// Whether a statement is about the action and the resource.
fn matches(statement: &Value, question: &Question<'_>) -> bool {
    // Actions are the same in any case; resources are not.
    let action = question.action.to_lowercase();
    let is_action =
        |names: &Value| texts(names).any(|pattern| like(&pattern.to_lowercase(), &action, question.context));
    // Where nobody knows the resource, what is allowed for some is allowed, and what is denied for all is denied.
    let allows = statement["Effect"] == "Allow";
    let is_resource = |names: &Value| {
        texts(names).any(|pattern| match question.resource {
            "" => allows || pattern == "*",
            resource => like(pattern, resource, question.context),
        })
    };
    let of_action = match (&statement["Action"], &statement["NotAction"]) {
        (Value::Null, Value::Null) => false,
        (Value::Null, others) => !is_action(others),
        (names, _) => is_action(names),
    };
    let of_resource = match (&statement["Resource"], &statement["NotResource"]) {
        // Trust policies name no resource: it is the role.
        (Value::Null, Value::Null) => !statement["Principal"].is_null() || !statement["NotPrincipal"].is_null(),
        (Value::Null, others) => !is_resource(others),
        (names, _) => is_resource(names),
    };
    of_action && of_resource
}

/// Policies write a list of one without brackets.
pub(super) fn one_or_more(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
}

/// The texts of such a list.
pub(super) fn texts(value: &Value) -> impl Iterator<Item = &str> {
    one_or_more(value).iter().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// A value where a policy has one: a text with what means something in it, a list of them, or anything else.
    fn value() -> impl Strategy<Value = Value> {
        let pieces: &[&str] = &[
            "*",
            "?",
            "${",
            "}",
            "aws:username",
            ",",
            "'",
            ":",
            "s3",
            "Get",
            "arn",
            "/",
            "10.0.0.0/8",
            "2026-01-01T00:00:00Z",
            "1e999",
        ];
        let text =
            prop::collection::vec(prop::sample::select(pieces), 0..8).prop_map(|pieces| Value::from(pieces.concat()));
        let one = prop_oneof![
            text,
            any::<i64>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            Just(Value::Null)
        ];
        prop_oneof![one.clone(), prop::collection::vec(one, 0..4).prop_map(Value::from)]
    }

    fn condition() -> impl Strategy<Value = Value> {
        let operators = prop::sample::select(vec![
            "StringEquals",
            "StringLike",
            "StringNotEqualsIfExists",
            "ForAllValues:StringLike",
            "ForAnyValue:ArnLike",
            "NumericLessThan",
            "DateGreaterThan",
            "Bool",
            "IpAddress",
            "NotIpAddress",
            "BinaryEquals",
            "Null",
            "Unheard",
            "",
        ]);
        let keys = prop::sample::select(vec!["aws:username", "aws:SourceIp", "aws:CurrentTime", "k", ""]);
        prop::collection::vec((operators, keys, value()), 0..3).prop_map(|conditions| {
            conditions.into_iter().map(|(operator, key, value)| (operator.to_owned(), json!({ key: value }))).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn any_policy_has_a_verdict_and_nothing_opens_what_is_denied(
            (effect, action, resource, condition) in (prop::sample::select(vec!["Allow", "Deny", ""]), value(), value(), condition()),
            (asked_action, asked_resource) in (".{0,20}", ".{0,20}"),
            values in prop::collection::vec(".{0,12}", 0..3),
        ) {
            let statement = json!({ "Effect": effect, "Action": action, "Resource": resource, "Condition": condition });
            let context: Context = ["aws:username", "aws:sourceip", "aws:currenttime"].map(|key| (key.to_owned(), values.clone())).into();
            let question = Question { action: &asked_action, resource: &asked_resource, context: &context };
            let policy = json!({ "Statement": statement });
            let said = verdict([&policy], &question);
            prop_assert!(effect == "Allow" || said != Verdict::Allowed, "{}", policy);
            let denied = json!({ "Statement": [{ "Effect": "Deny", "Action": "*", "Resource": "*" }] });
            prop_assert_eq!(verdict([&policy, &denied], &question), Verdict::Denied);
        }
    }

    #[test]
    fn patterns_of_any_size_take_no_time() {
        let began = Instant::now();
        let (stars, name) = ("a*".repeat(1_000), "a".repeat(10_000));
        let policy = json!({ "Statement": { "Effect": "Allow", "Action": format!("{stars}b"), "Resource": "*" } });
        assert_eq!(asked(&[policy], &name, "r", &[]), Verdict::Silent);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }

    fn asked(policies: &[Value], action: &str, resource: &str, context: &[(&str, &str)]) -> Verdict {
        let context = context.iter().map(|(key, value)| (key.to_lowercase(), vec![(*value).to_owned()])).collect();
        verdict(policies, &Question { action, resource, context: &context })
    }

    #[test]
    fn verdicts_follow_effect_action_resource_and_condition() {
        let policies = [json!({ "Statement": [
            { "Effect": "Allow", "Action": ["kinesis:Describe*", "KINESIS:putrecords"], "Resource": "arn:s/a-*" },
            { "Effect": "Deny", "Action": "kinesis:*", "Resource": "arn:s/a-secret" },
            { "Effect": "Allow", "Action": "iam:PassRole", "Resource": "*", "Condition": { "StringEquals": { "iam:PassedToService": "lambda.amazonaws.com" } } },
            { "Effect": "Allow", "NotAction": ["s3:Delete*", "kinesis:*", "iam:*", "sqs:*"], "Resource": "arn:b/?" },
            { "Effect": "Allow", "Action": "sqs:*", "Resource": "arn:q/${aws:username}-*" },
        ] })];
        let (allowed, denied, silent) = (Verdict::Allowed, Verdict::Denied, Verdict::Silent);
        let lambda = [("iam:PassedToService", "lambda.amazonaws.com")];
        let ada = [("aws:username", "ada")];
        let star = [("aws:username", "*")];
        for (action, resource, context, expected) in [
            ("kinesis:DescribeStream", "arn:s/a-1", &[][..], allowed),
            ("kinesis:PutRecords", "arn:s/a-", &[], allowed),
            ("kinesis:PutRecords", "arn:s/b-1", &[], silent),
            ("kinesis:PutRecords", "arn:s/a-secret", &[], denied),
            ("iam:PassRole", "arn:r", &lambda, allowed),
            ("iam:PassRole", "arn:r", &[], silent),
            ("s3:DeleteObject", "arn:b/1", &[], silent),
            ("s3:GetObject", "arn:b/1", &[], allowed),
            ("s3:GetObject", "arn:b/12", &[], silent),
            ("sqs:SendMessage", "arn:q/ada-1", &ada, allowed),
            ("sqs:SendMessage", "arn:q/bob-1", &ada, silent),
            ("sqs:SendMessage", "arn:q/bob-1", &star, silent),
            ("sqs:SendMessage", "arn:q/-1", &[], silent),
        ] {
            assert_eq!(asked(&policies, action, resource, context), expected, "{action} on {resource} {context:?}");
        }
    }

    #[test]
    fn what_can_not_be_judged_opens_nothing() {
        let condition = json!({ "StringMatches": { "aws:username": "ada" } });
        let allow = json!({ "Statement": { "Effect": "Allow", "Action": "*", "Resource": "*" } });
        let odd = |effect: &str| json!({ "Statement": { "Effect": effect, "Action": "sqs:*", "Resource": "*", "Condition": condition } });
        assert_eq!(asked(&[odd("Allow")], "sqs:SendMessage", "arn", &[]), Verdict::Silent);
        assert_eq!(asked(&[allow.clone(), odd("Deny")], "sqs:SendMessage", "arn", &[]), Verdict::Denied);
        assert_eq!(asked(&[allow, odd("Deny")], "sns:Publish", "arn", &[]), Verdict::Allowed);
        for incomplete in [json!({}), json!({ "Statement": [{ "Effect": "Allow" }] }), json!({ "Statement": "x" })] {
            assert_eq!(asked(&[incomplete], "sqs:SendMessage", "arn", &[]), Verdict::Silent);
        }
    }
}
