//! The grammar of filter patterns.

use serde_json::Value;
use winnow::ascii::{digit1, multispace0};
use winnow::combinator::{alt, delimited, opt, preceded, repeat, separated, terminated};
use winnow::token::{any, none_of, one_of, take_till, take_while};
use winnow::{Parser, Result};

use super::condition::{Expression, Operator, Step, Test};
use super::pattern::{Pattern, Word};

pub(super) fn pattern(text: &str) -> Option<Pattern> {
    let text = text.trim();
    match text.as_bytes().first() {
        Some(b'{') => {
            let json = delimited('{', |input: &mut &str| any_of(input, selector_steps), (multispace0, '}'));
            json.map(Pattern::Json).parse(text).ok()
        }
        Some(b'[') => delimited('[', separated(1.., word, ','), ']').map(Pattern::Words).parse(text).ok(),
        _ => terms.parse(text).ok(),
    }
}

/// `$.field.field[0]` by itself.
pub(super) fn selector(text: &str) -> Option<Vec<Step>> {
    selector_steps.parse(text.trim()).ok()
}

/// The words of a message: parted by spaces, except in quotes and brackets, which are left out.
pub(super) fn words_of(message: &str) -> Vec<&str> {
    let quoted = delimited('"', take_till(0.., '"'), '"');
    let bracketed = delimited('[', take_till(0.., ']'), ']');
    let plain = take_till(1.., char::is_whitespace);
    let one = terminated(alt((quoted, bracketed, plain)), multispace0::<&str, winnow::error::ContextError>);
    let mut all = repeat(0.., one);
    all.parse_next(&mut message.trim()).unwrap_or_default()
}

fn terms(input: &mut &str) -> Result<Pattern> {
    let term = terminated((opt(one_of(['?', '-'])), alt((quoted, bare_term))), multispace0);
    let terms: Vec<(Option<char>, String)> = repeat(0.., term).parse_next(input)?;
    let of = |kind: Option<char>| terms.iter().filter(|(it, _)| *it == kind).map(|(_, term)| term.clone()).collect();
    Ok(Pattern::Terms { all: of(None), any: of(Some('?')), none: of(Some('-')) })
}

fn bare_term(input: &mut &str) -> Result<String> {
    (none_of([' ', '\t', '"']), take_till(0.., char::is_whitespace)).take().map(str::to_owned).parse_next(input)
}

/// Text in double quotes, in which a backslash takes the next character as it is.
fn quoted(input: &mut &str) -> Result<String> {
    let character = alt((preceded('\\', any), none_of(['"', '\\'])));
    delimited('"', repeat(0.., character), '"').parse_next(input)
}

/// How a condition names what it is about.
type Selector = fn(&mut &str) -> Result<Vec<Step>>;

fn any_of(input: &mut &str, selector: Selector) -> Result<Expression> {
    let part = |input: &mut &str| all_of(input, selector);
    separated(1.., part, (multispace0, "||")).map(Expression::Any).parse_next(input)
}

fn all_of(input: &mut &str, selector: Selector) -> Result<Expression> {
    let part = |input: &mut &str| one(input, selector);
    separated(1.., part, (multispace0, "&&")).map(Expression::All).parse_next(input)
}

fn one(input: &mut &str, selector: Selector) -> Result<Expression> {
    let nested = |input: &mut &str| any_of(input, selector);
    let condition = (selector, preceded(multispace0, test)).map(|(selector, test)| Expression::One(selector, test));
    preceded(multispace0, alt((delimited('(', nested, (multispace0, ')')), condition))).parse_next(input)
}

fn selector_steps(input: &mut &str) -> Result<Vec<Step>> {
    let name = take_while(1.., |letter: char| letter.is_alphanumeric() || "_-@#/:".contains(letter));
    let named = preceded('.', name).map(|name: &str| Step::Name(name.to_owned()));
    let in_quotes = alt((quoted, delimited('\'', take_till(0.., '\''), '\'').map(str::to_owned))).map(Step::Name);
    let index = digit1.try_map(str::parse::<usize>).map(Step::Index);
    let bracketed = delimited('[', alt(('*'.value(Step::Each), index, in_quotes)), ']');
    preceded('$', repeat(1.., alt((named, bracketed)))).parse_next(input)
}

fn test(input: &mut &str) -> Result<Test> {
    let is = alt(("NULL".value(Value::Null), "TRUE".value(Value::Bool(true)), "FALSE".value(Value::Bool(false))));
    let operator = alt((
        "!=".value(Operator::NotEqual),
        ">=".value(Operator::GreaterOrEqual),
        "<=".value(Operator::LessOrEqual),
        "=".value(Operator::Equal),
        ">".value(Operator::Greater),
        "<".value(Operator::Less),
    ));
    let bare = take_while(1.., |letter: char| !letter.is_whitespace() && !"(){},[]\"=<>!&|".contains(letter));
    let operand = preceded(multispace0, alt((quoted, bare.map(str::to_owned))));
    alt((
        ("NOT", multispace0, "EXISTS").map(|_| Test::NotExists),
        preceded(("IS", multispace0), is).map(Test::Is),
        (operator, operand).map(|(operator, operand)| Test::Compare(operator, operand)),
    ))
    .parse_next(input)
}

/// `...`, a name, or a condition that begins with the name.
fn word(input: &mut &str) -> Result<Option<Word>> {
    let condition = |input: &mut &str| any_of(input, word_name);
    let conditional = condition.map(|condition| {
        Some(Word { name: name_in(&condition).unwrap_or_default().to_owned(), condition: Some(condition) })
    });
    let plain = preceded(multispace0, name_text).map(|name| Some(Word { name: name.to_owned(), condition: None }));
    terminated(alt(((multispace0, "...").map(|_| None), conditional, plain)), multispace0).parse_next(input)
}

fn name_text<'a>(input: &mut &'a str) -> Result<&'a str> {
    take_while(1.., |letter: char| letter.is_alphanumeric() || "_-".contains(letter)).parse_next(input)
}

fn word_name(input: &mut &str) -> Result<Vec<Step>> {
    name_text.map(|name| vec![Step::Name(name.to_owned())]).parse_next(input)
}

fn name_in(expression: &Expression) -> Option<&str> {
    match expression {
        Expression::Any(parts) | Expression::All(parts) => parts.first().and_then(name_in),
        Expression::One(selector, _) => match selector.first()? {
            Step::Name(name) => Some(name),
            _ => None,
        },
    }
}
