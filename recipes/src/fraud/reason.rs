//! Why an event is suspicious: the reason's name, its score, and the numbers that it was computed from.

use crate::decimal::Decimal;
use crate::json::push_text;
use crate::{Attribute, Item};

/// One reason.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reason {
    /// Also the value of the metric's dimension and of the notification's attribute.
    pub(super) name: &'static str,
    pub(super) score: i64,
    /// What it was computed from, and the limits that this exceeds; decimals in DynamoDB's form.
    computed_from: Vec<(&'static str, String)>,
}

impl Reason {
    pub(super) fn new(name: &'static str, score: i64) -> Self {
        Self { name, score, computed_from: Vec::new() }
    }

    /// Adds an exact number.
    pub(super) fn from(mut self, name: &'static str, number: &impl ToString) -> Self {
        self.computed_from.push((name, number.to_string()));
        self
    }

    /// Adds a measured number, with two digits behind the point.
    pub(super) fn about(self, name: &'static str, number: f64) -> Self {
        let canonical = Decimal::parse(&format!("{number:.2}")).map(|decimal| decimal.to_string());
        self.from(name, &canonical.unwrap_or_else(|_| "0".to_owned()))
    }

    pub(super) fn into_attribute(self) -> Attribute {
        let mut item = Item::from([
            ("reason", Attribute::S(self.name.to_owned())),
            ("score", Attribute::N(self.score.to_string())),
        ]);
        item.extend(self.computed_from.into_iter().map(|(name, number)| (name, Attribute::N(number))));
        Attribute::Map(item)
    }

    /// Appends it as a JSON object with plain numbers.
    pub(super) fn push_json(&self, json: &mut String) {
        json.push_str("{\"reason\":");
        push_text(json, self.name);
        let score = self.score.to_string();
        let numbers =
            [("score", &score)].into_iter().chain(self.computed_from.iter().map(|(name, text)| (*name, text)));
        for (name, number) in numbers {
            json.push(',');
            push_text(json, name);
            json.push(':');
            json.push_str(number);
        }
        json.push('}');
    }
}
