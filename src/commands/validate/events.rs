//! The checks on good events of a stream: they flow, each one has its items, and equal events have items of their own.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use streamkit_recipes::{Attribute, Event};
use tokio::time::{Instant, sleep};

use super::canary::{self, CanaryRun, ROUND_INTERVAL};
use super::check::{Verdict, listed};
use super::encryption::marked;
use super::items::differences;
use super::passing::PassingEvents;
use super::stream_run::StreamRun;
use super::validation::Validation;
use crate::report::counted;

impl CanaryRun for StreamRun<'_> {
    const DONE: &'static str = "sent";

    fn validation(&self) -> &Validation<'_> {
        &self.validation
    }

    async fn send_canary(&mut self, number: usize) -> anyhow::Result<()> {
        let canary = self.events.canary(number).context("the function's filter lets no canary through")?;
        self.put(vec![canary], true).await
    }

    async fn look_and_wait(&mut self) -> anyhow::Result<()> {
        self.look().await?;
        if self.first_arrived().is_none() {
            sleep(self.pause()).await;
        }
        Ok(())
    }

    fn first_arrived(&self) -> Option<usize> {
        self.good.iter().position(|good| good.seen().is_some())
    }

    fn give_up(&mut self) {
        self.gave_up = true;
    }
}

/// How often the marked events are sent: often enough to measure, and at least once.
pub(super) fn rounds(events: &PassingEvents) -> usize {
    canary::rounds(events.marked("").len())
}

/// Sends the marked events, round by round, and waits until the effects of all are seen, or for as long as a run may.
pub(super) async fn all_seen(run: &mut StreamRun<'_>) -> anyhow::Result<()> {
    // Each round has users of its own, so that the items of one can be counted.
    send_until_seen(run, rounds(&run.events), |run, round| run.events.marked(&format!("-{round}"))).await
}

/// Sends so many rounds of events, and waits until the effects of all that the run has sent are seen, or for as long as it may.
pub(super) async fn send_until_seen(
    run: &mut StreamRun<'_>,
    rounds: usize,
    events: fn(&StreamRun<'_>, usize) -> Vec<Event>,
) -> anyhow::Result<()> {
    let deadline = run.validation.deadline();
    let mut round = 0;
    let mut next = Instant::now();
    while round < rounds || run.good.iter().any(|good| !good.canary && good.seen().is_none()) {
        if round < rounds && Instant::now() >= next {
            run.put(events(run, round), false).await?;
            round += 1;
            next = Instant::now() + ROUND_INTERVAL;
        }
        run.look().await?;
        if Instant::now() >= deadline {
            run.gave_up = true;
            break;
        }
        sleep(run.pause()).await;
    }
    Ok(())
}

/// Sends the marked events, waits for each one's items, and compares them with what the recipe says.
pub(super) async fn items(run: &mut StreamRun<'_>) -> anyhow::Result<Verdict> {
    all_seen(run).await?;
    let mut found = 0;
    let mut wrong = Vec::new();
    for good in run.good.iter().filter(|good| !good.canary) {
        for wanted in &good.wanted {
            let what = format!("event {} of {}", good.position.sequence_number, good.event.partition_key);
            match &wanted.found {
                None => wrong.push(format!("{what} has no item after {} s", run.validation.limit.as_secs())),
                Some((item, _)) => {
                    found += 1;
                    let encrypted = run.validation.flow.encrypted();
                    let item = if encrypted.is_empty() { item.clone() } else { marked(item, encrypted) };
                    let different = differences(&wanted.item, &item, run.validation.recipe.volatile());
                    if !different.is_empty() {
                        wrong.push(format!("{what}: {}", different.join(", ")));
                    }
                }
            }
        }
    }
    let observed = if wrong.is_empty() {
        format!("all {found}, equal but for {}", run.validation.recipe.volatile().join(", "))
    } else {
        format!("{} wrong: {}", counted(wrong.len(), "item"), listed(&wrong))
    };
    Ok(Verdict::new(wrong.is_empty(), observed).or_hint(run.validation.see_log()))
}

/// How many times equal events are among the marked ones: the same key, payload and so millisecond.
pub(super) fn twins(events: &PassingEvents) -> usize {
    equal(&events.marked("")).len() * rounds(events)
}

fn equal(events: &[Event]) -> Vec<&Event> {
    let mut times: BTreeMap<(&str, &[u8]), usize> = BTreeMap::new();
    for event in events {
        *times.entry((&event.partition_key, &event.data)).or_default() += 1;
    }
    let mut equal: Vec<&Event> = Vec::new();
    for event in events {
        let key = (event.partition_key.as_str(), event.data.as_slice());
        if times.remove(&key).is_some_and(|times| times > 1) {
            equal.push(event);
        }
    }
    equal
}

/// Counts the items of users whose events are alike in every byte: each event must have its own.
pub(super) async fn identity(run: &StreamRun<'_>) -> anyhow::Result<Verdict> {
    let events: Vec<Event> = run.good.iter().map(|good| good.event.clone()).collect();
    let mut wrong = Vec::new();
    let mut right = 0;
    for event in equal(&events) {
        let alike = run.good.iter().filter(|good| good.event.partition_key == event.partition_key);
        let wanted: Vec<_> = alike.flat_map(|good| &good.wanted).map(|wanted| &wanted.item).collect();
        let distinct: BTreeSet<_> = wanted.iter().copied().collect();
        let partitions: BTreeSet<Attribute> = wanted.iter().filter_map(|item| run.table.partition(item)).collect();
        let found = run.table.keys(&partitions).await?.len();
        // An event that was sent again because an answer was lost is rightly there twice.
        let enough = found == distinct.len() || run.uncertain && found > distinct.len();
        if enough && distinct.len() == wanted.len() {
            right += 1;
        } else {
            wrong.push(format!(
                "{} of {} for {}",
                counted(found, "item"),
                counted(wanted.len(), "event"),
                event.partition_key
            ));
        }
    }
    let observed = if wrong.is_empty() { format!("an item for each event of all {right}") } else { listed(&wrong) };
    Ok(Verdict::new(wrong.is_empty(), observed)
        .or_hint("the table's key does not tell the events apart: the later one overwrites the earlier"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::validate::canary::MEASURED_EVENTS;

    fn event(key: &str, data: &[u8]) -> Event {
        Event { partition_key: key.to_owned(), data: data.to_vec() }
    }

    #[test]
    fn equal_events_are_found_once() {
        let events = [event("a", b"1"), event("b", b"1"), event("a", b"1"), event("a", b"1"), event("a", b"2")];
        assert_eq!(equal(&events), [&events[0]]);
        assert!(equal(&events[..2]).is_empty());
    }

    #[test]
    fn every_recipe_is_measured_often_enough() {
        for recipe in streamkit_recipes::all() {
            let streamkit_recipes::Samples::Stream(samples) = recipe.samples() else { continue };
            let marked = samples.marked("run", 0).len();
            assert!(marked > 0 && canary::rounds(marked) * marked >= MEASURED_EVENTS, "{}", recipe.name());
        }
    }
}
