//! What was found in AWS.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudwatch::types::MetricAlarm;
use aws_sdk_lambda::types::{EventSourceMappingConfiguration, FunctionConfiguration};
use serde::Serialize;
use serde_json::Value;
use streamkit_recipes::Sampled;

use crate::aws::Tags;
use crate::plan::Fields;
use crate::resources::Subscription;
use crate::spec::SectionKind;

/// What the variables of streamkit's handler begin with.
pub(super) const OWN_VARIABLES: &str = "STREAMKIT_";

/// Something by its kind and its name in AWS.
pub(super) type Thing = (SectionKind, String);

/// What a file can't say, and so what is not in it, or otherwise than in AWS.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Gap {
    /// What it is about, as AWS calls it.
    pub(crate) what: String,
    pub(crate) why: String,
}

/// A function, and what comes with it.
#[derive(Debug)]
pub(super) struct FoundFunction {
    pub(super) name: String,
    pub(super) configuration: FunctionConfiguration,
    pub(super) reserved_concurrency: Option<i32>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) tags: Tags,
    pub(super) mappings: Vec<EventSourceMappingConfiguration>,
    /// Days; `None` where logs never expire.
    pub(super) log_retention: Option<i32>,
    /// The statements of its role's policies that allow something.
    pub(super) statements: Vec<Value>,
    /// Regions in which there is a function of the same name that reads a replica of the same table.
    pub(super) regions: BTreeSet<String>,
}

impl FoundFunction {
    /// What streamkit's handler was told in this variable.
    pub(super) fn told(&self, name: &str) -> Option<&str> {
        self.environment.get(&format!("{OWN_VARIABLES}{name}")).map(String::as_str)
    }

    /// The recipe that it runs, if it is streamkit's handler.
    pub(super) fn recipe(&self) -> Option<&'static dyn Sampled> {
        self.told("RECIPE").and_then(streamkit_recipes::find)
    }

    /// Whether its recipe counts in this namespace.
    pub(super) fn counts_in(&self, namespace: &str) -> bool {
        self.recipe().is_some_and(|recipe| recipe.namespace() == namespace)
    }
}

/// Anything but a function or an alarm.
#[derive(Debug)]
pub(super) struct FoundThing {
    /// As plans have them.
    pub(super) fields: Fields,
    pub(super) tags: Tags,
    /// Of a topic.
    pub(super) subscriptions: Vec<Subscription>,
    /// Of a table.
    pub(super) replicas: Vec<String>,
}

/// All that hangs together.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(super) functions: Vec<FoundFunction>,
    pub(super) things: BTreeMap<Thing, FoundThing>,
    pub(super) alarms: Vec<MetricAlarm>,
    /// The names of the account's dashboards.
    pub(super) dashboards: BTreeSet<String>,
    pub(super) gaps: BTreeSet<Gap>,
}

impl Found {
    pub(super) fn gap(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.gaps.insert(Gap { what: what.into(), why: why.into() });
    }
}
