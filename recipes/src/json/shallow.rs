//! A payload whose outermost values are kept, and all others only checked.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

use super::members::{Members, Text};
use super::{invalid, kind, not_an_object};
use crate::Rejected;

/// The fields of a payload, which was read and checked as a whole, as [`Value`] would have been.
pub(crate) struct ShallowFields<'a>(Members<'a, Shallow<'a>>);

impl<'a> ShallowFields<'a> {
    /// Reads a payload.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Rejected> {
        // What is wrong with it is found out in a second look, which few payloads need.
        serde_json::from_str(text).map(Self).map_err(|_| match serde_json::from_str::<Value>(text) {
            Err(error) => invalid(&error),
            Ok(value) => not_an_object(kind(&value)),
        })
    }

    /// The value of this field; a field that is null counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&Shallow<'a>> {
        self.0.get(name).filter(|value| !matches!(value, Shallow::Null))
    }
}

/// A value, without what is within it.
pub(crate) enum Shallow<'a> {
    Null,
    Bool,
    Number(Number),
    Text(Cow<'a, str>),
    Array,
    Object,
}

impl Shallow<'_> {
    /// Names the type of the value.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

impl<'de> Deserialize<'de> for Shallow<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Shallow<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Shallow::Null)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Shallow::Bool)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Shallow::Number(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Shallow::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Number::from_f64(number).map_or(Shallow::Null, Shallow::Number))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Shallow::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Shallow::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        while elements.next_element::<Shallow<'de>>()?.is_some() {}
        Ok(Shallow::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        while members.next_entry::<Text<'de>, Shallow<'de>>()?.is_some() {}
        Ok(Shallow::Object)
    }
}
