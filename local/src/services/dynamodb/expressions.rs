//! How much an expression may ask for: AWS takes 300 operators, and the engine takes each of them deeper into its stack.

use std::thread;

use serde_json::Value;
use streamkit_wire::CallError;
use tokio::sync::oneshot;

/// AWS's limit of operators and functions in one expression.
const MAX_OPERATORS: usize = 300;
/// So many are worked through in the stack that every thread has; more of them get a thread of their own.
const SHALLOW: usize = 50;
/// A shorter body has no room for more operators than that.
const SHORT: usize = 256;
const CONDITIONS: [&str; 3] = ["FilterExpression", "ConditionExpression", "KeyConditionExpression"];

/// Whether the expressions of a request need more stack than usual. Refuses those that AWS refuses for their size.
///
/// See <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>.
pub(super) fn need_stack(body: &str) -> Result<bool, CallError> {
    // A name may be spelled with escapes.
    if body.len() < SHORT || !(body.contains("Expression") || body.contains("\\u")) {
        return Ok(false);
    }
    // What is no JSON is refused by the engine.
    let Ok(input) = serde_json::from_str::<Value>(body) else { return Ok(false) };
    deepest(&input).map(|most| most > SHALLOW)
}

/// Runs something on a thread with a stack for the longest expression.
pub(super) async fn with_stack<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<T> {
    /// An expression has 4 KB, each of which may be a parenthesis. Only what is used takes memory.
    const STACK: usize = 128 * 1024 * 1024;
    let (done, answer) = oneshot::channel();
    thread::Builder::new().stack_size(STACK).spawn(move || {
        // Nobody waits for the answer to a request whose connection has ended.
        drop(done.send(run()));
    })?;
    Ok(answer.await?)
}

/// How deep the expressions of a request may be nested; those of a transaction are several levels down.
fn deepest(input: &Value) -> Result<usize, CallError> {
    let mut most = 0;
    match input {
        Value::Object(members) => {
            for (name, value) in members {
                most = most.max(match value.as_str() {
                    Some(expression) if CONDITIONS.contains(&name.as_str()) => {
                        check(name, expression)? + parentheses(expression)
                    }
                    Some(expression) if name.ends_with("Expression") => parentheses(expression),
                    _ => deepest(value)?,
                });
            }
        }
        Value::Array(items) => {
            for item in items {
                most = most.max(deepest(item)?);
            }
        }
        _ => {}
    }
    Ok(most)
}

fn parentheses(expression: &str) -> usize {
    expression.matches('(').count()
}

fn check(name: &str, expression: &str) -> Result<usize, CallError> {
    let operators = operators(expression);
    if operators <= MAX_OPERATORS {
        return Ok(operators);
    }
    Err(CallError::bad(
        "ValidationException",
        format!("Invalid {name}: The expression contains too many operators; operator count: {operators}"),
    ))
}

/// Comparisons, logical operators and functions.
fn operators(expression: &str) -> usize {
    let is_name = |letter: char| letter.is_alphanumeric() || "_#:.".contains(letter);
    let mut count = 0;
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let same = |letter: char| is_name(letter) == is_name(first);
        let (run, after) = rest.split_at(rest.find(|letter| !same(letter)).unwrap_or(rest.len()));
        rest = after;
        count += if !is_name(first) {
            comparisons(run)
        // The AND of a BETWEEN stands for both.
        } else if ["AND", "OR", "NOT", "IN"].iter().any(|operator| run.eq_ignore_ascii_case(operator)) {
            1
        } else {
            usize::from(rest.starts_with('(') && !run.eq_ignore_ascii_case("BETWEEN"))
        };
    }
    count
}

/// `<=`, `>=` and `<>` are one each.
fn comparisons(signs: &str) -> usize {
    let two = ["<=", ">=", "<>"].iter().map(|sign| signs.matches(sign).count()).sum::<usize>();
    signs.matches(['=', '<', '>']).count() - two
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operators_of_an_expression_are_counted() {
        for (expression, count) in [
            ("#a = :v", 1),
            ("a <> :v AND b >= :w or not c < :x", 6),
            ("a BETWEEN :v AND :w", 1),
            ("attribute_exists(a) AND size(b.c) <= :v", 4),
            ("(a = :v)AND(b IN(:v, :w))", 3),
            ("", 0),
        ] {
            assert_eq!(operators(expression), count, "{expression}");
        }
    }

    #[test]
    fn more_than_three_hundred_operators_are_refused_wherever_they_are() {
        let nested = |nots: usize| {
            let expression = format!("{}a = :v", "NOT ".repeat(nots));
            json!({"TransactItems": [{"Put": {"ConditionExpression": expression}}]}).to_string()
        };
        assert_eq!(need_stack(&nested(10)), Ok(false));
        assert_eq!(need_stack(&nested(299)), Ok(true));
        assert_eq!(need_stack(&json!({"UpdateExpression": "(".repeat(300)}).to_string()), Ok(true));
        let refused = need_stack(&nested(300)).unwrap_err();
        let said = "Invalid ConditionExpression: The expression contains too many operators; operator count: 301";
        assert_eq!((refused.code.as_str(), refused.message.as_str()), ("ValidationException", said));
        assert_eq!(need_stack(&"[".repeat(1_000_000)), Ok(false));
    }
}
