//! The order in which resources are deleted.

use crate::apply::{Ended, Outcome, Task, Work};
use crate::graph::{Need, Until};
use crate::plan::{Action, ResourceKind};
use crate::resources::OwnedResource;

/// What takes AWS a while to delete, and is gone in about this order.
const SLOW: [ResourceKind; 4] =
    [ResourceKind::Consumer, ResourceKind::Stream, ResourceKind::Mapping, ResourceKind::Table];

/// One task for each resource, and after these one for each that takes AWS a while.
///
/// A mapping's deletion begins before its function's, and both before that of what they write or log to: so nothing is invoked that
/// lacks what it uses. AWS takes all of that at once. The longest is waited for first: what has gone meanwhile costs one look.
pub(crate) fn tasks(owned: &[OwnedResource]) -> Vec<Task<'_>> {
    let waits_for = |kind: ResourceKind| -> &[ResourceKind] {
        match kind {
            ResourceKind::Dashboard | ResourceKind::Alarm | ResourceKind::Mapping => &[],
            ResourceKind::Function | ResourceKind::Consumer => &[ResourceKind::Mapping],
            ResourceKind::Stream => &[ResourceKind::Mapping, ResourceKind::Consumer],
            _ => &[ResourceKind::Mapping, ResourceKind::Function],
        }
    };
    let ready = |node: usize| Need { node, until: Until::Ready };
    let task = |resource: &OwnedResource, work, needs| Task {
        node: resource.node.clone(),
        action: Action::Delete,
        work,
        needs,
        unsettled: false,
    };
    let deletions = owned.iter().map(|resource| {
        let first = waits_for(resource.kind);
        let before = owned.iter().enumerate().filter(|(_, other)| first.contains(&other.kind));
        task(resource, Work::BeginDeletion(resource), before.map(|(node, _)| ready(node)).collect())
    });
    let mut tasks: Vec<_> = deletions.collect();
    let mut before: Vec<usize> = Vec::new();
    for kind in SLOW {
        let first = tasks.len();
        for (begun, resource) in of_kind(owned, kind) {
            let needs = before.iter().copied().chain([begun]).map(ready).collect();
            tasks.push(task(resource, Work::UntilGone(resource), needs));
        }
        if tasks.len() > first {
            before = (first..tasks.len()).collect();
        }
    }
    tasks
}

fn of_kind(owned: &[OwnedResource], kind: ResourceKind) -> impl Iterator<Item = (usize, &OwnedResource)> {
    owned.iter().enumerate().filter(move |(_, resource)| resource.kind == kind)
}

/// Takes the ends of the waits, which are the last ones, from the list: a resource is deleted when it is gone.
pub(crate) fn conclude(owned: &[OwnedResource], ended: &mut Vec<Ended>) {
    let waits = ended.split_off(owned.len().min(ended.len()));
    let places = SLOW.into_iter().flat_map(|kind| of_kind(owned, kind)).map(|(place, _)| place);
    for (place, wait) in places.zip(waits) {
        if matches!(ended[place].outcome, Outcome::Done) {
            ended[place].outcome = wait.outcome;
            if let (Some(begun), Some(gone)) = (&mut ended[place].span, wait.span) {
                begun.end = gone.end;
            }
        }
    }
}
