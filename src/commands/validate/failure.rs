//! `--break`: makes the function fail on an event of the run, waits for the on-failure record, restores the function, and
//! checks that events flow again.

mod on_failure_record;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use streamkit_recipes::{Attribute, Samples};
use tokio::time::{Instant, sleep};

use self::on_failure_record::{count_events, failed_batch};
use super::canary;
use super::check::{Checks, Verdict, check};
use super::dead_letter_queue::DeadLetterQueue;
use super::stream_run::StreamRun;
use super::table::run::TableRun;
use super::validation::Validation;
use super::{CLEANUP, GRACE, cleanup, table};
use crate::commands::session::Session;
use crate::commands::since::epoch_ms;
use crate::dead_letters::FailedBatch;
use crate::failure::Hint;
use crate::interrupt::Interrupt;
use crate::pipeline::Flow;
use crate::report::{Reporter, counted};
use crate::resources::{Any, Cx, Function, Mapping};

/// The handler reads it: see `FAIL_ON` in its `config.rs`.
const FAIL_ON: &str = "STREAMKIT_FAIL_ON";
/// The number of the canary that the function fails on: no other gets so far.
const NUMBER: usize = 1_000_000;
/// Some queues answer at once that they are empty.
const PAUSE: Duration = Duration::from_millis(100);

/// Makes a function fail by its environment, and restores it.
pub(super) struct FailureInjection<'a> {
    cx: &'a Cx,
    function: &'a Function,
    mapping: &'a Mapping,
    queue: DeadLetterQueue,
    /// The mapping's filter.
    filter: Vec<Value>,
    /// The environment as it was; there is one from just before the function is changed until it is restored.
    before: Option<BTreeMap<String, String>>,
}

impl<'a> FailureInjection<'a> {
    /// # Errors
    /// The function's mapping never gives an event up, says so to nobody, or gives others' events up with it.
    pub(super) fn new(session: &'a Session, flow: &Flow, limit: Duration) -> anyhow::Result<Self> {
        if matches!(session.pipeline.samples(flow)?, Samples::Table(samples) if samples.detection().is_some()) {
            return Err(Hint::usage(
                format!("--break waits for notifications of changes, and `{}` announces only what it finds", flow.key),
                "choose the function that writes what this one reads with --function",
            ));
        }
        let resources = || session.pipeline.nodes.iter().map(|node| &node.resource);
        let function = resources().find_map(|resource| match resource {
            Any::Function(function) if function.name == flow.function => Some(function),
            _ => None,
        });
        let mapping = resources().find_map(|resource| match resource {
            Any::Mapping(mapping) if mapping.function == flow.function => Some(mapping),
            _ => None,
        });
        let (Some(function), Some(mapping)) = (function, mapping) else {
            anyhow::bail!("the flow through {} has no function or no mapping", flow.function);
        };
        let source = format!("[function.{}.source]", flow.key);
        let Some(target) = &mapping.on_failure else {
            return Err(Hint::usage(
                format!("--break waits for an on-failure record, and {source} has no `on_failure`"),
                "write on_failure = \"queue.dlq\" there, say, and run `streamkit up`",
            ));
        };
        let Some(queue) = target.strip_prefix(&session.aws.arn("sqs", "")) else {
            return Err(Hint::usage(
                format!("--break looks for the on-failure record in a queue, and that of {source} goes to {target}"),
                "write on_failure = \"queue.dlq\" there, say, and run `streamkit up`",
            ));
        };
        if mapping.max_retries < 0 && mapping.max_record_age.is_none() {
            return Err(Hint::usage(
                format!(
                    "--break waits until an event is given up, and {source} tries until it expires from the stream"
                ),
                "write max_retries = 3 there, say, and run `streamkit up`",
            ));
        }
        if !mapping.bisect_on_error && mapping.batch_size != 1 {
            return Err(Hint::usage(
                format!(
                    "--break makes a whole batch fail until it is given up, and {source} does not split batches: records of \
                     others in it would be lost"
                ),
                "write bisect_on_error = true there, or batch_size = 1, and run `streamkit up`",
            ));
        }
        let queue = DeadLetterQueue::new(&session.aws, queue, limit);
        Ok(Self { cx: &session.cx, function, mapping, queue, filter: flow.filter.clone(), before: None })
    }

    /// How often the function is called before an event is given up.
    fn until(&self) -> String {
        let tries = usize::try_from(self.mapping.max_retries).ok().map(|retries| counted(retries + 1, "invocation"));
        let age = self.mapping.max_record_age.map(|age| format!("{} s", age.0));
        [tries, age].into_iter().flatten().collect::<Vec<_>>().join(" or ")
    }

    /// Makes the function fail on records whose key contains this text.
    async fn fail_on(&mut self, text: &str) -> anyhow::Result<()> {
        let mut environment = self.function.seen_environment(self.cx).await?;
        // That of an earlier run that was killed.
        environment.remove(FAIL_ON);
        self.before = Some(environment.clone());
        environment.insert(FAIL_ON.to_owned(), text.to_owned());
        self.function.set_environment(self.cx, &environment).await
    }

    /// Gives the function its environment back, and others their messages.
    async fn restore(&mut self) -> anyhow::Result<Verdict> {
        let put_back = self.queue.put_back().await;
        if let Some(before) = &self.before {
            self.function.set_environment(self.cx, before).await?;
            let seen = self.function.seen_environment(self.cx).await?;
            if seen != *before {
                return Ok(Verdict::new(false, "another one").or_hint("`streamkit up` makes it what the spec says"));
            }
            self.before = None;
        }
        put_back?;
        Ok(Verdict::new(true, "as it was"))
    }

    /// Looks once for the on-failure record of the event whose key contains this text.
    async fn look(&mut self, text: &str, since: SystemTime) -> anyhow::Result<Option<(FailedBatch, bool)>> {
        for (body, receipt) in self.queue.receive().await? {
            let Some(batch) = failed_batch(&body, &self.function.name, since) else { continue };
            let (own, others) = count_events(&self.cx.aws, &batch, &self.filter, text).await?;
            if own > 0 {
                // A batch with events of others is for them to read.
                let alone = others == 0;
                if alone {
                    self.queue.delete(&[receipt]).await?;
                }
                return Ok(Some((batch, alone)));
            }
        }
        Ok(None)
    }
}

/// The run's events, whatever they go into.
enum Events<'a> {
    Stream(Box<StreamRun<'a>>),
    Table(Box<TableRun<'a>>),
}

impl<'a> Events<'a> {
    async fn new(validation: Validation<'a>) -> anyhow::Result<Self> {
        let samples = validation.session.pipeline.samples(validation.flow)?;
        Ok(match samples {
            Samples::Stream(samples) => Self::Stream(Box::new(StreamRun::new(validation, samples))),
            Samples::Table(samples) => Self::Table(Box::new(TableRun::new(validation, samples).await?)),
            Samples::OfOthers => anyhow::bail!("no recipe has events for the source of `{}`", validation.flow.key),
        })
    }

    fn validation(&self) -> &Validation<'a> {
        match self {
            Self::Stream(run) => &run.validation,
            Self::Table(run) => &run.validation,
        }
    }

    /// The text in the key of the run's events, as the function sees it.
    fn mark(&self) -> String {
        match self {
            Self::Stream(run) => run.validation.run_id.clone(),
            Self::Table(run) => {
                let key = run.samples.canary(&run.validation.run_id, NUMBER, 0, run.key()).key(run.key());
                match key.get(&run.key().partition.name) {
                    Some(Attribute::S(text) | Attribute::N(text)) => text.clone(),
                    Some(Attribute::B(bytes)) => STANDARD.encode(bytes),
                    _ => run.validation.run_id.clone(),
                }
            }
        }
    }

    /// Sends the event that the function is to fail on.
    async fn send(&mut self) -> anyhow::Result<()> {
        let now = epoch_ms(SystemTime::now());
        match self {
            Self::Stream(run) => run.put(run.events.canary(NUMBER).into_iter().collect(), true).await,
            Self::Table(run) => {
                // If it is processed after all, its notification is needed for the clean-up.
                run.notification_queue.open().await?;
                run.make(vec![run.samples.canary(&run.validation.run_id, NUMBER, now, run.key())], true).await
            }
        }
    }

    /// Forgets what was sent so far: it has no more effects.
    fn forget(&mut self) {
        match self {
            Self::Stream(run) => run.good.clear(),
            Self::Table(run) => run.made.clear(),
        }
    }

    async fn flow(&mut self) -> anyhow::Result<Verdict> {
        match self {
            Self::Stream(run) => canary::flow(run.as_mut()).await,
            Self::Table(run) => table::flow(run).await,
        }
    }

    async fn cleanup(&mut self) -> anyhow::Result<Verdict> {
        match self {
            Self::Stream(run) => cleanup::check(run).await,
            Self::Table(run) => table::cleanup(run).await,
        }
    }
}

/// Makes the function fail, restores it whatever happens, and sees that events flow again.
///
/// # Errors
/// The source can't be looked at; a check that fails is in the report.
pub(super) async fn validate(
    mut injection: FailureInjection<'_>,
    validation: Validation<'_>,
    checks: &mut Checks<'_>,
    reporter: &Reporter,
    interrupt: &mut Interrupt,
) -> anyhow::Result<()> {
    let limit = validation.limit + GRACE;
    let mut events = Events::new(validation).await?;

    let name = &injection.function.name;
    reporter.note(&format!(
        "{name} fails on an event of this run until that is given up, after {}; then it is restored",
        injection.until()
    ));
    let shown = checks.under_way("failure: waiting for the on-failure record");
    let expected = format!("an on-failure record after {}, and the event read again with it", injection.until());
    let failure = check("failure", expected, limit, fail(&mut injection, &mut events));
    let done = tokio::select! {
        done = failure => Some(done),
        () = interrupt.changed() => {
            reporter.note("restoring the function and cleaning up; Ctrl-C again stops at once");
            None
        }
    };
    drop(shown);
    let failed = done.is_some_and(|done| checks.add(done));

    let shown = checks.under_way("restoring the function");
    let restore = Box::pin(injection.restore());
    let done = check("restored", "the function's environment as it was", CLEANUP, restore).await;
    drop(shown);
    let restored = checks.add(done);

    if failed && restored && !interrupt.is_set() {
        let shown = checks.under_way("recovery: waiting for a canary");
        let done = tokio::select! {
            done = check("recovery", "the effect of a canary", limit, events.flow()) => Some(done),
            () = interrupt.changed() => None,
        };
        drop(shown);
        done.map(|done| checks.add(done));
    }

    let shown = checks.under_way("cleanup");
    let done = check("cleanup", "nothing of the run is left", CLEANUP, events.cleanup()).await;
    drop(shown);
    checks.add(done);
    Ok(())
}

async fn fail(injection: &mut FailureInjection<'_>, events: &mut Events<'_>) -> anyhow::Result<Verdict> {
    let mark = events.mark();
    injection.fail_on(&mark).await?;
    let (started, since, deadline) =
        (Instant::now(), events.validation().session.aws.now(), events.validation().deadline());
    events.send().await?;
    loop {
        if let Some((batch, alone)) = injection.look(&mark, since).await? {
            events.forget();
            let mut observed = format!(
                "{} after {} in {:.1} s, and the event again at {}",
                batch.condition,
                counted(usize::try_from(batch.invocations)?, "invocation"),
                started.elapsed().as_secs_f64(),
                batch.first,
            );
            if !alone {
                observed
                    .push_str("; others' events were in the same batch, so its on-failure record stays in the queue");
            }
            return Ok(Verdict::new(true, observed));
        }
        if Instant::now() >= deadline {
            let observed = format!("none within {} s", events.validation().limit.as_secs());
            let hint = format!("{}; give it longer with --timeout", events.validation().see_log());
            return Ok(Verdict::new(false, observed).or_hint(hint));
        }
        sleep(PAUSE).await;
    }
}
