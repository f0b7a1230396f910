//! What a run will do: data only.

mod change;
mod kind;

use std::collections::BTreeSet;

pub(crate) use change::{Change, Fields, Secrets, Variable, differences};
pub(crate) use kind::ResourceKind;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What happens to one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Create,
    Update,
    Replace,
    Delete,
    Unchanged,
}

impl Action {
    /// What has been done when it is over.
    pub(crate) fn done(self) -> &'static str {
        match self {
            Self::Create => "created",
            Self::Update => "changed",
            Self::Replace => "replaced",
            Self::Delete => "deleted",
            Self::Unchanged => "left as it is",
        }
    }
}

/// Which pipeline a plan is of, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Place {
    pub(crate) pipeline: String,
    pub(crate) stage: Option<String>,
    /// Null where nobody was asked: no embedded AWS runs.
    pub(crate) account: Option<String>,
    pub(crate) region: Option<String>,
}

/// The region in which a node is, where that is not the one that the pipeline itself is in: its id ends in it, after an `@`.
pub(crate) fn region_of(node: &str) -> Option<&str> {
    node.split_once('@').map(|(_, region)| region)
}

/// The id that the same node has in the region that the pipeline itself is in.
pub(crate) fn id_at_home(node: &str) -> &str {
    node.split_once('@').map_or(node, |(id, _)| id)
}

/// What happens to one node.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) node: String,
    pub(crate) kind: ResourceKind,
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) action: Action,
    /// The fields that differ; for a creation all that the resource gets.
    pub(crate) changes: Vec<Change>,
    /// Fields of a creation that go without saying: they have their defaults, or follow from other settings.
    pub(crate) defaults: BTreeSet<String>,
    /// What a replacement or deletion loses.
    pub(crate) loses: Option<String>,
    /// How a replacement goes on where the old one ended, when nothing is lost.
    pub(crate) continuity: Option<&'static str>,
    /// Why the step may not be taken, and how to allow it.
    pub(crate) refused: Option<Refusal>,
    /// An unchanged resource that is still being made by an earlier run.
    pub(crate) unsettled: bool,
    /// All that the resource is to be, secrets included: never shown.
    pub(crate) wanted: Value,
    /// All that was seen of it and counts; never shown either.
    pub(crate) seen: Value,
}

impl Step {
    /// A step that changes no field, loses nothing and is not refused.
    pub(crate) fn new(node: &str, kind: ResourceKind, name: &str, action: Action) -> Self {
        Self {
            node: node.to_owned(),
            kind,
            name: name.to_owned(),
            arn: String::new(),
            action,
            changes: Vec::new(),
            defaults: BTreeSet::new(),
            loses: None,
            continuity: None,
            refused: None,
            unsettled: false,
            wanted: Value::Null,
            seen: Value::Null,
        }
    }
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

#[cfg(test)]
mod tests {
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
}
