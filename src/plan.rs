//! What a run will do: data only, made by one comparator that `plan` and `up` share.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use crate::resources::{Fields, Type};

/// What happens to one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Create,
    Update,
    Replace,
    Delete,
    Unchanged,
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
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

impl Change {
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

    /// How a hidden value changes; `None` for one that may be read.
    pub(crate) fn hidden(&self) -> Option<&'static str> {
        let is_hidden = |value: &Value| value == HIDDEN && self.field.starts_with("environment.");
        match (is_hidden(&self.from), is_hidden(&self.to)) {
            (true, true) => Some("changed"),
            (false, true) => Some("added"),
            (true, false) => Some("removed"),
            (false, false) => None,
        }
    }
}

/// What happens to one node.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) node: String,
    pub(crate) kind: Type,
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) action: Action,
    pub(crate) changes: Vec<Change>,
    /// What a replacement or deletion loses.
    pub(crate) loses: Option<String>,
    /// How a replacement goes on where the old one ended, when nothing is lost.
    pub(crate) goes_on: Option<&'static str>,
    /// Why the step may not be taken, and how to allow it.
    pub(crate) refused: Option<Refusal>,
    /// An unchanged resource that is still being made by an earlier run.
    pub(crate) unsettled: bool,
}

/// Why a step may not be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) why: String,
    pub(crate) hint: String,
}

/// Something that will be done, or is so, and that one should know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Warning {
    /// The lint's id, or that of the check before the run.
    pub(crate) rule: &'static str,
    /// The node or section that it is about.
    pub(crate) node: String,
    /// Where in the spec, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<usize>,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// How many invocations of a function its source keeps going at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Concurrency {
    /// The function's node.
    pub(crate) function: String,
    /// Open shards of the source; null for a source that has as many as it needs.
    pub(crate) shards: Option<i64>,
    pub(crate) parallelization_factor: i64,
    /// Shards times factor, or what is reserved where that is less; null where the shards are not known.
    pub(crate) invocations: Option<i64>,
    /// No more than these, whatever the shards and the factor say.
    pub(crate) reserved: Option<i64>,
}

impl Concurrency {
    pub(crate) fn new(function: String, shards: Option<i64>, factor: i64, reserved: Option<i64>) -> Self {
        let wanted = shards.map(|shards| shards * factor);
        let invocations = wanted.map(|wanted| reserved.map_or(wanted, |reserved| reserved.min(wanted)));
        Self { function, shards, parallelization_factor: factor, invocations, reserved }
    }
}

/// All steps, in the order of the graph.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) concurrency: Vec<Concurrency>,
    /// What was seen before the run that one should know of.
    pub(crate) warnings: Vec<Warning>,
}

impl Plan {
    /// True when carrying it out would send no mutating call.
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.iter().all(|step| step.action == Action::Unchanged)
    }

    pub(crate) fn refusals(&self) -> impl Iterator<Item = (&Step, &Refusal)> {
        self.steps.iter().filter_map(|step| step.refused.as_ref().map(|refusal| (step, refusal)))
    }

    pub(crate) fn count(&self, action: Action) -> usize {
        self.steps.iter().filter(|step| step.action == action).count()
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
    fn concurrency_is_shards_times_factor_and_no_more_than_what_is_reserved() {
        for (shards, factor, reserved, invocations) in [
            (Some(1), 1, None, Some(1)),
            (Some(4), 1, None, Some(4)),
            (Some(4), 5, None, Some(20)),
            (Some(10), 10, Some(30), Some(30)),
            (Some(2), 2, Some(30), Some(4)),
            (None, 2, None, None),
        ] {
            let concurrency = Concurrency::new("f".to_owned(), shards, factor, reserved);
            assert_eq!(concurrency.invocations, invocations, "{concurrency:?}");
        }
    }

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
