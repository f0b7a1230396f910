//! The order of the work: no AWS, no async.

use serde::Serialize;

/// What a node needs of another before it can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    /// The other node's index.
    pub(crate) node: usize,
    pub(crate) until: Until,
}

/// How far another node must have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Until {
    /// It exists; its own wait may go on.
    Exists,
    /// It can be used.
    Ready,
}

/// Keeps track of which nodes may start.
#[derive(Debug)]
pub(crate) struct Walk {
    needs: Vec<Vec<Need>>,
    state: Vec<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Started,
    Exists,
    Ready,
    /// Failed, or skipped because of another.
    Broken,
}

impl Walk {
    pub(crate) fn new(needs: Vec<Vec<Need>>) -> Self {
        let state = vec![State::Waiting; needs.len()];
        Self { needs, state }
    }

    /// The next node that can start, marked as started.
    pub(crate) fn next(&mut self) -> Option<usize> {
        let reached = |need: &Need| match self.state[need.node] {
            State::Ready => true,
            State::Exists => need.until == Until::Exists,
            _ => false,
        };
        let free = (0..self.needs.len())
            .find(|node| self.state[*node] == State::Waiting && self.needs[*node].iter().all(reached))?;
        self.state[free] = State::Started;
        Some(free)
    }

    pub(crate) fn exists(&mut self, node: usize) {
        if self.state[node] == State::Started {
            self.state[node] = State::Exists;
        }
    }

    pub(crate) fn ready(&mut self, node: usize) {
        self.state[node] = State::Ready;
    }

    /// Marks a node as failed, and gives every node that now can't start, each with the one that it directly waited for.
    pub(crate) fn broken(&mut self, node: usize) -> Vec<(usize, usize)> {
        self.state[node] = State::Broken;
        let mut skipped = Vec::new();
        let mut causes = vec![node];
        while let Some(cause) = causes.pop() {
            for other in 0..self.needs.len() {
                if self.state[other] == State::Waiting && self.needs[other].iter().any(|need| need.node == cause) {
                    self.state[other] = State::Broken;
                    skipped.push((other, cause));
                    causes.push(other);
                }
            }
        }
        skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(node: usize) -> Need {
        Need { node, until: Until::Ready }
    }

    #[test]
    fn nodes_start_when_their_needs_are_met_and_no_sooner() {
        let mut walk = Walk::new(vec![vec![], vec![Need { node: 0, until: Until::Exists }], vec![ready(0), ready(1)]]);
        assert_eq!((walk.next(), walk.next()), (Some(0), None));
        walk.exists(0);
        assert_eq!((walk.next(), walk.next()), (Some(1), None));
        walk.ready(1);
        assert_eq!(walk.next(), None);
        walk.ready(0);
        assert_eq!((walk.next(), walk.next()), (Some(2), None));
    }

    #[test]
    fn a_broken_node_skips_what_depends_on_it_and_nothing_else() {
        let mut walk = Walk::new(vec![vec![], vec![ready(0)], vec![ready(1)], vec![]]);
        assert_eq!(walk.next(), Some(0));
        let mut skipped = walk.broken(0);
        skipped.sort_unstable();
        assert_eq!(skipped, [(1, 0), (2, 1)]);
        assert_eq!((walk.next(), walk.next()), (Some(3), None));
    }
}
