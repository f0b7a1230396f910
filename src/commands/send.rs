//! `streamkit send`: puts events into a pipeline's stream.

mod lines;
mod pace;
mod share;
mod source;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use serde::Serialize;
use streamkit_recipes::{Samples, TableSamples};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use self::pace::{Pace, rate};
use self::share::Share;
use self::source::{Next, Source};
use super::session::{Session, SpecArgument};
use crate::aws::AwsError;
use crate::cli::Global;
use crate::daemon::Start;
use crate::events::{Batch, Producer, Put, RECORD_BYTES};
use crate::failure::{Hint, Interrupted, Shown, Usage};
use crate::interrupt::Interrupt;
use crate::pipeline::Flow;
use crate::report::{Bar, Reporter, exit_code, rate_text};
use crate::spec::Seconds;
use crate::writes::{self, Changer};

/// Send realistic events, poison among them if wanted, or the lines of a file
///
/// Full batches go out, several at a time, and only what the stream did not take is sent again;
/// so two events of one key may change places. Each line of a file is one event and is sent as it
/// is, whether the recipe takes it or not.
///
/// Where a function reads a table's changes, its items are put, changed and deleted instead, each in
/// order. A line of a file is then {"put": ITEM}, {"update": {"key": KEY, "set": ITEM, "remove": [NAME]}}
/// or {"delete": KEY}, with values as DynamoDB has them, such as {"S": "text"}.
///
/// Example: streamkit send pipelines/retail-events.toml --local --count 1000 --poison 2
#[derive(Debug, ClapArgs)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
    /// The function whose events to send, where the pipeline has several
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// How many events to send; 100 unless --duration or --from is given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Events a second; otherwise as fast as the stream takes them
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    rate: Option<f64>,
    /// Stop after this time, such as 30s
    #[arg(long, value_name = "TIME", value_parser = Seconds::parse)]
    duration: Option<Seconds>,
    /// How many percent of the events the recipe must reject, evenly spread, such as 2 or 0.5%
    #[arg(long, value_name = "PERCENT", conflicts_with = "from")]
    poison: Option<Share>,
    /// Send the lines of this file, or of standard input for `-`, instead of generated events
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Generate the same events as the run that said this seed
    #[arg(long, value_name = "N", conflicts_with = "from")]
    seed: Option<u64>,
}

const DEFAULT_COUNT: u64 = 100;
/// How many calls are under way at once: enough to keep several shards busy.
const CALLS: usize = 8;
/// How long an event may wait for others to share its call.
const FLUSH: Duration = Duration::from_millis(100);
/// How many lines that are too long are named; the others are only counted.
const LONG_LINES_NAMED: u64 = 5;

/// The document of `send --json`.
#[derive(Debug, Default, Serialize)]
struct Summary {
    sent: u64,
    failed: u64,
    retried: u64,
    /// Sent events that the recipe rejects.
    poison: u64,
    /// Payload that was sent.
    bytes: u64,
    seconds: f64,
    records_per_second: f64,
    /// Generates the same events again.
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    /// Lines that are not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_json: Option<u64>,
    /// What was done to a table's items.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<ChangeCounts>,
}

/// How many changes of each kind were made.
#[derive(Debug, Default, Serialize)]
struct ChangeCounts {
    puts: u64,
    updates: u64,
    deletes: u64,
}

impl Args {
    /// How many events to send; none for as many as come.
    fn count(&self) -> Option<u64> {
        let endless = self.duration.is_some() || self.from.is_some();
        self.count.or((!endless).then_some(DEFAULT_COUNT))
    }
}

pub(crate) async fn run(
    args: &Args,
    global: &Global,
    reporter: &Reporter,
    mut interrupt: Interrupt,
) -> anyhow::Result<ExitCode> {
    if args.duration == Some(Seconds(0)) {
        return Err(Usage("--duration 0s leaves no time to send anything".to_owned()).into());
    }
    if let Some(file) = &args.from {
        check_file(file)?;
    }
    let opened = Box::pin(Session::open(&args.spec.spec, global, reporter, Start::Never));
    let session = interrupt.unless(opened).await?;
    let flow = session.flow(args.function.as_deref())?;
    let recipe = flow.recipe()?;
    let samples = match recipe.samples() {
        Samples::Stream(samples) => samples,
        Samples::Table(samples) => return change(args, &session, flow, samples, reporter, interrupt).await,
    };
    let mut summary = Summary::default();
    let source = if let Some(file) = &args.from {
        summary.not_json = Some(0);
        Source::lines(recipe, samples, file).await?
    } else {
        let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
        summary.seed = Some(seed);
        Source::generator(samples, seed, args.poison)
    };
    let count = args.count();
    let started = Instant::now();
    let mut sending = Sending {
        producer: Producer::new(&session.aws, flow.source.name()),
        reporter,
        bar: reporter.bar(count, "sending"),
        source,
        pace: args.rate.map(|rate| Pace::new(rate, started)),
        left: count,
        batch: Batch::default(),
        poison: Vec::new(),
        flush: started,
        waiting: None,
        calls: JoinSet::new(),
        summary,
        long_lines: 0,
        error: None,
    };
    let end = args.duration.map(|duration| started + Duration::from_secs(duration.0));
    let read = sending.run(end, interrupt.clone()).await;
    sending.bar.finish_and_clear();
    let Sending { summary, error, .. } = sending;
    let error = error.map(|error| explained(error, flow.source.name()));
    report(summary, started.elapsed(), flow, reporter, read, error, &interrupt)
}

/// Changes the items of a table.
async fn change(
    args: &Args,
    session: &Session,
    flow: &Flow,
    samples: &dyn TableSamples,
    reporter: &Reporter,
    interrupt: Interrupt,
) -> anyhow::Result<ExitCode> {
    if args.poison.is_some() {
        return Err(Usage("a table's changes are never poison: leave --poison out".to_owned()).into());
    }
    let table = flow.source.name();
    let of_table = writes::source(&session.aws, table).await.map_err(|error| match error.downcast::<AwsError>() {
        Ok(error) => explained_change(error, table),
        Err(error) => error,
    })?;
    let mut summary = Summary { changes: Some(ChangeCounts::default()), ..Summary::default() };
    let source = if let Some(file) = &args.from {
        table::Source::lines(file).await?
    } else {
        let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
        summary.seed = Some(seed);
        table::Source::writer(samples, seed, &of_table.key)
    };
    let started = Instant::now();
    let bar = reporter.bar(args.count(), "changing");
    let plan = table::Plan {
        changer: Changer::new(&session.aws, table),
        key: of_table.key,
        source,
        pace: args.rate.map(|rate| Pace::new(rate, started)),
        left: args.count(),
        end: args.duration.map(|duration| started + Duration::from_secs(duration.0)),
        bar: &bar,
        reporter,
    };
    let (read, error) = plan.run(&mut summary, interrupt.clone()).await;
    bar.finish_and_clear();
    let error = error.map(|error| explained_change(error, table));
    report(summary, started.elapsed(), flow, reporter, read, error, &interrupt)
}

/// Says what was sent, and why not everything was.
fn report(
    mut summary: Summary,
    took: Duration,
    flow: &Flow,
    reporter: &Reporter,
    read: std::io::Result<()>,
    error: Option<anyhow::Error>,
    interrupt: &Interrupt,
) -> anyhow::Result<ExitCode> {
    conclude(&mut summary, took);
    reporter.text(&text(&summary, flow.source.name()));
    reporter.document(&summary)?;
    read.context("reading the events")?;
    if let Some(error) = error {
        return Err(error);
    }
    if interrupt.is_set() {
        return Err(Interrupted { left: 0 }.into());
    }
    // Lines that were not sent are named already.
    if summary.failed > 0 { Err(Shown.into()) } else { Ok(exit_code::DONE) }
}

/// Finds out before anything is connected whether there is something to read.
fn check_file(file: &Path) -> anyhow::Result<()> {
    if file == Path::new("-") {
        return Ok(());
    }
    match file.metadata() {
        Ok(data) if data.is_dir() => {
            Err(Usage(format!("{} is a directory: --from takes a file with an event on each line", file.display()))
                .into())
        }
        Ok(_) => Ok(()),
        Err(error) => Err(Usage(format!("can't read {}: {error}", file.display())).into()),
    }
}

/// A batch on its way, with which of its events are poison.
type Call = (Batch, Vec<bool>);

struct Sending<'a> {
    producer: Producer,
    reporter: &'a Reporter,
    bar: Bar,
    source: Source,
    pace: Option<Pace>,
    /// How many events are still to be made; none for as many as come.
    left: Option<u64>,
    batch: Batch,
    poison: Vec<bool>,
    /// When the batch goes out although it is not full.
    flush: Instant,
    /// A batch that waits for a call to end.
    waiting: Option<Call>,
    calls: JoinSet<(Call, Put)>,
    summary: Summary,
    long_lines: u64,
    error: Option<AwsError>,
}

impl Sending<'_> {
    /// Sends until the source ends, time is up, the user stops it or the stream takes nothing more; then waits for
    /// what is under way.
    async fn run(&mut self, end: Option<Instant>, mut interrupt: Interrupt) -> std::io::Result<()> {
        let mut result = Ok(());
        let mut open = true;
        loop {
            open &= self.left != Some(0) && self.error.is_none();
            if self.error.is_some() {
                self.batch = Batch::default();
                self.waiting = None;
            }
            if !open && self.waiting.is_none() {
                self.close_batch();
            }
            if self.calls.len() < CALLS
                && let Some((batch, poison)) = self.waiting.take()
            {
                let producer = self.producer.clone();
                self.calls.spawn(async move {
                    let put = producer.put(&batch).await;
                    ((batch, poison), put)
                });
            }
            if !open && self.calls.is_empty() {
                return result;
            }
            let makes = open && self.waiting.is_none();
            tokio::select! {
                biased;
                Some(ended) = self.calls.join_next() => {
                    let (call, put) = ended.expect("a call neither panics nor is aborted");
                    self.count(&call, put);
                }
                () = interrupt.changed(), if open => open = false,
                () = sleep_until(end.unwrap_or(self.flush)), if open && end.is_some() => open = false,
                () = sleep_until(self.flush), if makes && !self.batch.is_empty() => self.close_batch(),
                next = next(self.pace.as_ref(), &mut self.source), if makes => match next {
                    Ok(next) => open = self.take(next),
                    Err(error) => {
                        result = Err(error);
                        open = false;
                    }
                },
            }
        }
    }

    /// False at the source's end.
    fn take(&mut self, next: Next) -> bool {
        match next {
            Next::End => return false,
            Next::TooLong { line, bytes } => {
                self.summary.failed += 1;
                self.long_lines += 1;
                if self.long_lines <= LONG_LINES_NAMED {
                    let more = if self.long_lines == LONG_LINES_NAMED { "; more of them are only counted" } else { "" };
                    let error = format!(
                        "line {line} is not sent: {bytes} bytes, and a record with its key may have {RECORD_BYTES}{more}"
                    );
                    self.bar.suspend(|| self.reporter.error(&anyhow::anyhow!(error)));
                }
            }
            Next::Event { event, poison, json } => {
                if let (Some(not_json), false) = (&mut self.summary.not_json, json) {
                    *not_json += 1;
                }
                if let Some(pace) = &mut self.pace {
                    pace.took(Instant::now());
                }
                if let Err(event) = self.batch.push(event) {
                    self.close_batch();
                    self.batch.push(event).expect("an empty batch takes any event");
                }
                if self.poison.is_empty() {
                    self.flush = Instant::now() + FLUSH;
                }
                self.poison.push(poison);
                if self.batch.is_full() {
                    self.close_batch();
                }
            }
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        true
    }

    /// Hands the batch over to the next call that is free. Nothing may be waiting for that already.
    fn close_batch(&mut self) {
        if !self.batch.is_empty() {
            self.waiting = Some((std::mem::take(&mut self.batch), std::mem::take(&mut self.poison)));
        }
    }

    fn count(&mut self, (batch, poison): &Call, put: Put) {
        self.summary.retried += put.retried;
        for ((event, poison), place) in batch.events().iter().zip(poison).zip(&put.places) {
            if place.is_none() {
                self.summary.failed += 1;
                continue;
            }
            self.summary.sent += 1;
            self.summary.poison += u64::from(*poison);
            self.summary.bytes += u64::try_from(event.data.len()).unwrap_or(u64::MAX);
        }
        self.bar.set_position(self.summary.sent + self.summary.failed);
        if self.error.is_none() {
            self.error = put.error;
        }
    }
}

/// The next event, when its time has come. Dropping the future loses nothing.
async fn next(pace: Option<&Pace>, source: &mut Source) -> std::io::Result<Next> {
    if let Some(pace) = pace
        && pace.due() > Instant::now()
    {
        sleep_until(pace.due()).await;
    }
    source.next().await
}

fn conclude(summary: &mut Summary, took: Duration) {
    let milliseconds = u32::try_from(took.as_millis().max(1)).unwrap_or(u32::MAX);
    summary.seconds = f64::from(milliseconds) / 1_000.0;
    let sent = f64::from(u32::try_from(summary.sent).unwrap_or(u32::MAX));
    summary.records_per_second = (sent / summary.seconds * 10.0).round() / 10.0;
}

fn text(summary: &Summary, stream: &str) -> String {
    let Summary { sent, failed, retried, poison, bytes, seconds, records_per_second, .. } = summary;
    let mut parts = vec![rate_text(*records_per_second), format!("{} KB", bytes.div_ceil(1_000))];
    let what = if let Some(ChangeCounts { puts, updates, deletes }) = &summary.changes {
        parts.push(format!("{puts} items put, {updates} changed, {deletes} deleted"));
        "changes"
    } else {
        parts.push(format!("{poison} of them poison"));
        "events"
    };
    if *retried > 0 {
        parts.push(format!("{retried} sent again"));
    }
    if *failed > 0 {
        parts.push(format!("{failed} failed"));
    }
    if let Some(not_json) = summary.not_json.filter(|lines| *lines > 0) {
        parts.push(format!("{not_json} lines are not JSON and were sent as they are"));
    }
    if let Some(seed) = summary.seed {
        parts.push(format!("seed {seed}"));
    }
    format!("sent {sent} {what} to {stream} in {seconds:.1} s: {}\n", parts.join(", "))
}

fn explained_change(error: AwsError, table: &str) -> anyhow::Error {
    let what = format!("changing items of DynamoDB table ({table})");
    if error.is_missing() {
        return Hint::error(format!("{what}: {error}"), "bring the pipeline up with `streamkit up` first");
    }
    if error.is(&["ProvisionedThroughputExceededException", "ThrottlingException"]) {
        return Hint::error(
            format!("{what}: {error}"),
            "give the table more capacity with `billing`, or send slower with --rate",
        );
    }
    anyhow::Error::from(error).context(what)
}

fn explained(error: AwsError, stream: &str) -> anyhow::Error {
    let what = format!("putting records into Kinesis stream ({stream})");
    if error.is_missing() {
        return Hint::error(format!("{what}: {error}"), "bring the pipeline up with `streamkit up` first");
    }
    if error.is(&["ProvisionedThroughputExceededException"]) {
        return Hint::error(
            format!("{what}: {error}"),
            "give the stream more `shards` or `mode = \"on-demand\"`, or send slower with --rate",
        );
    }
    anyhow::Error::from(error).context(what)
}
