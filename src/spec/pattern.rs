//! Filter patterns: which records reach a function, and which notifications a subscriber.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use streamkit_local::check_pattern;

/// An event pattern, written as a TOML table or as JSON text; checked by the rules of
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(pub(crate) Value);

impl Pattern {
    /// Reads a pattern in JSON.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let value = serde_json::from_str(text).map_err(|error| format!("this filter pattern is not JSON ({error})"))?;
        Self::checked(value)
    }

    fn checked(value: Value) -> Result<Self, String> {
        match check_pattern(&value.to_string()) {
            Ok(()) => Ok(Self(value)),
            Err(why) => {
                let why = why.trim_end_matches('.');
                // A value without its list is what people write first.
                let mend = if why.contains("must be an object or an array") {
                    ": write the values of a field as a list, such as [\"purchase\"]"
                } else {
                    ""
                };
                Err(format!("this is not a filter pattern: {why}{mend}"))
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Pattern;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a pattern such as { data = { type = [\"purchase\"] } }, or the same as JSON text")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Pattern, E> {
                Pattern::parse(text).map_err(E::custom)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Pattern, A::Error> {
                let value = Value::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Pattern::checked(value).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(Either)
    }
}
