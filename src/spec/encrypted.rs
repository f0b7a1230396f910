//! A field of a function's `encrypt`: a path, or a path with what else is wanted of it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};
use streamkit_handler::encryption::Field;

/// `"card.number"`, or `{ field = "email", index = true }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EncryptedField(pub(crate) Field);

impl<'de> Deserialize<'de> for EncryptedField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Field;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field such as \"card.number\", or { field = \"email\", index = true }")
            }

            fn visit_str<E>(self, text: &str) -> Result<Field, E> {
                Ok(Field { field: text.to_owned(), index: false })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Field, A::Error> {
                Field::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_any(Either).map(Self)
    }
}
