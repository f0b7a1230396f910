//! Mistakes in a request that several operations can have, in AWS's words.

use serde_json::Value;
use streamkit_wire::CallError;
use streamkit_wire::input::integer;

use super::service::invalid;

/// A member whose value breaks what the API model says of it.
pub(super) fn unsatisfied(member: &str, value: &str, constraint: &str) -> CallError {
    invalid(&format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must {constraint}"
    ))
}

/// How many to answer with at most, if the request says.
pub(super) fn limit(input: &Value, member: &str, most: usize) -> Result<Option<usize>, CallError> {
    let Some(asked) = integer(&input[member]) else { return Ok(None) };
    match usize::try_from(asked) {
        Ok(limit) if limit > most => {
            let constraint = format!("have value less than or equal to {most}");
            Err(unsatisfied(member, &asked.to_string(), &constraint))
        }
        Ok(limit) if limit > 0 => Ok(Some(limit)),
        _ => Err(unsatisfied(member, &asked.to_string(), "have value greater than or equal to 1")),
    }
}

pub(super) fn bad_token() -> CallError {
    invalid("The specified nextToken is invalid.")
}

/// Refuses a name of a group or stream that is too long.
pub(super) fn check_length(name: &str) -> Result<(), CallError> {
    const MOST: usize = 512;
    if name.chars().count() <= MOST {
        return Ok(());
    }
    Err(invalid("Invalid LogGroup or LogStream, both must have length less than or equal to 512."))
}
