//! `streamkit dlq redrive`: plays failed records again, to the function or into the stream.

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use clap::ValueEnum;
use futures_util::future::join_all;
use tokio::sync::{Semaphore, watch};

use super::Which;
use super::edit::{Edit, Jq};
use super::held::{Held, MOST, give_all_back};
use super::lane::Run;
use super::played::Totals;
use super::reading::failed_ms;
use super::stores::{self, Place, flow_of};
use super::units::{LaneKey, Unit, lanes};
use crate::commands::send::rate;
use crate::commands::session::Session;
use crate::commands::since::epoch_ms;
use crate::dead_letters::Kind;
use crate::failure::{Interrupted, Usage};
use crate::interrupt::Interrupt;
use crate::options::Global;
use crate::playback::{Rate, Stopped};
use crate::report::{Reporter, counted, escaped, exit_code};
use crate::spool::Spool;

/// How many shards are played at the same time.
const LANES: usize = 8;
/// How many edits are shown before the question.
const EDITS_SHOWN: usize = 3;

/// Play failed records again, and delete the messages of those that come through
///
/// Letters are played with their payload, batches with their records as the stream still has
/// them. Each goes to the function that failed, as an event of its source with the record's own
/// identity: what is there already stays as it is. What fails again stays in the queue, with
/// its new error; of a batch, rejected records become letters.
///
/// Example: streamkit dlq redrive pipelines/retail-events.toml --local --edit '.userId //= "unknown"'
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// Where to: to the function itself, or into the stream as new records, for all who read it
    #[arg(long, value_enum, default_value_t, value_name = "WHERE")]
    to: To,
    /// Change each payload by this jq program first, such as '.amount |= tonumber'; what it gives nothing for is left
    #[arg(long, value_name = "JQ", conflicts_with = "edit_with")]
    edit: Option<String>,
    /// Change each payload by this command first: the old one on its standard input, the new one on its standard output
    #[arg(long, value_name = "COMMAND")]
    edit_with: Option<String>,
    /// Records a second at most
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    rate: Option<f64>,
    /// Only say what would be played; with an edit, show what it changes
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Args {
    /// Plays these to their functions as they are, without asking.
    pub(super) fn unasked(which: Which) -> Self {
        Self { which, to: To::Function, edit: None, edit_with: None, rate: None, dry_run: false, yes: true }
    }
}

/// Where records are played to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum To {
    #[default]
    Function,
    Source,
}

pub(super) async fn run(
    args: &Args,
    global: &Global,
    reporter: &Reporter,
    mut interrupt: Interrupt,
) -> anyhow::Result<ExitCode> {
    // A mistake in it shows before anything is read.
    let jq = args.edit.as_deref().map(Jq::new).transpose().map_err(Usage)?;
    let edit = jq.map(Edit::Jq).or_else(|| args.edit_with.clone().map(Edit::Program));
    let (session, places) = interrupt.unless(args.which.open(global, reporter)).await?;
    stores::expect_some(&places)?;
    let mut held: Vec<Held> = places.iter().map(|place| Held::new(&place.store)).collect();
    let ended = redrive(args, &session, &places, &mut held, edit, reporter, &mut interrupt).await;
    give_all_back(held, ended).await
}

async fn redrive(
    args: &Args,
    session: &Session,
    places: &[Place],
    held: &mut [Held],
    edit: Option<Edit>,
    reporter: &Reporter,
    interrupt: &mut Interrupt,
) -> anyhow::Result<ExitCode> {
    let mut spool = Spool::new()?;
    let (units, unknown) = read(args, session, places, held, &mut spool, reporter, interrupt).await?;
    if interrupt.is_set() {
        return Err(Interrupted { left: 0 }.into());
    }
    let (letters, batches) = (
        units.iter().filter(|(_, unit)| !unit.is_batch).count(),
        units.iter().filter(|(_, unit)| unit.is_batch).count(),
    );
    let messages = u64::try_from(units.len())?;
    let lanes = lanes(units);
    let run = Run {
        session,
        held: &*held,
        bodies: spool.finished()?,
        to: args.to,
        edit,
        rate: Rate::new(args.rate),
        chosen: args.which.chosen(),
        now_ms: epoch_ms(session.aws.now()),
        interrupt: interrupt.clone(),
        bar: reporter.bar(Some(messages), "playing"),
        totals: Mutex::new(Totals { messages, ..Totals::default() }),
        stopped: Mutex::new(None),
    };
    for (function, count) in &unknown {
        reporter.note(&format!(
            "{} of the function {}, which is not in this pipeline, left alone",
            counted(*count, "message"),
            escaped(function)
        ));
    }
    if run.edit.is_some() {
        let most = if args.dry_run { usize::MAX } else { EDITS_SHOWN };
        for edit in run.preview(&lanes, most).await? {
            reporter.text(&edit);
        }
    }
    if args.dry_run {
        run.bar.finish_and_clear();
        let read = run.count_records(&lanes)?;
        let totals = Totals { read, left: messages, messages, ..Totals::default() };
        reporter.text(&format!(
            "{} would be played: {} and {}\n",
            counted(messages, "message"),
            counted(u64::try_from(letters)?, "letter"),
            counted(u64::try_from(batches)?, "batch record")
        ));
        reporter.document(&totals)?;
        return Ok(exit_code::DONE);
    }
    if messages > 0 && !args.yes {
        let target = if args.to == To::Source { "into the stream" } else { "to the function" };
        let question = format!("play {} again, {target}?", counted(messages, "message"));
        if !reporter.confirm(&question, interrupt).await? {
            reporter.note("nothing was played");
            return Ok(ExitCode::from(exit_code::FAILED));
        }
    }
    let permits = Semaphore::new(LANES);
    let done: Vec<watch::Sender<bool>> = lanes.iter().map(|_| watch::Sender::new(false)).collect();
    join_all(lanes.iter().enumerate().map(async |(at, lane)| {
        for before in &lane.after {
            // A sender that is gone has sent before.
            drop(done[*before].subscribe().wait_for(|done| *done).await);
        }
        let permit = permits.acquire().await;
        run.play(lane).await;
        drop(permit);
        done[at].send_replace(true);
    }))
    .await;
    run.bar.finish_and_clear();
    conclude(run, reporter, interrupt)
}

fn conclude(run: Run<'_>, reporter: &Reporter, interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    let stopped: Option<anyhow::Error> = run.stopped.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut totals = run.totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    totals.left = totals.messages - totals.deleted;
    reporter.text(&totals.text("played"));
    reporter.document(&totals)?;
    if let Some(stopped) = stopped {
        return Err(stopped);
    }
    if interrupt.is_set() {
        return Err(Interrupted { left: usize::try_from(totals.left)? }.into());
    }
    Ok(if totals.left == 0 { exit_code::DONE } else { ExitCode::from(exit_code::FAILED) })
}

/// Receives all that is meant, and notes which messages name functions that are not in the pipeline.
async fn read(
    args: &Args,
    session: &Session,
    places: &[Place],
    held: &mut [Held],
    spool: &mut Spool,
    reporter: &Reporter,
    interrupt: &Interrupt,
) -> anyhow::Result<(Vec<(LaneKey, Unit)>, Vec<(String, u64)>)> {
    let now_ms = epoch_ms(session.aws.now());
    let chosen = args.which.chosen();
    let bar = reporter.bar(None, "reading messages");
    let mut units = Vec::new();
    let mut unknown = std::collections::BTreeMap::<String, u64>::new();
    for (at, (place, held)) in places.iter().zip(held).enumerate() {
        if let Some(why) = &place.unread {
            reporter.note(&format!("{} is left alone: {why}", place.node));
            continue;
        }
        while held.len() < MOST && !interrupt.is_set() {
            let messages = held.receive(MOST).await?;
            if messages.is_empty() {
                break;
            }
            bar.inc(u64::try_from(messages.len())?);
            for message in messages {
                let flow = flow_of(session, &message);
                if message.kind == Kind::Other || !chosen.includes(&message, flow, now_ms) {
                    continue;
                }
                let Some(flow) = flow else {
                    *unknown.entry(message.kind.function().unwrap_or_default().to_owned()).or_default() += 1;
                    continue;
                };
                let flow = session.pipeline.flows.iter().position(|other| other.key == flow.key).unwrap_or_default();
                let body = spool.put(&message.body)?;
                if let Some(unit) = Unit::of(&message, at, body, failed_ms(&message))
                    && let Some(key) = LaneKey::of(&message, flow)
                {
                    units.push((key, unit));
                }
            }
        }
    }
    bar.finish_and_clear();
    Ok((units, unknown.into_iter().collect()))
}

/// The error of a function that can't be played to.
pub(in crate::commands) fn explained(stopped: Stopped) -> anyhow::Error {
    use crate::failure::Hint;
    let hint = match &stopped {
        Stopped::Refused { error, .. } if error.is_missing() => "bring the pipeline up with `streamkit up` first",
        Stopped::Refused { .. } => return stopped.into(),
        Stopped::InVain { .. } => {
            "see what it says with `streamkit logs --level error`, mend it, and play again: nothing is lost"
        }
    };
    // It may quote a payload.
    Hint::error(escaped(&stopped.to_string()), hint)
}
