//! JSON as it is written: items and texts, thousands of them for each batch.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Attribute, Item};

/// Appends a text as JSON has it, with quotes and escapes.
pub fn push_text(json: &mut String, text: &str) {
    if has_escapes(text.as_bytes()) {
        json.push_str(&serde_json::Value::from(text).to_string());
    } else {
        json.reserve(text.len() + 2);
        json.push('"');
        json.push_str(text);
        json.push('"');
    }
}

/// Whether JSON has to write any of these bytes in another way. Few texts have one, so eight are looked at together.
fn has_escapes(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    if words.iter().any(|word| is_escaped(*word)) {
        return true;
    }
    match text.last_chunk::<8>() {
        // Some are looked at twice.
        Some(last) => is_escaped(*last),
        None => rest.iter().any(|byte| *byte < b' ' || matches!(byte, b'"' | b'\\')),
    }
}

/// Whether there is a control character, a quotation mark or a backslash among eight bytes.
fn is_escaped(bytes: [u8; 8]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // Subtracting borrows the highest bit of just those bytes that are less, and of none if there are no such.
    let less = |word: u64, limit: u8| word.wrapping_sub(EACH * u64::from(limit)) & !word;
    let word = u64::from_le_bytes(bytes);
    let equal = |byte: u8| less(word ^ (EACH * u64::from(byte)), 1);
    (less(word, b' ') | equal(b'"') | equal(b'\\')) & (EACH << 7) != 0
}

/// Appends an item.
pub(crate) fn push_item(json: &mut String, item: &Item) {
    json.push('{');
    for (place, (name, value)) in item.iter().enumerate() {
        if place > 0 {
            json.push(',');
        }
        push_text(json, name);
        json.push(':');
        push_attribute(json, value);
    }
    json.push('}');
}

fn push_attribute(json: &mut String, value: &Attribute) {
    match value {
        Attribute::S(text) => {
            json.push_str(r#"{"S":"#);
            push_text(json, text);
        }
        Attribute::N(number) => {
            json.push_str(r#"{"N":"#);
            push_text(json, number);
        }
        Attribute::B(bytes) => {
            json.push_str(r#"{"B":"#);
            push_text(json, &STANDARD.encode(bytes));
        }
        Attribute::Bool(value) => json.push_str(if *value { r#"{"BOOL":true"# } else { r#"{"BOOL":false"# }),
        Attribute::Null => json.push_str(r#"{"NULL":true"#),
        Attribute::List(list) => {
            json.push_str(r#"{"L":"#);
            push_list(json, list, push_attribute);
        }
        Attribute::Map(map) => {
            json.push_str(r#"{"M":"#);
            push_item(json, map);
        }
        Attribute::Strings(set) => {
            json.push_str(r#"{"SS":"#);
            push_list(json, set, |json, text| push_text(json, text));
        }
        Attribute::Numbers(set) => {
            json.push_str(r#"{"NS":"#);
            push_list(json, set, |json, number| push_text(json, number));
        }
        Attribute::Binaries(set) => {
            json.push_str(r#"{"BS":"#);
            push_list(json, set, |json, bytes| push_text(json, &STANDARD.encode(bytes)));
        }
    }
    json.push('}');
}

/// Appends an array.
pub(crate) fn push_list<T>(json: &mut String, list: &[T], push: impl Fn(&mut String, &T)) {
    json.push('[');
    for (place, value) in list.iter().enumerate() {
        if place > 0 {
            json.push(',');
        }
        push(json, value);
    }
    json.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_written_as_serde_writes_them() {
        let json = concat!(
            r#"{"a":{"S":"x"},"b":{"N":"1.50"},"c":{"B":"/wA="},"d":{"BOOL":false},"dd":{"BOOL":true},"e":{"NULL":true},"#,
            r#""f":{"L":[{"S":""},{"M":{"g":{"N":"-1"},"h \\\u0001":{"L":[]}}}]},"h":{"SS":["x","y\""]},"i":{"NS":["1"]},"#,
            r#""j":{"BS":["/wA=",""]},"k\n":{"S":"\u0000 \u001f \u007f é 🛒 \\ / \" \t"},"l":{"M":{}}}"#
        );
        let item: Item = serde_json::from_str(json).unwrap();
        assert_eq!(item.len(), 12);
        assert_eq!(item.to_json(), serde_json::to_string(&item).unwrap());
        for (code, length) in (0..300).flat_map(|code| (0..20).map(move |length| (code, length))) {
            let character = char::from_u32(code).unwrap();
            for place in 0..=length {
                let text = format!("{}{character}{}", "ü~ ".repeat(place), "a".repeat(length - place));
                let mut json = String::new();
                push_text(&mut json, &text);
                assert_eq!(json, serde_json::to_string(&text).unwrap());
            }
        }
    }
}
