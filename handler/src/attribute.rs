//! Items of recipes as the types that the DynamoDB SDK takes.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use streamkit_recipes::{Attribute, Item};

/// Converts an item, or the key of one.
pub fn attribute_values(item: &Item) -> HashMap<String, AttributeValue> {
    item.iter().map(|(name, value)| (name.to_owned(), attribute_value(value))).collect()
}

/// Converts the value of one attribute.
pub fn attribute_value(value: &Attribute) -> AttributeValue {
    match value {
        Attribute::S(text) => AttributeValue::S(text.clone()),
        Attribute::N(number) => AttributeValue::N(number.clone()),
        Attribute::B(bytes) => AttributeValue::B(Blob::new(bytes.as_slice())),
        Attribute::Bool(bool) => AttributeValue::Bool(*bool),
        Attribute::Null => AttributeValue::Null(true),
        Attribute::List(list) => AttributeValue::L(list.iter().map(attribute_value).collect()),
        Attribute::Map(map) => AttributeValue::M(attribute_values(map)),
        Attribute::Strings(set) => AttributeValue::Ss(set.clone()),
        Attribute::Numbers(set) => AttributeValue::Ns(set.clone()),
        Attribute::Binaries(set) => AttributeValue::Bs(set.iter().map(|bytes| Blob::new(bytes.as_slice())).collect()),
    }
}

/// The other way round.
pub fn item(values: impl IntoIterator<Item = (String, AttributeValue)>) -> streamkit_recipes::Item {
    values.into_iter().map(|(name, value)| (name, attribute(value))).collect()
}

fn attribute(value: AttributeValue) -> Attribute {
    match value {
        AttributeValue::S(text) => Attribute::S(text),
        AttributeValue::N(number) => Attribute::N(number),
        AttributeValue::B(bytes) => Attribute::B(bytes.into_inner()),
        AttributeValue::Bool(bool) => Attribute::Bool(bool),
        AttributeValue::L(list) => Attribute::List(list.into_iter().map(attribute).collect()),
        AttributeValue::M(map) => Attribute::Map(item(map)),
        AttributeValue::Ss(set) => Attribute::Strings(set),
        AttributeValue::Ns(set) => Attribute::Numbers(set),
        AttributeValue::Bs(set) => Attribute::Binaries(set.into_iter().map(Blob::into_inner).collect()),
        // `NULL` is always true; a kind that is newer than this program is none that it has stored.
        _ => Attribute::Null,
    }
}
