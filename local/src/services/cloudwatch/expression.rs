//! Expressions of metric math: the grammar.
//!
//! See <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html>.

use winnow::ascii::{float, multispace0};
use winnow::combinator::{alt, delimited, not, opt, peek, preceded, repeat, separated, terminated};
use winnow::error::ContextError;
use winnow::token::{none_of, one_of, take_till, take_while};
use winnow::{Parser, Result};

/// An expression, or a part of one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Number(f64),
    /// In quotes.
    Text(String),
    /// What another query gives.
    Id(String),
    /// A name in capitals that calls nothing, such as `REPEAT`.
    Word(String),
    Call(String, Vec<Self>),
    List(Vec<Self>),
    Negative(Box<Self>),
    Operation(Operator, Box<Self>, Box<Self>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
}

impl Expression {
    /// Reads an expression; none where it is not one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        const MAX_LENGTH: usize = 2_048;
        /// The parser calls itself for each of these, and so does whoever works on what it gives.
        const MAX_DEPTH: usize = 64;
        let deep = text.matches(['(', '[', '^']).count() + longest_run_of_signs(text);
        if text.len() > MAX_LENGTH || deep > MAX_DEPTH {
            return None;
        }
        delimited(multispace0, any_of, multispace0).parse(text).ok()
    }

    /// Does something with this expression and all its parts.
    pub(super) fn each<'a>(&'a self, act: &mut impl FnMut(&'a Self)) {
        act(self);
        match self {
            Self::Call(_, parts) | Self::List(parts) => parts.iter().for_each(|part| part.each(act)),
            Self::Negative(part) => part.each(act),
            Self::Operation(_, one, other) => {
                one.each(act);
                other.each(act);
            }
            Self::Number(_) | Self::Text(_) | Self::Id(_) | Self::Word(_) => {}
        }
    }
}

/// `1 - - - 1` is nested, too.
fn longest_run_of_signs(text: &str) -> usize {
    let runs = text.split(|letter: char| letter != '-' && !letter.is_whitespace());
    runs.map(|run| run.matches('-').count()).max().unwrap_or_default()
}

/// Operators of one precedence, which bind to the left. A sum of a thousand parts is a thousand levels deep, so their number is
/// bounded as the nesting is.
fn chain(
    input: &mut &str,
    part: fn(&mut &str) -> Result<Expression>,
    operator: fn(&mut &str) -> Result<Operator>,
) -> Result<Expression> {
    const MAX_PARTS: usize = 128;
    let first = part(input)?;
    let rest: Vec<(Operator, Expression)> =
        repeat(0..MAX_PARTS, (delimited(multispace0, operator, multispace0), part)).parse_next(input)?;
    Ok(rest
        .into_iter()
        .fold(first, |before, (operator, after)| Expression::Operation(operator, Box::new(before), Box::new(after))))
}

fn any_of(input: &mut &str) -> Result<Expression> {
    chain(input, all_of, |input| alt(("||".void(), word("OR"))).value(Operator::Or).parse_next(input))
}

fn all_of(input: &mut &str) -> Result<Expression> {
    chain(input, comparison, |input| alt(("&&".void(), word("AND"))).value(Operator::And).parse_next(input))
}

/// A word that does not go on.
fn word(word: &'static str) -> impl FnMut(&mut &str) -> Result<()> {
    move |input| {
        let letter = one_of(|letter: char| letter.is_alphanumeric() || letter == '_');
        terminated(word, not(letter)).void().parse_next(input)
    }
}

fn comparison(input: &mut &str) -> Result<Expression> {
    chain(input, sum, |input| {
        alt((
            "==".value(Operator::Equal),
            "!=".value(Operator::NotEqual),
            "<=".value(Operator::LessOrEqual),
            ">=".value(Operator::GreaterOrEqual),
            "<".value(Operator::Less),
            ">".value(Operator::Greater),
        ))
        .parse_next(input)
    })
}

fn sum(input: &mut &str) -> Result<Expression> {
    chain(input, product, |input| alt(("+".value(Operator::Add), "-".value(Operator::Subtract))).parse_next(input))
}

fn product(input: &mut &str) -> Result<Expression> {
    chain(input, signed, |input| alt(("*".value(Operator::Multiply), "/".value(Operator::Divide))).parse_next(input))
}

fn signed(input: &mut &str) -> Result<Expression> {
    if opt(terminated('-', multispace0::<_, ContextError>)).parse_next(input)?.is_some() {
        return signed(input).map(|part| Expression::Negative(Box::new(part)));
    }
    power(input)
}

fn power(input: &mut &str) -> Result<Expression> {
    let base = primary(input)?;
    // `2^3^2` is `2^(3^2)`.
    match opt(preceded((multispace0, '^', multispace0), signed)).parse_next(input)? {
        Some(exponent) => Ok(Expression::Operation(Operator::Power, Box::new(base), Box::new(exponent))),
        None => Ok(base),
    }
}

fn primary(input: &mut &str) -> Result<Expression> {
    alt((number, text, grouped, list, name)).parse_next(input)
}

/// Without a sign, which is an operator.
fn number(input: &mut &str) -> Result<Expression> {
    preceded(peek(one_of(|letter: char| letter.is_ascii_digit() || letter == '.')), float)
        .map(Expression::Number)
        .parse_next(input)
}

fn text(input: &mut &str) -> Result<Expression> {
    let quoted = |quote: char| delimited(quote, take_till(0.., quote), quote);
    alt((quoted('\''), quoted('"'))).map(|text: &str| Expression::Text(text.to_owned())).parse_next(input)
}

fn grouped(input: &mut &str) -> Result<Expression> {
    delimited(('(', multispace0), any_of, (multispace0, ')')).parse_next(input)
}

fn list(input: &mut &str) -> Result<Expression> {
    delimited(('[', multispace0), parts, (multispace0, ']')).map(Expression::List).parse_next(input)
}

fn parts(input: &mut &str) -> Result<Vec<Expression>> {
    separated(0.., any_of, (multispace0, ',', multispace0)).parse_next(input)
}

/// An id begins with a small letter; functions and words are capitals.
fn name(input: &mut &str) -> Result<Expression> {
    let name: &str = (
        one_of(|letter: char| letter.is_ascii_alphabetic()),
        take_while(0.., |letter: char| letter.is_ascii_alphanumeric() || letter == '_'),
    )
        .take()
        .parse_next(input)?;
    if name.starts_with(|letter: char| letter.is_ascii_lowercase()) {
        // A function is no id.
        peek(opt(none_of('('))).parse_next(input)?;
        return Ok(Expression::Id(name.to_owned()));
    }
    let arguments = opt(delimited((multispace0, '(', multispace0), parts, (multispace0, ')'))).parse_next(input)?;
    Ok(match arguments {
        Some(arguments) => Expression::Call(name.to_owned(), arguments),
        None => Expression::Word(name.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    /// With all parentheses that it means.
    fn shown(text: &str) -> String {
        fn part(expression: &Expression) -> String {
            let all = |parts: &[Expression]| parts.iter().map(part).collect::<Vec<_>>().join(",");
            match expression {
                Expression::Number(number) => number.to_string(),
                Expression::Text(text) => format!("'{text}'"),
                Expression::Id(name) | Expression::Word(name) => name.clone(),
                Expression::Call(name, parts) => format!("{name}({})", all(parts)),
                Expression::List(parts) => format!("[{}]", all(parts)),
                Expression::Negative(of) => format!("-{}", part(of)),
                Expression::Operation(operator, one, other) => format!("({} {operator:?} {})", part(one), part(other)),
            }
        }
        Expression::parse(text).map_or_else(|| "none".to_owned(), |expression| part(&expression))
    }

    #[test]
    fn operators_bind_as_in_arithmetic() {
        for (text, wanted) in [
            ("m1+m2*2", "(m1 Add (m2 Multiply 2))"),
            (" ( m1 + m2 ) / 2 ", "((m1 Add m2) Divide 2)"),
            ("1-2-3", "((1 Subtract 2) Subtract 3)"),
            ("-m1^2^3", "-(m1 Power (2 Power 3))"),
            ("m1 > 1 AND m2 <= 2 || NOTHING", "(((m1 Greater 1) And (m2 LessOrEqual 2)) Or NOTHING)"),
            ("100*(errors/FILL(invocations,REPEAT))", "(100 Multiply (errors Divide FILL(invocations,REPEAT)))"),
            ("SUM([m1, m2])", "SUM([m1,m2])"),
            ("AVG(METRICS(\"errors\"))", "AVG(METRICS('errors'))"),
            ("IF(m1 == 0, 1.5e3, -m1)", "IF((m1 Equal 0),1500,-m1)"),
            ("METRICS()", "METRICS()"),
            ("", "none"),
            ("m1 +", "none"),
            ("(m1", "none"),
            ("m1 m2", "none"),
            ("sum(m1)", "none"),
            ("'open", "none"),
        ] {
            assert_eq!(shown(text), wanted, "{text}");
        }
    }

    #[test]
    fn expressions_of_any_depth_take_no_time() {
        let began = Instant::now();
        for part in ["(", "-", "- ", "[", "ABS(", "1^", "1+", "-(", "m1 AND "] {
            for times in [50, 600, 100_000] {
                let _ = Expression::parse(&part.repeat(times));
                let _ = Expression::parse(&format!("{}1", part.repeat(times)));
            }
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }

    fn pieces() -> impl Strategy<Value = String> {
        let pieces: &[&str] = &[
            "m1", "SUM", "IF", "(", ")", "[", "]", ",", "+", "-", "*", "/", "^", "<", "=", "!", "&&", "OR", "'", "1",
            ".", "e9", " ", "é",
        ];
        prop::collection::vec(prop::sample::select(pieces), 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn any_text_is_an_expression_or_none(text in prop_oneof![".{0,100}", pieces()]) {
            // Parentheses around an expression change nothing.
            if let Some(expression) = Expression::parse(&text).filter(|_| text.matches(['(', '[', '^', '-']).count() < 60) {
                prop_assert_eq!(Expression::parse(&format!("({text})")), Some(expression));
            }
        }
    }
}
