//! Which values of a function's environment may be secret: those are never written to a file.

use crate::spec::is_secret_name;

/// Words in names of others' variables, beside those that streamkit itself takes for secrets.
const WORDS: [&str; 5] = ["AUTH", "DSN", "CONNECTION", "WEBHOOK", "SALT"];
/// What keys and tokens of well-known kinds begin with.
const STARTS: [&str; 9] = ["AKIA", "ASIA", "-----BEGIN", "eyJ", "ghp_", "sk_", "sk-", "xox", "AIza"];
/// From this length on, letters and digits without a word between them look like a key.
const LONG: usize = 20;

/// Whether the value of this variable should not be read by whoever reads the file.
pub(super) fn may_be_secret(name: &str, value: &str) -> bool {
    let upper = name.to_uppercase();
    is_secret_name(name)
        || WORDS.iter().any(|word| upper.contains(word))
        || STARTS.iter().any(|start| value.starts_with(start))
        || has_password(value)
        || looks_random(value)
}

/// As in `postgres://user:password@host`.
fn has_password(value: &str) -> bool {
    let authority = value.split_once("://").and_then(|(_, rest)| rest.split('/').next());
    authority.and_then(|authority| authority.rsplit_once('@')).is_some_and(|(user, _)| user.contains(':'))
}

fn looks_random(value: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_');
    let run = |part: &str| {
        part.len() >= LONG
            && part.chars().any(|c| c.is_ascii_digit())
            && part.chars().any(|c| c.is_ascii_alphabetic())
            && !part.contains('/')
    };
    !value.starts_with("arn:") && value.split(|c: char| !is_word(c)).any(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_told_by_its_name_or_its_looks() {
        for (name, value) in [
            ("API_TOKEN", "x"),
            ("db_password", "hunter2"),
            ("DATABASE_URL", "postgres://app:hunter2@db.example.com/app"),
            ("ACCESS", "AKIAIOSFODNN7EXAMPLE"),
            ("ID", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b"),
            ("JWT", "eyJhbGciOiJIUzI1NiJ9"),
        ] {
            assert!(may_be_secret(name, value), "{name}");
        }
        for (name, value) in [
            ("LOG_LEVEL", "debug"),
            ("ENDPOINT", "https://api.example.com/v2/orders"),
            ("TABLE", "orders-results"),
            ("QUEUE", "https://sqs.eu-west-1.amazonaws.com/123456789012/orders-dlq"),
            ("TOPIC", "arn:aws:sns:eu-west-1:123456789012:orders1234567890123456789"),
            ("SENTENCE", "a text of several words 12"),
        ] {
            assert!(!may_be_secret(name, value), "{name}");
        }
    }
}
