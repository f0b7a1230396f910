//! Compiled patterns, and whether an event passes one.

use serde_json::Value;

use super::condition::Condition;
use super::parse;

/// Says what is wrong with an event pattern, in the words of AWS.
///
/// # Errors
/// The text is no pattern that a mapping or a subscription takes.
pub fn check_pattern(text: &str) -> Result<(), String> {
    EventPattern::parse(text).map(drop)
}

/// Whether an event pattern lets an event through.
///
/// # Errors
/// The pattern is none that a mapping or a subscription takes.
pub fn pattern_matches(pattern: &Value, event: &Value) -> Result<bool, String> {
    EventPattern::parse(&pattern.to_string()).map(|pattern| pattern.matches(event))
}

/// A compiled event pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct EventPattern(Fields);

/// Conditions on the fields of one object.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Fields {
    /// All of them must hold.
    pub(super) all: Vec<(String, Rule)>,
    /// Of each of these (`$or`) at least one must hold.
    pub(super) any: Vec<Vec<Fields>>,
}

/// What one field must be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rule {
    /// A value for which one of the conditions holds.
    Value(Vec<Condition>),
    /// An object with such fields.
    Object(Fields),
}

impl EventPattern {
    /// Reads a pattern. The error is in the words of AWS, and says at which field.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse::pattern(text).map(Self)
    }

    /// Whether an event is let through.
    pub fn matches(&self, event: &Value) -> bool {
        elements(event).iter().any(|event| hold(&self.0, event, event, &mut Vec::new()))
    }

    /// What SNS has limits for.
    pub fn size(&self) -> PatternSize {
        size(&self.0, 1)
    }
}

/// How big a pattern is, as SNS counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatternSize {
    /// Fields that have conditions.
    pub fields: usize,
    /// The numbers of conditions of all fields, each times its depth, multiplied.
    pub combinations: usize,
    /// Depth of the deepest field; 1 without nesting.
    pub depth: usize,
}

pub(super) fn size(fields: &Fields, depth: usize) -> PatternSize {
    let mut whole = PatternSize { fields: 0, combinations: 1, depth };
    let mut add = |part: PatternSize| {
        whole.fields += part.fields;
        whole.combinations = whole.combinations.saturating_mul(part.combinations);
        whole.depth = whole.depth.max(part.depth);
    };
    for (_, rule) in &fields.all {
        add(match rule {
            Rule::Value(conditions) => PatternSize { fields: 1, combinations: conditions.len() * depth, depth },
            Rule::Object(fields) => size(fields, depth + 1),
        });
    }
    for choices in &fields.any {
        // Of alternatives only one is ever met: their combinations add up, and the biggest counts for the fields.
        let sizes = choices.iter().map(|choice| size(choice, depth));
        let sum = sizes.reduce(|one, other| PatternSize {
            fields: one.fields.max(other.fields),
            combinations: one.combinations.saturating_add(other.combinations),
            depth: one.depth.max(other.depth),
        });
        sum.into_iter().for_each(&mut add);
    }
    whole
}

/// Whether the conditions hold for this object, which is at this path of the event.
fn hold<'a>(fields: &'a Fields, object: &Value, event: &Value, path: &mut Vec<&'a str>) -> bool {
    let mut all = fields.all.iter();
    let mut any = fields.any.iter();
    all.all(|(name, rule)| {
        path.push(name);
        let holds = rule_holds(rule, object.get(name), event, path);
        path.pop();
        holds
    }) && any.all(|choices| choices.iter().any(|choice| hold(choice, object, event, path)))
}

fn rule_holds<'a>(rule: &'a Rule, value: Option<&Value>, event: &Value, path: &mut Vec<&'a str>) -> bool {
    let elements = value.map(elements).unwrap_or_default();
    match rule {
        Rule::Value(conditions) => conditions.iter().any(|condition| match condition {
            // Absence is looked for in the whole event: in an array of objects none may have the field.
            Condition::Exists(false) => !has_value(event, path),
            Condition::Exists(true) => elements.iter().any(|value| !value.is_object()),
            _ => elements.iter().any(|value| condition.holds(value)),
        }),
        // A field that is no object has none of the fields, which is what `exists: false` asks for.
        Rule::Object(fields) if !elements.iter().any(|value| value.is_object()) => {
            hold(fields, &Value::Null, event, path)
        }
        Rule::Object(fields) => {
            elements.iter().filter(|value| value.is_object()).any(|object| hold(fields, object, event, path))
        }
    }
}

/// The elements of an array, of arrays in it too; any other value by itself.
pub(super) fn elements(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().flat_map(elements).collect(),
        other => vec![other],
    }
}

/// Whether anything but objects is to be found at this path.
fn has_value(value: &Value, path: &[&str]) -> bool {
    elements(value).iter().any(|value| match path.split_first() {
        None => !value.is_object(),
        Some((name, rest)) => value.get(name).is_some_and(|value| has_value(value, rest)),
    })
}
