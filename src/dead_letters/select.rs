//! Which of the failed records are meant: `code = "missing_field" and payload.amount > 100`.

use jiff::Timestamp;
use serde_json::Value;

use crate::spec::Seconds;

/// What a selection can ask of a record.
#[derive(Debug, Default)]
pub(crate) struct Facts<'a> {
    /// `letter`, `on_failure` or `other`.
    pub(crate) kind: &'a str,
    pub(crate) code: &'a str,
    pub(crate) message: &'a str,
    /// The function's names, in the spec and in AWS.
    pub(crate) function: [&'a str; 2],
    pub(crate) stream: &'a str,
    pub(crate) shard: &'a str,
    pub(crate) sequence: &'a str,
    pub(crate) event_id: &'a str,
    /// None where it has to be read first.
    pub(crate) key: Option<&'a str>,
    pub(crate) payload: Option<&'a Value>,
    /// When it failed, in milliseconds since the epoch.
    pub(crate) failed_ms: i64,
    pub(crate) now_ms: i64,
}

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Selection {
    And(Vec<Selection>),
    Or(Vec<Selection>),
    Not(Box<Selection>),
    Compare { field: Field, operator: Operator, value: Operand },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Field {
    Kind,
    Code,
    Message,
    Function,
    Stream,
    Shard,
    Sequence,
    EventId,
    Key,
    /// When it failed.
    Time,
    /// How long ago it failed.
    Age,
    /// A path in the payload.
    Payload(Vec<String>),
}

const FIELDS: [(&str, Field); 11] = [
    ("kind", Field::Kind),
    ("code", Field::Code),
    ("message", Field::Message),
    ("function", Field::Function),
    ("stream", Field::Stream),
    ("shard", Field::Shard),
    ("sequence", Field::Sequence),
    ("event_id", Field::EventId),
    ("key", Field::Key),
    ("time", Field::Time),
    ("age", Field::Age),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
}

/// The longer ones first.
const OPERATORS: [(&str, Operator); 8] = [
    ("!=", Operator::Unequal),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("==", Operator::Equal),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("~", Operator::Contains),
];

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Text(String),
    Number(f64),
    Bool(bool),
    Null,
    /// Milliseconds since the epoch, or of an age.
    Millis(i64),
}

impl Selection {
    /// Reads a condition.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { tokens: tokens(text)?, at: 0 };
        let selection = parser.any()?;
        match parser.tokens.get(parser.at) {
            None => Ok(selection),
            Some(token) => Err(format!("`{}` is one too many: put `and` or `or` between conditions", token.text())),
        }
    }

    /// Whether it asks for what only the record itself tells: its key or its payload.
    pub(crate) fn needs_record(&self) -> bool {
        match self {
            Self::And(all) | Self::Or(all) => all.iter().any(Self::needs_record),
            Self::Not(one) => one.needs_record(),
            Self::Compare { field, .. } => matches!(field, Field::Key | Field::Payload(_)),
        }
    }

    /// Whether the record is meant. What is not known yet counts as meant.
    pub(crate) fn includes(&self, facts: &Facts<'_>) -> bool {
        self.decide(facts).unwrap_or(true)
    }

    /// `None` where that takes what is not known yet.
    fn decide(&self, facts: &Facts<'_>) -> Option<bool> {
        match self {
            Self::And(all) => {
                let decided: Vec<_> = all.iter().map(|one| one.decide(facts)).collect();
                if decided.contains(&Some(false)) {
                    return Some(false);
                }
                decided.iter().all(|one| *one == Some(true)).then_some(true)
            }
            Self::Or(all) => {
                let decided: Vec<_> = all.iter().map(|one| one.decide(facts)).collect();
                if decided.contains(&Some(true)) {
                    return Some(true);
                }
                decided.iter().all(|one| *one == Some(false)).then_some(false)
            }
            Self::Not(one) => one.decide(facts).map(|decided| !decided),
            Self::Compare { field, operator, value } => field.compare(*operator, value, facts),
        }
    }
}

impl Field {
    fn compare(&self, operator: Operator, wanted: &Operand, facts: &Facts<'_>) -> Option<bool> {
        let text = |text: &str| compare_text(text, operator, wanted);
        Some(match self {
            Self::Kind => text(facts.kind),
            Self::Code => text(facts.code),
            Self::Message => text(facts.message),
            Self::Stream => text(facts.stream),
            Self::Shard => text(facts.shard),
            Self::Sequence => text(facts.sequence),
            Self::EventId => text(facts.event_id),
            Self::Key => text(facts.key?),
            // Either name will do; `!=` means neither.
            Self::Function if operator == Operator::Unequal => facts.function.into_iter().all(text),
            Self::Function => facts.function.into_iter().any(text),
            Self::Time => compare_millis(facts.failed_ms, operator, wanted),
            Self::Age => compare_millis(facts.now_ms - facts.failed_ms, operator, wanted),
            Self::Payload(path) => {
                let mut value = facts.payload?;
                for name in path {
                    value = match value {
                        Value::Array(list) => name.parse::<usize>().ok().and_then(|at| list.get(at)),
                        value => value.get(name),
                    }
                    .unwrap_or(&Value::Null);
                }
                compare_value(value, operator, wanted)
            }
        })
    }
}

fn ordered(order: Option<std::cmp::Ordering>, operator: Operator) -> bool {
    let Some(order) = order else { return operator == Operator::Unequal };
    match operator {
        Operator::Equal => order.is_eq(),
        Operator::Unequal => order.is_ne(),
        Operator::Less => order.is_lt(),
        Operator::LessOrEqual => order.is_le(),
        Operator::Greater => order.is_gt(),
        Operator::GreaterOrEqual => order.is_ge(),
        Operator::Contains => false,
    }
}

fn compare_text(text: &str, operator: Operator, wanted: &Operand) -> bool {
    let number;
    let wanted = match wanted {
        Operand::Text(wanted) => wanted.as_str(),
        Operand::Number(wanted) => {
            number = wanted.to_string();
            &number
        }
        _ => return operator == Operator::Unequal,
    };
    if operator == Operator::Contains { text.contains(wanted) } else { ordered(Some(text.cmp(wanted)), operator) }
}

fn compare_millis(ms: i64, operator: Operator, wanted: &Operand) -> bool {
    let Operand::Millis(wanted) = wanted else { return false };
    ordered(Some(ms.cmp(wanted)), operator)
}

fn compare_value(value: &Value, operator: Operator, wanted: &Operand) -> bool {
    match (value, wanted) {
        // A number that came as text is one all the same; other text is neither more nor less than a number.
        (Value::String(text), Operand::Number(wanted)) if operator != Operator::Contains => {
            ordered(text.parse().ok().and_then(|number: f64| number.partial_cmp(wanted)), operator)
        }
        (Value::String(text), _) => compare_text(text, operator, wanted),
        (Value::Number(number), Operand::Number(wanted)) => {
            ordered(number.as_f64().and_then(|number| number.partial_cmp(wanted)), operator)
        }
        (Value::Bool(bool), Operand::Bool(wanted)) => ordered(Some(bool.cmp(wanted)), operator),
        (Value::Null, Operand::Null) => ordered(Some(std::cmp::Ordering::Equal), operator),
        (Value::Array(list), _) if operator == Operator::Contains => {
            list.iter().any(|value| compare_value(value, Operator::Equal, wanted))
        }
        _ => operator == Operator::Unequal,
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Operator(&'static str, Operator),
    Open,
    Close,
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Self::Word(text) | Self::Text(text) => text,
            Self::Operator(text, _) => text,
            Self::Open => "(",
            Self::Close => ")",
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '(' || first == ')' {
            tokens.push(if first == '(' { Token::Open } else { Token::Close });
            rest = &rest[1..];
        } else if first == '"' || first == '\'' {
            let inner = &rest[1..];
            let end = inner.find(first).ok_or_else(|| format!("the text that begins with {rest} has no end"))?;
            tokens.push(Token::Text(inner[..end].to_owned()));
            rest = &inner[end + 1..];
        } else if let Some((text, operator)) = OPERATORS.iter().find(|(text, _)| rest.starts_with(text)) {
            tokens.push(Token::Operator(text, *operator));
            rest = &rest[text.len()..];
        } else {
            let ends = |c: char| c.is_whitespace() || "()=<>!~\"'".contains(c);
            let end = rest.find(ends).unwrap_or(rest.len());
            if end == 0 {
                return Err(format!("`{first}` means nothing here"));
            }
            tokens.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Word(text)) if text.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn any(&mut self) -> Result<Selection, String> {
        let mut all = vec![self.all()?];
        while self.takes_word("or") {
            all.push(self.all()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Selection::Or(all) })
    }

    fn all(&mut self) -> Result<Selection, String> {
        let mut all = vec![self.one()?];
        while self.takes_word("and") {
            all.push(self.one()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Selection::And(all) })
    }

    fn one(&mut self) -> Result<Selection, String> {
        if self.takes_word("not") {
            return Ok(Selection::Not(Box::new(self.one()?)));
        }
        match self.next() {
            Some(Token::Open) => {
                let inner = self.any()?;
                if self.next() == Some(Token::Close) { Ok(inner) } else { Err("a `(` has no `)`".to_owned()) }
            }
            Some(Token::Word(name)) => self.comparison(&name),
            Some(token) => Err(format!("`{}` is no field: write one of {}, or payload.NAME", token.text(), names())),
            None => Err("a condition is missing, such as code = \"missing_field\"".to_owned()),
        }
    }

    fn comparison(&mut self, name: &str) -> Result<Selection, String> {
        let field = field(name)?;
        let Some(Token::Operator(_, operator)) = self.next() else {
            return Err(format!("after `{name}` comes one of = != < <= > >= ~"));
        };
        let value = match (self.next(), &field) {
            (Some(Token::Text(text) | Token::Word(text)), Field::Time) => Operand::Millis(time(&text)?),
            (Some(Token::Text(text) | Token::Word(text)), Field::Age) => {
                Operand::Millis(i64::try_from(Seconds::parse(&text)?.0).unwrap_or(i64::MAX / 1_000) * 1_000)
            }
            (Some(Token::Text(text)), _) => Operand::Text(text),
            (Some(Token::Word(word)), _) => match (word.as_str(), word.parse()) {
                (_, Ok(number)) => Operand::Number(number),
                ("true", _) => Operand::Bool(true),
                ("false", _) => Operand::Bool(false),
                ("null", _) => Operand::Null,
                _ => return Err(format!("texts stand in quotes: {name} … \"{word}\"")),
            },
            _ => return Err(format!("`{name}` is compared with nothing")),
        };
        Ok(Selection::Compare { field, operator, value })
    }
}

fn names() -> String {
    FIELDS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn field(name: &str) -> Result<Field, String> {
    if let Some(path) = name.strip_prefix("payload.").filter(|path| !path.is_empty()) {
        return Ok(Field::Payload(path.split('.').map(str::to_owned).collect()));
    }
    let found = FIELDS.iter().find(|(known, _)| *known == name).map(|(_, field)| field.clone());
    found.ok_or_else(|| format!("`{name}` is no field: write one of {}, or payload.NAME", names()))
}

fn time(text: &str) -> Result<i64, String> {
    let time: Result<Timestamp, _> = text.parse();
    time.map(Timestamp::as_millisecond).map_err(|_| {
        format!("`{text}` is not a time: write one such as \"2026-01-31T12:00:00Z\", or compare `age`, as in age < 2h")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn includes(selection: &str) -> bool {
        let payload = json!({"amount": 12.5, "user": {"id": "u-1"}, "tags": ["a", "b"], "gone": null, "ok": true});
        let facts = Facts {
            kind: "letter",
            code: "missing_field",
            message: "userId: missing",
            function: ["processor", "shop-processor"],
            key: Some("k-7"),
            payload: Some(&payload),
            failed_ms: 1_700_000_000_000,
            now_ms: 1_700_000_060_000,
            ..Facts::default()
        };
        Selection::parse(selection).unwrap().includes(&facts)
    }

    #[test]
    fn conditions_are_decided_by_what_is_known() {
        for selection in [
            r#"code = "missing_field""#,
            r#"code != "invalid_json" and key = 'k-7'"#,
            r#"function = "processor" and function = "shop-processor""#,
            r#"not function = "other" and function != "other""#,
            r#"message ~ "userId" and (kind = "other" or payload.amount >= 12.5)"#,
            r#"payload.user.id = "u-1" and payload.tags ~ "b" and payload.tags.0 = "a""#,
            "payload.gone = null and payload.nowhere = null and payload.ok = true",
            r#"time >= "2023-11-14T22:13:20Z" and time < "2023-11-14T22:13:21Z""#,
            "age >= 1m and age < 2m",
        ] {
            assert!(includes(selection), "{selection}");
            assert!(!includes(&format!("not ({selection})")), "{selection}");
        }
        assert!(!includes(r#"function != "processor""#) && !includes("payload.user.id > 3"));
    }

    #[test]
    fn what_is_not_known_yet_counts_as_meant() {
        let facts = Facts { code: "a", ..Facts::default() };
        let includes = |text: &str| Selection::parse(text).unwrap().includes(&facts);
        assert!(includes(r#"code = "a" and key = "k""#) && includes("not payload.x = 1"));
        assert!(!includes(r#"code = "b" and key = "k""#));
        assert!(Selection::parse("key = 'k'").unwrap().needs_record());
        assert!(!Selection::parse("code = 'k'").unwrap().needs_record());
    }

    #[test]
    fn mistakes_are_explained() {
        for (text, words) in [
            ("", "missing"),
            ("code", "after `code`"),
            ("code =", "compared with nothing"),
            ("code = missing", "quotes"),
            ("cod = 'x'", "no field"),
            ("(code = 'x'", "no `)`"),
            ("code = 'x", "no end"),
            ("code = 'x' kind = 'y'", "one too many"),
            ("time > 'noon'", "not a time"),
            ("age > 'old'", "not a duration"),
            ("payload. = 1", "no field"),
        ] {
            let error = Selection::parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
