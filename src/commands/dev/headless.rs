//! `dev` without a screen: a line for each event, for people or as JSON.

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::event::{Event, Run};
use super::feed::Order;
use super::hands::Job;
use super::{Dev, Ears};
use crate::interrupt::Interrupt;
use crate::lock::locked;
use crate::report::{Reporter, duration_text, rate_of};
use crate::screen::Severity;

/// People are told of every so manieth look.
const TOLD: u64 = 5;

/// Tells until time is up or the user stops it, and all that was sent has been processed.
pub(super) async fn tell(
    dev: &Dev<'_>,
    ears: &mut Ears,
    run: &mut Run,
    reporter: &Reporter,
    interrupt: &mut Interrupt,
) -> anyhow::Result<()> {
    let end = dev.args.end(Instant::now());
    let mut looks = 0;
    while !run.is_over(&dev.sent) {
        tokio::select! {
            event = ears.events.recv() => {
                let Some(event) = event else { break };
                run.add(&event);
                looks += u64::from(matches!(event, Event::Sample(_)));
                reporter.line(&document(&event, run, dev))?;
                if !dev.global.json && (!matches!(event, Event::Sample(_)) || looks % TOLD == 0) {
                    reporter.note(&line(&event, run, dev));
                }
            }
            () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() && !run.is_ending() => {
                stop(dev, ears, run);
            }
            () = interrupt.changed(), if !run.is_ending() => stop(dev, ears, run),
            () = reporter.reader_left() => break,
        }
    }
    Ok(())
}

/// Sends no more, mends what was broken on purpose, and begins to wait for what is in flight.
pub(super) fn stop(dev: &Dev<'_>, ears: &Ears, run: &mut Run) {
    // Whoever takes orders may have ended.
    let _ = ears.orders.send(Order::Stop);
    for function in locked(&dev.broken).iter() {
        let _ = ears.jobs.send(Job::Break(function.clone()));
    }
    run.end(dev.quiet(), dev.readers());
}

/// The event as a line of JSON.
fn document(event: &Event, run: &Run, dev: &Dev<'_>) -> Value {
    let mut document = match event {
        Event::Sample(sample) => {
            let mut document = json!({ "event": "sample", "sent": dev.sent.events() });
            if let (Value::Object(into), Ok(Value::Object(from))) = (&mut document, serde_json::to_value(sample)) {
                into.extend(from);
            }
            // How long the look was is not when it was.
            document["over_seconds"] = document["seconds"].take();
            document
        }
        Event::Reloading { files, .. } => json!({ "event": "reloading", "files": files }),
        Event::Reloaded { changes, seconds } => json!({ "event": "reloaded", "changes": changes, "took": seconds }),
        Event::NotReloaded { error, seconds } => json!({ "event": "not-reloaded", "error": error, "took": seconds }),
        Event::Broken(functions) => json!({ "event": "broken", "functions": functions }),
        Event::Note(severity, text) => json!({ "event": "note", "severity": severity, "text": text }),
    };
    document["seconds"] = json!((run.seconds() * 1_000.0).round() / 1_000.0);
    document
}

/// The event for people.
fn line(event: &Event, run: &Run, dev: &Dev<'_>) -> String {
    let at = format!("{:>5.0} s  ", run.seconds());
    let text = match event {
        Event::Sample(sample) => {
            let totals = run.totals();
            let lag = sample.functions.iter().filter_map(|function| function.lag_ms).reduce(f64::max);
            let lag = lag.map_or_else(|| "unknown".to_owned(), |ms| duration_text(ms / 1_000.0));
            let errors =
                if totals.errors > 0 { format!(", {} failed invocations", totals.errors) } else { String::new() };
            format!(
                "{} sent, {} processed, {} rejected, lag {lag}, {} dead letters{errors}",
                dev.sent.events(),
                totals.processed,
                totals.rejected,
                run.dead_letters(),
            )
        }
        _ => in_words(event),
    };
    format!("{at}{text}")
}

/// An event that is no look, in words.
pub(super) fn in_words(event: &Event) -> String {
    match event {
        Event::Sample(_) => String::new(),
        Event::Reloading { files, .. } => {
            let more = if files.len() > 1 { format!(" and {} more", files.len() - 1) } else { String::new() };
            format!("{}{more} changed: reloading", files.first().map_or("", String::as_str))
        }
        Event::Reloaded { changes, seconds } if changes.is_empty() => {
            format!("reloaded in {seconds:.1} s: nothing of the pipeline changes")
        }
        Event::Reloaded { changes, seconds } => format!("reloaded in {seconds:.1} s: {}", changes.join("; ")),
        Event::NotReloaded { error, .. } => format!("not reloaded, everything goes on as before:\n{error}"),
        Event::Broken(functions) if functions.is_empty() => "no function is broken".to_owned(),
        Event::Broken(functions) => {
            format!("broken on purpose: {}", functions.iter().cloned().collect::<Vec<_>>().join(", "))
        }
        Event::Note(Severity::Info, text) => text.clone(),
        Event::Note(Severity::Warning, text) => format!("warning: {text}"),
        Event::Note(Severity::Error, text) => format!("error: {text}"),
    }
}

/// The rate for people.
pub(super) fn rate_text(rate: f64) -> String {
    if rate > 0.0 { rate_of(rate, "events") } else { "nothing".to_owned() }
}
