//! What every resource can do, and the one way in which it is brought in line with the spec.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use super::{Alarm, Bucket, Consumer, Dashboard, Function, LogGroup, Mapping, Queue, Role, Stream, Table, Topic};
use crate::aws::{Aws, Owner, RESUME_TAG, Tags};
use crate::failure::Hint;
use crate::interrupt::Interrupt;
use crate::plan::{Change, differences};

/// A resource's settings in the spec's own units and words: what plans show is what is compared.
pub(crate) type Fields = BTreeMap<&'static str, Value>;

/// What a call needs to know of its run.
#[derive(Clone)]
pub(crate) struct Cx {
    pub(crate) aws: Arc<Aws>,
    pub(crate) owner: Owner,
    pub(crate) adopt: bool,
    /// Set when the user asks to stop; only work that changes nothing in AWS, such as a build, looks at it.
    interrupt: Option<Interrupt>,
    notes: Option<(String, UnboundedSender<(String, String)>)>,
}

impl Cx {
    pub(crate) fn new(aws: Arc<Aws>, owner: Owner) -> Self {
        Self { aws, owner, adopt: false, interrupt: None, notes: None }
    }

    pub(crate) fn adopting(mut self, adopt: bool) -> Self {
        self.adopt = adopt;
        self
    }

    pub(crate) fn stopped_by(mut self, interrupt: &Interrupt) -> Self {
        self.interrupt = Some(interrupt.clone());
        self
    }

    /// Returns when the user asks to stop.
    pub(crate) async fn interrupted(&self) {
        match self.interrupt.clone() {
            Some(mut interrupt) => interrupt.changed().await,
            None => std::future::pending().await,
        }
    }

    /// The same context for one node, whose notes go to `notes`.
    pub(crate) fn for_node(&self, node: &str, notes: UnboundedSender<(String, String)>) -> Self {
        Self { notes: Some((node.to_owned(), notes)), ..self.clone() }
    }

    /// Says what the node is waiting for.
    pub(crate) fn note(&self, text: &str) {
        if let Some((node, notes)) = &self.notes {
            // The receiver is gone only when the run is over.
            let _ = notes.send((node.clone(), text.to_owned()));
        }
    }

    /// [`note`](Self::note) as a callback.
    pub(crate) fn noting(&self) -> impl FnMut(&str) + '_ {
        |text| self.note(text)
    }
}

/// A resource as AWS has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Observed {
    pub(crate) arn: String,
    pub(crate) fields: Fields,
    /// `None` where the resource has no tags of its own and belongs to whom its parent belongs.
    pub(crate) tags: Option<Tags>,
    /// False while an earlier change is still being made.
    pub(crate) settled: bool,
}

/// A resource of the spec.
///
/// `read` and `create` tolerate races: what is gone is `None`, what is there already is fine.
pub(crate) trait Resource {
    /// The name in AWS.
    fn name(&self) -> &str;
    /// The ARN, which follows from the name.
    fn arn(&self, aws: &Aws) -> String;
    /// What the spec wants.
    fn desired(&self) -> Fields;
    /// Why a change of this field needs a new resource, and what is lost with the old one.
    fn replacing(&self, _field: &str) -> Option<&'static str> {
        None
    }
    /// Says how a new one goes on where this one ended, if it can: then nothing is lost with the old one.
    fn goes_on(&self, _seen: &Observed) -> Option<&'static str> {
        None
    }
    /// True when the tags say that the resource is the owner's.
    fn belongs(&self, owner: &Owner, tags: &Tags) -> bool {
        owner.owns(tags)
    }
    /// Gets what `desired` needs to be complete, when the resource exists already.
    async fn prepare(&self, _cx: &Cx) -> anyhow::Result<()> {
        Ok(())
    }
    async fn read(&self, cx: &Cx) -> anyhow::Result<Option<Observed>>;
    async fn create(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<()>;
    /// Makes the given changes in place.
    async fn change(&self, cx: &Cx, seen: &Observed, changes: &[Change]) -> anyhow::Result<()>;
    async fn tag(&self, cx: &Cx, set: &Tags, remove: &[String]) -> anyhow::Result<()>;
    /// Waits until the resource can be used.
    async fn ready(&self, cx: &Cx) -> anyhow::Result<()>;
    /// Deletes the resource and waits until it is gone; gone already is fine.
    async fn delete(&self, cx: &Cx) -> anyhow::Result<()>;
    /// Makes way for a new one.
    async fn make_way(&self, cx: &Cx) -> anyhow::Result<()> {
        self.delete(cx).await
    }
    /// What is lost with the resource, and how much, as one cheap call tells; `None` when it holds nothing.
    async fn holds(&self, _cx: &Cx) -> anyhow::Result<Option<String>> {
        Ok(None)
    }
}

/// What streamkit's caller must be allowed to do with one kind of resource.
///
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html>
#[derive(Debug, Clone, Copy)]
pub(crate) struct Actions {
    /// On the pipeline's own resources.
    pub(crate) own: &'static [&'static str],
    /// Without a resource to name: lists, limits, and what AWS does not bind to one.
    pub(crate) account: &'static [&'static str],
}

/// What kind of AWS resource something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Type {
    // In the order in which they are taken down.
    Dashboard,
    Alarm,
    Mapping,
    Consumer,
    Function,
    LogGroup,
    Role,
    Topic,
    Queue,
    Bucket,
    Table,
    Stream,
}

impl Type {
    pub(crate) const ALL: [Self; 12] = [
        Self::Dashboard,
        Self::Alarm,
        Self::Mapping,
        Self::Consumer,
        Self::Function,
        Self::LogGroup,
        Self::Role,
        Self::Topic,
        Self::Queue,
        Self::Bucket,
        Self::Table,
        Self::Stream,
    ];

    /// What the caller must be allowed to do.
    pub(crate) fn actions(self) -> Actions {
        match self {
            Self::Dashboard => super::dashboard::ACTIONS,
            Self::Alarm => super::alarm::ACTIONS,
            Self::Mapping => super::mapping::ACTIONS,
            Self::Consumer => super::consumer::ACTIONS,
            Self::Function => super::function::ACTIONS,
            Self::LogGroup => super::log_group::ACTIONS,
            Self::Role => super::role::ACTIONS,
            Self::Topic => super::topic::ACTIONS,
            Self::Queue => super::queue::ACTIONS,
            Self::Bucket => super::bucket::ACTIONS,
            Self::Table => super::table::ACTIONS,
            Self::Stream => super::stream::ACTIONS,
        }
    }

    /// The kind in AWS's own terms.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Dashboard => "CloudWatch dashboard",
            Self::Alarm => "CloudWatch alarm",
            Self::Mapping => "event source mapping",
            Self::Consumer => "stream consumer",
            Self::Function => "Lambda function",
            Self::LogGroup => "CloudWatch log group",
            Self::Role => "IAM role",
            Self::Topic => "SNS topic",
            Self::Queue => "SQS queue",
            Self::Bucket => "S3 bucket",
            Self::Table => "DynamoDB table",
            Self::Stream => "Kinesis stream",
        }
    }

    /// True for what people would miss: `down --keep-data` leaves these.
    pub(crate) fn is_data(self) -> bool {
        matches!(self, Self::Queue | Self::Bucket | Self::Table)
    }

    /// True for what holds records, items, messages or objects: `up` deletes it only when it is named.
    pub(crate) fn keeps_data(self) -> bool {
        self.is_data() || self == Self::Stream
    }
}

/// Any of the resources.
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
        }
    };
}

impl Any {
    pub(crate) fn kind(&self) -> Type {
        match self {
            Self::Stream(_) => Type::Stream,
            Self::Table(_) => Type::Table,
            Self::Queue(_) => Type::Queue,
            Self::Bucket(_) => Type::Bucket,
            Self::Role(_) => Type::Role,
            Self::LogGroup(_) => Type::LogGroup,
            Self::Function(_) => Type::Function,
            Self::Mapping(_) => Type::Mapping,
            Self::Consumer(_) => Type::Consumer,
            Self::Topic(_) => Type::Topic,
            Self::Alarm(_) => Type::Alarm,
            Self::Dashboard(_) => Type::Dashboard,
        }
    }

    /// `Kinesis stream (retail-events)`, as errors name it.
    pub(crate) fn label(&self) -> String {
        format!("{} ({})", self.kind().text(), self.name())
    }
}

impl Resource for Any {
    fn name(&self) -> &str {
        each!(self, resource => resource.name())
    }
    fn arn(&self, aws: &Aws) -> String {
        each!(self, resource => resource.arn(aws))
    }
    fn desired(&self) -> Fields {
        each!(self, resource => resource.desired())
    }
    fn replacing(&self, field: &str) -> Option<&'static str> {
        each!(self, resource => resource.replacing(field))
    }
    fn goes_on(&self, seen: &Observed) -> Option<&'static str> {
        each!(self, resource => resource.goes_on(seen))
    }
    fn belongs(&self, owner: &Owner, tags: &Tags) -> bool {
        each!(self, resource => resource.belongs(owner, tags))
    }
    async fn prepare(&self, cx: &Cx) -> anyhow::Result<()> {
        each!(self, resource => resource.prepare(cx).await)
    }
    async fn read(&self, cx: &Cx) -> anyhow::Result<Option<Observed>> {
        // On the heap: a bucket's many reads would make every future that awaits this one large.
        each!(self, resource => Box::pin(resource.read(cx)).await).with_context(|| format!("reading {}", self.label()))
    }
    async fn create(&self, cx: &Cx, tags: &Tags) -> anyhow::Result<()> {
        each!(self, resource => resource.create(cx, tags).await).with_context(|| format!("creating {}", self.label()))
    }
    async fn change(&self, cx: &Cx, seen: &Observed, changes: &[Change]) -> anyhow::Result<()> {
        each!(self, resource => resource.change(cx, seen, changes).await)
            .with_context(|| format!("changing {}", self.label()))
    }
    async fn tag(&self, cx: &Cx, set: &Tags, remove: &[String]) -> anyhow::Result<()> {
        each!(self, resource => resource.tag(cx, set, remove).await)
            .with_context(|| format!("tagging {}", self.label()))
    }
    async fn ready(&self, cx: &Cx) -> anyhow::Result<()> {
        each!(self, resource => resource.ready(cx).await).with_context(|| format!("waiting for {}", self.label()))
    }
    async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        each!(self, resource => resource.delete(cx).await).with_context(|| format!("deleting {}", self.label()))
    }
    async fn make_way(&self, cx: &Cx) -> anyhow::Result<()> {
        each!(self, resource => resource.make_way(cx).await).with_context(|| format!("replacing {}", self.label()))
    }
    async fn holds(&self, cx: &Cx) -> anyhow::Result<Option<String>> {
        each!(self, resource => resource.holds(cx).await)
            .with_context(|| format!("looking what {} holds", self.label()))
    }
}

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
        seen = resource.read(cx).await?;
    }
    let Some(seen) = seen else {
        bail!("{} was created and is already gone: something else deletes it", resource.label());
    };
    if let Some(has) = &seen.tags
        && !resource.belongs(&cx.owner, has)
        && !cx.adopt
        && !(made_here && has.is_empty())
    {
        let message = format!("{} exists already and does not belong to this pipeline", resource.label());
        return Err(Hint::error(message, "rename the pipeline, use --stage, or take it over with --adopt"));
    }
    exists();
    // Sync
    let tag = async || match &seen.tags {
        Some(has) => {
            let (set, remove) = tag_changes(has, tags);
            if set.is_empty() && remove.is_empty() { Ok(()) } else { resource.tag(cx, &set, &remove).await }
        }
        None => Ok(()),
    };
    // What an endpoint made without tags is nobody's: if the run ended here, the next would take it for foreign.
    let nobodys = made_here && seen.tags.as_ref().is_some_and(Tags::is_empty);
    if nobodys {
        tag().await?;
    }
    resource.prepare(cx).await?;
    let changes = differences(&seen.fields, &resource.desired());
    if !changes.is_empty() {
        if !seen.settled {
            resource.ready(cx).await?;
        }
        cx.note("changing");
        resource.change(cx, &seen, &changes).await?;
    }
    if !nobodys {
        tag().await?;
    }
    // Wait
    resource.ready(cx).await
}

/// Which tags to set and which to remove. AWS's own tags are not ours to touch.
pub(crate) fn tag_changes(has: &Tags, wants: &Tags) -> (Tags, Vec<String>) {
    let set = wants
        .iter()
        .filter(|(key, value)| has.get(*key) != Some(value))
        .map(|(key, value)| (key.clone(), value.clone()));
    let ours_for_a_while = |key: &str| key == RESUME_TAG;
    let remove =
        has.keys().filter(|key| !wants.contains_key(*key) && !key.starts_with("aws:") && !ours_for_a_while(key));
    (set.collect(), remove.cloned().collect())
}
