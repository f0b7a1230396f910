//! A resource of a plan that somebody has reviewed: it is changed only while it still is what that plan saw.

use super::any::Any;
use super::context::Cx;
use super::resource::{Observed, Resource as _};
use crate::aws::{Tags, tag_changes};
use crate::failure::Hint;

/// What a reviewed plan saw of a resource.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reviewed<'a> {
    pub(crate) seen: Option<&'a Observed>,
    /// Reads may show it for a while after it has gone.
    pub(crate) doubtful: bool,
    /// It refers to what this run makes anew, and what AWS has of it may change with that.
    pub(crate) follows: bool,
}

impl Reviewed<'_> {
    /// Looks at the resource again.
    ///
    /// # Errors
    /// It has changed since.
    pub(crate) async fn again(self, resource: &Any, tags: &Tags, cx: &Cx) -> anyhow::Result<Option<Observed>> {
        let now = resource.read(cx).await?;
        if self.follows {
            return Ok(now);
        }
        resource.prepare(cx).await?;
        if let Some(how) = moved(cx, resource, tags, self.seen, now.as_ref()) {
            return Err(refusal(resource, &how));
        }
        if self.doubtful && now.is_some() && !resource.takes_writes(cx, tags).await? {
            return Err(refusal(resource, GONE));
        }
        Ok(now)
    }
}

const GONE: &str = "it is gone";

/// How a resource is otherwise than it was; `None` where nothing that counts is.
pub(super) fn moved(
    cx: &Cx,
    resource: &Any,
    tags: &Tags,
    before: Option<&Observed>,
    now: Option<&Observed>,
) -> Option<String> {
    let (before, now) = match (before, now) {
        (None, None) => return None,
        (None, Some(_)) => return Some("it exists by now".to_owned()),
        (Some(_), None) => return Some(GONE.to_owned()),
        (Some(before), Some(now)) => (before, now),
    };
    if now.arn != before.arn {
        return Some(format!("it is another one, {}", now.arn));
    }
    if before.may_be_changed(cx) && !now.may_be_changed(cx) {
        return Some("it does not belong to this pipeline any more".to_owned());
    }
    // What a change is made from is compared, so that all else may differ.
    let wanted = resource.desired();
    let differs = |field: &&&str| before.fields.get(**field) != now.fields.get(**field);
    let fields = wanted.keys().filter(differs).map(|field| (*field).to_owned());
    let to_tag = |seen: &Observed| seen.tags.as_ref().map(|has| tag_changes(has, tags)).unwrap_or_default();
    let of_tags = (to_tag(before) != to_tag(now)).then(|| "tags".to_owned());
    let changed: Vec<_> = fields.chain(of_tags).collect();
    (!changed.is_empty()).then(|| format!("changed by somebody else: {}", changed.join(", ")))
}

/// The error for a resource that is not as it was reviewed.
pub(super) fn refusal(resource: &Any, how: &str) -> anyhow::Error {
    Hint::error(
        format!("{} was left as it is, since it is not what the plan was made for any more: {how}", resource.label()),
        "make the plan again, and read it",
    )
}
