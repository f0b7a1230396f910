//! What a run will do: data only, made by one comparator that `plan` and `up` share.

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

/// All steps, in the order of the graph.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
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
