//! Replaces fields in JSON text and in items. All other bytes of a text stay as they are.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use streamkit_recipes::{Attribute, Item};

use super::field::{Field, Names, Node};

/// What stands in a field's place from now on.
pub(super) struct Replacement {
    /// A string's content.
    pub(super) text: String,
    /// The keyed hash that is put beside it.
    pub(super) index: Option<String>,
}

/// Encrypts a value: the field's number, the value as JSON, and the keyed hash that is beside it already. `None` leaves it as
/// it is.
pub(super) trait Replace {
    fn value(&mut self, field: usize, json: &str, index: Option<&str>) -> Option<Replacement>;
}

/// The members of an object, in the order of the text; a name may stand there twice.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(12);
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Object).map(Self)
    }
}

/// The text with the fields replaced; an error where it is no JSON object that can be read to its end.
pub(super) fn replaced(text: &str, names: &Names, replace: &mut impl Replace) -> serde_json::Result<String> {
    let mut edits = Vec::new();
    let members: Members<'_> = serde_json::from_str(text)?;
    walk(text, &members, names, replace, &mut edits)?;
    let mut out = String::with_capacity(text.len() + 640 * edits.len());
    let mut done = 0;
    for (range, replacement) in edits {
        out.push_str(&text[done..range.start]);
        out.push_str(&replacement);
        done = range.end;
    }
    out.push_str(&text[done..]);
    Ok(out)
}

fn walk(
    text: &str,
    members: &Members<'_>,
    names: &Names,
    replace: &mut impl Replace,
    edits: &mut Vec<(Range<usize>, String)>,
) -> serde_json::Result<()> {
    for (name, raw) in &members.0 {
        match names.get(name) {
            None => {}
            Some(Node::Encrypt(field)) => {
                let beside = Field::index_member(name);
                // Of a name that stands there twice the last one counts.
                let index = members.0.iter().rev().find(|(other, _)| *other == beside);
                let index: Option<String> = index.and_then(|(_, raw)| serde_json::from_str(raw.get()).ok());
                edit(text, raw, *field, Some((&beside, index)), replace, edits);
            }
            Some(Node::Within(names)) => within(text, raw, names, replace, edits)?,
        }
    }
    Ok(())
}

/// Goes into a value. What is no object, and no array of objects, is encrypted as a whole: whatever it holds, it stands where a field
/// should be.
fn within(
    text: &str,
    raw: &RawValue,
    names: &Names,
    replace: &mut impl Replace,
    edits: &mut Vec<(Range<usize>, String)>,
) -> serde_json::Result<()> {
    match raw.get().as_bytes().first() {
        Some(b'{') => walk(text, &serde_json::from_str(raw.get())?, names, replace, edits)?,
        Some(b'[') => {
            for element in serde_json::from_str::<Vec<&RawValue>>(raw.get())? {
                if element.get().starts_with('{') {
                    walk(text, &serde_json::from_str(element.get())?, names, replace, edits)?;
                } else if let Some(field) = names.first() {
                    edit(text, element, field, None, replace, edits);
                }
            }
        }
        _ => {
            if let Some(field) = names.first() {
                edit(text, raw, field, None, replace, edits);
            }
        }
    }
    Ok(())
}

fn edit(
    text: &str,
    raw: &RawValue,
    field: usize,
    index: Option<(&str, Option<String>)>,
    replace: &mut impl Replace,
    edits: &mut Vec<(Range<usize>, String)>,
) {
    let value = raw.get();
    // A null says nothing.
    if value == "null" {
        return;
    }
    let (beside, known) = index.unzip();
    let Some(replacement) = replace.value(field, value, known.flatten().as_deref()) else { return };
    let start = value.as_ptr().addr() - text.as_ptr().addr();
    let mut new = format!("\"{}\"", replacement.text);
    if let (Some(index), Some(beside)) = (replacement.index, beside) {
        new.push(',');
        streamkit_recipes::push_text(&mut new, beside);
        new.push_str(":\"");
        new.push_str(&index);
        new.push('"');
    }
    edits.push((start..start + value.len(), new));
}

/// Replaces the fields of an item. A value is given as DynamoDB's JSON.
pub(super) fn replace_in_item(item: &mut Item, names: &Names, replace: &mut impl Replace) {
    let all: Vec<String> = item.keys().filter(|name| names.get(name).is_some()).map(str::to_owned).collect();
    for name in all {
        let Some(mut value) = item.remove(&name) else { continue };
        match names.get(&name) {
            Some(Node::Encrypt(field)) => replace_attribute(&mut value, *field, replace),
            Some(Node::Within(names)) => match &mut value {
                Attribute::Map(map) => replace_in_item(map, names, replace),
                Attribute::List(list) => {
                    for element in list {
                        if let Attribute::Map(map) = element {
                            replace_in_item(map, names, replace);
                        } else if let Some(field) = names.first() {
                            replace_attribute(element, field, replace);
                        }
                    }
                }
                other => {
                    if let Some(field) = names.first() {
                        replace_attribute(other, field, replace);
                    }
                }
            },
            None => {}
        }
        item.insert(name, value);
    }
}

fn replace_attribute(value: &mut Attribute, field: usize, replace: &mut impl Replace) {
    if *value == Attribute::Null {
        return;
    }
    // A string's JSON may be a message already; others are given as the stream has them.
    let json = serde_json::to_string(value).unwrap_or_default();
    if let Some(replacement) = replace.value(field, &json, None) {
        *value = Attribute::S(replacement.text);
    }
}
