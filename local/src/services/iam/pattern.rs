//! The patterns of policies: `*` and `?`, and variables such as `${aws:username}`.

use super::policy::Context;

enum Part {
    /// `*`: any characters, or none.
    Any,
    /// `?`: one character.
    One,
    Exactly(char),
}

/// Whether the text is as the pattern says. What a variable stands for is taken literally; one without a value matches nothing.
pub(super) fn like(pattern: &str, text: &str, context: &Context) -> bool {
    let Some(pattern) = parts(pattern, context) else { return false };
    matches(&pattern, &text.chars().collect::<Vec<_>>())
}

/// The text with its variables replaced, where no wildcards are meant; none where a variable has no value.
pub(super) fn resolved(text: &str, context: &Context) -> Option<String> {
    let parts = if text.contains("${") { parts(text, context)? } else { return Some(text.to_owned()) };
    let letter = |part: &Part| match part {
        Part::Any => '*',
        Part::One => '?',
        Part::Exactly(letter) => *letter,
    };
    Some(parts.iter().map(letter).collect())
}

/// Whether two ARNs are alike, part by part: a star does not reach beyond a colon, except in the last part.
pub(super) fn arn_like(pattern: &str, arn: &str, context: &Context) -> bool {
    let (pattern, arn): (Vec<_>, Vec<_>) = (pattern.splitn(6, ':').collect(), arn.splitn(6, ':').collect());
    pattern.len() == arn.len() && pattern.iter().zip(&arn).all(|(pattern, part)| like(pattern, part, context))
}

fn parts(pattern: &str, context: &Context) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = pattern;
    while let Some(letter) = rest.chars().next() {
        if let Some((variable, after)) = rest.strip_prefix("${").and_then(|inner| inner.split_once('}')) {
            let literal = match variable {
                "*" | "?" | "$" => variable.to_owned(),
                _ => {
                    let (name, default) = match variable.split_once(',') {
                        Some((name, default)) => (name, Some(default.trim().trim_matches('\'').to_owned())),
                        None => (variable, None),
                    };
                    let values = context.get(&name.trim().to_lowercase());
                    values.and_then(|values| values.first().cloned()).or(default)?
                }
            };
            parts.extend(literal.chars().map(Part::Exactly));
            rest = after;
            continue;
        }
        parts.push(match letter {
            '*' => Part::Any,
            '?' => Part::One,
            letter => Part::Exactly(letter),
        });
        rest = &rest[letter.len_utf8()..];
    }
    Some(parts)
}

fn matches(pattern: &[Part], text: &[char]) -> bool {
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(Part::Any) => {
                star = Some((p, t));
                p += 1;
            }
            Some(Part::One) => {
                p += 1;
                t += 1;
            }
            Some(Part::Exactly(letter)) if *letter == text[t] => {
                p += 1;
                t += 1;
            }
            // Let the last star take one character more.
            _ => match star {
                Some((at, from)) => {
                    (p, t) = (at + 1, from + 1);
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|part| matches!(part, Part::Any))
}
