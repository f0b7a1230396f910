//! The restore itself: finds the changes, looks at the target, and writes what is missing, the changes of each item in order.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;
use streamkit_handler::attribute::attribute_values;
use streamkit_recipes::Item;
use tokio::sync::mpsc;

use super::audit::{AuditLog, AuditedChange, READS, place};
use super::chain::{Chains, Link, Standing};
use super::image::ImageDigest;
use super::kept::{Keeping, Kept};
use super::target::{Expected, Target, Written};
use crate::aws::Clients;
use crate::failure::Hint;
use crate::interrupt::Interrupt;

/// How many items are written at once.
const LANES: usize = 64;
/// How many changes wait for each of them.
const WAITING: usize = 4;
/// The most bytes of audit objects that are kept until they are written: where temporary files lie in memory, that is what they
/// take. What there is no room for is read again.
const KEPT: usize = 512 << 20;
/// How many conflicts are listed; the others are only counted.
const LISTED: usize = 100;

/// What to restore, and how.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The bucket with the audit objects.
    pub(crate) bucket: String,
    /// The table whose changes they are.
    pub(crate) source: String,
    /// The table to write to.
    pub(crate) target: String,
    /// Changes from this time on, in milliseconds since the epoch.
    pub(crate) since_ms: Option<i64>,
    /// Changes before this time.
    pub(crate) until_ms: Option<i64>,
    /// Items that others have changed are overwritten.
    pub(crate) overwrite: bool,
    /// Nothing is written.
    pub(crate) dry_run: bool,
}

/// What was found, and what became of it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    /// The changes in the audit log.
    pub(crate) read: usize,
    /// Those that were written.
    pub(crate) delivered: usize,
    /// Those of items with a conflict.
    pub(crate) failed: usize,
    pub(crate) expired: usize,
    /// Those that the table had already.
    pub(crate) duplicates: usize,
    /// Those that are still to be written.
    pub(crate) left: usize,
    /// The times of the first change and of the last, in ISO 8601.
    pub(crate) from: Option<String>,
    pub(crate) until: Option<String>,
    /// How many items have changes.
    pub(crate) keys: usize,
    /// The items that others have changed, as far as they are listed.
    pub(crate) conflicts: Vec<Conflict>,
    /// All of them.
    pub(crate) conflicting: usize,
}

/// An item of the target that is none of the images of its changes.
#[derive(Debug, Serialize)]
pub(crate) struct Conflict {
    pub(crate) key: Item,
    /// How many changes were not written for it.
    pub(crate) changes: usize,
}

/// Writes the changes of an audit log into a table.
///
/// Each change is written, not only the last of an item, so that whatever reads the table's own changes sees all of them. What
/// the table has already is left out: a run that was killed goes on, and one that is made again changes nothing. `written` is
/// called for each change that is done with.
///
/// # Errors
/// AWS's; the audit objects don't hold the images; the table has another key. What was written until then is in the summary.
pub(crate) async fn restore(
    aws: &Clients,
    options: &Options,
    interrupt: &Interrupt,
    found: impl Fn(usize),
    written: &(dyn Fn() + Sync),
) -> (Summary, anyhow::Result<()>) {
    let mut summary = Summary::default();
    let result = Box::pin(try_restore(aws, options, interrupt, found, written, &mut summary)).await;
    let done = summary.delivered + summary.failed + summary.duplicates;
    summary.left = summary.read.saturating_sub(done);
    (summary, result)
}

async fn try_restore(
    aws: &Clients,
    options: &Options,
    interrupt: &Interrupt,
    found: impl Fn(usize),
    written: &(dyn Fn() + Sync),
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let log = AuditLog::new(aws, &options.bucket);
    let target = Target::describe(aws, &options.target).await?;
    let (chains, kept) = chains(log, options, summary).await?;
    if let Some(chain) = chains.all.iter().find(|chain| !target.has_key(&chain.key)) {
        let names: Vec<_> = chain.key.keys().collect();
        return Err(Hint::error(
            format!(
                "the items of {} have the key {}, and table {} has another",
                options.source,
                names.join(", "),
                options.target
            ),
            "restore into a table with the same key",
        ));
    }
    let keys: Vec<&Item> = chains.all.iter().map(|chain| &chain.key).collect();
    let current = target.current(&keys).await?;
    // What is not there may have been deleted in the end, or have yet to be written: where all the rest is as it is to be, all is.
    let is_done = chains.all.iter().zip(&current).all(|(chain, current)| chain.end() == *current);
    if is_done && current.iter().any(Option::is_some) {
        summary.duplicates = summary.read;
        return Ok(());
    }
    let mut items = Vec::with_capacity(chains.all.len());
    for (mut chain, current) in chains.all.into_iter().zip(current) {
        let (next, state) = match chain.standing(current) {
            Standing::Next(next) => (next, current.map_or(Expected::Absent, Expected::Image)),
            Standing::Conflict if options.overwrite => (0, Expected::Anything),
            Standing::Conflict => {
                summary.conflict(&chain.key, chain.links.len());
                continue;
            }
        };
        let state = if options.overwrite { Expected::Anything } else { state };
        summary.duplicates += next;
        let due = chain.links.split_off(next);
        items.push(RestoredItem { key: chain.key, left: due.len(), due, state });
    }
    found(items.iter().map(|item| item.left).sum());
    if options.dry_run {
        return Ok(());
    }
    write_all(kept, &target, items, interrupt, written, summary).await
}

/// Reads the log once, and notes of each change what the item was before and after it. Its object is kept until it is written.
async fn chains(log: AuditLog, options: &Options, summary: &mut Summary) -> anyhow::Result<(Chains, Kept)> {
    let mut chains = Chains::default();
    let mut keeping = Keeping::new(KEPT)?;
    let mut times: Option<(i64, i64)> = None;
    let mut objects = log.read(options.since_ms, options.until_ms);
    while let Some(object) = objects.next().await {
        let object = object?;
        let change = &object.change;
        let is_early = options.since_ms.is_some_and(|since| change.changed_ms < since);
        let is_late = options.until_ms.is_some_and(|until| change.changed_ms >= until);
        if is_early || is_late || change.table != options.source {
            continue;
        }
        change.check()?;
        let (first, last) = times.unwrap_or((change.changed_ms, change.changed_ms));
        times = Some((first.min(change.changed_ms), last.max(change.changed_ms)));
        summary.read += 1;
        let body = if options.dry_run { None } else { keeping.put(&object)? };
        chains.add(object.key, body, &object.change);
    }
    let text = |ms: i64| jiff::Timestamp::from_millisecond(ms).ok().map(|time| format!("{time:.3}"));
    (summary.from, summary.until) = times.map_or((None, None), |(first, last)| (text(first), text(last)));
    chains.sort();
    summary.keys = chains.all.len();
    Ok((chains, keeping.finished(log)?))
}

impl Summary {
    fn conflict(&mut self, key: &Item, changes: usize) {
        self.failed += changes;
        self.conflicting += 1;
        if self.conflicts.len() < LISTED {
            self.conflicts.push(Conflict { key: key.clone(), changes });
        }
    }
}

/// An item that is being restored.
struct RestoredItem {
    key: Item,
    /// The changes to write, in order, until they are put in order with those of all others.
    due: Vec<Link>,
    /// How many of them are not written yet.
    left: usize,
    /// What the target's item must be for the next one.
    state: Expected,
}

/// What one lane has done.
#[derive(Default)]
struct LaneResult {
    delivered: usize,
    duplicates: usize,
    conflicts: Vec<(Item, usize)>,
    error: Option<anyhow::Error>,
}

/// Takes the changes in their order, and writes each into the lane of its item.
async fn write_all(
    kept: Kept,
    target: &Target,
    mut items: Vec<RestoredItem>,
    interrupt: &Interrupt,
    written: &(dyn Fn() + Sync),
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let mut due: Vec<(usize, Link)> = Vec::new();
    for (at, item) in items.iter_mut().enumerate() {
        due.extend(mem::take(&mut item.due).into_iter().map(|link| (at, link)));
    }
    due.sort_by(|(_, one), (_, two)| place(&one.object).cmp(&place(&two.object)));
    let mut lanes: Vec<Vec<Option<RestoredItem>>> = (0..LANES).map(|_| Vec::new()).collect();
    for (at, item) in items.into_iter().enumerate() {
        lanes[at % LANES].push(Some(item));
    }
    let stop = AtomicBool::new(false);
    let (senders, receivers): (Vec<_>, Vec<_>) = lanes.iter().map(|_| mpsc::channel(WAITING)).unzip();
    let running = lanes.into_iter().zip(receivers).map(|(items, changes)| lane(target, items, changes, &stop, written));
    let read = async {
        // Dropped at the end, which is what the lanes wait for.
        let senders: Vec<mpsc::Sender<(usize, AuditedChange)>> = senders;
        let read = |(at, link): (usize, Link)| {
            let kept = &kept;
            async move { anyhow::Ok((at, kept.change(&link).await?)) }
        };
        let mut changes = stream::iter(due).map(read).buffered(READS);
        while let Some(read) = changes.next().await {
            let (at, Some(change)) = read? else { continue };
            if stop.load(Ordering::Relaxed) || interrupt.is_set() {
                break;
            }
            if senders[at % LANES].send((at / LANES, change)).await.is_err() {
                break;
            }
        }
        anyhow::Ok(())
    };
    let (read, results) = tokio::join!(read, join_all(running));
    let mut error = read.err();
    for result in results {
        summary.delivered += result.delivered;
        summary.duplicates += result.duplicates;
        for (key, changes) in result.conflicts {
            summary.conflict(&key, changes);
        }
        error = error.or(result.error);
    }
    error.map_or(Ok(()), Err)
}

/// Writes one change, and gives what the item is after it. In a task of its own: encoding and signing the call is what takes the
/// time, and there are other processors.
async fn written_by_task(
    target: &Target,
    key: &Item,
    change: AuditedChange,
    state: Expected,
) -> anyhow::Result<(Written, Option<ImageDigest>)> {
    let (target, key) = (target.clone(), key.clone());
    let writing = async move {
        let after = change.new.as_ref().map(|image| ImageDigest::of(&attribute_values(image)));
        anyhow::Ok((target.write(&key, change.new.as_ref(), change.old.as_ref(), state).await?, after))
    };
    tokio::spawn(writing).await?
}

/// Writes the changes of some items, one after the other.
async fn lane(
    target: &Target,
    mut items: Vec<Option<RestoredItem>>,
    mut changes: mpsc::Receiver<(usize, AuditedChange)>,
    stop: &AtomicBool,
    written: &(dyn Fn() + Sync),
) -> LaneResult {
    let mut result = LaneResult::default();
    while let Some((at, change)) = changes.recv().await {
        // Of an item with a conflict, and after an error, nothing more is written.
        let Some(item) = items[at].as_mut().filter(|_| result.error.is_none()) else { continue };
        match written_by_task(target, &item.key, change, item.state).await {
            Ok((Written::Conflict, _)) => {
                result.conflicts.push((item.key.clone(), item.left));
                items[at] = None;
            }
            Ok((done, after)) => {
                *if done == Written::Done { &mut result.delivered } else { &mut result.duplicates } += 1;
                item.left -= 1;
                if !matches!(item.state, Expected::Anything) {
                    item.state = after.map_or(Expected::Absent, Expected::Image);
                }
                written();
            }
            Err(error) => {
                stop.store(true, Ordering::Relaxed);
                result.error = Some(error);
            }
        }
    }
    result
}
