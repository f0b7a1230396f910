//! An event's own id: what makes two records that carry the same event one.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// The field that holds an event's own id where a function names no other.
pub const IDENTITY_FIELD: &str = "eventId";

/// The longest id that counts, in bytes: it becomes part of keys and message attributes.
const MAX_BYTES: usize = 256;

/// The value of the payload's outermost field of this name: a text, or a whole number as text. `None` where the payload is no
/// JSON object, has no such field, or has something else in it: then a record's place in its stream is its identity.
///
/// A producer that is not told whether its call succeeded sends its events again, and the stream takes them twice, in two
/// places. By their own ids they are known for the same.
pub fn own_id(payload: &[u8], field: &str) -> Option<String> {
    let text = std::str::from_utf8(payload).ok()?;
    // Most payloads are not read a second time.
    if field.is_empty() || !text.contains(field) {
        return None;
    }
    let value = OneField(field).deserialize(&mut serde_json::Deserializer::from_str(text)).ok()??;
    let id = match value {
        Value::String(id) => id,
        Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
        _ => return None,
    };
    (1..=MAX_BYTES).contains(&id.len()).then_some(id)
}

/// Reads one field of an object, and passes over the others.
struct OneField<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for OneField<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneField<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = fields.next_key::<String>()? {
            if name == self.0 {
                found = Some(fields.next_value()?);
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_texts_and_whole_numbers_of_the_outermost_object() {
        let long = format!(r#"{{"eventId":"{}"}}"#, "x".repeat(MAX_BYTES + 1));
        for (payload, id) in [
            (r#"{"a":1,"eventId":"e-1","b":{"eventId":"inner"}}"#, Some("e-1")),
            (r#"{"eventId":17}"#, Some("17")),
            (r#"{"eventId":"first","eventId":"last"}"#, Some("last")),
            (r#"{"b":{"eventId":"inner"}}"#, None),
            (r#"{"eventId":""}"#, None),
            (r#"{"eventId":null}"#, None),
            (r#"{"eventId":1.5}"#, None),
            (r#"{"eventId":["e"]}"#, None),
            (r#"["eventId"]"#, None),
            (r#"{"eventId":"e-1""#, None),
            (long.as_str(), None),
            ("no JSON with eventId", None),
            ("", None),
        ] {
            assert_eq!(own_id(payload.as_bytes(), IDENTITY_FIELD).as_deref(), id, "{payload}");
        }
        assert_eq!(own_id(br#"{"order":"o-1"}"#, "order").as_deref(), Some("o-1"));
        assert_eq!(own_id(b"\xff eventId", IDENTITY_FIELD), None);
    }
}
