//! Rights that a role loses are taken back last: when its function, and whatever reads for it, has moved.

use crate::apply::{Ended, Outcome, Task, Work};
use crate::graph::{Need, Until};
use crate::pipeline::Node;
use crate::plan::{Action, Plan};
use crate::resources::{Any, Resource as _};

/// The roles whose policy the plan changes, by their places in it.
fn changed_roles<'a>(nodes: &'a [Node], plan: &'a Plan) -> impl Iterator<Item = usize> + 'a {
    let changes_policy = |(node, step): (&Node, &crate::plan::Step)| {
        matches!(node.resource.inner(), Any::Role(_))
            && step.action == Action::Update
            && step.changes.iter().any(|change| node.resource.until_narrowed(change).is_some())
    };
    nodes.iter().zip(&plan.steps).enumerate().filter(move |(_, pair)| changes_policy(*pair)).map(|(index, _)| index)
}

/// One task for each such role, after the nodes that need it.
pub(crate) fn tasks<'a>(nodes: &'a [Node], plan: &Plan) -> Vec<Task<'a>> {
    changed_roles(nodes, plan)
        .map(|role| Task {
            node: nodes[role].id.clone(),
            action: Action::Update,
            work: Work::Narrow(&nodes[role].resource),
            needs: users_of(nodes, role).into_iter().map(|node| Need { node, until: Until::Ready }).collect(),
            unsettled: false,
        })
        .collect()
}

/// The node itself, and those that need it, directly or not. Nodes come after what they need.
fn users_of(nodes: &[Node], first: usize) -> Vec<usize> {
    let mut users = vec![first];
    for (index, node) in nodes.iter().enumerate() {
        if node.needs.iter().any(|need| users.contains(&need.node)) {
            users.push(index);
        }
    }
    users
}

/// Takes the ends of those tasks, which are the last ones, from the list: a role is done when it has been narrowed, too.
pub(crate) fn conclude(nodes: &[Node], plan: &Plan, ended: &mut Vec<Ended>) {
    let roles: Vec<_> = changed_roles(nodes, plan).collect();
    let narrowed = ended.split_off(ended.len().saturating_sub(roles.len()));
    for (role, narrowed) in roles.into_iter().zip(narrowed) {
        if matches!(ended[role].outcome, Outcome::Done) {
            ended[role].outcome = narrowed.outcome;
        }
    }
}
