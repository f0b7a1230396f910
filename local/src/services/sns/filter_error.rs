//! What is wrong with a filter policy and where, in SNS's words: it reports the place that its JSON parser has reached.

/// Finds the first mistake of a policy. `None` if this reading of it finds none.
pub(super) fn find(policy: &str) -> Option<String> {
    let mistake = match tokens(policy) {
        Err((why, column)) => {
            return Some(format!(
                "failed to parse JSON. {why}\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: {column}]"
            ));
        }
        Ok(tokens) => Reader { tokens: tokens.into_iter().peekable() }.policy().err()?,
    };
    let (why, column) = mistake;
    Some(format!("{why}\n at [Source: (String)\"{policy}\"; line: 1, column: {column}]"))
}

/// What is wrong, and the column after what was read.
type Mistake = (String, usize);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Name(String),
    Text(String),
    Number,
    Truth,
    Null,
    /// A bracket or brace.
    Mark(char),
}

#[derive(Debug, Clone)]
struct Token {
    kind: Kind,
    text: String,
    /// The column that the parser is at when it has seen which token this is: of a text no more than its opening quote.
    seen: usize,
}

/// Splits JSON into its tokens. Names are told from texts by their colon, so some texts that are no JSON pass: what SNS says
/// about those is not known here.
fn tokens(policy: &str) -> Result<Vec<Token>, Mistake> {
    let letters: Vec<char> = policy.chars().collect();
    let (mut all, mut at) = (Vec::new(), 0);
    // Whether a name must come: after the brace that opens an object, and after a comma in one.
    let (mut open, mut name_next) = (Vec::new(), false);
    while let Some(&letter) = letters.get(at) {
        let start = at;
        at += 1;
        let seen = at + 1;
        let mut push = |kind, text: String, seen| all.push(Token { kind, text, seen });
        match letter {
            ' ' | '\t' | '\r' | '\n' | ':' => {}
            ',' => name_next = open.last() == Some(&'{'),
            '{' | '[' => {
                open.push(letter);
                name_next = letter == '{';
                push(Kind::Mark(letter), letter.to_string(), seen);
            }
            '}' | ']' => {
                open.pop();
                name_next = false;
                push(Kind::Mark(letter), letter.to_string(), seen);
            }
            '"' => {
                while letters.get(at).is_some_and(|letter| *letter != '"') {
                    at += if letters[at] == '\\' { 2 } else { 1 };
                }
                let text: String = letters.get(start + 1..at).unwrap_or_default().iter().collect();
                at += 1;
                let kind = if name_next { Kind::Name(text.clone()) } else { Kind::Text(text.clone()) };
                name_next = false;
                push(kind, text, seen);
            }
            other if name_next => {
                return Err((
                    format!(
                        "Unexpected character ('{other}' (code {})): was expecting double-quote to start field name",
                        u32::from(other)
                    ),
                    start + 1,
                ));
            }
            _ => {
                let word = |letter: &char| letter.is_ascii_alphanumeric() || "+-._".contains(*letter);
                at += letters[at..].iter().take_while(|letter| word(letter)).count();
                let text: String = letters[start..at].iter().collect();
                let kind = match text.as_str() {
                    "true" | "false" => Kind::Truth,
                    "null" => Kind::Null,
                    number if number.parse::<f64>().is_ok() => Kind::Number,
                    _ => {
                        return Err((
                            format!(
                                "Unrecognized token '{text}': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
                            ),
                            at + 1,
                        ));
                    }
                };
                push(kind, text, at + 1);
            }
        }
    }
    Ok(all)
}

struct Reader {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

impl Reader {
    fn next(&mut self) -> Result<Token, Mistake> {
        self.tokens.next().ok_or_else(|| ("Unexpected end-of-input".to_owned(), 1))
    }

    fn policy(mut self) -> Result<(), Mistake> {
        let first = self.next()?;
        if first.kind != Kind::Mark('{') {
            return Err(("Filter is not an object".to_owned(), first.seen));
        }
        self.object()
    }

    fn object(&mut self) -> Result<(), Mistake> {
        let mut empty = true;
        loop {
            let token = self.next()?;
            let Kind::Name(name) = token.kind else {
                return if empty { Err(("Empty objects are not allowed".to_owned(), token.seen)) } else { Ok(()) };
            };
            empty = false;
            let value = self.next()?;
            match value.kind {
                Kind::Mark('{') => self.object()?,
                Kind::Mark('[') => self.conditions(&name)?,
                _ => return Err((format!("\"{name}\" must be an object or an array"), value.seen)),
            }
        }
    }

    fn conditions(&mut self, name: &str) -> Result<(), Mistake> {
        let mut empty = true;
        loop {
            let token = self.next()?;
            match token.kind {
                Kind::Mark(']') if empty => return Err(("Empty arrays are not allowed".to_owned(), token.seen)),
                Kind::Mark(']') => return Ok(()),
                // Each choice is a pattern of its own.
                Kind::Mark('{') if name == "$or" => self.object()?,
                Kind::Mark('{') => self.condition()?,
                Kind::Mark(_) => {
                    return Err(("Match value must be String, number, true, false, or null".to_owned(), token.seen));
                }
                _ => {}
            }
            empty = false;
        }
    }

    fn condition(&mut self) -> Result<(), Mistake> {
        let token = self.next()?;
        let Kind::Name(name) = token.kind else {
            return Err(("Empty objects are not allowed".to_owned(), token.seen));
        };
        let value = self.next()?;
        match name.as_str() {
            "exists" if value.kind != Kind::Truth => {
                return Err(("exists match pattern must be either true or false.".to_owned(), value.seen));
            }
            "numeric" if value.kind != Kind::Mark('[') => {
                return Err(("Value of numeric must be an array.".to_owned(), value.seen));
            }
            "numeric" => self.range()?,
            "prefix" | "suffix" | "equals-ignore-case" | "cidr" if matches!(value.kind, Kind::Text(_)) => {}
            // The parser reads a name together with the beginning of its value.
            "prefix" | "suffix" | "anything-but" if matches!(value.kind, Kind::Mark(_)) => self.skip(&value)?,
            "prefix" | "suffix" | "equals-ignore-case" | "cidr" => {
                return Err((format!("{name} match pattern must be a string"), value.seen));
            }
            "exists" | "anything-but" => {}
            _ => return Err((format!("Unrecognized match type {name}"), value.seen)),
        }
        let end = self.next()?;
        match end.kind {
            Kind::Mark(_) => Ok(()),
            _ => Err(("Only one key allowed in match expression".to_owned(), end.seen)),
        }
    }

    fn range(&mut self) -> Result<(), Mistake> {
        loop {
            let operator = self.next()?;
            match &operator.kind {
                Kind::Mark(']') => return Ok(()),
                Kind::Text(_) => {}
                _ => return Err((format!("Invalid member in numeric match: {}", operator.text), operator.seen)),
            }
            let bound = self.next()?;
            if !["=", "<", "<=", ">", ">="].contains(&operator.text.as_str()) {
                return Err((format!("Unrecognized numeric range operator: {}", operator.text), bound.seen));
            }
            if bound.kind != Kind::Number {
                let shown = if operator.text == "=" { "equals" } else { operator.text.as_str() };
                return Err((format!("Value of {shown} must be numeric"), bound.seen));
            }
        }
    }

    /// Goes to the end of what this token opens.
    fn skip(&mut self, opening: &Token) -> Result<(), Mistake> {
        let mut depth = usize::from(matches!(opening.kind, Kind::Mark('{' | '[')));
        while depth > 0 {
            match self.next()?.kind {
                Kind::Mark('{' | '[') => depth += 1,
                Kind::Mark(_) => depth -= 1,
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_have_the_words_and_the_place_of_sns() {
        for (policy, why, column) in [
            (r#"{"key":[{"exists":"no"}]}"#, "exists match pattern must be either true or false.", 20),
            (r#"{"key":[{"numeric":["operator"]}]}"#, "Unrecognized numeric range operator: operator", 32),
            (r#"{"key":[]}"#, "Empty arrays are not allowed", 10),
            (r#"{"key":[{"wrong-operator":true}]}"#, "Unrecognized match type wrong-operator", 31),
        ] {
            let expected = format!("{why}\n at [Source: (String)\"{policy}\"; line: 1, column: {column}]");
            assert_eq!(find(policy), Some(expected));
        }
        let broken = find("{invalidjson}").expect("a mistake");
        assert!(
            broken.starts_with("failed to parse JSON. Unexpected character ('i' (code 105)): was expecting double-quote to start field name\n")
                && broken.ends_with("line: 1, column: 2]"),
            "{broken}"
        );
        assert!(find("nope").expect("a mistake").contains("Unrecognized token 'nope'"));
    }

    #[test]
    fn correct_policies_have_no_mistake_and_broken_ones_end() {
        for policy in [
            r#"{"a":["b",1,true,null,{"prefix":"x"},{"anything-but":{"suffix":["x"]}},{"numeric":[">",0,"<=",1]}]}"#,
            r#"{"$or":[{"a":["b"]},{"c":{"d":[{"exists":false}]}}],"e":[{"suffix":{"equals-ignore-case":"x"}}]}"#,
        ] {
            assert_eq!(find(policy), None, "{policy}");
        }
        for broken in ["", "{", "{\"a", "{\"a\":[{\"numeric\":[\"", "[", "{\"a\":[{\"anything-but\":[[[", "\"\\"] {
            assert!(find(broken).is_some(), "{broken}");
        }
    }
}
