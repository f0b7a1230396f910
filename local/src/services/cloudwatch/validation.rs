//! Mistakes in a request that several operations can have, in AWS's words.

use serde_json::Value;
use streamkit_wire::CallError;
use streamkit_wire::input::texts;

use super::service::invalid;

pub(super) fn validation_error(message: impl Into<String>) -> CallError {
    CallError::bad("ValidationError", message)
}

/// A member whose value breaks what the API model says of it; `member` is named as in the model, in lower camel case.
pub(super) fn unsatisfied(member: &str, value: &str, constraint: &str) -> CallError {
    validation_error(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must {constraint}"
    ))
}

/// Refuses a value that is none of an enumeration's.
pub(super) fn one_of(member: &str, value: &str, known: &[&str]) -> Result<(), CallError> {
    if known.contains(&value) {
        return Ok(());
    }
    Err(unsatisfied(member, value, &format!("satisfy enum value set: [{}]", known.join(", "))))
}

/// Refuses a text that is too long.
pub(super) fn no_longer_than(member: &str, value: &str, most: usize) -> Result<(), CallError> {
    if value.chars().count() <= most {
        return Ok(());
    }
    Err(unsatisfied(member, value, &format!("have length less than or equal to {most}")))
}

pub(super) fn exclusive(one: &str, other: &str) -> CallError {
    CallError::bad(
        "InvalidParameterCombination",
        format!("The parameters {one} and {other} are mutually exclusive and you have specified both."),
    )
}

/// Refuses a collection with too many elements.
pub(super) fn no_more_than(name: &str, items: &[Value], most: usize) -> Result<(), CallError> {
    if items.len() <= most {
        return Ok(());
    }
    Err(invalid(format!("The collection {name} must not have a size greater than {most}.")))
}

/// The names that an operation on alarms is given; at most a hundred.
pub(super) fn alarm_names(input: &Value) -> Result<Vec<String>, CallError> {
    const MOST: usize = 100;
    let names = texts(&input["AlarmNames"]);
    if names.len() > MOST {
        return Err(unsatisfied(
            "alarmNames",
            &format!("[{}]", names.join(", ")),
            &format!("have length less than or equal to {MOST}"),
        ));
    }
    Ok(names)
}
