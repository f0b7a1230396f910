//! The checks on good events: that they flow, that each has its effect, that equal ones stay apart.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use streamkit_recipes::{Attribute, Event, StreamSamples};
use tokio::time::{Instant, sleep};

use super::check::{Verdict, counted, listed};
use super::items::differences;
use super::resources::mapping;
use super::run::Run;
use super::scene::epoch_ms;

/// The least number of events whose latency is measured.
const MEASURED: usize = 50;
/// Between two rounds of marked events, so that they meet batch windows at different points.
const ROUND: Duration = Duration::from_millis(500);
const FIRST_CANARY: Duration = Duration::from_secs(2);
const LAST_CANARY: Duration = Duration::from_secs(10);

/// Sends canaries until the item of one appears. A mapping that is enabled may not read yet, and one that starts at
/// the end of the stream never sees what came before.
pub(super) async fn flow(run: &mut Run<'_>) -> anyhow::Result<Verdict> {
    let (started, deadline) = (Instant::now(), run.scene.deadline());
    let mut sent = 0;
    let mut next = started;
    let mut interval = FIRST_CANARY;
    loop {
        if Instant::now() >= next {
            let canary = run.samples.canary(&run.scene.name, sent, epoch_ms(SystemTime::now()));
            run.put(vec![canary], true).await?;
            sent += 1;
            next = Instant::now() + interval;
            interval = (interval * 3 / 2).min(LAST_CANARY);
        }
        run.look().await?;
        if let Some(place) = run.good.iter().position(|good| good.seen().is_some()) {
            let after = started.elapsed().as_secs_f64();
            let text = format!("that of canary {} of {sent} after {after:.1} s", place + 1);
            return Ok(Verdict::new(true, text));
        }
        if Instant::now() >= deadline {
            run.gave_up = true;
            let observed = format!(
                "none, with canaries sent {} times in {} s; {}",
                sent,
                run.scene.limit.as_secs(),
                mapping(&run.scene).await
            );
            let mut hint = format!("see `streamkit status`, and the function's log {}", run.scene.flow.log_group);
            if run.scene.session.aws.endpoint.is_some() && !run.scene.local {
                hint.push_str("; an endpoint that runs no functions, as moto's, never gets further: `--local` does");
            }
            return Ok(Verdict::new(false, observed).or_hint(hint));
        }
        sleep(run.pause()).await;
    }
}

/// How often the marked events are sent: often enough to measure, and at least once.
pub(super) fn rounds(samples: &dyn StreamSamples) -> usize {
    MEASURED.div_ceil(samples.marked("", 0).len().max(1))
}

/// Sends the marked events, waits for each one's items, and compares them with what the recipe says.
pub(super) async fn items(run: &mut Run<'_>) -> anyhow::Result<Verdict> {
    let deadline = run.scene.deadline();
    let rounds = rounds(run.samples);
    let mut round = 0;
    let mut next = Instant::now();
    while round < rounds || run.good.iter().any(|good| !good.canary && good.seen().is_none()) {
        if round < rounds && Instant::now() >= next {
            // Each round has users of its own, so that the items of one can be counted.
            let marked = run.samples.marked(&format!("{}-{round}", run.scene.name), epoch_ms(SystemTime::now()));
            run.put(marked, false).await?;
            round += 1;
            next = Instant::now() + ROUND;
        }
        run.look().await?;
        if Instant::now() >= deadline {
            run.gave_up = true;
            break;
        }
        sleep(run.pause()).await;
    }
    let mut found = 0;
    let mut wrong = Vec::new();
    for good in run.good.iter().filter(|good| !good.canary) {
        for wanted in &good.wanted {
            let what = format!("event {} of {}", good.position.sequence_number, good.event.partition_key);
            match &wanted.found {
                None => wrong.push(format!("{what} has no item after {} s", run.scene.limit.as_secs())),
                Some((item, _)) => {
                    found += 1;
                    let different = differences(&wanted.item, item, run.scene.recipe.volatile());
                    if !different.is_empty() {
                        wrong.push(format!("{what}: {}", different.join(", ")));
                    }
                }
            }
        }
    }
    let observed = if wrong.is_empty() {
        format!("all {found}, equal but for {}", run.scene.recipe.volatile().join(", "))
    } else {
        format!("{} wrong: {}", counted(wrong.len(), "item"), listed(&wrong))
    };
    Ok(Verdict::new(wrong.is_empty(), observed).or_hint(run.scene.see_log()))
}

/// How many times equal events are among the marked ones: the same key, payload and so millisecond.
pub(super) fn twins(samples: &dyn StreamSamples) -> usize {
    equal(&samples.marked("", 0)).len() * rounds(samples)
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
pub(super) async fn identity(run: &Run<'_>) -> anyhow::Result<Verdict> {
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
            assert!(marked > 0 && rounds(samples) * marked >= MEASURED, "{}", recipe.name());
        }
    }
}
