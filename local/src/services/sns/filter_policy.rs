//! The filter policy of a subscription: SNS's limits on it, and what it is held against.

use serde_json::Value;
use streamkit_lambda::EventPattern;

use super::filter_error;
use super::message::Published;

/// SNS's limits: <https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html>.
const MAX_FIELDS: usize = 5;
const MAX_COMBINATIONS: usize = 150;

/// What of a message a policy is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Scope {
    #[default]
    Attributes,
    Body,
}

impl Scope {
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        match name {
            "MessageAttributes" => Ok(Self::Attributes),
            "MessageBody" => Ok(Self::Body),
            other => Err(format!("Invalid value [{other}]. Please use either MessageBody or MessageAttributes")),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Attributes => "MessageAttributes",
            Self::Body => "MessageBody",
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct FilterPolicy {
    text: String,
    pattern: EventPattern,
    scope: Scope,
}

impl FilterPolicy {
    /// Reads a policy; the error is in SNS's words, in which what a policy may not be at all has the attribute's name in front.
    pub(super) fn read(text: &str, scope: Scope) -> Result<Self, String> {
        let pattern = EventPattern::parse(text)
            .map_err(|why| format!("FilterPolicy: {}", filter_error::find(text).unwrap_or(why)))?;
        let size = pattern.size();
        if scope == Scope::Attributes && size.depth > 1 {
            return Err("Filter policy scope MessageAttributes does not support nested filter policy".into());
        }
        if size.fields > MAX_FIELDS {
            return Err(format!("FilterPolicy: Filter policy can not have more than {MAX_FIELDS} keys"));
        }
        if size.combinations > MAX_COMBINATIONS {
            return Err("FilterPolicy: Filter policy is too complex".into());
        }
        Ok(Self { text: text.to_owned(), pattern, scope })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn scope(&self) -> Scope {
        self.scope
    }

    /// Whether a subscriber of this protocol gets the message. A body that is no JSON object passes no policy.
    pub(super) fn passes(&self, message: &Published, protocol: &str) -> bool {
        match self.scope {
            Scope::Attributes => self.pattern.matches(&message.filterable()),
            Scope::Body => {
                let body = serde_json::from_str::<Value>(message.text_for(protocol));
                body.is_ok_and(|body| body.is_object() && self.pattern.matches(&body))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn pieces() -> impl Strategy<Value = String> {
        let pieces: &[&str] = &[
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"",
            "\"a\"",
            "\"$or\"",
            "\"prefix\"",
            "\"anything-but\"",
            "\"numeric\"",
            "\"=\"",
            "\"exists\"",
            "\\u",
            "\\",
            "d800",
            "true",
            "null",
            "-",
            "1e999",
            "é",
            " ",
            "\n",
        ];
        prop::collection::vec(prop::sample::select(pieces), 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn any_text_is_a_policy_or_said_to_be_none(text in prop_oneof![".{0,200}", pieces()], body in any::<bool>()) {
            let scope = if body { Scope::Body } else { Scope::Attributes };
            match FilterPolicy::read(&text, scope) {
                Ok(policy) => prop_assert_eq!((policy.text(), policy.scope()), (text.as_str(), scope)),
                Err(why) => prop_assert!(!why.is_empty()),
            }
        }
    }

    fn passes(policy: &str, scope: Scope, input: &Value) -> bool {
        let message = Published::read("arn:aws:sns:r:1:t", input).unwrap();
        FilterPolicy::read(policy, scope).unwrap().passes(&message, "sqs")
    }

    #[test]
    fn attributes_are_filtered_by_their_type() {
        let message = json!({ "Message": "m", "MessageAttributes": {
            "kind": { "DataType": "String", "StringValue": "a" },
            "price": { "DataType": "Number", "StringValue": "100.00" },
            "tags": { "DataType": "String.Array", "StringValue": "[\"x\", \"y\", 5, true, null]" },
            "blob": { "DataType": "Binary", "BinaryValue": "YQ==" },
        }});
        for (policy, expected) in [
            (r#"{"kind":["a"]}"#, true),
            (r#"{"kind":["a"],"none":["b"]}"#, false),
            (r#"{"price":[100]}"#, true),
            (r#"{"price":["100.00"]}"#, false),
            (r#"{"price":[{"numeric":[">",99,"<",101]}]}"#, true),
            (r#"{"tags":["y"]}"#, true),
            (r#"{"tags":[5]}"#, true),
            (r#"{"tags":[{"anything-but":["x"]}]}"#, true),
            (r#"{"tags":["z"]}"#, false),
            (r#"{"blob":[{"exists":false}]}"#, true),
            (r#"{"$or":[{"kind":["b"]},{"price":[100]}]}"#, true),
        ] {
            assert_eq!(passes(policy, Scope::Attributes, &message), expected, "{policy}");
        }
    }

    #[test]
    fn bodies_are_filtered_as_json_of_their_protocol() {
        let policy = r#"{"order":{"kind":["a"]}}"#;
        for (message, expected) in [
            (json!({ "Message": r#"{"order":{"kind":"a"}}"# }), true),
            (json!({ "Message": r#"{"order":[{"kind":"b"},{"kind":"a"}]}"# }), true),
            (json!({ "Message": r#"{"order":{"kind":"b"}}"# }), false),
            (json!({ "Message": "text" }), false),
            (
                json!({
                    "Message": r#"{"default":"text","sqs":"{\"order\":{\"kind\":\"a\"}}"}"#,
                    "MessageStructure": "json",
                }),
                true,
            ),
        ] {
            assert_eq!(passes(policy, Scope::Body, &message), expected, "{message}");
        }
        assert!(!passes(r#"{"a":[{"exists":false}]}"#, Scope::Body, &json!({ "Message": "text" })));
    }

    #[test]
    fn limits_are_those_of_sns() {
        let read = |policy: &Value, scope| FilterPolicy::read(&policy.to_string(), scope).err().unwrap_or_default();
        let nested = json!({ "a": { "b": ["c"] } });
        assert!(read(&nested, Scope::Body).is_empty());
        assert!(read(&nested, Scope::Attributes).contains("does not support nested filter policy"));
        let six = json!({ "a": [1], "b": [1], "c": [1], "d": [1], "e": [1], "f": [1] });
        assert_eq!(read(&six, Scope::Attributes), "FilterPolicy: Filter policy can not have more than 5 keys");
        let many: Vec<u32> = (0..13).collect();
        assert_eq!(
            read(&json!({ "a": many, "b": many }), Scope::Attributes),
            "FilterPolicy: Filter policy is too complex"
        );
        assert!(read(&json!({ "a": many, "b": many[..11] }), Scope::Attributes).is_empty());
    }
}
