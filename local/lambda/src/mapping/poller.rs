//! Runs a mapping: watches the shards of its stream and keeps a worker at work on each that may be read.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use streamkit_wire::CallError;
use tokio::sync::oneshot;
use tokio::task::{Id, JoinSet};

use super::checkpoints::WorkerId;
use super::settings::Start;
use super::shard_worker::{ShardWorker, Shared};
use super::source::{Part, Position, Shard, Source};
use crate::ports::Transition;

/// How often the stream is looked at for new shards.
const SHARD_LIST_INTERVAL: Duration = Duration::from_secs(1);
/// Pause before a worker that panicked is started again: it may panic at once.
pub(crate) const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Runs until the mapping stops; workers then finish the invocation that they are in. Tells `ready` once reading has begun.
pub(crate) async fn run<S: Source>(shared: Arc<Shared>, source: S, ready: oneshot::Sender<()>) {
    // An enabled mapping of AWS reads nothing at first; what LATEST means is settled when it begins.
    let unready = shared.mapping.time(&*shared.engine.ports.transitions, Transition::MappingPolling);
    shared.stop.run_until_cancelled(tokio::time::sleep(unready)).await;
    let mut ready = Some(ready);
    let mut workers = JoinSet::new();
    let mut running: HashMap<WorkerId, Id> = HashMap::new();
    shared.mapping.checkpoints().split(shared.settings.parallelization);
    while !shared.stop.is_cancelled() {
        match look(&shared, &source).await {
            Ok(shards) => {
                let readable = shared.mapping.checkpoints().readable(&shards);
                for id in readable {
                    if running.contains_key(&id) {
                        continue;
                    }
                    let from = shared.mapping.checkpoints().position(&id);
                    let part = Part { index: id.1, of: shared.settings.parallelization };
                    let reader = source.reader(&id.0, part, from);
                    let shared = Arc::clone(&shared);
                    let worker = workers.spawn(ShardWorker::run(shared, id.clone(), reader));
                    running.insert(id, worker.id());
                }
                if let Some(ready) = ready.take() {
                    // Nobody waits when the mapping was deleted at once.
                    let _ = ready.send(());
                }
            }
            Err(error) => shared.mapping.result(&format!("PROBLEM: {error}")),
        }
        tokio::select! {
            Some(ended) = workers.join_next_with_id() => {
                let (task, finished) = match ended {
                    Ok((task, finished)) => (task, Ok(finished)),
                    Err(error) => (error.id(), Err(error)),
                };
                let id = running.iter().find(|(_, other)| **other == task).map(|(id, _)| id.clone());
                match (finished, id) {
                    // It stays among those that ran, so that it does not run again.
                    (Ok(true), Some(id)) => shared.mapping.checkpoints().finish(id),
                    (ended, Some(id)) if !shared.stop.is_cancelled() => {
                        // A fault of ours; what it panicked with is on the standard error already. Its records stay where they
                        // are, and are read again from the checkpoint.
                        let why = ended.err().map_or_else(|| "its reader ended".to_owned(), |error| error.to_string());
                        shared.mapping.result(&format!("PROBLEM: the worker of shard {} ended and is started again: {why}", id.0));
                        shared.stop.run_until_cancelled(tokio::time::sleep(RESTART_PAUSE)).await;
                        running.remove(&id);
                    }
                    _ => {}
                }
            }
            () = tokio::time::sleep(SHARD_LIST_INTERVAL) => {}
            () = shared.stop.cancelled() => {}
        }
    }
    while workers.join_next().await.is_some() {}
}

/// Lists the shards; the first time, also settles where each begins.
async fn look<S: Source>(shared: &Shared, source: &S) -> Result<Vec<Shard>, CallError> {
    let shards = source.shards().await?;
    shared.retention_ms.store(source.retention_ms().await?, Ordering::Relaxed);
    if !shared.mapping.checkpoints().began() {
        let mut initial = HashMap::new();
        for shard in &shards {
            let position = match shared.settings.start {
                Start::TrimHorizon => Position::TrimHorizon,
                Start::AtTimestamp(ms) => Position::AtTimestamp(ms),
                // What is closed will get no record after now.
                Start::Latest if shard.closed => continue,
                Start::Latest => source.end(&shard.id).await?,
            };
            initial.insert(shard.id.clone(), position);
        }
        shared.mapping.checkpoints().begin(&shards, initial);
    }
    Ok(shards)
}
