//! A resource of a pipeline that is in another region than the pipeline itself.

use serde_json::Value;

use super::super::context::Cx;
use super::super::resource::{Created, Observed, Resource, Shown};
use super::Any;
use crate::aws::{Clients, Tags};
use crate::plan::{Change, Fields};

/// The same as the resource, with the clients of its region.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    pub(crate) region: String,
    pub(crate) resource: Any,
}

impl Elsewhere {
    fn cx(&self, cx: &Cx) -> Cx {
        cx.in_region(&self.region)
    }
}

// What is awaited lies on the heap: a resource in another region is a resource again.
impl Resource for Elsewhere {
    fn name(&self) -> &str {
        self.resource.name()
    }
    fn arn(&self, aws: &Clients) -> String {
        self.resource.arn(&aws.in_region(&self.region))
    }
    fn desired(&self) -> Fields {
        self.resource.desired()
    }
    fn defaults(&self) -> Fields {
        self.resource.defaults()
    }
    fn replacing(&self, field: &str) -> Option<&'static str> {
        self.resource.replacing(field)
    }
    fn continuity(&self, seen: &Observed) -> Option<&'static str> {
        self.resource.continuity(seen)
    }
    fn postponed(&self, field: &str, seen: &Observed) -> Option<String> {
        self.resource.postponed(field, seen)
    }
    async fn prepare(&self, cx: &Cx) -> anyhow::Result<()> {
        Box::pin(self.resource.prepare(&self.cx(cx))).await
    }
    async fn read(&self, cx: &Cx) -> anyhow::Result<Option<Observed>> {
        Box::pin(self.resource.read(&self.cx(cx))).await
    }
    fn as_made(&self, aws: &Clients, tags: &Tags) -> Observed {
        self.resource.as_made(&aws.in_region(&self.region), tags)
    }
    async fn shown(&self, cx: &Cx) -> anyhow::Result<Option<Shown>> {
        Box::pin(self.resource.shown(&self.cx(cx))).await
    }
    fn is_seen_when_ready(&self, changed: bool) -> bool {
        self.resource.is_seen_when_ready(changed)
    }
    async fn create(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<Created> {
        Box::pin(self.resource.create(&self.cx(cx), tags)).await
    }
    async fn change(&self, cx: &Cx, seen: &Observed, changes: &[Change]) -> anyhow::Result<()> {
        Box::pin(self.resource.change(&self.cx(cx), seen, changes)).await
    }
    fn until_narrowed(&self, change: &Change) -> Option<Value> {
        self.resource.until_narrowed(change)
    }
    async fn narrow(&self, cx: &Cx) -> anyhow::Result<()> {
        Box::pin(self.resource.narrow(&self.cx(cx))).await
    }
    async fn tag(&self, cx: &Cx, set: &Tags, remove: &[String]) -> anyhow::Result<()> {
        Box::pin(self.resource.tag(&self.cx(cx), set, remove)).await
    }
    async fn takes_writes(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<bool> {
        Box::pin(self.resource.takes_writes(&self.cx(cx), tags)).await
    }
    async fn ready(&self, cx: &Cx) -> anyhow::Result<()> {
        Box::pin(self.resource.ready(&self.cx(cx))).await
    }
    async fn settle(&self, cx: &Cx) -> anyhow::Result<()> {
        Box::pin(self.resource.settle(&self.cx(cx))).await
    }
    async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        Box::pin(self.resource.delete(&self.cx(cx))).await
    }
    async fn prepare_replacement(&self, cx: &Cx) -> anyhow::Result<()> {
        Box::pin(self.resource.prepare_replacement(&self.cx(cx))).await
    }
}
