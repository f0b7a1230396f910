//! What happens while `dev` runs, and what it came to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::report::Kept;
use crate::screen::{Sample, Severity, Totals};

/// Something that whoever watches is told.
pub(super) enum Event {
    Sample(Sample),
    /// These files have changed, and the pipeline follows.
    Reloading {
        files: Vec<String>,
        kept: Kept,
    },
    /// What has changed of the pipeline; nothing where the files say the same as before.
    Reloaded {
        changes: Vec<String>,
        seconds: f64,
    },
    /// Everything is as before.
    NotReloaded {
        error: String,
        seconds: f64,
    },
    /// The functions that fail on purpose.
    Broken(BTreeSet<String>),
    Note(Severity, String),
}

/// What was sent from here; the sender counts, and others read.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) events: AtomicU64,
    /// Those of them that the recipe rejects.
    pub(super) poison: AtomicU64,
    /// Not accepted by the stream or table.
    pub(super) failed: AtomicU64,
    /// False where there are no events to send.
    pub(super) is_able: AtomicBool,
}

impl Sent {
    pub(super) fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    pub(super) fn is_able(&self) -> bool {
        self.is_able.load(Ordering::Relaxed)
    }
}

/// The last line of `dev --json`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Ended {
    event: &'static str,
    pub(super) seconds: f64,
    pub(super) sent: u64,
    /// Sent events that the recipe rejects.
    pub(super) poison: u64,
    /// Events that the stream or table did not take.
    pub(super) not_sent: u64,
    /// Of all functions together; each record counts for each that reads it.
    #[serde(flatten)]
    pub(super) totals: Totals,
    functions: BTreeMap<String, Totals>,
    /// Messages that lie in dead letter queues.
    pub(super) dead_letters: u64,
    pub(super) reloads: u64,
    pub(super) failed_reloads: u64,
    /// True when the pipeline was taken down.
    pub(super) down: bool,
}

/// Counts what `Ended` says, as it happens.
#[derive(Debug)]
pub(super) struct Run {
    started: Instant,
    totals: Totals,
    functions: BTreeMap<String, Totals>,
    dead_letters: u64,
    reloads: u64,
    failed_reloads: u64,
    /// A reload is under way.
    pub(super) is_reloading: bool,
    ending: Option<Ending>,
}

/// The wait for what is in flight.
#[derive(Debug)]
struct Ending {
    /// When records were seen last that have settled.
    last: Instant,
    /// How long it may be quiet while events are in flight.
    quiet: Duration,
    /// The functions that get every event that is sent.
    functions: Vec<String>,
}

impl Run {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            totals: Totals::default(),
            functions: BTreeMap::new(),
            dead_letters: 0,
            reloads: 0,
            failed_reloads: 0,
            is_reloading: false,
            ending: None,
        }
    }

    /// Seconds since the beginning.
    pub(super) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    pub(super) fn dead_letters(&self) -> u64 {
        self.dead_letters
    }

    /// Notes an event.
    pub(super) fn add(&mut self, event: &Event) {
        match event {
            Event::Sample(sample) => {
                let settled = |totals: Totals| totals.processed + totals.rejected;
                let before = settled(self.totals);
                self.totals.add(&sample.functions);
                for function in &sample.functions {
                    self.functions.entry(function.function.clone()).or_default().add([function]);
                }
                // What fails again and again is nothing to wait for.
                if let Some(ending) = self.ending.as_mut().filter(|_| before != settled(self.totals)) {
                    ending.last = Instant::now();
                }
                let queues = sample.queues.iter().filter(|queue| queue.dead_letters);
                self.dead_letters = queues.map(|queue| queue.messages).sum();
            }
            Event::Reloading { .. } => self.is_reloading = true,
            Event::Reloaded { changes, .. } => {
                self.is_reloading = false;
                self.reloads += u64::from(!changes.is_empty());
            }
            Event::NotReloaded { .. } => {
                self.is_reloading = false;
                self.failed_reloads += 1;
            }
            Event::Broken(_) | Event::Note(..) => {}
        }
    }

    /// Begins to wait until these functions have been given all that was sent; nothing may come for so long.
    pub(super) fn end(&mut self, quiet: Duration, functions: Vec<String>) {
        self.ending.get_or_insert(Ending { last: Instant::now(), quiet, functions });
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Whether all that was sent has been processed, or will not be.
    pub(super) fn is_over(&self, sent: &Sent) -> bool {
        let settled = |function: &String| {
            self.functions.get(function).is_some_and(|totals| totals.processed + totals.rejected >= sent.events())
        };
        self.ending.as_ref().is_some_and(|ending| {
            let all = !ending.functions.is_empty() && ending.functions.iter().all(settled);
            !self.is_reloading && (all || sent.events() == 0 || ending.last.elapsed() > ending.quiet)
        })
    }

    /// What it all came to.
    pub(super) fn ended(&self, sent: &Sent, down: bool) -> Ended {
        Ended {
            event: "ended",
            seconds: self.seconds(),
            sent: sent.events(),
            poison: sent.poison.load(Ordering::Relaxed),
            not_sent: sent.failed.load(Ordering::Relaxed),
            totals: self.totals,
            functions: self.functions.clone(),
            dead_letters: self.dead_letters,
            reloads: self.reloads,
            failed_reloads: self.failed_reloads,
            down,
        }
    }
}

impl Ended {
    /// The lines for people.
    pub(super) fn text(&self) -> String {
        let Self { seconds, sent, poison, not_sent, totals, dead_letters, reloads, failed_reloads, .. } = self;
        let Totals { processed, rejected, retried, errors, .. } = totals;
        let not_sent = if *not_sent > 0 { format!(", {not_sent} not accepted") } else { String::new() };
        format!(
            "in {seconds:.0} s: {sent} events sent ({poison} of them poison{not_sent}), {processed} processed, {rejected} rejected, \
             {retried} to be delivered again, {errors} failed invocations, {dead_letters} dead letters\n\
             reloads: {reloads} done, {failed_reloads} failed\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::FunctionSample;

    fn sample(processed: u64, rejected: u64) -> Event {
        let function = FunctionSample { function: "f".to_owned(), processed, rejected, ..FunctionSample::default() };
        Event::Sample(Sample { functions: vec![function], ..Sample::default() })
    }

    #[test]
    fn the_end_waits_for_what_is_in_flight_and_for_a_reload() {
        let sent = Sent::default();
        sent.events.store(10, Ordering::Relaxed);
        let mut run = Run::new();
        run.add(&sample(4, 1));
        assert!(!run.is_over(&sent));
        run.end(Duration::from_secs(3600), vec!["f".to_owned()]);
        assert!(!run.is_over(&sent));
        run.add(&Event::Reloading { files: Vec::new(), kept: Kept::default() });
        run.add(&sample(5, 0));
        assert!(!run.is_over(&sent));
        run.add(&Event::NotReloaded { error: String::new(), seconds: 0.0 });
        assert!(run.is_over(&sent));
        let ended = run.ended(&sent, false);
        assert_eq!((ended.totals.processed, ended.totals.rejected, ended.failed_reloads), (9, 1, 1));
    }

    #[test]
    fn what_never_comes_is_not_waited_for_for_ever() {
        let sent = Sent::default();
        sent.events.store(10, Ordering::Relaxed);
        let mut run = Run::new();
        run.end(Duration::ZERO, vec!["f".to_owned()]);
        assert!(run.is_over(&sent));
    }
}
