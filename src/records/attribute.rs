//! Attribute values of a table's stream in DynamoDB's JSON, which is how Lambda hands them to functions.

use std::collections::HashMap;

use aws_sdk_dynamodbstreams::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// An item, or the key of one. Its attributes come in the order of their names.
pub(super) fn item_json(item: HashMap<String, AttributeValue>) -> Value {
    Value::Object(item.into_iter().map(|(name, value)| (name, value_json(value))).collect::<Map<_, _>>())
}

fn value_json(value: AttributeValue) -> Value {
    let base64 = |bytes: &[u8]| Value::from(STANDARD.encode(bytes));
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::B(bytes) => json!({ "B": base64(bytes.as_ref()) }),
        AttributeValue::Bool(bool) => json!({ "BOOL": bool }),
        AttributeValue::L(list) => json!({ "L": list.into_iter().map(value_json).collect::<Vec<_>>() }),
        AttributeValue::M(map) => json!({ "M": item_json(map) }),
        AttributeValue::Ss(set) => json!({ "SS": set }),
        AttributeValue::Ns(set) => json!({ "NS": set }),
        AttributeValue::Bs(set) => json!({ "BS": set.iter().map(|bytes| base64(bytes.as_ref())).collect::<Vec<_>>() }),
        // `NULL` is always true; a kind that is newer than this program has no form that anybody could write.
        _ => json!({ "NULL": true }),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodbstreams::primitives::Blob;

    use super::*;

    #[test]
    fn every_kind_has_the_json_form_of_dynamodb() {
        let blob = || Blob::new([255, 0]);
        let map = HashMap::from([("g".to_owned(), AttributeValue::N("-1".to_owned()))]);
        let item = HashMap::from([
            ("a".to_owned(), AttributeValue::S("x".to_owned())),
            ("b".to_owned(), AttributeValue::B(blob())),
            ("c".to_owned(), AttributeValue::Bool(false)),
            ("d".to_owned(), AttributeValue::Null(true)),
            ("e".to_owned(), AttributeValue::L(vec![AttributeValue::M(map)])),
            ("f".to_owned(), AttributeValue::Ss(vec!["x".to_owned()])),
            ("h".to_owned(), AttributeValue::Ns(vec!["1".to_owned()])),
            ("i".to_owned(), AttributeValue::Bs(vec![blob()])),
        ]);
        let expected = json!({
            "a": { "S": "x" }, "b": { "B": "/wA=" }, "c": { "BOOL": false }, "d": { "NULL": true },
            "e": { "L": [{ "M": { "g": { "N": "-1" } } }] }, "f": { "SS": ["x"] }, "h": { "NS": ["1"] }, "i": { "BS": ["/wA="] },
        });
        assert_eq!(item_json(item), expected);
    }
}
