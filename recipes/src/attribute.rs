//! A DynamoDB attribute value, and its JSON form, in which streams deliver images.

use serde::{Deserialize, Serialize};

use crate::Item;

/// A DynamoDB attribute value. Its JSON form is DynamoDB's own, such as `{"N": "1.5"}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Attribute {
    /// A string.
    S(String),
    /// A number in DynamoDB's own canonical decimal form: no exponent, no leading or trailing zeros, at most 38 digits.
    N(String),
    /// Bytes.
    B(#[serde(with = "base64_bytes")] Vec<u8>),
    /// A boolean.
    #[serde(rename = "BOOL")]
    Bool(bool),
    /// An explicit null.
    #[serde(rename = "NULL", with = "null_is_true")]
    Null,
    /// A list.
    #[serde(rename = "L")]
    List(Vec<Attribute>),
    /// A map.
    #[serde(rename = "M")]
    Map(Item),
    /// A set of strings.
    #[serde(rename = "SS")]
    Strings(Vec<String>),
    /// A set of numbers.
    #[serde(rename = "NS")]
    Numbers(Vec<String>),
    /// A set of byte strings.
    #[serde(rename = "BS")]
    Binaries(#[serde(with = "base64_list")] Vec<Vec<u8>>),
}

mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

mod base64_list {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(list: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|bytes| STANDARD.encode(bytes)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<u8>>, D::Error> {
        let list = Vec::<String>::deserialize(deserializer)?;
        list.iter().map(|text| STANDARD.decode(text).map_err(de::Error::custom)).collect()
    }
}

mod null_is_true {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
        bool::deserialize(deserializer).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_json_form_of_dynamodb() {
        let json = concat!(
            r#"{"a":{"S":"x"},"b":{"N":"1.50"},"c":{"B":"/wA="},"d":{"BOOL":false},"e":{"NULL":true},"#,
            r#""f":{"L":[{"S":""},{"M":{"g":{"N":"-1"}}}]},"h":{"SS":["x","y"]},"i":{"NS":["1"]},"j":{"BS":["/wA="]}}"#
        );
        let item: Item = serde_json::from_str(json).unwrap();
        assert_eq!(item["c"], Attribute::B(vec![255, 0]));
        assert_eq!(item["e"], Attribute::Null);
        assert_eq!(serde_json::to_string(&item).unwrap(), json);
        for wrong in [r#"{"X":"y"}"#, r#"{"B":"%"}"#, r#"{"S":1}"#, r#"{"S":"a","N":"1"}"#, "{}"] {
            assert!(serde_json::from_str::<Attribute>(wrong).is_err(), "{wrong}");
        }
    }
}
