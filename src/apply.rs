//! Carries out the tasks of a run in the order of the graph; when one fails, the others go on.

use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

use crate::aws::Tags;
use crate::critical_path::{Link, Span, path};
use crate::graph::{Need, Walk};
use crate::interrupt::Interrupt;
use crate::plan::Action;
use crate::resources::{Any, Cx, OwnedResource, Resource as _, sync};

/// What is done to one node.
pub(crate) struct Task<'a> {
    pub(crate) node: String,
    pub(crate) action: Action,
    pub(crate) work: Work<'a>,
    pub(crate) needs: Vec<Need>,
    /// An unchanged resource that is not usable yet.
    pub(crate) unsettled: bool,
}

/// What is done to a resource.
pub(crate) enum Work<'a> {
    /// Brings a resource of the spec in line with it.
    Sync { resource: &'a Any, tags: &'a Tags },
    /// Takes back the rights that a role has lost, when nothing uses them any more.
    Narrow(&'a Any),
    /// Deletes an orphan, or for `down` any resource of the pipeline.
    Delete(&'a OwnedResource),
}

/// How a task ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done,
    Failed(anyhow::Error),
    /// Not started because the named node failed or was skipped.
    Skipped {
        because: String,
    },
    /// Not started because of Ctrl-C.
    Interrupted,
}

/// A task's end, in the order of the tasks.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    /// When it was worked on; `None` where there was nothing to do, or nothing was begun.
    pub(crate) span: Option<Span>,
}

impl Ended {
    fn idle(outcome: Outcome) -> Self {
        Self { outcome, span: None }
    }

    /// How long it was worked on.
    pub(crate) fn seconds(&self) -> f64 {
        self.span.map_or(0.0, |span| span.end - span.start)
    }
}

/// What happens during a run, for the reporter.
pub(crate) enum Event<'a> {
    Started { node: &'a str, action: Action },
    Note { node: &'a str, text: &'a str },
    Ended { node: &'a str, action: Action, ended: &'a Ended },
    Draining { left: usize },
}

/// Carries out all tasks, at most `parallelism` at a time.
///
/// A failed task stops those that need it; the others go on. After the first Ctrl-C nothing new starts.
pub(crate) async fn run(
    tasks: &[Task<'_>],
    cx: &Cx,
    parallelism: usize,
    interrupt: &mut Interrupt,
    show: &mut dyn FnMut(Event<'_>),
) -> Vec<Ended> {
    let mut walk = Walk::new(tasks.iter().map(|task| task.needs.clone()).collect());
    let mut ended: Vec<Option<Ended>> = tasks.iter().map(|_| None).collect();
    let (notes, mut texts) = mpsc::unbounded_channel::<(String, String)>();
    let (exists, mut there) = mpsc::unbounded_channel::<usize>();
    let mut existed: Vec<Option<f64>> = vec![None; tasks.len()];
    let mut running = FuturesUnordered::new();
    let began = Instant::now();
    loop {
        while running.len() < parallelism && !interrupt.is_set() {
            let Some(index) = walk.next() else { break };
            let task = &tasks[index];
            if task.action == Action::Unchanged && !task.unsettled {
                walk.ready(index);
                ended[index] = Some(Ended::idle(Outcome::Done));
                continue;
            }
            show(Event::Started { node: &task.node, action: task.action });
            let cx = cx.for_node(&task.node, notes.clone());
            let exists = exists.clone();
            running.push(async move {
                let start = began.elapsed().as_secs_f64();
                let result = work(task, &cx, || {
                    // The receiver lives as long as this loop.
                    let _ = exists.send(index);
                })
                .await;
                (index, result, start, began.elapsed().as_secs_f64())
            });
        }
        // Nothing runs and nothing more can start: all that is left is done, skipped or interrupted.
        if running.is_empty() {
            break;
        }
        tokio::select! {
            biased;
            Some((node, text)) = texts.recv() => show(Event::Note { node: &node, text: &text }),
            Some(index) = there.recv() => {
                existed[index] = Some(began.elapsed().as_secs_f64());
                walk.exists(index);
            }
            Some((index, result, start, end)) = running.next() => {
                let outcome = match result {
                    Ok(()) => {
                        walk.ready(index);
                        Outcome::Done
                    }
                    Err(error) => {
                        for (skipped, cause) in walk.broken(index) {
                            let outcome = Outcome::Skipped { because: tasks[cause].node.clone() };
                            ended[skipped] = Some(Ended::idle(outcome));
                        }
                        Outcome::Failed(error)
                    }
                };
                let end = Ended { outcome, span: Some(Span { start, exists: existed[index], end }) };
                show(Event::Ended { node: &tasks[index].node, action: tasks[index].action, ended: &end });
                ended[index] = Some(end);
            }
            () = interrupt.changed(), if !interrupt.is_set() => show(Event::Draining { left: running.len() }),
            else => break,
        }
    }
    ended.into_iter().map(|end| end.unwrap_or(Ended::idle(Outcome::Interrupted))).collect()
}

/// What decided how long a run took.
pub(crate) fn critical_path(tasks: &[Task<'_>], ended: &[Ended]) -> Vec<Link> {
    let nodes: Vec<_> = tasks.iter().map(|task| (task.node.as_str(), task.needs.as_slice())).collect();
    let spans: Vec<_> = ended.iter().map(|end| end.span).collect();
    path(&nodes, &spans)
}

async fn work(task: &Task<'_>, cx: &Cx, exists: impl FnOnce()) -> anyhow::Result<()> {
    let (resource, tags) = match task.work {
        Work::Delete(owned) => return owned.delete(cx).await,
        Work::Narrow(resource) => {
            cx.note("narrowing its rights");
            return resource.narrow(cx).await;
        }
        Work::Sync { resource, tags } => (resource, tags),
    };
    match task.action {
        Action::Unchanged => resource.ready(cx).await,
        Action::Delete => resource.delete(cx).await,
        Action::Replace => {
            cx.note("preparing the replacement");
            resource.prepare_replacement(cx).await?;
            sync(resource, tags, cx, exists).await
        }
        Action::Create | Action::Update => sync(resource, tags, cx, exists).await,
    }
}
