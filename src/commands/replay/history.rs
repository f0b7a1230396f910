//! Plays the records of a time through a function again, shard by shard, from the stream itself or from its archive.

use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::Context as _;
use futures_util::future::join_all;
use jiff::Timestamp;
use streamkit_local::RecordFilters;
use tokio::sync::Semaphore;

use super::Args;
use super::place::{Noted, Places};
use super::totals::Totals;
use crate::archive::ArchiveReader;
use crate::commands::dlq::{explained, facts_of_record};
use crate::commands::session::Session;
use crate::commands::since::epoch_ms;
use crate::commands::sources::{node_of, source};
use crate::failure::{Hint, Interrupted, Usage};
use crate::interrupt::Interrupt;
use crate::lock::locked;
use crate::pipeline::{Flow, FlowSource};
use crate::playback::{Again, Failure, Mode, Player, Rate, batches};
use crate::records::{Shard, ShardReader, Source, SourceRecord, Start, order, parents_first};
use crate::report::{Bar, Reporter, exit_code};
use crate::resources::Resource as _;
use crate::spec::Reference;

/// How many shards are played at the same time.
const SHARDS: usize = 8;
/// Arrival times are approximate: records that are this much later may stand before the last one that is meant.
const UNORDERED_MS: i64 = 60_000;
/// The most records that one invocation of a recipe gets, whatever its mapping's batch size is.
const BATCH: usize = 500;

/// A replay through a function.
pub(super) struct History<'a> {
    args: &'a Args,
    session: &'a Session,
    reporter: &'a Reporter,
}

/// What all shards of a replay share.
struct Run<'a> {
    args: &'a Args,
    session: &'a Session,
    flow: &'a Flow,
    source: Source,
    filters: RecordFilters,
    player: Player,
    rate: Rate,
    places: Places,
    since_ms: i64,
    until_ms: i64,
    now_ms: i64,
    interrupt: Interrupt,
    bar: Bar,
    stopped: Mutex<Option<anyhow::Error>>,
}

impl<'a> History<'a> {
    pub(super) fn new(args: &'a Args, session: &'a Session, reporter: &'a Reporter) -> Self {
        Self { args, session, reporter }
    }

    pub(super) async fn run(self, interrupt: &mut Interrupt) -> anyhow::Result<ExitCode> {
        let Self { args, session, reporter } = self;
        let flow = session.flow(args.function.as_deref())?;
        let node = node_of(session, &flow.source)?;
        let source = interrupt.unless(source(session, &node)).await?;
        let archive = match &args.from {
            Some(from) => Some(archive(session, from, &flow.source)?),
            None => None,
        };
        let now = session.aws.now();
        let since_ms = args.since.map_or(0, |since| since.epoch_ms(now));
        let until_ms = args.until.map_or(epoch_ms(now), |until| until.epoch_ms(now));
        if since_ms >= until_ms {
            return Err(Usage("--since is not before --until, so there is nothing to play".to_owned()).into());
        }
        let file = Places::file_of(&self.told_by(flow, &source))?;
        let lock = Places::lock(&file)?;
        let earlier = if args.restart || args.dry_run { Ok(None) } else { Places::earlier(&file)? };
        let earlier = earlier.unwrap_or_else(|why| {
            let file = file.display();
            reporter.note(&format!("the place of an earlier run can't be read, so all is played anew: {file}: {why}"));
            None
        });
        let goes_on = earlier.is_some();
        let mut noted = earlier.unwrap_or(Noted { since_ms, until_ms, ..Noted::default() });
        (noted.totals.from, noted.totals.until) = (time(noted.since_ms), time(noted.until_ms));
        noted.totals.left = 0;
        let from = args.from.as_ref().map_or_else(|| node.clone(), ToString::to_string);
        let about = format!("{from} from {} to {}", noted.totals.from, noted.totals.until);
        if goes_on {
            reporter
                .note(&format!("going on with the replay of {about}, which was interrupted; --restart begins anew"));
        }
        let question = format!("play the records of {about} to {} again?", flow.key);
        if !args.yes && !args.dry_run && !reporter.confirm(&question, interrupt).await? {
            reporter.note("nothing was played");
            return Ok(ExitCode::from(exit_code::FAILED));
        }
        let run = Run {
            args,
            session,
            flow,
            filters: RecordFilters::new(&flow.filter).map_err(anyhow::Error::msg)?,
            player: Player::new(&session.aws, &flow.function),
            rate: Rate::new(args.rate),
            since_ms: noted.since_ms,
            until_ms: noted.until_ms,
            places: Places::new(file, noted, lock),
            now_ms: epoch_ms(now),
            interrupt: interrupt.clone(),
            bar: reporter.bar(None, "playing"),
            stopped: Mutex::new(None),
            source,
        };
        let read = match archive {
            Some(bucket) => run.play_archive(&bucket).await,
            None => run.play_stream().await,
        };
        if let Err(error) = read {
            run.stop(error);
        }
        run.bar.finish_and_clear();
        run.conclude(reporter)
    }

    /// What tells this replay from others, so that it can go on.
    fn told_by(&self, flow: &Flow, source: &Source) -> Vec<String> {
        let Args { from, since, until, shards, select, .. } = self.args;
        let aws = &self.session.aws;
        vec![
            aws.account.clone(),
            aws.region.clone(),
            aws.endpoint.clone().unwrap_or_default(),
            flow.function.clone(),
            source.arn.clone(),
            format!("{from:?} {since:?} {until:?} {shards:?} {select:?}"),
        ]
    }
}

impl Run<'_> {
    fn stop(&self, error: anyhow::Error) {
        locked(&self.stopped).get_or_insert(error);
    }

    fn is_over(&self) -> bool {
        self.interrupt.is_set() || locked(&self.stopped).is_some()
    }

    fn conclude(self, reporter: &Reporter) -> anyhow::Result<ExitCode> {
        let over = self.is_over();
        let stopped = self.stopped.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let totals: Totals = if self.args.dry_run { self.places.totals() } else { self.places.finished(!over)? };
        if self.args.dry_run {
            let records = if totals.read == 1 { "record" } else { "records" };
            reporter
                .text(&format!("{} {records} from {} to {} would be played\n", totals.read, totals.from, totals.until));
        } else {
            reporter.text(&totals.text(&self.flow.key));
        }
        reporter.document(&totals)?;
        if let Some(stopped) = stopped {
            return Err(stopped);
        }
        if self.interrupt.is_set() {
            return Err(Interrupted { left: usize::try_from(totals.left)? }.into());
        }
        Ok(if totals.failed == 0 { exit_code::DONE } else { ExitCode::from(exit_code::FAILED) })
    }

    fn includes_shard(&self, id: &str) -> bool {
        let chosen = &self.args.shards;
        // By number too, as in `--shards 0,1`.
        let number = |id: &str| id.rsplit('-').next().and_then(|digits| digits.parse::<u64>().ok());
        chosen.is_empty()
            || chosen.iter().any(|chosen| chosen == id || chosen.parse().is_ok_and(|n: u64| Some(n) == number(id)))
    }

    /// Reads the stream, all shards of a generation at the same time.
    async fn play_stream(&self) -> anyhow::Result<()> {
        let shards = self.source.shards(&self.session.aws).await;
        let shards = shards.with_context(|| format!("listing the shards of {}", self.source.name()))?;
        let wanted: Vec<Shard> = shards.into_iter().filter(|shard| self.includes_shard(&shard.id)).collect();
        if wanted.is_empty() {
            return Err(Usage(format!("{} has no such shard", self.source.name())).into());
        }
        let permits = Semaphore::new(SHARDS);
        for group in parents_first(wanted) {
            join_all(group.iter().map(async |shard| {
                let _permit = permits.acquire().await;
                if let Err(error) = self.shard(shard).await {
                    self.stop(error);
                }
            }))
            .await;
        }
        Ok(())
    }

    async fn shard(&self, shard: &Shard) -> anyhow::Result<()> {
        let start = self.places.after(&shard.id).map_or(Start::AtTimestamp(self.since_ms), Start::After);
        let mut reader = ShardReader::new(&self.session.aws, &self.source, &shard.id, start);
        while !self.is_over() {
            let page = match reader.next().await {
                Ok(page) => page,
                // A shard whose records have all expired goes for good.
                Err(error) if error.is_missing() => return Ok(()),
                Err(error) => {
                    return Err(error).with_context(|| format!("reading shard {} of {}", shard.id, self.source.name()));
                }
            };
            let over = page.finished
                || page.caught_up
                || page.records.last().is_some_and(|last| last.arrival_ms >= self.until_ms + UNORDERED_MS);
            self.play(&shard.id, page.records).await?;
            if over {
                break;
            }
        }
        Ok(())
    }

    /// Reads the archive of the source, in its order.
    async fn play_archive(&self, bucket: &str) -> anyhow::Result<()> {
        let source = self.source.name();
        let mut reader = ArchiveReader::new(&self.session.aws, bucket, &source, self.since_ms, self.until_ms);
        while !self.is_over() {
            let Some(records) = reader.next().await? else { break };
            let shard = records.first().map(|record| record.shard_id.clone()).unwrap_or_default();
            if !shard.is_empty() && !self.includes_shard(&shard) {
                continue;
            }
            // What an earlier part of the run has played.
            let after = self.places.after(&shard);
            let is_new = |record: &SourceRecord| {
                after.as_ref().is_none_or(|after| order(&record.sequence_number) > order(after))
            };
            self.play(&shard, records.into_iter().filter(is_new).collect()).await?;
        }
        // A batch that was delivered again is archived again, cut in other places.
        let twice = reader.duplicates();
        self.places.note("", None, |totals| {
            totals.read += twice;
            totals.duplicates += twice;
        })
    }

    fn is_meant(&self, record: &SourceRecord) -> bool {
        (self.since_ms..self.until_ms).contains(&record.arrival_ms)
            && self.filters.pass(|| record.event())
            && self.args.select.as_ref().is_none_or(|selection| {
                let names = [self.flow.key.as_str(), self.flow.function.as_str()];
                facts_of_record(record, names, self.now_ms, |facts| selection.includes(facts))
            })
    }

    /// Plays records of one shard, in their order, and notes how far that has come.
    async fn play(&self, shard: &str, records: Vec<SourceRecord>) -> anyhow::Result<()> {
        let Some(last) = records.last().map(|record| record.sequence_number.clone()) else { return Ok(()) };
        let records: Vec<Again> = records
            .into_iter()
            .filter(|record| self.is_meant(record))
            .map(|record| Again { record, failed_ms: None, was_rejected: false })
            .collect();
        let read = u64::try_from(records.len())?;
        if self.args.dry_run {
            self.bar.inc(read);
            return self.places.note(shard, None, |totals| totals.read += read);
        }
        let most =
            if self.flow.recipe.is_some() { self.flow.batch_size.max(BATCH) } else { self.flow.batch_size.max(1) };
        let mut from = 0;
        for end in batches(records.iter().map(|again| &again.record), most.min(self.rate.most())) {
            let part = &records[from..end];
            if self.is_over() {
                let left = u64::try_from(records.len() - from)?;
                return self.places.note(shard, None, |totals| totals.left += left);
            }
            self.rate.wait(part.len()).await;
            let (played, stopped) = self.player.play(part, Mode::History).await;
            let through = u64::try_from(played.failures.iter().filter(|failure| failure.is_none()).count())?;
            let is_untried = |failure: &Option<Failure>| failure.as_ref().is_some_and(Failure::is_untried);
            let untried = played.failures.iter().filter(|failure| is_untried(failure)).count();
            // Up to the first one that was not tried.
            let tried = played.failures.iter().position(is_untried).unwrap_or(part.len());
            let place = part[..tried].last().map(|again| again.record.sequence_number.as_str());
            self.places.note(shard, place, |totals| {
                totals.read += u64::try_from(part.len() - untried).unwrap_or(0);
                totals.duplicates += played.duplicates;
                totals.delivered += through.saturating_sub(played.duplicates);
                totals.left += u64::try_from(untried).unwrap_or(0);
                for failure in played.failures.iter().flatten().filter(|failure| !failure.is_untried()) {
                    totals.failed += 1;
                    *totals.errors.entry(failure.code.clone()).or_default() += 1;
                }
            })?;
            self.bar.inc(u64::try_from(part.len())?);
            if let Some(stopped) = stopped {
                let left = u64::try_from(records.len() - end)?;
                self.places.note(shard, None, |totals| totals.left += left)?;
                return Err(explained(stopped));
            }
            from = end;
        }
        // What is not meant need not be read again either.
        self.places.note(shard, Some(&last), |_| {})
    }
}

/// The name in AWS of the bucket that a function with the recipe `archive` keeps the records of a source in.
fn archive(session: &Session, from: &Reference, source: &FlowSource) -> anyhow::Result<String> {
    let pipeline = &session.pipeline;
    let archives =
        pipeline.flows.iter().filter(|flow| flow.recipe.as_deref() == Some("archive") && flow.source == *source);
    let buckets: Vec<&str> = archives.filter_map(|flow| flow.bucket.as_deref()).collect();
    let named = pipeline.nodes.iter().find(|node| node.id == from.to_string());
    let name = named.map(|node| node.resource.name());
    if let Some(name) = name.filter(|name| buckets.contains(name)) {
        return Ok(name.to_owned());
    }
    let node_of = |bucket: &str| {
        let node = pipeline.nodes.iter().find(|node| node.resource.name() == bucket && node.id.starts_with("bucket."));
        node.map_or_else(String::new, |node| node.id.clone())
    };
    let hint = if buckets.is_empty() {
        "a function with `recipe = \"archive\"` on the same source makes one; an audit log is played with --into"
            .to_owned()
    } else {
        format!("there is {}", buckets.into_iter().map(node_of).collect::<Vec<_>>().join(", "))
    };
    Err(Hint::usage(format!("`{from}` has no archive of {}", source.name()), hint))
}

fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}
