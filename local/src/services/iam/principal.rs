//! The principals that policies of resources and roles name.

use serde_json::Value;

use super::policy::{Question, Verdict, one_or_more, texts, verdict_of};

/// How a policy names the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Named {
    /// By the account, which leaves the decision to the caller's own policies.
    Account,
    /// By its role.
    Role,
    /// By its own ARN, or as everybody.
    Caller,
}

/// What a policy says to this caller, and how it names it.
pub(super) fn named_verdict(
    policy: &Value,
    question: &Question<'_>,
    caller: &(String, Option<String>),
    account: &str,
) -> (Verdict, Named) {
    let asked = |least: Named| {
        verdict_of([policy], question, |statement| {
            named(statement, caller, account).is_some_and(|named| named >= least || statement["Effect"] == "Deny")
        })
    };
    for least in [Named::Caller, Named::Role] {
        let verdict = asked(least);
        if verdict != Verdict::Silent {
            return (verdict, least);
        }
    }
    (asked(Named::Account), Named::Account)
}

fn named(statement: &Value, (arn, role): &(String, Option<String>), account: &str) -> Option<Named> {
    let one = |name: &str| {
        if name == "*" || name == arn {
            return Some(Named::Caller);
        }
        if role.as_deref() == Some(name) {
            return Some(Named::Role);
        }
        let root = name == account || name == format!("arn:aws:iam::{account}:root");
        root.then_some(Named::Account)
    };
    let all = |principal: &Value| match principal {
        Value::String(name) => one(name),
        Value::Object(kinds) => texts(&kinds.get("AWS").cloned().unwrap_or_default()).filter_map(one).max(),
        _ => None,
    };
    match (&statement["Principal"], &statement["NotPrincipal"]) {
        (Value::Null, Value::Null) => None,
        (Value::Null, others) => one_or_more(others).iter().all(|other| all(other).is_none()).then_some(Named::Caller),
        (principal, _) => all(principal),
    }
}

/// A service that delivers on behalf of one of the account's resources.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deliverer<'a> {
    /// Such as `sns.amazonaws.com`.
    pub(crate) service: &'a str,
    /// The ARN of what it delivers for: a topic, an alarm, a log group.
    pub(crate) source: &'a str,
    pub(crate) account: &'a str,
}

impl Deliverer<'_> {
    /// Whether the policy of a resource lets the service do this; without a policy, it may not.
    pub(crate) fn may(&self, action: &str, resource: &str, policy: Option<&Value>) -> bool {
        let values = [
            ("aws:sourcearn", self.source),
            ("aws:sourceaccount", self.account),
            ("aws:sourceowner", self.account),
            ("aws:principalisawsservice", "true"),
            ("aws:principalservicename", self.service),
            ("aws:securetransport", "true"),
        ];
        let context = values.into_iter().map(|(key, value)| (key.to_owned(), vec![value.to_owned()])).collect();
        let question = Question { action, resource, context: &context };
        let is_meant = |statement: &Value| match &statement["Principal"] {
            Value::String(name) => name == "*",
            Value::Object(kinds) => {
                let has = |kind: &str, wanted: &str| {
                    texts(kinds.get(kind).unwrap_or(&Value::Null)).any(|name| name == "*" || name == wanted)
                };
                has("Service", self.service) || has("AWS", "*")
            }
            _ => false,
        };
        policy.is_some_and(|policy| verdict_of([policy], &question, is_meant) == Verdict::Allowed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::policy::Context;
    use super::*;

    #[test]
    fn services_deliver_where_the_policy_lets_them_for_this_source() {
        let topic = "arn:aws:sns:r:1:t";
        let sns = Deliverer { service: "sns.amazonaws.com", source: topic, account: "1" };
        let policy = |principal: Value, condition: Value| {
            json!({ "Statement": [{
                "Effect": "Allow", "Principal": principal, "Action": "sqs:SendMessage", "Resource": "arn:q", "Condition": condition,
            }] })
        };
        let service = json!({ "Service": ["sns.amazonaws.com", "s3.amazonaws.com"] });
        for (principal, condition, may) in [
            (service.clone(), Value::Null, true),
            (json!("*"), json!({ "ArnEquals": { "aws:SourceArn": topic } }), true),
            (json!({ "AWS": "*" }), json!({ "StringEquals": { "AWS:SourceAccount": "1" } }), true),
            (service.clone(), json!({ "ArnLike": { "aws:SourceArn": "arn:aws:sns:r:1:other" } }), false),
            (service, json!({ "StringEquals": { "aws:SourceAccount": "2" } }), false),
            (json!({ "Service": "events.amazonaws.com" }), Value::Null, false),
            (json!({ "AWS": "arn:aws:iam::1:root" }), Value::Null, false),
        ] {
            let policy = policy(principal, condition);
            assert_eq!(sns.may("sqs:SendMessage", "arn:q", Some(&policy)), may, "{policy}");
            assert!(!sns.may("sqs:SendMessage", "arn:other", Some(&policy)));
        }
        assert!(!sns.may("sqs:SendMessage", "arn:q", None));
    }

    #[test]
    fn policies_of_resources_name_callers_in_every_form() {
        let session = "arn:aws:sts::1:assumed-role/r/s";
        let caller = (session.to_owned(), Some("arn:aws:iam::1:role/p/r".to_owned()));
        let context = Context::new();
        let question = Question { action: "sqs:SendMessage", resource: "arn:q", context: &context };
        let (allowed, silent) = (Verdict::Allowed, Verdict::Silent);
        for (principal, expected) in [
            (json!("*"), (allowed, Named::Caller)),
            (json!({ "AWS": "*" }), (allowed, Named::Caller)),
            (json!({ "AWS": ["arn:aws:iam::1:user/u", session] }), (allowed, Named::Caller)),
            (json!({ "AWS": "arn:aws:iam::1:role/p/r" }), (allowed, Named::Role)),
            (json!({ "AWS": "arn:aws:iam::1:root" }), (allowed, Named::Account)),
            (json!({ "AWS": "1" }), (allowed, Named::Account)),
            (json!({ "AWS": "arn:aws:iam::2:root" }), (silent, Named::Account)),
            (json!({ "Service": "sns.amazonaws.com" }), (silent, Named::Account)),
        ] {
            let statement = |effect: &str| json!({ "Statement": [{ "Effect": effect, "Principal": principal, "Action": "sqs:*", "Resource": "*" }] });
            assert_eq!(named_verdict(&statement("Allow"), &question, &caller, "1"), expected, "{principal}");
            let denied = named_verdict(&statement("Deny"), &question, &caller, "1").0;
            assert_eq!(denied == Verdict::Denied, expected.0 == allowed, "{principal}");
        }
        let others = json!({ "Statement": { "Effect": "Deny", "NotPrincipal": { "AWS": session }, "Action": "*", "Resource": "*" } });
        assert_eq!(named_verdict(&others, &question, &caller, "1").0, silent);
    }
}
