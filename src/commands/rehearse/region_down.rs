//! `streamkit rehearse region-down`: cuts a region of the embedded AWS off, heals it, and measures what was lost and how long it took
//! to recover.

use std::ops::Range;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use serde::{Deserialize, Serialize};
use streamkit_handler::attribute::attribute_values;
use streamkit_recipes::{Attribute, Item, Samples, TableSamples, Write};
use tokio::time::{Instant, sleep, timeout};

use crate::aws::{Clients, answered};
use crate::commands::session::{Input, Session, SpecArgument};
use crate::commands::since::epoch_ms;
use crate::daemon::{self, Start};
use crate::failure::{Hint, Interrupted, Usage};
use crate::home::Home;
use crate::interrupt::Interrupt;
use crate::options::Global;
use crate::pipeline::{Flow, FlowSource, Node};
use crate::report::{Reporter, exit_code};
use crate::resources::{Any, Resource as _};
use crate::spec::Seconds;
use crate::table_writer::{TableSchema, TableWriter, describe, with_origin};

/// Items that are written in the region right before it is cut off: some of them nobody else has yet.
const LAST: usize = 20;
/// Of those, items that the other region writes meanwhile: of two writes that know nothing of each other one is lost.
const CONTESTED: usize = 3;
/// The attribute by which a write knows itself again.
const MARK: &str = "rehearsal";
/// How often to look.
const PAUSE: Duration = Duration::from_millis(10);
/// How long anything may take to settle.
const LIMIT: Duration = Duration::from_mins(5);

/// Cut a region of the embedded AWS off, heal it, and see what was lost and how long it took (RPO, RTO)
///
/// Needs a pipeline that is up, with a table that has a replica in the region and a function with a recipe
/// that reads it. Items are written in both regions, before and meanwhile, some of them the same; all of them
/// are deleted in the end. What the functions make of them, such as audit objects, stays.
///
/// While the region is down, its calls fail, its mappings read nothing, and no write leaves or reaches it.
///
/// Example: streamkit rehearse region-down eu-west-1 pipelines/global-changes.toml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The region to cut off
    #[arg(value_name = "REGION")]
    cut_off: String,
    #[command(flatten)]
    spec: SpecArgument,
    /// The function whose table is written to, where the pipeline has several
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// How long the region stays down
    #[arg(long = "for", value_name = "TIME", default_value = "3s", value_parser = Seconds::parse)]
    down_for: Seconds,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    pipeline: String,
    table: String,
    /// That was cut off.
    region: String,
    /// That went on.
    survivor: String,
    down_seconds: f64,
    /// Writes that the region had taken, and the survivor did not have while it was down.
    unreplicated: usize,
    /// How much older than the cut the oldest of them was: what an answer from the survivor alone was behind (RPO).
    rpo_ms: u64,
    /// Writes that the survivor took meanwhile.
    written_meanwhile: usize,
    /// Conflicts between writes that knew nothing of each other: the later one won in both regions.
    conflicts: u64,
    /// Writes that are in neither region in the end: those that lost a conflict, and others if anything is wrong.
    lost: usize,
    /// Milliseconds from the end of the cut until the region answered.
    answered_ms: u64,
    /// … until both regions had all items, the same.
    replicated_ms: u64,
    /// … until its mappings read again; null where it has none.
    mappings_ms: Option<u64>,
    /// … until all of that (RTO of the region; the survivor takes reads and writes all the time).
    rto_ms: u64,
}

/// A replica as the embedded AWS shows it.
#[derive(Debug, Deserialize)]
struct Replica {
    table: String,
    region: String,
    pending: usize,
    behind_ms: i64,
    conflicts: u64,
}

/// A write that a region has taken.
#[derive(Debug, Clone)]
struct Written {
    key: Item,
    mark: String,
}

/// The rehearsal's own clients and names.
struct Stage<'a> {
    endpoint: String,
    session: &'a Session,
    flow: &'a Flow,
    samples: &'static dyn TableSamples,
    schema: TableSchema,
    region: &'a str,
    away: Arc<Clients>,
    /// Is part of every key that is written.
    id: String,
}

pub(crate) async fn run(
    args: &Args,
    global: &Global,
    reporter: &Reporter,
    mut interrupt: Interrupt,
) -> anyhow::Result<ExitCode> {
    // There is no way to cut a region of AWS off.
    let global = &Global { local: true, ..global.clone() };
    if global.endpoint_url.is_some() {
        return Err(Usage("only the embedded AWS can be cut off: leave --endpoint-url out".to_owned()).into());
    }
    let session = Box::pin(Session::open(&Input::spec(&args.spec), global, reporter, Start::Never)).await?;
    let flow = session.flow(args.function.as_deref())?;
    let stage = Stage::new(&session, flow, &args.cut_off).await?;
    let mut note = reporter.waiting();
    let rehearsed = tokio::select! {
        rehearsed = stage.rehearse(Duration::from_secs(args.down_for.0), &mut note) => rehearsed,
        () = interrupt.changed() => Err(Interrupted { left: 0 }.into()),
    };
    drop(note);
    // However it ended, the region comes back and the items go.
    stage.switch("up").await?;
    stage.clean().await?;
    let report = rehearsed?;
    reporter.text(&text(&report));
    reporter.document(&report)?;
    let wrong = report.lost > usize::try_from(report.conflicts).unwrap_or(usize::MAX);
    Ok(if wrong { ExitCode::from(exit_code::FAILED) } else { exit_code::DONE })
}

impl<'a> Stage<'a> {
    async fn new(session: &'a Session, flow: &'a Flow, region: &'a str) -> anyhow::Result<Self> {
        let FlowSource::Table(table) = &flow.source else {
            let message = format!("the function `{}` reads a stream, which is in one region only", flow.key);
            return Err(Hint::usage(message, "choose one that reads a table with `replicas`, with --function"));
        };
        let is_replica = |node: &&Node| {
            node.resource.region() == Some(region)
                && node.resource.name() == table
                && matches!(node.resource.inner(), Any::Replica(_))
        };
        if !session.pipeline.nodes.iter().any(|node| is_replica(&node)) {
            let message = format!("the table that `{}` reads has no replica in {region}", flow.key);
            return Err(Hint::usage(message, "name a region of its `replicas`"));
        }
        let Samples::Table(samples) = session.pipeline.samples(flow)? else {
            anyhow::bail!("no recipe has items for the table of `{}`", flow.key);
        };
        let schema = describe(&session.aws, table).await?;
        let running = daemon::find(&Home::find()?).await.context("no embedded AWS is running")?;
        let (away, id) = (session.aws.in_region(region), format!("{:012x}", fastrand::u64(..1 << 48)));
        Ok(Self { endpoint: running.endpoint, session, flow, samples, schema, region, away, id })
    }

    fn table(&self) -> &str {
        self.flow.source.name()
    }

    /// Writes the items of these numbers, as somebody in that region would.
    async fn write(&self, aws: &Clients, numbers: Range<usize>) -> anyhow::Result<Vec<Written>> {
        let writer = TableWriter::new(aws, self.table());
        let mut written = Vec::new();
        for number in numbers {
            let now_ms = epoch_ms(SystemTime::now());
            let mut write = self.samples.canary(&self.id, number, now_ms, &self.schema.key);
            if let Some(origin) = &self.flow.origin {
                write = with_origin(write, origin, &aws.region);
            }
            let mark = format!("{} {number} of {}", self.id, aws.region);
            if let Write::Put(item) | Write::Update { set: item, .. } = &mut write {
                item.insert(MARK, Attribute::S(mark.as_str().into()));
            }
            writer.write(&write).await.with_context(|| format!("writing to {} in {}", self.table(), aws.region))?;
            written.push(Written { key: write.key(&self.schema.key), mark });
        }
        Ok(written)
    }

    async fn rehearse(&self, down_for: Duration, note: &mut impl FnMut(&str)) -> anyhow::Result<Report> {
        let home = &self.session.aws;
        note("writing in both regions");
        let mut written = self.write(home, 0..LAST).await?;
        written.extend(self.write(&self.away, LAST..2 * LAST).await?);
        self.until_replicated(&written).await?;
        let conflicts_before = self.conflicts().await?;

        let unreplicated = self.write(&self.away, 2 * LAST..3 * LAST).await?;
        self.switch("down").await?;
        let cut = Instant::now();
        let at_home = self.replica(&home.region).await?;
        note(&format!("{} is down", self.region));
        // The last writes are those that the survivor does not have.
        let contested = at_home.pending.min(CONTESTED);
        let mut meanwhile = self.write(home, 3 * LAST - contested..3 * LAST).await?;
        meanwhile.extend(self.write(home, 3 * LAST..4 * LAST).await?);
        sleep(down_for.saturating_sub(cut.elapsed())).await;
        let down_seconds = cut.elapsed().as_secs_f64();

        self.switch("up").await?;
        note(&format!("{} is back", self.region));
        let healed = Instant::now();
        let since = |healed: Instant| u64::try_from(healed.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.until_answered().await?;
        let answered_ms = since(healed);
        let replicated = async {
            self.until_settled().await?;
            anyhow::Ok(since(healed))
        };
        let mappings = async {
            let read = self.until_mappings_read().await?;
            anyhow::Ok(read.then(|| since(healed)))
        };
        let (replicated_ms, mappings_ms) = tokio::try_join!(replicated, mappings)?;
        // The same key may have been written twice: all but what won its place is lost.
        let acknowledged: Vec<_> = [written, unreplicated, meanwhile.clone()].concat();
        let lost = self.lost(&acknowledged).await?;
        Ok(Report {
            pipeline: self.session.pipeline.naming.prefix(),
            table: self.table().to_owned(),
            region: self.region.to_owned(),
            survivor: home.region.clone(),
            down_seconds: (down_seconds * 10.0).round() / 10.0,
            unreplicated: at_home.pending,
            rpo_ms: u64::try_from(at_home.behind_ms).unwrap_or_default(),
            written_meanwhile: meanwhile.len(),
            conflicts: self.conflicts().await? - conflicts_before,
            lost,
            answered_ms,
            replicated_ms,
            mappings_ms,
            rto_ms: answered_ms.max(replicated_ms).max(mappings_ms.unwrap_or_default()),
        })
    }

    async fn switch(&self, to: &str) -> anyhow::Result<()> {
        let path = format!("/_streamkit/regions/{}/{to}", self.region);
        daemon::ask(&self.endpoint, "POST", &path).await.map(drop)
    }

    async fn replicas(&self) -> anyhow::Result<Vec<Replica>> {
        let mut answer = daemon::ask(&self.endpoint, "GET", "/_streamkit/replication").await?;
        let replicas: Vec<Replica> = serde_json::from_value(answer["replicas"].take())?;
        Ok(replicas.into_iter().filter(|replica| replica.table == self.table()).collect())
    }

    async fn replica(&self, region: &str) -> anyhow::Result<Replica> {
        let mut replicas = self.replicas().await?.into_iter();
        replicas.find(|replica| replica.region == region).with_context(|| format!("{} has no replicas", self.table()))
    }

    async fn conflicts(&self) -> anyhow::Result<u64> {
        Ok(self.replicas().await?.iter().map(|replica| replica.conflicts).sum())
    }

    /// Waits until nothing is on its way.
    async fn until_settled(&self) -> anyhow::Result<()> {
        let settled = async {
            while self.replicas().await?.iter().any(|replica| replica.pending > 0) {
                sleep(PAUSE).await;
            }
            anyhow::Ok(())
        };
        timeout(LIMIT, settled).await.context("the replicas did not settle")?
    }

    /// Waits until both regions have these items.
    async fn until_replicated(&self, written: &[Written]) -> anyhow::Result<()> {
        let all = async {
            for Written { key, .. } in written {
                for aws in [&self.session.aws, &self.away] {
                    while self.get(aws, key).await?.is_none() {
                        sleep(PAUSE).await;
                    }
                }
            }
            anyhow::Ok(())
        };
        timeout(LIMIT, all).await.context("the first items did not reach both regions")?
    }

    /// The mark of an item as a region has it.
    async fn get(&self, aws: &Clients, key: &Item) -> anyhow::Result<Option<String>> {
        let call = aws.dynamodb.get_item().table_name(self.table()).set_key(Some(attribute_values(key)));
        let item = answered(call.consistent_read(true).send().await)?.item;
        Ok(item.and_then(|item| item.get(MARK)?.as_s().ok().cloned()))
    }

    /// Waits until a call to the region succeeds, asked once each time.
    async fn until_answered(&self) -> anyhow::Result<()> {
        let once = aws_sdk_dynamodb::config::Builder::new().retry_config(RetryConfig::disabled());
        let answered = async {
            loop {
                let call = self.away.dynamodb.describe_table().table_name(self.table()).customize();
                if call.config_override(once.clone()).send().await.is_ok() {
                    return;
                }
                sleep(PAUSE).await;
            }
        };
        timeout(LIMIT, answered).await.with_context(|| format!("{} did not answer", self.region))
    }

    /// Waits until no mapping of the pipeline in the region has a problem; false where it has none.
    async fn until_mappings_read(&self) -> anyhow::Result<bool> {
        let function = &self.flow.function;
        let read = async {
            loop {
                let call = self.away.lambda.list_event_source_mappings().function_name(function);
                let mappings = answered(call.send().await)?.event_source_mappings.unwrap_or_default();
                let has_problem = |result: &str| result.starts_with("PROBLEM");
                if !mappings.iter().any(|mapping| mapping.last_processing_result().is_some_and(has_problem)) {
                    return anyhow::Ok(!mappings.is_empty());
                }
                sleep(PAUSE).await;
            }
        };
        timeout(LIMIT, read).await.context("the mappings did not read again")?
    }

    /// Counts the writes of which neither region has the item as it was written; both have the same by now.
    async fn lost(&self, acknowledged: &[Written]) -> anyhow::Result<usize> {
        let mut lost = 0;
        for Written { key, mark } in acknowledged {
            let kept = self.get(&self.session.aws, key).await?.as_ref() == Some(mark)
                || self.get(&self.away, key).await?.as_ref() == Some(mark);
            lost += usize::from(!kept);
        }
        Ok(lost)
    }

    /// Deletes all items of the rehearsal.
    async fn clean(&self) -> anyhow::Result<()> {
        let writer = TableWriter::new(&self.session.aws, self.table());
        for number in 0..4 * LAST {
            let key = self.samples.canary(&self.id, number, 0, &self.schema.key).key(&self.schema.key);
            writer.write(&Write::Delete(key)).await.context("deleting the items of the rehearsal")?;
        }
        Ok(())
    }
}

fn text(report: &Report) -> String {
    let mappings = report.mappings_ms.map_or_else(String::new, |ms| format!(", and its mappings read after {ms} ms"));
    format!(
        "{region} was cut off for {down} s\n\
         RPO {rpo} ms: {unreplicated} writes of {region} were not in {survivor} while it was down, the oldest {rpo} ms old\n\
         RTO {rto} ms: after the cut it answered within {answered} ms, both regions had the same items after {replicated} ms{mappings}\n\
         {survivor} took {meanwhile} writes meanwhile\n\
         {conflicts} conflicts: of two writes of an item that knew nothing of each other, the later one won in both regions\n\
         {lost} writes lost\n",
        region = report.region,
        survivor = report.survivor,
        down = report.down_seconds,
        rpo = report.rpo_ms,
        rto = report.rto_ms,
        unreplicated = report.unreplicated,
        answered = report.answered_ms,
        replicated = report.replicated_ms,
        meanwhile = report.written_meanwhile,
        conflicts = report.conflicts,
        lost = report.lost,
    )
}
