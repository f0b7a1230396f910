//! What an item is known by: equal items have equal digests, whatever order AWS gives their attributes and sets in.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use sha2::{Digest as _, Sha256};

/// An item as the SDK has it.
pub(super) type Image = HashMap<String, AttributeValue>;

/// The digest of an item's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ImageDigest([u8; 16]);

impl ImageDigest {
    pub(super) fn of(image: &Image) -> Self {
        let mut hash = Sha256::new();
        add_map(&mut hash, image);
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash.finalize()[..16]);
        Self(digest)
    }
}

fn add_map(hash: &mut Sha256, map: &Image) {
    let mut names: Vec<&String> = map.keys().collect();
    names.sort_unstable();
    add_bytes(hash, b'M', &map.len().to_le_bytes());
    for name in names {
        add_bytes(hash, b'k', name.as_bytes());
        add(hash, &map[name]);
    }
}

fn add(hash: &mut Sha256, value: &AttributeValue) {
    match value {
        AttributeValue::S(text) => add_bytes(hash, b'S', text.as_bytes()),
        AttributeValue::N(number) => add_bytes(hash, b'N', number.as_bytes()),
        AttributeValue::B(bytes) => add_bytes(hash, b'B', bytes.as_ref()),
        AttributeValue::Bool(bool) => add_bytes(hash, b'b', &[u8::from(*bool)]),
        AttributeValue::L(list) => {
            add_bytes(hash, b'L', &list.len().to_le_bytes());
            for value in list {
                add(hash, value);
            }
        }
        AttributeValue::M(map) => add_map(hash, map),
        AttributeValue::Ss(set) => add_set(hash, b's', set.iter().map(String::as_bytes)),
        AttributeValue::Ns(set) => add_set(hash, b'n', set.iter().map(String::as_bytes)),
        AttributeValue::Bs(set) => add_set(hash, b'y', set.iter().map(AsRef::as_ref)),
        // `NULL` is always true; a kind that is newer than this program can be in no audit object either.
        _ => add_bytes(hash, b'0', &[]),
    }
}

/// A set has no order.
fn add_set<'a>(hash: &mut Sha256, kind: u8, members: impl Iterator<Item = &'a [u8]>) {
    let mut members: Vec<&[u8]> = members.collect();
    members.sort_unstable();
    add_bytes(hash, kind, &members.len().to_le_bytes());
    for member in members {
        add_bytes(hash, kind, member);
    }
}

fn add_bytes(hash: &mut Sha256, kind: u8, bytes: &[u8]) {
    hash.update([kind]);
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

#[cfg(test)]
mod tests {
    use streamkit_handler::attribute::attribute_values;
    use streamkit_recipes::Item;

    use super::*;

    fn digest(json: &str) -> ImageDigest {
        let item: Item = serde_json::from_str(json).unwrap();
        ImageDigest::of(&attribute_values(&item))
    }

    #[test]
    fn equal_items_are_known_for_equal_and_others_are_not() {
        let one = r#"{"a":{"SS":["x","y"]},"b":{"L":[{"NS":["2","1"]},{"M":{"c":{"BS":["/wA=","AA=="]}}}]}}"#;
        let two = r#"{"b":{"L":[{"NS":["1","2"]},{"M":{"c":{"BS":["AA==","/wA="]}}}]},"a":{"SS":["y","x"]}}"#;
        assert_eq!(digest(one), digest(two));
        let different = [
            "{}",
            r#"{"a":{"S":""}}"#,
            r#"{"a":{"S":"1"}}"#,
            r#"{"a":{"N":"1"}}"#,
            r#"{"b":{"N":"1"}}"#,
            r#"{"a":{"B":"MQ=="}}"#,
            r#"{"a":{"BOOL":true}}"#,
            r#"{"a":{"BOOL":false}}"#,
            r#"{"a":{"NULL":true}}"#,
            r#"{"a":{"L":[]}}"#,
            r#"{"a":{"M":{}}}"#,
            r#"{"a":{"L":[{"S":"x"},{"S":"y"}]}}"#,
            r#"{"a":{"L":[{"S":"y"},{"S":"x"}]}}"#,
            r#"{"a":{"SS":["x","y"]}}"#,
            r#"{"a":{"SS":["xy"]}}"#,
            r#"{"a":{"S":"x"},"b":{"S":"y"}}"#,
        ];
        for (at, one) in different.iter().enumerate() {
            for two in &different[..at] {
                assert_ne!(digest(one), digest(two), "{one} {two}");
            }
        }
    }
}
