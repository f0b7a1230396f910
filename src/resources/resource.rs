//! The trait that each AWS noun implements, and a resource as it was observed.

use serde_json::Value;

use super::context::Cx;
use crate::aws::{AwsError, Clients, Parent, Tags, aws_error};
use crate::plan::{Change, Fields, differences};

/// A resource as AWS has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Observed {
    pub(crate) arn: String,
    pub(crate) fields: Fields,
    /// `None` for a kind that has no tags: it has the owner of its parent.
    pub(crate) tags: Option<Tags>,
    /// The tags of its parent, for a resource that may have been made without tags.
    pub(crate) parent_tags: Option<Tags>,
    /// False while an earlier change is still being made.
    pub(crate) settled: bool,
}

impl Observed {
    /// True when the resource is the caller's to change, or is taken over.
    pub(crate) fn may_be_changed(&self, cx: &Cx) -> bool {
        let parent = match (&self.tags, &self.parent_tags) {
            // Its parent is a node of its own, which is looked at before, and stops the run if it is somebody else's.
            (None, _) => Parent::Owned,
            (Some(_), Some(tags)) => Parent::Tagged(tags),
            (Some(_), None) => Parent::None,
        };
        cx.adopt || cx.owner.owns(self.tags.as_ref(), parent)
    }
}

/// Which state of a resource AWS shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The one before a change.
    Before,
    /// The one that the spec has.
    Wanted,
}

impl From<bool> for Shown {
    fn from(is_wanted: bool) -> Self {
        if is_wanted { Self::Wanted } else { Self::Before }
    }
}

/// What a creation has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Created {
    /// It made the resource, which has what [`Resource::as_made`] says; `ready` when it has been waited for, too.
    Made { ready: bool },
    /// The resource was there already: made by somebody else since it was looked for, or by a call whose answer was lost.
    Found,
}

/// A resource of the spec.
///
////// `read` gives `None` for a resource that does not exist; `create` succeeds when it exists already.
pub(crate) trait Resource {
    /// The name in AWS.
    fn name(&self) -> &str;
    /// The ARN; empty where AWS makes one up.
    fn arn(&self, aws: &Clients) -> String;
    /// The fields as the spec wants them.
    fn desired(&self) -> Fields;
    /// Values of [`desired`](Self::desired) that go without saying when the resource is created: what the spec leaves out, and
    /// what follows from the rest.
    fn defaults(&self) -> Fields {
        Fields::new()
    }
    /// What a change of this field loses, when the field can't be changed in place; `None` when it can.
    fn replacing(&self, _field: &str) -> Option<&'static str> {
        None
    }
    /// How the replacement continues where this resource ended; `None` when it can't, and something is lost.
    fn continuity(&self, _seen: &Observed) -> Option<&'static str> {
        None
    }
    /// Why a change of this field has to wait for a later run; `None` when it can be made now.
    fn postponed(&self, _field: &str, _seen: &Observed) -> Option<String> {
        None
    }
    /// Computes what `desired` needs to be complete, where that takes long.
    async fn prepare(&self, _cx: &Cx) -> anyhow::Result<()> {
        Ok(())
    }
    async fn read(&self, cx: &Cx) -> anyhow::Result<Option<Observed>>;
    async fn create(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<Created>;
    /// What the resource has when [`create`](Self::create) has made it: fields that the creating call does not take differ from
    /// [`desired`](Self::desired), and are changed next.
    fn as_made(&self, aws: &Clients, tags: &Tags) -> Observed {
        let (arn, fields) = (self.arn(aws), self.desired());
        Observed { arn, fields, tags: Some(tags.clone()), parent_tags: None, settled: true }
    }
    /// Whether AWS shows the resource, which has just been made, to whoever looks for it; and whether with the settings that it was
    /// given by other calls than the creating one. Its tags and the other settings come with it.
    async fn shown(&self, cx: &Cx) -> anyhow::Result<Option<Shown>> {
        let Some(seen) = self.read(cx).await? else { return Ok(None) };
        let differs = |change: &Change| self.postponed(&change.field, &seen).is_none();
        Ok(Some(Shown::from(!differences(&seen.fields, &self.desired()).iter().any(differs))))
    }
    /// True when [`ready`](Self::ready), or the wait of [`create`](Self::create), looks at all that a later run compares: of a new
    /// resource, or also of one to which settings were `changed`.
    fn is_seen_when_ready(&self, _changed: bool) -> bool {
        false
    }
    /// Makes the given changes in place.
    async fn change(&self, cx: &Cx, seen: &Observed, changes: &[Change]) -> anyhow::Result<()>;
    /// What a change leaves in its field until [`narrow`](Self::narrow) takes the rest back; `None` where nothing has to be.
    fn until_narrowed(&self, _change: &Change) -> Option<Value> {
        None
    }
    /// Takes back what a change has left to those that still used it, now that they don't.
    async fn narrow(&self, _cx: &Cx) -> anyhow::Result<()> {
        Ok(())
    }
    async fn tag(&self, cx: &Cx, set: &Tags, remove: &[String]) -> anyhow::Result<()>;
    /// Whether it is there, as a write of its own tags tells: a read may show for a while what is gone.
    async fn takes_writes(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<bool> {
        match self.tag(&cx.doubting(), tags, &[]).await {
            Err(error) if aws_error(&error).is_some_and(AwsError::is_missing) => Ok(false),
            tagged => tagged.map(|()| true),
        }
    }
    /// Waits until the resource can be used.
    async fn ready(&self, cx: &Cx) -> anyhow::Result<()>;
    /// Waits until an earlier change, which is still being made, is over.
    async fn settle(&self, cx: &Cx) -> anyhow::Result<()> {
        self.ready(cx).await
    }
    /// Deletes the resource and waits until it is gone; gone already is fine.
    async fn delete(&self, cx: &Cx) -> anyhow::Result<()>;
    /// Deletes or stops the old one, so that a new one can be created.
    async fn prepare_replacement(&self, cx: &Cx) -> anyhow::Result<()> {
        self.delete(cx).await
    }
}

/// What streamkit's caller must be allowed to do with one kind of resource.
///
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html>
#[derive(Debug, Clone, Copy)]
pub(crate) struct Actions {
    /// On the pipeline's own resources.
    pub(crate) own: &'static [&'static str],
    /// On `*`: lists, limits, and actions that AWS does not restrict to a resource.
    pub(crate) account: &'static [&'static str],
}
