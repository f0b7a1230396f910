//! What a recipe wants done for a record: items to store and things to count.

use std::collections::BTreeMap;

/// A DynamoDB attribute value, in the kinds that recipes use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attribute {
    /// A string.
    S(String),
    /// A number in DynamoDB's own canonical decimal form: no exponent, no leading or trailing zeros, at most 38 digits.
    N(String),
    /// A boolean.
    Bool(bool),
    /// An explicit null.
    Null,
    /// A list.
    List(Vec<Attribute>),
    /// A map.
    Map(BTreeMap<String, Attribute>),
}

/// A DynamoDB item: attributes by name.
pub type Item = BTreeMap<String, Attribute>;

/// Everything that follows from one record. Kinds are added as recipes need them.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Effects {
    /// Items to put into the table.
    pub items: Vec<Item>,
    /// Metrics to add to, besides the recipe's processed and failed counts, which the handler keeps.
    pub counts: Vec<Count>,
}

/// A value for a CloudWatch metric in the recipe's namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Count {
    /// The metric's name.
    pub metric: &'static str,
    /// What to add.
    pub value: f64,
    /// The value's unit.
    pub unit: Unit,
}

/// A CloudWatch unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// How many.
    Count,
    /// Milliseconds.
    Milliseconds,
    /// Bytes.
    Bytes,
    /// A number without a unit.
    None,
}

impl Unit {
    /// Returns CloudWatch's name of the unit.
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Milliseconds => "Milliseconds",
            Self::Bytes => "Bytes",
            Self::None => "None",
        }
    }
}
