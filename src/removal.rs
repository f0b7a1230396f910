//! The order in which resources are taken away.

use crate::apply::Task;
use crate::aws::Tags;
use crate::graph::{Need, Until};
use crate::plan::Action;
use crate::resources::{Leftover, Type};

/// A mapping goes before its function, and both before what they read, write or log to.
pub(crate) fn tasks(found: &[Leftover]) -> Vec<Task<'_>> {
    let waits_for = |kind: Type| -> &[Type] {
        match kind {
            Type::Dashboard | Type::Alarm | Type::Mapping => &[],
            Type::Function | Type::Consumer => &[Type::Mapping],
            Type::Stream => &[Type::Mapping, Type::Function, Type::Consumer],
            _ => &[Type::Mapping, Type::Function],
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
