//! Brings a resource in line with the spec: the same steps for every kind.

use anyhow::bail;

use super::any::Any;
use super::context::Cx;
use super::resource::{Observed, Resource as _};
use crate::aws::{Tags, tag_changes, until_seen};
use crate::failure::Hint;
use crate::plan::{Change, differences};

/// Brings one resource in line with the spec: observe, ensure that it exists, sync each aspect, wait.
///
/// `exists` is called as soon as the resource is there, which is all that some dependents wait for.
pub(crate) async fn sync(resource: &Any, tags: &Tags, cx: &Cx, exists: impl FnOnce()) -> anyhow::Result<()> {
    // Observe: not what the plan saw, which may be minutes old by now.
    let mut seen = resource.read(cx).await?;
    let made_here = seen.is_none();
    // Ensure
    if made_here {
        cx.note("creating");
        resource.create(cx, tags).await?;
        // Some endpoints lose tags and settings given at creation, so what came out of it is read, not assumed.
        seen = until_seen(async || resource.read(cx).await, cx.noting()).await?;
    }
    let Some(seen) = seen else {
        bail!("{} was created and is already gone: something else deletes it", resource.label());
    };
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
    let mut changes = differences(&seen.fields, &resource.desired());
    changes.retain(|change| resource.postponed(&change.field, &seen).is_none());
    if !changes.is_empty() {
        if !seen.settled {
            resource.ready(cx).await?;
        }
        cx.note("changing");
        resource.change(cx, &seen, &changes).await?;
    }
    if !lost_tags {
        tag().await?;
    }
    // Wait
    resource.ready(cx).await?;
    if retag || !changes.is_empty() {
        // What AWS still shows as it was, the next run would take for drift. Some endpoints never show some settings, so
        // the wait has no other end than the next plan.
        until_seen(
            async || Ok(resource.read(cx).await?.filter(|seen| is_in_line(seen, resource, tags, &changes))),
            cx.noting(),
        )
        .await?;
    }
    Ok(())
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
