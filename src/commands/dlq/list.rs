//! `streamkit dlq list`: how many of which kind, with which error, how old, of which function.

use std::process::ExitCode;

use serde_json::json;

use super::Which;
use super::held::{Held, give_all_back};
use super::listing::{Counts, Listing};
use super::reading::failed_ms;
use super::stores::{Chosen, Place, flow_of};
use crate::commands::caller::Caller;
use crate::commands::session::Session;
use crate::commands::since::epoch_ms;
use crate::interrupt::Interrupt;
use crate::options::Global;
use crate::report::{Reporter, exit_code};

/// Count what failed, by kind, error and function
///
/// Messages are received to be looked at, and given back at once: their receive counts rise by
/// one.
///
/// Example: streamkit dlq list pipelines/retail-events.toml --local
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// Look at this many messages of each queue at most
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    most: u64,
}

pub(super) async fn run(
    args: &Args,
    global: &Global,
    reporter: &Reporter,
    mut interrupt: Interrupt,
) -> anyhow::Result<ExitCode> {
    let (session, places) = interrupt.unless(args.which.open(global, reporter)).await?;
    let mut queues = Vec::new();
    for place in places {
        queues.push(look(&session, place, args, &interrupt).await?);
    }
    for listing in &queues {
        reporter.text(&listing.text(reporter.paint()));
    }
    if queues.is_empty() {
        reporter.text("no queue or bucket of this pipeline is there that failures go to\n");
    } else if queues.iter().any(|listing| listing.letters + listing.on_failure > 0) {
        let spec = args.which.spec.spec.as_ref().map(|path| path.display().to_string());
        let caller = Caller::new(spec.as_deref(), global);
        reporter.note(&format!(
            "see them: {}\nplay them again: {}",
            caller.command("dlq show", ""),
            caller.command("dlq redrive", "")
        ));
    }
    reporter.document(&json!({ "queues": queues }))?;
    Ok(exit_code::DONE)
}

async fn look(session: &Session, place: Place, args: &Args, interrupt: &Interrupt) -> anyhow::Result<Listing> {
    let Place { node, name, store, usage, unread } = place;
    let mut listing = Listing { node, name, messages: usage.messages, held: usage.held, ..Listing::default() };
    let now_ms = epoch_ms(session.aws.now());
    if unread.is_some() {
        return Ok(Listing { unread, ..listing });
    }
    let mut counts = Counts::default();
    let mut held = Held::new(&store);
    let mut looked = async || {
        let chosen: Chosen<'_> = args.which.chosen();
        while listing.read < args.most && !interrupt.is_set() {
            let left = usize::try_from(args.most - listing.read).unwrap_or(usize::MAX);
            let messages = held.receive(left).await?;
            if messages.is_empty() {
                // All have been seen now, and are exactly as many, whatever SQS's estimate was.
                listing.messages = listing.read;
                break;
            }
            listing.read += u64::try_from(messages.len())?;
            for message in &messages {
                let flow = flow_of(session, message);
                if chosen.includes(message, flow, now_ms) {
                    counts.add(message, flow.map(|flow| flow.key.as_str()), failed_ms(message));
                }
            }
        }
        anyhow::Ok(())
    };
    let looked = looked().await;
    give_all_back(vec![held], looked).await?;
    listing.messages = listing.messages.max(listing.read);
    Ok(counts.into_listing(listing, now_ms))
}
