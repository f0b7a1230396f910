//! Event source mappings: what connects a stream to a function.

mod lists;
mod others;
mod renamed;
mod resume;
mod source;
mod transitions;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use aws_sdk_lambda::types::{
    DestinationConfig, EventSourceMappingConfiguration, EventSourceMappingMetric, EventSourceMappingMetricsConfig,
    EventSourcePosition, Filter, FilterCriteria, FunctionResponseType, OnFailure,
};
use serde_json::{Value, json};

use lists::list;
pub(super) use lists::{function_of, mappings_from, mappings_of};
use resume::Position;
pub(crate) use source::MappingSource;
use transitions::{changed, delete_mapping, mapping_gone, stop};

use super::context::Cx;
use super::resource::{Actions, Created, Observed, Resource};
use crate::aws::{AwsError, Clients, Look, Tags, existing};
use crate::lock::locked;
use crate::plan::{Change, Fields};
use crate::spec::{Pattern, Seconds, StartingPosition, duration_text};

/// How far before its creation a mapping starts: the clocks of AWS's hosts differ, too.
const START_MARGIN: Duration = Duration::from_secs(10);

/// What the caller must be allowed to do.
pub(super) const ACTIONS: Actions = Actions {
    own: &["lambda:CreateEventSourceMapping", "lambda:UpdateEventSourceMapping", "lambda:DeleteEventSourceMapping"],
    account: &["lambda:GetEventSourceMapping", "lambda:ListEventSourceMappings"],
};

/// An event source mapping. Partial batch responses and event-count metrics are always on.
#[derive(Debug, Clone)]
pub(crate) struct Mapping {
    pub(crate) function: String,
    pub(crate) source: MappingSource,
    /// The function that this one was until it got another name: its mapping's place in the source is taken over.
    pub(crate) renamed_from: Option<String>,
    /// The source's ARN; `None` until it has been looked up.
    pub(crate) source_arn: Arc<Mutex<Option<String>>>,
    pub(crate) batch_size: i64,
    pub(crate) batch_window: Seconds,
    /// As in the spec; when absent, it is chosen at creation.
    pub(crate) starting_position: Option<StartingPosition>,
    pub(crate) parallelization_factor: i64,
    pub(crate) bisect_on_error: bool,
    /// −1: no limit.
    pub(crate) max_retries: i64,
    /// No limit when absent.
    pub(crate) max_record_age: Option<Seconds>,
    /// ARN of a queue or topic.
    pub(crate) on_failure: Option<String>,
    /// A record is processed when one of the patterns matches; without patterns every record is.
    pub(crate) filter: Vec<Pattern>,
    pub(crate) tumbling_window: Seconds,
    pub(crate) enabled: bool,
    /// True when it is created while the mapping of the table's earlier stream stays, to read that stream to its end.
    pub(crate) beside_earlier_stream: Arc<AtomicBool>,
    /// True when this run also creates the stream: then reading starts at TRIM_HORIZON.
    pub(crate) source_is_new: Arc<AtomicBool>,
}

impl Mapping {
    /// The function's mapping: the one from the source that the spec names, else one from another source, which is then replaced.
    pub(crate) async fn find(&self, cx: &Cx) -> Result<Option<EventSourceMappingConfiguration>, AwsError> {
        Ok(self.choose(mappings_of(cx, &self.function).await?))
    }

    fn choose(&self, all: Vec<EventSourceMappingConfiguration>) -> Option<EventSourceMappingConfiguration> {
        let arn = self.source_arn();
        let now = all.iter().position(|mapping| arn.is_some() && mapping.event_source_arn == arn);
        let ever = || {
            all.iter().position(|mapping| mapping.event_source_arn.as_deref().is_some_and(|arn| self.source.is(arn)))
        };
        if now.is_none() && self.beside_earlier_stream.load(Ordering::Relaxed) {
            return None;
        }
        let chosen = now.or_else(ever).unwrap_or(0);
        all.into_iter().nth(chosen)
    }

    /// The UUIDs of mappings of earlier streams of the table whose changes have all expired.
    fn expired(&self, all: &[EventSourceMappingConfiguration]) -> Vec<String> {
        let Some(now) = self.source_arn().filter(|arn| self.source.expired_before(arn)) else { return Vec::new() };
        let earlier = |mapping: &&EventSourceMappingConfiguration| {
            mapping.event_source_arn.as_deref().is_some_and(|arn| arn != now && self.source.is(arn))
        };
        all.iter().filter(earlier).filter_map(|mapping| mapping.uuid.clone()).collect()
    }

    fn source_arn(&self) -> Option<String> {
        locked(&self.source_arn).clone()
    }

    async fn uuid(&self, cx: &Cx) -> anyhow::Result<String> {
        self.find(cx).await?.and_then(|mapping| mapping.uuid).context("the mapping is gone")
    }

    fn destinations(&self) -> DestinationConfig {
        // To clear it, an empty DestinationConfig is sent: an empty OnFailure is refused.
        let on_failure = self.on_failure.as_ref().map(|arn| OnFailure::builder().destination(arn).build());
        DestinationConfig::builder().set_on_failure(on_failure).build()
    }

    fn filters(&self) -> FilterCriteria {
        let filters = self.filter.iter().map(|pattern| Filter::builder().pattern(pattern.to_string()).build());
        FilterCriteria::builder().set_filters((!self.filter.is_empty()).then(|| filters.collect())).build()
    }

    fn metrics() -> EventSourceMappingMetricsConfig {
        EventSourceMappingMetricsConfig::builder().metrics(EventSourceMappingMetric::EventCount).build()
    }

    /// The starting position to compare with the spec's. A mapping that replaced another one starts AT_TIMESTAMP, where the
    /// other ended: that counts as the position that the spec gives.
    fn position_seen(&self, has: Option<&EventSourcePosition>) -> Value {
        match has {
            Some(EventSourcePosition::AtTimestamp) => {
                json!(self.starting_position.map(|position| position_text(&event_source_position(position))))
            }
            other => json!(other.map(position_text)),
        }
    }

    /// True when the spec's starting position is not the mapping's: then the new mapping starts there, and does not resume.
    fn starts_elsewhere(&self, has: Option<&str>) -> bool {
        let wants = self.starting_position.map(|position| position_text(&event_source_position(position)));
        wants.is_some_and(|wants| wants.as_str() != has)
    }

    /// Looks the source up again: the table may have a new stream since the plan was made.
    async fn look_up_source(&self, cx: &Cx) -> anyhow::Result<()> {
        let arn = self.source.arn(cx).await?;
        *locked(&self.source_arn) = arn;
        Ok(())
    }

    fn max_record_age(&self) -> i32 {
        self.max_record_age.map_or(-1, Seconds::as_i32)
    }
}

/// A moment before now by AWS's clock: this machine's may be ahead, and what lies in the future is refused, or behind, and what
/// was put since then would be skipped.
fn just_before_now(cx: &Cx) -> SystemTime {
    let now = cx.aws.now();
    now.checked_sub(START_MARGIN).unwrap_or(now)
}

impl Resource for Mapping {
    /// A mapping has no name of its own.
    fn name(&self) -> &str {
        &self.function
    }

    fn arn(&self, _aws: &Clients) -> String {
        String::new()
    }

    fn desired(&self) -> Fields {
        let mut fields = Fields::from([
            ("batch_size", json!(self.batch_size)),
            ("batch_window", json!(duration_text(self.batch_window.0))),
            ("parallelization_factor", json!(self.parallelization_factor)),
            ("bisect_on_error", json!(self.bisect_on_error)),
            ("max_retries", json!(self.max_retries)),
            ("max_record_age", json!(self.max_record_age.map(|age| duration_text(age.0)))),
            ("on_failure", json!(self.on_failure)),
            ("partial_batch_responses", json!(true)),
            ("event_count_metrics", json!(true)),
            ("filter", sorted(self.filter.iter().map(|pattern| pattern.0.clone()).collect())),
            ("tumbling_window", json!(duration_text(self.tumbling_window.0))),
            ("enabled", json!(self.enabled)),
            ("mappings_of_expired_streams", json!(0)),
        ]);
        // A source that does not exist yet has no ARN to compare with.
        if let Some(source) = self.source_arn() {
            fields.insert("source", json!(source));
        }
        if let Some(position) = self.starting_position {
            fields.insert("starting_position", json!(position_text(&event_source_position(position))));
        }
        fields
    }

    fn defaults(&self) -> Fields {
        Fields::from([
            ("batch_size", json!(100)),
            ("batch_window", json!(duration_text(0))),
            ("parallelization_factor", json!(1)),
            ("bisect_on_error", json!(false)),
            ("max_retries", json!(-1)),
            ("partial_batch_responses", json!(true)),
            ("event_count_metrics", json!(true)),
            ("filter", json!([])),
            ("tumbling_window", json!(duration_text(0))),
            ("enabled", json!(true)),
            ("mappings_of_expired_streams", json!(0)),
        ])
    }

    fn replacing(&self, field: &str) -> Option<&'static str> {
        // Both can be set only when the mapping is made.
        matches!(field, "source" | "starting_position")
            .then_some("the mapping's position in the stream: records are skipped or read again")
    }

    fn continuity(&self, seen: &Observed) -> Option<&'static str> {
        let old = seen.fields.get("source").and_then(Value::as_str)?;
        if self.starts_elsewhere(seen.fields.get("starting_position").and_then(Value::as_str)) {
            return None;
        }
        if self.source.is_same_stream(old) {
            return Some(
                "resumes some minutes before the last record that was processed: the records since then are read again",
            );
        }
        (!self.source.has_timestamps() && self.source.is(old)).then_some(
            "reads the new stream from its beginning; the old mapping stays for a day, until its stream has expired",
        )
    }

    async fn read(&self, cx: &Cx) -> anyhow::Result<Option<Observed>> {
        let all = mappings_of(cx, &self.function).await?;
        if !all.is_empty() {
            // Of several mappings the one whose source is the current stream counts.
            self.look_up_source(cx).await?;
        }
        let expired = self.expired(&all).len();
        let Some(mapping) = self.choose(all) else { return Ok(None) };
        let state = mapping.state.as_deref().unwrap_or_default();
        let uuid = mapping.uuid.context("a mapping without a UUID")?;
        if state == "Deleting" {
            cx.note("waiting for an earlier deletion");
            delete_mapping(cx, &self.function, &uuid).await?;
            return Ok(None);
        }
        let seconds = |value: Option<i32>| value.and_then(|value| u64::try_from(value).ok());
        let on_failure = mapping
            .destination_config
            .and_then(|config| config.on_failure)
            .and_then(|on_failure| on_failure.destination);
        let partial = mapping
            .function_response_types
            .unwrap_or_default()
            .contains(&FunctionResponseType::ReportBatchItemFailures);
        let counted = mapping.metrics_config.and_then(|config| config.metrics).unwrap_or_default();
        let filters = mapping.filter_criteria.and_then(|criteria| criteria.filters).unwrap_or_default();
        let filter = filters.into_iter().map(|filter| pattern_value(filter.pattern.as_deref().unwrap_or_default()));
        let window = seconds(mapping.tumbling_window_in_seconds).unwrap_or(0);
        let fields = Fields::from([
            ("source", json!(mapping.event_source_arn)),
            ("batch_size", json!(mapping.batch_size)),
            ("batch_window", json!(duration_text(seconds(mapping.maximum_batching_window_in_seconds).unwrap_or(0)))),
            ("parallelization_factor", json!(mapping.parallelization_factor.unwrap_or(1))),
            ("bisect_on_error", json!(mapping.bisect_batch_on_function_error.unwrap_or_default())),
            ("max_retries", json!(mapping.maximum_retry_attempts.unwrap_or(-1))),
            ("max_record_age", json!(seconds(mapping.maximum_record_age_in_seconds).map(duration_text))),
            ("on_failure", json!(on_failure)),
            ("partial_batch_responses", json!(partial)),
            ("event_count_metrics", json!(counted.contains(&EventSourceMappingMetric::EventCount))),
            ("filter", sorted(filter.collect())),
            ("tumbling_window", json!(duration_text(window))),
            ("enabled", json!(!matches!(state, "Disabled" | "Disabling"))),
            ("starting_position", self.position_seen(mapping.starting_position.as_ref())),
            ("mappings_of_expired_streams", json!(expired)),
        ]);
        let arn = mapping
            .event_source_mapping_arn
            .unwrap_or_else(|| cx.aws.arn("lambda", &format!("event-source-mapping:{uuid}")));
        Ok(Some(Observed {
            arn,
            fields,
            tags: None,
            parent_tags: None,
            settled: matches!(state, "Enabled" | "Disabled"),
        }))
    }

    async fn create(&self, cx: &Cx, _tags: &Tags) -> anyhow::Result<Created> {
        self.look_up_source(cx).await?;
        let source = self.source_arn().context("the source has no stream to read")?;
        let mut call = cx
            .aws
            .lambda
            .create_event_source_mapping()
            .function_name(&self.function)
            .event_source_arn(source)
            .batch_size(i32::try_from(self.batch_size)?)
            .maximum_batching_window_in_seconds(self.batch_window.as_i32())
            .parallelization_factor(i32::try_from(self.parallelization_factor)?)
            .bisect_batch_on_function_error(self.bisect_on_error)
            .maximum_retry_attempts(i32::try_from(self.max_retries)?)
            .maximum_record_age_in_seconds(self.max_record_age())
            .function_response_types(FunctionResponseType::ReportBatchItemFailures)
            .metrics_config(Self::metrics())
            .enabled(self.enabled);
        if !self.filter.is_empty() {
            call = call.filter_criteria(self.filters());
        }
        if self.tumbling_window.0 > 0 {
            call = call.tumbling_window_in_seconds(self.tumbling_window.as_i32());
        }
        if self.on_failure.is_some() {
            call = call.destination_config(self.destinations());
        }
        let saved = if self.source.has_timestamps() && !self.source_is_new.load(Ordering::Relaxed) {
            resume::saved(cx, &self.function).await?
        } else {
            None
        };
        let saved = match (&self.renamed_from, saved) {
            (Some(old), None) => self.take_over(cx, old).await?,
            (_, saved) => saved,
        };
        // Polling starts up to minutes after this call: with LATEST, what is put in between would never be seen.
        call = match self.starting_position {
            _ if let Some(Position::At(at)) = saved => call
                .starting_position(EventSourcePosition::AtTimestamp)
                .starting_position_timestamp(aws_smithy_types::DateTime::from(at)),
            _ if saved == Some(Position::Start) => call.starting_position(EventSourcePosition::TrimHorizon),
            Some(position) => call.starting_position(event_source_position(position)),
            // A table's stream keeps a day and can't be read from a point in time: all of it is better than a gap.
            None if !self.source.has_timestamps() || self.source_is_new.load(Ordering::Relaxed) => {
                call.starting_position(EventSourcePosition::TrimHorizon)
            }
            None => call
                .starting_position(EventSourcePosition::AtTimestamp)
                .starting_position_timestamp(aws_smithy_types::DateTime::from(just_before_now(cx))),
        };
        let created = match cx.retry_until_allowed(|| call.clone().send()).await {
            Ok(_) => Created::Made { ready: false },
            Err(error) if error.is(&["ResourceConflictException"]) && error.message.contains("already exists") => {
                Created::Found
            }
            Err(error) => return Err(error.into()),
        };
        if saved.is_some() {
            resume::clear(cx, &self.function).await?;
        }
        Ok(created)
    }

    fn as_made(&self, aws: &Clients, _tags: &Tags) -> Observed {
        Observed { arn: self.arn(aws), fields: self.desired(), tags: None, parent_tags: None, settled: true }
    }

    fn is_seen_when_ready(&self, changed: bool) -> bool {
        // `ready` finds it by the list, as later runs do.
        !changed
    }

    async fn change(&self, cx: &Cx, _seen: &Observed, _changes: &[Change]) -> anyhow::Result<()> {
        for uuid in self.expired(&mappings_of(cx, &self.function).await?) {
            cx.note("deleting the mapping of a stream that has expired");
            delete_mapping(cx, &self.function, &uuid).await?;
        }
        // An omitted field means "no change", so all are sent: what the spec no longer has is reset.
        let call = cx
            .aws
            .lambda
            .update_event_source_mapping()
            .uuid(self.uuid(cx).await?)
            .function_name(&self.function)
            .batch_size(i32::try_from(self.batch_size)?)
            .maximum_batching_window_in_seconds(self.batch_window.as_i32())
            .parallelization_factor(i32::try_from(self.parallelization_factor)?)
            .bisect_batch_on_function_error(self.bisect_on_error)
            .maximum_retry_attempts(i32::try_from(self.max_retries)?)
            .maximum_record_age_in_seconds(self.max_record_age())
            .destination_config(self.destinations())
            .filter_criteria(self.filters())
            .tumbling_window_in_seconds(self.tumbling_window.as_i32())
            .function_response_types(FunctionResponseType::ReportBatchItemFailures)
            .metrics_config(Self::metrics())
            .enabled(self.enabled);
        cx.retry_until_allowed(|| call.clone().send()).await?;
        Ok(())
    }

    async fn tag(&self, _cx: &Cx, _set: &Tags, _remove: &[String]) -> anyhow::Result<()> {
        Ok(())
    }

    async fn ready(&self, cx: &Cx) -> anyhow::Result<()> {
        let what = format!("event source mapping ({})", self.function);
        let look = async || {
            let Some(mapping) = self.choose(list(cx, &self.function).await?) else { return Ok(Look::Gone) };
            Ok(Look::State(mapping.state.context("ListEventSourceMappings answered without a State")?))
        };
        cx.wait(&changed(&what, self.enabled), look).await
    }

    /// Disables the old mapping and saves its position in a tag of the function; the mapping of an earlier stream of the
    /// table stays instead, to read that stream to its end.
    async fn prepare_replacement(&self, cx: &Cx) -> anyhow::Result<()> {
        self.look_up_source(cx).await?;
        let Some(old) = self.find(cx).await? else { return Ok(()) };
        let (Some(uuid), Some(arn)) = (&old.uuid, &old.event_source_arn) else { return self.delete(cx).await };
        let position = self.position_seen(old.starting_position.as_ref());
        if self.starts_elsewhere(position.as_str()) {
            return self.delete(cx).await;
        }
        if !self.source.has_timestamps() && self.source.is(arn) {
            self.beside_earlier_stream.store(true, Ordering::Relaxed);
            return Ok(());
        }
        if !self.source.is_same_stream(arn) {
            return self.delete(cx).await;
        }
        stop(cx, uuid).await?;
        let position = resume::position_after(cx, &self.function, &old).await?;
        resume::save(cx, &self.function, position).await?;
        cx.note(&format!("the new mapping resumes from {}", position.text()));
        delete_mapping(cx, &self.function, uuid).await
    }

    async fn delete(&self, cx: &Cx) -> anyhow::Result<()> {
        delete(cx, &self.function).await
    }
}

/// Asks AWS to delete all mappings of the function.
pub(super) async fn begin_deletion(cx: &Cx, function: &str) -> anyhow::Result<()> {
    for mapping in mappings_of(cx, function).await? {
        let call = cx.aws.lambda.delete_event_source_mapping().set_uuid(mapping.uuid);
        existing(cx.retry_while_busy(|| call.clone().send()).await)?;
    }
    Ok(())
}

/// Waits until the mappings that the function had are gone, though it is gone itself.
pub(super) async fn until_gone(cx: &Cx, function: &str) -> anyhow::Result<()> {
    for mapping in mappings_of(cx, function).await? {
        mapping_gone(cx, &mapping.uuid.context("a mapping without a UUID")?).await?;
    }
    Ok(())
}

/// Deletes all mappings of the function, and waits until they are gone.
async fn delete(cx: &Cx, function: &str) -> anyhow::Result<()> {
    for mapping in mappings_of(cx, function).await? {
        delete_mapping(cx, function, &mapping.uuid.context("a mapping without a UUID")?).await?;
    }
    Ok(())
}

/// Patterns have no order of their own: one of them must match.
fn sorted(mut patterns: Vec<Value>) -> Value {
    patterns.sort_by_key(Value::to_string);
    json!(patterns)
}

fn pattern_value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

fn event_source_position(position: StartingPosition) -> EventSourcePosition {
    match position {
        StartingPosition::Latest => EventSourcePosition::Latest,
        StartingPosition::TrimHorizon => EventSourcePosition::TrimHorizon,
    }
}

fn position_text(position: &EventSourcePosition) -> Value {
    json!(position.as_str().to_lowercase().replace('_', "-"))
}
