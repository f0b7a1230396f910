//! Carries out the tasks of a run in the order of the graph; when one fails, the others go on.

use std::cell::Cell;
use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

use crate::aws::Tags;
use crate::critical_path::{Link, Span, path};
use crate::graph::{Need, Walk};
use crate::interrupt::Interrupt;
use crate::plan::Action;
use crate::resources::{Any, Cx, OwnedResource, Pending, Planned, Resource as _, Unseen, confirm, sync};

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
    Sync { resource: &'a Any, tags: &'a Tags, planned: Planned<'a> },
    /// Takes back the rights that a role has lost, when nothing uses them any more.
    Narrow(&'a Any),
    /// Deletes an orphan.
    Delete(&'a OwnedResource),
    /// Asks AWS to delete a resource of a pipeline that goes as a whole.
    BeginDeletion(&'a OwnedResource),
    /// Waits until it is gone.
    UntilGone(&'a OwnedResource),
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
    let mut unseen = Vec::new();
    let mut running = FuturesUnordered::new();
    let began = Instant::now();
    let cx = &cx.of_run_since(began.into());
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
                let existed = Cell::new(None);
                let result = work(task, &cx, || {
                    existed.set(Some(tokio::time::Instant::now()));
                    // The receiver lives as long as this loop.
                    let _ = exists.send(index);
                })
                .await;
                let now = tokio::time::Instant::now();
                let needed = (cx.needed_until(existed.get().unwrap_or(now)), cx.needed_until(now));
                (index, result, start, began.elapsed().as_secs_f64(), needed)
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
            Some((index, result, start, end, needed)) = running.next() => {
                let outcome = match result {
                    Ok(left) => {
                        walk.ready(index);
                        if let (Some(left), Work::Sync { resource, tags, .. }) = (left, &tasks[index].work) {
                            unseen.push(Pending { index, resource, tags, unseen: left });
                        }
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
                let end = Ended { outcome, span: Some(Span { start, exists: existed[index], end, needed }) };
                // What is only being deleted is told of when it is gone.
                if !(is_waited_for(tasks, index) && matches!(end.outcome, Outcome::Done)) {
                    show(Event::Ended { node: &tasks[index].node, action: tasks[index].action, ended: &end });
                }
                ended[index] = Some(end);
            }
            () = interrupt.changed(), if !interrupt.is_set() => show(Event::Draining { left: running.len() }),
            else => break,
        }
    }
    // Who asks to stop does not wait for what changes nothing.
    let failures = if interrupt.is_set() { Vec::new() } else { confirm(cx, unseen).await };
    for (index, error) in failures {
        let span = ended[index].as_ref().and_then(|end| end.span);
        ended[index] = Some(Ended { outcome: Outcome::Failed(error), span });
    }
    ended.into_iter().map(|end| end.unwrap_or(Ended::idle(Outcome::Interrupted))).collect()
}

/// What decided how long a run took.
pub(crate) fn critical_path(tasks: &[Task<'_>], ended: &[Ended]) -> Vec<Link> {
    let nodes: Vec<_> = tasks.iter().map(|task| (task.node.as_str(), task.needs.as_slice())).collect();
    let spans: Vec<_> = ended.iter().map(|end| end.span).collect();
    let mut links: Vec<Link> = Vec::new();
    for link in path(&nodes, &spans) {
        match links.last_mut() {
            // A change, and what is left of it to do after others.
            Some(last) if last.node == link.node => *last = link.and(last),
            _ => links.push(link),
        }
    }
    links
}

/// True for the beginning of a deletion whose end is waited for by another task.
fn is_waited_for(tasks: &[Task<'_>], index: usize) -> bool {
    let Work::BeginDeletion(begun) = tasks[index].work else { return false };
    tasks.iter().any(|task| matches!(task.work, Work::UntilGone(waited) if std::ptr::eq(begun, waited)))
}

async fn work(task: &Task<'_>, cx: &Cx, exists: impl FnOnce()) -> anyhow::Result<Option<Unseen>> {
    let (resource, tags, planned) = match task.work {
        Work::Delete(owned) => return owned.delete(cx).await.map(|()| None),
        Work::BeginDeletion(owned) => return owned.begin_deletion(cx).await.map(|()| None),
        Work::UntilGone(owned) => return owned.until_gone(cx).await.map(|()| None),
        Work::Narrow(resource) => {
            cx.note("narrowing its rights");
            return resource.narrow(cx).await.map(|()| None);
        }
        Work::Sync { resource, tags, planned } => (resource, tags, planned),
    };
    match task.action {
        Action::Unchanged if !planned.is_doubtful() => resource.ready(cx).await.map(|()| None),
        Action::Delete => resource.delete(cx).await.map(|()| None),
        Action::Replace => {
            if let Planned::Reviewed(reviewed) = planned {
                reviewed.again(resource, tags, &cx.as_of_now()).await?;
            }
            cx.note("preparing the replacement");
            resource.prepare_replacement(&cx.as_of_now()).await?;
            sync(resource, tags, cx, Planned::Unknown, exists).await
        }
        Action::Unchanged | Action::Create | Action::Update => sync(resource, tags, cx, planned, exists).await,
    }
}
