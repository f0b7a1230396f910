//! Filter patterns over log messages: terms, quoted phrases, `?any`, `-not`, and `{ $.field = value }` over JSON.

use serde_json::Value;
use streamkit_wire::CallError;

/// A parsed filter pattern.
pub(super) enum Pattern {
    /// All of these, at least one of those (when there are any), none of the last.
    Terms { all: Vec<String>, any: Vec<String>, none: Vec<String> },
    /// Alternatives of conditions that must hold together.
    Json(Vec<Vec<Condition>>),
}

pub(super) struct Condition {
    path: Vec<String>,
    operator: String,
    value: String,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, CallError> {
        let trimmed = text.trim();
        if let Some(inner) = trimmed.strip_prefix('{') {
            let inner = inner.strip_suffix('}').ok_or_else(|| bad_pattern(text))?;
            let alternatives = inner
                .split("||")
                .map(|part| {
                    part.split("&&").map(|one| Condition::parse(one).ok_or_else(|| bad_pattern(text))).collect()
                })
                .collect::<Result<_, _>>()?;
            return Ok(Self::Json(alternatives));
        }
        let (mut all, mut any, mut none) = (Vec::new(), Vec::new(), Vec::new());
        let mut rest = trimmed;
        while !rest.is_empty() {
            let (kind, after) = match rest.as_bytes()[0] {
                b'?' => (&mut any, &rest[1..]),
                b'-' => (&mut none, &rest[1..]),
                _ => (&mut all, rest),
            };
            let (term, after) = if let Some(quoted) = after.strip_prefix('"') {
                quoted.split_once('"').ok_or_else(|| bad_pattern(text))?
            } else {
                after.split_once(char::is_whitespace).unwrap_or((after, ""))
            };
            kind.push(term.to_owned());
            rest = after.trim_start();
        }
        Ok(Self::Terms { all, any, none })
    }

    pub(super) fn matches(&self, message: &str) -> bool {
        match self {
            Self::Terms { all, any, none } => {
                all.iter().all(|term| message.contains(term.as_str()))
                    && (any.is_empty() || any.iter().any(|term| message.contains(term.as_str())))
                    && !none.iter().any(|term| message.contains(term.as_str()))
            }
            Self::Json(alternatives) => serde_json::from_str(message).is_ok_and(|tree: Value| {
                alternatives.iter().any(|conditions| conditions.iter().all(|condition| condition.holds(&tree)))
            }),
        }
    }
}

impl Condition {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches('(').trim_end_matches(')').trim();
        let rest = text.strip_prefix("$.")?;
        let end = rest.find(|letter: char| letter.is_whitespace() || "=!<>".contains(letter)).unwrap_or(rest.len());
        let (path, rest) = rest.split_at(end);
        let rest = rest.trim();
        let operator =
            ["!=", ">=", "<=", "=", ">", "<", "IS", "NOT EXISTS"].into_iter().find(|it| rest.starts_with(it))?;
        Some(Self {
            path: path.split('.').map(str::to_owned).collect(),
            operator: operator.to_owned(),
            value: rest[operator.len()..].trim().trim_matches('"').to_owned(),
        })
    }

    fn holds(&self, tree: &Value) -> bool {
        let found = self.path.iter().try_fold(tree, |level, name| level.get(name));
        let Some(found) = found else { return self.operator == "NOT EXISTS" };
        match self.operator.as_str() {
            "NOT EXISTS" => false,
            "IS" => found.to_string().eq_ignore_ascii_case(&self.value),
            "=" => self.equals(found),
            "!=" => !self.equals(found),
            operator => match (found.as_f64(), self.value.parse::<f64>()) {
                (Some(number), Ok(bound)) => match operator {
                    ">" => number > bound,
                    ">=" => number >= bound,
                    "<" => number < bound,
                    _ => number <= bound,
                },
                _ => false,
            },
        }
    }

    fn equals(&self, found: &Value) -> bool {
        match found {
            Value::String(text) => match self.value.split_once('*') {
                Some((prefix, suffix)) => text.starts_with(prefix) && text.ends_with(suffix),
                None => *text == self.value,
            },
            Value::Number(number) => number
                .as_f64()
                .zip(self.value.parse().ok())
                .is_some_and(|(one, other): (f64, f64)| (one - other).abs() < f64::EPSILON),
            Value::Bool(flag) => self.value.parse() == Ok(*flag),
            _ => self.value == "null" && found.is_null(),
        }
    }
}

/// What a malformed filter pattern is answered with.
fn bad_pattern(pattern: &str) -> CallError {
    CallError::bad("InvalidParameterException", format!("Invalid filter pattern: {pattern}"))
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    fn matches(pattern: &str, message: &str) -> bool {
        Pattern::parse(pattern).expect("a valid pattern").matches(message)
    }

    #[test]
    fn pattern_terms_match_all_any_and_none() {
        assert!(matches("", "anything"));
        assert!(matches("\"not JSON\"", "record is not JSON"));
        assert!(!matches("\"not JSON\"", "JSON is not here"));
        assert!(matches("JSON not", "record is not JSON"));
        assert!(matches("?ERROR ?WARN", "a WARN line"));
        assert!(!matches("ERROR -timeout", "ERROR: timeout"));
    }

    #[test]
    fn pattern_json_compares_fields() {
        let message = r#"{"outcome":"dead","count":3,"at":{"shard":"0"}}"#;
        assert!(matches("{ $.outcome = \"dead\" && $.count > 2 }", message));
        assert!(matches("{ $.outcome = \"alive\" || $.at.shard = \"0\" }", message));
        assert!(!matches("{ $.missing = 1 }", message));
        assert!(!matches("{ $.count < 3 }", "not JSON"));
    }

    #[test]
    fn pattern_with_an_open_quote_is_refused() {
        assert!(Pattern::parse("\"open").is_err());
    }
}
