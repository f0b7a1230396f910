//! Reading a pattern, and saying what is wrong with it and where.

use serde_json::{Map, Value};

use super::condition::{Condition, Part, Range, TextTest};
use super::pattern::{Fields, Rule};

/// What stands in a list of conditions instead of a field name.
const OPERATORS: [&str; 7] = ["exists", "prefix", "suffix", "equals-ignore-case", "anything-but", "numeric", "cidr"];

pub(super) fn pattern(text: &str) -> Result<Fields, String> {
    let pattern: Value = serde_json::from_str(text).map_err(|error| format!("not valid JSON: {error}"))?;
    match &pattern {
        Value::Object(members) => fields(members, ""),
        _ => Err("Filter is not an object".into()),
    }
}

fn fields(members: &Map<String, Value>, path: &str) -> Result<Fields, String> {
    if members.is_empty() {
        return Err(at("Empty objects are not allowed", path));
    }
    let mut fields = Fields::default();
    for (name, rule) in members {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match rule {
            Value::Object(members) => fields.all.push((name.clone(), Rule::Object(self::fields(members, &path)?))),
            Value::Array(choices) if name == "$or" && are_choices(choices) => {
                let choices = choices.iter().filter_map(Value::as_object);
                fields.any.push(choices.map(|members| self::fields(members, &path)).collect::<Result<_, _>>()?);
            }
            Value::Array(conditions) if conditions.is_empty() => {
                return Err(at("Empty arrays are not allowed", &path));
            }
            Value::Array(conditions) => {
                let conditions = conditions.iter().map(|given| condition(given).map_err(|text| at(&text, &path)));
                fields.all.push((name.clone(), Rule::Value(conditions.collect::<Result<_, _>>()?)));
            }
            _ => return Err(at(&format!("\"{name}\" must be an object or an array"), &path)),
        }
    }
    Ok(fields)
}

/// `$or` is an operator if it has several patterns; otherwise it is a field like any other.
fn are_choices(choices: &[Value]) -> bool {
    choices.len() > 1
        && choices.iter().all(|choice| {
            let names = choice.as_object();
            names.is_some_and(|members| !members.keys().any(|name| OPERATORS.contains(&name.as_str())))
        })
}

fn at(text: &str, path: &str) -> String {
    if path.is_empty() { text.to_owned() } else { format!("{text} (at {path})") }
}

fn condition(given: &Value) -> Result<Condition, String> {
    let operator = match given {
        Value::Object(operator) => operator,
        Value::Array(_) => return Err("Match value must be String, number, true, false, or null".into()),
        value => return Ok(Condition::Equals(value.clone())),
    };
    let (name, operand) = only_member(operator)?;
    match name {
        "exists" => match operand {
            Value::Bool(wanted) => Ok(Condition::Exists(*wanted)),
            _ => Err("exists match pattern must be either true or false.".into()),
        },
        "anything-but" => anything_but(operand),
        "numeric" => match operand {
            Value::Array(terms) => range(terms),
            _ => Err("Value of numeric must be an array.".into()),
        },
        "cidr" => match operand.as_str().map(str::parse) {
            Some(Ok(net)) => Ok(Condition::Address(net)),
            Some(Err(_)) => Err(format!("Malformed CIDR: {}", operand.as_str().unwrap_or_default())),
            None => Err("cidr match pattern must be a string".into()),
        },
        _ => text_test(name, operand).map(Condition::Text),
    }
}

fn only_member(members: &Map<String, Value>) -> Result<(&str, &Value), String> {
    let mut each = members.iter();
    match (each.next(), each.next()) {
        (Some((name, value)), None) => Ok((name, value)),
        (None, _) => Err("Empty objects are not allowed".into()),
        _ => Err("Only one key allowed in match expression".into()),
    }
}

fn text_test(name: &str, operand: &Value) -> Result<TextTest, String> {
    let part = match name {
        "prefix" => Part::Start,
        "suffix" => Part::End,
        "equals-ignore-case" => Part::Whole,
        other => return Err(format!("Unrecognized match type {other}")),
    };
    let whole = part == Part::Whole;
    match operand {
        Value::String(text) => Ok(TextTest { part, text: text.clone(), ignore_case: whole }),
        Value::Object(nested) if !whole => match only_member(nested)? {
            ("equals-ignore-case", Value::String(text)) => Ok(TextTest { part, text: text.clone(), ignore_case: true }),
            ("equals-ignore-case", _) => Err("equals-ignore-case match pattern must be a string".into()),
            (other, _) => Err(format!("Unsupported {name} pattern: {other}")),
        },
        _ => Err(format!("{name} match pattern must be a string")),
    }
}

fn anything_but(operand: &Value) -> Result<Condition, String> {
    match operand {
        Value::String(_) | Value::Number(_) => Ok(Condition::AnythingBut(vec![operand.clone()])),
        Value::Array(values) if values.is_empty() => Err("Empty arrays are not allowed".into()),
        Value::Array(values) if values.iter().all(Value::is_string) || values.iter().all(Value::is_number) => {
            Ok(Condition::AnythingBut(values.clone()))
        }
        Value::Array(_) => {
            Err("Inside anything but list, either all values are number or string, mixed type is not supported".into())
        }
        Value::Object(nested) => {
            let (name, operand) = only_member(nested)?;
            let tests = match operand {
                Value::Array(texts) if texts.is_empty() => return Err("Empty arrays are not allowed".into()),
                Value::Array(texts) => texts.iter().map(|text| text_test(name, text)).collect::<Result<_, _>>()?,
                operand => vec![text_test(name, operand)?],
            };
            Ok(Condition::AnythingButText(tests))
        }
        _ => Err("Value of anything-but must be an array or single string/number value.".into()),
    }
}

/// `["=", n]`, `["<", n]`, `[">=", n]`, `[">", low, "<=", high]` and so on: the lower bound comes first.
fn range(terms: &[Value]) -> Result<Condition, String> {
    let mut bounds = Vec::new();
    for term in terms.chunks(2) {
        let Some(operator) = term[0].as_str() else {
            return Err(format!("Invalid member in numeric match: {}", term[0]));
        };
        if !["=", "<", "<=", ">", ">="].contains(&operator) {
            return Err(format!("Unrecognized numeric range operator: {operator}"));
        }
        let bound = term.get(1).and_then(Value::as_f64);
        bounds.push((operator, bound.ok_or_else(|| format!("Value of {operator} must be numeric"))?));
    }
    let (above, below) = match *bounds {
        [] => return Err("Invalid member in numeric match: ]".into()),
        [("=", number)] => (Some((number, true)), Some((number, true))),
        [(operator @ ("<" | "<="), number)] => (None, Some((number, operator == "<="))),
        [(operator, number)] => (Some((number, operator == ">=")), None),
        [(lower @ (">" | ">="), low), (upper @ ("<" | "<="), high)] => {
            if low >= high {
                return Err("Bottom must be less than top".into());
            }
            (Some((low, lower == ">=")), Some((high, upper == "<=")))
        }
        [(">" | ">=", _), (operator, _)] => return Err(format!("Bad numeric range operator: {operator}")),
        _ => return Err("Too many elements in numeric expression".into()),
    };
    Ok(Condition::Range(Range { above, below }))
}
