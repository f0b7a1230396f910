//! The order in which resources are deleted.

use crate::apply::{Task, Work};
use crate::graph::{Need, Until};
use crate::plan::{Action, ResourceKind};
use crate::resources::OwnedResource;

/// One task for each resource: a mapping is deleted before its function, and both before what they read, write or log to.
pub(crate) fn tasks(owned: &[OwnedResource]) -> Vec<Task<'_>> {
    let waits_for = |kind: ResourceKind| -> &[ResourceKind] {
        match kind {
            ResourceKind::Dashboard | ResourceKind::Alarm | ResourceKind::Mapping => &[],
            ResourceKind::Function | ResourceKind::Consumer => &[ResourceKind::Mapping],
            ResourceKind::Stream => &[ResourceKind::Mapping, ResourceKind::Function, ResourceKind::Consumer],
            _ => &[ResourceKind::Mapping, ResourceKind::Function],
        }
    };
    owned
        .iter()
        .map(|resource| {
            let first = waits_for(resource.kind);
            let before = owned.iter().enumerate().filter(|(_, other)| first.contains(&other.kind));
            Task {
                node: resource.node.clone(),
                action: Action::Delete,
                work: Work::Delete(resource),
                needs: before.map(|(node, _)| Need { node, until: Until::Ready }).collect(),
                unsettled: false,
            }
        })
        .collect()
}
