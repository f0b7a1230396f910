//! Filter patterns over log messages: terms, `{ $.field = value }` over JSON, and `[field, field = value]` over words.

use serde_json::Value;
use streamkit_wire::CallError;

use super::condition::{Expression, selected};
use super::pattern_parser;

/// A parsed filter pattern.
#[derive(Debug)]
pub(super) enum Pattern {
    /// All of these, at least one of those (when there are any), none of the last.
    Terms { all: Vec<String>, any: Vec<String>, none: Vec<String> },
    /// A condition on JSON.
    Json(Expression),
    /// A name for each word of the message; `None` stands for any number of words.
    Words(Vec<Option<Word>>),
}

/// A word's name, and what it must be.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) name: String,
    pub(super) condition: Option<Expression>,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, CallError> {
        const MAX_LENGTH: usize = 1_024;
        /// Of parentheses: the parser calls itself for each.
        const MAX_DEPTH: usize = 50;
        if text.len() > MAX_LENGTH || text.matches('(').count() > MAX_DEPTH {
            return Err(bad_pattern());
        }
        pattern_parser::pattern(text).ok_or_else(bad_pattern)
    }

    pub(super) fn matches(&self, message: &str) -> bool {
        match self {
            Self::Terms { all, any, none } => {
                let has = |term: &String| message.contains(term.as_str());
                all.iter().all(has) && (any.is_empty() || any.iter().any(has)) && !none.iter().any(has)
            }
            Self::Json(expression) => {
                serde_json::from_str(message).is_ok_and(|tree: Value| expression.holds(&|steps| selected(&tree, steps)))
            }
            Self::Words(pattern) => assigned(pattern, message).is_some_and(|words| {
                words.iter().all(|(word, value)| {
                    let tree = Value::from(*value);
                    word.condition.as_ref().is_none_or(|condition| condition.holds(&|_| vec![&tree]))
                })
            }),
        }
    }

    /// The part of a matching message that `$.field` (JSON) or `$word` (words) names.
    pub(super) fn value_of(&self, message: &str, selector: &str) -> Option<String> {
        match self {
            Self::Terms { .. } => None,
            Self::Json(_) => {
                let tree: Value = serde_json::from_str(message).ok()?;
                let steps = pattern_parser::selector(selector)?;
                let found = selected(&tree, &steps).first().copied()?;
                Some(found.as_str().map_or_else(|| found.to_string(), str::to_owned))
            }
            Self::Words(pattern) => {
                let name = selector.strip_prefix('$')?;
                let words = assigned(pattern, message)?;
                words.into_iter().find(|(word, _)| word.name == name).map(|(_, value)| value.to_owned())
            }
        }
    }
}

/// Which word of the message each word of the pattern is; none when there are too many or too few.
fn assigned<'a>(pattern: &'a [Option<Word>], message: &'a str) -> Option<Vec<(&'a Word, &'a str)>> {
    let words = pattern_parser::words_of(message);
    let (before, after) = match pattern.iter().position(Option::is_none) {
        Some(gap) => (&pattern[..gap], &pattern[gap + 1..]),
        None if pattern.len() == words.len() => (pattern, &[][..]),
        None => return None,
    };
    let last = words.len().checked_sub(after.len()).filter(|last| *last >= before.len())?;
    let pairs = before.iter().zip(&words).chain(after.iter().zip(&words[last..]));
    Some(pairs.filter_map(|(word, value)| Some((word.as_ref()?, *value))).collect())
}

/// What a malformed filter pattern is answered with.
fn bad_pattern() -> CallError {
    CallError::bad("InvalidParameterException", "Invalid filter pattern")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::Pattern;

    fn pieces() -> impl Strategy<Value = String> {
        let pieces: &[&str] = &[
            "{",
            "}",
            "[",
            "]",
            "(",
            ")",
            "$",
            ".a",
            "[0]",
            "[*]",
            "[99999999999999999999]",
            "*",
            "\"",
            "\\",
            "=",
            "!=",
            ">=",
            "<",
            "&&",
            "||",
            "IS",
            "NULL",
            "TRUE",
            "NOT EXISTS",
            "?",
            "-",
            ",",
            "...",
            "1e999",
            "a",
            " ",
            "é",
            "%",
        ];
        prop::collection::vec(prop::sample::select(pieces), 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn any_text_is_a_pattern_or_none(text in prop_oneof![".{0,200}", pieces()], message in prop_oneof![".{0,100}", pieces()]) {
            if let Ok(pattern) = Pattern::parse(&text) {
                let _ = (pattern.value_of(&message, "$a"), pattern.value_of(&message, &text));
                // White space around a pattern means nothing.
                let again = Pattern::parse(&format!(" {text} "));
                prop_assert!(again.is_ok_and(|again| again.matches(&message) == pattern.matches(&message)), "{}", text);
            }
        }
    }

    #[test]
    fn patterns_of_any_size_take_no_time() {
        let began = Instant::now();
        let json = format!("{}{}", "[".repeat(100), "]".repeat(100));
        let long = "a ".repeat(100_000);
        for text in [
            format!("{{ {}$.a = 1 }}", "(".repeat(1_000_000)),
            format!("{{ {}$.a = 1{} }}", "(".repeat(50), ")".repeat(50)),
            format!("{{ $.a = \"{}b\" }}", "a*".repeat(400)),
            format!("{{ ${} = 1 }}", "[*]".repeat(300)),
            format!("[{}]", "a,".repeat(500)),
        ] {
            if let Ok(pattern) = Pattern::parse(&text) {
                let value = format!("{{\"a\":\"{}\"}}", "a".repeat(200_000));
                for message in [&json, &long, &value] {
                    assert!(!pattern.matches(message), "{text}");
                }
            }
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }

    fn matches(pattern: &str, message: &str) -> bool {
        Pattern::parse(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).matches(message)
    }

    #[test]
    fn pattern_terms_match_all_any_and_none() {
        assert!(matches("", "anything"));
        assert!(matches("\"not JSON\"", "record is not JSON"));
        assert!(!matches("\"not JSON\"", "JSON is not here"));
        assert!(matches("JSON not", "record is not JSON"));
        assert!(matches("?ERROR ?WARN", "a WARN line"));
        assert!(!matches("ERROR -timeout", "ERROR: timeout"));
        assert!(matches(r#""a \"b\" c""#, r#"so: a "b" c"#));
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
    fn pattern_operators_inside_quotes_are_text() {
        let message = r#"{"rule":"a || b && (c)","n":1}"#;
        assert!(matches(r#"{ $.rule = "a || b && (c)" }"#, message));
        assert!(matches(r#"{ $.rule = "x && y" || $.n = 1 }"#, message));
    }

    #[test]
    fn pattern_parentheses_bind_first() {
        let message = r#"{"a":1,"b":2,"c":3}"#;
        assert!(matches("{ $.a = 1 || $.b = 9 && $.c = 9 }", message));
        assert!(!matches("{ ($.a = 1 || $.b = 9) && $.c = 9 }", message));
        assert!(matches("{ (($.a = 9) || ($.b = 2)) && ($.c >= 3) }", message));
    }

    #[test]
    fn pattern_selects_from_arrays_and_by_quoted_names() {
        let message = r#"{"items":[{"id":1},{"id":2}],"a.b":{"c":null},"on":true,"codes":[4,5]}"#;
        assert!(matches("{ $.items[1].id = 2 }", message));
        assert!(!matches("{ $.items[0].id = 2 }", message));
        assert!(matches("{ $.items[*].id = 2 }", message));
        assert!(matches("{ $.codes[*] > 4 }", message));
        assert!(matches("{ $['a.b'].c IS NULL && $.on IS TRUE && $.none NOT EXISTS }", message));
        assert!(!matches("{ $.items[7].id = 2 }", message));
    }

    #[test]
    fn pattern_wildcards_match_text_and_numbers() {
        let message = r#"{"ip":"10.0.12.9","status":404}"#;
        assert!(matches("{ $.ip = 10.*.9 && $.status = 4* }", message));
        assert!(!matches("{ $.ip = 11.* }", message));
        assert!(matches("{ $.ip != 11.* }", message));
    }

    #[test]
    fn pattern_names_the_words_of_a_line() {
        let line = r#"127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534"#;
        assert!(matches("[ip, id, user, time, request, status = 4*, bytes > 1000]", line));
        assert!(!matches("[ip, id, user, time, request, status = 5*, bytes]", line));
        assert!(matches("[..., request = \"*index*\", status = 404 || status = 410, bytes]", line));
        assert!(!matches("[ip, user]", line), "the number of words differs");
        let pattern = Pattern::parse("[..., status, bytes]").expect("a pattern");
        assert_eq!(pattern.value_of(line, "$bytes").as_deref(), Some("1534"));
        let pattern = Pattern::parse("{ $.ms = * }").expect("a pattern");
        assert_eq!(pattern.value_of(r#"{"ms":12.5}"#, "$.ms").as_deref(), Some("12.5"));
    }

    #[test]
    fn malformed_patterns_are_refused() {
        let deep = format!("{{ {}$.a = 1{} }}", "(".repeat(400), ")".repeat(400));
        for pattern in ["\"open", "{ $.a = }", "{ $.a = 1", "{ $.a = 1 && }", "{ ($.a = 1 }", "{ a = 1 }", "[a", &deep]
        {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
