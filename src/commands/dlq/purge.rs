//! `streamkit dlq purge`: deletes failed records for good.

use std::process::ExitCode;

use serde_json::json;

use super::Which;
use super::held::{Held, MOST};
use super::listing::counted;
use super::stores::{self, flow_of};
use crate::commands::since::epoch_ms;
use crate::failure::Interrupted;
use crate::interrupt::Interrupt;
use crate::options::Global;
use crate::report::{Reporter, exit_code};

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
    stores::expect_some(&places)?;
    let now_ms = epoch_ms(session.aws.now());
    let chosen = args.which.chosen();
    let mut all = Vec::new();
    for place in places {
        if let Some(why) = &place.unread {
            reporter.note(&format!("{} is left alone: {why}", place.node));
            continue;
        }
        let mut held = Held::new(&place.store);
        let mut receipts = Vec::new();
        while held.len() < MOST && !interrupt.is_set() {
            let messages = held.receive(MOST).await?;
            if messages.is_empty() {
                break;
            }
            // A condition on what only the stream tells includes nothing here.
            let meant = messages.iter().filter(|message| {
                let known = !matches!(message.kind, crate::dead_letters::Kind::OnFailure(_))
                    || chosen.selection.is_none_or(|selection| !selection.needs_record());
                known && chosen.includes(message, flow_of(&session, message), now_ms)
            });
            receipts.extend(meant.map(|message| message.receipt.clone()));
        }
        all.push((place, held, receipts));
    }
    let count: usize = all.iter().map(|(_, _, receipts)| receipts.len()).sum();
    let told = u64::try_from(count)?;
    let from: Vec<_> =
        all.iter().filter(|(_, _, receipts)| !receipts.is_empty()).map(|(place, ..)| place.name.as_str()).collect();
    let question = format!("delete {} of {} for good?", counted(told, "message"), from.join(", "));
    let mut deleted = 0;
    let agreed = if count == 0 || interrupt.is_set() {
        Ok(false)
    } else if args.yes {
        Ok(true)
    } else {
        reporter.confirm(&question, &mut interrupt).await
    };
    let mut failed = None;
    for (_, held, receipts) in all {
        for chunk in receipts.chunks(1_000) {
            if !matches!(agreed, Ok(true)) || failed.is_some() || interrupt.is_set() {
                break;
            }
            match held.delete(chunk).await {
                Ok(()) => deleted += chunk.len(),
                Err(error) => failed = Some(error),
            }
        }
        held.give_back().await?;
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
