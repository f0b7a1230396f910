//! The enum of all resources: one variant for each AWS noun, and the trait's calls dispatched to them.

mod elsewhere;

use anyhow::Context as _;
use serde_json::Value;

use super::context::Cx;
use super::resource::{Actions, Created, Observed, Resource, Shown};
use super::{
    Alarm, Bucket, Consumer, Dashboard, Function, Key, LogGroup, Mapping, Queue, Replica, Role, Stream, Table, Topic,
};
use crate::aws::{AwsError, Clients, Tags, aws_error, until_seen};
use crate::plan::{Change, Fields, ResourceKind};

pub(crate) use self::elsewhere::Elsewhere;

/// A resource of any kind.
#[derive(Debug)]
pub(crate) enum Any {
    Stream(Stream),
    Table(Table),
    Queue(Queue),
    Bucket(Bucket),
    Role(Role),
    LogGroup(LogGroup),
    Function(Function),
    Mapping(Mapping),
    Consumer(Consumer),
    Topic(Topic),
    Alarm(Alarm),
    Dashboard(Dashboard),
    Key(Key),
    /// Of a table of this pipeline, and always in another region.
    Replica(Replica),
    /// Any of these in another region than the pipeline itself.
    Elsewhere(Box<Elsewhere>),
}

macro_rules! each {
    ($any:expr, $resource:ident => $call:expr) => {
        match $any {
            Any::Stream($resource) => $call,
            Any::Table($resource) => $call,
            Any::Queue($resource) => $call,
            Any::Bucket($resource) => $call,
            Any::Role($resource) => $call,
            Any::LogGroup($resource) => $call,
            Any::Function($resource) => $call,
            Any::Mapping($resource) => $call,
            Any::Consumer($resource) => $call,
            Any::Topic($resource) => $call,
            Any::Alarm($resource) => $call,
            Any::Dashboard($resource) => $call,
            Any::Key($resource) => $call,
            Any::Replica($resource) => $call,
            Any::Elsewhere($resource) => $call,
        }
    };
}

impl Any {
    pub(crate) fn kind(&self) -> ResourceKind {
        match self {
            Self::Stream(_) => ResourceKind::Stream,
            Self::Table(_) | Self::Replica(_) => ResourceKind::Table,
            Self::Queue(_) => ResourceKind::Queue,
            Self::Bucket(_) => ResourceKind::Bucket,
            Self::Role(_) => ResourceKind::Role,
            Self::LogGroup(_) => ResourceKind::LogGroup,
            Self::Function(_) => ResourceKind::Function,
            Self::Mapping(_) => ResourceKind::Mapping,
            Self::Consumer(_) => ResourceKind::Consumer,
            Self::Topic(_) => ResourceKind::Topic,
            Self::Alarm(_) => ResourceKind::Alarm,
            Self::Dashboard(_) => ResourceKind::Dashboard,
            Self::Key(_) => ResourceKind::Key,
            Self::Elsewhere(elsewhere) => elsewhere.resource.kind(),
        }
    }

    /// The same resource in another region than the pipeline itself.
    pub(crate) fn elsewhere(self, region: &str) -> Self {
        Self::Elsewhere(Box::new(Elsewhere { region: region.to_owned(), resource: self }))
    }

    /// The resource itself, wherever it is.
    pub(crate) fn inner(&self) -> &Self {
        if let Self::Elsewhere(elsewhere) = self { &elsewhere.resource } else { self }
    }

    /// The region that it is in, where that is not the pipeline's own.
    pub(crate) fn region(&self) -> Option<&str> {
        if let Self::Elsewhere(elsewhere) = self { Some(&elsewhere.region) } else { None }
    }

    /// `Kinesis stream (retail-events)`, as errors name it.
    pub(crate) fn label(&self) -> String {
        let label = self.kind().label(self.name());
        self.region().map_or_else(|| label.clone(), |region| format!("{label} in {region}"))
    }
}

impl Resource for Any {
    fn name(&self) -> &str {
        each!(self, resource => resource.name())
    }
    fn arn(&self, aws: &Clients) -> String {
        each!(self, resource => resource.arn(aws))
    }
    fn desired(&self) -> Fields {
        each!(self, resource => resource.desired())
    }
    fn defaults(&self) -> Fields {
        each!(self, resource => resource.defaults())
    }
    fn replacing(&self, field: &str) -> Option<&'static str> {
        each!(self, resource => resource.replacing(field))
    }
    fn continuity(&self, seen: &Observed) -> Option<&'static str> {
        each!(self, resource => resource.continuity(seen))
    }
    fn postponed(&self, field: &str, seen: &Observed) -> Option<String> {
        each!(self, resource => resource.postponed(field, seen))
    }
    async fn prepare(&self, cx: &Cx) -> anyhow::Result<()> {
        each!(self, resource => resource.prepare(cx).await)
    }
    async fn read(&self, cx: &Cx) -> anyhow::Result<Option<Observed>> {
        let mut missing = None;
        let mut cx = cx.clone();
        let noted = cx.clone();
        // On the heap: a bucket's many reads would make every future that awaits this one large.
        let read = async || match each!(self, resource => Box::pin(resource.read(&cx)).await) {
            // A part of it is not known everywhere yet, or all of it has just gone, which the next look tells.
            Err(error) if aws_error(&error).is_some_and(AwsError::is_missing) => {
                missing = Some(error);
                cx = cx.as_of_now();
                Ok(None)
            }
            seen => seen.map(Some),
        };
        let seen = until_seen(read, noted.noting()).await;
        let seen = seen.and_then(|seen| seen.map_or_else(|| missing.map_or(Ok(None), Err), Ok));
        seen.with_context(|| format!("reading {}", self.label()))
    }
    fn as_made(&self, aws: &Clients, tags: &Tags) -> Observed {
        each!(self, resource => resource.as_made(aws, tags))
    }
    async fn shown(&self, cx: &Cx) -> anyhow::Result<Option<Shown>> {
        let shown = each!(self, resource => Box::pin(resource.shown(cx)).await);
        if let Err(error) = &shown
            && aws_error(error).is_some_and(AwsError::is_missing)
        {
            return Ok(None);
        }
        shown.with_context(|| format!("reading {}", self.label()))
    }
    fn is_seen_when_ready(&self, changed: bool) -> bool {
        each!(self, resource => resource.is_seen_when_ready(changed))
    }
    async fn create(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<Created> {
        each!(self, resource => resource.create(cx, tags).await).with_context(|| format!("creating {}", self.label()))
    }
    async fn change(&self, cx: &Cx, seen: &Observed, changes: &[Change]) -> anyhow::Result<()> {
        each!(self, resource => resource.change(cx, seen, changes).await)
            .with_context(|| format!("changing {}", self.label()))
    }
    fn until_narrowed(&self, change: &Change) -> Option<Value> {
        each!(self, resource => resource.until_narrowed(change))
    }
    async fn narrow(&self, cx: &Cx) -> anyhow::Result<()> {
        each!(self, resource => resource.narrow(cx).await).with_context(|| format!("narrowing {}", self.label()))
    }
    async fn tag(&self, cx: &Cx, set: &Tags, remove: &[String]) -> anyhow::Result<()> {
        each!(self, resource => resource.tag(cx, set, remove).await)
            .with_context(|| format!("tagging {}", self.label()))
    }
    async fn takes_writes(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<bool> {
        each!(self, resource => resource.takes_writes(cx, tags).await)
            .with_context(|| format!("tagging {}", self.label()))
    }
    async fn ready(&self, cx: &Cx) -> anyhow::Result<()> {
        each!(self, resource => resource.ready(cx).await).with_context(|| format!("waiting for {}", self.label()))
    }
    async fn settle(&self, cx: &Cx) -> anyhow::Result<()> {
        each!(self, resource => resource.settle(cx).await).with_context(|| format!("waiting for {}", self.label()))
    }
    async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        each!(self, resource => resource.delete(cx).await).with_context(|| format!("deleting {}", self.label()))
    }
    async fn prepare_replacement(&self, cx: &Cx) -> anyhow::Result<()> {
        each!(self, resource => resource.prepare_replacement(cx).await)
            .with_context(|| format!("replacing {}", self.label()))
    }
}

/// What streamkit's caller must be allowed to do with replicas, beside what tables take.
pub(crate) fn replica_actions() -> Actions {
    super::replica::ACTIONS
}

/// What streamkit's caller must be allowed to do with resources of a kind.
pub(crate) fn actions(kind: ResourceKind) -> Actions {
    match kind {
        ResourceKind::Dashboard => super::dashboard::ACTIONS,
        ResourceKind::Alarm => super::alarm::ACTIONS,
        ResourceKind::Mapping => super::mapping::ACTIONS,
        ResourceKind::Consumer => super::consumer::ACTIONS,
        ResourceKind::Function => super::function::ACTIONS,
        ResourceKind::LogGroup => super::log_group::ACTIONS,
        ResourceKind::Role => super::role::ACTIONS,
        ResourceKind::Topic => super::topic::ACTIONS,
        ResourceKind::Queue => super::queue::ACTIONS,
        ResourceKind::Bucket => super::bucket::ACTIONS,
        ResourceKind::Table => super::table::ACTIONS,
        ResourceKind::Stream => super::stream::ACTIONS,
        ResourceKind::Key => super::key::ACTIONS,
    }
}
