//! JSON payloads: their fields one by one, with errors that name the field and never repeat its value.

pub(crate) mod members;
mod shallow;
mod text;

use std::borrow::Cow;
use std::ops::RangeInclusive;

use serde_json::Value;
use serde_json::value::RawValue;

use self::members::Members;
pub(crate) use self::shallow::{Shallow, ShallowFields};
pub use self::text::push_text;
pub(crate) use self::text::{push_item, push_list};
use crate::decimal::{Decimal, DecimalError};
use crate::{Attribute, Item, Rejected};

/// DynamoDB's limit for how deep lists and maps may nest, less the item itself and the attribute.
const NESTING: usize = 30;

/// Amounts, times and counts beyond this are mistakes, whatever they measure.
const NUMBER_LIMIT: u64 = 1_000_000_000_000_000;

/// Reads a payload as text.
pub(crate) fn text(data: &[u8]) -> Result<&str, Rejected> {
    std::str::from_utf8(data).map_err(|error| Rejected::new("not_utf8", format!("payload: {error}")))
}

/// Checks that a payload is a JSON object, as a text.
///
/// # Errors
/// With the verdict of every recipe that reads JSON.
pub fn json_object(payload: &[u8]) -> Result<&str, Rejected> {
    let text = text(payload)?;
    Fields::parse(text).map(|_| text)
}

/// The attribute that DynamoDB keeps of a JSON value, with every digit; `None` where that is none, or more than DynamoDB can hold.
pub fn attribute_of_json(text: &str) -> Option<Attribute> {
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    attribute("value", raw, NESTING).ok()
}

/// The rejection of a payload that is not JSON.
pub(crate) fn invalid(error: &serde_json::Error) -> Rejected {
    // Only place and kind: serde_json's own sentence can quote the payload.
    let kind = if error.is_eof() { "ends too early" } else { "is not valid" };
    let place = format!("line {} column {}", error.line(), error.column());
    Rejected::new("invalid_json", format!("payload: JSON {kind} at {place}"))
}

/// The rejection of a payload that is JSON, and no object.
pub(crate) fn not_an_object(kind: &str) -> Rejected {
    Rejected::new("wrong_type", format!("payload: expected a JSON object, got {kind}"))
}

/// The rejection of a text that is too long.
pub(crate) fn too_long(name: &str, bytes: usize, max_bytes: usize) -> Rejected {
    Rejected::new("too_long", format!("{name}: {bytes} bytes, more than the {max_bytes} allowed"))
}

/// Names the type of a value.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Names the type of a value that has not been read yet.
fn raw_kind(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// The fields of a payload, as they stand there: numbers keep every digit. Of a field that stands there twice the last
/// one counts, and one that is null counts as absent.
pub(crate) struct Fields<'a>(Members<'a, &'a RawValue>);

impl<'a> Fields<'a> {
    /// Takes a payload apart.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Rejected> {
        serde_json::from_str(text).map(Self).or_else(|_| Self::parse_in_steps(text))
    }

    /// Takes a payload apart that has a mistake, so as to say which: one of syntax, or that it is no object, or one within
    /// a name.
    fn parse_in_steps(text: &'a str) -> Result<Self, Rejected> {
        let whole: &RawValue = serde_json::from_str(text).map_err(|error| invalid(&error))?;
        match raw_kind(whole) {
            "an object" => serde_json::from_str(whole.get()).map(Self).map_err(|error| invalid(&error)),
            kind => Err(not_an_object(kind)),
        }
    }

    fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied().filter(|raw| raw.get() != "null")
    }

    /// A string, if it is there.
    pub(crate) fn string(&self, name: &str, max_bytes: usize) -> Result<Option<Cow<'a, str>>, Rejected> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        if raw_kind(raw) != "a string" {
            return Err(wrong_type(name, "a string", raw));
        }
        let text = unquoted(raw).map_err(|_| incomplete(name))?;
        if text.len() > max_bytes { Err(too_long(name, text.len(), max_bytes)) } else { Ok(Some(text)) }
    }

    /// A string that has to be there and not to be empty.
    pub(crate) fn required(&self, name: &str, max_bytes: usize) -> Result<Cow<'a, str>, Rejected> {
        match self.string(name, max_bytes)? {
            None => Err(Rejected::new("missing_field", format!("{name}: missing"))),
            Some(text) if text.is_empty() => Err(Rejected::new("empty_field", format!("{name}: empty"))),
            Some(text) => Ok(text),
        }
    }

    /// A number, or a string that holds one, if it is there; `range` is what it may be.
    fn number(&self, name: &str, range: &RangeInclusive<i64>) -> Result<Option<Decimal>, Rejected> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let quoted;
        let text = match raw_kind(raw) {
            "a number" => raw.get(),
            "a string" => {
                quoted = unquoted(raw).unwrap_or_default();
                &quoted
            }
            _ => return Err(wrong_type(name, "a number", raw)),
        };
        match Decimal::parse(text) {
            Ok(number) => Ok(Some(number)),
            Err(DecimalError::NotANumber) => {
                Err(Rejected::new("wrong_type", format!("{name}: expected a number, got a string that holds none")))
            }
            Err(DecimalError::OutOfRange) => Err(not_within(name, range)),
        }
    }

    /// A number from zero up to a quadrillion, or a string that holds one, if it is there.
    pub(crate) fn amount(&self, name: &str) -> Result<Option<Decimal>, Rejected> {
        const RANGE: RangeInclusive<i64> = 0..=NUMBER_LIMIT.cast_signed();
        match self.number(name, &RANGE)? {
            None => Ok(None),
            Some(number) if number.is_negative() => Err(not_within(name, &RANGE)),
            Some(number) => match number.whole_part() {
                Some(whole) if whole < NUMBER_LIMIT => Ok(Some(number)),
                _ => Err(not_within(name, &RANGE)),
            },
        }
    }

    /// An angle from `-limit` to `limit` degrees, or a string that holds it, if it is there.
    pub(crate) fn degrees(&self, name: &str, limit: i32) -> Result<Option<Decimal>, Rejected> {
        let range = -i64::from(limit)..=i64::from(limit);
        match self.number(name, &range)? {
            Some(degrees) if degrees.to_f64().abs() > f64::from(limit) => Err(not_within(name, &range)),
            degrees => Ok(degrees),
        }
    }

    /// A whole number from zero up to a quadrillion, or a string that holds one, if it is there.
    pub(crate) fn whole(&self, name: &str) -> Result<Option<u64>, Rejected> {
        let Some(number) = self.amount(name)? else { return Ok(None) };
        if number.is_whole() {
            Ok(number.whole_part())
        } else {
            Err(Rejected::new("wrong_type", format!("{name}: expected a whole number, got a fraction")))
        }
    }

    /// Whether a string is there.
    pub(crate) fn is_string(&self, name: &str) -> bool {
        self.raw(name).is_some_and(|raw| raw_kind(raw) == "a string")
    }

    /// An object with everything in it, if it is there.
    pub(crate) fn object(&self, name: &str) -> Result<Option<Item>, Rejected> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        if raw_kind(raw) == "an object" {
            map(name, raw, NESTING).map(Some)
        } else {
            Err(wrong_type(name, "an object", raw))
        }
    }
}

fn not_within(name: &str, range: &RangeInclusive<i64>) -> Rejected {
    Rejected::new("out_of_range", format!("{name}: not within {} to {}", range.start(), range.end()))
}

fn wrong_type(name: &str, wanted: &str, raw: &RawValue) -> Rejected {
    Rejected::new("wrong_type", format!("{name}: expected {wanted}, got {}", raw_kind(raw)))
}

/// The text of a string.
fn unquoted(raw: &RawValue) -> serde_json::Result<Cow<'_, str>> {
    let text = raw.get();
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(text) if !text.as_bytes().contains(&b'\\') => Ok(Cow::Borrowed(text)),
        _ => serde_json::from_str(text).map(Cow::Owned),
    }
}

/// Turns JSON into what DynamoDB keeps, with every digit.
fn attribute(name: &str, raw: &RawValue, nesting: usize) -> Result<Attribute, Rejected> {
    let text = raw.get();
    Ok(match raw_kind(raw) {
        "an object" => Attribute::Map(map(name, raw, nesting)?),
        "an array" => {
            let nesting = deeper(name, nesting)?;
            let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| incomplete(name))?;
            Attribute::List(elements.into_iter().map(|raw| attribute(name, raw, nesting)).collect::<Result<_, _>>()?)
        }
        "a string" => Attribute::S(unquoted(raw).map_err(|_| incomplete(name))?.into_owned()),
        "a boolean" => Attribute::Bool(text == "true"),
        "null" => Attribute::Null,
        _ => Attribute::N(
            Decimal::parse(text)
                .map_err(|_| Rejected::new("out_of_range", format!("{name}: a number that DynamoDB can't hold")))?
                .to_string(),
        ),
    })
}

/// An object with everything in it.
fn map(name: &str, raw: &RawValue, nesting: usize) -> Result<Item, Rejected> {
    let nesting = deeper(name, nesting)?;
    let members: Members<'_, &RawValue> = serde_json::from_str(raw.get()).map_err(|_| incomplete(name))?;
    if members.get("").is_some() {
        return Err(Rejected::new("empty_field", format!("{name}: a name within is empty")));
    }
    let attributes = members.in_order().into_iter();
    attributes.map(|(key, raw)| Ok((key.into_owned(), attribute(name, raw, nesting)?))).collect()
}

fn deeper(name: &str, nesting: usize) -> Result<usize, Rejected> {
    let message = || format!("{name}: nested deeper than {NESTING} levels");
    nesting.checked_sub(1).ok_or_else(|| Rejected::new("out_of_range", message()))
}

/// The syntax was checked as a whole, except that escapes must be halves of pairs together.
fn incomplete(name: &str) -> Rejected {
    Rejected::new("invalid_json", format!("{name}: a string with an incomplete escape"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code<T>(result: Result<T, Rejected>) -> &'static str {
        result.err().map_or("fine", |rejected| rejected.code)
    }

    #[test]
    fn parse_tells_what_is_no_object() {
        for (text, expected) in [
            ("", "invalid_json"),
            ("{", "invalid_json"),
            ("{} {}", "invalid_json"),
            (r#"{"a":NaN}"#, "invalid_json"),
            (r#"{"a":01}"#, "invalid_json"),
            ("{a:1}", "invalid_json"),
            ("[]", "wrong_type"),
            ("null", "wrong_type"),
            ("\"text\"", "wrong_type"),
            (" {} ", "fine"),
        ] {
            assert_eq!(code(Fields::parse(text)), expected, "{text}");
        }
        let deep = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
        assert_eq!(code(Fields::parse(&deep).and_then(|fields| fields.object("a"))), "out_of_range");
    }

    #[test]
    fn fields_are_read_by_type() {
        let text = r#"{"s":"x","s":"y","e":"","n":1.50,"big":1e400,"neg":-1,"t":"2.5","odd":"x","o":{},"z":null,"half":"\ud800"}"#;
        let fields = Fields::parse(text).unwrap();
        assert_eq!(fields.string("s", 9).unwrap().as_deref(), Some("y"));
        assert_eq!(fields.string("z", 9), Ok(None));
        assert_eq!(code(fields.string("s", 0)), "too_long");
        assert_eq!(code(fields.string("n", 9)), "wrong_type");
        assert_eq!(code(fields.string("half", 9)), "invalid_json");
        assert_eq!(code(fields.required("e", 9)), "empty_field");
        assert_eq!(code(fields.required("z", 9)), "missing_field");
        assert_eq!(fields.amount("n").unwrap().unwrap().to_string(), "1.5");
        assert_eq!(fields.amount("t").unwrap().unwrap().to_string(), "2.5");
        for (name, expected) in
            [("big", "out_of_range"), ("neg", "out_of_range"), ("odd", "wrong_type"), ("o", "wrong_type")]
        {
            assert_eq!(code(fields.amount(name)), expected, "{name}");
        }
        assert_eq!(code(fields.whole("n")), "wrong_type");
        assert_eq!(fields.degrees("neg", 1).unwrap().unwrap().to_string(), "-1");
        assert_eq!(code(fields.degrees("t", 2)), "out_of_range");
        assert_eq!(code(fields.object("s")), "wrong_type");
    }

    #[test]
    fn objects_keep_every_digit() {
        let text = r#"{"o":{"a":[1.10,-0.30000000000000004,true,null,{"b":"c"}]},"huge":{"n":1e200}}"#;
        let fields = Fields::parse(text).unwrap();
        let object = Attribute::Map(fields.object("o").unwrap().unwrap());
        assert_eq!(
            serde_json::to_string(&object).unwrap(),
            r#"{"M":{"a":{"L":[{"N":"1.1"},{"N":"-0.30000000000000004"},{"BOOL":true},{"NULL":true},{"M":{"b":{"S":"c"}}}]}}}"#
        );
        assert_eq!(code(fields.object("huge")), "out_of_range");
        assert_eq!(code(Fields::parse(r#"{"o":{"a":{"":1}}}"#).unwrap().object("o")), "empty_field");
    }
}
