//! `${env:NAME}` in a value: a variable of the environment, where it is written and nowhere else.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::finding::Finding;
use crate::plan::{Secrets, Variable};

const START: &str = "${env:";
/// Keys whose values are names in AWS.
pub(super) const NAMES: [&str; 2] = ["name", "renamed_from"];
/// A variable with such a word in its name is a secret.
const SECRETS: [&str; 7] = ["SECRET", "TOKEN", "PASSWORD", "PASSWD", "CREDENTIAL", "PRIVATE", "KEY"];

/// What came out of the variables of a document.
#[derive(Debug, Default)]
pub(super) struct Substitution {
    /// Variables that are written where they can't be, or wrongly.
    pub(super) wrong: Vec<Finding>,
    /// Variables that are not set.
    pub(super) unset: Vec<Finding>,
    /// Values that must not be shown.
    pub(super) secrets: Secrets,
}

/// Puts the values of variables into the document.
pub(super) fn substitute(document: &mut DeTable<'_>, variable: &dyn Fn(&str) -> Option<String>) -> Substitution {
    let mut result = Substitution::default();
    table(document, variable, &mut result);
    result
}

fn table(table: &mut DeTable<'_>, variable: &dyn Fn(&str) -> Option<String>, result: &mut Substitution) {
    for (key, value) in table.iter_mut() {
        if key.get_ref().contains(START) {
            result.wrong.push(no_name(key.span()));
        }
        let is_text = matches!(value.get_ref(), DeValue::String(text) if text.contains(START));
        if is_text && NAMES.contains(&key.get_ref().as_ref()) {
            result.wrong.push(no_name(value.span()));
        } else {
            self::value(value, variable, result);
        }
    }
}

/// Whether the name says that the value is a secret.
pub(crate) fn is_secret_name(name: &str) -> bool {
    let upper = name.to_uppercase();
    SECRETS.iter().any(|word| upper.contains(word))
}

fn no_name(span: Range<usize>) -> Finding {
    Finding::new(span, "a name can't come from the environment")
        .help("names must be the same wherever streamkit runs: write it out, and use --stage for several copies")
}

fn value(value: &mut Spanned<DeValue<'_>>, variable: &dyn Fn(&str) -> Option<String>, result: &mut Substitution) {
    let span = value.span();
    match value.get_mut() {
        DeValue::String(text) if text.contains(START) => {
            let whole = filled(text, &span, variable, result);
            *text = whole.into();
        }
        DeValue::Array(list) => list.iter_mut().for_each(|element| self::value(element, variable, result)),
        DeValue::Table(inner) => table(inner, variable, result),
        _ => {}
    }
}

/// The text with the values of its variables.
fn filled(
    text: &str,
    span: &Range<usize>,
    variable: &dyn Fn(&str) -> Option<String>,
    result: &mut Substitution,
) -> String {
    let mut parts = text.split(START);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    // An address may hold a token anywhere.
    let is_address = whole.starts_with("https://");
    if is_address {
        result.secrets.addresses.push(whole.clone());
    }
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap_or((part, ""));
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.is_empty();
        if !is_name || !part.contains('}') {
            let finding = Finding::new(span.clone(), "this is no variable of the environment");
            result.wrong.push(finding.help("write something like \"${env:ALERT_EMAIL}\""));
        } else if let Some(value) = variable(name) {
            let is_secret = !value.is_empty() && is_secret_name(name);
            if is_secret {
                result.secrets.values.push(value.clone());
            }
            if is_secret || is_address {
                result.secrets.variables.push(Variable { name: name.to_owned(), value: value.clone() });
            }
            whole.push_str(&value);
        } else {
            let finding = Finding::new(span.clone(), format!("the environment has no variable `{name}`"));
            result.unset.push(finding.id("unset-variable").help(format!("set it, as in `{name}=… streamkit up`")));
        }
        whole.push_str(rest);
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn substituted(text: &str) -> (String, Substitution) {
        let (mut document, errors) = DeTable::parse_recoverable(text);
        assert!(errors.is_empty(), "{errors:?}");
        let known = |name: &str| match name {
            "MAIL" => Some("ops@example.com".to_owned()),
            "API_TOKEN" | "PART" => Some("hunter2".to_owned()),
            _ => None,
        };
        let result = substitute(document.get_mut(), &known);
        (format!("{document:?}"), result)
    }

    #[test]
    fn variables_are_filled_in_where_they_are_written_and_secrets_are_known() {
        let (document, result) =
            substituted("a = \"email:${env:MAIL}, ${env:MAIL}\"\n[b]\nc = [{ d = \"x${env:API_TOKEN}y\" }]\n");
        assert!(
            document.contains("email:ops@example.com, ops@example.com") && document.contains("xhunter2y"),
            "{document}"
        );
        assert!(result.wrong.is_empty() && result.unset.is_empty(), "{result:?}");
        assert_eq!(result.secrets.values, ["hunter2"]);
        let names = |result: &Substitution| -> Vec<String> {
            result.secrets.variables.iter().map(|variable| variable.name.clone()).collect()
        };
        assert_eq!(names(&result), ["API_TOKEN"]);
        let (_, result) = substituted("to = \"https://example.com/${env:PART}\"\n");
        assert_eq!(result.secrets.hide("https://example.com/an-earlier-one"), "https://example.com/(hidden)");
        assert_eq!(names(&result), ["PART"]);
        let said = "email:a, https://example.com/one, https://example.com/two of topic.t";
        assert_eq!(
            result.secrets.hide(said),
            "email:a, https://example.com/(hidden), https://example.com/(hidden) of topic.t"
        );
        let (document, result) = substituted("a = \"${aws:x} $env ${x}\"\n");
        assert!(document.contains("${aws:x} $env ${x}") && result.wrong.is_empty(), "{document}");
    }

    #[test]
    fn names_and_what_is_not_set_are_mistakes() {
        let (_, result) =
            substituted("name = \"${env:MAIL}\"\n[t]\nkey = { name = \"${env:MAIL}\" }\n\"${env:MAIL}\" = 1\n");
        assert_eq!(result.wrong.len(), 3, "{result:?}");
        let (_, result) = substituted("a = \"${env:NOT SET}\"\nb = \"${env:MAIL\"\nc = \"${env:}\"\n");
        assert_eq!(result.wrong.len(), 3, "{result:?}");
        let (_, result) = substituted("a = \"${env:UNSET}\"\n");
        assert_eq!(result.unset[0].message, "the environment has no variable `UNSET`");
        assert_eq!(result.unset[0].span, 4..18);
    }
}
