//! The end of every run: its items and dead letters are deleted, late ones too.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::check::Verdict;
use super::poison;
use super::stream_run::StreamRun;
use super::validation::LATE_EFFECTS;
use crate::report::counted;

/// Between two looks. The last one must find nothing: an event may be delivered again at any time.
const PAUSE: Duration = Duration::from_millis(300);

/// For how long other functions that read the same stream may still work on the run's events.
const SIBLINGS: Duration = Duration::from_secs(6);

pub(super) async fn check(run: &mut StreamRun<'_>) -> anyhow::Result<Verdict> {
    let result = clean(run).await;
    // Whatever has happened: nobody else's messages stay hidden.
    if let Some(queue) = &mut run.dead_letter_queue {
        queue.put_back().await?;
    }
    for sibling in &mut run.siblings {
        sibling.put_back().await?;
    }
    result
}

async fn clean(run: &mut StreamRun<'_>) -> anyhow::Result<Verdict> {
    use std::fmt::Write as _;
    if run.partitions.is_empty() && run.poison_partitions.is_empty() && run.good.is_empty() {
        return Ok(Verdict::new(true, "nothing was sent"));
    }
    let deadline = Instant::now() + LATE_EFFECTS.min(run.validation.limit);
    let mut items = 0;
    let mut left = 0;
    let mut quiet = false;
    // Those of other functions are nobody's to wait for: a filter may keep the events from them.
    let alone = run.siblings.is_empty() && run.archives.is_empty() && run.downstream.is_empty();
    let settled = Instant::now() + if alone { Duration::ZERO } else { SIBLINGS };
    while !quiet || Instant::now() < settled {
        run.look().await?;
        let keys = run.table.keys(&run.partitions.union(&run.poison_partitions).cloned().collect()).await?;
        run.table.delete(&keys).await?;
        left = keys.len();
        if let Some(memory) = &run.memory {
            left += memory.clean().await?;
        }
        items += left;
        let mut of_siblings = 0;
        for sibling in &mut run.siblings {
            of_siblings += sibling.clean(&run.validation.run_id).await?;
        }
        for downstream in &run.downstream {
            of_siblings += downstream.clean(run).await?;
        }
        items += of_siblings;
        if !run.is_archive() {
            Box::pin(run.look_into_archives()).await?;
        }
        let unarchived = !run.unarchived().is_empty() && Instant::now() < settled;
        let mut dead_letters = 0;
        while run.dead_letter_queue.is_some() && !run.poison_partitions.is_empty() && poison::receive(run).await? {
            dead_letters += 1;
        }
        let waiting = !run.gave_up && under_way(run) > 0;
        quiet = left == 0 && of_siblings == 0 && dead_letters == 0 && !waiting && !unarchived;
        if Instant::now() >= deadline {
            break;
        }
        if !quiet || Instant::now() < settled {
            sleep(PAUSE).await;
        }
    }
    let late = under_way(run);
    let mut observed = format!("{} deleted", counted(items, "item"));
    for archive in &mut run.archives {
        let (deleted, kept) = archive.delete().await?;
        let _ = write!(observed, ", {} of {}", counted(deleted, "object"), archive.function);
        if kept > 0 {
            let _ = write!(observed, " ({kept} with events of others stay)");
        }
    }
    if let Some(windows) = &run.windows {
        let (deleted, kept) = windows.delete(&run.table, &run.validation.run_id).await?;
        let _ = write!(observed, ", {}", counted(deleted, "window"));
        if kept > 0 {
            let _ = write!(observed, " ({kept} with events of others stay)");
        }
    }
    if left > 0 {
        let _ = write!(observed, ", and still {left} in the last look");
    }
    if late > 0 {
        let _ = write!(
            observed,
            "; {} without effect so far may leave one later, for users with {} in their names",
            counted(late, "event"),
            run.validation.run_id
        );
    }
    let ok = late == 0 && quiet;
    Ok(Verdict::new(ok, observed).or_hint("items that come later are safe to delete"))
}

/// Events whose effect has not been seen. Canaries before one that came through were sent before the mapping read.
fn under_way(run: &StreamRun<'_>) -> usize {
    let through = run.good.iter().rposition(|good| good.seen().is_some());
    let good = run
        .good
        .iter()
        .enumerate()
        .filter(|(place, good)| good.seen().is_none() && !(good.canary && through > Some(*place)));
    good.count() + run.poison.iter().filter(|poison| poison.dead_letter.is_none()).count()
}
