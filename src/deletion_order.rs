//! The order in which resources are taken away.

use crate::apply::Task;
use crate::aws::Tags;
use crate::graph::{Need, Until};
use crate::plan::{Action, ResourceKind};
use crate::resources::Leftover;

/// A mapping goes before its function, and both before what they read, write or log to.
pub(crate) fn tasks(found: &[Leftover]) -> Vec<Task<'_>> {
    let waits_for = |kind: ResourceKind| -> &[ResourceKind] {
        match kind {
            ResourceKind::Dashboard | ResourceKind::Alarm | ResourceKind::Mapping => &[],
            ResourceKind::Function | ResourceKind::Consumer => &[ResourceKind::Mapping],
            ResourceKind::Stream => &[ResourceKind::Mapping, ResourceKind::Function, ResourceKind::Consumer],
            _ => &[ResourceKind::Mapping, ResourceKind::Function],
        }
    };
    found
        .iter()
        .map(|leftover| {
            let first = waits_for(leftover.resource.kind());
            let before = found.iter().enumerate().filter(|(_, other)| first.contains(&other.resource.kind()));
            Task {
                node: leftover.node.clone(),
                action: Action::Delete,
                resource: &leftover.resource,
                tags: Tags::new(),
                needs: before.map(|(node, _)| Need { node, until: Until::Ready }).collect(),
                unsettled: false,
            }
        })
        .collect()
}
