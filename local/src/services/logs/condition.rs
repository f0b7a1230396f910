//! What a filter pattern asks of a value: comparisons, joined by and and or.

use serde_json::Value;

#[derive(Debug)]
pub(super) enum Expression {
    Any(Vec<Self>),
    All(Vec<Self>),
    One(Vec<Step>, Test),
}

/// One step from a JSON value to a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Name(String),
    Index(usize),
    /// All elements of an array.
    Each,
}

#[derive(Debug)]
pub(super) enum Test {
    NotExists,
    /// `null`, `true` or `false`.
    Is(Value),
    Compare(Operator, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Expression {
    /// `found` gives what a selector selects.
    pub(super) fn holds<'a>(&self, found: &impl Fn(&[Step]) -> Vec<&'a Value>) -> bool {
        match self {
            Self::Any(parts) => parts.iter().any(|part| part.holds(found)),
            Self::All(parts) => parts.iter().all(|part| part.holds(found)),
            Self::One(selector, test) => {
                let values = found(selector);
                match test {
                    Test::NotExists => values.is_empty(),
                    Test::Is(wanted) => values.contains(&wanted),
                    Test::Compare(operator, operand) => values.iter().any(|value| compares(value, *operator, operand)),
                }
            }
        }
    }
}

pub(super) fn selected<'a>(tree: &'a Value, steps: &[Step]) -> Vec<&'a Value> {
    steps.iter().fold(vec![tree], |found, step| {
        found
            .into_iter()
            .flat_map(|value| match step {
                Step::Name(name) => value.get(name).into_iter().collect(),
                Step::Index(index) => value.get(index).into_iter().collect(),
                Step::Each => value.as_array().map(|items| items.iter().collect::<Vec<_>>()).unwrap_or_default(),
            })
            .collect()
    })
}

fn compares(value: &Value, operator: Operator, operand: &str) -> bool {
    match operator {
        Operator::Equal => equals(value, operand),
        Operator::NotEqual => !equals(value, operand),
        ordering => {
            let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
            number.zip(operand.parse::<f64>().ok()).is_some_and(|(number, bound)| match ordering {
                Operator::Less => number < bound,
                Operator::LessOrEqual => number <= bound,
                Operator::Greater => number > bound,
                _ => number >= bound,
            })
        }
    }
}

fn equals(value: &Value, operand: &str) -> bool {
    match value {
        Value::String(text) => wildcard(operand, text),
        Value::Number(number) => {
            let same = number.as_f64().zip(operand.parse().ok());
            same.is_some_and(|(one, other): (f64, f64)| (one - other).abs() < f64::EPSILON)
                || (operand.contains('*') && wildcard(operand, &number.to_string()))
        }
        Value::Null => operand == "null",
        Value::Bool(flag) => operand.parse() == Ok(*flag),
        Value::Array(_) | Value::Object(_) => false,
    }
}

/// Whether a text is as a pattern says, in which `*` is anything.
fn wildcard(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(text) = text.strip_prefix(start).and_then(|text| text.strip_suffix(end)) else { return false };
    let mut left = Some(text);
    for part in middle.split('*') {
        left = left.and_then(|left| Some(left.split_once(part)?.1));
    }
    left.is_some()
}
