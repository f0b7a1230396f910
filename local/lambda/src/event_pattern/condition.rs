//! What a single value must be.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Number, Value};

/// One condition of a pattern's list.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    /// A text, number, truth value or null.
    Equals(Value),
    /// The field has a value, or has none.
    Exists(bool),
    Text(TextTest),
    Range(Range),
    Address(IpNet),
    /// None of these values.
    AnythingBut(Vec<Value>),
    /// No text for which one of these holds; what is no text passes.
    AnythingButText(Vec<TextTest>),
}

/// A test of a text; it never holds for anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TextTest {
    pub(super) part: Part,
    pub(super) text: String,
    pub(super) ignore_case: bool,
}

/// Which part of the text is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Start,
    End,
}

/// Numbers between two bounds, each `(bound, whether the bound itself belongs to it)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    pub(super) above: Option<(f64, bool)>,
    pub(super) below: Option<(f64, bool)>,
}

impl Condition {
    /// Whether it holds for a value that is there, and is neither object nor array.
    pub(super) fn holds(&self, value: &Value) -> bool {
        if value.is_object() {
            return false;
        }
        match self {
            Self::Equals(wanted) => same(value, wanted),
            Self::Exists(wanted) => *wanted,
            Self::Text(test) => test.holds(value),
            Self::Range(range) => value.as_f64().is_some_and(|number| range.contains(number)),
            Self::Address(net) => {
                let address = value.as_str().and_then(|text| text.parse::<IpAddr>().ok());
                address.is_some_and(|address| net.contains(&address))
            }
            Self::AnythingBut(unwanted) => !unwanted.iter().any(|unwanted| same(value, unwanted)),
            Self::AnythingButText(unwanted) => !unwanted.iter().any(|test| test.holds(value)),
        }
    }
}

impl TextTest {
    fn holds(&self, value: &Value) -> bool {
        let Some(text) = value.as_str() else { return false };
        let fold = |text: &str| if self.ignore_case { text.to_lowercase() } else { text.to_owned() };
        let (text, wanted) = (fold(text), fold(&self.text));
        match self.part {
            Part::Whole => text == wanted,
            Part::Start => text.starts_with(&wanted),
            Part::End => text.ends_with(&wanted),
        }
    }
}

impl Range {
    #[expect(clippy::float_cmp, reason = "a bound that is included is met exactly or not at all")]
    fn contains(&self, number: f64) -> bool {
        self.above.is_none_or(|(bound, inclusive)| number > bound || (inclusive && number == bound))
            && self.below.is_none_or(|(bound, inclusive)| number < bound || (inclusive && number == bound))
    }
}

/// Equal as JSON values; numbers as numbers, so that 300, 300.0 and 3e2 are the same.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => same_number(one, other),
        _ => one == other,
    }
}

fn same_number(one: &Number, other: &Number) -> bool {
    // Whole numbers beyond 2^53 are told apart only as such.
    match (one.as_i128(), other.as_i128()) {
        (Some(one), Some(other)) => one == other,
        _ => one.as_f64() == other.as_f64(),
    }
}
