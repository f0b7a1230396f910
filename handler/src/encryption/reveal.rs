//! Finds encrypted values in items and texts, and puts in their places what they were.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use streamkit_recipes::{Attribute, Item};

use super::message::Message;
use super::settings::{DYNAMODB_JSON, FORMAT};

/// Version and algorithm suite of a message, in base64.
const BEGIN: &str = "AgR4";
/// How long the keyed hash of a field is.
const INDEX: usize = 43;

/// An encrypted value in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it stands.
    pub range: Range<usize>,
    /// The message.
    pub bytes: Vec<u8>,
}

/// The encrypted values in a text, in order.
pub fn ciphertexts(text: &str) -> Vec<Found> {
    let mut all = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find(BEGIN).map(|at| from + at) {
        match message_at(text, at) {
            Some(found) => {
                from = found.range.end;
                all.push(found);
            }
            None => from = at + BEGIN.len(),
        }
    }
    all
}

/// The message that begins at this place. It says itself how long it is: what follows may look like more of it.
fn message_at(text: &str, at: usize) -> Option<Found> {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let digits = text.as_bytes()[at..].iter().take_while(|byte| is_base64(byte)).count();
    // The end may need another one or two characters, which are padding.
    let padded = text.as_bytes()[at + digits..].iter().take(2).take_while(|byte| **byte == b'=').count();
    let length = (digits + padded) / 4 * 4;
    let bytes =
        STANDARD.decode(&text[at..at + length]).or_else(|_| STANDARD.decode(&text[at..at + digits / 4 * 4])).ok()?;
    let message = Message::parse(&bytes).ok()?;
    let range = at..at + message.bytes.div_ceil(3) * 4;
    let bytes = bytes[..message.bytes].to_vec();
    (range.end <= text.len()).then_some(Found { range, bytes })
}

/// A text with its encrypted values in clear, as far as `open` gives them. Where a value was a member of JSON, its text is put back as
/// it was, and the keyed hash beside it goes.
pub fn reveal_text(text: &str, open: &mut impl FnMut(&Message<'_>) -> Option<Vec<u8>>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for Found { range, bytes } in ciphertexts(text) {
        let Ok(message) = Message::parse(&bytes) else { continue };
        let Some(clear) = open(&message).and_then(|clear| String::from_utf8(clear).ok()) else { continue };
        let (before, after) = (&text[done..range.start], &text[range.end..]);
        let typed = message.context.get(FORMAT).is_some_and(|format| format == DYNAMODB_JSON);
        let around = if typed { ("{\"S\":\"", "\"}") } else { ("\"", "\"") };
        if let (Some(before), Some(after)) = (before.strip_suffix(around.0), after.strip_prefix(around.1)) {
            out.push_str(before);
            out.push_str(&clear);
            done = text.len() - without_index(after).len();
        } else {
            out.push_str(before);
            out.push_str(serde_json::from_str::<String>(&clear).as_deref().unwrap_or(&clear));
            done = range.end;
        }
    }
    out.push_str(&text[done..]);
    out
}

/// What follows a value, without the keyed hash: `,"email_index":"…"`.
fn without_index(text: &str) -> &str {
    let rest = text.strip_prefix(",\"").and_then(|rest| {
        let (name, rest) = rest.split_once("\":\"")?;
        let (hash, rest) = rest.split_at_checked(INDEX)?;
        let is_hash = hash.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        (name.ends_with("_index") && !name.contains('"') && is_hash).then(|| rest.strip_prefix('"')).flatten()
    });
    rest.unwrap_or(text)
}

/// An item with its encrypted values in clear, as far as `open` gives them: an attribute that was a number is one again.
pub fn reveal_item(item: &Item, open: &mut impl FnMut(&Message<'_>) -> Option<Vec<u8>>) -> Item {
    item.iter().map(|(name, value)| (name.to_owned(), reveal(value, open))).collect()
}

fn reveal(value: &Attribute, open: &mut impl FnMut(&Message<'_>) -> Option<Vec<u8>>) -> Attribute {
    match value {
        Attribute::S(text) => {
            if let [Found { range, bytes }] = ciphertexts(text).as_slice()
                && *range == (0..text.len())
                && let Ok(message) = Message::parse(bytes)
            {
                return open(&message).and_then(|clear| of_json(&clear, &message)).unwrap_or_else(|| value.clone());
            }
            Attribute::S(reveal_text(text, open))
        }
        Attribute::List(list) => Attribute::List(list.iter().map(|value| reveal(value, open)).collect()),
        Attribute::Map(map) => Attribute::Map(reveal_item(map, open)),
        Attribute::Strings(set) => Attribute::Strings(set.iter().map(|text| reveal_text(text, open)).collect()),
        other => other.clone(),
    }
}

/// The attribute that a value would have been.
fn of_json(clear: &[u8], message: &Message<'_>) -> Option<Attribute> {
    if message.context.get(FORMAT).is_some_and(|format| format == DYNAMODB_JSON) {
        return serde_json::from_slice(clear).ok();
    }
    streamkit_recipes::attribute_of_json(std::str::from_utf8(clear).ok()?)
}

/// An item with a mark in the place of each encrypted value, and without the keyed hashes in texts. Encryption has another result each time, so two deliveries of a record
/// have the same item in this form, and in no other.
pub fn masked(item: &Item) -> Item {
    fn of(value: &Attribute) -> Attribute {
        match value {
            Attribute::S(text) => {
                let (mut out, mut done) = (String::with_capacity(text.len()), 0);
                for found in ciphertexts(text) {
                    out.push_str(&text[done..found.range.start]);
                    out.push('*');
                    done = found.range.end;
                    if let Some(after) = text[done..].strip_prefix('"')
                        && without_index(after).len() < after.len()
                    {
                        out.push('"');
                        done = text.len() - without_index(after).len();
                    }
                }
                out.push_str(&text[done..]);
                Attribute::S(out)
            }
            Attribute::List(list) => Attribute::List(list.iter().map(of).collect()),
            Attribute::Map(map) => Attribute::Map(masked(map)),
            other => other.clone(),
        }
    }
    item.iter().map(|(name, value)| (name.to_owned(), of(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::message::{Context, EncryptedDataKey, seal};
    use super::*;

    fn encrypted(json: &str, format: Option<&str>) -> String {
        let key = EncryptedDataKey { key_arn: "arn".to_owned(), ciphertext: vec![1; 7] };
        let context: Context = format.map(|format| (FORMAT.to_owned(), format.to_owned())).into_iter().collect();
        STANDARD.encode(seal(&[7; 32], &key, &context, json.as_bytes()).unwrap())
    }

    fn open(message: &Message<'_>) -> Option<Vec<u8>> {
        message.open(&[7; 32]).ok()
    }

    #[test]
    fn texts_become_again_what_they_were() {
        // Messages of each length by three, since their base64 ends in another way.
        for name in ["a", "ab", "abc", "abcd"] {
            let secret = encrypted(&format!("\"{name}\""), None);
            assert_eq!(reveal_text(&format!("User {secret}abc bought"), &mut open), format!("User {name}abc bought"));
            let hash = "x".repeat(INDEX);
            let text = format!(r#"{{"e":"{secret}","e_index":"{hash}","f":[1,"{secret}"]}}"#);
            assert_eq!(reveal_text(&text, &mut open), format!(r#"{{"e":"{name}","f":[1,"{name}"]}}"#));
        }
        let number = encrypted("1.50", None);
        assert_eq!(reveal_text(&format!(r#"{{"n":"{number}"}}"#), &mut open), r#"{"n":1.50}"#);
        let typed = encrypted(r#"{"N":"7"}"#, Some(DYNAMODB_JSON));
        assert_eq!(reveal_text(&format!(r#"{{"n":{{"S":"{typed}"}}}}"#), &mut open), r#"{"n":{"N":"7"}}"#);
        for other in ["", "AgR4", "AgR4AgR4 and AgR4====", "nothing"] {
            assert_eq!(reveal_text(other, &mut open), other);
        }
    }

    #[test]
    fn attributes_get_their_kinds_back() {
        let s = |json: &str| Attribute::S(encrypted(json, None));
        let item = Item::from([
            ("n", s("42")),
            ("s", s("\"x\"")),
            ("o", s(r#"{"a":[true,null]}"#)),
            (
                "l",
                Attribute::List(vec![Attribute::Map(Item::from([(
                    "b",
                    Attribute::S(encrypted(r#"{"B":"/wA="}"#, Some(DYNAMODB_JSON))),
                )]))]),
            ),
        ]);
        let clear = reveal_item(&item, &mut open);
        let expected = r#"{"l":{"L":[{"M":{"b":{"B":"/wA="}}}]},"n":{"N":"42"},"o":{"M":{"a":{"L":[{"BOOL":true},{"NULL":true}]}}},"s":{"S":"x"}}"#;
        assert_eq!(clear.to_json(), expected);
        // Another key opens nothing, and nothing is lost.
        assert_eq!(reveal_item(&item, &mut |_: &Message<'_>| None), item);
    }

    #[test]
    fn items_that_were_encrypted_twice_are_alike_without_their_ciphertexts() {
        let item = |json: &str| Item::from([("e", Attribute::S(format!("mail to {}!", encrypted(json, None))))]);
        assert_ne!(item("\"x\""), item("\"x\""));
        assert_eq!(masked(&item("\"x\"")), masked(&item("\"x\"")));
        assert_eq!(masked(&item("1"))["e"], Attribute::S("mail to *!".to_owned()));
    }
}
