//! `streamkit dlq purge`: deletes failed records for good.

use std::process::ExitCode;

use serde_json::json;

use super::Which;
use super::held::{Held, MOST, give_all_back};
use super::stores::{Place, expect_some, flow_of};
use crate::commands::session::Session;
use crate::commands::since::epoch_ms;
use crate::dead_letters::{Kind, Receipt};
use crate::failure::Interrupted;
use crate::interrupt::Interrupt;
use crate::options::Global;
use crate::report::{Reporter, counted, exit_code};

/// Delete what failed, for good, or what --select says of it
///
/// Only what is there when the question is asked is deleted: what fails meanwhile stays.
///
/// Example: streamkit dlq purge pipelines/retail-events.toml --local --select 'code = "invalid_json"'
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn run(
    args: &Args,
    global: &Global,
    reporter: &Reporter,
    mut interrupt: Interrupt,
) -> anyhow::Result<ExitCode> {
    let (session, places) = interrupt.unless(args.which.open(global, reporter)).await?;
    expect_some(&places)?;
    let mut all: Vec<Held> = places.iter().map(|place| Held::new(&place.store)).collect();
    let ended = purge(args, &session, &places, &mut all, reporter, &mut interrupt).await;
    give_all_back(all, ended).await
}

async fn purge(
    args: &Args,
    session: &Session,
    places: &[Place],
    all: &mut [Held],
    reporter: &Reporter,
    interrupt: &mut Interrupt,
) -> anyhow::Result<ExitCode> {
    let mut meant = Vec::with_capacity(places.len());
    for (place, held) in places.iter().zip(&mut *all) {
        if let Some(why) = &place.unread {
            reporter.note(&format!("{} is left alone: {why}", place.node));
            meant.push(Vec::new());
        } else {
            meant.push(read(args, session, held, interrupt).await?);
        }
    }
    let count: usize = meant.iter().map(Vec::len).sum();
    let chosen = places.iter().zip(&meant).filter(|(_, receipts)| !receipts.is_empty());
    let from: Vec<_> = chosen.map(|(place, _)| place.name.as_str()).collect();
    let question = format!("delete {} of {} for good?", counted(u64::try_from(count)?, "message"), from.join(", "));
    let agreed = if count == 0 || interrupt.is_set() {
        Ok(false)
    } else if args.yes {
        Ok(true)
    } else {
        reporter.confirm(&question, interrupt).await
    };
    let mut deleted = 0;
    let mut failed = None;
    for (held, receipts) in all.iter().zip(&meant) {
        for chunk in receipts.chunks(1_000) {
            if !matches!(agreed, Ok(true)) || failed.is_some() || interrupt.is_set() {
                break;
            }
            match held.delete(chunk).await {
                Ok(()) => deleted += chunk.len(),
                Err(error) => failed = Some(error),
            }
        }
    }
    reporter.text(&format!("{} deleted\n", counted(u64::try_from(deleted)?, "message")));
    reporter.document(&json!({ "messages": count, "deleted": deleted }))?;
    agreed?;
    if let Some(error) = failed {
        return Err(error);
    }
    if interrupt.is_set() {
        return Err(Interrupted { left: count - deleted }.into());
    }
    Ok(if deleted == count { exit_code::DONE } else { ExitCode::from(exit_code::FAILED) })
}

/// Receives all, and returns those that are meant.
async fn read(args: &Args, session: &Session, held: &mut Held, interrupt: &Interrupt) -> anyhow::Result<Vec<Receipt>> {
    let now_ms = epoch_ms(session.aws.now());
    let chosen = args.which.chosen();
    let mut receipts = Vec::new();
    while held.len() < MOST && !interrupt.is_set() {
        let messages = held.receive(MOST).await?;
        if messages.is_empty() {
            break;
        }
        // A condition on what only the stream tells includes nothing here.
        let meant = messages.iter().filter(|message| {
            let known = !matches!(message.kind, Kind::OnFailure(_))
                || chosen.selection.is_none_or(|selection| !selection.needs_record());
            known && chosen.includes(message, flow_of(session, message), now_ms)
        });
        receipts.extend(meant.map(|message| message.receipt.clone()));
    }
    Ok(receipts)
}
