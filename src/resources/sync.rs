//! Brings a resource in line with the spec: the same steps for every kind.

use std::time::Duration;

use anyhow::bail;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::any::Any;
use super::context::Cx;
use super::resource::{Created, Observed, Resource as _, Shown};
use super::reviewed::{Reviewed, moved, refusal};
use crate::aws::{AwsError, Backoff, LAG, Tags, aws_error, tag_changes, until_seen};
use crate::failure::Hint;
use crate::plan::{Change, differences};

/// What is left to see of a resource after its sync: AWS may show for a while what was before, and the next run would take that
/// for drift.
#[derive(Debug)]
pub(crate) enum Unseen {
    /// That it is there, as it was made.
    Creation,
    /// That it is as the spec has it, after these changes.
    Changes(Vec<Change>),
}

/// What the plan saw of a resource, where that is no older than another look would be when the change is made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Planned<'a> {
    Seen(&'a Observed),
    Missing,
    /// It is there, but what goes before it is not: so it may have gone with that a moment ago.
    Doubtful(&'a Observed),
    /// Something has happened since, or it is too long ago.
    Unknown,
    /// Somebody has read the plan: it is carried out as it is, or not at all.
    Reviewed(Reviewed<'a>),
}

impl Planned<'_> {
    /// Whether the resource may have gone, although it was seen.
    pub(crate) fn is_doubtful(&self) -> bool {
        matches!(self, Self::Doubtful(_) | Self::Reviewed(Reviewed { doubtful: true, .. }))
    }
}

/// Brings one resource in line with the spec: observe, ensure that it exists, sync each aspect, wait.
///
/// `exists` is called as soon as the resource is there, which is all that some dependents wait for. What is left to see is seen by [`confirm`].
pub(crate) async fn sync(
    resource: &Any,
    tags: &Tags,
    cx: &Cx,
    planned: Planned<'_>,
    exists: impl FnOnce(),
) -> anyhow::Result<Option<Unseen>> {
    let cx = &cx.as_of_now();
    // Observe
    let mut seen = match planned {
        Planned::Seen(seen) => Some(seen.clone()),
        Planned::Missing => None,
        Planned::Doubtful(seen) if !seen.may_be_changed(cx) => Some(seen.clone()),
        Planned::Doubtful(seen) => resource.takes_writes(cx, tags).await?.then(|| seen.clone()),
        Planned::Unknown => resource.read(cx).await?,
        Planned::Reviewed(reviewed) => reviewed.again(resource, tags, cx).await?,
    };
    let reviewed = matches!(planned, Planned::Reviewed(_));
    // Ensure
    let made_here = seen.is_none();
    let (mut is_ready, mut is_as_made) = (false, false);
    if made_here {
        cx.note("creating");
        let created = resource.create(cx, tags).await?;
        seen = match created {
            Created::Made { ready } if cx.aws.keeps_what_it_is_given() => {
                (is_ready, is_as_made) = (ready, true);
                resource.prepare(cx).await?;
                Some(resource.as_made(&cx.aws, tags))
            }
            // What is there counts. Some endpoints lose tags and settings given at creation.
            _ => until_seen(async || resource.read(&cx.as_of_now()).await, cx.noting()).await?,
        };
        // Made by this run, in a call whose answer was lost, it is as that call makes it.
        if reviewed && created == Created::Found {
            let made = resource.as_made(&cx.aws, tags);
            let made = seen.as_ref().map(|seen| Observed { arn: seen.arn.clone(), ..made });
            if moved(cx, resource, tags, made.as_ref(), seen.as_ref()).is_some() {
                return Err(refusal(resource, "it exists by now"));
            }
        }
    }
    let cx = &cx.as_of_now();
    let Some(seen) = seen else { bail!("{}", gone(resource)) };
    // Some endpoints lose the tags given at creation.
    let lost_tags = made_here && seen.tags.as_ref().is_some_and(Tags::is_empty);
    if !seen.may_be_changed(cx) && !lost_tags {
        let message = format!("{} exists already and does not belong to this pipeline", resource.label());
        return Err(Hint::error(message, "rename the pipeline, use --stage, or take it over with --adopt"));
    }
    exists();
    // Sync
    let (set, remove) = seen.tags.as_ref().map(|has| tag_changes(has, tags)).unwrap_or_default();
    let retag = !set.is_empty() || !remove.is_empty();
    let tag = async || if retag { resource.tag(cx, &set, &remove).await } else { Ok(()) };
    // First of all: if the run ended before this, the next one would take the resource for somebody else's.
    if lost_tags {
        tag().await?;
    }
    resource.prepare(cx).await?;
    let mut changes = changes_of(resource, &seen);
    let seen = if changes.is_empty() || seen.settled {
        seen
    } else {
        resource.settle(cx).await?;
        // What was under way may have been these very changes, of a run that was killed.
        let Some(settled) = resource.read(&cx.as_of_now()).await? else { bail!("{}", gone(resource)) };
        if reviewed && let Some(how) = moved(cx, resource, tags, Some(&seen), Some(&settled)) {
            return Err(refusal(resource, &how));
        }
        changes = changes_of(resource, &settled);
        settled
    };
    if !changes.is_empty() {
        cx.note("changing");
        if let Err(error) = resource.change(cx, &seen, &changes).await {
            // Reads show for a while what has just been deleted, as by a `down` that was killed. By now they would not any more.
            let may_have_gone = !made_here && !reviewed && aws_error(&error).is_some_and(AwsError::is_missing);
            if !may_have_gone || resource.read(&cx.as_of_now()).await?.is_some() {
                return Err(error);
            }
            // It was told to exist already.
            let told: fn() = || {};
            return Box::pin(sync(resource, tags, cx, Planned::Missing, told)).await;
        }
    }
    if !lost_tags {
        tag().await?;
    }
    // Wait
    if !is_ready || !changes.is_empty() {
        resource.ready(&cx.as_of_now()).await?;
    }
    let is_seen = !retag && resource.is_seen_when_ready(!changes.is_empty()) && cx.aws.keeps_what_it_is_given();
    Ok(if is_seen {
        None
    } else if is_as_made {
        Some(Unseen::Creation)
    } else {
        (retag || !changes.is_empty()).then_some(Unseen::Changes(changes))
    })
}

/// What is to be changed now.
fn changes_of(resource: &Any, seen: &Observed) -> Vec<Change> {
    let mut changes = differences(&seen.fields, &resource.desired());
    changes.retain(|change| resource.postponed(&change.field, seen).is_none());
    changes
}

/// A resource of which something is left to see.
pub(crate) struct Pending<'a> {
    /// The task's place.
    pub(crate) index: usize,
    pub(crate) resource: &'a Any,
    pub(crate) tags: &'a Tags,
    pub(crate) unseen: Unseen,
}

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), 1.6, Duration::from_secs(2));

/// Looks until AWS shows what was made and changed, for as long as it may lag: all at a time, so that one answer serves several.
/// Gives the failures, by the places of the tasks.
///
/// That comes last: then most of it is known everywhere, and nothing else has to wait. Some endpoints never show some settings, so
/// that a setting is not shown is no failure.
pub(crate) async fn confirm(cx: &Cx, mut pending: Vec<Pending<'_>>) -> Vec<(usize, anyhow::Error)> {
    let deadline = Instant::now() + LAG;
    let mut backoff = BACKOFF;
    let mut failures = Vec::new();
    while !pending.is_empty() {
        let cx = &cx.as_of_now();
        let looks = join_all(pending.iter().map(async |pending| look(cx, pending).await)).await;
        let pause = backoff.pause();
        let is_last = Instant::now() + pause > deadline;
        let mut left = Vec::new();
        for (pending, look) in pending.into_iter().zip(looks) {
            match look {
                Ok(Some(Shown::Wanted)) => {}
                Ok(None) if is_last && matches!(pending.unseen, Unseen::Creation) => {
                    failures.push((pending.index, anyhow::anyhow!(gone(pending.resource))));
                }
                Ok(_) => left.push(pending),
                Err(error) => failures.push((pending.index, error)),
            }
        }
        if is_last {
            break;
        }
        pending = left;
        if !pending.is_empty() {
            tokio::time::sleep(pause).await;
        }
    }
    failures
}

async fn look(cx: &Cx, Pending { resource, tags, unseen, .. }: &Pending<'_>) -> anyhow::Result<Option<Shown>> {
    match unseen {
        Unseen::Creation => resource.shown(cx).await,
        Unseen::Changes(changes) => {
            let seen = resource.read(cx).await?;
            Ok(seen.map(|seen| Shown::from(is_in_line(&seen, resource, tags, changes))))
        }
    }
}

fn gone(resource: &Any) -> String {
    format!("{} was created and is already gone: something else deletes it", resource.label())
}

/// Whether AWS shows the resource as the spec has it, after these changes.
fn is_in_line(seen: &Observed, resource: &Any, tags: &Tags, changes: &[Change]) -> bool {
    let tagged = seen.tags.as_ref().is_none_or(|has| {
        let (set, remove) = tag_changes(has, tags);
        set.is_empty() && remove.is_empty()
    });
    // What a later step of this run takes back, and what a later run changes, is not waited for.
    let left = |difference: &Change| {
        let change = changes.iter().find(|change| change.field == difference.field);
        change.and_then(|change| resource.until_narrowed(change)).is_some_and(|left| left == difference.from)
            || resource.postponed(&difference.field, seen).is_some()
    };
    tagged && differences(&seen.fields, &resource.desired()).iter().all(left)
}
