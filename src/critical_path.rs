//! What a run waited for: the chain of work that decided how long it took. No AWS, no async.

use serde::Serialize;

use crate::graph::{Need, Until};

/// When a piece of work was done, in seconds since the run began.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Span {
    pub(crate) start: f64,
    /// When the resource was there, if it was said before the end.
    pub(crate) exists: Option<f64>,
    pub(crate) end: f64,
    /// The seconds that AWS needed at least until it was there, and until the end.
    pub(crate) needed: (f64, f64),
}

impl Span {
    fn reaches(&self, until: Until) -> f64 {
        match until {
            Until::Exists => self.exists.unwrap_or(self.end),
            Until::Ready => self.end,
        }
    }

    fn needed(&self, until: Until) -> f64 {
        match until {
            Until::Exists if self.exists.is_some() => self.needed.0,
            Until::Exists | Until::Ready => self.needed.1,
        }
    }
}

/// One node on the critical path.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Link {
    pub(crate) node: String,
    /// From the moment when it could start to the moment when the next link could.
    pub(crate) seconds: f64,
    /// How much of `seconds` it stood ready to start while others had all the places that `--parallelism` gives.
    pub(crate) queued: f64,
    /// How much of `seconds` AWS needed at least, as the states that it showed tell: the rest is calls, pauses and waiting for
    /// other nodes.
    pub(crate) aws_seconds: f64,
    /// What the next link waited for.
    pub(crate) until: Until,
}

impl Link {
    /// One link for this and an earlier one of the same node.
    pub(crate) fn and(self, earlier: &Self) -> Self {
        Self {
            seconds: earlier.seconds + self.seconds,
            queued: earlier.queued + self.queued,
            aws_seconds: earlier.aws_seconds + self.aws_seconds,
            ..self
        }
    }
}

/// The chain that ends with the work that ended last, in the order of time; empty when nothing was done.
///
/// Each link is what the next one waited for longest, so the seconds of all add up to the moment at which the last ended.
pub(crate) fn path(nodes: &[(&str, &[Need])], spans: &[Option<Span>]) -> Vec<Link> {
    let span = |node: usize| spans.get(node).copied().flatten();
    let last = spans
        .iter()
        .enumerate()
        .filter_map(|(node, span)| span.map(|span| (node, span)))
        .max_by(|a, b| a.1.end.total_cmp(&b.1.end));
    let mut links = Vec::new();
    let mut next = last.map(|(node, span)| (node, span, Until::Ready));
    while let Some((node, at, until)) = next {
        let (name, needs) = nodes[node];
        let before = needs
            .iter()
            .filter_map(|need| span(need.node).map(|span| (need.node, span, need.until)))
            .max_by(|a, b| a.1.reaches(a.2).total_cmp(&b.1.reaches(b.2)));
        let free = before.map_or(0.0, |(_, span, until)| span.reaches(until));
        links.push(Link {
            node: name.to_owned(),
            seconds: at.reaches(until) - free,
            queued: (at.start - free).max(0.0),
            aws_seconds: at.needed(until),
            until,
        });
        next = before;
    }
    links.reverse();
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: f64, exists: Option<f64>, end: f64) -> Span {
        Span { start, exists, end, needed: (exists.unwrap_or(end) - start, end - start) }
    }

    fn texts(links: &[Link]) -> Vec<String> {
        links
            .iter()
            .map(|link| format!("{} {} {} {}", link.node, link.seconds, link.queued, link.aws_seconds))
            .collect()
    }

    #[test]
    fn the_path_follows_what_each_node_waited_for_longest() {
        let ready = |node| Need { node, until: Until::Ready };
        let exists = |node| Need { node, until: Until::Exists };
        let on_both = [exists(2), ready(0)];
        let on_role = [ready(1)];
        let nodes: [(&str, &[Need]); 4] =
            [("stream", &[]), ("role", &[]), ("function", &on_role), ("mapping", &on_both)];
        // The function exists long before it is ready, and the mapping waits for no more than that.
        let spans = [span(0.0, Some(1.0), 3.0), span(0.0, None, 4.0), span(4.0, Some(5.0), 9.0), span(5.5, None, 11.5)];
        assert_eq!(texts(&path(&nodes, &spans.map(Some))), ["role 4 0 4", "function 1 0 1", "mapping 6.5 0.5 6"]);
        // Nothing was to be done for the function and the role, so the stream decided.
        let spans = [Some(span(0.0, Some(1.0), 3.0)), None, None, Some(span(3.0, None, 4.0))];
        assert_eq!(texts(&path(&nodes, &spans)), ["stream 3 0 3", "mapping 1 0 1"]);
        assert_eq!(path(&nodes, &[None; 4]), []);
    }
}
