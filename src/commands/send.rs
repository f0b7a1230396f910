//! `streamkit send`: puts events into a pipeline's stream.

mod lines;
pub(super) mod pace;
mod page;
pub(super) mod share;
pub(super) mod source;
mod stream;
mod summary;
mod table;
mod timeline;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap_complete::ArgValueCompleter;
use streamkit_recipes::{Recipe, Samples, SourceKind, StreamSamples};
use tokio::time::Instant;

use self::pace::Pace;
pub(super) use self::pace::rate;
use self::page::Page;
use self::share::Share;
use self::source::{Reading, Source};
use self::stream::StreamSender;
use self::summary::{ChangeCounts, Summary};
use super::output_file::ended;
use super::session::{Input, RegionArgument, Session, SpecArgument};
use crate::aws::AwsError;
use crate::candidates::functions;
use crate::daemon::Start;
use crate::failure::{Hint, Interrupted, Shown, Usage};
use crate::interrupt::Interrupt;
use crate::options::Global;
use crate::pipeline::Flow;
use crate::producer::Producer;
use crate::report::{Reporter, exit_code};
use crate::spec::Seconds;
use crate::table_writer::{self, TableWriter};

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
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
    #[command(flatten)]
    region: RegionArgument,
    /// The function whose events to send; otherwise those of the first by name, if the pipeline has one source
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(functions))]
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
    /// The field of each line that is its partition key; a recipe knows its own, code of one's own does not
    #[arg(long, value_name = "FIELD", requires = "from")]
    partition_key: Option<String>,
    /// Generate the same events as the run that said this seed
    #[arg(long, value_name = "N", conflicts_with = "from")]
    seed: Option<u64>,
    /// Write a page to this file: throughput over time, latencies of calls, lag, the pipeline; it needs no network
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
}

const DEFAULT_COUNT: u64 = 100;
/// How many lines that are too long are named; the others are only counted.
const LONG_LINES_NAMED: u64 = 5;

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
    let mut page = Page::create(args.report.as_deref(), args.spec.path())?;
    let result = Box::pin(send(args, global, reporter, &mut interrupt, &mut page)).await;
    let written = page.write(result.as_ref().err());
    ended(result, written, reporter)
}

async fn send(
    args: &Args,
    global: &Global,
    reporter: &Reporter,
    interrupt: &mut Interrupt,
    page: &mut Page,
) -> anyhow::Result<ExitCode> {
    let input = Input::spec(&args.spec);
    let opened = Box::pin(Session::open(&input, global, reporter, Start::Never));
    let session = args.region.choose(interrupt.unless(opened).await?)?;
    let flow = session.first_flow(args.function.as_deref())?;
    page.know(&session);
    if flow.source.kind() == SourceKind::Table {
        return change(args, &session, flow, reporter, interrupt, page).await;
    }
    let mut summary = Summary { timeline: page.timeline(), poison: Some(0), ..Summary::default() };
    let source = if let Some(file) = &args.from {
        let reading = reading(args, &session, flow)?;
        summary.not_json = Some(0);
        if reading.recipe.is_none() {
            summary.poison = None;
        }
        Source::lines(reading, file).await?
    } else {
        let samples = stream_samples(&session, flow)?;
        let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
        summary.seed = Some(seed);
        Source::generator(samples, seed, args.poison, &flow.identity)
    };
    let count = args.count();
    let started = Instant::now();
    let producer = Producer::new(&session.aws, flow.source.name());
    let limit = args.rate.map(|rate| Pace::new(rate, started));
    let end = args.duration.map(|duration| started + Duration::from_secs(duration.0));
    let sender = StreamSender::new(producer, source, count, limit, summary, reporter);
    let (mut summary, read, error) = sender.send(end, interrupt.clone()).await;
    let error = error.map(|error| explained(error, flow.source.name()));
    summary.conclude(started.elapsed());
    page.read_lag(&session, flow, reporter, interrupt).await;
    report(summary, flow, reporter, page, Ended { read, error, interrupted: interrupt.is_set() })
}

/// Sample events for the flow's stream.
fn stream_samples(session: &Session, flow: &Flow) -> anyhow::Result<&'static dyn StreamSamples> {
    match session.pipeline.samples(flow)? {
        Samples::Stream(samples) => Ok(samples),
        Samples::Table(_) | Samples::OfOthers => {
            anyhow::bail!("no recipe has events for the source of `{}`", flow.key)
        }
    }
}

/// How the lines of a file become events.
fn reading(args: &Args, session: &Session, flow: &Flow) -> anyhow::Result<Reading> {
    let named = args.partition_key.clone();
    if flow.recipe.is_none() {
        let partition_field = named.ok_or_else(|| {
            Hint::usage(
                format!("only the code of `{}` knows by which field its events belong together", flow.key),
                "name it with --partition-key FIELD: lines with the same value go to the same shard",
            )
        })?;
        return Ok(Reading { recipe: None, partition_field });
    }
    let recipe: &'static dyn Recipe = flow.recipe()?;
    let partition_field = match named {
        Some(field) => field,
        None => stream_samples(session, flow)?.partition_field().to_owned(),
    };
    Ok(Reading { recipe: Some(recipe), partition_field })
}

/// Changes the items of a table.
async fn change(
    args: &Args,
    session: &Session,
    flow: &Flow,
    reporter: &Reporter,
    interrupt: &mut Interrupt,
    page: &mut Page,
) -> anyhow::Result<ExitCode> {
    if args.poison.is_some() {
        return Err(Usage("a table's changes are never poison: leave --poison out".to_owned()).into());
    }
    if args.partition_key.is_some() {
        return Err(Usage("a table's items have their own keys: leave --partition-key out".to_owned()).into());
    }
    let table = flow.source.name();
    let of_table =
        table_writer::describe(&session.aws, table).await.map_err(|error| match error.downcast::<AwsError>() {
            Ok(error) => explained_change(error, table),
            Err(error) => error,
        })?;
    let mut summary = Summary {
        changes: Some(ChangeCounts::default()),
        poison: Some(0),
        timeline: page.timeline(),
        ..Summary::default()
    };
    let source = if let Some(file) = &args.from {
        table::Source::lines(file).await?
    } else {
        let Samples::Table(samples) = session.pipeline.samples(flow)? else {
            anyhow::bail!("no recipe has changes for the source of `{}`", flow.key)
        };
        let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
        summary.seed = Some(seed);
        let origin = flow.origin.clone().map(|attribute| (attribute, session.aws.region.clone()));
        table::Source::writer(samples, seed, &of_table.key, origin)
    };
    let started = Instant::now();
    let bar = reporter.bar(args.count(), "changing");
    let sender = table::TableSender {
        writer: TableWriter::new(&session.aws, table),
        key: of_table.key,
        source,
        pace: args.rate.map(|rate| Pace::new(rate, started)),
        left: args.count(),
        end: args.duration.map(|duration| started + Duration::from_secs(duration.0)),
        bar: &bar,
        reporter,
    };
    let (read, error) = sender.run(&mut summary, interrupt.clone()).await;
    bar.finish_and_clear();
    let error = error.map(|error| explained_change(error, table));
    summary.conclude(started.elapsed());
    page.read_lag(session, flow, reporter, interrupt).await;
    report(summary, flow, reporter, page, Ended { read, error, interrupted: interrupt.is_set() })
}

/// How sending ended.
struct Ended {
    /// Of the lines that were to be sent.
    read: std::io::Result<()>,
    /// Why AWS took no more.
    error: Option<anyhow::Error>,
    interrupted: bool,
}

/// Says what was sent, and why not everything was.
fn report(
    summary: Summary,
    flow: &Flow,
    reporter: &Reporter,
    page: &mut Page,
    ended: Ended,
) -> anyhow::Result<ExitCode> {
    reporter.text(&summary.text(flow.source.name()));
    reporter.document(&summary)?;
    let failed = summary.failed > 0;
    page.sent(summary, flow.source.name());
    ended.read.context("reading the events")?;
    if let Some(error) = ended.error {
        return Err(error);
    }
    if ended.interrupted {
        return Err(Interrupted { left: 0 }.into());
    }
    // Lines that were not sent are named already.
    if failed { Err(Shown.into()) } else { Ok(exit_code::DONE) }
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
