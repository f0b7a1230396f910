//! Fields of resources, and how they differ: the one comparator, which `plan` and `up` share.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A resource's settings in the spec's own units and words: what plans show is what is compared.
pub(crate) type Fields = BTreeMap<&'static str, Value>;

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    pub(crate) field: String,
    /// What AWS has; null when nothing.
    pub(crate) from: Value,
    /// What the spec wants; null when nothing.
    pub(crate) to: Value,
}

/// Stands for a value that nobody may read.
const HIDDEN: &str = "(hidden)";
/// The variables whose values streamkit makes itself.
const OWN_VARIABLES: &str = "STREAMKIT_";

/// Values of the environment that must not be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Secrets {
    /// Hidden wherever they stand.
    pub(crate) values: Vec<String>,
    /// Of addresses that begin like this the rest is hidden, an earlier one too.
    pub(crate) addresses: Vec<String>,
    /// Those variables whose values these are, in part or as a whole.
    pub(crate) variables: Vec<Variable>,
}

/// A variable of the environment whose value must not be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl Secrets {
    /// The text without them.
    pub(crate) fn hide(&self, text: &str) -> String {
        let text = self.addresses.iter().fold(text.to_owned(), |text, start| without_what_follows(&text, start));
        self.values.iter().fold(text, |text, secret| text.replace(secret, HIDDEN))
    }

    fn hide_in(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.hide(text)),
            Value::Array(list) => list.iter().map(|value| self.hide_in(value)).collect(),
            Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), self.hide_in(value))).collect(),
            other => other.clone(),
        }
    }
}

/// The text without what follows each `start` in it, up to the end of the address.
fn without_what_follows(text: &str, start: &str) -> String {
    let mut parts = text.split(start);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |shown, rest| {
        let end = rest.find(|letter: char| letter.is_whitespace() || ",\"'".contains(letter)).unwrap_or(rest.len());
        format!("{shown}{start}{HIDDEN}{}", &rest[end..])
    })
}

impl Change {
    /// The change with its secrets hidden.
    pub(crate) fn without(&self, secrets: &Secrets) -> Self {
        Self { field: self.field.clone(), from: secrets.hide_in(&self.from), to: secrets.hide_in(&self.to) }
    }

    /// The change as plans, results and reports show it: of an environment each variable by itself, without its value, which
    /// may be a secret.
    pub(crate) fn shown(self) -> Vec<Self> {
        if self.field != "environment" {
            return vec![self];
        }
        let variables = |value: &Value| value.as_object().cloned().unwrap_or_default();
        let (from, to) = (variables(&self.from), variables(&self.to));
        let names: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
        let differs = |name: &&String| from.get(*name) != to.get(*name);
        let shown = |name: &str, value: Option<&Value>| match value {
            Some(value) if name.starts_with(OWN_VARIABLES) => value.clone(),
            Some(_) => Value::String(HIDDEN.to_owned()),
            None => Value::Null,
        };
        let change = |name: &String| Self {
            field: format!("{}.{name}", self.field),
            from: shown(name, from.get(name)),
            to: shown(name, to.get(name)),
        };
        names.into_iter().filter(differs).map(change).collect()
    }

    /// True for a variable that streamkit sets itself.
    pub(crate) fn is_own_variable(&self) -> bool {
        self.field.strip_prefix("environment.").is_some_and(|name| name.starts_with(OWN_VARIABLES))
    }

    /// How a hidden value changes; `None` for one that may be read.
    pub(crate) fn hidden(&self) -> Option<&'static str> {
        // Two hashes say nothing.
        if self.field == "code" {
            return Some("changed");
        }
        let is_hidden = |value: &Value| value == HIDDEN && self.field.starts_with("environment.");
        match (is_hidden(&self.from), is_hidden(&self.to)) {
            (true, true) => Some("changed"),
            (false, true) => Some("added"),
            (true, false) => Some("removed"),
            // A secret was all that differs.
            (false, false) if self.from == self.to && !self.from.is_null() => Some("changed"),
            (false, false) => None,
        }
    }
}

/// The fields that differ, in the order of their names. A field that is only observed is none of the spec's business.
pub(crate) fn differences(has: &Fields, wants: &Fields) -> Vec<Change> {
    wants
        .iter()
        .filter_map(|(field, to)| {
            let from = has.get(field).cloned().unwrap_or(Value::Null);
            (from != *to).then(|| Change { field: (*field).to_owned(), from, to: to.clone() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_environment_shows_names_and_no_values_but_streamkits_own() {
        let change = Change {
            field: "environment".to_owned(),
            from: json!({"GONE": "secret-1", "KEPT": "secret-2", "PASSWORD": "secret-3", "STREAMKIT_TABLE": "a"}),
            to: json!({"KEPT": "secret-2", "NEW": "secret-4", "PASSWORD": "secret-5", "STREAMKIT_TABLE": "b"}),
        };
        let shown = change.shown();
        let told: Vec<_> = shown.iter().map(|change| (change.field.as_str(), change.hidden())).collect();
        assert_eq!(
            told,
            [
                ("environment.GONE", Some("removed")),
                ("environment.NEW", Some("added")),
                ("environment.PASSWORD", Some("changed")),
                ("environment.STREAMKIT_TABLE", None),
            ]
        );
        assert!(!serde_json::to_string(&shown).expect("JSON").contains("secret"), "{shown:?}");
        assert_eq!((&shown[3].from, &shown[3].to), (&json!("a"), &json!("b")));
        let other = Change { field: "memory".to_owned(), from: json!(1), to: json!(2) };
        assert_eq!(other.clone().shown(), [other]);
    }

    #[test]
    fn differences_show_changed_and_unset_fields_only() {
        let has = Fields::from([("shards", json!(1)), ("retention", json!("24h")), ("extra", json!(true))]);
        let wants = Fields::from([("shards", json!(2)), ("retention", json!("24h")), ("mode", json!("provisioned"))]);
        let changes = differences(&has, &wants);
        assert_eq!(
            changes,
            [
                Change { field: "mode".to_owned(), from: Value::Null, to: json!("provisioned") },
                Change { field: "shards".to_owned(), from: json!(1), to: json!(2) },
            ]
        );
    }
}
