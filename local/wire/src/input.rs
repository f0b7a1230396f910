//! Reads members of an operation's input. The query protocol has only strings, so numbers and flags may come as text.

use serde_json::Value;

use crate::clock;
use crate::error::CallError;

/// A non-empty text member.
pub fn text<'a>(input: &'a Value, name: &str) -> Option<&'a str> {
    input[name].as_str().filter(|text| !text.is_empty())
}

/// A text member that must be there.
pub fn required<'a>(input: &'a Value, name: &str) -> Result<&'a str, CallError> {
    text(input, name)
        .ok_or_else(|| CallError::bad("MissingParameter", format!("The request must contain the parameter {name}.")))
}

/// A number, or text that is one.
pub fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// A whole number, or text that is one.
pub fn integer(value: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "a fraction has no meaning where AWS models an integer")]
    value.as_i64().or_else(|| value.as_f64().map(|number| number as i64)).or_else(|| value.as_str()?.parse().ok())
}

/// A flag, or text that is one.
pub fn flag(value: &Value) -> Option<bool> {
    value.as_bool().or_else(|| value.as_str()?.parse().ok())
}

/// A time in epoch milliseconds: epoch seconds, or RFC 3339 text.
pub fn time_ms(value: &Value) -> Option<i64> {
    /// Some 270,000 years: sums of times stay far from the ends of their type.
    const LIMIT: i64 = 8_640_000_000_000_000;
    #[expect(clippy::cast_possible_truncation, reason = "epoch milliseconds fit")]
    let from_seconds = |seconds: f64| (seconds * 1000.0).round() as i64;
    let time = match value {
        Value::String(text) => clock::parse_iso(text).or_else(|| text.parse().ok().map(from_seconds)),
        other => other.as_f64().map(from_seconds),
    };
    time.map(|ms| ms.clamp(-LIMIT, LIMIT))
}

/// The elements of a list member; none when it is absent.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The texts of a list member.
pub fn texts(value: &Value) -> Vec<String> {
    list(value).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// `[{Key, Value}]` as pairs.
pub fn tag_pairs(value: &Value) -> impl Iterator<Item = (String, String)> + '_ {
    list(value)
        .iter()
        .filter_map(|tag| Some((tag["Key"].as_str()?.to_owned(), tag["Value"].as_str().unwrap_or_default().to_owned())))
}

/// The text members of a map.
pub fn map_pairs(value: &Value) -> impl Iterator<Item = (String, String)> + '_ {
    value.as_object().into_iter().flatten().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
}
