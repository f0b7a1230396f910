//! Message attributes: which SQS takes, how many bytes of a message they are, and their digest.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use serde_json::{Map, Value};
use streamkit_wire::CallError;

const MAX_ATTRIBUTES: usize = 10;
const MAX_NAME_BYTES: usize = 256;
/// Names that AWS keeps for itself begin like this, in any case of letters.
const RESERVED: [&str; 2] = ["aws.", "amazon."];

/// Checks number, names, types and values.
pub(super) fn check(attributes: &Map<String, Value>) -> Result<(), CallError> {
    if attributes.len() > MAX_ATTRIBUTES {
        let count = attributes.len();
        return Err(refused(format!(
            "Number of message attributes [{count}] exceeds the allowed maximum [{MAX_ATTRIBUTES}]."
        )));
    }
    attributes.iter().try_for_each(|(name, attribute)| {
        check_name(name)?;
        check_value(name, attribute)
    })
}

fn check_name(name: &str) -> Result<(), CallError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if name.len() > MAX_NAME_BYTES {
        return Err(refused(format!("Message (user) attribute names must be shorter than {MAX_NAME_BYTES} Bytes")));
    }
    if name.is_empty() || !name.bytes().all(legal) {
        return Err(refused(format!(
            "The message attribute name '{name}' is invalid. Attribute name can contain A-Z, a-z, 0-9, underscore (_), hyphen (-), and period (.) characters."
        )));
    }
    if name.starts_with('.') || name.ends_with('.') || name.contains("..") {
        return Err(refused(format!(
            "The message attribute name '{name}' is invalid. Attribute names can't begin or end with a period, or have successive periods."
        )));
    }
    let lower = name.to_ascii_lowercase();
    if RESERVED.iter().any(|prefix| lower.starts_with(prefix)) {
        return Err(refused(
            "You can't use message attribute names beginning with 'AWS.' or 'Amazon.'. These strings are reserved for internal use.",
        ));
    }
    Ok(())
}

fn check_value(name: &str, attribute: &Value) -> Result<(), CallError> {
    let kind = attribute["DataType"].as_str().unwrap_or_default();
    if kind.is_empty() {
        return Err(refused(format!("Message (user) attribute '{name}' must contain a non-empty attribute type.")));
    }
    let prefix = kind.split('.').next().unwrap_or_default();
    let value = match prefix {
        "Binary" => attribute["BinaryValue"].as_str(),
        "String" | "Number" => attribute["StringValue"].as_str(),
        _ => {
            return Err(refused(format!(
                "The type of message (user) attribute '{name}' is invalid. You must use only the following supported type prefixes: Binary, Number, String."
            )));
        }
    };
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Err(refused(format!(
            "Message (user) attribute '{name}' must contain a non-empty value of type '{prefix}'."
        )));
    };
    if prefix == "Number" && !value.parse::<f64>().is_ok_and(f64::is_finite) {
        return Err(refused(format!("Can't cast the value of message (user) attribute '{name}' to a number.")));
    }
    Ok(())
}

/// The bytes that count towards a message's size: names, types and values.
pub(crate) fn bytes(attributes: &Map<String, Value>) -> usize {
    let each = attributes.iter().map(|(name, attribute)| {
        let value = match attribute["BinaryValue"].as_str() {
            Some(encoded) => decoded(encoded).len(),
            None => attribute["StringValue"].as_str().unwrap_or_default().len(),
        };
        name.len() + attribute["DataType"].as_str().unwrap_or_default().len() + value
    });
    each.sum()
}

/// SQS's digest over attributes sorted by name: each of name, type and value with its length in front.
pub(super) fn digest(attributes: &Map<String, Value>) -> String {
    const TEXT: u8 = 1;
    const BINARY: u8 = 2;
    let sorted: BTreeMap<&String, &Value> = attributes.iter().collect();
    let mut bytes = Vec::new();
    let mut put = |part: &[u8], kind: Option<u8>| {
        bytes.extend(kind);
        bytes.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(part);
    };
    for (name, value) in sorted {
        put(name.as_bytes(), None);
        put(value["DataType"].as_str().unwrap_or_default().as_bytes(), None);
        match value["BinaryValue"].as_str() {
            Some(encoded) => put(&decoded(encoded), Some(BINARY)),
            None => put(value["StringValue"].as_str().unwrap_or_default().as_bytes(), Some(TEXT)),
        }
    }
    format!("{:x}", Md5::digest(&bytes))
}

fn decoded(encoded: &str) -> Vec<u8> {
    STANDARD.decode(encoded).unwrap_or_default()
}

fn refused(why: impl Into<String>) -> CallError {
    CallError::bad("InvalidParameterValue", why)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn attributes(value: &Value) -> Map<String, Value> {
        value.as_object().expect("a map").clone()
    }

    #[test]
    fn digest_is_the_one_that_aws_answers_with() {
        // What AWS answered for these attributes.
        for (given, md5) in [
            (json!({ "Foo": { "DataType": "String", "StringValue": "Bar" } }), "ae7155c6026991b6d54b11589678bf9c"),
            (
                json!({
                    "Help.Me": { "DataType": "String", "StringValue": "Me" },
                    "Hello": { "DataType": "String", "StringValue": "There" },
                    "General": { "DataType": "String", "StringValue": "Kenobi" },
                }),
                "4c360f3fdafd970e05fae2f149d997f5",
            ),
            (
                json!({ "attr1": { "DataType": "Binary", "BinaryValue": STANDARD.encode(
                    b"traceparent\x1e00-774062d6c37081a5a0b9b5b88e30627c-2d2482211f6489da-01") } }),
                "8cbe4db156db8a94db8b801b7addb984",
            ),
        ] {
            assert_eq!(digest(&attributes(&given)), md5, "{given}");
        }
    }

    #[test]
    fn names_types_and_values_count_as_bytes_binary_ones_as_sent() {
        let given = json!({
            "ab": { "DataType": "String", "StringValue": "caf\u{e9}" },
            "c": { "DataType": "Binary", "BinaryValue": STANDARD.encode([0, 1, 2, 3]) },
        });
        assert_eq!(bytes(&attributes(&given)), (2 + 6 + 5) + (1 + 6 + 4));
    }

    #[test]
    fn bad_attributes_are_refused_in_the_words_of_sqs() {
        let text = |value: &str| json!({ "DataType": "String", "StringValue": value });
        let many: Map<String, Value> = (0..11).map(|at| (format!("a{at}"), text("x"))).collect();
        for (given, why) in [
            (Value::Object(many), "Number of message attributes [11] exceeds the allowed maximum [10]."),
            (json!({ "a b": text("x") }), "Attribute name can contain A-Z, a-z, 0-9"),
            (json!({ ".a": text("x") }), "can't begin or end with a period"),
            (json!({ "a..b": text("x") }), "successive periods"),
            (json!({ "AWS.a": text("x") }), "reserved for internal use"),
            (json!({ "amazon.a": text("x") }), "reserved for internal use"),
            (json!({ "a".repeat(257): text("x") }), "must be shorter than 256 Bytes"),
            (json!({ "a": { "StringValue": "x" } }), "must contain a non-empty attribute type"),
            (json!({ "a": { "DataType": "Text", "StringValue": "x" } }), "type prefixes: Binary, Number, String"),
            (json!({ "a": text("") }), "Message (user) attribute 'a' must contain a non-empty value of type 'String'."),
            (json!({ "a": { "DataType": "Binary", "StringValue": "x" } }), "non-empty value of type 'Binary'"),
            (json!({ "a": { "DataType": "Number.int", "StringValue": "x" } }), "to a number"),
        ] {
            let error = check(&attributes(&given)).expect_err(why);
            assert!(error.code == "InvalidParameterValue" && error.message.contains(why), "{error}");
        }
        let good = json!({
            "a.b-c_1": text("x"),
            "n": { "DataType": "Number.float", "StringValue": "-1.5e3" },
            "b": { "DataType": "Binary.gif", "BinaryValue": "AQ==" },
        });
        assert_eq!(check(&attributes(&good)), Ok(()));
    }
}
