//! `settings = { … }` of a function: what its recipe, or code of one's own, is told.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde_json::{Map, Number, Value};

use super::types::Function;
use super::units::Seconds;

/// A setting's value: a number, or a duration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum SettingValue {
    Integer(i64),
    Number(f64),
    Duration(Seconds),
}

impl SettingValue {
    /// As the handler takes it: durations in seconds.
    pub(crate) fn json(self) -> Value {
        match self {
            Self::Integer(number) => number.into(),
            Self::Number(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
            Self::Duration(seconds) => seconds.0.into(),
        }
    }
}

impl fmt::Display for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => write!(f, "{number}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Duration(seconds) => write!(f, "\"{seconds}\""),
        }
    }
}

impl<'de> Deserialize<'de> for SettingValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = SettingValue;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a duration such as \"5m\"")
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<SettingValue, E> {
                Ok(SettingValue::Integer(number))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<SettingValue, E> {
                Ok(SettingValue::Number(number))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<SettingValue, E> {
                Seconds::parse(text).map(SettingValue::Duration).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl Function {
    /// The settings that the spec gives, as the handler takes them.
    pub(crate) fn given_settings(&self) -> Map<String, Value> {
        self.settings.iter().map(|(name, value)| (name.get_ref().clone(), value.get_ref().json())).collect()
    }
}
