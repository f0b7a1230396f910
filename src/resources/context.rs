//! The context of a run: its clients, its owner, its options, and who is told of its progress.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_cloudwatch::types::MetricAlarm;
use aws_sdk_cloudwatchlogs::types::LogGroup;
use aws_sdk_dynamodb::types::TableDescription;
use aws_sdk_kinesis::types::{ConsumerDescription, StreamDescriptionSummary};
use aws_sdk_lambda::types::EventSourceMappingConfiguration;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::topic_description::TopicDescription;
use crate::aws::{
    AwsError, BUSY, Clients, GOING, Joined, Look, NOT_KNOWN, Owner, PROPAGATION, Passing, RIGHTS, Shared, SharedByName,
    Tags, Wait, timed_retry, wait,
};
use crate::interrupt::Interrupt;
use crate::lock::locked;

/// What several resources, or a resource and the search for orphans, are read from.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// The alarms whose names begin as the owner's.
    pub(crate) alarms: Shared<Vec<MetricAlarm>>,
    /// The log groups of functions whose names begin as the owner's.
    pub(crate) log_groups: Shared<Vec<LogGroup>>,
    /// The event source mappings of the region; `None` where they are more than a page.
    pub(crate) mappings: Shared<Option<Vec<EventSourceMappingConfiguration>>>,
    pub(crate) streams: SharedByName<Option<StreamDescriptionSummary>>,
    pub(crate) stream_tags: SharedByName<Option<Tags>>,
    pub(crate) tables: SharedByName<Option<TableDescription>>,
    /// By the ARN of the stream and the consumer's name.
    pub(crate) consumers: SharedByName<Option<ConsumerDescription>>,
    pub(crate) topics: SharedByName<Option<TopicDescription>>,
    /// All that has the pipeline's tag, by ARN; nothing where that can't be asked.
    pub(super) told_tags: Shared<BTreeMap<String, Tags>>,
    pub(crate) deleted_alarms: Joined,
}

/// The context of a run.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own, made by name")]
pub(crate) struct Cx {
    pub(crate) aws: Arc<Clients>,
    pub(crate) owner: Owner,
    pub(crate) adopt: bool,
    /// The region is not the pipeline's own: a search does not look any further.
    pub(super) is_guest: bool,
    /// Nothing is done by what is read now: the tags of many in one answer are good enough, although they may be minutes old.
    pub(super) goes_by_told_tags: bool,
    /// What a call names may be gone, which its refusal tells: it is not sent again.
    doubts: bool,
    /// Nothing will be changed: what can't be known of the spec's side is left out, and hides nothing of AWS's.
    pub(crate) only_looks: bool,
    /// Set when the user asks to stop; only work that changes nothing in AWS, such as a build, looks at it.
    interrupt: Option<Interrupt>,
    notes: Option<(String, UnboundedSender<(String, String)>)>,
    pub(crate) answers: Arc<Answers>,
    /// The answers of every region, by its name.
    of_regions: Arc<Mutex<BTreeMap<String, Arc<Answers>>>>,
    /// When the run began that the context is of.
    run_since: Option<Instant>,
    /// The waits of a node for AWS: when each ended, and how long AWS needed at least.
    needed: Arc<Mutex<Vec<(Instant, Duration)>>>,
    /// Answers that were asked for since then are good enough.
    pub(crate) since: Instant,
}

impl Cx {
    pub(crate) fn new(aws: Arc<Clients>, owner: Owner) -> Self {
        let answers = Arc::<Answers>::default();
        let of_regions = BTreeMap::from([(aws.region.clone(), Arc::clone(&answers))]);
        Self {
            aws,
            owner,
            adopt: false,
            is_guest: false,
            goes_by_told_tags: false,
            doubts: false,
            only_looks: false,
            interrupt: None,
            notes: None,
            answers,
            of_regions: Arc::new(Mutex::new(of_regions)),
            run_since: None,
            needed: Arc::default(),
            since: Instant::now(),
        }
    }

    pub(crate) fn adopting(mut self, adopt: bool) -> Self {
        self.adopt = adopt;
        self
    }

    pub(crate) fn being_guest(mut self) -> Self {
        self.is_guest = true;
        self
    }

    pub(crate) fn only_looking(mut self) -> Self {
        self.only_looks = true;
        self
    }

    pub(crate) fn stopped_by(mut self, interrupt: &Interrupt) -> Self {
        self.interrupt = Some(interrupt.clone());
        self
    }

    /// The same context in another region.
    pub(crate) fn in_region(&self, region: &str) -> Self {
        let answers = Arc::clone(locked(&self.of_regions).entry(region.to_owned()).or_default());
        Self { aws: self.aws.in_region(region), answers, ..self.clone() }
    }

    /// The same context where a node or resource is; `None` stands for the region that the context is in.
    pub(crate) fn at(&self, region: Option<&str>) -> Self {
        region.map_or_else(|| self.clone(), |region| self.in_region(region))
    }

    /// The same context after something has happened: what was answered before counts no more.
    pub(crate) fn as_of_now(&self) -> Self {
        Self { since: Instant::now(), ..self.clone() }
    }

    /// The same context for calls on what may be gone.
    pub(crate) fn doubting(&self) -> Self {
        Self { doubts: true, ..self.clone() }
    }

    /// The same context for reads by which nothing is done: see [`told_tags`](super::told_tags).
    pub(crate) fn going_by_told_tags(&self) -> Self {
        Self { goes_by_told_tags: true, ..self.clone() }
    }

    /// What the names of the owner's resources begin with, hyphen included.
    pub(crate) fn start(&self) -> String {
        format!("{}-", self.owner.prefix())
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
        Self { notes: Some((node.to_owned(), notes)), needed: Arc::default(), ..self.clone() }
    }

    /// The same context for a run that began then.
    pub(crate) fn of_run_since(&self, began: Instant) -> Self {
        Self { run_since: Some(began), ..self.clone() }
    }

    /// Reports what the node is doing or waiting for.
    pub(crate) fn note(&self, text: &str) {
        if let Some((node, notes)) = &self.notes {
            // The receiver is gone only when the run is over.
            let _ = notes.send((node.clone(), text.to_owned()));
        }
    }

    /// Sends a call again while an earlier change of the same resource is still being made, for five minutes at most.
    pub(crate) async fn retry_while_busy<T, E, F>(&self, send: impl FnMut() -> F) -> Result<T, AwsError>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        self.needs(timed_retry(&[BUSY], send, self.noting()).await)
    }

    /// Sends a call that changes a resource which exists again while AWS does not find it, as it may be not known everywhere
    /// yet, for a minute at most, and while it is busy.
    pub(crate) async fn retry_until_known<T, E, F>(&self, send: impl FnMut() -> F) -> Result<T, AwsError>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let passing: &[Passing] = if self.doubts { &[BUSY, GOING] } else { &[BUSY, NOT_KNOWN] };
        self.needs(timed_retry(passing, send, self.noting()).await)
    }

    /// Sends a call again until IAM has told the service of a new role, for two minutes at most, while the resource is busy,
    /// and while AWS does not find what the call names.
    pub(crate) async fn retry_until_propagated<T, E, F>(&self, send: impl FnMut() -> F) -> Result<T, AwsError>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        self.needs(timed_retry(&[BUSY, PROPAGATION, NOT_KNOWN], send, self.noting()).await)
    }

    /// The same for a mapping, whose function already has the role.
    pub(crate) async fn retry_until_allowed<T, E, F>(&self, send: impl FnMut() -> F) -> Result<T, AwsError>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        self.needs(timed_retry(&[BUSY, RIGHTS, NOT_KNOWN], send, self.noting()).await)
    }

    /// Looks until the state is one of the targets.
    pub(crate) async fn wait(
        &self,
        what: &Wait<'_>,
        look: impl AsyncFnMut() -> anyhow::Result<Look>,
    ) -> anyhow::Result<()> {
        let before = self.run_since.map_or(Duration::ZERO, |began| began.elapsed());
        self.needs(wait(what, before, look, self.noting()).await.map(|needed| ((), needed)))
    }

    /// Notes how long AWS needed.
    fn needs<T, E>(&self, ended: Result<(T, Duration), E>) -> Result<T, E> {
        let (answer, needed) = ended?;
        if !needed.is_zero() {
            locked(&self.needed).push((Instant::now(), needed));
        }
        Ok(answer)
    }

    /// How many seconds AWS needed at least in the waits that ended by then.
    pub(crate) fn needed_until(&self, moment: Instant) -> f64 {
        let waits = locked(&self.needed);
        waits.iter().filter(|(ended, _)| *ended <= moment).map(|(_, needed)| needed.as_secs_f64()).sum()
    }

    /// [`note`](Self::note) as a callback.
    pub(crate) fn noting(&self) -> impl FnMut(&str) + '_ {
        |text| self.note(text)
    }
}
