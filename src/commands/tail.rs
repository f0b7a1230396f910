//! `streamkit tail`: the records of a stream or the changes of a table, as they come.

mod layout;
mod shards;

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap_complete::ArgValueCompleter;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use streamkit_local::RecordFilters;
use tokio::sync::mpsc::channel;

use self::layout::{Layout, document};
use self::shards::{Choice, follow};
use super::session::{Input, RegionArgument, Session, SpecArgument};
use super::since::{Since, epoch_ms};
use super::sources::{node_of, source};
use crate::candidates::{functions, nodes};
use crate::daemon::Start;
use crate::failure::Usage;
use crate::interrupt::Interrupt;
use crate::options::Global;
use crate::records::SourceRecord;
use crate::report::{Reporter, exit_code};
use crate::resources::Any;
use crate::spec::Pattern;

/// Show the records of a stream or the changes of a table, as they come
///
/// Records are decoded: JSON is shown as JSON, text as text, the rest in base64. All shards are read at
/// once, once a second, which leaves their other readers what they need. Filters are those of event
/// source mappings; a record is shown when one of them lets it through.
///
/// Example: streamkit tail pipelines/retail-events.toml --local --since 10m --count 5
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
    #[command(flatten)]
    region: RegionArgument,
    /// What to read, such as stream.events or table.orders [default: the only source]
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(nodes))]
    node: Option<String>,
    /// Begin with what arrived from then on: an age such as 10m, or a time such as 2026-11-22T09:30:00Z; otherwise with what comes
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    since: Option<Since>,
    /// Only records that this pattern lets through, in JSON; may be given several times
    #[arg(long, value_name = "PATTERN", value_parser = Pattern::parse)]
    filter: Vec<Pattern>,
    /// Read what this function reads, with the filter of its mapping
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(functions), conflicts_with = "node")]
    function: Option<String>,
    /// Only these shards, by id or number, separated by commas
    #[arg(long, value_name = "SHARDS", value_delimiter = ',')]
    shards: Vec<String>,
    /// Stop after so many records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// Pages that wait for the printer; each has at most 10 MB.
const WAITING: usize = 2;

pub(crate) async fn run(
    args: &Args,
    global: &Global,
    reporter: &Reporter,
    mut interrupt: Interrupt,
) -> anyhow::Result<ExitCode> {
    tokio::select! {
        biased;
        result = show(args, global, reporter) => result,
        // It has no other end.
        () = interrupt.changed() => Ok(exit_code::DONE),
        () = reporter.reader_left() => Ok(exit_code::DONE),
    }
}

async fn show(args: &Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let (spec, node) = spec_and_node(args);
    let session = Box::pin(Session::open(&Input::spec(&spec), global, reporter, Start::Never)).await?;
    let session = args.region.choose(session)?;
    let node = match (&args.function, node) {
        (Some(function), _) => node_of(&session, &session.flow(Some(function))?.source)?,
        (None, Some(node)) => node,
        (None, None) => only_source(&session)?,
    };
    // What is given narrows what the function's own lets through.
    let own = match &args.function {
        Some(function) => filters(&session.flow(Some(function))?.filter)?,
        None => RecordFilters::default(),
    };
    let given = filters(&args.filter.iter().map(|pattern| pattern.0.clone()).collect::<Vec<_>>())?;
    let source = source(&session, &node).await?;
    let since_ms = args.since.map(|since| since.epoch_ms(session.aws.now()).min(epoch_ms(session.aws.now())));
    let layout = Layout {
        paint: reporter.paint(),
        today: Timestamp::try_from(session.aws.now())?.to_zoned(TimeZone::UTC).date(),
    };
    let choice = Choice { since_ms, shards: args.shards.clone() };
    let wanted = |record: &SourceRecord| {
        // The stream of a table begins with all that it has.
        let is_due = since_ms.is_none_or(|since| record.arrival_ms >= since);
        is_due && own.pass(|| record.event()) && given.pass(|| record.event())
    };
    let (pages, mut read) = channel::<Vec<SourceRecord>>(WAITING);
    let print = async {
        let mut left = args.count;
        while let Some(records) = read.recv().await {
            for record in records.iter().filter(|record| wanted(record)) {
                reporter.data(&if global.json { format!("{}\n", document(record)) } else { layout.text(record) });
                left = left.map(|left| left - 1);
                if left == Some(0) || reporter.has_no_reader() {
                    return;
                }
            }
        }
    };
    tokio::select! {
        ended = follow(&session.aws, &source, &choice, pages) => ended?,
        () = print => {}
    }
    Ok(exit_code::DONE)
}

fn filters(patterns: &[serde_json::Value]) -> anyhow::Result<RecordFilters> {
    RecordFilters::new(patterns).map_err(|why| Usage(format!("this is not a filter pattern: {why}")).into())
}

/// The spec and the node. A single argument that names a node, and no file, is that.
fn spec_and_node(args: &Args) -> (SpecArgument, Option<String>) {
    let only = args.spec.spec.as_ref().filter(|_| args.node.is_none());
    let node = only.filter(|path| !path.exists()).and_then(|path| path.to_str()).filter(|text| {
        text.split_once('.').is_some_and(|(kind, name)| matches!(kind, "stream" | "table") && name != "toml")
    });
    match node {
        Some(node) => (SpecArgument { spec: None }, Some(node.to_owned())),
        None => (args.spec.clone(), args.node.clone()),
    }
}

/// The node that all functions read from, or the only stream where there is no function.
fn only_source(session: &Session) -> anyhow::Result<String> {
    let pipeline = &session.pipeline;
    let read = pipeline.flows.iter().map(|flow| node_of(session, &flow.source));
    let mut sources = read.collect::<anyhow::Result<BTreeSet<_>>>()?;
    if sources.is_empty() {
        let streams = pipeline.nodes.iter().filter(|node| matches!(node.resource, Any::Stream(_)));
        sources.extend(streams.map(|node| node.id.clone()));
    }
    let names = || sources.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    match sources.first() {
        None => Err(Usage("this pipeline has no stream to read".to_owned()).into()),
        Some(only) if sources.len() == 1 => Ok(only.clone()),
        Some(_) => Err(Usage(format!("this pipeline has several sources: name one of {}", names())).into()),
    }
}
