//! The order in which resources are deleted.

use crate::apply::{self, Ended, Outcome, Task, Work};
use crate::critical_path::Link;
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
/// A stream that is copied into other regions goes after all that is there, since its tags say where to look.
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
    let deletions = owned.iter().enumerate().map(|(place, resource)| {
        let first = waits_for(resource.kind);
        let before = owned.iter().enumerate().filter(|(other, before)| {
            first.contains(&before.kind)
                || is_replica_before((*other, before), (place, resource))
                || before.region.is_some() && resource.region.is_none() && !resource.feeds.is_empty()
        });
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

/// Replicas go one after the other, and before the table that they are of: AWS deletes in no other order. Each is gone when its
/// deletion has begun.
fn is_replica_before((place, replica): (usize, &OwnedResource), (of, table): (usize, &OwnedResource)) -> bool {
    let tables = [replica, table].iter().all(|resource| resource.kind == ResourceKind::Table);
    tables && replica.name == table.name && replica.region.is_some() && (table.region.is_none() || place < of)
}

/// What decided how long the deletions took: each resource once, where it was waited for, with the time that its deletion took to
/// begin.
pub(crate) fn critical_path(tasks: &[Task<'_>], ended: &[Ended]) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    for link in apply::critical_path(tasks, ended) {
        let begun = links.iter().position(|begun| begun.node == link.node).map(|place| links.remove(place));
        links.push(match begun {
            Some(begun) => link.and(&begun),
            None => link,
        });
    }
    links
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::critical_path::Span;

    #[test]
    fn a_resource_is_once_on_the_critical_path_with_all_of_its_time() {
        let owned = |kind, name: &str| OwnedResource::new(kind, name, String::new(), format!("{name}.node"));
        let owned = [owned(ResourceKind::Mapping, "mapping"), owned(ResourceKind::Stream, "stream")];
        let tasks = tasks(&owned);
        let ended = |start: f64, end: f64| Ended {
            outcome: Outcome::Done,
            span: Some(Span { start, exists: None, end, needed: (0.0, 0.0) }),
        };
        // Both begin, the stream first is waited for, and the mapping goes last.
        let ended = [ended(0.0, 1.0), ended(1.0, 2.0), ended(2.0, 6.0), ended(6.0, 9.0)];
        let path = critical_path(&tasks, &ended);
        let path: Vec<_> = path.iter().map(|link| (link.node.as_str(), link.seconds)).collect();
        assert_eq!(path, [("stream.node", 5.0), ("mapping.node", 4.0)]);
    }
}
