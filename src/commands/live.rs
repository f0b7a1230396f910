//! What a pipeline does right now, look after look: the functions' log lines tell of each invocation, CloudWatch of lag and errors.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::dlq;
use super::logs::Level;
use super::logs::line::{Line, Source};
use super::logs::platform::reported_ms;
use super::logs::reader::Readers;
use super::session::Session;
use super::since::epoch_ms;
use super::sources::node_of;
use super::status::document::{FunctionState, QueueState};
use super::status::look;
use crate::aws::{Metric, MinuteStatistic};
use crate::options::Global;
use crate::picture::drawing;
use crate::pipeline::{Flow, FlowSource};
use crate::plan::ResourceKind;
use crate::resources::Resource as _;
use crate::screen::{
    AlarmSample, FailedSample, FunctionSample, LogSample, Picture, QueueSample, Sample, Setup, Severity, SourceSample,
};

/// How many of the newest failures are shown.
const FAILED: usize = 30;
/// How often they are read at most: each time they are hidden from others for a moment.
const LETTERS_EVERY: Duration = Duration::from_secs(5);
/// How far back CloudWatch is asked what went into a stream: metrics arrive by the minute.
const INCOMING: Duration = Duration::from_secs(3 * 60);

/// Looks at a pipeline again and again, and remembers what it has seen.
pub(super) struct Sampler {
    /// One for each log group.
    readers: BTreeMap<String, Readers>,
    last: Option<Instant>,
    /// Of each function the errors of the last minutes, as CloudWatch has them.
    errors: BTreeMap<String, u64>,
    /// How many dead letters there were when they were read last, and when that was.
    letters: Option<(u64, Instant)>,
    /// How much of what was there before the first look is seen.
    before: Duration,
    /// Where the sender knows what goes into the sources, nobody asks CloudWatch.
    asks_sources: bool,
}

impl Sampler {
    /// What a command sees that sends nothing itself, and what has happened in the time before.
    pub(super) fn of_others(before: Duration) -> Self {
        Self { before, asks_sources: true, ..Self::of_own() }
    }

    /// What a command sees of what it sends from now on.
    pub(super) fn of_own() -> Self {
        Self {
            readers: BTreeMap::new(),
            last: None,
            errors: BTreeMap::new(),
            letters: None,
            before: Duration::ZERO,
            asks_sources: false,
        }
    }

    /// Looks once.
    pub(super) async fn look(&mut self, session: &Session) -> anyhow::Result<Sample> {
        let (cx, pipeline) = (&session.cx.as_of_now(), &session.pipeline);
        let now = Instant::now();
        let seconds = self.last.map_or(self.before, |last| now - last).as_secs_f64();
        let of_alarms = pipeline
            .nodes
            .iter()
            .filter(|node| node.resource.kind() == ResourceKind::Alarm && node.resource.region().is_none());
        let of_alarms = of_alarms.map(|node| node.resource.name().to_owned()).collect();
        let alarms = async { anyhow::Ok(look::alarms(cx, &of_alarms).await?) };
        let (states, queues, alarms, sources) = tokio::try_join!(
            look::functions(cx, pipeline),
            look::queues(cx, pipeline, |_| true),
            alarms,
            self.sources(session)
        )?;
        let mut log = Vec::new();
        let mut functions = Vec::new();
        for (flow, state) in pipeline.flows.iter().zip(states) {
            let mut seen = self.read_log(session, flow, &mut log).await?;
            self.add_state(&mut seen, state);
            functions.push(seen);
        }
        log.sort_by_key(|line: &LogSample| line.time_ms);
        let failed = self.failed(session, &queues).await;
        self.last = Some(now);
        let queue = |queue: QueueState| QueueSample {
            node: queue.node,
            messages: queue.messages,
            dead_letters: queue.dead_letters,
        };
        Ok(Sample {
            seconds,
            sources,
            functions,
            queues: queues.into_iter().map(queue).collect(),
            alarms: alarms.into_iter().map(|alarm| AlarmSample { name: alarm.name, state: alarm.state }).collect(),
            log,
            failed,
        })
    }

    /// What the function's log says that is new.
    async fn read_log(
        &mut self,
        session: &Session,
        flow: &Flow,
        log: &mut Vec<LogSample>,
    ) -> anyhow::Result<FunctionSample> {
        let since_ms = epoch_ms(session.aws.now() - self.before);
        let readers = match self.readers.entry(flow.log_group.clone()) {
            Entry::Vacant(new) => {
                new.insert(Readers::new(&session.aws, std::iter::once(flow.log_group.as_str()), since_ms))
            }
            Entry::Occupied(known) => {
                let readers = known.into_mut();
                readers.again();
                readers
            }
        };
        let mut tally = Tally::default();
        while let Some(event) = readers.next().await? {
            if let Some(line) = tally.add(&flow.key, event.time_ms, &event.message) {
                log.push(line);
            }
        }
        Ok(tally.conclude(&flow.key))
    }

    fn add_state(&mut self, seen: &mut FunctionSample, state: FunctionState) {
        seen.lag_ms = state.iterator_age_ms;
        if let Some(errors) = state.errors {
            // At first they are others'. Minutes that leave the time that is looked at make it less.
            let before = self.errors.insert(state.function, errors);
            seen.errors = errors.saturating_sub(before.unwrap_or(errors));
        }
        if let Some(mapping) = state.mapping {
            seen.problem = mapping.problem().map(str::to_owned);
            seen.mapping = mapping.state;
        }
    }

    /// The newest failures, where their number has changed: whoever reads messages hides them from others for that time.
    async fn failed(&mut self, session: &Session, queues: &[QueueState]) -> Option<Vec<FailedSample>> {
        let count = queues.iter().filter(|queue| queue.dead_letters).map(|queue| queue.messages).sum();
        let now = Instant::now();
        let is_too_soon = |at: Instant| count > 0 && now - at < LETTERS_EVERY;
        if self.letters.is_some_and(|(before, at)| before == count || is_too_soon(at)) {
            return None;
        }
        self.letters = Some((count, now));
        if count == 0 {
            return Some(Vec::new());
        }
        // Who may look at a pipeline need not be allowed to read its queues.
        let failed = dlq::newest(session, FAILED).await.ok()?;
        let sample = |failed: dlq::Failed| FailedSample {
            time_ms: failed.at_ms,
            function: failed.function,
            code: failed.code,
            payload: failed.said,
        };
        Some(failed.into_iter().map(sample).collect())
    }

    /// What goes into the streams, as far as CloudWatch says so.
    async fn sources(&self, session: &Session) -> anyhow::Result<Vec<SourceSample>> {
        let mut sources: Vec<SourceSample> = Vec::new();
        for flow in &session.pipeline.flows {
            let node = node_of(session, &flow.source)?;
            if sources.iter().any(|known| known.node == node) {
                continue;
            }
            let per_second = match &flow.source {
                FlowSource::Stream(stream) if self.asks_sources => incoming(session, stream).await,
                _ => None,
            };
            sources.push(SourceSample { node, per_second });
        }
        Ok(sources)
    }
}

/// Records a second into a stream, in the last minute that is over.
async fn incoming(session: &Session, stream: &str) -> Option<f64> {
    let metric = Metric {
        namespace: "AWS/Kinesis",
        name: "IncomingRecords",
        dimension: ("StreamName", stream),
        statistic: MinuteStatistic::Sum,
    };
    // It is one number among many: without it the others are shown.
    let minutes = metric.minutes(&session.aws, INCOMING).await.ok()?;
    let now = session.aws.now();
    let over = minutes.iter().rev().find(|(at, _)| *at + Duration::from_secs(60) <= now);
    Some(over.map_or(0.0, |(_, sum)| sum / 60.0))
}

/// Adds up what lines say of invocations.
#[derive(Debug, Default)]
struct Tally {
    seen: FunctionSample,
    /// Invocations that said how many records they had.
    batches: u64,
    /// Invocations that Lambda reported, and how long they took together.
    reports: u64,
    milliseconds: f64,
}

impl Tally {
    /// Counts what a line says; gives it where people read it.
    fn add(&mut self, function: &str, time_ms: i64, text: &str) -> Option<LogSample> {
        if let Some(milliseconds) = reported_ms(text) {
            self.reports += 1;
            self.milliseconds += milliseconds;
        }
        let line = Line::parse(text);
        let count = |name: &str| {
            let field = line.fields.iter().find(|(field, _)| field == name);
            field.and_then(|(_, value)| value.as_u64())
        };
        if line.message == "batch processed"
            && let (Some(records), Some(processed)) = (count("records"), count("processed"))
        {
            self.batches += 1;
            self.seen.records += records;
            self.seen.processed += processed;
            self.seen.rejected += count("failed").unwrap_or_default();
            self.seen.retried += count("retry").unwrap_or_default();
        }
        let severity = match line.weight() {
            Level::Error => Severity::Error,
            Level::Warn => Severity::Warning,
            Level::Debug | Level::Info => Severity::Info,
        };
        let is_read = match line.source {
            Source::Function => true,
            Source::Platform => severity != Severity::Info,
            Source::Metrics => false,
        };
        is_read.then(|| LogSample { time_ms, function: function.to_owned(), severity, text: in_words(&line) })
    }

    fn conclude(self, function: &str) -> FunctionSample {
        #[expect(clippy::cast_precision_loss, reason = "counts of one look")]
        let mean = |sum: f64, count: u64| (count > 0).then(|| sum / count as f64);
        #[expect(clippy::cast_precision_loss, reason = "counts of one look")]
        let records = self.seen.records as f64;
        FunctionSample {
            function: function.to_owned(),
            // A function with code of its own need not say how it went.
            invocations: self.reports.max(self.batches),
            batch: mean(records, self.batches),
            duration_ms: mean(self.milliseconds, self.reports),
            ..self.seen
        }
    }
}

/// The line without what the screen says elsewhere.
fn in_words(line: &Line) -> String {
    const LEFT_OUT: [&str; 4] = ["eventId", "sequenceNumber", "shardId", "stream"];
    let mut text = line.message.replace('\n', " ");
    for (name, value) in line.fields.iter().filter(|(name, _)| !LEFT_OUT.contains(&name.as_str())) {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        // Writing to a String cannot fail.
        let _ = write!(text, " {name}={value}");
    }
    text
}

/// The pipeline as the screen shows it.
pub(super) fn setup(session: &Session, global: &Global) -> Setup {
    let drawing = drawing(&session.pipeline, std::iter::empty(), &session.aws, None);
    let place = match &session.aws.endpoint {
        _ if global.local => format!("embedded AWS, {}", session.aws.region),
        Some(endpoint) => format!("{endpoint}, {}", session.aws.region),
        None => format!("account {}, {}", session.aws.account, session.aws.region),
    };
    Setup {
        name: session.pipeline.naming.prefix(),
        place,
        picture: Picture::of(&drawing),
        functions: session.pipeline.flows.iter().map(|flow| flow.key.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_tell_of_each_invocation() {
        let mut tally = Tally::default();
        let lines = [
            "START RequestId: 8f507cfc-0123-4697-b07a-ac58fc914c95 Version: $LATEST",
            r#"{"level":"WARN","message":"record rejected","eventId":"s:1","error":"missing_field"}"#,
            r#"{"level":"WARN","message":"batch processed","records":10,"processed":8,"failed":1,"retry":1,"durationMs":3}"#,
            r#"{"_aws":{"CloudWatchMetrics":[]},"Failed":1}"#,
            "REPORT RequestId: 8f507cfc-0123-4697-b07a-ac58fc914c95\tDuration: 4.00 ms\tBilled Duration: 4 ms",
            r#"{"level":"INFO","message":"batch processed","records":20,"processed":20,"failed":0,"retry":0}"#,
            "REPORT RequestId: 8f507cfc-0123-4697-b07a-ac58fc914c96\tDuration: 6.00 ms\tBilled Duration: 6 ms",
            "REPORT RequestId: 8f507cfc-0123-4697-b07a-ac58fc914c97\tDuration: 5.00 ms\tBilled Duration: 5 ms\tStatus: error",
        ];
        let read: Vec<_> = lines.iter().filter_map(|line| tally.add("f", 0, line)).collect();
        let texts: Vec<_> = read.iter().map(|line| (line.severity, line.text.as_str())).collect();
        assert_eq!(texts[0], (Severity::Warning, "record rejected error=missing_field"));
        assert_eq!(texts[1].1, "batch processed records=10 processed=8 failed=1 retry=1 durationMs=3");
        assert_eq!((texts.len(), texts[3].0), (4, Severity::Error));
        let seen = tally.conclude("f");
        assert_eq!((seen.invocations, seen.records, seen.processed, seen.rejected, seen.retried), (3, 30, 28, 1, 1));
        assert_eq!((seen.batch, seen.duration_ms), (Some(15.0), Some(5.0)));
    }
}
